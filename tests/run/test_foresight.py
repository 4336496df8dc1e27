"""``bench plan`` refuses what ``bench run`` would, word for word, and decodes nothing for it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from tiny import FLIPS, machine_in, write_study

from bench.commands.plan import plan_text
from bench.data import cache
from bench.errors import UserError
from bench.progress.terminal import Terminal
from bench.run import foresight
from bench.run.planning import prepare
from bench.run.preflight import check

PARTS = ("train", "val", "test")


def write_npz(
    file: Path, labels: dict[str, list[int]] | list[int], channels: int = 3, **columns: object
) -> None:
    """An archive of noise with these labels: of MedMNIST's layout where they come by part."""
    rng, arrays = np.random.default_rng(len(file.name)), {}
    for part, of in labels.items() if isinstance(labels, dict) else [("", labels)]:
        prefix = f"{part}_" if part else ""
        arrays[f"{prefix}images"] = rng.integers(0, 256, (len(of), 16, 16, 3), np.uint8)
        arrays[f"{prefix}labels"] = np.array(of)
    np.savez(file, **arrays)  # type: ignore[arg-type]


def sides(train: list[int], val: list[int], test: list[int]) -> dict[str, list[int]]:
    return dict(zip(PARTS, (train, val, test), strict=True))


SOUND = sides([0, 1] * 20, [0, 1] * 5, [0, 1] * 5)


def study(folder: Path, *, local: object = SOUND, hidden: object = None, **changed: str) -> Path:
    """A study on ``local.npz`` and, where there are labels of one, on ``elsewhere.npz``."""
    write_npz(folder / "local.npz", local)  # type: ignore[arg-type]
    table = changed.get("table", "")
    if hidden is not None:
        write_npz(folder / "elsewhere.npz", hidden)  # type: ignore[arg-type]
        table = f'[hidden.elsewhere]\nkind = "external"\nsource = "npz:elsewhere.npz"\n{table}'
    file = write_study(folder, hidden=table, arms=changed.get("arms", FLIPS))
    text = file.read_text().replace("n_images = 120", changed.get("data", ""))
    text = text.replace("seeds = 1", f"seeds = 1\n{changed.get('head', '')}")
    file.write_text(text.replace('"synthetic"', '"npz:local.npz"', 1))
    return file


NO_VALIDATION = sides([0, 1, 2] * 20, [0, 1] * 5, [0, 1, 2] * 5)
CASES: dict[str, tuple[dict[str, object], str]] = {
    "a class without validation images": (
        {"local": NO_VALIDATION},
        "  1 of 3 classes have too few images for training, validation and test\n"
        "  class 2: 25 images, of which 20 train, 0 validation, 5 test\n"
        "    add images, leave out these (drop_classes), or raise [data] limit; duplicates count once",
    ),
    "labels that start at 1": (
        {"local": sides([1, 2] * 20, [1, 2] * 5, [1, 2] * 5)},
        "the labels start at 1, and they are counted from 0: subtract 1 from each",
    ),
    "labels that start at 1, without a split of their own": (
        {"local": [1, 2] * 30},
        "the labels start at 1, and they are counted from 0: subtract 1 from each",
    ),
    "one class": (
        {"local": [0] * 30},
        'npz:local.npz holds one class, "class 0"; there is nothing to tell apart, two are needed',
    ),
    "a limit too small": (
        {"data": "limit = 3"},
        "[data] limit = 3 is too small: training and validation together need at least 4 images",
    ),
    "a class that the study has not": (
        {"hidden": [0, 1, 2]},
        '  "class 2" is not a class of the study; the study has none that these lack',
    ),
    "labels of a hidden set that start at 1": (
        {"hidden": [1, 2] * 5},
        '  "class 2" is not a class of the study; the study has none that these lack\n'
        "    the labels start at 1, and they are counted from 0: subtract 1 from each",
    ),
    "nothing left": (
        {"hidden": [0, 1, 1], "table": 'drop_classes = ["class 0", "class 1"]'},
        "[hidden.elsewhere] has no image left: drop_classes names all of its classes; leave some",
    ),
    "a hidden set's groups": (
        {"hidden": [0, 1, 1], "table": 'groups = "slide"'},
        'groups = "slide": "npz:elsewhere.npz" has no column of that name; it has none',
    ),
    "AUC where there is one class": (
        {"hidden": [1] * 12, "head": 'primary = "elsewhere.auc"'},
        '  elsewhere.auc is undefined: this set has images of one class, "class 1"; choose',
    ),
    "a batch larger than an epoch": (
        {"arms": f"{FLIPS}\nbig = {{ batch_size = 41 }}"},
        "  arm big: batch_size = 41: an epoch has 40 images; use at most 40",
    ),
    "more corrupted images than there are": (
        {"table": '[hidden.heavy]\nkind = "corrupted"\nimages = 11'},
        "  [hidden.heavy] images = 11: there are 10 to corrupt; give at most as many, or none",
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", CASES)
def test_a_plan_refuses_what_a_run_would_in_the_same_words(tmp_path: Path, case: str) -> None:
    changed, told = CASES[case]
    file, machine = study(tmp_path, **changed), machine_in(tmp_path)  # type: ignore[arg-type]
    with pytest.raises(UserError) as planned:
        plan_text(file, machine, False)
    plan = prepare(file, machine)
    with pytest.raises(UserError) as run:
        check(plan.study, plan.runs, machine, Terminal(quiet=True))
    assert str(planned.value) == str(run.value)
    assert str(planned.value).startswith("tiny cannot run:\n")
    assert told in str(planned.value)


def test_all_that_is_wrong_comes_together(tmp_path: Path) -> None:
    table = 'classes = { "7" = "class 0" }\n[hidden.heavy]\nkind = "corrupted"\nimages = 11'
    file = study(tmp_path, hidden=[0, 1, 2], table=table, arms=f"{FLIPS}\nbig = {{ batch_size = 41 }}")
    with pytest.raises(UserError) as planned:
        plan_text(file, machine_in(tmp_path), False)
    first, *rest = [line for line in str(planned.value).splitlines() if line.startswith(("  [", "  arm"))]
    assert first.startswith("  [hidden.elsewhere] classes do not fit the study, which has ")
    assert rest == [
        "  [hidden.heavy] images = 11: there are 10 to corrupt; give at most as many, or none",
        "  arm big: batch_size = 41: an epoch has 40 images; use at most 40",
    ]


def test_all_names_without_a_path_come_together(tmp_path: Path) -> None:
    table = '[hidden.elsewhere]\nkind = "external"\nsource = "folder:@others"'
    named = 'named = { model = { name = "resnet18", weights = "@resnet" } }'
    file = study(tmp_path, table=table, arms=f"{FLIPS}\n{named}")
    file.write_text(file.read_text().replace("npz:local.npz", "folder:@cells"))
    with pytest.raises(UserError) as planned:
        plan_text(file, machine_in(tmp_path), False)
    said = str(planned.value).splitlines()
    assert [line.partition('" ')[0].strip() for line in said[::2]] == ['"@cells', '"@others', '"@resnet']
    assert said[-1].endswith("BENCH_PATHS_RESNET=FILE")


def test_copies_of_one_picture_are_no_class(tmp_path: Path) -> None:
    """Images that a plan reads anyway are told apart: three copies count as none."""
    file = study(tmp_path, local=[0, 1] * 20 + [2] * 3)
    with np.load(tmp_path / "local.npz") as archive:
        images, labels = archive["images"], archive["labels"]
    images[-3:] = images[-1]
    np.savez(tmp_path / "local.npz", images=images, labels=labels)
    with pytest.raises(UserError, match="class 2: 3 images, of which 0 train, 0 validation, 0 test"):
        plan_text(file, machine_in(tmp_path), False)


def test_a_sound_study_is_looked_at_once_and_no_image_is_decoded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise AssertionError("is looked at")

    file, machine = study(tmp_path, hidden=[0, 1] * 5), machine_in(tmp_path)
    monkeypatch.setattr(cache, "_decode", refuse)
    told = plan_text(file, machine, False)
    monkeypatch.setattr(foresight, "_problems", refuse)
    assert plan_text(file, machine, False) == told
    file.write_text(file.read_text().replace("seeds = 1", 'seeds = 1\nprimary = "elsewhere.auc"'))
    with pytest.raises(AssertionError, match="is looked at"):
        plan_text(file, machine, False)
