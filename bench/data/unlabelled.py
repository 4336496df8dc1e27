"""Images whose class nobody has said: files of a folder or a table, arrays of an npz, or any source."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from bench.data.arrays import pixels_of
from bench.data.image_files import SUFFIXES, read_image, shown
from bench.data.images import Pixels
from bench.data.locator import DiskLocator
from bench.data.reader import open_source
from bench.data.sources.csv_table import read_table
from bench.data.sources.npz import opened
from bench.data.tables import FILE
from bench.errors import UserError, shorten
from bench.machine import Machine
from bench.recipe import Data
from bench.registry import sources


@dataclass(frozen=True)
class Unlabelled:
    """N images.

    names   what each is called: a path below the folder, as the table writes it, or a place in an array
    native  index → (H, W, C) uint8; raises BrokenImageError; thread-safe
    """

    names: Sequence[str]
    native: Callable[[int], Pixels]


def open_unlabelled(written: str, data: Data, machine: Machine, relative_to: Path) -> Unlabelled:
    """Images to be labelled, read as ``data`` says that a trial's were.

    written       a folder (its images at any depth), a table (``.csv`` with a column ``file``), an ``.npz``
                  with images (N, H, W) or (N, H, W, C); or a source as a study writes it: its labels do not
                  matter
    relative_to   folder that a relative path starts from

    Raises UserError where there is no image.
    """
    kind, colon, rest = written.partition(":")
    path = machine.resolve(rest if colon and kind in ("folder", "csv", "npz") else written, relative_to)
    if path.is_dir():
        found = _below(path, data)
    elif path.suffix.lower() == ".csv" and path.is_file():
        found = _listed(path, data)
    elif path.suffix.lower() == ".npz" and path.is_file():
        found = _stored(path)
    elif kind in sources.names() and kind not in ("folder", "csv", "npz"):
        source = DiskLocator(machine, relative_to).source(written, data)
        reader = open_source(data.model_copy(update={"source": written}), source)
        names = reader.names or [f"image {place}" for place in range(len(reader.labels))]
        found = Unlabelled(names, reader.native)
    else:
        raise UserError(
            f"{shorten(written, 200)}: no folder, .csv or .npz at {path}\n"
            f"    it may also be a source as a study writes it: {', '.join(sources.forms().values())}"
        )
    if not found.names:
        raise UserError(f"{path} holds no image; read are {', '.join(SUFFIXES)}")
    return found


def _below(folder: Path, data: Data) -> Unlabelled:
    """Every image of a folder, flat or nested, sorted; hidden names are left out."""
    names = []
    for parent, folders, files in os.walk(folder):
        folders[:] = [name for name in folders if not name.startswith(".")]
        names += [
            Path(parent, name).relative_to(folder).as_posix()
            for name in files
            if not name.startswith(".") and os.path.splitext(name)[1].lower() in SUFFIXES
        ]
    names.sort()
    return Unlabelled(
        list(map(shown, names)), lambda index: read_image(folder / names[index], data.bit_range)
    )


def _listed(path: Path, data: Data) -> Unlabelled:
    """The files of a table, relative to its folder, in its order."""
    table = read_table(path)
    column = table.column(FILE)
    if column is None:
        raise UserError(
            f"{path} has the columns {shorten(list(table.columns), 300)}\n    needed is {FILE[0]} (or "
            f"{', '.join(FILE[1:])}), the path of an image seen from the table's folder"
        )
    names = [name.replace("\\", "/") for name in table.columns[column]]
    return Unlabelled(names, lambda index: read_image(path.parent / names[index], data.bit_range))


def _stored(path: Path) -> Unlabelled:
    """The images of an npz: ``images``, or all arrays that end so."""
    with opened(path) as archive:
        called = [name for name in archive.files if name == "images" or name.endswith("_images")]
        if not called:
            raise UserError(
                f"{path} has the arrays {shorten(sorted(archive.files), 200)}; needed is images (N, H, W)"
            )
        arrays = pixels_of(path, [archive[name] for name in called])
    places = [(part, row) for part, array in enumerate(arrays) for row in range(len(array))]
    return Unlabelled(
        [f"{called[part]}[{row}]" for part, row in places],
        lambda index: arrays[places[index][0]][places[index][1]],
    )


def in_channels(native: Pixels, channels: int, name: str) -> Pixels:
    """An image (H, W, C) as a network of ``channels`` takes it: gray ones are repeated, as hidden sets' are.

    Raises UserError for colour where a network was trained on gray.
    """
    if native.shape[2] == channels:
        return native
    if channels == 1:
        raise UserError(
            f"{name} is in colour, and the network was trained on gray images\n"
            "    convert the images as those were, and hand them over as an npz of (N, H, W)"
        )
    return np.repeat(native, channels, axis=2)
