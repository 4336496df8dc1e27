"""Levels that have an order: which arms stand at each of them."""

from __future__ import annotations

import re
from collections.abc import Sequence

from bench.errors import did_you_mean, shorten
from bench.recipe import Frozen, repeated
from bench.study.arms import Arm

FEWEST_LEVELS = 3
NUMBER = re.compile(r"[^=]+=(-?\d+(\.\d+)?(e[+-]?\d+)?)")


class Ordered(Frozen):
    """A factor whose levels have an order, or arms that have one."""

    name: str
    """The factor's; of arms their first and last."""
    levels: tuple[str, ...]
    """From the first to the last; of arms their labels."""
    blocks: tuple[tuple[str, ...], ...]
    """For each setting of the other factors the arm at each level; of arms themselves one."""

    @property
    def ends(self) -> tuple[str, str]:
        """What a claim about the line through the levels compares, as comparisons name arms."""
        return f"{self.name}, end of its line", f"{self.name}, start of its line"


def claimed(
    over: str | Sequence[str], every: Sequence[Ordered], *, falls: bool
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """What a claim over levels compares: the side that is expected to be better first. Raises ValueError.

    every   what the study calls ordered
    falls   the start of the line is expected to be better
    """
    wanted = over if isinstance(over, str) else tuple(over)
    mine = [one for one in every if wanted in (one.name, one.levels)]
    if not mine:
        known = ", ".join(one.name for one in every) or "nothing yet"
        entry = shorten([over if isinstance(over, str) else list(over)])
        raise ValueError(f"has no order yet: add ordered = {entry} to the study, which names {known}")
    if sum(one.name == mine[0].name for one in every) > 1:
        raise ValueError("begins and ends as another entry of `ordered`; leave one of the two out")
    end, start = mine[0].ends
    return ((start,), (end,)) if falls else ((end,), (start,))


def ordered(wanted: str | Sequence[str], arms: Sequence[Arm]) -> Ordered:
    """What an entry of ``ordered`` means. Raises ValueError.

    wanted   a factor, whose levels come by value where they are numbers, else as they are written; or arms
    """
    return _factor(wanted, arms) if isinstance(wanted, str) else _arms(list(wanted), arms)


def _arms(labels: list[str], arms: Sequence[Arm]) -> Ordered:
    known = [arm.label for arm in arms]
    for label in labels:
        if label not in known:
            raise ValueError(f"{shorten(label)} is no arm; {did_you_mean(label, known)}")
    if double := repeated(labels):
        raise ValueError(f"names the arm {double} twice")
    _enough(labels)
    return Ordered(name=f"{labels[0]} … {labels[-1]}", levels=tuple(labels), blocks=(tuple(labels),))


def _factor(name: str, arms: Sequence[Arm]) -> Ordered:
    factors = list(arms[0].levels) if arms else []
    if name not in factors:
        hint = did_you_mean(name, factors) if factors else "with [arms] name the arms: [[ARM, ARM, ARM]]"
        raise ValueError(f"is no factor; {hint}")
    levels = list(dict.fromkeys(arm.levels[name] for arm in arms))
    values = {level: float(found[1]) for level in levels if (found := NUMBER.fullmatch(level))}
    if len(values) == len(levels):
        levels.sort(key=values.__getitem__)
    _enough(levels)
    blocks: dict[tuple[tuple[str, str], ...], dict[str, str]] = {}
    for arm in arms:
        others = tuple((factor, level) for factor, level in arm.levels.items() if factor != name)
        blocks.setdefault(others, {})[arm.levels[name]] = arm.label
    whole = [block for block in blocks.values() if len(block) == len(levels)]
    if not whole:
        raise ValueError("has no setting of the other factors in which every level of it is trained")
    return Ordered(
        name=name,
        levels=tuple(levels),
        blocks=tuple(tuple(block[level] for level in levels) for block in whole),
    )


def _enough(levels: Sequence[str]) -> None:
    if len(levels) < FEWEST_LEVELS:
        raise ValueError(f"has {len(levels)} levels; a trend takes {FEWEST_LEVELS} or more")
