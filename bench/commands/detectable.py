"""What a study can detect: from noise that its own seeds measured, else another study's, else assumed."""

from __future__ import annotations

import csv
import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from bench.errors import UserError
from bench.files import content_of
from bench.plan import TEST, Plan, Source
from bench.planned import read_plan_file
from bench.recipe import Corrupted, External, Shifted, Split
from bench.registry import metrics
from bench.store import Store

ASSUMED = {True: ((0.003, 0.005, 0.007), 0.003), False: ((0.015, 0.03, 0.045), 0.03)}
"""On the local set, or not: three sd over seeds, and f, as fractions; what such studies usually have."""
UNKNOWN_IMAGES = 1000
FEWEST_SEEDS = 3
MORE_SEEDS = 8
SCREENING = "3 seeds are for screening: judged at 2.5 % in place of 5, so expect what is smaller to stay open"
FEWEST_PER_CLASS = 10
"""Test images, on average over classes, below which one image moves a class's recall by over 10 points."""


@dataclass(frozen=True)
class _Noise:
    """What a study measured of the same set and score."""

    study: str
    sigma: float
    f: float
    seeds: int
    images: int


@dataclass(frozen=True)
class Noise:
    """By what a study's primary comparisons can be told."""

    sigma: float
    """Sd over seeds of what is compared, a fraction."""
    f: float
    images: int
    family: int
    """Hypotheses."""
    whence: str

    def smallest(self, seeds: int, share: float = 1.0) -> float | None:
        """The effect that is found 4 times in 5; None under three seeds.

        share   of the comparisons that are made
        """
        family = max(1, round(share * self.family))
        return None if seeds < FEWEST_SEEDS else _smallest(self.sigma, self.f, seeds, self.images, family)


def noise(plan: Plan, store: Store) -> Noise | None:
    """Measured here or in another study, else the middle one of those assumed.

    None for cross-validation and metrics that are no share.
    """
    name, family = _judged(plan)
    if not family:
        return None
    found = _measured(plan, store, name)
    if found:
        where = "here" if found.study == plan.study.name else f"in {found.study}"
        whence = f"measured {where} over {found.seeds} seeds"
        return Noise(_part(plan) * found.sigma, found.f, found.images, family, whence)
    sigmas, f = ASSUMED[name == TEST]
    images, _ = _images(plan, name, _local(plan))
    return Noise(_part(plan) * sigmas[1], f, images, family, "assumed, not measured")


def _judged(plan: Plan) -> tuple[str, int]:
    """The set that decides, and hypotheses; none where no smallest effect can be told."""
    of, _, score = plan.study.primary.partition(".")
    name = TEST if of == "local" else of
    if plan.study.folds or metrics[score].traits["unit"] != "share" or len(plan.study.arms) < 2:
        return name, 0
    from bench.judge.family import family_keys, hypotheses

    return name, len(hypotheses(family_keys(plan.study)))


def lines(plan: Plan, store: Store) -> list[str]:
    """The smallest effects that the study's primary comparisons find 4 times in 5, as ``bench plan`` says it.

    Nothing for cross-validation, and for metrics that are no share.
    """
    name, family = _judged(plan)
    if not family:
        return []
    seeds = max(plan.looks, default=len(plan.study.seeds))
    if seeds < FEWEST_SEEDS:
        return [f"no verdict with fewer than {FEWEST_SEEDS} seeds"]
    local = _local(plan)
    found = _found(plan, store, name, seeds, family, local)
    few = [SCREENING] if seeds == FEWEST_SEEDS and not plan.looks else []
    return [*found, *few, *_finer_than_an_image(plan, store, name, local), *_too_few(plan, local, name)]


def _found(plan: Plan, store: Store, name: str, seeds: int, family: int, local: Source | None) -> list[str]:
    """The effects, from measured noise if there is any."""
    found = _measured(plan, store, name)
    if found is None:
        return list(_assumed(plan, name, seeds, family, local))
    part = _part(plan)
    smallest, if_luck = (
        _smallest(part * sigma, found.f, seeds, found.images, family) for sigma in _sigmas(found)
    )
    own = found.study == plan.study.name
    where = "here" if own else f"in {found.study}"
    lucky = f"; {points(if_luck)} if that was a lucky draw" if smallest < 1 else ""
    text = f"detects {_or_more(smallest)} (seed sd {points(found.sigma)} measured {where} over "
    text += f"{found.seeds} seeds{lucky})"
    more = [
        f"with seeds = {n}: {points(_smallest(part * found.sigma, found.f, n, found.images, family))}"
        for n in _more(seeds)
    ]
    return [text, *more]


def _part(plan: Plan) -> float:
    """Sd over seeds of what is compared, over that of two arms' difference.

    In a screen half of the A arms against the other half: 4σ²/A, in place of 2σ².
    """
    return math.sqrt(2 / len(plan.study.arms)) if plan.study.design == "screen" else 1.0


def points(fraction: float) -> str:
    """``3.4 points``; no score differs by 100."""
    from bench.judge.settling import points as spelled

    return spelled(fraction) if fraction < 1 else "no difference at all"


def _or_more(fraction: float) -> str:
    return points(fraction) + (" or more" if fraction < 1 else "")


def _more(seeds: int) -> list[int]:
    return [MORE_SEEDS] if seeds < MORE_SEEDS else []


def _smallest(sigma: float, f: float, seeds: int, images: int, family: int) -> float:
    from bench import stats

    return stats.smallest_effect(stats.assumed(sigma, f, max(2, seeds), images), stats.level(seeds), family)


def _sigmas(found: _Noise) -> tuple[float, float]:
    from bench import stats

    return found.sigma, stats.upper_sigma(found.sigma, found.seeds)


def _assumed(plan: Plan, name: str, seeds: int, family: int, local: Source | None) -> Iterator[str]:
    sigmas, f = ASSUMED[name == TEST]
    images, known = _images(plan, name, local)
    yield "assumed, not measured: no other study here has scored this set" + (
        "" if known else f"; {images:,} images taken for granted"
    )
    for sigma in sigmas:
        smallest = _or_more(_smallest(_part(plan) * sigma, f, seeds, images, family))
        yield f"detects {smallest} if the seed sd is {points(sigma)}"


def _images(plan: Plan, name: str, local: Source | None) -> tuple[int, bool]:
    """Images of a set, or groups of them, as far as known before it is opened; outliers not counted out."""
    hidden = plan.study.hidden.get(name)
    if isinstance(hidden, Shifted):
        return hidden.images, True
    if groups := _groups_of(plan, name):
        return groups, True  # they are what an interval counts
    if isinstance(hidden, Corrupted) and hidden.images:
        return hidden.images, True
    if isinstance(hidden, External):
        foreign = next((one.source for one in plan.sets if one.name == name), None)
        return (foreign.images, True) if foreign and foreign.images else (UNKNOWN_IMAGES, False)
    images = local.images if local else 0
    if images and not (name != TEST and hidden is None):
        return round(images * _test_share(plan)), True
    return UNKNOWN_IMAGES, False


def _groups_of(plan: Plan, name: str) -> int:
    """Groups of images in the local test set and in what is corrupted of it; 0 where they are not known."""
    local = name == TEST or isinstance(plan.study.hidden.get(name), Corrupted)
    return plan.shares.groups.get("test", 0) if plan.shares and local else 0


def _test_share(plan: Plan) -> float:
    split = plan.study.data.split
    return (split if isinstance(split, Split) else Split()).test


def _local(plan: Plan) -> Source | None:
    """Where the baseline's images are; a search may split them otherwise than the study does."""
    trials = (run.trial for run in (*plan.runs, *plan.pending))
    return next((t.source for t in trials if t.data.source == plan.study.data.source), None)


def _too_few(plan: Plan, local: Source | None, name: str) -> list[str]:
    """A warning where so few images, or groups, are tested on that chance would decide, or nothing can."""
    from bench.stats import FEWEST_DISAGREEMENTS

    groups = _groups_of(plan, name)
    if 0 < groups < FEWEST_DISAGREEMENTS:
        few = f"a verdict takes {FEWEST_DISAGREEMENTS} on which arms disagree"
        return [f"no verdict: {groups} groups to test on, {few}; raise the test share, or add folds"]
    if local is None or not local.classes or TEST not in plan.study.sets:
        return []
    test = round(local.images * _test_share(plan))
    if test >= FEWEST_PER_CLASS * local.classes:
        return []
    few = f"{FEWEST_PER_CLASS} of each are few"
    return [f"too few images for a verdict: about {test} to test {local.classes} classes on; {few}"]


def _measured(plan: Plan, store: Store, name: str) -> _Noise | None:
    """The noise of this study's own finished seeds, else of the latest other one with this set."""
    score = plan.study.primary.partition(".")[2]
    key = next((one.key for one in plan.sets if one.name == name), "")
    found: list[tuple[bool, float, _Noise]] = []
    for file in sorted(store.root.glob("*/tables/noise.csv")):
        study = file.parent.parent.name
        if _same_images(file.parent.parent, plan):
            at = study == plan.study.name, file.stat().st_mtime
            found += [(*at, row) for row in _rows(file, study, key, score)]
    return max(found, key=lambda item: item[:2])[2] if found else None


def _finer_than_an_image(plan: Plan, store: Store, name: str, local: Source | None) -> list[str]:
    """A warning where the difference that matters is less than one item of the set makes."""
    measured = _measured(plan, store, name)
    images, known = (measured.images, True) if measured else _images(plan, name, local)
    delta = (plan.study.delta.local if name == TEST else plan.study.delta.hidden) / 100
    if not known or images * delta >= 1:
        return []
    item = "group" if _groups_of(plan, name) else "image"
    return [f"δ of {points(delta)} is less than one {item} of {images:,}, {points(1 / images)}"]


def _same_images(folder: Path, plan: Plan) -> bool:
    try:
        return read_plan_file(folder / "plan.json").data_fingerprint == plan.data_fingerprint
    except (OSError, UserError):
        return False


def _rows(file: Path, study: str, key: str, score: str) -> Iterator[_Noise]:
    try:
        rows = list(csv.DictReader(content_of(file).decode("utf-8").splitlines()))
        for row in rows:
            seeds = int(row["seeds"])
            if row["key"] == key and row["metric"] == score and seeds >= FEWEST_SEEDS:
                yield _Noise(study, float(row["sigma"]), float(row["f"]), seeds, int(row["images"]))
    except (OSError, KeyError, TypeError, ValueError):  # written by another version, or by hand
        return
