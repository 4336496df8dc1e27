"""A study's arms: built from ``[arms]`` or ``[factors]``, each a whole recipe, and what is wrong there."""

from __future__ import annotations

import fnmatch
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, get_args

from pydantic import Field, ValidationError

from bench.errors import Mistake, did_you_mean, shorten
from bench.recipe import Data, Frozen, Recipe
from bench.registry import models
from bench.study import design as designs
from bench.study.file import DesignName
from bench.study.patch import PatchError, Tree, apply, look_up
from bench.study.resolve import base_tree, resolve
from bench.study.wording import Problem, problems_of

PATCHABLE_DATA = ("outliers", "size_px", "fit", "fill", "limit")
MOST_ARMS = 512
MOST_COMBINATIONS = 20_000
"""Cells of a grid before ``exclude``."""
LONGEST_LABEL = 1000
NO_MODEL = Problem(("model",), "", "is required")
DATA_NEVER = "stands in the [data] table, not in the recipe"


class Arm(Frozen):
    """One combination of levels, the thing compared, with its whole recipe."""

    label: str
    recipe: Recipe
    data: Data
    levels: dict[str, str] = Field(default_factory=dict)
    """Factor → label of its level; empty for explicit arms."""

    @property
    def elsewhere(self) -> bool:
        """Whether predictions of it were handed in: its recipe says nothing then."""
        return not self.recipe.command and bool(models[self.recipe.model.name].traits.get("elsewhere"))


@dataclass
class Arms:
    """What could be built. ``labels`` also names the broken arms, so that what refers to them is checked."""

    arms: list[Arm] = field(default_factory=list)
    labels: list[str] | None = None
    """None: the factors are broken, so nobody knows what the arms are called."""
    baseline: str = ""


def read_arms(table: Tree, mistakes: list[Mistake]) -> Arms:
    """Build the arms of a study file's table; what is wrong with them goes to ``mistakes``.

    A table of the wrong type is passed over: StudyFile says that.
    """
    tables = {key: table.get(key) for key in ("recipe", "data", "arms", "factors")}
    if any(value is not None and not isinstance(value, dict) for value in tables.values()):
        return Arms()
    return _Builder(table, mistakes).build()


class _Builder:
    def __init__(self, table: Tree, mistakes: list[Mistake]) -> None:
        self.table, self.mistakes = table, mistakes
        self.known: list[Problem] = []
        """What is wrong with [recipe] itself: said once, not again in every arm."""
        self.without_model: list[str] = []

    def build(self) -> Arms:
        base = self._base()
        if "data" in base:
            self._add("[recipe] data", base["data"], DATA_NEVER)
        base["data"] = dict(self.table.get("data") or {})
        _, problems = self._resolve(base)
        self.known = [p for p in problems if p != NO_MODEL]  # the arms may bring the model
        self.mistakes += [p.mistake("[recipe]") for p in self.known]
        factors = self.table.get("factors")
        built = self._from_tables(base) if factors is None else self._from_factors(base, factors)
        self._check_models(built.labels or [])
        self._check_labels(built.labels or [])
        self._check_different(built.arms)
        self._check_ladder(built)
        return built

    def _base(self) -> Tree:
        """[recipe] over the defaults, without the keys that point nowhere: the arms are still checked."""
        recipe = dict(self.table.get("recipe") or {})
        while True:
            try:
                return base_tree(recipe)
            except PatchError as error:
                self._add(f"[recipe] {error.path}", None, str(error))
                culprits = [k for k in recipe if error.path == k] or [
                    k for k in recipe if error.path.startswith(k + ".")
                ]
                for key in culprits:
                    del recipe[key]

    def _add(self, path: str, found: Any, problem: str) -> None:
        self.mistakes.append(Mistake(path, "" if found is None else shorten(found), problem))

    # -- one arm -----------------------------------------------------------------------------------------

    def _resolve(self, tree: Tree) -> tuple[tuple[Recipe, Data] | None, list[Problem]]:
        recipe, problems = resolve({key: value for key, value in tree.items() if key != "data"})
        table = tree.get("data", {})
        try:
            data = Data.model_validate(table)
        except ValidationError as error:
            # What is wrong with [data] itself StudyFile has said; here only what an arm's patch adds.
            written = self.table.get("data", {})
            added = [p for p in problems_of(error, table, Data) if not _same(p, written, table)]
            return None, problems + [p.under("data") for p in added]
        return (None if recipe is None else (recipe, data)), problems

    def _arm(self, label: str, table: str, tree: Tree, levels: dict[str, str] | None = None) -> Arm | None:
        resolved, problems = self._resolve(tree)
        if NO_MODEL in problems:
            self.without_model.append(table)
        self.mistakes += [p.mistake(table) for p in problems if p not in self.known and p != NO_MODEL]
        self.mistakes += self._frozen_data(table, tree)
        if resolved is None:
            return None
        return Arm(label=label, recipe=resolved[0], data=resolved[1], levels=levels or {})

    def _frozen_data(self, table: str, tree: Tree) -> list[Mistake]:
        """Changes of the data that no arm may make; unknown keys have been reported as such."""
        written, data = self.table.get("data") or {}, tree.get("data", {})
        every = written | data if isinstance(data, dict) else {}
        changed = [key for key in every if data.get(key) != written.get(key)]
        problem = f"an arm may change only {', '.join(PATCHABLE_DATA)} of the data"
        return [
            Mistake(f"{table} data.{key}", shorten(data[key]) if key in data else "", problem)
            for key in changed
            if key not in PATCHABLE_DATA and key in Data.model_fields
        ]

    # -- [arms] ------------------------------------------------------------------------------------------

    def _from_tables(self, base: Tree) -> Arms:
        tables: Tree = self.table.get("arms") or {}
        ladder = self.table.get("design") == "ladder"
        arms = []
        for label, changes in tables.items():
            if not isinstance(changes, dict):
                continue  # StudyFile has said that it must be a table
            try:
                tree = apply(base, changes)
            except PatchError as error:
                self._add(f"[arms.{label}] {error.path}", None, str(error))
                continue
            base = tree if ladder else base  # each rung stands on the one before
            arms.append(self._arm(label, f"[arms.{label}]", tree))
        labels = list(tables)
        if "arms" in self.table and not labels:
            self._add("[arms]", None, "is empty: nothing would be compared")
        baseline = self.table.get("baseline", labels[0] if labels else "")
        if isinstance(baseline, dict):
            self._add("baseline", None, "must be an arm's name; a table of levels goes with [factors]")
        elif labels and isinstance(baseline, str) and baseline not in labels:
            self._add("baseline", baseline, f"no such arm; {did_you_mean(baseline, labels)}")
        return Arms([arm for arm in arms if arm], labels, str(baseline))

    # -- [factors] ---------------------------------------------------------------------------------------

    def _from_factors(self, base: Tree, table: Tree) -> Arms:
        try:
            factors = designs.read_factors(table)
        except designs.DesignError as error:
            self._add(f"[factors] {error.path}", None, str(error))
            return Arms()
        if not factors:
            self._add("[factors]", None, "is empty: nothing would be compared")
            return Arms()
        design = self.table.get("design", "grid")
        if design not in get_args(DesignName):
            return Arms()  # StudyFile has said so
        if design == "screen" and (problem := designs.screen_problem(factors)):
            self._add(f"[factors] {problem[0]}".strip(), None, problem[1])
            return Arms()
        sound = self._levels_are_sound(base, factors)
        chosen = self._chosen(factors, design)
        labels = [designs.arm_label(factors, combination, design) for combination in chosen]
        arms: list[Arm | None] = []
        for label, combination in zip(labels, chosen, strict=True) if sound else ():
            where = f"arm {shorten(label)}"
            try:
                tree = designs.build_tree(base, factors, combination)
            except PatchError as error:  # each level is sound alone, not together
                self._add(f"{where} {error.path}", None, str(error))
                continue
            arms.append(self._arm(label, where, tree, designs.levels_of(factors, combination)))
        baseline = self._factor_baseline(factors, dict(zip(labels, chosen, strict=True)))
        return Arms([arm for arm in arms if arm], labels or None, baseline)

    def _chosen(self, factors: Sequence[designs.Factor], design: str) -> list[designs.Combination]:
        """The design's combinations without the excluded ones; empty when there are none or too many."""
        rules = self.table.get("exclude", [])
        rules = [rule for rule in rules if isinstance(rule, dict)] if isinstance(rules, list) else []
        for number, rule in enumerate(rules):
            self._check_levels(f"exclude[{number}]", rule, factors)
            if not rule:
                self._add(f"exclude[{number}]", None, "names no level: it would leave nothing")
        count, most = designs.count_combinations(factors, design), MOST_COMBINATIONS if rules else MOST_ARMS
        if count <= most:
            resolution = self.table.get("resolution", 4)
            every = designs.combinations(factors, design, resolution)
            chosen = [c for c in every if not any(_matches(rule, factors, c) for rule in rules)]
            if not chosen:
                self._add("exclude", None, "leaves no arm: the grid is empty")
            if len(chosen) <= MOST_ARMS:
                return chosen
            count = len(chosen)
        self._add(
            "[factors]", None, f"make {count} arms; at most {MOST_ARMS}: use fewer levels or another design"
        )
        return []

    def _levels_are_sound(self, base: Tree, factors: Sequence[designs.Factor]) -> bool:
        """Every level on its own: a mistake is said once at its factor, not in each arm that has it."""
        before = len(self.mistakes)
        for factor in factors:
            for index, level in enumerate(factor.levels):
                table = f"[factors.{factor.name}] level {shorten(level.label)}"
                try:
                    tree = designs.build_tree(base, [factor], (index,))
                except PatchError as error:
                    self._add(f"{table} {error.path}", None, str(error))
                    continue
                _, problems = self._resolve(tree)
                new = [p.mistake(table) for p in problems if p not in self.known and p != NO_MODEL]
                self.mistakes += new + self._frozen_data(table, tree)
        return len(self.mistakes) == before

    def _check_levels(self, where: str, table: Tree, factors: Sequence[designs.Factor]) -> bool:
        """Whether ``table`` names factors and levels that there are."""
        before = len(self.mistakes)
        known = {f.name: ["off", "on"] if f.toggle else [level.label for level in f.levels] for f in factors}
        for factor, label in table.items():
            if factor not in known:
                self._add(f"{where} {factor}", None, f"no such factor; {did_you_mean(factor, known)}")
            elif isinstance(label, str) and label not in known[factor]:
                self._add(f"{where} {factor}", label, f"no such level; {did_you_mean(label, known[factor])}")
        return len(self.mistakes) == before

    def _factor_baseline(
        self, factors: Sequence[designs.Factor], chosen: Mapping[str, designs.Combination]
    ) -> str:
        """Label of the arm that the others are measured against; empty when it is not clear."""
        if not chosen:
            return ""
        wanted, first = self.table.get("baseline"), tuple(0 for _ in factors)
        if wanted is None:
            if self.table.get("exclude") and first not in chosen.values():
                self._add(
                    "exclude", None, "leaves out the baseline, the first levels; name another with `baseline`"
                )
            return next(iter(chosen))
        if isinstance(wanted, dict):
            if not self._check_levels("baseline", wanted, factors):
                return ""
            levels = designs.levels_of(factors, first) | wanted
            for label, combination in chosen.items():
                if designs.levels_of(factors, combination) == levels:
                    return label
            self._add("baseline", wanted, "no arm of the design has these levels")
        elif isinstance(wanted, str) and wanted not in chosen:
            self._add("baseline", wanted, f"no such arm; {did_you_mean(wanted, list(chosen))}")
        return str(wanted)

    # -- all arms ----------------------------------------------------------------------------------------

    def _check_models(self, labels: Sequence[str]) -> None:
        """Without a model in [recipe] every arm must bring one; said once when none does."""
        everywhere = len(self.without_model) == len(labels)
        for where in ["[recipe]"] if everywhere and self.without_model else self.without_model:
            self.mistakes.append(NO_MODEL.mistake(where))

    def _check_labels(self, labels: Sequence[str]) -> None:
        for label in dict.fromkeys(labels):
            if not label.strip() or not label.isprintable() or len(label) > LONGEST_LABEL:
                problem = f"an arm's name is 1 to {LONGEST_LABEL} printable characters"
                self._add("arm", label, problem + ", this one has " + str(len(label)))
        if len(set(labels)) < len(labels):
            double = next(label for label in labels if labels.count(label) > 1)
            self._add(
                "[factors]",
                None,
                f"two arms would be called {shorten(double)}; give their levels other names",
            )

    def _check_different(self, arms: Sequence[Arm]) -> None:
        seen: dict[str, str] = {}
        for arm in arms:
            content = f"{arm.recipe.model_dump_json()}{arm.data.model_dump_json()}{self._searched(arm.label)}"
            if content in seen:
                problem = f"is the same recipe as {shorten(seen[content])}; an arm must change something"
                self._add(f"arm {shorten(arm.label)}", None, problem)
            seen.setdefault(content, arm.label)

    def _check_ladder(self, built: Arms) -> None:
        ladder = self.table.get("design") == "ladder"
        if ladder and built.labels and built.baseline in built.labels[1:]:
            self._add("baseline", built.baseline, "a ladder begins at its first arm; leave it out")

    def _searched(self, label: str) -> str:
        """What is tuned of this arm beyond what is tuned of all: arms that start alike may end apart."""
        tune = self.table.get("tune")
        own = tune.get("arms") if isinstance(tune, dict) else None
        spaces = own.items() if isinstance(own, dict) else ()
        return repr([s for pattern, s in spaces if pattern == label or fnmatch.fnmatchcase(label, pattern)])


def _matches(rule: Tree, factors: Sequence[designs.Factor], combination: designs.Combination) -> bool:
    levels = designs.levels_of(factors, combination)
    return bool(rule) and all(levels.get(factor) == label for factor, label in rule.items())


def _same(problem: Problem, written: Any, tree: Any) -> bool:
    """Whether a problem's value stands in both trees: then it is the file's own mistake, not the arm's."""
    try:
        path = ".".join(map(str, problem.location))
        return bool(look_up(written, path) == look_up(tree, path))
    except PatchError:
        return problem.text == "is required" or not isinstance(written, dict)
