"""What a trial said about images, as ``predictions.npz`` has it. Imports numpy where arrays are touched."""

from __future__ import annotations

import functools
import io
import math
import zipfile
import zlib
from collections.abc import Container, Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from bench.archive import files_in

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

PER_ITEM = "per_item "
UNREADABLE = (
    *(OSError, ValueError, KeyError, EOFError, MemoryError, OverflowError, RuntimeError),
    *(zipfile.BadZipFile, zlib.error),
)
"""What reading predictions raises where their file is torn or foreign: a flipped byte may ask for any."""


@dataclass(frozen=True)
class Predictions:
    """What a trial said about one scored set. Copies of a base image share its id and class."""

    probabilities: NDArray[np.float16]
    """(N, K), rows sum to 1 up to rounding."""
    labels: NDArray[np.int64]
    """(N,)"""
    ids: NDArray[np.uint64]
    """(N,)"""
    conditions: NDArray[np.int16] | None = None
    """(N,): what was done to each image of a corrupted set, an index of ``condition_names``."""
    condition_names: tuple[str, ...] = ()
    per_item: Mapping[str, NDArray[np.float64]] = field(default_factory=dict)
    """Name and version of a metric from outside → (M,) how much its score hangs on each item."""
    groups: NDArray[np.int32] | None = None
    """(N,) number of each image's group (patient), where groups are known."""

    def __post_init__(self) -> None:
        for name, array, kind in (("conditions", self.conditions, "int16"), ("groups", self.groups, "int32")):
            if array is not None and (array.dtype != kind or array.shape != self.labels.shape):
                raise ValueError(f"{name} are {kind} (N,), got {array.dtype} {array.shape}")
        arrays: tuple[NDArray[Any], ...] = (self.probabilities, self.labels, self.ids)
        kinds = (("float16", 2), ("int64", 1), ("uint64", 1))
        if any(a.dtype != kind or a.ndim != axes for a, (kind, axes) in zip(arrays, kinds, strict=True)):
            found = [(a.dtype.name, a.ndim) for a in arrays]
            raise ValueError(f"predictions need float16 (N, K), int64 (N,), uint64 (N,), got {found}")
        lengths = [len(a) for a in arrays]
        if len(set(lengths)) > 1:
            raise ValueError(f"probabilities, labels and ids differ in length: {lengths}")
        if len(self.labels) and not 0 <= self.labels.min() <= self.labels.max() < self.probabilities.shape[1]:
            raise ValueError(f"labels are classes, 0 to {self.probabilities.shape[1] - 1}")
        known, done = len(self.condition_names), self.conditions
        if done is not None and len(done) and not 0 <= done.min() <= done.max() < known:
            raise ValueError(f"conditions are numbers of the {known} condition_names")


def read_archive(content: bytes, wanted: Container[str] | None = None) -> dict[str, Predictions]:
    """What was said of each set, out of a whole ``predictions.npz``. Raises one of UNREADABLE.

    wanted   keys of the sets that are asked for; None: all there are
    """
    arrays = _Arrays(content)
    keys = dict.fromkeys(name.rpartition("/")[0] for name in arrays)
    return {key: read_predictions(arrays, key) for key in keys if wanted is None or key in wanted}


class _Arrays(Mapping[str, "NDArray[Any]"]):
    """What ``np.load`` gives, in a tenth of the time where arrays are small: a report opens 30,000."""

    def __init__(self, content: bytes) -> None:
        names, self._content_of = files_in(content)
        self._names = {name.removesuffix(".npy"): name for name in names}

    def __getitem__(self, name: str) -> NDArray[Any]:
        return _array(self._content_of(self._names[name]))

    def __contains__(self, name: object) -> bool:
        return name in self._names

    def __iter__(self) -> Iterator[str]:
        return iter(self._names)

    def __len__(self) -> int:
        return len(self._names)


def _array(content: bytes) -> NDArray[Any]:
    """A file in NumPy's format as an array. Raises ValueError for one of objects, which would be executed."""
    import numpy as np

    size = int.from_bytes(content[8:10], "little") if content[6:7] == b"\x01" else 0
    if not size or content[:6] != b"\x93NUMPY":  # a header of more than 64 KiB, or foreign
        return np.lib.format.read_array(io.BytesIO(content), allow_pickle=False)
    shape, columns_first, dtype = _header(content[: 10 + size])
    flat = np.frombuffer(content, dtype, math.prod(shape), offset=10 + size)
    return flat.reshape(shape, order="F" if columns_first else "C").copy()


@functools.lru_cache(maxsize=1024)
def _header(head: bytes) -> tuple[tuple[int, ...], bool, np.dtype[Any]]:
    import numpy as np

    shape, columns_first, dtype = np.lib.format.read_array_header_1_0(io.BytesIO(head[8:]))
    if dtype.hasobject:
        raise ValueError("arrays of objects are not read, as with allow_pickle=False")
    return shape, columns_first, dtype


def read_predictions(file: Mapping[str, Any], key: str) -> Predictions:
    """What was said of one set, out of the arrays of an archive. Raises one of UNREADABLE."""
    images = str(file[f"{key}/images_of"]) if f"{key}/images_of" in file else key
    probabilities, labels, ids = file[f"{key}/probabilities"], file[f"{images}/labels"], file[f"{images}/ids"]
    head = f"{key}/{PER_ITEM}"
    per_item = {name.removeprefix(head): file[name] for name in file if name.startswith(head)}
    names = tuple(file[f"{key}/condition_names"].tolist()) if f"{key}/conditions" in file else ()
    conditions, groups = file.get(f"{key}/conditions"), file.get(f"{images}/groups")
    return Predictions(probabilities, labels, ids, conditions, names, per_item, groups)


def archive_of(predictions: Mapping[str, Predictions]) -> bytes:
    """``predictions.npz`` of every set, the same bytes for the same content."""
    import numpy as np

    arrays: dict[str, Any] = {}
    written: dict[str, Predictions] = {}
    for key, prediction in predictions.items():
        arrays[f"{key}/probabilities"] = prediction.probabilities
        # Ids do not compress, and a corrupted set mostly has the local test's images, in their order.
        if like := next((k for k, other in written.items() if _same_images(prediction, other)), None):
            arrays[f"{key}/images_of"] = np.array(like)
        else:
            arrays |= {f"{key}/labels": prediction.labels, f"{key}/ids": prediction.ids}
            if prediction.groups is not None:
                arrays[f"{key}/groups"] = prediction.groups
            written[key] = prediction
        if prediction.conditions is not None:
            arrays[f"{key}/conditions"] = prediction.conditions
            arrays[f"{key}/condition_names"] = np.array(prediction.condition_names)
        arrays |= {f"{key}/{PER_ITEM}{name}": values for name, values in prediction.per_item.items()}
    file = io.BytesIO()
    np.savez_compressed(file, **arrays)
    return file.getvalue()


def _same_images(a: Predictions, b: Predictions) -> bool:
    import numpy as np

    pairs: Any = (a.ids, b.ids), (a.labels, b.labels), (a.groups, b.groups)
    return all(np.array_equal(one, other) for one, other in pairs)  # None equals None only
