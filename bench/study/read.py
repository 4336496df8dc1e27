"""The study file: one TOML file, one question. Reads it, checks it, reports all its mistakes together."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, ValidationError

from bench.errors import Mistake, UserError, mistakes_error, shorten
from bench.recipe import STUDY_NAME, Data, Frozen, Hidden, Recipe
from bench.registry import metrics, use
from bench.study import checks, datasets, gates
from bench.study.arms import PATCHABLE_DATA, Arm, Arms, read_arms
from bench.study.checks import has_local
from bench.study.claims import Claim, Claims, labels_of
from bench.study.code import Code, Outside, nothing, run_in
from bench.study.file import (
    Delta,
    Ensemble,
    Folds,
    StudyFile,
    Tune,
    contradictions,
)
from bench.study.gates import Gate, Known
from bench.study.metric import apart, in_share, metric_problem, score_problem
from bench.study.ordered import Ordered, ordered
from bench.study.patch import Tree
from bench.study.toml import table_of, text_of
from bench.study.tunable import different, space_clash, tuning_problem
from bench.study.wording import mistake_of, problems_of

__all__ = ["PATCHABLE_DATA", "Arm", "Claim", "Delta", "Ensemble", "Folds", "Study", "Tune", "load", "parse"]

Design = Literal["arms", "grid", "one-at-a-time", "leave-one-out", "add-and-remove", "screen", "ladder"]
RESERVED = ("trials", "reference", "smoke-runs", "index")
LOCAL_SET = "test"
"""What a plan calls the local test set; a metric calls it ``local``."""


class Study(Frozen):
    """A checked study: arms built, claims expanded, defaults filled in."""

    name: str
    """The file's stem; of one of its data sets ``STEM@NAME``."""
    question: str
    baseline: str
    """Label of the arm the others are measured against."""
    design: Design
    arms: tuple[Arm, ...]
    recipe: Recipe
    """The baseline's recipe."""
    data: Data
    hidden: dict[str, Hidden]
    slices: dict[str, tuple[str, ...]] = Field(default_factory=dict)
    """``local`` or an external hidden set → columns of its source by which its images are told apart."""
    val_shift: Hidden | None = None
    seeds: tuple[int, ...] = ()
    further_seeds: tuple[int, ...] = ()
    """That the baseline alone is trained with."""
    folds: Folds | None = None
    primary: str
    """The deciding metric, ``<set>.<score>``."""
    scores: tuple[str, ...] = ()
    """Further scores to tell, as the file names them."""
    delta: Delta = Delta()
    looks: tuple[int, ...] = (5, 8, 12)
    claims: tuple[Claim, ...] = ()
    gates: tuple[Gate, ...] = ()
    ensembles: dict[str, Ensemble] = Field(default_factory=dict)
    ordered: tuple[Ordered, ...] = ()
    """Levels that have an order."""
    tune: Tune | None = None
    aa: bool = False
    keep_weights: bool = True
    code: tuple[Code, ...] = Field((), repr=False)
    """From outside: what the study's trials need beside bench itself."""
    text: str = Field("", repr=False)
    """Of the file that it was read from."""

    @property
    def sets(self) -> tuple[str, ...]:
        """Names of what finished trials are scored on: the local test set, where there is one, first."""
        return (*(LOCAL_SET,) * has_local(self.data), *self.hidden)

    @property
    def elsewhere(self) -> bool:
        """Whether none of its arms was trained here: ``bench judge`` wrote it."""
        return all(arm.elsewhere for arm in self.arms)

    @property
    def judged_by(self) -> list[str]:
        """The metrics of claims and gates, those on slices as they are on the whole set."""
        metrics = (*(claim.metric for claim in self.claims), *(gate.metric for gate in self.gates))
        return [apart(metric)[0] for metric in metrics]

    @property
    def sliced_metrics(self) -> tuple[str, ...]:
        """Metrics on slices that its claims are about."""
        return tuple(claim.metric for claim in self.claims if apart(claim.metric)[1])

    def sliced_as(self, name: str) -> str:
        """What ``[slices]`` calls the set that a set's images are of."""
        corrupted = name in self.hidden and self.hidden[name].kind == "corrupted"
        return "local" if name == LOCAL_SET or corrupted else name

    def arm(self, label: str) -> Arm:
        """The arm of that label; KeyError when there is none."""
        return {arm.label: arm for arm in self.arms}[label]


def load(path: Path, outside: Callable[[Path], Outside] = run_in) -> Study:
    """The study in the file at ``path``. Raises UserError that lists all its mistakes.

    outside   what becomes of the code that it names, seen from its folder
    """
    return Reading(path, outside)(path)


class Reading:
    """A study file and the code that it names, read once, whatever is written there meanwhile."""

    def __init__(self, path: Path, outside: Callable[[Path], Outside] = run_in) -> None:
        """Raises UserError for a file that cannot be read."""
        self.text = text_of(path)  # first: it says what is wrong with a path
        self._outside = outside(path.resolve().parent)

    def __call__(self, path: Path) -> Study:
        """The study of the file, or of one of its data sets, as ``load`` says."""
        return parse(self.text, name=path.stem, file=datasets.called(path), outside=self._outside)


def parse(text: str, *, name: str, file: str, outside: Outside = nothing) -> Study:
    """A study from TOML ``text``; ``file`` is what messages call it. Raises UserError.

    The registries offer what ``outside`` finds for it until another study is read.
    """
    # Lower case: some file systems know one folder by "Trials" and "trials".
    if name.lower() in RESERVED or not re.fullmatch(STUDY_NAME, name):
        raise UserError(
            f"{file}: a study is named after its file, and {shorten(name)} cannot be a name\n"
            f"  use letters, digits, - and _, and none of {', '.join(RESERVED)}"
        )
    whole = table_of(text, file)
    table = datasets.only(whole, name, file)
    try:
        code, offered = outside(table)
    except UserError as error:
        raise mistakes_error(file, [Mistake("uses", shorten(table.get("uses", [])), str(error))]) from error
    use(offered)
    reader = _Reader(table, lambda mistake: datasets.placed(mistake, whole, name))
    return reader.study(name, file).model_copy(update={"code": code, "text": text})


class _Reader:
    """One pass over a file's table that collects every mistake before it gives up."""

    def __init__(self, table: Tree, placed: Callable[[Mistake], Mistake] = lambda mistake: mistake) -> None:
        """placed: says where in the file a mistake stands."""
        self.table, self.placed = table, placed
        self.mistakes: list[Mistake] = []
        hidden = table.get("hidden")
        self.hidden: list[str] = list(hidden) if isinstance(hidden, dict) else []
        """Names, also of broken sets: what refers to them is no further mistake."""
        self.sets: tuple[str, ...] = ()
        """Whose scores can be asked for: ``local`` where there are local test images, then hidden sets."""
        self.ordered: tuple[Ordered, ...] = ()

    def study(self, name: str, file: str) -> Study:
        for key, problem in contradictions(self.table):
            self._add(key, None, problem)
        self.mistakes += checks.of_sources(self.table, self.hidden)
        written = self._written()
        built = read_arms(self.table, self.mistakes)
        if written is None:
            raise mistakes_error(file, map(self.placed, self.mistakes))
        # From here on, what refers to arms and sets; a broken table has been reported and is left out of it.
        self.mistakes += checks.of_hidden(written, self.hidden)
        self.mistakes += checks.of_local(written, self.hidden)
        self.mistakes += checks.of_slices(written)
        self.sets = (*("local",) * has_local(written.data), *self.hidden)
        primary = written.primary or next((f"{h}.accuracy" for h in self.hidden), "local.accuracy")
        if written.primary or self.hidden:  # without either checks.of_local has said what is missing
            self._check_metric("primary", primary, self.sets)
        for score in written.scores:
            if (problem := metrics.problem(score)) and not metrics.needs_class(score):
                self._add("scores", score, f"{problem}   (bench list metrics)")
            elif not problem and not in_share(metrics[score]):
                self._add("scores", score, "is no share with an interval; the table of every score has it")
        self.ordered = tuple(self._ordered(written, built))
        reader = Claims(self.table, built, self.sets, self.ordered, primary, self._add)
        claims = [
            reader.read(f"[[claims]] number {number + 1}", claim)
            for number, claim in zip(self._sound_claims(), written.claims, strict=True)
        ]
        must = list(self._gates(written, built, primary))
        self.mistakes += checks.of_seeds(written, _seeds(written), self._further_seeds(written))
        self.mistakes += checks.of_fill(self.table.get("data") or {}, built)
        self.mistakes += checks.of_spare(written, built)
        self._check_tune(written, built)
        self.mistakes += checks.of_ensembles(written, built)
        if self.mistakes:
            raise mistakes_error(file, map(self.placed, self.mistakes))
        return Study(
            name=name,
            baseline=built.baseline,
            design=written.design or ("arms" if written.arms is not None else "grid"),
            arms=tuple(built.arms),
            recipe=next(arm.recipe for arm in built.arms if arm.label == built.baseline),
            seeds=_seeds(written),
            further_seeds=self._further_seeds(written),
            folds=written.replicates,
            primary=primary,
            scores=tuple(dict.fromkeys(written.scores)),
            claims=tuple(claims),
            gates=tuple(must),
            ordered=self.ordered,
            **{key: getattr(written, key) for key in _AS_WRITTEN},
        )

    def _further_seeds(self, written: StudyFile) -> tuple[int, ...]:
        """The baseline's own, on from the largest seed of all arms."""
        seeds = _seeds(written)
        return tuple(range(max(seeds) + 1, max(seeds) + 1 + (written.baseline_seeds or 0) - len(seeds)))

    def _add(self, path: str, found: Any, problem: str) -> None:
        self.mistakes.append(checks.wrong(path, found, problem))

    def _written(self) -> StudyFile | None:
        """The file's tables, without the broken ones if there are any, so that the rest is still checked."""
        self.broken: set[tuple[str | int, ...]] = set()
        try:
            return StudyFile.model_validate(self.table)
        except ValidationError as error:
            problems = problems_of(error, self.table, StudyFile)
        self.mistakes += [mistake_of(p) for p in problems]
        # One bad claim, hidden set or ensemble leaves the others; anything else goes as a whole.
        self.broken = {p.location[: 2 if p.location[0] in _LISTS else 1] for p in problems if p.location}
        sound = {
            key: self._sound(key, value) for key, value in self.table.items() if (key,) not in self.broken
        }
        try:
            return StudyFile.model_validate(_REQUIRED | sound)
        except ValidationError:
            return None

    def _sound(self, key: str, value: Any) -> Any:
        if key in _LISTS and isinstance(value, dict):
            return {name: item for name, item in value.items() if (key, name) not in self.broken}
        if key in _LISTS and isinstance(value, list):
            return [item for number, item in enumerate(value) if (key, number) not in self.broken]
        return value

    def _sound_claims(self) -> list[int]:
        """Places in the file of the claims that could be read."""
        claims = self.table.get("claims", [])
        readable = isinstance(claims, list) and ("claims",) not in self.broken
        return [n for n in range(len(claims)) if ("claims", n) not in self.broken] if readable else []

    def _gates(self, written: StudyFile, built: Arms, primary: str) -> Iterator[Gate]:
        if built.labels is None:
            return
        baseline = built.baseline if built.arms else ""
        known = Known(built.labels, baseline, primary, lambda metric: metric_problem(metric, self.sets))
        for text in written.gates:
            try:
                yield gates.parse(text, known)
            except ValueError as error:
                self._add("gates", text, str(error))

    def _ordered(self, written: StudyFile, built: Arms) -> Iterator[Ordered]:
        for wanted in written.ordered if built.labels and len(built.arms) == len(built.labels) else ():
            try:
                yield ordered(wanted, built.arms)
            except ValueError as error:
                self._add("ordered", wanted, str(error))

    def _check_metric(self, path: str, metric: str, sets: Sequence[str], special: Sequence[str] = ()) -> None:
        if problem := score_problem(metric, sets, special):
            self._add(path, metric, problem)

    def _check_tune(self, written: StudyFile, built: Arms) -> None:
        tune = written.tune
        if tune is None:
            return
        self._check_metric(
            "[tune] metric", tune.metric, ("val", "val_shift") if "val_shift" in self.table else ("val",)
        )
        if tune.epochs is not None and any(stage.steps for arm in built.arms for stage in arm.recipe.stages):
            where = "[tune] epochs"
            self._add(where, tune.epochs, "shortens stages given in epochs; some are given in steps")
        tuned = tune.metric.partition(".")[2]
        if tuned in metrics and metrics[tuned].traits.get("asked"):
            self._add("[tune] metric", tune.metric, "is told in reports, not while searching; use val.auc")
        spaces = [("[tune.space]", tune.space, built.arms)]
        for pattern, space in tune.arms.items():
            labels = labels_of("[tune.arms]", pattern, built, self._add)
            spaces.append(
                (f"[tune.arms.{pattern}]", space, [arm for arm in built.arms if arm.label in labels])
            )
        for place, (table, space, arms) in enumerate(spaces):
            for key, scale in space.items():
                overruled = {arm.label for _, own, by in spaces[place + 1 :] if key in own for arm in by}
                mine = [arm for arm in arms if arm.label not in overruled]
                problems = (tuning_problem(arm, key, scale) for arm in different(mine, key))
                if problem := next(filter(None, problems), None):
                    self._add(f"{table} {key}", None, problem)
        if not self.mistakes:
            clashes = (space_clash(arm, tune) for arm in built.arms)
            if clash := next(filter(None, clashes), None):
                self._add("[tune.space]", None, clash)


_REQUIRED: Tree = {"question": "-", "data": {"source": "synthetic"}, "recipe": {}}
_LISTS = ("claims", "hidden", "ensembles")
_AS_WRITTEN = (
    "question", "data", "hidden", "slices", "val_shift", "delta", "looks", "ensembles", "tune", "aa",
    "keep_weights",
)  # fmt: skip
"""Keys that a Study has as the file does."""


def _seeds(written: StudyFile) -> tuple[int, ...]:
    if written.replicates is not None:
        return (0,)
    seeds = 5 if written.seeds is None else written.seeds
    return tuple(range(seeds)) if isinstance(seeds, int) else tuple(seeds)
