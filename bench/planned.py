"""``plan.json``: which records a study's report is made of, and what is known of its images.

A plan becomes it before anything is trained; a report reads it and nothing of the plan.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import Field, ValidationError, model_validator

from bench.errors import UserError
from bench.files import content_of
from bench.recipe import Frozen
from bench.record import ID
from bench.study.read import Study
from bench.study.told import Told

WHOLE = "duplicates and groups stay whole, every class is on every side"
NOTICED = 0.01
"""Distance of a side's share from what it was asked to be that is worth a word."""


class Seen(Frozen):
    """What a look at a source's files tells before any image is decoded."""

    images: dict[str, int]
    """Class → images that are read."""
    skipped: dict[str, dict[str, int]] = Field(default_factory=dict)
    """Class → kind of file → how many of them are not read; class "": beside the class folders."""
    transparent: int = 0
    """Images with pixels that are not opaque: they are laid on white."""
    deep: int = 0
    """Images of more than 8 bits a channel."""
    cropped: float = 0.0
    """Mean share of an image that the central square leaves out, 0 to 1; 0 where ``fit`` is another."""
    oblong: int = 0
    """Images that lose more than a tenth to the crop."""


class Account(Frozen):
    """What became of the images behind a set, and of the files that should be some."""

    set: str
    """``local``, or the name of an external hidden set."""
    images: dict[str, int]
    """Class of the study → images that are left."""
    dropped: dict[str, dict[str, int]] = Field(default_factory=dict)
    """Why → class → images that are not used."""
    named: dict[str, dict[str, int]] = Field(default_factory=dict)
    """Class of the study → foreign classes that count as it under another name → images."""
    seen: Seen | None = None


class PlannedTrial(Frozen):
    """Where one replicate of an arm is found among the records."""

    id: Annotated[str, Field(pattern=rf"^{ID.pattern}$")]
    seed: int
    fold: int | None = None
    sets: dict[str, str]
    """Name of each scored set (``test``, then the hidden ones in the study's order) → key of its scores."""


class PlannedArm(Frozen):
    """An arm and its trials, one per replicate, in the study's order of seeds."""

    label: str
    trials: tuple[PlannedTrial, ...]


class Candidate(Frozen):
    """One point of an arm's search and the trials that tell how good it is."""

    number: Annotated[int, Field(ge=0)]
    values: dict[str, Any]
    """Dotted key of the recipe → what this candidate sets it to."""
    trials: tuple[PlannedTrial, ...]
    """One per tuning seed."""


class PlannedSearch(Frozen):
    """The tuning of one arm: what was tried, and what came of it."""

    arm: str
    candidates: tuple[Candidate, ...]
    """In the order in which they were told, whatever order they ended in."""
    chosen: int | None = None
    """Number of the winner; None while the search goes on, and when no candidate finished."""
    ended: bool = False
    """Every candidate of the budget has been judged."""
    pruned: tuple[int, ...] = ()
    """Numbers of the candidates that were cut short."""
    finalists: tuple[Candidate, ...] = ()
    """The best candidates, best first, each with its trials of fresh seeds, which alone chose.

    Empty: the candidates chose, as in every search from before there were finalists.
    """

    @model_validator(mode="after")
    def _possible(self) -> Self:
        if self.chosen is not None and not 0 <= self.chosen < len(self.candidates):
            raise ValueError(f"chosen is {self.chosen}, of {len(self.candidates)} candidates")
        return self

    @property
    def tried(self) -> tuple[Candidate, ...]:
        """Candidates, and then finalists: everything that was trained to choose."""
        return (*self.candidates, *self.finalists)

    @property
    def values(self) -> dict[str, Any]:
        """What the arm's replicates are trained with; empty: its recipe's own values."""
        return {} if self.chosen is None else self.candidates[self.chosen].values


class Shares(Frozen):
    """How the images of the baseline's first replicate were split."""

    images: Annotated[int, Field(ge=1)]
    """All but those that count as outliers."""
    sides: dict[Literal["train", "val", "test"], Annotated[int, Field(ge=0)]]
    """``train``, ``val`` and ``test`` → images."""
    groups: dict[str, int] = Field(default_factory=dict)
    """The same → groups (patients); empty where groups are not known."""
    asked: dict[str, float] = Field(default_factory=dict)
    """``val`` and ``test`` → the share of all images they were to have; empty for a source's own split.

    Without ``val`` where it was to be filled up: of that side ``filled`` says how many were asked for.
    """
    filled: int | None = None
    """``val_images``, where a limit left images to fill validation with; None: it was not asked for."""

    @model_validator(mode="after")
    def _possible(self) -> Self:
        if len(self.sides) < 3 or not self.sides["train"] + self.sides["val"]:
            raise ValueError("sides are train, val and test, and training has images")
        if not {"val", "test"} >= self.asked.keys():
            raise ValueError("asked are val and test alone")
        return self

    @property
    def missed(self) -> tuple[str, ...]:
        """Sides that are more than a point from the share they were asked to be, in words.

        Validation is seen within training and validation, which a limit makes smaller.
        """
        within, left = self.sides["train"] + self.sides["val"], 1 - self.asked.get("test", 0.0)
        got = {"test": self.sides["test"] / self.images, "val": left * self.sides["val"] / within}
        found = [
            f"{side} has {100 * got[side]:.1f} % of the images where {100 * share:g} % was asked for: {WHOLE}"
            for side, share in self.asked.items()
            if abs(share - got[side]) > NOTICED
        ]
        if self.filled is not None and self.filled - self.sides["val"] > NOTICED * self.filled:
            found.append(
                f"val has {self.sides['val']} images where val_images asked for {self.filled}: "
                f"the limit left no more that could be added; {WHOLE}"
            )
        return tuple(found)


class Night(Frozen):
    """A run that ``--hours`` ended before its last trial; a report was made of what there was."""

    hours: float
    seeds: tuple[int, int]
    """Seeds that had ended of the arm with the fewest, and of the one with the most; folds likewise."""


class PlanFile(Frozen):
    """``plan.json``: which records a study's report is made of, and what its names meant."""

    schema_version: Literal[1] = 1
    study: str
    baseline: str
    data_fingerprint: str
    file: Annotated[str, Field(pattern=r"^[^\x00]*$")] = ""
    """Where the study was read from, relative to the results folder."""
    smoke: bool = False
    arms: Annotated[tuple[PlannedArm, ...], Field(min_length=1)]
    """While an arm is being tuned, it has no trials yet."""
    searches: tuple[PlannedSearch, ...] = ()
    """With ``[tune]``: one per arm."""
    shared: tuple[PlannedArm, ...] = ()
    """With ``tune.shared``: every arm but the baseline, with the baseline's tuned values."""
    looks: tuple[int, ...] = ()
    """Declared by ``--until decided``: numbers of seeds at which the comparisons are judged."""
    again: PlannedArm | None = None
    """With ``aa``: the baseline on the same splits, with other initialisation and order."""
    shares: Shares | None = None
    """How images were split, where that takes reading them to know."""
    components: tuple[Told, ...] = ()
    """From outside: what a report must know of them, to be made without their code."""
    accounts: tuple[Account, ...] = ()
    """Of the local images, as the baseline uses them, and of each external hidden set."""
    nights: tuple[Night, ...] = ()
    """Runs of the same data that ``--hours`` ended, the first one first."""

    @property
    def ids(self) -> set[str]:
        """Every trial that the study's report may look at, candidates included."""
        arms = [*self.arms, *self.shared, *([self.again] if self.again else [])]
        candidates = (candidate for search in self.searches for candidate in search.tried)
        return {t.id for arm in arms for t in arm.trials} | {t.id for c in candidates for t in c.trials}


def look_seeds(study: Study, looks: Sequence[int], declared: PlanFile | None = None) -> tuple[int, ...]:
    """The seeds that looks may come to, up from the first one.

    declared   the plan with which the looks were declared: it says which seed is the first
    """
    planned = [trial.seed for arm in declared.arms for trial in arm.trials] if declared else []
    first = min(planned, default=study.seeds[0])
    return tuple(range(first, first + looks[-1]))


def read_plan_file(path: Path) -> PlanFile:
    """``plan.json``. Raises UserError when it is damaged."""
    try:
        return _plan_file(content_of(path))
    except (ValidationError, OSError) as error:
        problem = getattr(error, "strerror", None) or _first(error)
        raise UserError(f"{path} is damaged ({problem}); delete it, bench run writes it again") from None


def _first(error: Exception) -> str:
    """What is wrong first, one line."""
    if not isinstance(error, ValidationError):
        return str(error)
    found = error.errors()[0]
    return f"{'.'.join(map(str, found['loc']))}: {found['msg']}".removeprefix(": ")[:200]


@functools.lru_cache(maxsize=1)
def _plan_file(content: bytes) -> PlanFile:
    """One is asked for half a dozen times, and may hold 30,000 trials."""
    return PlanFile.model_validate_json(content)
