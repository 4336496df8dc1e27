"""Which scanner, site or age band each image is of, as ``slices.npz`` of a study keeps it."""

from __future__ import annotations

import io
from collections.abc import Mapping
from dataclasses import dataclass
from typing import IO, TYPE_CHECKING, Any

from bench.files import opened
from bench.predictions import UNREADABLE

if TYPE_CHECKING:
    from pathlib import Path

    import numpy as np
    from numpy.typing import NDArray

FILE = "slices.npz"
MOST_VALUES = 20
"""Of a column: more make no slices that a person reads, and some of them look bad by luck."""
NO_VALUE = -1


@dataclass(frozen=True)
class Sliced:
    """What columns of a table say of the images of one source."""

    ids: NDArray[np.uint64]
    """(N,) ascending, each image once."""
    codes: Mapping[str, NDArray[np.int16]]
    """Column → (N,) place of each image's value in ``names``; ``NO_VALUE``: it has none."""
    names: Mapping[str, tuple[str, ...]]
    """Column → its values, in their order."""

    def of(self, column: str, value: int) -> NDArray[np.uint64]:
        """Ids (M,) of the images that have the value at this place of ``names``."""
        chosen: NDArray[np.uint64] = self.ids[self.codes[column] == value]
        return chosen

    def at(self, column: str, value: str) -> NDArray[np.uint64]:
        """The same of the value itself; none where no image has it."""
        names = self.names.get(column, ())
        return self.of(column, names.index(value)) if value in names else self.ids[:0]


def write(sets: Mapping[str, Sliced]) -> bytes:
    """The file's content, the same bytes for the same sets."""
    import numpy as np

    arrays: dict[str, Any] = {}
    for name, sliced in sets.items():
        arrays[f"{name}/ids"] = sliced.ids
        for column, codes in sliced.codes.items():
            arrays[f"{name}/codes of {column}"] = codes
            arrays[f"{name}/names of {column}"] = np.array(sliced.names[column])
    file = io.BytesIO()
    np.savez_compressed(file, **arrays)
    return file.getvalue()


def read(path: Path) -> dict[str, Sliced]:
    """Set → what is known of its images; nothing where there is no such file, or it is damaged."""
    try:
        with opened(path) as file:
            return _sets(file)
    except (*UNREADABLE, LookupError, TypeError):
        return {}


def _sets(file: IO[bytes]) -> dict[str, Sliced]:
    import numpy as np

    found: dict[str, Sliced] = {}
    with np.load(file, allow_pickle=False) as stored:
        for name in (key.removesuffix("/ids") for key in stored if key.endswith("/ids")):
            head = f"{name}/codes of "
            columns = [key.removeprefix(head) for key in stored if key.startswith(head)]
            codes = {column: stored[head + column] for column in columns}
            names = {column: tuple(map(str, stored[f"{name}/names of {column}"])) for column in columns}
            ids = stored[f"{name}/ids"]
            if ids.ndim != 1 or any(
                one.shape != ids.shape or one.dtype.kind not in "iu" for one in codes.values()
            ):
                raise ValueError(f"codes are whole numbers (N,), of {len(ids)} images")
            found[name] = Sliced(ids, codes, names)
    return found
