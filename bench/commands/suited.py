"""``bench new --from``: looks at images and says which study suits them, with the reason of each line.

Read are labels, names and the sizes of a few images, through the sources that a study has; nothing is decoded
that need not be.
"""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from bench.errors import UserError
from bench.machine import Machine
from bench.recipe import HIDDEN_NAME, Data, NamePattern
from bench.registry import sources
from bench.slices import MOST_VALUES
from bench.study.checks import NOT_SETS

if TYPE_CHECKING:
    from bench.data.images import Index
    from bench.data.reader import Reader

LOOKED_AT = 100
"""Images whose size is looked at, spread over all."""
GROUP_COLUMNS = ("patient", "patient_id", "subject", "donor", "case", "case_id", "slide", "slide_id", "group")
GROUP_NAMES = r"^((?:patient|subject|donor|case|slide|pat|p)[-_]?[0-9]+)[-_]"
"""Beginnings of file names that say whose image it is: ``P07_0001.png``."""
FOLDER_COLUMN = "folder"
FEWEST_AT_HOME, FEWEST_ELSEWHERE = 50, 20
"""Images of the rarest value of a column that makes slices: at home a part of them are test images."""


@dataclass(frozen=True)
class Look:
    """A source, looked at. N images of K classes.

    written   as the study writes it
    counts    (K,) images of each class
    split     (N,) int8 of its own split, or None
    side_px   shorter side of the middle image; 0 of drawings
    oblong    mean share outside the central square, 0 to 1
    groups    what ``groups`` is to be; None: nothing shows which images belong together
    grouped   how many groups there are
    slices    columns of few values, by which scores can be told apart
    """

    written: str
    classes: tuple[str, ...]
    counts: Index
    channels: int
    split: Index | None
    side_px: int
    oblong: float
    groups: str | NamePattern | None
    grouped: int
    slices: tuple[str, ...] = ()

    @property
    def images(self) -> int:
        """N."""
        return int(self.counts.sum())

    @property
    def smallest(self) -> int:
        """Images of the smallest class that has any."""
        return int(self.counts[self.counts > 0].min())

    @property
    def present(self) -> int:
        """Classes that have an image."""
        return int((self.counts > 0).sum())

    @property
    def imbalance(self) -> float:
        """Images of the largest class over those of the smallest."""
        return float(self.counts.max() / self.smallest)

    def __str__(self) -> str:
        belongs = f", {self.grouped} groups" if self.grouped else ""
        return f"{self.images:,} images, {self.present} classes, {self.imbalance:.1f} : 1{belongs}"


def look(written: str, machine: Machine, folder: Path, *, external: bool = False) -> Look:
    """Look at ``written``, a source whose path is seen from the current folder.

    folder   where the study will lie

    Raises UserError for what is no source, and for what is wrong with it.
    """
    if problem := sources.problem(written, external=external):
        path = Path(written).expanduser()
        kind = "folder" if path.is_dir() else path.suffix[1:]
        hint = "" if sources.problem(f"{kind}:{written}") else f'did you mean "{kind}:{written}"?  '
        raise UserError(f"{written}: {hint}{problem}")
    reader, groups, grouped = _opened(written, machine)
    sizes, fewest = _sizes(reader), FEWEST_ELSEWHERE if external else FEWEST_AT_HOME
    return Look(
        written=from_study(written, machine, folder),
        classes=reader.classes,
        counts=np.bincount(reader.labels, minlength=len(reader.classes)).astype(np.int64),
        channels=reader.channels,
        split=None if reader.split is None else reader.split.astype(np.int64),
        side_px=int(np.median([min(size) for size in sizes])) if sizes else 0,
        oblong=float(np.mean([1 - min(size) / max(size) for size in sizes])) if sizes else 0.0,
        groups=groups,
        grouped=grouped,
        slices=tuple(
            column for column in reader.columns if column != groups and _few_values(reader, column, fewest)
        ),
    )


def _few_values(reader: Reader, column: str, fewest: int) -> bool:
    """Whether a column makes slices, each of ``fewest`` images at least."""
    values = np.asarray(reader.columns[column]())
    if values.shape != reader.labels.shape:
        return False
    counts = np.unique(values.astype(str), return_counts=True)[1]
    return 2 <= len(counts) <= MOST_VALUES and int(counts.min()) >= fewest


def from_study(written: str, machine: Machine, folder: Path) -> str:
    """A source as a study in ``folder`` writes it: by a name of ``[paths]`` where one fits, else relative."""
    component, path = sources.named(written)
    if not path or path.startswith("@"):
        return written
    kind = "file" if component.traits.get("path") == "file" else "folder"
    there = machine.resolve(path, Path.cwd(), kind=kind)  # type: ignore[arg-type]
    for name, known in machine.paths.items():
        if known == there:
            return f"{component.name}:@{name}"
    if Path(path).is_absolute():
        return written
    return f"{component.name}:{Path(os.path.relpath(there, folder.resolve())).as_posix()}"


def _opened(written: str, machine: Machine) -> tuple[Reader, str | NamePattern | None, int]:
    """A source, opened; what its images belong together by, where columns, folders or names show it."""
    by_folder = _folders(written, machine)
    if by_folder is not None:
        return by_folder
    reader = _reader(Data(source=written), machine)
    for column in reader.columns:
        if column.lower() in GROUP_COLUMNS:
            found = len(np.unique(np.asarray(reader.columns[column]()).astype(str)))
            if 1 < found < len(reader.labels):
                return reader, column, found
    stems = [re.match(GROUP_NAMES, Path(name).name, re.IGNORECASE) for name in reader.names]
    named = {match[1] for match in stems if match}
    if stems and all(stems) and 1 < len(named) < len(stems):
        return reader, NamePattern(pattern=f"(?i){GROUP_NAMES}"), len(named)
    return reader, None, 0


def _folders(written: str, machine: Machine) -> tuple[Reader, str, int] | None:
    """The same of a folder whose classes hold folders, one for each patient, say; None where it is not so."""
    if sources.named(written)[0].name != "folder":
        return None
    reader = _reader(Data(source=written, groups=FOLDER_COLUMN), machine)
    between = np.asarray(reader.columns[FOLDER_COLUMN]()).astype(str)
    found = len(np.unique(between))
    return (reader, FOLDER_COLUMN, found) if (between != "").all() and found > 1 else None


def _reader(data: Data, machine: Machine) -> Reader:
    from bench.data.locator import DiskLocator
    from bench.data.reader import open_source

    return open_source(data, DiskLocator(machine, Path.cwd()).source(data.source, data))


def _sizes(reader: Reader) -> list[tuple[int, int]]:
    """Native (width, height) of a few images; empty for drawings."""
    if reader.drawn:
        return []
    some = np.unique(np.linspace(0, len(reader.labels) - 1, LOOKED_AT).astype(int)).tolist()
    return [reader.size(i) if reader.size else reader.native(i).shape[1::-1] for i in some]


def set_name(written: str, taken: Sequence[str]) -> str:
    """What to call a hidden set: after the last part of its path, unlike those that are taken."""
    name, _, path = written.partition(":")
    stem = re.sub(r"[^A-Za-z0-9_-]+", "-", Path(path or name).stem.lstrip("@")).strip("-_")
    if not re.fullmatch(HIDDEN_NAME, stem) or stem in NOT_SETS:
        stem = "other-lab"
    names = [stem, *(f"{stem[:60]}-{n}" for n in range(2, len(taken) + 3))]
    return next(one for one in names if one not in taken)


def translated(foreign: Look, home: Look) -> tuple[dict[str, str], list[str]]:
    """Foreign class → the study's, where they are spelled otherwise; foreign classes that it has not.

    Sources whose classes are numbers, on either side, keep them.
    """
    if sources.numbered(foreign.written) or sources.numbered(home.written):
        return {}, []
    ours = {_plain(name): name for name in home.classes}
    others = [name for name in foreign.classes if name not in home.classes]
    same = {name: ours[_plain(name)] for name in others if _plain(name) in ours}
    taken = set(foreign.classes) & set(home.classes)
    same = {name: ours for name, ours in same.items() if ours not in taken}
    return same, [name for name in others if name not in same]


def _plain(name: str) -> str:
    """``Immature_Granulocytes`` and ``immature granulocyte`` are one."""
    return re.sub(r"[^a-z0-9]+", "", name.lower()).removesuffix("s")
