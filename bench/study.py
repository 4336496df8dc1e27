"""The study file: one TOML file, one question. Reads it, builds its arms, reports all its mistakes together."""

from __future__ import annotations

import fnmatch
import re
import tomllib
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, ValidationError

from bench import design as designs
from bench.checks import Problem, mistake_of, problems_of
from bench.errors import Mistake, UserError, did_you_mean, mistakes_error, shorten
from bench.patch import PatchError, Tree, look_up
from bench.recipe import HIDDEN_NAME, Data, Frozen, Hidden, Recipe
from bench.registry import metrics
from bench.resolve import base_tree, resolve
from bench.study_file import ClaimTable, Delta, Ensemble, Folds, StudyFile, Tune

__all__ = ["Arm", "Claim", "Delta", "Ensemble", "Folds", "Study", "Tune", "load", "parse"]

Design = Literal["arms", "grid", "one-at-a-time", "leave-one-out", "add-and-remove"]
RESERVED = ("trials", "reference", "smoke-runs", "index")
PATCHABLE_DATA = ("outliers", "size_px", "limit")
MOST_ARMS = 512
NOT_SETS = ("local", "test", "val", "val_shift", "gap", "cost")
"""Names that already mean something in a metric, so no hidden set can have them."""


class Claim(Frozen):
    """A statement the report judges. ``better`` and ``than`` are arm labels after lists and globs are expanded."""

    says: str
    better: tuple[str, ...]
    than: tuple[str, ...] = ()
    metric: str
    """``local.accuracy``, ``<hidden>.accuracy``, ``gap.<hidden>``, ``cost.seconds``, ``seed_sd``, …"""
    expect: Literal["better", "no gain", "does not converge"] = "better"
    margin: float = 0.0


class Arm(Frozen):
    """One combination of levels, the thing compared, with its whole recipe."""

    label: str
    recipe: Recipe
    data: Data
    levels: dict[str, str] = Field(default_factory=dict)
    """Factor → label of its level; empty for explicit arms."""


class Study(Frozen):
    """A checked study: arms built, claims expanded, defaults filled in."""

    name: str
    """The file's stem."""
    question: str
    baseline: str
    """Label of the arm the others are measured against."""
    design: Design
    arms: tuple[Arm, ...]
    recipe: Recipe
    """The baseline's recipe."""
    data: Data
    hidden: dict[str, Hidden]
    val_shift: Hidden | None = None
    seeds: tuple[int, ...] = ()
    folds: Folds | None = None
    primary: str
    """The deciding metric, ``<set>.<score>``."""
    delta: Delta = Delta()
    looks: tuple[int, ...] = (5, 8, 12)
    claims: tuple[Claim, ...] = ()
    ensembles: dict[str, Ensemble] = Field(default_factory=dict)
    tune: Tune | None = None
    aa: bool = False
    keep_weights: bool = True

    def arm(self, label: str) -> Arm:
        """The arm of that label; KeyError when there is none."""
        return {arm.label: arm for arm in self.arms}[label]


def load(path: Path) -> Study:
    """The study in the file at ``path``. Raises UserError that lists all its mistakes."""
    if path.is_dir() or not path.exists():
        raise UserError(f"{path}: {'is a folder, not a study file' if path.is_dir() else 'no such file'}")
    try:
        text = path.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{path}: cannot be read: {error}") from None
    return parse(text, name=path.stem, file=str(path))


def parse(text: str, *, name: str, file: str) -> Study:
    """A study from TOML ``text``; ``file`` is what messages call it. Raises UserError."""
    if name in RESERVED or not re.fullmatch(HIDDEN_NAME, name):
        raise UserError(
            f"{file}: a study is named after its file, and {shorten(name)} cannot be a name; use letters, digits, "
            f"- and _, and none of {', '.join(RESERVED)}"
        )
    try:
        table = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise UserError(f"{file} is not valid TOML: {error}") from None
    return _Reader(table).study(name, file)


class _Reader:
    """One pass over a file's table that collects every mistake before it gives up."""

    def __init__(self, table: Tree) -> None:
        self.table = table
        self.mistakes: list[Mistake] = []

    def study(self, name: str, file: str) -> Study:
        written = self._written()
        arms, baseline = self._arms()
        if written is None or not arms:
            raise mistakes_error(file, self.mistakes)
        # From here on, what refers to arms and sets; a broken table has been reported and is left out of it.
        self._check_hidden(written)
        primary = written.primary or next((f"{h}.accuracy" for h in written.hidden), "local.accuracy")
        self._check_metric("primary", "", primary, written, ("local", *written.hidden))
        claims = [self._claim(i, claim, arms, written, primary) for i, claim in enumerate(written.claims)]
        self._check_tune(written, arms)
        labels = [arm.label for arm in arms]
        for ensemble, item in written.ensembles.items():
            if item.arm not in labels:
                self._add(f"[ensembles.{ensemble}] arm", item.arm, f"no such arm; {did_you_mean(item.arm, labels)}")
        if self.mistakes:
            raise mistakes_error(file, self.mistakes)
        return Study(
            name=name,
            baseline=baseline,
            design="arms" if written.arms is not None else written.design or "grid",
            arms=tuple(arms),
            recipe=next(arm.recipe for arm in arms if arm.label == baseline),
            seeds=_seeds(written),
            folds=written.replicates,
            primary=primary,
            claims=tuple(claims),
            **{key: getattr(written, key) for key in _AS_WRITTEN},
        )

    def _add(self, path: str, found: Any, problem: str) -> None:
        self.mistakes.append(Mistake(path, "" if found is None else shorten(found), problem))

    def _written(self) -> StudyFile | None:
        """The file's tables; without the broken ones where there are any, so that the rest is still checked."""
        try:
            return StudyFile.model_validate(self.table)
        except ValidationError as error:
            problems = problems_of(error, self.table, StudyFile)
        self.mistakes += [mistake_of(p) for p in problems]
        broken = {p.location[0] for p in problems if p.location}
        sound = {key: value for key, value in self.table.items() if key not in broken}
        try:
            return StudyFile.model_validate(_REQUIRED | sound)
        except ValidationError:
            return None

    # -- arms ---------------------------------------------------------------------------------------------------

    def _arms(self) -> tuple[list[Arm], str]:
        """The arms and the baseline's label; empty when something is wrong with them (and said so)."""
        tables = {key: self.table.get(key) for key in ("recipe", "data", "arms", "factors")}
        if any(value is not None and not isinstance(value, dict) for value in tables.values()):
            return [], ""
        try:
            base = base_tree(tables["recipe"] or {}) | {"data": dict(tables["data"] or {})}
        except PatchError as error:
            self._add(f"[recipe] {error.path}", None, str(error))
            return [], ""
        before = len(self.mistakes)
        _, problems = self._resolve(base)
        # The arms may bring the model; everything else wrong with [recipe] is said once, here.
        self.known = [p for p in problems if p.text != "is required"]
        self.mistakes += [p.mistake("[recipe]") for p in self.known]
        if tables["factors"] is not None:
            arms, baseline = self._from_factors(base, tables["factors"])
        else:
            arms, baseline = self._from_tables(base, tables["arms"] or {})
        if len(self.mistakes) > before:
            return [], ""
        self._check_arms(arms)
        return arms, baseline

    def _resolve(self, tree: Tree) -> tuple[tuple[Recipe, Data] | None, list[Problem]]:
        recipe, problems = resolve({key: value for key, value in tree.items() if key != "data"})
        try:
            data = Data.model_validate(tree["data"])
        except ValidationError as error:
            # What is wrong with [data] itself StudyFile has said; here only what an arm's patch adds.
            written = self.table.get("data", {})
            added = [p for p in problems_of(error, tree["data"], Data) if not _same(p, written, tree["data"])]
            return None, problems + [p.under("data") for p in added]
        return (None if recipe is None else (recipe, data)), problems

    def _arm(self, label: str, table: str, tree: Tree, levels: dict[str, str] | None = None) -> Arm | None:
        resolved, problems = self._resolve(tree)
        self.mistakes += [p.mistake(table) for p in problems if p not in self.known]
        for key, value in tree["data"].items():
            if key not in PATCHABLE_DATA and value != self.table.get("data", {}).get(key):
                allowed = ", ".join(PATCHABLE_DATA)
                self._add(f"{table} data.{key}", value, f"an arm may change only {allowed} of the data")
        if resolved is None:
            return None
        return Arm(label=label, recipe=resolved[0], data=resolved[1], levels=levels or {})

    def _from_tables(self, base: Tree, tables: Tree) -> tuple[list[Arm], str]:
        arms: list[Arm | None] = []
        for label, changes in tables.items():
            if not isinstance(changes, dict):
                continue  # StudyFile has said that it must be a table
            try:
                tree = designs.apply(base, changes)
            except PatchError as error:
                self._add(f"[arms.{label}] {error.path}", None, str(error))
                continue
            arms.append(self._arm(label, f"[arms.{label}]", tree))
        labels = list(tables)
        if "arms" in self.table and not labels:
            self._add("[arms]", None, "is empty: nothing would be compared")
        baseline = self.table.get("baseline", labels[0] if labels else "")
        if isinstance(baseline, dict):
            self._add("baseline", None, "must be an arm's name; a table of levels goes with [factors]")
        elif labels and baseline not in labels:
            self._add("baseline", baseline, f"no such arm; {did_you_mean(str(baseline), labels)}")
        return [arm for arm in arms if arm], str(baseline)

    def _from_factors(self, base: Tree, table: Tree) -> tuple[list[Arm], str]:
        try:
            factors = designs.read_factors(table)
        except designs.DesignError as error:
            self._add(f"[factors] {error.path}", None, str(error))
            return [], ""
        if not factors:
            self._add("[factors]", None, "is empty: nothing would be compared")
            return [], ""
        design = self.table.get("design", "grid")
        if design not in ("grid", "one-at-a-time", "leave-one-out", "add-and-remove"):
            return [], ""
        if not self._levels_are_sound(base, factors):
            return [], ""
        chosen = [c for c in designs.combinations(factors, design) if not self._excluded(factors, c)]
        if not chosen:
            self._add("exclude", None, "leaves no arm: the grid is empty")
            return [], ""
        if len(chosen) > MOST_ARMS:
            self._add("[factors]", None, f"make {len(chosen)} arms; at most {MOST_ARMS}: use fewer levels or another design")
            return [], ""
        arms = []
        for combination in chosen:
            label = designs.arm_label(factors, combination)
            tree = designs.build_tree(base, factors, combination)
            arms.append(self._arm(label, f"arm {shorten(label)}", tree, designs.levels_of(factors, combination)))
        return [arm for arm in arms if arm], self._factor_baseline(factors, [arm for arm in arms if arm])

    def _levels_are_sound(self, base: Tree, factors: Sequence[designs.Factor]) -> bool:
        """Every level on its own: a mistake is said once at its factor, not in each arm that has it."""
        before = len(self.mistakes)
        for position, factor in enumerate(factors):
            for index, level in enumerate(factor.levels):
                combination = tuple(index if p == position else 0 for p in range(len(factors)))
                table = f"[factors.{factor.name}] level {shorten(level.label)}"
                try:
                    tree = designs.build_tree(base, [factor], combination[position : position + 1])
                except PatchError as error:
                    self._add(f"{table} {error.path}", None, str(error))
                    continue
                missing = Problem(("model",), "", "is required")  # another factor may bring the model
                _, problems = self._resolve(tree)
                self.mistakes += [p.mistake(table) for p in problems if p not in self.known and p != missing]
        return len(self.mistakes) == before

    def _excluded(self, factors: Sequence[designs.Factor], combination: designs.Combination) -> bool:
        levels = designs.levels_of(factors, combination)
        rules = self.table.get("exclude", [])
        for number, rule in enumerate(rules if isinstance(rules, list) else []):
            if not isinstance(rule, dict):
                continue
            self._check_levels(f"exclude[{number}]", rule, factors)
            if rule and all(levels.get(factor) == label for factor, label in rule.items()):
                return True
        return False

    def _check_levels(self, where: str, table: Tree, factors: Sequence[designs.Factor]) -> None:
        known = {f.name: ["off", "on"] if f.toggle else [level.label for level in f.levels] for f in factors}
        for factor, label in table.items():
            if factor not in known:
                self._add(f"{where} {factor}", None, f"no such factor; {did_you_mean(factor, known)}")
            elif label not in known[factor]:
                self._add(f"{where} {factor}", label, f"no such level; {did_you_mean(str(label), known[factor])}")

    def _factor_baseline(self, factors: Sequence[designs.Factor], arms: Sequence[Arm]) -> str:
        wanted = self.table.get("baseline")
        labels = [arm.label for arm in arms]
        if wanted is None:
            return labels[0] if labels else ""
        if isinstance(wanted, dict):
            self._check_levels("baseline", wanted, factors)
            first = designs.levels_of(factors, tuple(0 for _ in factors))
            found = [arm.label for arm in arms if arm.levels == first | wanted]
            if not found:
                self._add("baseline", wanted, "no arm of the design has these levels")
            return found[0] if found else ""
        if wanted not in labels:
            self._add("baseline", wanted, f"no such arm; {did_you_mean(str(wanted), labels)}")
        return str(wanted)

    def _check_arms(self, arms: Sequence[Arm]) -> None:
        seen: dict[str, str] = {}
        for arm in arms:
            content = f"{arm.recipe.model_dump_json()}{arm.data.model_dump_json()}"
            if content in seen:
                problem = f'is the same recipe as "{seen[content]}"; an arm must change something'
                self._add(f"arm {shorten(arm.label)}", None, problem)
            seen.setdefault(content, arm.label)

    # -- what refers to arms and sets ------------------------------------------------------------------------------

    def _check_hidden(self, written: StudyFile) -> None:
        for name in written.hidden:
            if name in NOT_SETS or not re.fullmatch(HIDDEN_NAME, name):
                self._add(f"[hidden.{name}]", None, f"use letters, digits, - and _, and none of {', '.join(NOT_SETS)}")
        if written.data.source != "synthetic":
            for name, hidden in written.hidden.items():
                if hidden.kind == "synthetic":
                    self._add(f"[hidden.{name}] kind", "synthetic", "goes with source = \"synthetic\"; use corrupted or external")

    def _check_metric(
        self, key: str, table: str, metric: str, written: StudyFile, sets: Sequence[str], special: Sequence[str] = ()
    ) -> None:
        of, _, score = metric.partition(".")
        if metric in special or (of in sets and score in metrics.names()):
            return
        examples = [f"{s}.{score}" for s in sets for score in metrics.names()] + list(special)
        hint = did_you_mean(metric, examples) if of not in sets else did_you_mean(score, metrics.names())
        self._add(f"{table} {key}".strip(), metric, f"no such metric; {hint}   (SET.SCORE; sets: {', '.join(sets)})")

    def _claim(self, number: int, claim: ClaimTable, arms: Sequence[Arm], written: StudyFile, primary: str) -> Claim:
        table = f"[[claims]] number {number + 1}"
        unconverged = claim.expect == "does not converge"
        metric = claim.metric or ("converged" if unconverged else primary)
        special = [*(f"gap.{h}" for h in written.hidden), "cost.seconds", "cost.epochs", "seed_sd", "converged"]
        self._check_metric("metric", table, metric, written, ("local", *written.hidden), special)
        if unconverged != (metric == "converged"):
            self._add(f"{table} metric", metric, '"converged" and expect = "does not converge" go together')
        return Claim(
            says=claim.says,
            better=self._labels(f"{table} better", claim.better, arms),
            than=self._labels(f"{table} than", claim.than, arms) if claim.than is not None else (),
            metric=metric,
            expect=claim.expect,
            margin=claim.margin,
        )

    def _labels(self, path: str, wanted: str | list[str], arms: Sequence[Arm]) -> tuple[str, ...]:
        labels = [arm.label for arm in arms]
        found: list[str] = []
        for pattern in [wanted] if isinstance(wanted, str) else wanted:
            matches = [pattern] if pattern in labels else fnmatch.filter(labels, pattern)
            if not matches:
                self._add(path, pattern, f"no such arm; {did_you_mean(pattern, labels)}")
            found += matches
        return tuple(dict.fromkeys(found))

    def _check_tune(self, written: StudyFile, arms: Sequence[Arm]) -> None:
        tune = written.tune
        if tune is None:
            return
        sets = ("val", "val_shift") if written.val_shift else ("val",)
        self._check_metric("metric", "[tune]", tune.metric, written, sets)
        for pattern in tune.arms:
            self._labels("[tune.arms]", pattern, arms)
        spaces = [("[tune.space]", tune.space, arms)]
        for pattern, space in tune.arms.items():
            matching = [arm for arm in arms if arm.label == pattern or fnmatch.fnmatch(arm.label, pattern)]
            spaces.append((f"[tune.arms.{pattern}]", space, matching))
        for table, space, of in spaces:
            for key, scale in space.items():
                self._check_tuned(f"{table} {key}", key, numeric=scale.choices is None, arms=of)

    def _check_tuned(self, path: str, key: str, *, numeric: bool, arms: Sequence[Arm]) -> None:
        for arm in arms:
            try:
                value = look_up(arm.recipe.model_dump(mode="json"), key)
            except PatchError as error:
                self._add(path, None, f"{error} (arm {shorten(arm.label)})")
                return
            if numeric and (isinstance(value, bool) or not isinstance(value, int | float)):
                self._add(path, value, "is not a number, so it needs { choices = […] }")
                return


_REQUIRED: Tree = {"question": "-", "data": {"source": "synthetic"}, "recipe": {}}
_AS_WRITTEN = (
    "question", "data", "hidden", "val_shift", "delta", "looks", "ensembles", "tune", "aa", "keep_weights",
)  # fmt: skip
"""Keys that a Study has as the file does."""


def _seeds(written: StudyFile) -> tuple[int, ...]:
    if written.replicates is not None:
        return (0,)
    seeds = 5 if written.seeds is None else written.seeds
    return tuple(range(seeds)) if isinstance(seeds, int) else tuple(seeds)


def _same(problem: Problem, written: Any, tree: Any) -> bool:
    """Whether a problem's value stands in both trees: then it is the file's own mistake, not the arm's."""
    try:
        path = ".".join(map(str, problem.location))
        return bool(look_up(written, path) == look_up(tree, path))
    except PatchError:
        return problem.text == "is required" or not isinstance(written, dict)
