"""Levels in an order: a line and a parabola fitted to each image of each seed, and every pair compared."""

from collections.abc import Sequence
from itertools import product

import numpy as np

from .comparisons import LOWER
from .formulas import Effect, two_way
from .parts import metric_of, whole_and_slice
from .records import Row, Study
from .replicates import rows as rows_of

FEW = 10
"""Images on which the levels must disagree for an interval to mean anything."""


def rows(study: Study) -> list[Row]:
    """A row for each entry of `ordered`."""
    return [_row(study, wanted) for wanted in study.file.get("ordered", [])]


def _row(study: Study, wanted: str | Sequence[str]) -> Row:
    if study.folds:
        raise NotImplementedError("ordered levels over folds")
    levels, blocks = _blocks(study, wanted) if isinstance(wanted, str) else (list(wanted), [list(wanted)])
    name, _, score = study.primary.partition(".")
    cells = {arm for block in blocks for arm in block}
    seeds = set.intersection(*({t.seed for t in study.finished(arm)} for arm in cells))
    right = {
        arm: np.array(rows_of([t for t in study.finished(arm) if t.seed in seeds], name, score))
        for arm in cells
    }
    means = np.mean([[right[arm] for arm in block] for block in blocks], axis=0)  # (L, S, N)
    count, at = len(levels), np.arange(len(levels)) - (len(levels) - 1) / 2
    flat = means.reshape(count, -1)
    slope = np.polyfit(at, flat, 1)[0].reshape(means.shape[1:])
    square = np.polyfit(at, flat, 2)[0].reshape(means.shape[1:])
    pairs = {(i, j): two_way(means[i] - means[j]) for i, j in product(range(count), repeat=2) if i != j}
    alpha = 0.025 if len(seeds) <= 3 else 0.05
    kept = [
        level
        for j, level in enumerate(levels)
        if not any(_better(pairs[i, j], means[i] - means[j], count, alpha) for i in range(count) if i != j)
    ]
    row: Row = {"factor": wanted if isinstance(wanted, str) else f"{levels[0]} … {levels[-1]}"}
    row |= {"levels": ", ".join(levels)}
    row |= _effect("line", two_way(slope * (count - 1)))
    row |= _effect("bend", two_way(-square * ((count - 1) / 2) ** 2))
    best = levels[int(np.argmax(means.mean(axis=(1, 2))))]
    return row | {"best": best, "among": ", ".join(kept), "blocks": len(blocks), "seeds": len(seeds)}


def lines(study: Study) -> dict[tuple[str, str], dict[str, float]]:
    """(end, start) of the line through each → every arm's weight in how far it rises."""
    found = {}
    for wanted in study.file.get("ordered", []):
        levels, blocks = _blocks(study, wanted) if isinstance(wanted, str) else (list(wanted), [list(wanted)])
        rises = np.polyfit(np.arange(len(levels)), np.eye(len(levels)), 1)[0] * (len(levels) - 1)
        weights: dict[str, float] = {}
        for block in blocks:
            for arm, weight in zip(block, rises, strict=True):
                weights[arm] = weights.get(arm, 0.0) + float(weight) / len(blocks)
        found[_sides(wanted)] = weights
    return found


def claimed(study: Study, claim: Row) -> tuple[str, str, str]:
    """What a claim over levels compares: the end that is expected to be better first."""
    metric = metric_of(study, claim)
    end, start = _sides(claim["over"])
    kind, _, score = whole_and_slice(metric)[0].partition(".")
    better_is_less = score in LOWER or kind in ("gap", "cost")
    turned = (claim["expect"] == "falls") != better_is_less
    return (start, end, metric) if turned else (end, start, metric)


def _sides(wanted: str | Sequence[str]) -> tuple[str, str]:
    name = wanted if isinstance(wanted, str) else f"{wanted[0]} … {wanted[-1]}"
    return f"{name}, end of its line", f"{name}, start of its line"


def _better(one: Effect, by_image: np.ndarray, count: int, alpha: float) -> bool:
    told = int((np.abs(by_image) > 1e-9).any(axis=0).sum()) >= FEW
    return told and one.mean > 0 and one.p(0.0) * (count - 1) < alpha


def _effect(name: str, one: Effect) -> Row:
    low, high = one.ends()
    return {name: one.mean, f"{name}_low": low, f"{name}_high": high}


def _blocks(study: Study, factor: str) -> tuple[list[str], list[list[str]]]:
    """Labels of a factor's levels in their order; for each setting of the others the arms at them."""
    every: dict[str, list[str]] = {}
    values: dict[str, float] = {}
    for name, levels in study.file["factors"].items():
        leaf = name.rpartition(".")[2]
        numbers = isinstance(levels, list) and not any(isinstance(level, str) for level in levels)
        every[name] = [f"{leaf}={level:g}" for level in levels] if numbers else list(levels)
        if numbers and name == factor:
            values = dict(zip(every[name], levels, strict=True))
    levels = sorted(every[factor], key=values.__getitem__) if values else every[factor]
    place = list(every).index(factor)
    others = [labels for name, labels in every.items() if name != factor]
    cells = [
        [" + ".join((*rest[:place], level, *rest[place:])) for level in levels] for rest in product(*others)
    ]
    return levels, [block for block in cells if all(arm in study.arms for arm in block)]
