"""What would settle an inconclusive comparison: the seeds, or the images, that a verdict would take."""

from __future__ import annotations

import math
from dataclasses import dataclass

from bench import stats


@dataclass(frozen=True)
class Tested:
    """What a comparison is tested on, so that more of it can be asked for."""

    items: int
    """Images of the set, or groups of them where these count."""
    called: str
    """``images``, ``patients``, …"""
    sets: int = 1
    """Of a gap two, and what is asked for is asked of both."""

    def more(self, times: float) -> str:
        """``40 more test images``: what makes the items so many times as many."""
        if self.sets > 1:
            many = f"{about(math.ceil(times)):,}" if times >= 10 else f"{times:.2g}"
            return f"{many} times as many {self.called} of both sets"
        further = about(math.ceil(self.items * (times - 1)))
        return f"{further:,} more {'test ' * (self.called == 'images')}{self.called}"


def about(count: int) -> int:
    """A count to two digits, never less."""
    step = int(10 ** max(0, len(str(count)) - 2))
    return -(-count // step) * step


def as_seen(test: stats.Interval, family: int) -> str:
    """Seeds that an effect as large as the one seen would take: all there is to say without a δ."""
    needed = stats.seeds_needed(test, abs(test.mean), stats.level(test.seeds + 1), family)
    return f"as large as seen, it would take {needed} seeds" if needed else ""


def smallest(test: stats.Interval, delta: float, family: int, tested: Tested | None) -> str:
    """The smallest effect that is told; what δ, and an effect as large as the one seen, would take.

    delta    as a fraction
    tested   None: folds, whose images are inside their means, so that neither can be told
    """
    least = stats.smallest_effect(test, stats.level(test.seeds), family)
    if least >= 1:
        return "detects no difference at all"
    text = f"detects {points(least)} or more"
    if tested is None or least <= delta:
        return text
    level, seen = stats.level(test.seeds + 1), abs(test.mean)
    needed = stats.seeds_needed(test, delta, level, family)
    again = stats.seeds_needed(test, seen, level, family) if delta < seen < least else None
    further = f"; as large as seen, it would take {again}" if again else ""
    if needed is not None:
        return f"{text}; {points(delta)} would take {needed} seeds{further}"
    return f"{text}; {points(delta)} would need {_images(test, delta, family, tested)}" + (
        f"{further} seeds" if further else ""
    )


def _images(test: stats.Interval, delta: float, family: int, tested: Tested) -> str:
    """What no number of seeds settles: so many more images, and seeds where images alone do not either."""
    found = stats.items_needed(test, delta, stats.level, family)
    if found is None:
        return f"{'over' if tested.sets > 1 else 'more than'} {tested.more(stats.MANY_TIMES)}"
    items, seeds = found
    also = f"{seeds} seeds and " if seeds != test.seeds else ""
    return f"{also}about {tested.more(items / test.items)}"


def points(fraction: float | None) -> str:
    """A fraction as percentage points, two digits at least where it is small: ``1 point``, ``0.5 points``."""
    if fraction is None or not math.isfinite(fraction):
        return "any number of points"
    value = 100 * fraction
    text = f"{value:.1f}" if value >= 0.95 else f"{value:.2g}"
    text = text.removesuffix(".0")
    return f"{text} point" + ("" if text == "1" else "s")
