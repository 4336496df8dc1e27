"""What a report says of what was declared before the first score."""

from __future__ import annotations

from bench.judge import claims
from bench.judge.declared import changes, removed_claims, removed_keys
from bench.judge.findings import Promise
from bench.judge.rulings import Rulings


def kept(rulings: Rulings) -> Promise:
    """What was declared, what the study says otherwise by now, and what came of what it left out."""
    declared, study = rulings.declared, rulings.study
    if declared is None:
        return Promise(known=False)
    gone = removed_claims(declared, study)
    return Promise(
        known=True,
        at=declared.at,
        later=declared.later,
        scored=tuple(f"{arm} against {other} on {metric}" for arm, other, metric in declared.scored),
        changes=tuple(changes(declared, study, rulings.evidence.sliced)),
        removed=tuple(rulings.finding(key) for key in removed_keys(declared, study)),
        claims=tuple(claims.judge(rulings, claim) for claim in gone if rulings.knows(claim)),
    )
