"""How a source stores its images: what each is called and how large it is. Reads headers, decodes nothing."""

from __future__ import annotations

import zipfile
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from bench.data.listing import list_images
from bench.errors import UserError
from bench.files import Count
from bench.plan import Source

Size = tuple[int, int]
"""Width and height in pixels."""

NPZ_ARRAYS = ("images", "train_images", "val_images", "test_images")
"""In the order in which ``npz.npz_reader`` lists their images."""
EXIF_ORIENTATION = 0x0112
LYING = range(5, 9)
"""EXIF orientations that swap width and height."""
TOLD = 256


def names(source: Source, count: int) -> Sequence[str]:
    """What each of a source's ``count`` images is called, in its order: a path or a place in an array."""
    if source.path is None:
        return [f"drawing {position}" for position in range(count)]
    if source.kind == "folder":
        return [file.relative for file in list_images(source.path)]
    return [f"{name}[{i}]" for name, shape in _npz_shapes(source.path).items() for i in range(shape[0])]


def native_sizes(source: Source, progress: Count | None = None) -> Counter[Size]:
    """How many images have which native size; empty for drawings, which have none.

    progress  called with (images done, images in all)
    """
    if source.path is None:
        return Counter()
    if source.kind != "folder":
        shapes = _npz_shapes(source.path).values()
        return sum((Counter({(shape[2], shape[1]): shape[0]}) for shape in shapes), Counter[Size]())
    files = list_images(source.path)
    sizes: Counter[Size] = Counter()
    for done, file in enumerate(files, 1):
        sizes[_upright_size(source.path / file.class_name / file.name)] += 1
        if progress and (done % TOLD == 0 or done == len(files)):
            progress(done, len(files))
    return sizes


def _upright_size(path: Path) -> Size:
    """Size of an image once it is turned as its EXIF orientation says, as ``folder.read_image`` does."""
    from PIL import Image

    try:
        with Image.open(path, formats=("JPEG", "PNG")) as image:
            width, height = image.size
            lying = image.getexif().get(EXIF_ORIENTATION) in LYING
    except (OSError, SyntaxError, ValueError) as error:
        raise UserError(f"{path}: {error}; replace this file or delete it") from None
    return (height, width) if lying else (width, height)


def _npz_shapes(path: Path) -> dict[str, tuple[int, ...]]:
    """Shape of each image array, from the headers inside the archive."""
    shapes = {}
    try:
        with zipfile.ZipFile(path) as archive:
            for name in NPZ_ARRAYS:
                if f"{name}.npy" in archive.namelist():
                    with archive.open(f"{name}.npy") as file:
                        version = np.lib.format.read_magic(file)
                        header = np.lib.format.read_array_header_1_0
                        if version != (1, 0):
                            header = np.lib.format.read_array_header_2_0
                        shapes[name] = header(file)[0]
    except (zipfile.BadZipFile, OSError, ValueError) as error:
        raise UserError(f"{path} is damaged or no npz: {error}; save it again with numpy.savez") from None
    # As the reader does: MedMNIST's three arrays win over a single one.
    return {k: v for k, v in shapes.items() if k != "images"} or shapes
