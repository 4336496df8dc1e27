"""The two doors between a trial and its images: one before training, one after."""

from __future__ import annotations

import weakref
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import numpy as np

from bench.data import split
from bench.data.cache import open_images
from bench.data.corrupted import corrupted_samples
from bench.data.hidden import hidden_samples
from bench.data.images import COPIED_BYTES, Development, Ids, Images, Pixels, Samples
from bench.data.outliers import Findings, find
from bench.data.reader import open_source
from bench.errors import UserError
from bench.files import Count
from bench.plan import ScoredSet, Source, Trial
from bench.recipe import Corrupted, Data

OPENED = 4
"""Sources a process keeps open: a study's trials share one or two."""

KEPT_BYTES = 1 << 28
"""Splits in memory that a process keeps: all seeds share their test images, all arms of a seed its training
images."""

Split = TypeVar("Split", Development, Samples)


def development(
    trial: Trial, cache: Path, progress: Count | None = None, most: int = COPIED_BYTES
) -> Development:
    """Training and validation images of a trial: all that its training may know. Not to be written into.

    cache     folder of decoded images
    most      bytes of a split that are copied into this process; larger ones stay in the cache's file
    progress  called with (images done, images in all) while a source is decoded for the first time
    """

    def take() -> Development:
        images, findings = opened(trial.data, trial.source, cache, progress)
        return split.development(images, trial.data, trial.replicate, findings, most)

    return _keep(
        ("development", trial.source, trial.data.model_dump_json(), trial.replicate, cache, most), take
    )


def natives(trial: Trial, ids: Ids, cache: Path) -> list[Path] | list[Pixels]:
    """Images as the trial's source has them, by their ids (N,): the files, else pixels of native size."""
    images, _ = opened(trial.data, trial.source, cache, None)
    order = np.argsort(images.ids, kind="stable")
    places = order[np.searchsorted(images.ids[order], ids)].tolist()
    reader = open_source(trial.data, trial.source)
    if reader.file is not None:
        return [reader.file(place) for place in places]
    fetch = reader.drawn or reader.native  # drawings have no native size: as they were drawn, in their order
    found = {place: fetch(place) for place in sorted(places)}
    return [found[place] for place in places]


def held_out(trial: Trial, scored: ScoredSet, cache: Path, progress: Count | None = None) -> Samples:
    """The images of one scored set, local test or hidden; to be asked for after training, once.

    progress  called with (images done, images in all) while a corrupted set is made for the first time
    """

    def take() -> Samples:
        images, findings = opened(trial.data, trial.source, cache, None)
        test = images.take(split.test_indices(images, trial.data, trial.replicate, findings))
        if scored.hidden is None:
            return test
        return hidden_samples(scored, images, test, trial.data, cache, progress)

    hidden = scored.hidden.model_dump_json() if scored.hidden else ""
    fold = trial.replicate if trial.replicate.fold is not None else None  # a seed alone moves no test image
    local = trial.source, trial.data.model_dump_json(), fold, cache
    return _keep((scored.name, hidden, scored.source, *local), take)


def val_shift(
    corrupted: Corrupted, development: Development, cache: Path, progress: Count | None = None
) -> Samples:
    """The validation images of a trial, corrupted: what ``[val_shift]`` lets tuning see.

    Reaches nothing but ``development``: other base images than any hidden set's.
    """
    try:
        return corrupted_samples(corrupted, development.val, cache, progress=progress)
    except UserError as error:
        raise UserError(f"[val_shift] {error}") from None


_kept: OrderedDict[tuple[object, ...], tuple[int, Development | Samples]] = OrderedDict()
_held: weakref.WeakValueDictionary[tuple[object, ...], Development | Samples] = weakref.WeakValueDictionary()


def _keep(key: tuple[object, ...], make: Callable[[], Split]) -> Split:
    """What ``make`` makes, kept for the next trial of this process as long as there is room.

    What another trial holds at this moment is there in any case.
    """
    held = _held.get(key)
    if held is not None:
        if key in _kept:
            _kept.move_to_end(key)
        found: Split = held  # type: ignore[assignment]
        return found
    made = _held[key] = make()
    parts = (made.train, made.val) if isinstance(made, Development) else (made,)
    _kept[key] = sum(part.images.nbytes for part in parts if isinstance(part.images, np.ndarray)), made
    while sum(size for size, _ in _kept.values()) > KEPT_BYTES:
        _kept.popitem(last=False)
    return made


_opened: OrderedDict[tuple[object, ...], tuple[Images, Findings]] = OrderedDict()


def opened(data: Data, source: Source, cache: Path, progress: Count | None) -> tuple[Images, Findings]:
    """A source and what is unusual about it, kept for the next trial of this process."""
    key = (source, data.size_px, data.fit, data.fill, data.classes, data.groups, cache)
    if key not in _opened:
        images = open_images(data, source, cache, progress)
        _opened[key] = images, find(images, cache)
        while len(_opened) > OPENED:
            _opened.popitem(last=False)
    _opened.move_to_end(key)
    return _opened[key]
