"""Write and read records: one folder per trial, each written whole or not at all.

``record.json`` is written last, so its presence says that everything beside it is complete. Imports neither
torch nor pandas, and numpy only where predictions are touched: ``bench status`` must start at once.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
from collections.abc import Callable, Container, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TypeVar, cast
from weakref import WeakValueDictionary

from pydantic import ValidationError

from bench import folders, slices
from bench.briefs import Briefs, Stamp
from bench.errors import UserError, shorten
from bench.files import (
    content_of,
    move,
    remove,
    sum_of,
    sum_of_bytes,
    sweep,
    sync_folder,
    write_whole,
)
from bench.predictions import UNREADABLE, Predictions, archive_of, read_archive
from bench.recipe import STUDY_NAME
from bench.record import ID, Brief, Record, equal_view, why_unreadable
from bench.slices import Sliced
from bench.study.read import RESERVED

__all__ = [
    "CONTINUED",
    "MOST_ATTEMPTS",
    "UNREADABLE",
    "VALIDATION",
    "Brief",
    "Damage",
    "Predictions",
    "Record",
    "Store",
    "equal_view",
]

T = TypeVar("T")
CONTINUED = ("killed", "timeout", "interrupted")
"""Causes of failure after which the next attempt continues from the checkpoint."""
MOST_ATTEMPTS = 3
"""Of a trial that the machine keeps failing."""
VALIDATION = "val"
"""Key of the validation images among a trial's predictions; the others are fingerprints."""
ALIKE = ("recipe", "data", "versions", "origins", "metrics", "classes", "libraries", "machine")
"""What trials of an arm mostly have in common."""
RECORD = "record.json"
HISTORY, PREDICTIONS, WEIGHTS = PARTS = ("history.jsonl", "predictions.npz", "weights.safetensors")


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
        self.briefs = Briefs(root)
        self._held: WeakValueDictionary[str, Record] = WeakValueDictionary()
        """Records that somebody has: a report asks for each several times; 30,000 fill half a gigabyte."""
        self._held_at: dict[str, Stamp] = {}
        self._last: Record | None = None
        self._told: dict[object, Any] | None = None
        """Where the disk is asked once: of a trial the stamp of its record, and what is lost beside it."""

    def trial_dir(self, id: str) -> Path:
        """Folder of one trial; ValueError for what is no id, so that no name becomes a path unchecked."""
        return Path(self._path(id, ""))

    def study_dir(self, name: str) -> Path:
        """Folder of one study; UserError for a name that cannot be one."""
        if not re.fullmatch(STUDY_NAME, name) or name.lower() in RESERVED:
            raise UserError(
                f"a study cannot be called {shorten(name)}: letters, digits, - and _ are allowed, "
                f"{', '.join(RESERVED)} are taken\n    rename the study's file"
            )
        return self.root / name

    def weights_path(self, id: str) -> Path:
        """Where a trial's weights are, if they were kept."""
        return self.trial_dir(id) / WEIGHTS

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
        at = self._at(id)
        held, of = self._held.get(id), self._held_at.get(id)
        if held is not None and at == of:
            return held
        found = self._load(id)
        if not isinstance(found, Record):
            return None
        if self._last is not None:  # the next trial of an arm has most of this, 20 KB of memory each
            same = {name: of for name in ALIKE if (of := getattr(self._last, name)) == getattr(found, name)}
            found = found.model_copy(update=same)
        self._last = found
        if at is not None:  # so that what is found of the files beside it is remembered
            self.briefs.put(found.brief, at)
        if at is not None and not at.young:
            self._held[id], self._held_at[id] = found, at
        return found

    def brief(self, id: str) -> Brief | None:
        """What is asked most of a record; of one that has not changed since it was read, without reading."""
        at = self._at(id)
        if at is not None and (known := self.briefs.get(id, at)):
            return known
        found = self._load(id)
        if not isinstance(found, Record):
            return None
        self._last = found
        if at is not None:
            self.briefs.put(found.brief, at)
        return found.brief

    @contextlib.contextmanager
    def steady(self) -> Iterator[None]:
        """Within, ask the disk once of each file of a trial, so that all that is told is of one moment.

        Nothing is to be written of trials within.
        """
        before = self._told
        self._told = {} if before is None else before
        try:
            yield
        finally:
            self._told = before

    def _once(self, key: object, ask: Callable[[], T]) -> T:
        if self._told is None:
            return ask()
        if key not in self._told:
            self._told[key] = ask()
        return cast(T, self._told[key])

    def _at(self, id: str) -> Stamp | None:
        """What the disk says of a record's file, or said."""
        return self._once(id, lambda: Stamp.of(self._path(id, RECORD)))

    def _path(self, id: str, file: str) -> str:
        """As text: paths of 30,000 trials take their time as objects."""
        if not ID.fullmatch(id):
            raise ValueError(f"{shorten(id)} is no trial id: 8 to 64 hexadecimal digits")
        return f"{self.root}/trials/{id}/{file}"

    def records(self) -> list[Record]:
        """Every usable record, by id."""
        return [found for id in self.ids() if isinstance(found := self._load(id), Record)]

    def damaged(self, ids: Iterable[str] | None = None) -> list[Damage]:
        """Records that are there and cannot be used: torn, foreign, or of another schema."""
        asked = self.ids() if ids is None else ids
        return [found for id in asked if isinstance(found := self._load(id), Damage)]

    def _load(self, id: str) -> Record | Damage | None:
        try:
            content = content_of(self._path(id, RECORD))
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
        folders.cleared(self.trial_dir(record.id))
        folder.mkdir(parents=True, exist_ok=True)
        if os.path.lexists(folder / "record.json"):
            # An old record must not stand beside new predictions, whenever this is cut short.
            remove(folder / "record.json")
            sync_folder(folder)
        for old in PARTS:
            remove(folder / old)
        sweep(folder)  # none that is younger: whoever lost this trial's claim may not have noticed yet
        lines = "".join(json.dumps(line, allow_nan=True) + "\n" for line in history)
        write_whole(folder / HISTORY, lines.encode())
        if predictions:
            write_whole(folder / PREDICTIONS, archive_of(predictions))
        if weights_file is not None:
            move(weights_file, self.weights_path(record.id))
        files = {part: [sum_of(folder / part)] for part in PARTS if (folder / part).is_file()}
        self._write_record(record.model_copy(update={"files": files}))
        if record.cause not in CONTINUED:
            remove(folder / "checkpoint.pt")

    def rewrite(self, record: Record, predictions: Mapping[str, Predictions] | None = None) -> None:
        """Replace the record of a trial that stays as it was trained, whole or not at all.

        predictions   of every set that it speaks of, where what is kept of them changes too
        """
        if predictions is not None:
            record = self._replace_predictions(record, predictions)
        self._write_record(record)

    def _write_record(self, record: Record) -> None:
        text = record.model_dump_json(indent=1) + "\n"
        write_whole(self.trial_dir(record.id) / "record.json", text.encode())

    def _replace_predictions(self, record: Record, predictions: Mapping[str, Predictions]) -> Record:
        """Write them; the record with their checksum. Where this is cut short, the old record knows both."""
        content, before = archive_of(predictions), self.read(record.id)
        if before is not None and before.files:
            known = [*before.files.get(PREDICTIONS, []), sum_of_bytes(content)]
            self._write_record(before.model_copy(update={"files": before.files | {PREDICTIONS: known}}))
        write_whole(self.trial_dir(record.id) / PREDICTIONS, content)
        sums = record.files and record.files | {PREDICTIONS: [sum_of_bytes(content)]}
        return record.model_copy(update={"files": sums})

    def lost(self, record: Brief, *, whole: bool) -> str:
        """The history or predictions that a record speaks of and that are gone or changed; "" for neither.

        It is the record itself where its predictions are as written, and cannot be of what it says.

        whole   look at all their bytes, if not done since they were last touched; not at their sizes alone

        Nothing is known of records from before checksums. Weights may go: nothing is made of them alone.
        """
        if self._told and self._told.get((record.id, True)) == "":
            return ""
        return self._once((record.id, whole), lambda: self._look(record, whole=whole))

    def _look(self, record: Brief, *, whole: bool) -> str:
        for part in (HISTORY, PREDICTIONS):
            sums = record.files.get(part)
            if sums and (damaged := self._damaged(record, part, sums, whole=whole)):
                return damaged
        return ""

    def sound(self, id: str, *, whole: bool) -> Brief | None:
        """The brief of a trial that has a record and lost nothing since; ``whole`` as in ``lost``."""
        record = self.brief(id)
        return None if record is None or self.lost(record, whole=whole) else record

    def _damaged(self, record: Brief, part: str, sums: Sequence[str], *, whole: bool) -> str:
        file = self._path(record.id, part)
        at = Stamp.of(file)
        if at is None or str(at.size) not in {known.partition(" ")[0] for known in sums}:
            return part
        if not whole or self.briefs.is_sound(record.id, part, at):
            return ""
        try:
            content = content_of(file)
        except OSError:
            return part
        if sum_of_bytes(content) not in sums:
            return part
        if part == PREDICTIONS and not self._speaks_of(record, content):
            return RECORD
        self.briefs.put_sound(record.id, part, at)
        return ""

    def _speaks_of(self, brief: Brief, content: bytes) -> bool:
        """Whether predictions can be read, and have the classes and images that a record says."""
        record = brief if isinstance(brief, Record) else self._last  # of which the brief was made, mostly
        if record is None or (record.id, record.files) != (brief.id, brief.files):
            record = self.read(brief.id)
        try:
            said = read_archive(content)
        except (*UNREADABLE, LookupError, TypeError, AttributeError):
            return False
        shapes = {key: one.probabilities.shape for key, one in said.items()}
        return record is not None and record.is_of(shapes)

    def restore(self, record: Record, predictions: Mapping[str, Predictions]) -> bool:
        """Write predictions that were lost, where they are those that the record speaks of, to the byte."""
        content = archive_of(predictions)
        if sum_of_bytes(content) not in record.files.get(PREDICTIONS, []):
            return False
        file = self.trial_dir(record.id) / PREDICTIONS
        if file.is_dir():
            remove(file)
        write_whole(file, content)
        return True

    def has_weights(self, record: Brief) -> bool:
        """Whether a trial's weights are there, as they were written."""
        file, sums = self.weights_path(record.id), record.files.get(WEIGHTS)
        return file.is_file() and (sums is None or _fits(file, sums))

    def weights_damaged(self, record: Brief) -> bool:
        """Whether a trial's weights are there, and not as they were written: nothing is made of these."""
        return self.weights_path(record.id).exists() and not self.has_weights(record)

    def forget(self, id: str) -> None:
        """Take a record away: the trial is missing from here on, and trained again by the next run."""
        remove(self.trial_dir(id) / "record.json")
        sync_folder(self.trial_dir(id))

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
        record = self._replace_predictions(record, everything)
        fields = record.model_dump() | {"metrics": record.common_metrics(metrics)}
        for name, added in tables.items():
            fields[name] |= added
        record = Record.model_validate(fields)
        self.rewrite(record)
        return record

    def predictions(self, id: str, wanted: Container[str] | None = None) -> dict[str, Predictions]:
        """What a trial said, by key of the scored set; empty where it stored none.

        wanted   keys that are asked for; None: all there are

        Raises one of UNREADABLE.
        """
        path = self._path(id, PREDICTIONS)
        return read_archive(content_of(path), wanted) if os.path.isfile(path) else {}

    def slices(self, study: str) -> dict[str, Sliced]:
        """What is known of a study's images beside their class; nothing where it names no slices."""
        return slices.read(self.study_dir(study) / slices.FILE)

    def history(self, id: str) -> list[dict[str, Any]]:
        """One table per evaluation of validation, in order, up to the first line that is damaged."""
        found: list[dict[str, Any]] = []
        try:
            text = content_of(self.trial_dir(id) / HISTORY).decode("utf-8", errors="replace")
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


def _fits(file: Path | str, sums: Sequence[str]) -> bool:
    """Whether a file is one of those that were summed up."""
    try:
        return sum_of(file) in sums
    except OSError:
        return False
