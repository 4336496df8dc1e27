"""Arrays of images as files hold them → (N, H, W, C) uint8, or what is wrong with them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench.errors import UserError

if TYPE_CHECKING:
    import numpy.typing as npt

    from bench.data.images import Pixels

Shape = tuple[int, ...]


def size_of(path: Path, shape: Shape) -> tuple[int, int, int]:
    """(N, H, W) or (N, H, W, C) → (H, W, C) with C 1 or 3."""
    full = (*shape, 1) if len(shape) == 3 else shape
    if len(shape) == 5 or (len(shape) == 4 and len(set(shape[1:])) == 1 and shape[3] > 3):
        raise UserError(
            f"{path}: images of shape {shape} are volumes, as MedMNIST's 3D sets; classified are images\n"
            "    save one slice of each: (N, H, W)"
        )
    if len(full) != 4 or full[3] not in (1, 3) or 0 in full[1:]:
        hint = "; channels come last: transpose it to (N, H, W, C)" if len(full) == 4 else ""
        raise UserError(
            f"{path}: images of shape {shape}, needed is (N, H, W), (N, H, W, 1) or (N, H, W, 3){hint}"
        )
    return full[1], full[2], full[3]


def pixels_of(path: Path, arrays: list[npt.NDArray[Any]]) -> list[Pixels]:
    """Arrays of a file, (N, H, W) or (N, H, W, C) each, as (N, H, W, C) uint8. Raises UserError."""
    shapes = [size_of(path, array.shape) for array in arrays]
    return [array.reshape(-1, *shape) for array, shape in zip(_as_uint8(path, arrays), shapes, strict=True)]


def _as_uint8(path: Path, arrays: list[npt.NDArray[Any]]) -> list[Pixels]:
    """Pixels as 0 to 255, exactly: whole numbers from 0 to 255 stay; floats from 0 to 1 are ×255, rounded.

    One rule for all parts of a file. Raises UserError for anything else, also for NaN.
    """
    import numpy as np

    if all(array.dtype == np.uint8 for array in arrays):
        return arrays
    kinds = {array.dtype.kind for array in arrays}
    if not kinds <= set("biuf"):
        raise UserError(
            f"{path}: pixels are {arrays[0].dtype}, which are no numbers; save uint8 from 0 to 255"
        )
    low, high = min(float(array.min()) for array in arrays), max(float(array.max()) for array in arrays)
    if kinds <= {"f"} and 0 <= low <= high <= 1:
        return [np.round(array * np.float64(255)).astype(np.uint8) for array in arrays]
    whole = kinds <= {"f", "i", "u"} and 0 <= low <= high <= 255
    if whole and all(np.array_equal(array, np.floor(array)) for array in arrays):
        return [array.astype(np.uint8) for array in arrays]
    types = ", ".join(sorted({str(array.dtype) for array in arrays}))
    raise UserError(
        f"{path}: pixels are {types} from {low:g} to {high:g}\n"
        "    allowed are uint8, whole numbers from 0 to 255, or floats from 0 to 1"
    )
