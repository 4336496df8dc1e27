"""Files of predictions as one table: CSV, Parquet, npz, several of them or a folder."""

from __future__ import annotations

import contextlib
import csv
import io
import warnings
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from bench.errors import UserError, cut, did_you_mean, shorten
from bench.files import opened

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd
    from numpy.typing import NDArray

SUFFIXES = (".csv", ".parquet", ".npz")
NEEDED = ("arm", "seed", "image", "label")
OPTIONAL = ("set", "group", "fold", "pred", "condition", "status")
P = "p_"
"""What a column of probabilities begins with; its class stands behind."""
DELIMITERS = ",;\t"
MISSING = ["", "nan", "NaN", "NAN", "null", "NULL", "None"]
"""Cells of a probability that hold none."""
FORM = (
    "a row an image and trial: arm, seed, image, label, and p_<class> for every class (or pred alone); "
    "where there are some: set, group, fold"
)


@dataclass(frozen=True)
class Sheet:
    """All rows of all files, N of them.

    cells   text (N,) of every column that has a name here, without space at its ends
    said    (N, K) float64 probabilities, NaN where a cell holds no number; K = 0 with ``pred`` alone
    classes names of the K columns, as they are written
    unused  columns that mean nothing here
    """

    cells: dict[str, NDArray[np.object_]]
    said: NDArray[np.float64]
    classes: tuple[str, ...]
    unused: tuple[str, ...]
    files: tuple[Path, ...]
    file_of: NDArray[np.int64]
    """(N,) which of the files a row is from."""
    number: NDArray[np.int64]
    """(N,) its line in a CSV file, counted from 1; its row elsewhere."""

    def place(self, row: int) -> str:
        """Where a row stands: ``line 17``, of several files with its file."""
        file = self.files[self.file_of[row]]
        where = f"{'line' if file.suffix == '.csv' else 'row'} {self.number[row]}"
        return where if len(self.files) == 1 else f"{file.name}, {where}"


def found(paths: Sequence[Path], form: str = FORM) -> tuple[Path, ...]:
    """The files that paths mean: themselves, of a folder what lies in it, by name. Raises UserError.

    form   what a table of predictions must hold, in words
    """
    files: list[Path] = []
    for path in paths:
        if path.is_dir():
            inside = sorted(p for p in path.iterdir() if p.suffix in SUFFIXES and not p.is_dir())
            if strange := [p for p in inside if not p.is_file()]:
                raise UserError(f"{strange[0]} is no file: a link to nothing, or a pipe; move it away")
            if not inside:
                raise UserError(f"{path}: no {', '.join(SUFFIXES)} file lies there; needed is {form}")
            files += inside
        elif path.suffix not in SUFFIXES:
            raise UserError(f"{path}: predictions are a {', '.join(SUFFIXES)} file or a folder of them")
        elif not path.is_file():
            raise UserError(f"{path}: no such file; needed is {form}")
        else:
            files.append(path)
    twice = next((file for file in files if sum(file.samefile(other) for other in files) > 1), None)
    if twice is not None:
        raise UserError(f"{twice} is named twice; name each file once")
    return tuple(files)


def read(paths: Sequence[Path], needed: Sequence[str] = NEEDED, form: str = FORM) -> Sheet:
    """Every row of every file. Raises UserError for what cannot be read, and for columns that are missing.

    needed   columns that there must be, beside the answers
    form     the same in words
    """
    import numpy as np
    import pandas as pd

    files = found(paths, form)
    frames = [_frame(file, form) for file in files]
    for file, frame in zip(files, frames, strict=True):
        _check_columns(file, [str(name) for name in frame.columns], needed, form)
    classes = tuple(name.removeprefix(P) for name in frames[0].columns if name.startswith(P))
    for file, frame in zip(files, frames, strict=True):
        others = {name.removeprefix(P) for name in frame.columns if name.startswith(P)}
        if others != set(classes):
            raise UserError(
                f"{file} has probabilities of {shorten(sorted(others), 200)}, {files[0].name} of "
                f"{shorten(sorted(classes), 200)}; give the same p_ columns in every file, or pred in all"
            )
    lengths = [len(frame) for frame in frames]
    whole = pd.concat(frames, ignore_index=True) if len(frames) > 1 else frames[0]
    known = [name for name in (*NEEDED, *OPTIONAL) if name in whole.columns]
    columns = [P + name for name in classes]
    return Sheet(
        {name: _text(whole[name]) for name in known},
        whole[columns].to_numpy(np.float64) if classes else np.zeros((len(whole), 0)),
        classes,
        tuple(str(name) for name in whole.columns if name not in {*known, *columns, NUMBER}),
        files,
        np.repeat(np.arange(len(files)), lengths),
        whole[NUMBER].to_numpy(np.int64),
    )


NUMBER = " "
"""Column of the rows' numbers: no file has one of that name, for names are stripped."""


def _check_columns(file: Path, names: Sequence[str], needed: Sequence[str], form: str) -> None:
    """Raise UserError for columns that are missing, and for one that is nearly one of those there can be."""
    told = [name for name in names if name != NUMBER and not name.startswith(P)]
    answers = "pred" in names or any(name.startswith(P) for name in names)
    missing = [name for name in needed if name not in names] + ([] if answers else ["p_<class> or pred"])
    if missing:
        raise UserError(
            f"{file} lacks the column{'s' * (len(missing) > 1)} {', '.join(missing)}; it has "
            f"{shorten(told, 200)}\n    needed is {form}"
        )
    for name in told:
        near = [known for known in OPTIONAL if known not in names]
        if name not in (*NEEDED, *OPTIONAL) and (hint := did_you_mean(name.lower(), near)).startswith("did"):
            raise UserError(f"{file}: the column {shorten(name)} means nothing here; {hint} Rename it")
    if P in names:
        raise UserError(f"{file}: the column {shorten(P)} names no class; call it p_<class>")
    if sum(name.startswith(P) for name in names) == 1:
        raise UserError(f"{file} has one column of probabilities; give p_<class> for every class")


def _text(column: pd.Series) -> NDArray[np.object_]:
    """A column as text; whole numbers that were stored as 3.0 are 3."""
    import pandas as pd

    if pd.api.types.is_float_dtype(column.dtype):
        known = column.dropna()
        whole = (known % 1 == 0) & (known.abs() < 2**63)
        column = column.astype("Int64") if whole.all() else column
    text = column.astype("string").fillna("").str.strip()
    cells: NDArray[np.object_] = text.to_numpy(dtype=object)
    return cells


def _frame(file: Path, form: str) -> pd.DataFrame:
    """A file's cells: probabilities as float64, all others as they are stored, and the number of each row."""
    import pandas as pd

    read = {".csv": _csv, ".parquet": _parquet, ".npz": _npz}[file.suffix]
    with _readable(file):
        frame = read(file)
        for name in filter(lambda name: pd.api.types.is_object_dtype(frame[name]), frame.columns):
            frame[name] = [cell.decode() if isinstance(cell, bytes) else cell for cell in frame[name]]
    if not len(frame):
        raise UserError(f"{file} holds no row; needed is {form}")
    for name in frame.columns:
        if name.startswith(P):
            frame[name] = _numbers(file, frame, name)
    return frame


def _numbers(file: Path, frame: pd.DataFrame, name: str) -> pd.Series:
    """A column of probabilities; UserError names what is no number at all."""
    import pandas as pd

    column = frame[name]
    numbers = pd.to_numeric(column, errors="coerce")
    if column.dtype.kind in "cmM":  # complex numbers lose a part as float64, times become nanoseconds
        numbers = pd.Series(float("nan"), column.index)
    odd = numbers.isna() & column.notna() & ~column.astype("string").str.strip().isin(MISSING)
    if odd.any():
        row = int(odd.to_numpy().argmax())
        where = f"{'line' if file.suffix == '.csv' else 'row'} {frame[NUMBER].iloc[row]}"
        raise UserError(
            f"{file}, {where}: {cut(name)} = {shorten(str(column.iloc[row]))} is no number; "
            f"{int(odd.sum()):,} cells of the column are none"
        )
    return numbers.astype("float64")


def _csv(file: Path) -> pd.DataFrame:
    import pandas as pd

    with opened(file) as stream:
        head = stream.readline().decode("utf-8-sig", errors="replace").rstrip("\r\n")
    delimiter = max(DELIMITERS, key=head.count)
    names = [name.strip() for name in next(csv.reader(io.StringIO(head), delimiter=delimiter), [])]
    _distinct(file, names)
    with warnings.catch_warnings():  # of rows that are longer than the header pandas only warns
        warnings.simplefilter("error", pd.errors.ParserWarning)
        frame = pd.read_csv(
            file,
            sep=delimiter,
            header=None,
            names=names,
            skiprows=1,
            index_col=False,
            encoding="utf-8-sig",
            dtype={name: str for name in names if not name.startswith(P)},
            keep_default_na=False,
            na_values={name: MISSING for name in names if name.startswith(P)},
            skip_blank_lines=False,
            skipinitialspace=True,
            low_memory=False,
        )
    frame[NUMBER] = range(2, 2 + len(frame))
    cells = frame[[name for name in names if not name.startswith(P)]]
    blank = (cells.isna() | (cells == "")).all(axis=1)
    return frame[~blank].reset_index(drop=True)


def _distinct(file: Path, names: Iterable[str]) -> None:
    seen: set[str] = set()
    for name in names:
        if name in seen:
            raise UserError(f"{file}: two columns are called {shorten(name)}; give each a name of its own")
        seen.add(name)


def _parquet(file: Path) -> pd.DataFrame:
    from bench.data.shards import require

    require()
    import pyarrow.parquet as pq

    with pq.ParquetFile(file) as stored:
        table = stored.read().replace_schema_metadata()  # in which pandas hides columns, and anybody nonsense
    frame: pd.DataFrame = table.to_pandas()
    return _numbered(file, frame.loc[:, [not name.startswith("__index_level_") for name in frame.columns]])


def _npz(file: Path) -> pd.DataFrame:
    """Arrays (N,) named as columns are; ``probabilities`` (N, K) with ``classes`` (K,) are p_<class>."""
    import numpy as np
    import pandas as pd

    with opened(file) as stream:
        archive = np.load(stream, allow_pickle=False)
        if not isinstance(archive, np.lib.npyio.NpzFile):
            raise UserError(f"{file} holds a single array; save one for each column with numpy.savez")
        arrays = dict(archive)
    for name, array in arrays.items():
        if not isinstance(array, np.ndarray):
            raise UserError(f"{file}: {shorten(name)} is no array; save it with numpy.savez")
        arrays[name] = array.astype(array.dtype.newbyteorder("="), copy=False)
    if "probabilities" in arrays:
        double = next((name for name in arrays if name.strip().startswith(P)), None)
        if double is not None:
            raise UserError(f"{file} has probabilities and {shorten(double)}; keep one of the two forms")
        said, names = arrays.pop("probabilities"), arrays.pop("classes", None)
        if said.ndim != 2 or names is None or names.shape != said.shape[1:]:
            raise UserError(f"{file}: probabilities are (N, K), with their K names in classes")
        called = [f"{P}{name}" for name in names.tolist()]
        _distinct(file, called)
        arrays |= {name: said[:, k] for k, name in enumerate(called)}
    shapes = {name: array.shape for name, array in arrays.items()}
    if len(set(shapes.values())) != 1 or any(len(shape) != 1 for shape in shapes.values()):
        raise UserError(
            f"{file}: its arrays are {shorten(shapes, 200)}; all are (N,), a value for each row, and "
            "probabilities (N, K) with classes (K,)"
        )
    return _numbered(file, pd.DataFrame(arrays))


def _numbered(file: Path, frame: pd.DataFrame) -> pd.DataFrame:
    frame.columns = [str(name).strip() for name in frame.columns]
    _distinct(file, frame.columns)
    frame[NUMBER] = range(1, 1 + len(frame))
    return frame


@contextlib.contextmanager
def _readable(file: Path) -> Iterator[None]:
    """What goes wrong while a file is read becomes a UserError."""
    from bench.predictions import UNREADABLE

    kinds: tuple[type[BaseException], ...] = (*UNREADABLE, UnicodeDecodeError, csv.Error, Warning)
    with contextlib.suppress(ImportError):
        import pyarrow

        kinds += (pyarrow.ArrowException,)
    try:
        yield
    except kinds as error:
        if isinstance(error, UserError):
            raise
        raise UserError(f"{file} cannot be read: {_reason(error)}") from None


def _reason(error: BaseException) -> str:
    if isinstance(error, UnicodeDecodeError):
        return "not UTF-8; save it as UTF-8, as names with accents need"
    if isinstance(error, Warning):
        return "its rows have more cells than its header; a cell that holds a comma is written in quotes"
    return str(error).strip().partition("\n")[0][:200] or type(error).__name__
