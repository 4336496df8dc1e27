"""What planning needs to know of this machine's disk: where images and weights are, what they hash to."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from bench.data import fingerprint
from bench.data.content import file_sha256, is_same
from bench.data.survey import Outline, Surveyor
from bench.errors import UserError
from bench.files import Counting, uncounted
from bench.machine import Machine
from bench.plan import Replicate, Run, Source, Trial
from bench.planned import Account, Shares
from bench.recipe import SOURCE_KEYS, Data, Hidden
from bench.study.command import words


class DiskLocator:
    """Answers a plan's questions from this machine's disk, remembering what it hashed."""

    def __init__(self, machine: Machine, folder: Path, counting: Counting = uncounted) -> None:
        """counting: told of images that must be decoded."""
        self.machine, self.folder = machine, folder
        self._surveyor = Surveyor(machine.cache, counting)
        self._sources: dict[tuple[object, ...], Source] = {}
        self._files: dict[Path, str] = {}
        self._programs: dict[str, dict[str, str]] = {}

    def source(self, written: str, data: Data) -> Source:
        """Where the images are and what they hash to."""
        keys = (getattr(data, key) for key in SOURCE_KEYS)
        asked = (written, data.size_px, data.fit, data.groups, data.drop_classes, *keys)
        if asked not in self._sources:
            self._sources[asked] = fingerprint.locate(written, data, self.machine, self.folder)
        return self._sources[asked]

    def data_fingerprint(self, source: Source, data: Data, *, folds: bool = False) -> str:
        """Hash of everything about the images that can change a score."""
        in_bursts = self._surveyor.in_bursts(source, data, folds=folds)
        return fingerprint.data_fingerprint(source, data, in_bursts=in_bursts)

    def test_key(self, source: Source, data: Data, replicate: Replicate) -> str:
        """Key of the local test set."""
        in_bursts = self._surveyor.in_bursts(source, data, folds=replicate.fold is not None)
        return fingerprint.test_key(source, data, replicate, in_bursts=in_bursts)

    def shares(self, data: Data, replicate: Replicate) -> Shares | None:
        """How a replicate's images are split, where that takes reading them."""
        source = self.source(data.source, data)
        identity = self.data_fingerprint(source, data, folds=replicate.fold is not None)
        return self._surveyor.shares(source, data, replicate, identity)

    def outline(self, trial: Trial) -> Outline | None:
        """A trial's images and their sides, as far as labels tell; see ``Surveyor.outline``."""
        return self._surveyor.outline(trial)

    def accounts(self, run: Run) -> tuple[Account, ...]:
        """What became of a run's images, as far as is known before it; see ``Surveyor.accounts``."""
        return self._surveyor.accounts(run)

    def sound(self, of: list[Any], problems: Callable[[], Iterable[str]]) -> list[str]:
        """``problems()``; none, without looking, where it found none of the same before.

        of   what the answer depends on, as JSON
        """
        return self._surveyor.sound(of, problems)

    def hidden_key(self, hidden: Hidden, source: Source | None, test_key: str) -> str:
        """Key of a hidden set."""
        return fingerprint.hidden_key(hidden, source, test_key)

    def weights(self, written: str) -> tuple[Path, str]:
        """A weight file and its SHA-256 hex."""
        path = self.machine.resolve(written, self.folder, kind="file")
        if path not in self._files and not path.is_file():
            raise UserError(
                f'[recipe] model.weights = "{written}"\n    there is no such file; looked for {path}'
            )
        return path, self._sha256(path)

    def program(self, command: str) -> tuple[Path, dict[str, str]]:
        """The study's folder, and what each file there that a command names hashes to."""
        if command not in self._programs:
            named = {word: self.folder / word for word in dict.fromkeys(words(command))}
            self._programs[command] = {w: self._sha256(file) for w, file in named.items() if file.is_file()}
        return self.folder, self._programs[command]

    def _sha256(self, file: Path) -> str:
        """Of what it held when it was first asked for: a plan is of that, whatever is written there since."""
        if file not in self._files:
            self._files[file] = file_sha256(file, self.machine.cache)
        return self._files[file]

    def contents(self) -> list[str]:
        """SHA-256 hex of every weight file and file of a program that was asked for."""
        return list(self._files.values())

    def changed(self) -> list[Path]:
        """Weight files and files of programs that are others by now than a plan says, or gone."""
        return [
            file for file, content in self._files.items() if not is_same(file, content, self.machine.cache)
        ]
