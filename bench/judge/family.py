"""Which comparisons a study declares, as a family of hypotheses. A mirrored pair is one of them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from bench.judge.factorial import additions, full_arm, main_effects, removals, steps
from bench.judge.measure import parse
from bench.study.read import Claim, Study

Key = tuple[str, str, str]
"""Arm, reference, metric."""


def family_keys(study: Study) -> list[Key]:
    """What is asked for: the references on the primary metric, every pair of every claim, every gate."""
    keys = [(arm, reference, study.primary) for arm, reference in references(study)]
    for claim in study.claims:
        keys += pairs_of(claim)
    keys += [gate.key for gate in study.gates]
    return list(dict.fromkeys(keys))


def hypotheses(keys: Iterable[Key]) -> list[Key]:
    """Each once; of "a against b" and "b against a" the first, for what settles one settles the other."""
    found: dict[Key, None] = {}
    for key in keys:
        if mirror(key) not in found:
            found[key] = None
    return list(found)


def mirror(key: Key) -> Key:
    """The same comparison, told from the other arm's side."""
    arm, reference, metric = key
    return reference, arm, metric


def references(study: Study) -> list[tuple[str, str]]:
    """Every arm with what it is declared to be compared with: the baseline.

    A screen compares no arms but the levels of each factor, over all arms; a ladder each rung with the
    baseline and with the rung below.
    What only leaves something out of the full recipe of an ``add-and-remove`` study is compared with that
    recipe; with two factors, where such an arm also adds something to the baseline, with both.
    """
    if study.design == "screen":
        return main_effects(study)
    full, removed, added = full_arm(study), removals(study), additions(study)
    others = [arm.label for arm in study.arms if arm.label != study.baseline]
    found = [(label, study.baseline) for label in others if label not in removed or label in added]
    found += [(label, full.label) for label in others if full and label in removed]
    return list(dict.fromkeys([*found, *steps(study)]))


def pairs_of(claim: Claim) -> list[Key]:
    """Every pair of arms a claim compares; none where it is about convergence."""
    if claim.expect == "does not converge":
        return []
    return [(better, than, claim.metric) for better in claim.better for than in claim.than if better != than]


def wanted_scores(study: Study, further: Sequence[str] = ()) -> dict[str, tuple[str, ...]]:
    """For each set of the plan, the scores that intervals are asked for.

    They are accuracy, what is declared, and what else is to be told.

    further   metrics that were declared and are no longer asked for
    """
    sets = study.sets
    wanted = {name: ["accuracy"] for name in sets}
    for metric in (study.primary, *study.judged_by, *further):
        found = parse(metric, sets)
        if found.kind == "score" and found.traits["interval"] != "none":
            wanted[found.set].append(found.score)
    return {name: tuple(dict.fromkeys([*scores, *study.scores])) for name, scores in wanted.items()}
