from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from samples import noise, write_folder

from bench.data import content, fingerprint
from bench.data.content import file_sha256
from bench.data.fingerprint import data_fingerprint, hidden_key, locate, test_key
from bench.errors import UserError
from bench.machine import Machine
from bench.plan import Replicate, Source
from bench.recipe import Corrupted, Data, External, Shifted, Split
from bench.registry import corruptions, sources

FOLDER = Source("folder", Path("x"), "abc")
SEED = Replicate(0)


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(cache=tmp_path / "cache")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return write_folder(tmp_path / "cells", noise(4), [0, 0, 1, 1], ["a", "b"])


def at(folder: Path, machine: Machine) -> str:
    return locate(f"folder:{folder.name}", Data(source="synthetic"), machine, folder.parent).fingerprint


def test_a_path_starts_from_the_study_and_a_named_one_from_the_settings(
    folder: Path, machine: Machine
) -> None:
    data = Data(source="synthetic")
    relative = locate("folder:cells", data, machine, folder.parent)
    named = locate(
        "folder:@pool/cells", data, Machine(cache=machine.cache, paths={"pool": folder.parent}), Path("/")
    )
    assert relative == named == Source("folder", folder.resolve(), relative.fingerprint, images=4, classes=2)


def test_a_folders_fingerprint_is_sha256_over_paths_and_bytes(folder: Path, machine: Machine) -> None:
    digest = hashlib.sha256()
    for name in ("a/0000.png", "a/0001.png", "b/0002.png", "b/0003.png"):
        content = (folder / name).read_bytes()
        digest.update(f"{name}\0{len(content)}\0".encode() + content)
    assert at(folder, machine) == digest.hexdigest()


def test_a_fingerprint_moves_with_the_folder_and_changes_with_any_name_or_byte(
    folder: Path, machine: Machine
) -> None:
    before = at(folder, machine)
    (folder / "README.txt").write_text("not an image")
    assert at(folder, machine) == before
    folder = folder.rename(folder.with_name("moved"))
    assert at(folder, machine) == before
    (folder / "a/0000.png").rename(folder / "b/0000.png")
    moved = at(folder, machine)
    assert moved != before
    content = bytearray((folder / "b/0000.png").read_bytes())
    content[-1] ^= 1
    (folder / "b/0000.png").write_bytes(content)
    assert at(folder, machine) not in (before, moved)


def test_a_warm_fingerprint_reads_no_image(
    folder: Path, machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = at(folder, machine)

    def refuse(*_: object) -> str:
        raise AssertionError("an image was read")

    monkeypatch.setattr(content, "_hash_files", refuse)
    assert at(folder, machine) == before
    os.utime(folder / "a/0000.png", ns=(1, 1))
    with pytest.raises(AssertionError, match="an image was read"):
        at(folder, machine)


@pytest.mark.parametrize("damage", ["", "{", "[]", '{"stamp": 1}'])
def test_a_damaged_memo_is_not_believed(folder: Path, machine: Machine, damage: str) -> None:
    before = at(folder, machine)
    memos = list((machine.cache / "fingerprints").iterdir())
    for memo in memos:
        memo.write_text(damage)
    assert (at(folder, machine), len(memos)) == (before, 2)  # of the bytes, and of the headers


def test_an_npz_is_known_by_its_bytes_alone(tmp_path: Path, machine: Machine) -> None:
    np.savez(tmp_path / "x.npz", images=noise(2), labels=[0, 1])
    located = locate("npz:x.npz", Data(source="synthetic"), machine, tmp_path)
    assert located.fingerprint == hashlib.sha256((tmp_path / "x.npz").read_bytes()).hexdigest()
    (tmp_path / "x.npz").rename(tmp_path / "y.npz")
    assert file_sha256(tmp_path / "y.npz", machine.cache) == located.fingerprint


def test_bloodmnist_is_known_by_the_checksum_of_the_smallest_file_that_is_large_enough(
    machine: Machine,
) -> None:
    chosen = {
        size: locate("bloodmnist", Data(source="bloodmnist", size_px=size), machine, Path())
        for size in (28, 29, 96, 128, 129, 512)
    }
    names = {size: source.path.name for size, source in chosen.items() if source.path}
    assert names == {
        28: "bloodmnist.npz",
        29: "bloodmnist_64.npz",
        96: "bloodmnist_128.npz",
        128: "bloodmnist_128.npz",
        129: "bloodmnist_224.npz",
        512: "bloodmnist_224.npz",
    }
    assert chosen[96].fingerprint == "md5:adace1e0ed228fccda1f39692059dd4c"


def test_synthetic_is_known_by_version_and_number(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    def now(n: int) -> str:
        return locate("synthetic", Data(source="synthetic", n_images=n), machine, Path()).fingerprint

    first = now(100)
    assert now(100) == first != now(200)
    newer = replace(sources["synthetic"], version=sources["synthetic"].version + 1)
    monkeypatch.setitem(sources._components, "synthetic", newer)
    assert now(100) != first


@pytest.mark.parametrize(
    ("source", "says"),
    [
        ("folder:nowhere/cells", r"there is no .*nowhere.cells\n.*nearest folder that exists is"),
        ("npz:cells", "not a file; npz: takes the path of a file"),
        ("folder:cells/a/0000.png", "not a folder; folder: takes"),
        ("folder:@pbc96", "not in .paths. of bench.toml"),
    ],
)
def test_a_wrong_path_is_explained(folder: Path, machine: Machine, source: str, says: str) -> None:
    with pytest.raises(UserError, match=says):
        locate(source, Data(source="synthetic"), machine, folder.parent)


def test_official_needs_a_source_with_its_own_split(tmp_path: Path, machine: Machine) -> None:
    pixels, labels = noise(2), [0, 1]
    np.savez(
        tmp_path / "own.npz",
        **{
            f"{s}_{w}": v
            for s in ("train", "val", "test")
            for w, v in (("images", pixels), ("labels", labels))
        },
    )
    np.savez(tmp_path / "flat.npz", images=pixels, labels=labels)
    own, flat = (locate(f"npz:{name}", BASE, machine, tmp_path) for name in ("own.npz", "flat.npz"))
    assert fingerprint.effective_split(own, Data(source="npz:x")) == "official"
    assert fingerprint.effective_split(flat, Data(source="npz:x")) == Split()
    assert fingerprint.effective_split(own, Data(source="npz:x", split=Split())) == Split()
    with pytest.raises(UserError, match="has no split of its own"):
        fingerprint.effective_split(flat, Data(source="npz:x", split="official"))


def test_an_npz_that_is_none_is_an_error(tmp_path: Path, machine: Machine) -> None:
    (tmp_path / "x.npz").write_bytes(b"PK nonsense")
    with pytest.raises(UserError, match="not a readable npz"):
        locate("npz:x.npz", BASE, machine, tmp_path)


BASE = Data(source="folder:x")
SAME_TEST = [
    BASE.model_copy(update={"outliers": "keep"}),
    BASE.model_copy(update={"limit": 100}),
    BASE.model_copy(update={"size_px": 32}),
    BASE.model_copy(update={"split": Split(train=0.7, val=0.2, test=0.1)}),
]
OTHER_TEST = [
    BASE.model_copy(update={"split_seed": 1}),
    BASE.model_copy(update={"split": Split(train=0.7, val=0.1, test=0.2)}),
]


@pytest.mark.parametrize("data", SAME_TEST + OTHER_TEST)
def test_whatever_changes_the_images_trained_on_changes_the_data_fingerprint(data: Data) -> None:
    assert data_fingerprint(FOLDER, data) != data_fingerprint(FOLDER, BASE)


def test_leaving_the_split_out_means_the_same_as_writing_its_default() -> None:
    written = BASE.model_copy(update={"split": Split()})
    assert data_fingerprint(FOLDER, written) == data_fingerprint(FOLDER, BASE)


def test_the_key_of_the_test_set_follows_only_what_chooses_its_images() -> None:
    key = test_key(FOLDER, BASE, SEED)
    assert {test_key(FOLDER, data, Replicate(3)) for data in SAME_TEST} == {key}
    others = {test_key(FOLDER, data, SEED) for data in OTHER_TEST}
    others |= {test_key(FOLDER, BASE, Replicate(0, fold, 5)) for fold in range(5)}
    others |= {
        test_key(FOLDER, BASE, Replicate(0, 0, 4)),
        test_key(Source("folder", Path("x"), "other"), BASE, SEED),
    }
    assert len(others | {key}) == 2 + 5 + 2 + 1


def test_hidden_keys_follow_content_and_translation_but_not_permission() -> None:
    external = External(kind="external", source="folder:y")
    key = hidden_key(external, FOLDER, "t")
    assert (
        hidden_key(external.model_copy(update={"allow_overlap": True, "source": "folder:z"}), FOLDER, "u")
        == key
    )
    assert hidden_key(external.model_copy(update={"classes": {"NEU": "neutrophil"}}), FOLDER, "t") != key
    assert hidden_key(external, Source("folder", None, "other"), "t") != key
    corrupted = Corrupted(kind="corrupted")
    assert hidden_key(corrupted, None, "t") != hidden_key(corrupted, None, "u")
    shifted = Shifted(kind="synthetic")
    assert hidden_key(shifted, None, "t") == hidden_key(shifted, None, "u")
    assert hidden_key(shifted, None, "t") != hidden_key(shifted.model_copy(update={"stain": 2.0}), None, "t")


def test_a_corrupted_sets_key_follows_what_its_table_means_and_the_versions_of_corruptions(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def key(**given: object) -> str:
        return hidden_key(Corrupted.model_validate({"kind": "corrupted"} | given), None, "t")

    assert key() == key(severities=[5, 4, 3, 2]) == key(families=corruptions.names())
    assert key(families=["hue", "jpeg", "noise"]) == key(families=["noise", "hue", "jpeg", "hue"])
    others = [{"seed": 1}, {"images": 5}, {"severities": [2, 3]}, {"profile": "micro-c"}]
    others += [{"families": ["hue", "jpeg", "noise"]}]
    keys = {key(), *(key(**other) for other in others)}
    assert len(keys) == 6
    monkeypatch.setattr(fingerprint, "CORRUPTIONS_VERSION", 2)
    assert key() not in keys
    monkeypatch.undo()
    newer = replace(corruptions["hue"], version=2)
    monkeypatch.setitem(corruptions._components, "hue", newer)
    assert key() not in keys
    other_code = replace(corruptions["hue"], version=1, origin="sha256:00")
    monkeypatch.setitem(corruptions._components, "hue", other_code)
    assert key(families=["hue", "jpeg", "noise"]) not in keys
    assert key(families=["jpeg", "noise", "zoom"]) not in keys


def test_locating_imports_neither_numpy_nor_torch() -> None:
    code = (
        "import sys; from pathlib import Path; from bench.data.fingerprint import locate\n"
        "from bench.machine import Machine; from bench.recipe import Data\n"
        "locate('synthetic', Data(source='synthetic'), Machine(), Path())\n"
        "assert not {'numpy', 'torch', 'PIL', 'pooch'} & set(sys.modules), 'slow import'"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.shared
def test_a_warm_look_at_17092_files_opens_none(shared: Path, machine: Machine) -> None:
    """It takes as long as asking for their sizes does, within a factor that stalls do not reach."""
    import time

    def seconds(look: Callable[[], object]) -> float:
        started = time.process_time()
        look()
        return time.process_time() - started

    folder = shared / "data/pbc96"
    at(folder, machine)
    listing = min(seconds(lambda: [path.stat() for path in folder.rglob("*")]) for _ in range(2))
    warm = min(seconds(lambda: at(folder, machine)) for _ in range(2))
    print(f"warm {warm:.2f} s, sizes alone {listing:.2f} s")
    assert warm < 5 * listing
