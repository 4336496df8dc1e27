"""The two doors between a trial and its images: one before training, one after."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path

from bench.data import split
from bench.data.cache import open_images
from bench.data.corrupted import corrupted_samples
from bench.data.hidden import hidden_samples
from bench.data.images import Development, Images, Samples
from bench.data.outliers import Findings, find
from bench.errors import UserError
from bench.plan import ScoredSet, Source, Trial
from bench.recipe import Corrupted, Data

OPENED = 4
"""Sources a process keeps open: a study's trials share one or two, and finding duplicates takes a second."""

Progress = Callable[[int, int], None]


def development(trial: Trial, cache: Path, progress: Progress | None = None) -> Development:
    """Training and validation images of a trial: all that its training may know.

    cache     folder of decoded images
    progress  called with (images done, images in all) while a source is decoded for the first time
    """
    images, findings = _open(trial.data, trial.source, cache, progress)
    return split.development(images, trial.data, trial.replicate, findings)


def held_out(trial: Trial, scored: ScoredSet, cache: Path, progress: Progress | None = None) -> Samples:
    """The images of one scored set, local test or hidden; to be asked for after training, once.

    progress  called with (images done, images in all) while a corrupted set is made for the first time
    """
    images, findings = _open(trial.data, trial.source, cache, None)
    test = images.take(split.test_indices(images, trial.data, trial.replicate, findings))
    if scored.hidden is None:
        return test
    return hidden_samples(scored, images, test, trial.data, cache, progress)


def val_shift(
    corrupted: Corrupted, development: Development, cache: Path, progress: Progress | None = None
) -> Samples:
    """The validation images of a trial, corrupted: what ``[val_shift]`` lets tuning see.

    Reaches nothing but ``development``: other base images than any hidden set's.
    """
    try:
        return corrupted_samples(corrupted, development.val, cache, progress=progress)
    except UserError as error:
        raise UserError(f"[val_shift] {error}") from None


_opened: OrderedDict[tuple[object, ...], tuple[Images, Findings]] = OrderedDict()


def _open(data: Data, source: Source, cache: Path, progress: Progress | None) -> tuple[Images, Findings]:
    """A source and what is unusual about it, kept for the next trial of this process."""
    key = (source, data.n_images, data.size_px, data.classes, cache)
    if key not in _opened:
        images = open_images(data, source, cache, progress)
        _opened[key] = images, find(images)
        while len(_opened) > OPENED:
            _opened.popitem(last=False)
    _opened.move_to_end(key)
    return _opened[key]
