"""What one new run of each of two arms would differ by: a prediction, not an estimate of a mean."""

from __future__ import annotations

import math
from dataclasses import dataclass

from scipy import special

from bench.stats.intervals import Interval
from bench.stats.power import freedom_of

FEWEST_TO_PREDICT = 5
"""Seeds below which an arm's own variance says too little of a single further run."""


@dataclass(frozen=True)
class Prediction:
    """The difference of two new runs: a t distribution around the mean difference."""

    mean: float
    variance: float
    """s²_A + s²_B + V, above 0."""
    freedom: float

    @property
    def low(self) -> float:
        """Lower end of the 95 % prediction interval."""
        return self.mean - self._half_width

    @property
    def high(self) -> float:
        """Upper end of the 95 % prediction interval."""
        return self.mean + self._half_width

    @property
    def _half_width(self) -> float:
        # Minus: stdtrit gives the lower quantile, which is negative.
        return -float(special.stdtrit(self.freedom, 0.025)) * math.sqrt(self.variance)

    @property
    def above(self) -> float:
        """Probability that the difference is above 0, in (0, 1)."""
        return float(special.stdtr(self.freedom, self.mean / math.sqrt(self.variance)))


def prediction(interval: Interval, reference: float, arm: float) -> Prediction | None:
    """For one new run of each arm, trained independently of the other: no pair, so both arms' seeds count.

    interval        of the mean difference, arm − reference; its V is how uncertain that is
    reference, arm  variance of each arm's values over the interval's seeds, divided by S − 1; at least 0
    returns         None where nothing ever varied

    Source: the prediction interval of a difference of normal means, degrees of freedom after Welch 1947 and
    Satterthwaite 1946.
    """
    variance = reference + arm + interval.variance
    if variance <= 0:
        return None
    spread = (reference**2 + arm**2) / (interval.seeds - 1)
    spread += interval.variance**2 / freedom_of(interval) if interval.variance > 0 else 0.0
    return Prediction(interval.mean, variance, variance**2 / spread)
