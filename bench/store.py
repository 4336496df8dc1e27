"""Write and read records: one folder per trial, each written whole or not at all.

``record.json`` is written last, so its presence says that everything beside it is complete. Imports neither
torch nor pandas, and numpy only where predictions are touched: ``bench status`` must start at once.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import tempfile
import zipfile
import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, Literal

from pydantic import ValidationError

from bench.errors import UserError, shorten
from bench.files import content_of, move, sync_folder, write_whole
from bench.recipe import HIDDEN_NAME
from bench.record import ID, Record, equal_view, why_unreadable
from bench.study.read import RESERVED

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = [
    "CONTINUED",
    "MOST_ATTEMPTS",
    "UNREADABLE",
    "VALIDATION",
    "Damage",
    "Predictions",
    "Record",
    "Store",
    "equal_view",
]

CONTINUED = ("killed", "timeout", "interrupted")
"""Causes of failure after which the next attempt continues from the checkpoint."""
MOST_ATTEMPTS = 3
"""Of a trial that the machine keeps failing."""
PER_ITEM = "per_item "
VALIDATION = "val"
"""Key of the validation images among a trial's predictions; the others are fingerprints."""
UNREADABLE = (
    *(OSError, ValueError, KeyError, EOFError, MemoryError, OverflowError, RuntimeError),
    *(zipfile.BadZipFile, zlib.error),
)
"""What reading predictions raises where their file is torn or foreign: a flipped byte may ask for any."""
PARTS = ("history.jsonl", "predictions.npz", "weights.safetensors")


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
            if array is not None and (array.dtype.name != kind or array.shape != self.labels.shape):
                raise ValueError(f"{name} are {kind} (N,), got {array.dtype} {array.shape}")
        found = [(a.dtype.name, a.ndim) for a in (self.probabilities, self.labels, self.ids)]
        if found != [("float16", 2), ("int64", 1), ("uint64", 1)]:
            raise ValueError(f"predictions need float16 (N, K), int64 (N,), uint64 (N,), got {found}")
        lengths = [len(a) for a in (self.probabilities, self.labels, self.ids)]
        if len(set(lengths)) > 1:
            raise ValueError(f"probabilities, labels and ids differ in length: {lengths}")


@dataclass(frozen=True)
class Damage:
    """A record that cannot be used, and why; treated as missing."""

    id: str
    reason: str
    state: Literal["damaged", "stale"] = "damaged"
    """``stale``: sound, but made by rules that are no more."""


class Store:
    """The results folder. Nothing is created until something is written."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def trial_dir(self, id: str) -> Path:
        """Folder of one trial; ValueError for what is no id, so that no name becomes a path unchecked."""
        if not ID.fullmatch(id):
            raise ValueError(f"{shorten(id)} is no trial id: 8 to 64 hexadecimal digits")
        return self.root / "trials" / id

    def study_dir(self, name: str) -> Path:
        """Folder of one study; UserError for a name that cannot be one."""
        if not re.fullmatch(HIDDEN_NAME, name) or name.lower() in RESERVED:
            raise UserError(
                f"a study cannot be called {shorten(name)}: letters, digits, - and _ are allowed, "
                f"{', '.join(RESERVED)} are taken\n    rename the study's file"
            )
        return self.root / name

    def weights_path(self, id: str) -> Path:
        """Where a trial's weights are, if they were kept."""
        return self.trial_dir(id) / "weights.safetensors"

    def ids(self) -> list[str]:
        """Ids that have a record, readable or not, sorted."""
        try:
            with os.scandir(self.root / "trials") as entries:
                names = sorted(entry.name for entry in entries if ID.fullmatch(entry.name))
        except FileNotFoundError:
            return []
        except OSError as error:
            raise UserError(
                f"{self.root / 'trials'} cannot be read: {error.strerror}\n"
                "    it is the folder of all trials: move away what is there, or give another --results"
            ) from None
        return [name for name in names if os.path.exists(f"{self.root}/trials/{name}/record.json")]

    def read(self, id: str) -> Record | None:
        """The record, or None where there is none that can be used; ``damaged`` says why not."""
        found = self._load(id)
        return found if isinstance(found, Record) else None

    def records(self) -> list[Record]:
        """Every usable record, by id."""
        return [found for id in self.ids() if isinstance(found := self._load(id), Record)]

    def damaged(self, ids: Iterable[str] | None = None) -> list[Damage]:
        """Records that are there and cannot be used: torn, foreign, or of another schema."""
        asked = self.ids() if ids is None else ids
        return [found for id in asked if isinstance(found := self._load(id), Damage)]

    def _load(self, id: str) -> Record | Damage | None:
        try:
            content = content_of(self.trial_dir(id) / "record.json")
        except (FileNotFoundError, NotADirectoryError):
            return None
        except OSError as error:  # a link to itself, a pipe, another's file
            return Damage(id, error.strerror or "cannot be read")
        try:
            record = Record.model_validate_json(content)
        except ValidationError as error:
            return Damage(id, why_unreadable(content, error))
        if record.id != id:
            return Damage(id, f"holds the record of trial {record.id}")
        if (record.status, record.cause) == ("diverged", "not learned"):
            return Damage(id, "was not scored, since it learned little; such trials are now", "stale")
        return record

    def write(
        self,
        record: Record,
        *,
        history: Sequence[Mapping[str, Any]],
        predictions: Mapping[str, Predictions],
        weights_file: Path | None = None,
    ) -> None:
        """Store a trial, replacing what was there of it. ``weights_file`` is moved in."""
        folder = self.trial_dir(record.id)
        folder.mkdir(parents=True, exist_ok=True)
        if (folder / "record.json").exists():
            # An old record must not stand beside new predictions, whenever this is cut short.
            _remove(folder / "record.json")
            sync_folder(folder)
        for old in (*(folder / part for part in PARTS), *folder.glob(".*.part")):
            old.unlink(missing_ok=True)
        lines = "".join(json.dumps(line, allow_nan=True) + "\n" for line in history)
        write_whole(folder / "history.jsonl", lines.encode())
        if predictions:
            self._write_predictions(record.id, predictions)
        if weights_file is not None:
            move(weights_file, self.weights_path(record.id))
        self.rewrite(record)
        if record.cause not in CONTINUED:
            (folder / "checkpoint.pt").unlink(missing_ok=True)

    def rewrite(self, record: Record, predictions: Mapping[str, Predictions] | None = None) -> None:
        """Replace the record of a trial that stays as it was trained, whole or not at all.

        predictions   of every set that it speaks of, where what is kept of them changes too
        """
        if predictions is not None:  # first: the old record speaks of the same sets, should this be cut short
            self._write_predictions(record.id, predictions)
        text = record.model_dump_json(indent=1) + "\n"
        write_whole(self.trial_dir(record.id) / "record.json", text.encode())

    def add_scores(
        self,
        id: str,
        predictions: Mapping[str, Predictions],
        metrics: Mapping[str, int | str],
        **tables: Mapping[str, Any],
    ) -> Record:
        """Add sets to a trial that was trained before the study named them; what it has is kept as it is.

        metrics   name → version, with which the sets were scored
        tables    ``scores``, ``recalls``, ``sizes``, ``conditions`` as in the record, by key of the set
        """
        record = self.read(id)
        if record is None:
            raise ValueError(f"trial {id} has no record to add scores to")
        if again := sorted(set(tables["scores"]) & set(record.scores)):
            raise ValueError(f"trial {id} was scored on {again[0]} before; a held-out set is scored once")
        # Predictions first: a superset of what the old record speaks of, should this be cut short.
        everything = dict(self.predictions(id)) | dict(predictions)
        self._write_predictions(id, everything)
        fields = record.model_dump() | {"metrics": record.common_metrics(metrics)}
        for name, added in tables.items():
            fields[name] |= added
        record = Record.model_validate(fields)
        self.rewrite(record)
        return record

    def _write_predictions(self, id: str, predictions: Mapping[str, Predictions]) -> None:
        file = self.trial_dir(id) / "predictions.npz"
        write_whole(file, lambda stream: _save_predictions(stream, predictions))

    def predictions(self, id: str) -> dict[str, Predictions]:
        """What a trial said, by key of the scored set; empty where it stored none."""
        import numpy as np

        path = self.trial_dir(id) / "predictions.npz"
        if not path.is_file():
            return {}
        with np.load(path, allow_pickle=False) as file:
            keys = dict.fromkeys(name.rpartition("/")[0] for name in file.files)
            return {key: _read_predictions(file, key) for key in keys}

    def history(self, id: str) -> list[dict[str, Any]]:
        """One table per evaluation of validation, in order, up to the first line that is damaged."""
        found: list[dict[str, Any]] = []
        try:
            text = content_of(self.trial_dir(id) / "history.jsonl").decode("utf-8", errors="replace")
        except OSError:
            return found
        for line in text.splitlines():
            try:
                entry = json.loads(line)
            except (ValueError, RecursionError):
                break
            if not isinstance(entry, dict):
                break
            found.append(entry)
        return found

    def write_text(self, path: Path, text: str) -> None:
        """Write a file of the results folder, whole or not at all, making its folder."""
        write_whole(path, text.encode("utf-8"))

    def check_writable(self) -> None:
        """Raise UserError when nothing can be written here: better before the first trial than after it."""
        try:
            self.root.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryFile(dir=self.root):
                pass
        except OSError as error:
            raise UserError(
                f"cannot write to the results folder {self.root}: {error.strerror}\n"
                "    make it writable, or choose another with --results FOLDER"
            ) from None

    @contextlib.contextmanager
    def lock(self) -> Iterator[None]:
        """Hold the results folder; UserError while another run does. A dead process holds nothing."""
        from filelock import FileLock, Timeout

        self.check_writable()
        lock = FileLock(self.root / ".lock")
        try:
            lock.acquire(timeout=0)
        except Timeout:
            raise UserError(
                f"another bench run is working in the results folder {self.root}\n"
                "    wait until it ends (bench status shows how far it is), or use another --results FOLDER"
            ) from None
        except OSError as error:
            raise UserError(
                f"cannot lock the results folder: {self.root / '.lock'}: {error.strerror}\n"
                "    delete it, whatever it is: the next run makes it again"
            ) from None
        try:
            yield
        finally:
            lock.release()


def _remove(path: Path) -> None:
    """A file, or the folder that someone put in its place."""
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink()


def _read_predictions(file: Mapping[str, Any], key: str) -> Predictions:
    images = str(file[f"{key}/images_of"]) if f"{key}/images_of" in file else key
    probabilities, labels, ids = file[f"{key}/probabilities"], file[f"{images}/labels"], file[f"{images}/ids"]
    head = f"{key}/{PER_ITEM}"
    per_item = {name.removeprefix(head): file[name] for name in file if name.startswith(head)}
    names = tuple(file[f"{key}/condition_names"].tolist()) if f"{key}/conditions" in file else ()
    conditions, groups = file.get(f"{key}/conditions"), file.get(f"{images}/groups")
    return Predictions(probabilities, labels, ids, conditions, names, per_item, groups)


def _save_predictions(file: IO[bytes], predictions: Mapping[str, Predictions]) -> None:
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
    np.savez_compressed(file, **arrays)


def _same_images(a: Predictions, b: Predictions) -> bool:
    import numpy as np

    pairs: Any = (a.ids, b.ids), (a.labels, b.labels), (a.groups, b.groups)
    return all(np.array_equal(one, other) for one, other in pairs)  # None equals None only
