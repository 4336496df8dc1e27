from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from tiny import FLIPS, HIDDEN, machine_in, write_study

from bench.errors import StopAsked, UserError
from bench.progress.terminal import Terminal
from bench.run.planning import prepare
from bench.run.preflight import check
from bench.study.read import load


def complaint(study: Path, folder: Path) -> str:
    """What is said before the first trial; empty when nothing is wrong."""
    machine = machine_in(folder)
    plan = prepare(study, machine)
    try:
        check(plan.study, plan.runs, machine, Terminal(quiet=True))
    except UserError as error:
        return str(error)
    return ""


def write_cells(folder: Path, **counts: int) -> None:
    """Class folders of so many different images."""
    rng = np.random.default_rng(0)
    for name, count in counts.items():
        (folder / name).mkdir(parents=True)
        for i in range(count):
            Image.fromarray(rng.integers(0, 256, (16, 16, 3), np.uint8)).save(folder / name / f"{i}.png")


def test_a_sound_study_passes(tmp_path: Path) -> None:
    assert complaint(write_study(tmp_path, hidden=HIDDEN), tmp_path) == ""


def test_problems_of_batch_model_and_size_come_together_and_once_per_arm(tmp_path: Path) -> None:
    arms = f"""
big = {{ batch_size = 97 }}
fits = {{ batch_size = 96 }}
named = {{ model = "mobilnetv2_035" }}
small = {{ model = "pvt_v2_b0" }}
deep = {{ "stages.0.train" = "top:99" }}
{FLIPS}
"""
    lines = complaint(write_study(tmp_path, seeds=2, arms=arms), tmp_path).splitlines()
    assert lines[0] == "tiny cannot run:"
    # 120 drawings, 80 % to train on
    assert lines[1] == "  arm big: batch_size = 97: an epoch has 96 images; use at most 96"
    assert lines[2].startswith('  arm named: "mobilnetv2_035" is neither')
    assert lines[3].startswith("  arm small: pvt_v2_b0 cannot take images of 16 px")
    assert lines[3].endswith("; size_px = 32 works")
    assert lines[4].startswith('  arm deep: custom_cnn: stage train = "top:99" asks for 99 blocks')
    assert len(lines) == 5


def test_a_batch_that_batch_norm_cannot_train_on_is_found_before_the_first_trial(tmp_path: Path) -> None:
    """At 16 px the last maps are 1 × 1: one image is one value of each channel. A frozen norm needs none."""
    small = 'name = "mobilenetv2_035", mean = [0.5, 0.5, 0.5], std = [0.5, 0.5, 0.5]'
    arms = f"""
one = {{ batch_size = 1, model = {{ {small} }} }}
two = {{ batch_size = 2, model = {{ {small} }} }}
frozen = {{ batch_size = 1, model = {{ {small} }}, stages = [{{ train = "head", steps = 2 }}] }}
views = {{ batch_size = 1, model = {{ {small} }}, augment = [{{ name = "augmix", jsd = true }}] }}
ours = {{ batch_size = 1 }}
{FLIPS}
"""
    lines = complaint(write_study(tmp_path, arms=arms), tmp_path).splitlines()
    assert lines[0] == "tiny cannot run:"
    assert lines[1].startswith(
        "  arm one: batch_size = 1: mobilenetv2_035 cannot train on a batch of 1 (Expected"
    )
    assert lines[1].endswith("give a larger batch_size, batch norm needs several values")
    assert len(lines) == 2


def test_a_metric_that_is_undefined_on_a_set_is_no_metric_to_decide_by(tmp_path: Path) -> None:
    write_cells(tmp_path / "cells", a=30, b=30)
    write_cells(tmp_path / "only", a=12)
    hidden = '[hidden.only]\nkind = "external"\nsource = "folder:only"\nallow_overlap = true'
    study = write_study(tmp_path, hidden=hidden)
    text = study.read_text().replace('source = "synthetic"', 'source = "folder:cells"')
    text = text.replace("n_images = 120\n", "").replace("seeds = 1", 'seeds = 1\nprimary = "only.auc"')
    study.write_text(text)
    assert complaint(study, tmp_path).splitlines()[1:] == [
        '  only.auc is undefined: this set has images of one class, "a"; choose another score of it'
    ]


@pytest.mark.parametrize("score", ["worst_recall", "ece"])
def test_a_score_that_never_gets_an_interval_decides_nothing(tmp_path: Path, score: str) -> None:
    study = write_study(tmp_path)
    text = study.read_text().replace("seeds = 1", f'seeds = 1\nprimary = "local.{score}"')
    study.write_text(text.replace('than = "none"\n', f'than = "none"\nmetric = "local.{score}"\n'))
    with pytest.raises(UserError) as error:
        prepare(study, machine_in(tmp_path))
    said = str(error.value)
    assert f'primary = "local.{score}"\n    {score} has a value, never a verdict; known: acc' in said
    assert f'[[claims]] number 1 metric = "local.{score}"' in said
    assert load(study).primary == f"local.{score}"  # a report of old records is still made


def test_a_balance_that_shortens_the_epoch_bounds_the_batch(tmp_path: Path) -> None:
    write_cells(tmp_path / "cells", a=40, b=20)
    study = write_study(tmp_path, arms=f'{FLIPS}\ncut = {{ balance = "downsample", batch_size = 33 }}')
    text = study.read_text().replace('source = "synthetic"', 'source = "folder:cells"')
    study.write_text(text.replace("n_images = 120\n", ""))
    # of 20 images, 16 train
    assert complaint(study, tmp_path).splitlines()[1:] == [
        '  arm cut: batch_size = 33: an epoch has 32 images with balance = "downsample"; use at most 32'
    ]


def test_a_class_that_a_fold_leaves_without_training_images_is_named(tmp_path: Path) -> None:
    write_cells(tmp_path / "cells", a=30, b=2)
    study = write_study(tmp_path)
    text = study.read_text().replace("seeds = 1", 'replicates = { kind = "folds", k = 2 }')
    text = text.replace('source = "synthetic"', 'source = "folder:cells"').replace("n_images = 120\n", "")
    study.write_text(text)
    said = complaint(study, tmp_path)
    assert "1 of 2 classes have too few images for training, validation and test" in said
    assert "b: 2 images" in said


def test_a_problem_of_several_lines_stays_one_problem(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    monkeypatch.setattr("bench.models.pretrained.HUB_FILES", ("no-such-file-in-any-cache",))
    arms = f'hub = {{ model = {{ name = "resnet10t", pretrained = true }} }}\n{FLIPS}'
    lines = complaint(write_study(tmp_path, arms=arms), tmp_path).splitlines()
    assert sum("arm hub" in line for line in lines) == 1
    assert "weights = PATH" in "".join(lines)


def test_a_class_of_kornia_is_checked_before_the_first_trial_and_not_when_planned(tmp_path: Path) -> None:
    arms = f"""
{FLIPS}
typo = {{ augment = [{{ name = "kornia:RandomPlasmaShado" }}] }}
key = {{ augment = ["flip", {{ name = "kornia:RandomPlasmaShadow", roughnes = [0.1, 0.5] }}] }}
mixes = {{ augment = [{{ name = "chain", steps = ["kornia:RandomMixUpV2"] }}] }}
sound = {{ augment = [{{ name = "kornia:RandomPlasmaShadow", p = 0.5 }}] }}
"""
    lines = complaint(write_study(tmp_path, arms=arms), tmp_path).splitlines()[1:]
    assert [line.partition(": ")[0] for line in lines] == ["  arm typo", "  arm key", "  arm mixes"]
    assert lines[0].startswith("  arm typo: augment[0] kornia:RandomPlasmaShado: Kornia ")
    assert lines[0].endswith('did you mean "RandomPlasmaShadow"?')
    assert lines[1].endswith(
        'augment[1] kornia:RandomPlasmaShadow: roughnes = [0.1, 0.5]: unknown key; did you mean "roughness"?'
    )
    assert "chain steps[0] kornia:RandomMixUpV2: mixes images of a batch" in lines[2]


@pytest.mark.parametrize(
    ("body", "wrong"),
    [
        ("return 1 / 0", "raises ZeroDivisionError: division by zero"),
        ("return 'high'", "raises ValueError: could not convert string to float: 'high'"),
        ("return float('inf')", "gives inf, no number"),
        ("return 10**400", "raises OverflowError: int too large to convert to float"),
        ("raise SystemExit(0)", "raises SystemExit: 0"),
        ("raise GeneratorExit", "raises GeneratorExit"),
    ],
)
def test_an_own_metric_is_tried_before_anything_is_trained(tmp_path: Path, body: str, wrong: str) -> None:
    (tmp_path / "odd.py").write_text(
        "from bench.registry import metrics\n\n\n@metrics.register('odd')\ndef odd():\n"
        f"    def score(probabilities, labels):\n        {body}\n\n    return score\n"
    )
    study = write_study(tmp_path)
    study.write_text(f'uses = ["odd.py"]\n{study.read_text()}')
    said = complaint(study, tmp_path)
    assert said.splitlines()[1:] == [f"  metric odd: of 48 images of 8 classes it {wrong}"]


@pytest.mark.parametrize(
    ("body", "wrong"),
    [
        ("return lambda *given: given", "AttributeError: 'function' object has no attribute"),
        ("raise SystemExit(7)", "SystemExit: 7"),
        ("raise KeyboardInterrupt", "KeyboardInterrupt"),
    ],
)
def test_what_an_own_augmentation_raises_is_told_before_anything_is_trained(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, body: str, wrong: str
) -> None:
    monkeypatch.setattr("bench.run.preflight.is_stop", lambda error: isinstance(error, StopAsked))
    (tmp_path / "odd.py").write_text(
        "from bench.registry import augmentations\n\n\n@augmentations.register('odd')\ndef odd():\n"
        f'    """Odd."""\n    {body}\n'
    )
    study = write_study(tmp_path, arms=f'{FLIPS}\nodd = {{ augment = ["odd"] }}')
    study.write_text(f'uses = ["odd.py"]\n{study.read_text()}')
    assert f"  arm odd: {wrong}" in complaint(study, tmp_path)


def test_a_network_that_several_arms_train_is_built_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from bench import models

    built = []
    look = models.check
    monkeypatch.setattr(models, "check", lambda recipe, *of: [built.append(recipe.model), look(recipe, *of)])
    arms = f"{FLIPS}\nlower = {{ 'optimizer.lr' = 0.01 }}\ndeep = {{ 'stages.0.train' = 'top:99' }}"
    lines = complaint(write_study(tmp_path, arms=arms), tmp_path).splitlines()
    assert len(lines) == 2, "an arm of other stages is looked at for itself"
    assert lines[1].startswith("  arm deep: custom_cnn")
    assert len(built) == 2
