"""A study written from a look at images: what it chooses, and that it plans and runs."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file

from bench.commands import scaffold, suited, suiting, weights_near
from bench.errors import UserError
from bench.machine import Machine
from bench.models.architecture import Task, build
from bench.progress.terminal import Terminal
from bench.recipe import Choice, NamePattern
from bench.run.conductor import Options, run_study
from bench.run.planning import prepare
from bench.study.read import load


@pytest.fixture(autouse=True)
def _offline(monkeypatch: pytest.MonkeyPatch) -> None:
    def unreachable(name: str) -> None:
        raise UserError(f"{name}: no network here")

    monkeypatch.setattr("bench.models.pretrained._reach_hub", unreachable)


def images(folder: Path, counts: Mapping[str, int], size: tuple[int, int] = (40, 36)) -> str:
    """A folder of class folders, which may hold further ones; as a source is written."""
    rng = np.random.default_rng(len(str(folder)))
    for name, count in counts.items():
        (folder / name).mkdir(parents=True)
        for i in range(count):
            pixels = rng.integers(0, 256, (*size[::-1], 3), dtype=np.uint8)
            Image.fromarray(pixels).save(folder / name / f"{i:03}.png")
    return f"folder:{folder.name}"


def machine_in(folder: Path, **paths: Path) -> Machine:
    return Machine(folder / "results", folder / "cache", "cpu", "inline", paths=paths)


def write(folder: Path, machine: Machine, wanted: scaffold.Wanted) -> tuple[Path, list[str]]:
    said: list[str] = []
    return folder / scaffold.suited("mine", folder, wanted, machine, said.append), said


def test_a_written_study_plans_and_runs_in_smoke_form(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    home = images(tmp_path / "cells", {"mono": 24, "neutro": 24, "platelet": 24})
    there = images(tmp_path / "cells.2", {"Monos": 6, "neutro": 7, "other": 3})
    machine = machine_in(tmp_path)
    file, said = write(tmp_path, machine, scaffold.Wanted(home, [there]))
    study = load(file)
    assert said[0] == "local: 72 images, 3 classes, 1.0 : 1"
    assert said[-1].startswith("model: custom_cnn, from random weights")
    assert "offline" in said[-1]
    assert study.data.source == "folder:../cells"
    (hidden,) = study.hidden.values()
    assert hidden.kind == "external"
    assert (hidden.classes, hidden.drop_classes) == ({"Monos": "mono"}, ("other",))
    assert "# it has no images of platelet" in file.read_text("utf-8")
    plan = prepare(file, machine)
    assert len(plan.runs) == 4 * suiting.FOLDS
    ending = run_study(file, machine, Options(smoke=True), Terminal(quiet=True))
    assert ending.counts == {"done": 4 * 2}
    with pytest.raises(UserError, match="is there already"):
        write(tmp_path, machine, scaffold.Wanted(home))


def test_what_is_no_source_is_told_with_the_word_that_was_forgotten(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.chdir(tmp_path)
    images(tmp_path / "cells", {"a": 1, "b": 1})
    with pytest.raises(UserError, match='did you mean "folder:cells"'):
        write(tmp_path, machine_in(tmp_path), scaffold.Wanted("cells"))
    assert not (tmp_path / "ablations").exists()
    only = images(tmp_path / "one", {"a": 2})
    with pytest.raises(UserError, match="one class"):
        write(tmp_path, machine_in(tmp_path), scaffold.Wanted(only))


def test_columns_of_few_values_become_slices(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    images(tmp_path / "cells", {"a": 60, "b": 60})
    files = sorted(path.relative_to(tmp_path) for path in (tmp_path / "cells").glob("*/*.png"))
    rows = [f"{file},{file.parent.name},P{k // 4},{'AB'[k % 2]},{k % 5},{k}" for k, file in enumerate(files)]
    (tmp_path / "cells.csv").write_text("file,label,patient,scanner,stain,id\n" + "\n".join(rows))
    machine = machine_in(tmp_path)
    seen = suited.look("csv:cells.csv", machine, tmp_path / "ablations")
    assert (seen.groups, seen.slices) == ("patient", ("scanner",)), "five stains have 24 images each"
    made, _ = write(tmp_path, machine, scaffold.Wanted("csv:cells.csv"))
    assert load(made).slices == {"local": ("scanner",)}


def test_groups_are_seen_in_folders_columns_and_names(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    machine, at = machine_in(tmp_path), tmp_path / "ablations"
    nested = images(tmp_path / "nested", {"a/P1": 2, "a/P2": 1, "b/P1": 2})
    seen = suited.look(nested, machine, at)
    assert (seen.groups, seen.grouped, seen.images) == ("folder", 2, 5)
    table = tmp_path / "nested" / "t.csv"
    rows = ["a/P1/000.png,a,x", "a/P1/001.png,a,x", "b/P1/000.png,b,y", "b/P1/001.png,b,z"]
    table.write_text("file,label,Patient\n" + "\n".join(rows))
    assert suited.look("csv:nested/t.csv", machine, at).groups == "Patient"
    for number, file in enumerate(sorted(tmp_path.glob("nested/*/P1/*.png"))):
        named = tmp_path / "named" / file.parent.parent.name / f"pat{number % 2}_{number}.png"
        named.parent.mkdir(parents=True, exist_ok=True)
        file.rename(named)
    seen = suited.look("folder:named", machine, at)
    assert isinstance(seen.groups, NamePattern)
    assert seen.grouped == 2


def test_a_place_is_written_as_the_study_sees_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    machine = machine_in(tmp_path, cells=tmp_path / "there")
    of = {
        "folder:x/y": "folder:../x/y",
        "folder:there": "folder:@cells",
        f"folder:{tmp_path}/there": "folder:@cells",
        "folder:@cells/a": "folder:@cells/a",
        "folder:/else": "folder:/else",
        "bloodmnist": "bloodmnist",
    }
    assert {w: suited.from_study(w, machine, tmp_path / "ablations") for w in of} == of
    taken: list[str] = []
    for written in ("folder:a/lab 2", "npz:b/lab-2.npz", "folder:local", "folder:@x"):
        taken.append(suited.set_name(written, taken))
    assert taken == ["lab-2", "lab-2-2", "other-lab", "x"]


def test_weights_are_told_by_the_names_of_files_and_must_fit(tmp_path: Path):
    name = "mobilenetv2_035"
    network = build(Choice(name=name), Task(2, 3, 64))
    state = {key.removeprefix("backbone."): tensor for key, tensor in network.state_dict().items()}
    state = {
        key: tensor.clone() for key, tensor in state.items() if not key.startswith(("head.", "mean", "std"))
    }
    save_file(state, tmp_path / f"{name}_keras_nohead.safetensors")
    save_file({"x": torch.zeros(3)}, tmp_path / "resnet18.safetensors")
    (tmp_path / "notes.txt").write_text("no weights")
    found = weights_near.start(machine_in(tmp_path, w=tmp_path), 3, "cpu")
    assert (found.name, found.params["weights"]) == (name, f"@w/{name}_keras_nohead.safetensors")
    assert (found.params["pad_type"], found.params["bn_eps"]) == ("same", 1e-3)
    by_key = machine_in(tmp_path, mobilenetv2_035=tmp_path / "notes.txt", resnet18=tmp_path / "gone.pth")
    assert weights_near.start(by_key, 3, "cpu") == weights_near.Start("custom_cnn", {}, weights_near.NOWHERE)
    renamed = (tmp_path / "resnet18.safetensors").with_name("best.safetensors")
    save_file(state, renamed)
    found = weights_near.start(machine_in(tmp_path, mobilenetv2_035=renamed), 3, "cpu")
    assert (found.name, found.params["weights"]) == (name, "@mobilenetv2_035")
    assert "pad_type" not in found.params


# -- what is chosen ------------------------------------------------------------------------------------------


def seen(counts: list[int], *, side_px: int = 96, split: np.ndarray | None = None) -> suited.Look:
    names = tuple("abcdefgh"[: len(counts)])
    of = np.array(counts, np.int64)
    return suited.Look("folder:../x", names, of, 3, split, side_px, 0.0, None, 0)


def suit(home: suited.Look, *, there: suited.Look | None = None, device: str = "cpu") -> suiting.Suit:
    start = weights_near.Start("x", {"pretrained": True})
    return suiting.Suit(home, {"lab": there} if there else {}, start, device)


@pytest.mark.parametrize("images", [120, 160, 249, 250, 500, 1999, 2000, 9000])
@pytest.mark.parametrize("device", ["cpu", "cuda"])
def test_an_epoch_has_twenty_steps_and_a_difference_that_matters_is_an_image(images: int, device: str):
    chosen = suit(seen([images // 2, images - images // 2]), device=device)
    assert chosen.train // chosen.batch_size >= suiting.STEPS
    here, there = chosen.deltas
    assert here * chosen.test_counts.sum() >= 100
    assert (here >= 0.5, there) == (True, 1.0)
    assert chosen.folds == (images < suiting.FEW)
    assert chosen.limited == (device == "cpu" and images == 9000)


@pytest.mark.parametrize(
    ("home", "there", "score"),
    [
        ([50, 60, 70], None, "accuracy"),
        ([50, 60, 150], None, "balanced_accuracy"),
        ([50, 150], None, "auc"),
        ([50, 50, 50], [10, 20, 60], "balanced_accuracy"),
        ([50, 150], [1, 20], "accuracy"),  # one image of a class has no interval
        ([50, 150], [0, 20], "accuracy"),  # and one class alone no ranks
    ],
)
def test_unequal_classes_are_decided_by_a_score_that_hears_small_ones(
    home: list[int], there: list[int] | None, score: str
):
    assert suit(seen(home), there=seen(there) if there else None).score == score


def test_small_classes_make_a_coarse_score_and_so_a_larger_difference():
    chosen = suit(seen([500, 500, 500]), there=seen([10, 20, 60]))
    assert chosen.deltas[1] == pytest.approx(3.4)  # 100 / (3 · 10), to the next tenth


@pytest.mark.parametrize(
    ("native", "device", "size"), [(360, "cpu", 96), (360, "cuda", 224), (28, "cpu", 28), (0, "cpu", 64)]
)
def test_size_is_no_more_than_the_images_have(native: int, device: str, size: int):
    assert suit(seen([300, 300], side_px=native), device=device).size_px == size


def test_a_split_of_its_own_is_kept_and_an_up_is_kept_up():
    split = np.repeat([0, 2], [80, 20])
    chosen = suit(seen([50, 50], split=split))
    text = suiting.text("x", chosen)
    assert "# split: its own is used, 80 images to train and 20 to test" in text
    assert (chosen.train, chosen.folds) == (80, False)
    assert "vertical_p" in text
    assert "rotate" in text
    upright = suiting.text("x", suiting.Suit(chosen.home, {}, chosen.start, "cpu", upright=True))
    assert "vertical_p" not in upright
    assert "rotate" not in upright


@pytest.mark.parametrize("upright", [False, True])
def test_an_arm_is_called_after_its_augmentations(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, upright: bool
):
    monkeypatch.chdir(tmp_path)
    home = images(tmp_path / "cells", {"a": 30, "b": 30})
    file, _ = write(tmp_path, machine_in(tmp_path), scaffold.Wanted(home, upright=upright))
    study = load(file)
    assert len(study.arms) == suiting.ARMS
    for arm in study.arms:
        does = [one.name for one in arm.recipe.augment]
        assert arm.label.replace("flips", "flip") == ("-".join(does) or "none")
    written = file.read_text("utf-8")
    assert f"its {len(prepare(file, machine_in(tmp_path)).runs)} trials" in written
    assert max(map(len, written.splitlines()[:3])) <= 110
