"""What is known of two arms, or of several weighed together, before it is judged."""

from __future__ import annotations

import math
from dataclasses import dataclass

from bench import stats


@dataclass(frozen=True)
class Contrast:
    """An arm against a reference on one metric, or arms weighed together: not yet judged. Arm − reference."""

    test: stats.Interval | stats.SpreadTest | None
    seeds: int = 0
    """Common replicates, diverged ones included."""
    reason: str = ""
    """Why it cannot be tested."""
    disagreements: int | None = None
    diverged: int = 0
    diverged_reference: int = 0
    little: int = 0
    """Common replicates in which the arm learned little; they are scored as they are."""
    little_reference: int = 0
    mixed: bool = False
    """One of the arms has both seeds that learned and seeds that learned little."""
    finished: stats.Interval | None = None
    """Of the pairs that both finished, when some did not."""
    spreads: tuple[float, float] | None = None
    """Variances of the reference's and of the arm's own values over the common seeds, where all finished."""
    of_pairs: stats.Interval | None = None
    """Of the pairs alone, where the baseline's further seeds are in ``test``."""
    arms: int = 2
    """It is told from."""
    scale: float = 2.0
    """Σ weight² over them: how large its variance is beside an arm's own."""

    @property
    def few(self) -> bool:
        """Too few items on which the arms disagree for an interval to mean anything."""
        return self.disagreements is not None and self.disagreements < stats.FEWEST_DISAGREEMENTS

    @property
    def hopeless(self) -> bool:
        """No further seed would make it testable."""
        return self.mixed or " failed (" in self.reason or self.reason.startswith("not judged")

    @property
    def correlation(self) -> float | None:
        """Of the two arms' values over their common seeds; None unless it is known and both vary."""
        if self.spreads is None or min(self.spreads) <= 0 or not isinstance(self.test, stats.Interval):
            return None
        pairs = self.of_pairs or self.test
        apart = pairs.seed_variance * pairs.seeds
        return (sum(self.spreads) - apart) / (2 * math.sqrt(math.prod(self.spreads)))

    @property
    def of_finished(self) -> stats.Interval | None:
        """The interval of pairs that both finished."""
        usable = self.finished if self.diverged or self.diverged_reference else self.test
        return usable if isinstance(usable, stats.Interval) else None
