"""The study file: one TOML file, one question. Every rule about its shape."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import Field

from bench.recipe import Data, Frozen, Hidden, Recipe

Design = Literal["arms", "grid", "one-at-a-time", "leave-one-out", "add-and-remove"]


class Folds(Frozen):
    """Cross-validation instead of seeds."""

    kind: Literal["folds"]
    k: Annotated[int, Field(ge=2, le=20)] = 5


class Delta(Frozen):
    """Differences that matter, in percentage points."""

    local: Annotated[float, Field(gt=0)] = 0.5
    hidden: Annotated[float, Field(gt=0)] = 1.0


class Claim(Frozen):
    """A statement the report judges. ``better`` and ``than`` are arm labels after lists and globs are expanded."""

    says: str
    better: tuple[str, ...]
    than: tuple[str, ...] = ()
    metric: str
    """``local.accuracy``, ``<hidden>.accuracy``, ``gap.<hidden>``, ``cost.seconds``, ``seed_sd``, …"""
    expect: Literal["better", "no gain", "does not converge"] = "better"
    margin: Annotated[float, Field(ge=0)] = 0.0


class Ensemble(Frozen):
    """Average of an arm's stored probabilities over its seeds."""

    arm: str


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
    """What every arm starts from."""
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
    tune: dict[str, Any] | None = None
    aa: bool = False
    keep_weights: bool = True

    def arm(self, label: str) -> Arm:
        """The arm of that label; KeyError when there is none."""
        return {arm.label: arm for arm in self.arms}[label]


Levels = Mapping[str, str]
