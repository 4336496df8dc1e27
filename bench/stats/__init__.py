"""Arrays in; effects, intervals, tests and verdicts out. Knows neither files nor plots nor studies.

Rows are seeds, columns are items: images (copies averaged first), or groups of images. Scores and
differences are fractions, not percent. The formulas, and where they were checked by simulation:
``docs/method.md``.
"""

from bench.stats.few import at_least
from bench.stats.further import slope, with_further
from bench.stats.intervals import (
    Interval,
    Shared,
    SpreadTest,
    brown_forsythe,
    difference_of_gaps,
    fold_interval,
    paired_t,
    two_way,
)
from bench.stats.jackknife import JACKKNIFE, by_group, pseudo_values
from bench.stats.luck import largest_by_luck
from bench.stats.moderated import Prior, moderate, prior
from bench.stats.pooled import FEWEST_SETS, Pooled, between, pooled
from bench.stats.power import (
    MANY_TIMES,
    assumed,
    items_needed,
    measured,
    power_of,
    seeds_needed,
    smallest_effect,
    spread_seeds_needed,
    upper_sigma,
)
from bench.stats.prediction import FEWEST_TO_PREDICT, Prediction, prediction
from bench.stats.sequential import FUTILE, LEVEL, chance_of_verdict, levels, rejected_now, shrunk
from bench.stats.trend import among_best, bend, line
from bench.stats.verdicts import (
    FEWEST_DISAGREEMENTS,
    FEWEST_SEEDS,
    ClaimOutcome,
    Hypothesis,
    Judgement,
    Share,
    claim_outcome,
    convergence_outcome,
    diverged_share,
    holm,
    judge,
    level,
    settle,
    sides,
    untestable,
    word,
)

__all__ = [
    "FEWEST_DISAGREEMENTS",
    "FEWEST_SEEDS",
    "FEWEST_SETS",
    "FEWEST_TO_PREDICT",
    "FUTILE",
    "JACKKNIFE",
    "LEVEL",
    "MANY_TIMES",
    "ClaimOutcome",
    "Hypothesis",
    "Interval",
    "Judgement",
    "Pooled",
    "Prediction",
    "Prior",
    "Share",
    "Shared",
    "SpreadTest",
    "among_best",
    "assumed",
    "at_least",
    "bend",
    "between",
    "brown_forsythe",
    "by_group",
    "chance_of_verdict",
    "claim_outcome",
    "convergence_outcome",
    "difference_of_gaps",
    "diverged_share",
    "fold_interval",
    "holm",
    "items_needed",
    "judge",
    "largest_by_luck",
    "level",
    "levels",
    "line",
    "measured",
    "moderate",
    "paired_t",
    "pooled",
    "power_of",
    "prediction",
    "prior",
    "pseudo_values",
    "rejected_now",
    "seeds_needed",
    "settle",
    "shrunk",
    "sides",
    "slope",
    "smallest_effect",
    "spread_seeds_needed",
    "two_way",
    "untestable",
    "upper_sigma",
    "with_further",
    "word",
]
