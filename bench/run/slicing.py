"""Slices of test sets by scanner, site or age band: which columns there are, and what they say of each image.

They take no part in training or in any id: a study may name them when all its trials are done.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from bench import slices
from bench.errors import UserError, did_you_mean, shorten
from bench.files import write_whole
from bench.judge.findings import LOCAL
from bench.plan import TEST, Run, Source, Trial
from bench.recipe import Data, External
from bench.run.foresight import refuse
from bench.slices import MOST_VALUES, NO_VALUE, Sliced
from bench.store import Store
from bench.study.metric import apart
from bench.study.read import Study

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from bench.data.images import Index
    from bench.data.reader import Reader
    from bench.data.survey import Outline

Outlined = Callable[["Trial"], "Outline | None"]
FEWEST_VALUES = 2


def refuse_unknown(study: Study, runs: Sequence[Run], outlined: Outlined) -> list[str]:
    """Raise UserError for columns that are not there, or that make no slices.

    outlined   a trial's images and their sides, as far as labels tell

    Returns what is wrong with claims that would never be judged, in words. No image is decoded. Nothing is
    remembered of it: a column is no part of what its images are known by.
    """
    few: list[str] = []
    refuse(study.name, list(_problems(study, runs, outlined, few)))
    return few


def _problems(study: Study, runs: Sequence[Run], outlined: Outlined, few: list[str]) -> Iterator[str]:
    from bench.data.reader import open_source

    for name, data, source in _opened(study, runs):
        if source.path is not None and not source.path.exists():  # to be downloaded
            continue
        reader = open_source(data, source)
        for column in study.slices[name]:
            try:
                codes, values = _values(reader, name, column, data)
            except UserError as error:
                yield str(error)
                continue
            count = len(values)
            if claimed := _claimed(study, name, column):
                tested = _tested(runs[0].trial, outlined) if name == LOCAL else None
                here = codes if tested is None else codes[tested]
                sizes = {value: int((here == k).sum()) for k, value in enumerate(values)}
                yield from _unknown_values(claimed, sizes, few, " of the test set" * (tested is not None))
            if not FEWEST_VALUES <= count <= MOST_VALUES:
                many = "one value" if count == 1 else f"{count} values"
                yield (
                    f"[slices] {name}: {column} has {many}; {FEWEST_VALUES} to {MOST_VALUES} make slices, so "
                    "give bands of a number (40-49), or leave it out"
                )


def _claimed(study: Study, name: str, column: str) -> dict[str, str]:
    """Metric of a claim on a column of a set → the value that its images have there."""
    found = {}
    for metric in study.sliced_metrics:
        whole, slice = apart(metric)
        of = whole.partition(".")[0]
        if slice and slice[0] == column and study.sliced_as(TEST if of == LOCAL else of) == name:
            found[metric] = slice[1]
    return found


def _tested(trial: Trial, outlined: Outlined) -> Index | None:
    """Positions (M,) of the images that the study is tested on; None: of all, or that is not known."""
    outline = None if trial.replicate.folds else outlined(trial)  # seeds have one test set, folds all images
    return None if outline is None else outline.tested


def _unknown_values(
    claimed: Mapping[str, str], sizes: Mapping[str, int], few: list[str], where: str
) -> Iterator[str]:
    """Claims on a value that no image of a set has in a column; on one that too few have, added to ``few``.

    claimed   metric → the value
    sizes     value → images to be tested on that have it
    where     these are, in words
    """
    from bench.stats import FEWEST_DISAGREEMENTS  # imports scipy

    for metric, value in claimed.items():
        if value not in sizes:
            yield f"a claim is on {metric}: no image has that; {did_you_mean(value, sizes)}"
        elif (images := sizes[value]) < FEWEST_DISAGREEMENTS:
            needed = f"{FEWEST_DISAGREEMENTS} are needed for a verdict"
            have = f"1 image{where} has" if images == 1 else f"{images} images{where} have"
            few.append(f"a claim on {metric} is not judged: {have} that, {needed}")


def keep(study: Study, runs: Sequence[Run], cache: Path, store: Store) -> list[str]:
    """Write, or take away, what a study's report must know of its images to tell slices apart.

    Returns a line where that fails: no trial is lost by it, and the next run makes it again.
    """
    try:
        _keep(study, runs, cache, store)
    except (OSError, UserError) as error:
        return [f"{slices.FILE} cannot be written, and the report tells no slices: {error}"]
    return []


def _keep(study: Study, runs: Sequence[Run], cache: Path, store: Store) -> None:
    file = store.study_dir(study.name) / slices.FILE
    if not study.slices:
        file.unlink(missing_ok=True)
        return
    found = {name: _sliced(study, name, (data, source), cache) for name, data, source in _opened(study, runs)}
    content = slices.write(found)
    if not file.is_file() or file.read_bytes() != content:
        write_whole(file, content)


def _opened(study: Study, runs: Sequence[Run]) -> Iterator[tuple[str, Data, Source]]:
    """Set, how its source is opened, and where it is, of the sets that have slices."""
    from bench.data.foreign import as_written

    if not runs or not study.slices:
        return
    trial = runs[0].trial
    if LOCAL in study.slices:
        yield LOCAL, trial.data, trial.source
    for scored in runs[0].sets:
        if scored.name in study.slices and isinstance(scored.hidden, External) and scored.source:
            yield scored.name, as_written(scored.hidden, trial.data), scored.source


def _sliced(study: Study, name: str, of: tuple[Data, Source], cache: Path) -> Sliced:
    import numpy as np

    from bench.data.cache import open_images
    from bench.data.reader import open_source

    data, source = of
    reader = open_source(data, source)
    ids, first = np.unique(open_images(data, source, cache).ids, return_index=True)
    told = {column: _values(reader, name, column, data) for column in study.slices[name]}
    return Sliced(
        ids,
        {column: codes[first] for column, (codes, _) in told.items()},
        {column: names for column, (_, names) in told.items()},
    )


def _values(reader: Reader, name: str, column: str, data: Data) -> tuple[NDArray[np.int16], tuple[str, ...]]:
    """Place (N,) of each image's value among a column's, and these. Raises UserError."""
    import numpy as np

    from bench.data.groups import column_of

    text, missing = column_of(reader, column, f"[slices] {name}: {shorten(data.source, 200)}")
    names, codes = np.unique(text[~missing], return_inverse=True)
    found = np.full(len(text), NO_VALUE, np.int16)
    if len(names) <= np.iinfo(np.int16).max:
        found[~missing] = codes
    return found, tuple(map(str, names))
