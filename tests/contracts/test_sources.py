"""What every data source must do; a new one is one function, and is data and hidden set at once."""

from __future__ import annotations

import re
import struct
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from samples import noise
from tiny import machine_in, write_study

from bench.commands import data as data_commands
from bench.commands import inspect as inspect_commands
from bench.commands.components import components
from bench.data.content import Asked, Located
from bench.data.fingerprint import data_fingerprint, locate
from bench.data.reader import Reader
from bench.errors import UserError
from bench.machine import Machine
from bench.plan import Source
from bench.progress.terminal import Terminal
from bench.recipe import SOURCE_KEYS, Data
from bench.registry import sources
from bench.run.conductor import Options, run_study
from bench.store import Store
from bench.study.smoke import smoke

QUIET = Terminal(quiet=True)


@pytest.mark.parametrize("name", sources.names())
def test_a_source_takes_a_path_and_keys_of_a_study_only_and_is_written_as_listed(name: str) -> None:
    assert set(sources[name].takes) <= {"path", "size_px", "groups", *SOURCE_KEYS}
    assert sources.problem(sources.forms(judged=True)[name]) is None
    assert sources[name].traits.get("path") in (None, "file", "folder", "any")


@pytest.fixture
def own(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two sources that somebody else wrote: stacks of images in .npy files, and checkerboards."""
    monkeypatch.setattr(sources, "_components", dict(sources._components))

    @sources.register("stack", path="folder")
    def stack(path: Path) -> Reader:
        """Images in images.npy, labels in labels.npy."""
        images, labels = np.load(path / "images.npy"), np.load(path / "labels.npy")
        return Reader(("cat", "dog", "owl"), labels, 3, lambda index: images[index])

    @sources.register("boards", version=3)
    def boards(n_images: int = 2000) -> Reader:
        """Noise of two kinds."""
        images = noise(n_images)
        return Reader(("odd", "even"), np.arange(n_images) % 2, 3, lambda index: images[index])


def write_stack(folder: Path, count: int, seed: int) -> Path:
    folder.mkdir()
    np.save(folder / "images.npy", noise(count, seed=seed))
    np.save(folder / "labels.npy", np.arange(count) % 3)
    return folder


def located(written: str, folder: Path, **keys: object) -> Source:
    data = Data.model_validate({"source": written, **keys})
    return locate(written, data, Machine(cache=folder / "cache"), folder)


@pytest.mark.usefixtures("own")
def test_a_study_trains_and_tests_on_an_own_source_and_scores_one_as_a_hidden_set(tmp_path: Path) -> None:
    write_stack(tmp_path / "here", 90, seed=1)
    write_stack(tmp_path / "there", 30, seed=2)
    hidden = '[hidden.lab]\nkind = "external"\nsource = "stack:there"\n'
    study = write_study(tmp_path, hidden=hidden)
    text = study.read_text().replace('"synthetic"', '"stack:here"').replace("n_images = 120\n", "")
    study.write_text(text)
    ending = run_study(study, machine_in(tmp_path), Options(), QUIET)
    assert (ending.exit_code, dict(ending.counts)) == (0, {"done": 2})
    assert "stack:here" in ending.report.read_text()
    store = Store(machine_in(tmp_path).results)
    for record in (store.read(id) for id in sorted(p.name for p in (store.root / "trials").iterdir())):
        assert record is not None
        assert len(record.scores) == 2


@pytest.mark.usefixtures("own")
def test_a_source_without_a_path_is_data_too(tmp_path: Path) -> None:
    study = write_study(tmp_path, hidden='[hidden.more]\nkind = "external"\nsource = "boards"\n')
    study.write_text(study.read_text().replace('"synthetic"', '"boards"'))
    with pytest.raises(UserError, match=r'\[hidden.more\] 120 of its 120 images are also in "boards"'):
        run_study(study, machine_in(tmp_path), Options(), QUIET)


@pytest.mark.usefixtures("own")
def test_an_own_source_is_listed_and_looked_at(tmp_path: Path) -> None:
    write_stack(tmp_path / "here", 60, seed=1)
    assert "stack" in components("sources", as_json=False)
    assert "stack:PATH   Images in images.npy, labels in labels.npy." in data_commands.sources(Machine())
    seen = inspect_commands.inspect(
        f"stack:{tmp_path / 'here'}", 16, Machine(cache=tmp_path / "cache"), QUIET
    )
    assert seen.counts.tolist() == [20, 20, 20]
    assert (seen.sizes, seen.names[59]) == ({(16, 16): 60}, "image 59")


@pytest.mark.usefixtures("own")
def test_what_lies_at_the_path_is_what_it_is_known_by(tmp_path: Path) -> None:
    folder = write_stack(tmp_path / "here", 6, seed=1)
    before = located("stack:here", tmp_path).fingerprint
    (folder / ".DS_Store").write_text("no part of it")
    assert located("stack:here", tmp_path).fingerprint == before
    np.save(folder / "labels.npy", np.zeros(6, np.int64))
    assert located("stack:here", tmp_path).fingerprint != before


@pytest.mark.usefixtures("own")
def test_version_and_keys_taken_are_part_of_what_a_source_is() -> None:
    few, many = (located("boards", Path(), n_images=n).fingerprint for n in (80, 81))
    assert few != many
    sources._components["boards"] = replace(sources["boards"], version=4)
    assert located("boards", Path(), n_images=80).fingerprint not in (few, many)


@pytest.mark.usefixtures("own")
def test_a_raised_version_reads_other_images_from_the_same_bytes(tmp_path: Path) -> None:
    write_stack(tmp_path / "here", 6, seed=1)
    before = located("stack:here", tmp_path).fingerprint
    sources._components.pop("stack")
    sources.register("stack", path="folder", version=2)(lambda path: None)
    assert located("stack:here", tmp_path).fingerprint != before


@pytest.mark.usefixtures("own")
def test_other_code_reads_other_images_from_the_same_bytes(tmp_path: Path) -> None:
    write_stack(tmp_path / "here", 6, seed=1)
    names = ("stack:here", "boards")
    before = [located(name, tmp_path).fingerprint for name in names]
    for name in ("stack", "boards"):
        sources._components[name] = replace(sources[name], origin="sha256:00")
    assert not set(before) & {located(name, tmp_path).fingerprint for name in names}


@pytest.mark.usefixtures("own")
def test_a_source_may_say_itself_where_it_is_and_that_it_has_a_split(tmp_path: Path) -> None:
    def find(asked: Asked) -> Located:
        return Located(asked.path, asked.sha256(), official=True, images=7)

    sources.register("found", path="any", locate=find)(lambda path: None)
    (tmp_path / "x.bin").write_bytes(b"x")
    source = located("found:x.bin", tmp_path)
    assert (source.path, source.official, source.images) == ((tmp_path / "x.bin").resolve(), True, 7)
    assert data_fingerprint(source, Data(source="found:x.bin", split="official"))


@pytest.mark.usefixtures("own")
def test_a_parameter_that_no_key_fills_is_said_before_anything_is_read() -> None:
    sources.register("odd")(lambda level: None)
    with pytest.raises(UserError, match='the source odd has the parameter "level"'):
        located("odd", Path())
    sources.register("pathless")(lambda path: None)
    with pytest.raises(UserError, match=r'has the parameter "path"\n.*register'):
        located("pathless", Path())


@pytest.mark.usefixtures("own")
@pytest.mark.parametrize(
    ("labels", "pixels", "says"),
    [
        ([0, 1, 3], noise(3), "whole number from 0 to 1"),
        ([0.0, 1.0, 1.0], noise(3), "whole number from 0 to 1"),
        ([0, 1, 1], noise(3) / 255, r"image 0 is float64 \(16, 16, 3\)"),
        ([0, 1, 1], noise(3)[..., 0], r"\(16, 16\)\n.*gives \(H, W, 3\) uint8"),
    ],
)
def test_a_reader_that_gives_something_else_is_said_so(
    tmp_path: Path, labels: list[float], pixels: np.ndarray, says: str
) -> None:
    sources.register("wrong")(lambda: Reader(("a", "b"), np.array(labels), 3, lambda index: pixels[index]))
    with pytest.raises(UserError, match=says):
        inspect_commands.inspect("wrong", 16, Machine(cache=tmp_path), QUIET)


@pytest.mark.usefixtures("own")
def test_a_smoke_run_asks_no_source(tmp_path: Path) -> None:
    from bench.study.read import load

    study = write_study(tmp_path)
    study.write_text(
        study.read_text().replace('"synthetic"', '"stack:nowhere"').replace("n_images = 120\n", "")
    )
    assert smoke(load(study)).data.source == "synthetic"


@pytest.mark.usefixtures("own")
def test_the_docs_source_of_a_torchvision_data_set_brings_its_own_test_images(tmp_path: Path) -> None:
    page = Path(__file__).resolve().parents[2] / "docs" / "add-a-component.md"
    (code,) = re.findall(
        r"^```python\n(# ablations/mnist\.py\n.*?)^```", page.read_text(), re.DOTALL | re.MULTILINE
    )
    exec(code, {"__name__": "mnist"})
    raw = tmp_path / "MNIST" / "raw"
    raw.mkdir(parents=True)
    pixels = noise(60, size=28)[..., 0]
    for name, part in (("train", slice(0, 40)), ("t10k", slice(40, 60))):
        images, labels = pixels[part], (np.arange(60) % 10).astype(np.uint8)[part]
        head = struct.pack(">IIII", 2051, len(images), 28, 28)
        (raw / f"{name}-images-idx3-ubyte").write_bytes(head + images.tobytes())
        (raw / f"{name}-labels-idx1-ubyte").write_bytes(
            struct.pack(">II", 2049, len(labels)) + labels.tobytes()
        )
    assert located("mnist:.", tmp_path).official
    seen = inspect_commands.inspect(f"mnist:{tmp_path}", 28, Machine(cache=tmp_path / "cache"), QUIET)
    assert (seen.counts.tolist(), seen.problem) == ([6] * 10, "")
    np.testing.assert_array_equal(seen.images.images[..., 0], pixels)
    assert seen.sides["test"].tolist() == [2] * 10
