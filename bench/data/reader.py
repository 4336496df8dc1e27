"""What every source is turned into: labels at hand, pixels on demand."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, TypeVar

from bench.data.classes import one_form
from bench.errors import UserError, did_you_mean, shorten
from bench.registry import sources

if TYPE_CHECKING:
    from pathlib import Path

    import numpy as np
    import numpy.typing as npt

    from bench.data.images import Labels, Pixels
    from bench.plan import Source
    from bench.recipe import Data

T = TypeVar("T")
Size = tuple[int, int]
"""Width and height in pixels."""


class BrokenImageError(Exception):
    """An image that cannot be read; the text names it and says why."""


@dataclass(frozen=True)
class Reader:
    """A source opened: labels at hand, pixels on demand. N images of K classes.

    classes   their K names, in label order
    labels    (N,) int64, 0 to K-1
    channels  C: 1 gray, 3 colour
    native    index → (H, W, C) uint8 as the source stores it; raises BrokenImageError; thread-safe
    split     (N,) int8 (0 train, 1 validation, 2 test) where the source has its own; else None
    drawn     index → (S, S, C) uint8 already at the size wanted, where the source draws any; else None
    names     what each of the N is called, a path or a place; empty: by number
    columns   what else is known of each image, by name: () → (N,) values, for ``groups`` to name
    size      index → native (width, height) without decoding; None: it takes decoding
    file      index → the file that holds this image and no other; None: there are none
    """

    classes: tuple[str, ...]
    labels: Labels
    channels: int
    native: Callable[[int], Pixels]
    split: npt.NDArray[np.int8] | None = None
    drawn: Callable[[int], Pixels] | None = None
    names: Sequence[str] = ()
    columns: Mapping[str, Callable[[], npt.ArrayLike]] = field(default_factory=dict)
    size: Callable[[int], Size] | None = None
    file: Callable[[int], Path] | None = None


def open_source(data: Data, source: Source) -> Reader:
    """The reader of a located source; downloads what is absent and can be.

    Raises UserError for what is wrong with the images, and for labels that no classes go with.
    """
    import numpy as np

    component = sources[source.kind]
    given = {key: source.path if key == "path" else getattr(data, key) for key in component.takes}
    reader: Reader = component.build(given)
    labels, classes = np.asarray(reader.labels), len(reader.classes)
    whole = labels.dtype.kind in "iu" and labels.ndim == 1 and len(labels)
    if not whole or labels.min() < 0 or labels.max() >= classes:
        some = shorten(labels[:5].tolist())
        raise UserError(
            f"{shorten(data.source)}: labels {labels.dtype} {labels.shape}, {some} …\n"
            f"    a source's reader gives each image a class: a whole number from 0 to {classes - 1}"
        )
    return without(replace(reader, classes=tuple(map(one_form, reader.classes))), data.drop_classes)


def without(reader: Reader, classes: Sequence[str]) -> Reader:
    """A reader as if there were no images of these classes. Raises UserError for one that it has not."""
    import numpy as np

    if not classes:
        return reader
    unknown = [name for name in classes if name not in reader.classes]
    if unknown:
        raise UserError(
            f"[data] drop_classes: {shorten(unknown[0])} is no class here; "
            f"{did_you_mean(unknown[0], reader.classes)}"
        )
    left = [k for k, name in enumerate(reader.classes) if name not in classes]
    kept = np.flatnonzero(np.isin(reader.labels, left))
    place: list[int] = kept.tolist()
    drawn, size, file = reader.drawn, reader.size, reader.file
    return Reader(
        tuple(reader.classes[k] for k in left),
        np.searchsorted(left, reader.labels[kept]).astype(np.int64),
        reader.channels,
        lambda index: reader.native(place[index]),
        split=None if reader.split is None else reader.split[kept],
        drawn=drawn and (lambda index: drawn(place[index])),
        names=[reader.names[index] for index in place] if reader.names else (),
        columns={name: _chosen(column, kept) for name, column in reader.columns.items()},
        size=size and (lambda index: size(place[index])),
        file=file and (lambda index: file(place[index])),
    )


def _chosen(column: Callable[[], npt.ArrayLike], kept: npt.NDArray[np.intp]) -> Callable[[], npt.ArrayLike]:
    """A column (N,) at the places ``kept`` (M,)."""
    import numpy as np

    return lambda: np.asarray(column())[kept]


def once(make: Callable[[], T]) -> Callable[[], T]:
    """``make()``, made when it is first asked for, by one thread."""
    made: list[T] = []
    lock = threading.Lock()

    def get() -> T:
        with lock:
            if not made:
                made.append(make())
        return made[0]

    return get
