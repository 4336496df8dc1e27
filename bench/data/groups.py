"""Which images belong together: those of one patient, slide or donor, as ``groups`` of a table tells."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import PurePosixPath

import numpy as np
import numpy.typing as npt

from bench.data.images import Groups, Mask
from bench.data.reader import Reader
from bench.errors import UserError, did_you_mean, shorten
from bench.recipe import Grouping, NamePattern


def groups_of(reader: Reader, groups: Grouping, source: str) -> Groups:
    """Number of each image's group, (N,) int32 from 0, in the order of the groups' names.

    source  as the study writes it, for messages

    Raises UserError for an unknown column, and for images without a group: how many, and the first.
    """
    if isinstance(groups, NamePattern):
        spelled, values, lacking = (
            f'{{ pattern = "{groups.pattern}" }}',
            *_in_names(reader.names, groups.pattern),
        )
        how = "it does not match the file names of"
    else:
        spelled, values, lacking = f'"{groups}"', *_in_column(reader, groups, source)
        how = f"there is no {groups} for"
    if lacking.any():
        first = int(lacking.argmax())
        name = reader.names[first] if reader.names else f"image {first}"
        count = f"{lacking.sum():,} of {len(lacking):,} images"
        raise UserError(
            f"groups = {spelled}: {how} {count} of {shorten(source, 200)}\n"
            f"    the first is {shorten(name, 200)}; every image needs a group, be it one of its own"
        )
    return np.unique(values, return_inverse=True)[1].astype(np.int32)


def _in_names(names: Sequence[str], pattern: str) -> tuple[npt.NDArray[np.str_], Mask]:
    """What the pattern finds in each file name (N,), and where it finds nothing (N,)."""
    found = [re.search(pattern, PurePosixPath(name).name) for name in names]
    values = [(match[1] if match.re.groups else match[0]) if match else None for match in found]
    return np.array([value or "" for value in values]), np.array([not value for value in values])


def _in_column(reader: Reader, column: str, source: str) -> tuple[npt.NDArray[np.str_], Mask]:
    """A column's values (N,) as text, and where they are missing (N,)."""
    hint = (
        '\n    where file names hold the group: groups = { pattern = "^(P[0-9]+)_" };\n'
        '    where folders between class and image do: groups = "folder"'
    )
    return column_of(reader, column, f'groups = "{column}": {shorten(source, 200)}', hint)


def column_of(reader: Reader, column: str, asked: str, hint: str = "") -> tuple[npt.NDArray[np.str_], Mask]:
    """A column's values (N,) as text, and where they are missing (N,).

    asked  who asks for it of which source, for messages
    hint   what else can be done where it is not there

    Raises UserError where the source has no such column, or not a value for each image.
    """
    if column not in reader.columns:
        known = did_you_mean(column, reader.columns) if reader.columns else "it has none"
        raise UserError(f"{asked} has no column of that name; {known}{hint}")
    values = np.asarray(reader.columns[column]())
    if values.shape == (len(reader.labels), 1):
        values = values[:, 0]
    if values.shape != (len(reader.labels),):
        raise UserError(
            f"{asked} has {values.shape} values for {len(reader.labels):,} images; one each is needed, (N,)"
        )
    text = values.astype(str)
    missing = np.isnan(values) if values.dtype.kind == "f" else np.isin(text, ("", "None", "nan", "NaT"))
    return text, missing
