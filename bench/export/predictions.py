"""What a study's trials said, as the table and the questions that ``bench judge`` reads."""

from __future__ import annotations

import io
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from bench.elsewhere.answers import LOCAL
from bench.elsewhere.asked import NOT_TOLD, toml
from bench.elsewhere.files import P
from bench.errors import UserError
from bench.files import hand_over
from bench.judge.outcomes import Outcome, read_outcomes
from bench.plan import TEST
from bench.planned import PlanFile
from bench.progress.terminal import Terminal
from bench.store import UNREADABLE, Predictions, Store
from bench.study.metric import apart
from bench.study.patch import Tree
from bench.study.read import Claim, Study

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class Exported:
    """A study on its way out."""

    study: Study
    plan: PlanFile
    store: Store
    terminal: Terminal

    def write(self, folder: Path) -> list[Path]:
        """``<study>-predictions.csv`` and, beside it, ``.toml`` with what is asked. Raises UserError.

        Probabilities are those that are stored, to the last digit. An image is called by its id.
        """
        import pandas as pd

        tables = list(self._tables())
        if not tables:
            raise UserError(f"{self.study.name} has no finished trial yet; bench run trains what is missing")
        text = io.StringIO()
        pd.concat(tables, ignore_index=True).to_csv(text, index=False, lineterminator="\n")
        stem = f"{self.study.name}-predictions"
        return [
            hand_over(folder / f"{stem}.csv", text.getvalue().encode()),
            hand_over(folder / f"{stem}.toml", toml(self._asked()).encode()),
        ]

    def _tables(self) -> Iterator[pd.DataFrame]:
        missing = []
        for label, trials in read_outcomes(self.study, self.plan, self.store).items():
            for outcome in trials:
                if outcome.state == "diverged":
                    yield self._rows(label, outcome, {"status": ["diverged"]})
                elif outcome.state == "done":
                    yield from self._said(label, outcome)
                else:
                    missing.append(f"{label}, seed {outcome.planned.seed} ({outcome.state})")
        if missing:
            some = ", ".join(missing[:5]) + (", …" if len(missing) > 5 else "")
            self.terminal.note(f"without predictions, so bench judge will miss them: {some}")

    def _said(self, label: str, outcome: Outcome) -> Iterator[pd.DataFrame]:
        """A finished trial's rows, a table for each of its sets."""
        id = outcome.planned.id
        try:
            stored = self.store.predictions(id)
        except UNREADABLE:
            stored = {}
        for name, key in outcome.planned.sets.items():
            if key not in stored:
                called = LOCAL if name == TEST else name
                raise UserError(
                    f"{self.store.trial_dir(id)} holds no predictions of {called} that can be read\n"
                    "    put the file back, or bench run --rescore trains it again"
                )
            said, classes = stored[key], outcome.record.classes if outcome.record else []
            yield self._rows(label, outcome, {"set": LOCAL if name == TEST else name} | _cells(said, classes))

    def _rows(self, label: str, outcome: Outcome, cells: Tree) -> pd.DataFrame:
        import pandas as pd

        head: Tree = {"arm": label, "seed": outcome.planned.seed}
        if outcome.planned.fold is not None:
            head["fold"] = outcome.planned.fold
        return pd.DataFrame(head | cells)

    def _asked(self) -> Tree:
        """What the study asks, as far as predictions tell."""
        study = self.study
        labels = {arm.label for arm in study.arms}
        claims = [claim for claim in study.claims if _carried(claim, labels)]
        if len(claims) < len(study.claims):
            lost = len(study.claims) - len(claims)
            self.terminal.note(
                f"{lost} of {len(study.claims)} claims are of costs, convergence or factors, which "
                "predictions do not tell: verdicts are corrected for fewer comparisons"
            )
        if study.design in ("screen", "ladder", "leave-one-out", "add-and-remove"):
            self.terminal.note(f"design = {study.design} is not carried over: arms meet the baseline alone")
        if self.plan.looks or study.further_seeds:
            self.terminal.note("looks, and further seeds of the baseline, are not carried over")
        table: Tree = {
            "question": study.question,
            "baseline": study.baseline,
            "primary": study.primary,
            "scores": list(study.scores),
            "ordered": [list(one.levels) for one in study.ordered if one.blocks == (one.levels,)],
            "gates": [gate.text for gate in study.gates],
            "delta": study.delta.model_dump(),
            "ensembles": {name: {"arm": one.arm} for name, one in study.ensembles.items()},
            "claims": [_written(claim) for claim in claims],
        }
        return {key: value for key, value in table.items() if value}


def _carried(claim: Claim, labels: set[str]) -> bool:
    told = not claim.metric.startswith(NOT_TOLD) and apart(claim.metric)[1] is None
    return told and {*claim.better, *claim.than} <= labels


def _written(claim: Claim) -> Tree:
    told = claim.model_dump(exclude={"criterion"}, exclude_defaults=True)
    return {key: list(value) if isinstance(value, tuple) else value for key, value in told.items()}


def _cells(said: Predictions, classes: list[str]) -> Tree:
    """Columns of one set, (N,) each."""
    cells: Tree = {
        "image": [f"{id:016x}" for id in said.ids.tolist()],
        "label": [classes[k] for k in said.labels.tolist()],
    }
    if said.groups is not None:
        cells["group"] = said.groups
    kinds = said.conditions.tolist() if said.conditions is not None else [0] * len(said.ids)
    again = _copies(zip(said.ids.tolist(), kinds, strict=True))
    if said.conditions is not None or any(again):
        names = said.condition_names or ("copy",)
        cells["condition"] = [
            names[k] + (f" {n + 1}" if n else "") for k, n in zip(kinds, again, strict=True)
        ]
    return cells | {f"{P}{name}": said.probabilities[:, k].astype(str) for k, name in enumerate(classes)}


def _copies(images: Iterable[tuple[int, int]]) -> list[int]:
    """How often each image had come before in the same condition: a set may hold identical ones."""
    seen: Counter[tuple[int, int]] = Counter()
    found = []
    for image in images:
        found.append(seen[image])
        seen[image] += 1
    return found
