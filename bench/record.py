"""What is stored of a trial, as ``record.json`` has it."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Annotated, Any, Literal, Self

from pydantic import Field, ValidationError, model_validator

from bench.recipe import Data, Frozen, Recipe

SCHEMA_VERSION = 1
ID = re.compile(r"[0-9a-f]{8,64}")
NOT_COMPARED = ("timings", "memory", "machine", "commit", "attempts", "files")
"""Fields in which two equal results may differ."""
GANG = "gang"
"""Key of ``machine`` where trials took turns in one process: the most that did while this one trained."""

Finite = Annotated[float, Field(allow_inf_nan=False)]
Share = Annotated[float, Field(ge=0, le=1)]
SHARES = ("accuracy", "balanced_accuracy", "worst_recall", "macro_f1", "auc", "ece")
"""Scores of bench that lie between 0 and 1; one of another's may lie anywhere."""
Whole = Annotated[int, Field(ge=0)]
Count = Annotated[int, Field(ge=0, le=10**18)]
"""Of parameters and operations: more has no machine, and no float that a table could print."""
Amount = Annotated[float, Field(ge=0, le=1e15)]
"""Of seconds, images a second, megabytes."""


class Brief(Frozen):
    """What planning, a search and ``bench status`` ask of a record: how its trial ended, how it scored."""

    schema_version: Literal[1] = 1
    id: Annotated[str, Field(pattern=rf"^{ID.pattern}$")]
    status: Literal["done", "diverged", "failed", "pruned"]
    """``pruned``: a candidate that its search cut short; it serves no other study."""
    cause: str = ""
    """Failed: ``oom``, ``killed``, ``timeout``, ``error`` or ``interrupted``; else in which way."""
    message: str = ""
    attempts: Annotated[int, Field(ge=1)] = 1
    little_learned: str = ""
    """Done and scored, but little was learned: how little, and what may help."""
    scores: dict[str, dict[str, Finite]] = Field(default_factory=dict)
    """Key of the scored set → score → value, 0 to 1; a score undefined on a set is left out."""
    validation: dict[str, Finite] = Field(default_factory=dict)
    metrics: dict[str, int | str] = Field(default_factory=dict)
    """Metric → version (and origin, if any) with which each set was scored; one a set lacks is undefined."""
    timings: dict[str, Amount] = Field(default_factory=dict)
    """Phase → seconds; and ``images_per_s``, the median speed of training."""
    files: dict[str, list[str]] = Field(default_factory=dict)
    """File beside the record → its size and SHA-256; two where a run was cut short that changed it."""

    @property
    def seconds(self) -> dict[str, float]:
        """Phase → seconds, and nothing else."""
        return {phase: value for phase, value in self.timings.items() if phase != "images_per_s"}

    @property
    def training_s(self) -> float | None:
        """Seconds of training; of everything where that is all that is known."""
        return self.timings.get("train") or sum(self.seconds.values()) or None

    @property
    def scored_with(self) -> dict[str, int | str]:
        """``metrics``, in older records told from the scores that are there."""
        named = (name for scores in (self.validation, *self.scores.values()) for name in scores)
        return self.metrics or dict.fromkeys(named, 1)


class Record(Brief):
    """What is stored of a trial: what was trained, how it ended, how it scored.

    ``NOT_COMPARED`` names what takes no part in "equal".
    """

    key: str
    """The id without component versions: the same key under another id is a stale record."""
    role: Literal["final", "tune"] = "final"
    traceback: str = ""
    recipe: dict[str, Any]
    """The resolved recipe, all defaults filled in."""
    data: dict[str, Any]
    """The resolved ``[data]`` table."""
    data_fingerprint: str
    source: str
    """Where the images came from, as the study writes it."""
    seed: Whole
    fold: Whole | None = None
    versions: dict[str, int | str]
    """``kind:name`` → version, of every component used."""
    origins: dict[str, str] = Field(default_factory=dict)
    """``kind:name`` → where it is from, of every component used that is not bench's own."""
    classes: list[str] = Field(default_factory=list)
    recalls: dict[str, dict[str, Share]] = Field(default_factory=dict)
    """Key of the scored set → class → share of its images that were recognised."""
    sizes: dict[str, Whole] = Field(default_factory=dict)
    """Key of the scored set → images."""
    conditions: dict[str, dict[str, dict[str, Finite]]] = Field(default_factory=dict)
    """Key of a corrupted set → condition (``defocus/3``) → score → value."""
    training: list[dict[str, Any]] = Field(default_factory=list)
    """One table per stage: what was trained, epochs, steps, best epoch."""
    parameters: Count | None = None
    trainable_parameters: Count | None = None
    flops: Count | None = None
    """Floating-point operations of one image's way through the network; a multiply-accumulate is two."""
    libraries: dict[str, str] = Field(default_factory=dict)
    memory: dict[str, Amount] = Field(default_factory=dict)
    machine: dict[str, str | int | float | None] = Field(default_factory=dict)
    """``device``, ``device_name`` and what else tells computers apart; ``gang`` where it was shared."""
    commit: str = ""

    @model_validator(mode="after")
    def _possible(self) -> Self:
        for key, scores in {**self.scores, "validation": self.validation}.items():
            for name in SHARES:
                if not 0 <= scores.get(name, 0) <= 1:
                    raise ValueError(f"{name} of {key} is {scores[name]:g}, which lies outside 0 to 1")
        known = set(self.classes)
        if len(known) < len(self.classes):
            raise ValueError("names a class twice")
        if strange := [key for key, recalls in self.recalls.items() if not recalls.keys() <= known]:
            raise ValueError(f"recalls of {strange[0]} are of classes that it does not name")
        return self

    def is_of(self, shapes: Mapping[str, tuple[int, ...]]) -> bool:
        """Whether it can be the record of predictions of these shapes (N, K), by key of the set."""
        count = len(self.classes)
        sizes = {key: (size, count) for key, size in self.sizes.items()}
        return sizes.items() <= shapes.items() and all(shape[1] == count for shape in shapes.values())

    def common_metrics(self, versions: Mapping[str, int | str]) -> dict[str, int | str]:
        """What is left of ``metrics`` when sets come in that were scored with these."""
        return {name: v for name, v in self.scored_with.items() if versions.get(name) == v}

    @property
    def brief(self) -> Brief:
        """The part of it that is asked for most."""
        return Brief.model_construct(**{name: getattr(self, name) for name in Brief.model_fields})

    @property
    def trained(self) -> tuple[Recipe, Data] | None:
        """Recipe and data as today's types, keys added since at their defaults; None: from before those."""
        try:
            recipe = Recipe.model_validate_json(json.dumps(self.recipe))
            return recipe, Data.model_validate_json(json.dumps(self.data))
        except ValidationError:
            return None


def equal_view(record: Record) -> dict[str, Any]:
    """What two runs of the same trial must agree on: the record without NOT_COMPARED."""
    return record.model_dump(exclude=set(NOT_COMPARED))


def why_unreadable(content: bytes, error: ValidationError) -> str:
    """Why a record cannot be read, one line."""
    try:
        version = json.loads(content).get("schema_version")
    except (ValueError, AttributeError, RecursionError):
        return "is not a whole JSON table"
    if version != SCHEMA_VERSION:
        return f"has schema_version {version}, this bench reads {SCHEMA_VERSION}"
    first = error.errors()[0]
    return ": ".join(
        filter(None, [".".join(map(str, first["loc"])), first["msg"].removeprefix("Value error, ")])
    )
