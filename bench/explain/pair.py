"""Two arms of a study side by side, image by image, from what their trials stored."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from bench.errors import UserError, did_you_mean
from bench.judge.findings import LOCAL
from bench.plan import TEST, Plan, Replicate, Run, ScoredSet
from bench.progress.terminal import Terminal
from bench.store import UNREADABLE, Predictions, Record, Store

if TYPE_CHECKING:
    from bench.data.images import Index, Samples
    from bench.explain.comparison import Comparison, Floats


@dataclass(frozen=True)
class Asked:
    """What a person wants to see; empty: see the defaults of ``bench explain --help``."""

    arm: str = ""
    against: str = ""
    set: str = ""
    seed: int | None = None
    fold: int | None = None
    smoked: bool = False


@dataclass(frozen=True)
class Side:
    """One of the two arms: its trial of the shown replicate."""

    label: str
    run: Run
    record: Record
    scored: ScoredSet
    predictions: Predictions
    index: Index
    """(N,): where the common images stand among its predictions."""
    weights: Path | None
    """None: they were not kept or are damaged, and no Grad-CAM can be drawn."""


@dataclass(frozen=True)
class Pair:
    """The two arms, what they said, and over which replicates."""

    study: str
    question: str
    set: str
    replicates: tuple[Replicate, ...]
    reference: Side
    arm: Side
    comparison: Comparison
    classes: tuple[str, ...]
    others: tuple[str, ...]
    """Further arms with a finished trial of the shown replicate."""

    @property
    def shown(self) -> Replicate:
        """The replicate whose images are shown."""
        return self.replicates[self.comparison.shown]


def gather(plan: Plan, asked: Asked, store: Store) -> Pair:
    """Two arms and their stored predictions. Raises UserError where something of it is not there."""
    from bench.explain.comparison import Comparison, same_images

    against = _arm(plan, asked.against or plan.study.baseline, "--against")
    name = _set(plan, asked.set)
    done = _Done(plan, name, store)
    arm = _arm(plan, asked.arm, "--arm") if asked.arm else done.first_other(against, asked)
    if arm == against:
        raise UserError(f'{plan.study.name}: "{arm}" against itself; give another --arm or --against')
    shown = done.replicate(arm, against, asked)
    ours, theirs = (done.predictions(label, shown) for label in (arm, against))
    mine, yours = same_images(ours, theirs)
    if not len(mine):
        raise UserError(f'{plan.study.name}: "{arm}" and "{against}" were scored on no common image')
    keys = done.keys(shown, arm, against)
    common = [each for each in done.common(arm, against) if done.keys(each, arm, against) == keys]
    both = {"reference": done.stack(against, common, yours), "arm": done.stack(arm, common, mine)}
    sides = [done.side(label, shown, index) for label, index in ((against, yours), (arm, mine))]
    return Pair(
        study=plan.study.name,
        question=plan.study.question,
        set=LOCAL if name == TEST else name,
        replicates=tuple(common),
        reference=sides[0],
        arm=sides[1],
        comparison=Comparison(both, ours.labels[mine], ours.ids[mine], common.index(shown)),  # type: ignore[arg-type]
        classes=tuple(sides[1].record.classes),
        others=tuple(label for label in done.labels(shown) if label not in (arm, against)),
    )


class _Done:
    """The finished trials of a plan that were scored on one set."""

    def __init__(self, plan: Plan, name: str, store: Store) -> None:
        self.plan, self.name, self.store = plan, name, store
        self._runs = {(run.arm, run.trial.replicate): run for run in plan.runs}

    def _record(self, run: Run) -> Record | None:
        record = self.store.read(run.trial.id)
        usable = record is not None and record.status == "done" and self._scored(run).key in record.scores
        return record if usable else None

    def _scored(self, run: Run) -> ScoredSet:
        return next(scored for scored in run.sets if scored.name == self.name)

    def labels(self, replicate: Replicate) -> list[str]:
        """Arms with a finished trial of that replicate, in the study's order."""
        arms = [arm.label for arm in self.plan.study.arms]
        return [label for label in arms if (run := self._runs.get((label, replicate))) and self._record(run)]

    def _replicates(self, label: str) -> list[Replicate]:
        found = [(replicate, run) for (arm, replicate), run in self._runs.items() if arm == label]
        return [replicate for replicate, run in found if self._record(run)]

    def common(self, arm: str, against: str) -> list[Replicate]:
        """Replicates that both arms finished."""
        theirs = self._replicates(against)
        return [replicate for replicate in self._replicates(arm) if replicate in theirs]

    def first_other(self, against: str, asked: Asked) -> str:
        """The first arm beside ``against`` that has something to compare; else the first, to say why not."""
        others = [arm.label for arm in self.plan.study.arms if arm.label != against]
        if not others:
            raise UserError(f'{self.plan.study.name} has no arm but "{against}"; nothing to compare it with')
        return next((arm for arm in others if _fitting(self.common(arm, against), asked)), others[0])

    def replicate(self, arm: str, against: str, asked: Asked) -> Replicate:
        """The one asked for, or the first that both arms finished. Raises UserError that says why none."""
        common = _fitting(self.common(arm, against), asked)
        if common:
            return common[0]
        planned = _fitting([run.trial.replicate for run in self.plan.runs], asked)
        lines = [self._why(label, replicate) for replicate in planned[:1] for label in (against, arm)]
        which = "" if asked.seed is None else f" of seed {asked.seed}"
        which += "" if asked.fold is None else f", fold {asked.fold}"
        raise UserError(
            f'{self.plan.study.name}: "{arm}" and "{against}" have no pair of finished trials{which} with '
            f"predictions on {_shown(self.name)}\n"
            + "\n".join(filter(None, lines))
            + ("" if planned else f"    planned replicates: {_named(self.plan)}")
        )

    def _why(self, label: str, replicate: Replicate) -> str:
        run = self._runs.get((label, replicate))
        record = self.store.read(run.trial.id) if run else None
        if record is None:
            return f"    {label}: not run; bench run {self.plan.study.name}.toml trains it"
        if record.status == "done":
            return "" if run and self._record(run) else f"    {label}: not scored on it; bench run scores it"
        return f"    {label}: {record.status} ({record.cause}); bench show {record.id} tells more"

    def predictions(self, label: str, replicate: Replicate) -> Predictions:
        """What the arm's trial said. Raises UserError when it is not stored."""
        run = self._runs[label, replicate]
        record = self._record(run)
        try:
            said = (
                {}
                if record is None or self.store.lost(record, whole=True)
                else self.store.predictions(record.id)
            )
            found = said.get(self._scored(run).key)
        except UNREADABLE:
            found = None
        if found is None or (record and found.probabilities.shape[1] != len(record.classes)):
            raise UserError(
                f"{self.store.trial_dir(run.trial.id)} holds no predictions.npz of {_shown(self.name)} "
                "that can be read\n"
                "    put it back, or delete the folder and run the study again"
            )
        return found

    def keys(self, replicate: Replicate, *labels: str) -> list[str]:
        """Keys of the set in each arm's trial: the same key, the same images in the same order."""
        return [self._scored(self._runs[label, replicate]).key for label in labels]

    def stack(self, label: str, replicates: Sequence[Replicate], index: Index) -> Floats:
        """Probabilities (S, N, K) float32 at ``index`` (N,)."""
        import numpy as np

        return np.stack(
            [self.predictions(label, each).probabilities[index].astype(np.float32) for each in replicates]
        )

    def side(self, label: str, replicate: Replicate, index: Index) -> Side:
        """One arm's trial, ready to be shown."""
        run = self._runs[label, replicate]
        record = self._record(run)
        assert record is not None, "only finished trials are shown"
        weights = self.store.weights_path(run.trial.id)
        kept = weights if self.store.has_weights(record) else None
        return Side(label, run, record, self._scored(run), self.predictions(label, replicate), index, kept)


def images_of(side: Side, cache: Path, terminal: Terminal) -> Samples:
    """The images that a side's trial was scored on, at the common positions. Raises UserError.

    They are read by the door that the trial used, after it was trained.
    """
    import numpy as np

    from bench.data import provide

    with terminal.counting("opening images") as count:
        samples = provide.held_out(side.run.trial, side.scored, cache, count)
    if not np.array_equal(samples.ids, side.predictions.ids):
        raise UserError(
            f"the images of {_shown(side.scored.name)} are not those that trial {side.run.trial.id} was "
            f"scored on ({len(samples)} images, it has {len(side.predictions.ids)})\n"
            "    bring the source back to what it was, or run the study again"
        )
    return samples


def _fitting(replicates: Sequence[Replicate], asked: Asked) -> list[Replicate]:
    return [
        each for each in replicates if asked.seed in (None, each.seed) and asked.fold in (None, each.fold)
    ]


def _arm(plan: Plan, label: str, option: str) -> str:
    labels = [arm.label for arm in plan.study.arms]
    if label not in labels:
        raise UserError(
            f'{option} "{label}" is not an arm of {plan.study.name}; {did_you_mean(label, labels)}'
        )
    return label


def _set(plan: Plan, name: str) -> str:
    known = [LOCAL if each == TEST else each for each in plan.study.sets]
    name = name or known[0]
    if name not in known and (name != TEST or LOCAL not in known):
        raise UserError(f'--set "{name}" is not a set of {plan.study.name}; {did_you_mean(name, known)}')
    return TEST if name == LOCAL else name


def _named(plan: Plan) -> str:
    return ", ".join(dict.fromkeys(spelled(run.trial.replicate) for run in plan.runs)) or "none yet"


def _shown(name: str) -> str:
    return "the local test set" if name == TEST else f'"{name}"'


def spelled(replicate: Replicate) -> str:
    """``seed 3``, ``seed 0, fold 2``."""
    return f"seed {replicate.seed}" + (f", fold {replicate.fold}" if replicate.fold is not None else "")
