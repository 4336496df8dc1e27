"""Small studies as text, and a locator without a disk, for tests of what reads and plans them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from bench.errors import UserError
from bench.plan import Replicate, Source, fingerprint
from bench.recipe import Data, Hidden
from bench.study.read import Study, parse

HEAD = """\
question = "Which helps?"
seeds = 2
"""
DATA = """\
[data]
source = "synthetic"
size_px = 32
"""
RECIPE = """\
[recipe]
model = "custom_cnn"
optimizer = { name = "adam", lr = 1e-3 }
stages = [{ train = "head", epochs = 1 }, { train = "all", epochs = 2 }]
"""
ARMS = """\
[arms]
none = {}
flips = { augment = ["flip"] }
"""


def text(rest: str = ARMS, *, top: str = "", data: str = "", recipe: str = "") -> str:
    """A whole study file: ``top`` before all tables, ``data`` and ``recipe`` inside theirs, ``rest`` last."""
    parts = (HEAD, top, DATA, data, RECIPE, recipe, rest)
    return "\n".join(parts)


def read(rest: str = ARMS, **parts: str) -> Study:
    """The study; UserError when something is wrong with it."""
    return parse(text(rest, **parts), name="tiny", file="tiny.toml")


def complaint(rest: str = ARMS, **parts: str) -> str:
    """What is said about a study with mistakes; AssertionError when it has none."""
    try:
        read(rest, **parts)
    except UserError as error:
        return str(error)
    raise AssertionError("the study has no mistake")


def mistake(where: str, found: Any, problem: str) -> str:
    """The whole complaint about a file with one mistake."""
    shown = f" = {found}" if found else ""
    return f"tiny.toml has a mistake\n\n  {where}{shown}\n    {problem}"


class FakeLocator:
    """Answers a plan's questions without a disk: what a source is called is what it holds."""

    def __init__(self, content: str = "v1") -> None:
        self.content = content
        """Stands for the pixels: another content, another fingerprint."""

    def source(self, written: str, data: Data) -> Source:
        """A source whose content hashes to its own name."""
        kind = written.partition(":")[0]
        assert kind in ("synthetic", "bloodmnist", "npz", "folder")
        drawn = kind == "synthetic"
        path = None if drawn else Path("/images")
        return Source(kind, path, fingerprint([written, self.content]), images=data.n_images if drawn else 0)

    def data_fingerprint(self, source: Source, data: Data, *, folds: bool = False) -> str:
        """Everything of ``[data]`` but how the source is written."""
        unset = {"groups"} if data.groups is None else set()
        unset |= {"fit", "fill"} if data.fit == "crop" else set()
        unset |= {"val_images"} if data.val_images is None else set()
        return fingerprint(
            [
                source.fingerprint,
                data.model_dump(mode="json", exclude={"source", "bit_range", "drop_classes"} | unset),
            ]
        )

    def test_key(self, source: Source, data: Data, replicate: Replicate) -> str:
        """One test set per fold, the same for every seed."""
        return fingerprint(["test", self.data_fingerprint(source, data), replicate.fold])

    def hidden_key(self, hidden: Hidden, source: Source | None, test_key: str) -> str:
        """A corrupted set depends on the test images, any other on itself."""
        made_of = test_key if source is None else source.fingerprint
        return fingerprint([hidden.model_dump(mode="json"), made_of])

    def program(self, command: str) -> tuple[Path, dict[str, str]]:
        """A folder in which no file is."""
        return Path("/study"), {}

    def weights(self, written: str) -> tuple[Path, str]:
        """A file whose content is its name."""
        return Path("/weights") / written, fingerprint(written)
