"""Looking several times: levels that are spent look by look, and who still counts at each.

Source: Holm 1979 at each look, the level shared out over looks by Bonferroni.
"""

from __future__ import annotations

from collections.abc import Sequence

from bench.stats.verdicts import holm

LEVEL = 0.05
SPENT = {3: (0.01, 0.015, 0.025)}
"""Looks → level of each; any other number of looks shares the level out evenly."""


def levels(looks: int) -> tuple[float, ...]:
    """The level of each look; they add up to .05."""
    return SPENT.get(looks, (LEVEL / looks,) * looks)


def rejected_now(
    p: Sequence[float], before: Sequence[bool], stopped: Sequence[bool], level: float
) -> list[bool]:
    """Which comparisons are rejected at one cut and one look.

    p        of each member for this cut, at this look
    before   rejected at this cut at an earlier look: it leaves the family
    stopped  decided otherwise at an earlier look: it counts with p = 1
    level    of this look
    """
    members = [i for i, gone in enumerate(before) if not gone]
    adjusted = holm([1.0 if stopped[i] else p[i] for i in members])
    rejected = [False] * len(p)
    for i, value in zip(members, adjusted, strict=True):
        rejected[i] = bool(value < level) and not stopped[i]
    return rejected
