"""What a study can detect, before it is run: from noise another study measured, else from assumed noise."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from bench.errors import UserError
from bench.plan import TEST, Plan, read_plan_file
from bench.recipe import Corrupted, Shifted, Split
from bench.store import Store

ASSUMED = {True: ((0.003, 0.005, 0.007), 0.003), False: ((0.015, 0.03, 0.045), 0.03)}
"""On the local set, or not: three sd over seeds, and f, as fractions; what such studies usually have."""
UNKNOWN_IMAGES = 1000
FEWEST_SEEDS = 3
MORE_SEEDS = 8


@dataclass(frozen=True)
class _Noise:
    """What a study measured of the same set and score."""

    study: str
    sigma: float
    f: float
    seeds: int
    images: int


def lines(plan: Plan, store: Store) -> list[str]:
    """The smallest effects that the study's primary comparisons find 4 times in 5, as ``bench plan`` says it.

    Nothing for cross-validation and for metrics that are no score.
    """
    of, _, score = plan.study.primary.partition(".")
    if plan.study.folds or not score or len(plan.study.arms) < 2:
        return []
    seeds = max(plan.looks, default=len(plan.study.seeds))
    if seeds < FEWEST_SEEDS:
        return [f"no verdict with fewer than {FEWEST_SEEDS} seeds"]
    from bench.report.judging import family_keys  # imports numpy and scipy

    name, family = (TEST if of == "local" else of), len(family_keys(plan.study))
    key = next((one.key for one in plan.sets if one.name == name), "")
    found = _measured(plan, store, key, score)
    if found is None:
        return list(_assumed(plan, name, seeds, family))
    smallest, if_luck = (_smallest(sigma, found.f, seeds, found.images, family) for sigma in _sigmas(found))
    text = (
        f"detects {points(smallest)} or more (seed sd {points(found.sigma)} measured in {found.study} over "
    )
    text += f"{found.seeds} seeds; {points(if_luck)} if that was a lucky draw)"
    more = [
        f"with seeds = {n}: {points(_smallest(found.sigma, found.f, n, found.images, family))}"
        for n in _more(seeds)
    ]
    return [text, *more]


def points(fraction: float) -> str:
    """``3.4 points``; no score differs by 100."""
    from bench.report.judging import points as spelled

    return spelled(fraction) if fraction < 1 else "more points than there are"


def _more(seeds: int) -> list[int]:
    return [MORE_SEEDS] if seeds < MORE_SEEDS else []


def _smallest(sigma: float, f: float, seeds: int, images: int, family: int) -> float:
    from bench import stats

    return stats.smallest_effect(stats.assumed(sigma, f, max(2, seeds), images), stats.level(seeds), family)


def _sigmas(found: _Noise) -> tuple[float, float]:
    from bench import stats

    return found.sigma, stats.upper_sigma(found.sigma, found.seeds)


def _assumed(plan: Plan, name: str, seeds: int, family: int) -> Iterator[str]:
    sigmas, f = ASSUMED[name == TEST]
    images, known = _images(plan, name)
    yield "assumed, not measured: no other study here has scored this set" + (
        "" if known else f"; {images:,} images taken for granted"
    )
    for sigma in sigmas:
        smallest = points(_smallest(sigma, f, seeds, images, family))
        yield f"detects {smallest} or more if the seed sd is {points(sigma)}"


def _images(plan: Plan, name: str) -> tuple[int, bool]:
    """Images of a set, as far as the study's file tells."""
    data, hidden = plan.study.data, plan.study.hidden.get(name)
    if isinstance(hidden, Shifted):
        return hidden.images, True
    if isinstance(hidden, Corrupted) and hidden.images:
        return hidden.images, True
    if data.source == "synthetic" and not (name != TEST and hidden is None):
        share = (data.split if isinstance(data.split, Split) else Split()).test
        return round(data.n_images * share), True
    return UNKNOWN_IMAGES, False


def _measured(plan: Plan, store: Store, key: str, score: str) -> _Noise | None:
    """The noise of the latest other study with the same images, set and score."""
    found: list[tuple[float, _Noise]] = []
    for file in sorted(store.root.glob("*/tables/noise.csv")):
        study = file.parent.parent.name
        if study != plan.study.name and _same_images(file.parent.parent, plan):
            found += [(file.stat().st_mtime, row) for row in _rows(file, study, key, score)]
    return max(found, key=lambda item: item[0])[1] if found else None


def _same_images(folder: Path, plan: Plan) -> bool:
    try:
        return read_plan_file(folder / "plan.json").data_fingerprint == plan.data_fingerprint
    except (OSError, UserError):
        return False


def _rows(file: Path, study: str, key: str, score: str) -> Iterator[_Noise]:
    try:
        rows = list(csv.DictReader(file.read_text("utf-8").splitlines()))
        for row in rows:
            seeds = int(row["seeds"])
            if row["key"] == key and row["metric"] == score and seeds >= FEWEST_SEEDS:
                yield _Noise(study, float(row["sigma"]), float(row["f"]), seeds, int(row["images"]))
    except (OSError, KeyError, TypeError, ValueError):  # written by another version, or by hand
        return
