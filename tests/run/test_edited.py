"""Files that a study names are edited while it runs: nothing is recorded as what it is not; all is told."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from pathlib import Path

import pytest
from tiny import machine_in, write_study

from bench.errors import UserError
from bench.progress.terminal import Terminal
from bench.recipe import Choice
from bench.run.conductor import Ending, Options, run_study
from bench.run.planning import Planning, prepare
from bench.store import Store
from bench.trial import FileChangedError, Surroundings, run_trial

PROGRAM = """\
import json, sys
from pathlib import Path
import numpy as np

data, out, seed = Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3])
classes = json.loads((data / "classes.json").read_text())
for file in sorted(set(data.glob("*.npz")) - {data / "train.npz"}):
    images = np.load(file)["image"]
    head = ["set", "image", *(f"p_{name}" for name in classes)]
    told = [1.0] + [0.0] * (len(classes) - 1)
    rows = [",".join([file.stem, str(i), *map(str, told)]) for i in images]
    (out / f"{file.stem}.csv").write_text("\\n".join([",".join(head), *rows]))
"""
EDITS = """
if not Path("edited").exists() and seed == 1:
    Path("edited").touch()
    Path(NAME).write_text(Path(NAME).read_text() + "# edited")
"""
COMMAND = 'theirs = { command = "python train.py {data} {out} {seed}" }'
USES = """\
from bench.registry import augmentations

@augmentations.register("same")
def same(p: float = 0.5):
    \"\"\"Nothing.\"\"\"
    return lambda images, targets, random: (images, targets)
"""


def study_in(folder: Path, edits: str) -> Path:
    study = write_study(folder, seeds=3, arms=f"flips = {{ augment = ['flip'] }}\n{COMMAND}")
    study.write_text('uses = ["own.py"]\n' + study.read_text())
    (folder / "own.py").write_text(USES)
    (folder / "train.py").write_text(PROGRAM + EDITS.replace("NAME", repr(edits)))
    return study


def go(study: Path) -> Ending:
    return run_study(study, machine_in(study.parent), Options(), Terminal())


@pytest.mark.parametrize("edits", ["tiny.toml", "own.py"])
def test_what_was_read_in_the_beginning_is_told_and_changes_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], edits: str
) -> None:
    study = study_in(tmp_path, edits)
    ending = go(study)
    assert (ending.exit_code, dict(ending.counts)) == (0, {"done": 9})
    assert (
        f"tiny: {edits} changed since this run began; its trials are of what was" in capsys.readouterr().err
    )
    go(study)
    assert "changed since" not in capsys.readouterr().err


def test_a_program_that_is_edited_makes_no_record_of_the_trial_that_it_is_not(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    study = study_in(tmp_path, "train.py")
    before = {run.trial.id for run in prepare(study, machine_in(tmp_path)).runs if run.arm == "theirs"}
    ending, store = go(study), Store(tmp_path / "results")
    assert (ending.exit_code, dict(ending.counts)) == (1, {"done": 7, "missing": 2})
    assert [line.partition(":")[0] for line in ending.failures[:2]] == ["theirs s1", "theirs s2"]
    assert all(
        f"{tmp_path / 'train.py'} changed since this run began" in line for line in ending.failures[:2]
    )
    assert ending.failures[2].startswith("2 trials have no record after all")
    assert "not trained since train.py changed; the same command" in ending.failures[2]
    assert "tiny: train.py changed since this run began" in capsys.readouterr().err
    assert len(before & {*store.ids()}) == 1
    ending = go(study)
    assert (ending.exit_code, ending.ran, dict(ending.counts)) == (0, 3, {"done": 9})
    assert len(before & {*store.ids()}) == 1, "what it says now is another trial"


def test_an_edited_program_ends_a_search_with_its_name(tmp_path: Path) -> None:
    study = study_in(tmp_path, "train.py")
    (tmp_path / "train.py").write_text((tmp_path / "train.py").read_text().replace("and seed == 1", ""))
    tune = (
        '[tune]\ncandidates = 2\nfinalists = 0\n[tune.space]\n"optimizer.lr" = { low = 1e-3, high = 1e-2 }\n'
    )
    study.write_text(study.read_text() + tune)
    with pytest.raises(UserError, match=r"candidates end without a record: train.py changed since this run"):
        go(study)
    assert go(study).exit_code == 0


def test_weights_that_changed_are_not_trained_from(tmp_path: Path) -> None:
    planning = Planning(write_study(tmp_path), machine_in(tmp_path), smoked=False)
    run = planning.plan().runs[0]
    file = tmp_path / "weights.pth"
    file.write_bytes(b"first")
    path, content = planning._locator.weights(str(file))
    assert (path, content) == (file, hashlib.sha256(b"first").hexdigest())
    assert planning.changed() == []
    file.write_bytes(b"second")
    assert planning._locator.weights(str(file)) == (path, content), "a plan stays what it was"
    assert planning.changed() == ["weights.pth"]
    model = run.trial.recipe.model
    named = Choice(name=model.name, params=model.params | {"weights": f"sha256:{content}"})
    recipe = run.trial.recipe.model_copy(update={"model": named})
    with pytest.raises(FileChangedError, match=r"weights.pth changed since this run began"):
        run_trial(
            replace(run.trial, recipe=recipe, weights=file), (), Surroundings("cpu", tmp_path / "cache")
        )
