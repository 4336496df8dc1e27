"""Study → arms → trials, with ids. Pure: no torch, no pandas, no reading of images."""

from __future__ import annotations

import functools
import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from bench.recipe import Data, Frozen, Hidden, Recipe

ID_LENGTH = 16
TEST = "test"
"""Name of the local test set among a trial's scored sets."""


@dataclass(frozen=True)
class Source:
    """Where a source's images are on this machine, and what they are everywhere."""

    kind: Literal["folder", "npz", "bloodmnist", "synthetic"]
    path: Path | None
    """Absolute; None for ``synthetic``."""
    fingerprint: str
    """SHA-256 hex of the content (folder, npz), the pinned checksum (bloodmnist) or generator version and parameters."""


@dataclass(frozen=True)
class ScoredSet:
    """A set that is scored after training: the local test set or a hidden one."""

    name: str
    """The study's name for it: ``test``, or the key of ``[hidden.…]``."""
    key: str
    """Fingerprint of its content; scores are stored under it."""
    hidden: Hidden | None = None
    """None: the local test set."""
    source: Source | None = None
    """For an external set: where it is."""


@dataclass(frozen=True)
class Replicate:
    """What makes one repetition of an arm: a seed, and with cross-validation a fold of k."""

    seed: int
    fold: int | None = None
    folds: int | None = None


@dataclass(frozen=True)
class Trial:
    """Arm × replicate: one training run, the unit of work. Holds no arm name: another study may contain it too."""

    id: str
    key: str
    """The id without component versions: the same key with another id is a stale record."""
    recipe: Recipe
    data: Data
    data_fingerprint: str
    source: Source
    replicate: Replicate
    versions: Mapping[str, int]
    """``kind:name`` → version, of every component the recipe uses."""
    role: Literal["final", "tune"] = "final"
    weights: Path | None = field(default=None, compare=False)
    """File behind ``model.weights``; the recipe itself holds its SHA-256."""


def fingerprint(payload: Any) -> str:
    """SHA-256 hex of ``payload`` as canonical JSON: independent of key order, the same on every machine."""
    text = json.dumps(payload, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()


class PlannedTrial(Frozen):
    """Where one replicate of an arm is found among the records."""

    id: str
    seed: int
    fold: int | None = None
    sets: dict[str, str]
    """Name of each scored set (``test``, then the hidden ones in the study's order) → key of its scores."""


class PlannedArm(Frozen):
    """An arm and its trials, one per replicate, in the study's order of seeds."""

    label: str
    trials: tuple[PlannedTrial, ...]


class PlanFile(Frozen):
    """``plan.json``: which records a study's report is made of, and what its names meant."""

    schema_version: Literal[1] = 1
    study: str
    baseline: str
    data_fingerprint: str
    arms: tuple[PlannedArm, ...]
