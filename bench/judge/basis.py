"""What findings rest on: where the numbers come from, how large sets are, by which rules is judged."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from bench.planned import Night


@dataclass(frozen=True)
class Provenance:
    """Where the numbers come from."""

    source: str
    synthetic: bool
    data_fingerprint: str
    sets: tuple[tuple[str, str, int | None, int | None], ...]
    """(name, key, images, groups) of every scored set, of each fold's; groups where they are known."""
    grouped: tuple[tuple[str, str], ...]
    """(set, what they are called) of the sets in which groups of images count: ``patients``, ``groups``."""
    independent: tuple[str, ...]
    """Sets whose images are taken as independent, since nothing says which belong together; none drawn."""
    missed: tuple[str, ...]
    """What is to be said of sides that are not as large as asked for."""
    classes: tuple[str, ...]
    libraries: tuple[tuple[str, str], ...]
    """Several versions of one library stand together."""
    commits: tuple[str, ...]
    machines: tuple[str, ...]
    attempts: int
    """Trials that needed more than one."""
    outside: tuple[tuple[str, str], ...]
    """(kind and name, origin) of every component that is not bench's own."""
    images: tuple[str, ...] = ()
    """What became of the images, line by line."""


@dataclass(frozen=True)
class Size:
    """How large a scored set is, with folds all of them together."""

    images: int
    """Copies counted once."""
    groups: int | None = None
    """That the images are of, where they are known."""
    called: str = "groups"
    """``patients``, …"""

    def __str__(self) -> str:
        """``n = 1,707``, ``n = 500 of 40 patients``."""
        return f"n = {self.told}"

    @property
    def told(self) -> str:
        """``1,707``, ``500 of 40 patients``."""
        return f"{self.images:,}" + (f" of {self.groups:,} {self.called}" if self.groups else "")


@dataclass(frozen=True)
class Rules:
    """By which rules the verdicts were made."""

    primary: str
    family: int
    delta_local: float
    """Points."""
    delta_hidden: float
    seeds: tuple[int, ...]
    folds: int | None
    replicates: int
    """Trials per arm."""
    divergence_bound: float
    """Share of seeds that may diverge although none of the replicates did."""
    looks: tuple[tuple[int, float], ...] = ()
    """(seeds, level) of each look that was declared."""
    further_seeds: tuple[int, ...] = ()
    """Of the baseline alone."""
    nights: tuple[Night, ...] = ()
    """Runs that ``--hours`` ended before their last trial."""
    reported: tuple[int, ...] = ()
    """Numbers of seeds after which these left a report with verdicts that no look had declared."""

    coarse: tuple[tuple[str, int], ...] = ()
    """(set, items) of declared comparisons whose δ is less than one item makes of the set's accuracy."""
