"""What a report says of searches: what each tried, what it chose, and whether the choice was free."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from bench.judge.findings import Effect
from bench.judge.lead import Lead
from bench.tune.candidates import Standing

SEARCH_LUCK = {False: (0.150, 0.237), True: (0.107, 0.140)}
"""Whether finalists chose → in what share of simulated studies the interval of two equal arms, tuned apart,
excludes zero: least and most of two worlds. 12 candidates, 5 seeds, 4,000 studies each: docs/method.md."""


@dataclass(frozen=True)
class Tuned:
    """One setting that a search chose."""

    setting: str
    value: str
    range: str
    edge: Literal["low", "high"] | None
    """The value lies in that outer tenth of its range."""


@dataclass(frozen=True)
class TunedArm:
    """How one arm was tuned."""

    label: str
    ended: bool
    """Its whole budget was used; otherwise the search goes on."""
    lost: int
    """Candidates and finalists that had ended, and of which the record or a file is gone or damaged."""
    tried: int
    done: int
    repeats: int
    """Candidates with the settings of an earlier one; they count once in all but ``tried`` and the states."""
    diverged: int
    failed: int
    pruned: int
    chosen: tuple[Tuned, ...]
    """Empty where no candidate finished: the recipe's own values stand."""
    best: float | None
    """The winner's metric: of its fresh seeds; without finalists the best of many, a little too good."""
    lead: Lead | None
    """Of those that chose, the best over the runner-up; None where fewer than two are done."""
    curve: tuple[tuple[int, float], ...]
    """(k, expected best of k candidates)."""
    at_half: float | None
    """Best of the first half of the candidates, where another one wins there."""
    half_settles: bool
    """The winner is among the first half."""
    correlations: tuple[tuple[str, float], ...]
    """Setting → its rank correlation with the metric; empty where too few candidates finished."""
    minutes: float
    """Device time of all candidates and finalists."""
    own: Effect | None
    """Against the baseline on the primary metric, each arm with its own tuned values."""
    shared: Effect | None
    """The same with the baseline's tuned values in both."""
    shared_diverged: tuple[int, int]
    """Of the shared runs: how many diverged, and of how many."""

    @property
    def turned(self) -> bool:
        """Whether the effect lies on another side of zero with own values than with shared ones, or open."""
        return self.own is not None and self.shared is not None and _side(self.own) != _side(self.shared)


def _side(effect: Effect) -> int:
    """1 or −1 where the whole interval lies above or below zero; 0 where it holds zero."""
    return (effect.low > 0) - (effect.high < 0)


@dataclass(frozen=True)
class Tuning:
    """The fair-tuning ledger."""

    metric: str
    unit: str
    lower_is_better: bool
    sampler: str
    pruner: str
    candidates: int
    seeds: int
    epochs: int | None
    minutes: float | None
    finalists: int
    """Candidates of an arm that were trained again and alone chose; 0: the candidates chose."""
    final_seeds: int
    shared: bool
    settings: tuple[str, ...]
    arms: tuple[TunedArm, ...]
    rows: tuple[tuple[str, Standing], ...]
    """(arm, candidate), all of them."""
    order: tuple[str, ...] | None
    """The arms, best first, as half the candidates would order them by the metric; None: as all do."""
    settled: bool
    """Half the candidates order the arms as all do."""
    enough_to_rank: int
    """Finished candidates below which ``correlations`` stay empty."""

    @property
    def luck(self) -> tuple[float, float]:
        """Least and most share of simulated studies in which equal arms tuned like this exclude zero."""
        return SEARCH_LUCK[bool(self.finalists)]

    @property
    def turned(self) -> tuple[str, ...]:
        """Arms whose effect is told from zero with shared values and not with own ones, or otherwise."""
        return tuple(arm.label for arm in self.arms if arm.turned)

    @property
    def ties(self) -> tuple[str, ...]:
        """Arms whose chosen candidate is less than a standard error ahead of the runner-up."""
        return tuple(arm.label for arm in self.arms if arm.lead and arm.lead.tie)

    def told(self, value: float | None) -> str:
        """A value of the metric in words, of a share in per cent; without a unit."""
        if value is None:
            return "–"
        return f"{100 * value:.1f}" if self.unit == "share" else f"{value:.4f}"
