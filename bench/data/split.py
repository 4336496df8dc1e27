"""Who may see which image. The test split is fixed; each seed re-draws training and validation from the rest.

Everything is decided by hashes of pixels, never by position: the order of files and images does not matter,
and arms that differ in outliers, limit or size still agree about most images. Duplicates stay together, and
so do the images of a group (a patient) where groups are known.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from bench.data.classes import FROM_ONE
from bench.data.fingerprint import PINNED
from bench.data.images import COPIED_BYTES, Development, Images, Index
from bench.data.outliers import Findings, find
from bench.data.sides import TEST, TRAIN, VAL
from bench.data.whole import Wholes
from bench.errors import UserError, shorten
from bench.plan import Replicate
from bench.recipe import Data, Split

SHOWN_CLASSES = 20
BURST = 3
"""Near-copies that are more than a pair."""
NOTICEABLE = 0.01
"""Part of a class by which bursts of near-copies may move its share of a side before images are counted."""


def test_indices(
    images: Images,
    data: Data,
    replicate: Replicate,
    findings: Findings | None = None,  # noqa: PT028 - not a test
) -> Index:
    """Positions (T,), ascending, of the local test set.

    The source's own test split without its outliers; with shares, the first share of each class's cleaned
    duplicates; with folds, every k-th of those, starting at the fold. Images are counted where groups are
    known or bursts of near-copies make a difference. The same for every seed, and whether outliers are kept
    or dropped.
    """
    findings = findings or find(images)
    clean = np.flatnonzero(~findings.outlier)
    if _is_official(images, data, replicate):
        own_test: Index = clean[_own_split(images)[clean] == TEST]
        return own_test
    share = _shares(data).test
    if not share and replicate.fold is None:
        return clean[:0]
    wholes = Wholes.of(clean, _together(images, findings.clean_group), images)
    if counts_images(images, data, findings):
        order = wholes.ordered(data.split_seed, "test")
        if replicate.fold is None or replicate.folds is None:
            return wholes.images(wholes.nearest(order, share))
        return wholes.images(wholes.dealt(order, replicate.folds)[replicate.fold])
    chosen: list[int] = []
    for mine in wholes.by_class(data.split_seed, "test"):
        if replicate.fold is not None:
            chosen += mine[replicate.fold :: replicate.folds]
        elif mine:
            chosen += mine[: max(1, int(share * len(mine) + 0.5))]
    return wholes.images(chosen)


test_indices.__test__ = False  # type: ignore[attr-defined]  # pytest takes the name for a test's


def development(
    images: Images,
    data: Data,
    replicate: Replicate,
    findings: Findings | None = None,
    most: int = COPIED_BYTES,
) -> Development:
    """Training and validation images of one replicate, copied out of the source.

    most  bytes of each that are copied; of a larger side the images stay in their file

    Raises UserError that lists every class with too few images for three sides.
    """
    train, val, _ = sides(images, data, replicate, findings or find(images))
    return Development(images.take(train, most), images.take(val, most), images.classes)


def sides(images: Images, data: Data, replicate: Replicate, findings: Findings) -> tuple[Index, Index, Index]:
    """Positions of the training, validation and test images of one replicate.

    Raises UserError that lists every class with too few images for three sides.
    """
    test = test_indices(images, data, replicate, findings)
    alike = findings.clean_group if data.outliers == "drop" else findings.group
    together = _together(images, alike)
    rest = _rest(test, data, findings, (alike, together))
    if _is_official(images, data, replicate) and VAL in _own_split(images):
        train, val = _official(rest, together, images, data)
    elif counts_images(images, data, findings):
        train, val = _nearest(rest, together, images, data, replicate)
    else:
        train, val = _drawn(rest, together, images, data, replicate)
    # A patient's images stay together; one that resembles another patient's does not join the two, for a few
    # accidents of the hash would make one group of all patients. Its copy in training goes.
    train = train[~np.isin(alike[train], alike[val])]
    spare = _left_over(rest, train, val, alike, together, data)
    val = _filled_up(val, spare, together, images, data, replicate)
    needed = {"train": train, "validation": val, "test": test}
    if not len(test) and not _shares(data).test:
        del needed["test"]
    _require_every_class(images, needed)
    return train, val, test


def counts_images(images: Images, data: Data, findings: Findings) -> bool:
    """Whether sides are filled by images: where groups are known, or duplicates come in bursts.

    Elsewhere a share of the groups of duplicates is that share of the images, give or take one. Then groups
    are counted, as they were before there was a choice: the trials of such sources stay valid.
    """
    return images.groups is not None or (data.source not in PINNED and bursts(images, findings))


def bursts(images: Images, findings: Findings) -> bool:
    """Whether near-copies come in such bursts that it matters which of them a share draws.

    In some class, the root of Σ (images of a burst − 1)² is more than a hundredth of the class's images.
    """
    clean = np.flatnonzero(~findings.outlier)
    wholes = Wholes.of(clean, findings.clean_group, images)
    sizes = np.array(wholes.sizes)
    excess = np.where(sizes >= BURST, (sizes - 1.0) ** 2, 0.0)
    moved = np.sqrt(np.bincount(wholes.label, weights=excess, minlength=len(images.classes)))
    return bool((moved > NOTICEABLE * wholes.counts.sum(axis=0)).any())


def _together(images: Images, alike: Index) -> Index:
    """(N,) which images stay on one side: those of a group, where groups are known, else duplicates."""
    return alike if images.groups is None else images.groups.astype(np.int64)


def _shares(data: Data) -> Split:
    return data.split if isinstance(data.split, Split) else Split()


def _is_official(images: Images, data: Data, replicate: Replicate) -> bool:
    """Whether the source's own split is used; cross-validation pools all of its images."""
    if data.split == "official" and images.split is None:
        raise UserError(
            f'[data] split = "official": {shorten(data.source, 200)} has no split of its own\n'
            "    leave split out, or give shares: { train = 0.8, val = 0.1, test = 0.1 }"
        )
    return images.split is not None and not isinstance(data.split, Split) and replicate.fold is None


def _own_split(images: Images) -> Index:
    """(N,) int64: the source's own split. Raises UserError where that has no test or no training images."""
    if images.split is None:
        raise ValueError("this source has no split of its own")
    missing = [name for side, name in ((TRAIN, "training"), (TEST, "test")) if side not in images.split]
    if missing:
        raise UserError(
            f"its own split has no {' and no '.join(missing)} images\n"
            "    call what it is to be scored on test, validation is then drawn from its training images;\n"
            "    or give shares of all: [data] split = { train = 0.8, val = 0.1, test = 0.1 }"
        )
    return images.split.astype(np.int64)


def _rest(test: Index, data: Data, findings: Findings, apart: Iterable[Index]) -> Index:
    """Positions that training and validation may use: none with the same number as a test image.

    apart  (N,) numbers each, of duplicates and of what stays together

    Kept outliers join here.
    """
    usable = ~findings.outlier if data.outliers == "drop" else np.ones(len(findings.outlier), dtype=bool)
    for number in apart:
        usable = usable & ~np.isin(number, number[test])
    return np.flatnonzero(usable)


def _official(rest: Index, group: Index, images: Images, data: Data) -> tuple[Index, Index]:
    """The source's own training and validation images; a group on both sides stays in validation only."""
    side = _own_split(images)[rest]
    train, val = rest[side == TRAIN], rest[side == VAL]
    train = train[~np.isin(group[train], group[val])]
    if data.limit is None or data.limit >= len(train) + len(val):
        return train, val
    both = [Wholes.of(position, group, images) for position in (train, val)]
    ordered = [wholes.by_class(data.split_seed, "limit") for wholes in both]
    strata = [(wholes, mine) for wholes, classes in zip(both, ordered, strict=True) for mine in classes]
    chosen = _limited(strata, data.limit, at_least=1)
    count = len(images.classes)
    return both[0].images(_flat(chosen[:count])), both[1].images(_flat(chosen[count:]))


def _nearest(
    rest: Index, group: Index, images: Images, data: Data, replicate: Replicate
) -> tuple[Index, Index]:
    """Training and validation, drawn by the replicate's seed: whole groups, near to the shares."""
    wholes, shares = Wholes.of(rest, group, images), _shares(data)
    allowed = _allowed(wholes, data)
    order = [number for number in wholes.ordered(replicate.split_seed, "split") if number in allowed]
    val = set(wholes.nearest(order, shares.val / (shares.train + shares.val)))
    return wholes.images(allowed - val), wholes.images(val)


def _allowed(wholes: Wholes, data: Data) -> set[int]:
    """Groups that a limit leaves."""
    if data.limit is None or data.limit >= wholes.count(range(len(wholes.members))):
        return set(range(len(wholes.members)))
    strata = [(wholes, mine) for mine in wholes.by_class(data.split_seed, "limit")]
    return set(_flat(_limited(strata, data.limit, at_least=2)))


def _drawn(
    rest: Index, group: Index, images: Images, data: Data, replicate: Replicate
) -> tuple[Index, Index]:
    """Training and validation, drawn by the replicate's seed: in each class whole groups up to the share.

    A group's place in the draw is a hash of (seed, pixels): arms with other outliers or limits draw alike.
    """
    wholes, shares = Wholes.of(rest, group, images), _shares(data)
    allowed = _allowed(wholes, data)
    val: set[int] = set()
    for mine in wholes.by_class(replicate.split_seed, "split"):
        mine = [number for number in mine if number in allowed]
        wanted = wholes.count(mine) * shares.val / (shares.train + shares.val)
        drawn = wholes.fill(mine, max(1, int(wanted + 0.5)))
        if not drawn and len(mine) > 1:
            drawn = [min(mine, key=wholes.sizes.__getitem__)]
        val.update(drawn)
    return wholes.images(allowed - val), wholes.images(val)


def _left_over(rest: Index, train: Index, val: Index, alike: Index, together: Index, data: Data) -> Index:
    """Positions that the limit left over and validation may have beside its own.

    None that belongs together with, or is a duplicate of, a training image; and no duplicate of an image that
    validation would then count a second time.
    """
    if data.limit is None or data.val_images is None:
        return rest[:0]
    known = np.isin(rest, val) | np.isin(alike[rest], alike[val])
    known |= np.isin(alike[rest], alike[train]) | np.isin(together[rest], together[train])
    return rest[~known]


def _filled_up(
    val: Index, spare: Index, together: Index, images: Images, data: Data, replicate: Replicate
) -> Index:
    """Validation with as many spare images, drawn by the seed, as make it ``val_images``.

    Classes in the proportions of what is spare, whole groups.
    """
    missing = (data.val_images or 0) - len(val)
    if missing <= 0 or not len(spare):
        return val
    wholes = Wholes.of(spare, together, images)
    strata = wholes.by_class(replicate.split_seed, "spare")
    counts = [wholes.count(mine) for mine in strata]
    rooms = counts if missing >= sum(counts) else _apportion(counts, missing, at_least=0)
    more = [wholes.fill(mine, room) for mine, room in zip(strata, rooms, strict=True)]
    return np.sort(np.concatenate([val, wholes.images(_flat(more))]))


def _limited(strata: list[tuple[Wholes, list[int]]], limit: int, at_least: int) -> list[list[int]]:
    """Groups of each stratum that a limit leaves: in proportion, in the order given.

    A group that would take more than half of its stratum's room is passed over, so that two always fit.
    """
    if limit < at_least * len(strata):
        raise UserError(
            f"[data] limit = {limit} is too small: training and validation together need at least "
            f"{at_least * len(strata)} images, to have every class on both sides"
        )
    rooms = _apportion([wholes.count(mine) for wholes, mine in strata], limit, at_least)
    return [
        wholes.fill(mine, room, max(1, room // 2)) for (wholes, mine), room in zip(strata, rooms, strict=True)
    ]


def _apportion(counts: list[int], limit: int, at_least: int) -> list[int]:
    """``limit`` dealt out in proportion to ``counts`` by largest remainders, nobody under ``at_least``."""
    exact = np.array(counts) * limit / sum(counts)
    rooms = np.floor(exact).astype(int)
    rooms[np.argsort(rooms - exact, kind="stable")[: limit - rooms.sum()]] += 1
    while rooms.min() < at_least:
        rooms[rooms.argmin()] += 1
        rooms[rooms.argmax()] -= 1
    return [int(room) for room in rooms]


def _flat(lists: Iterable[list[int]]) -> list[int]:
    return [number for numbers in lists for number in numbers]


def _require_every_class(images: Images, sides: dict[str, Index]) -> None:
    """Raises UserError that lists every class missing from a side."""
    count = len(images.classes)
    *before, last = ("training" if name == "train" else name for name in sides)
    names = f"{', '.join(before)} and {last}"
    seen = {name: np.bincount(images.labels[index], minlength=count) for name, index in sides.items()}
    short = [k for k in range(count) if any(per_class[k] == 0 for per_class in seen.values())]
    if not short:
        return
    every = np.bincount(images.labels, minlength=count)
    of = [""] * count
    if images.groups is not None:
        of = [f" of {len(np.unique(images.groups[images.labels == k]))} groups" for k in range(count)]
    lines = [
        f"  {images.classes[k]}: {every[k]} images{of[k]}, of which "
        + ", ".join(f"{per_class[k]} {name}" for name, per_class in seen.items())
        for k in short[:SHOWN_CLASSES]
    ]
    if every[0] == 0 and every[1:].all():
        lines.append(f"  {FROM_ONE}")
    more = f"\n  … and {len(short) - SHOWN_CLASSES} more" if len(short) > SHOWN_CLASSES else ""
    raise UserError(
        f"{len(short)} of {count} classes have too few images for {names}\n"
        + "\n".join(lines)
        + more
        + "\n    add images, leave out these (drop_classes), or raise [data] limit; duplicates count once"
        + (", groups stay whole" if images.groups is not None else "")
    )
