"""What planning needs to know of this machine's disk: where images and weights are, what they hash to."""

from __future__ import annotations

from pathlib import Path

from bench.data import fingerprint
from bench.data.content import file_sha256
from bench.errors import UserError
from bench.machine import Machine
from bench.plan import Replicate, Source
from bench.recipe import SOURCE_KEYS, Data, Hidden


class DiskLocator:
    """Answers a plan's questions from this machine's disk, remembering what it hashed."""

    def __init__(self, machine: Machine, folder: Path) -> None:
        self.machine, self.folder = machine, folder
        self._sources: dict[tuple[object, ...], Source] = {}

    def source(self, written: str, data: Data) -> Source:
        """Where the images are and what they hash to."""
        asked = (written, data.size_px, data.drop_classes, *(getattr(data, key) for key in SOURCE_KEYS))
        if asked not in self._sources:
            self._sources[asked] = fingerprint.locate(written, data, self.machine, self.folder)
        return self._sources[asked]

    def data_fingerprint(self, source: Source, data: Data) -> str:
        """Hash of everything about the images that can change a score."""
        return fingerprint.data_fingerprint(source, data)

    def test_key(self, source: Source, data: Data, replicate: Replicate) -> str:
        """Key of the local test set."""
        return fingerprint.test_key(source, data, replicate)

    def hidden_key(self, hidden: Hidden, source: Source | None, test_key: str) -> str:
        """Key of a hidden set."""
        return fingerprint.hidden_key(hidden, source, test_key)

    def weights(self, written: str) -> tuple[Path, str]:
        """A weight file and its SHA-256 hex."""
        path = self.machine.resolve(written, self.folder, kind="file")
        if not path.is_file():
            raise UserError(
                f'[recipe] model.weights = "{written}"\n    there is no such file; looked for {path}'
            )
        return path, file_sha256(path, self.machine.cache)
