"""A program of the study's own trains an arm: it is handed a split and a seed, and bench does the rest."""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tiny import machine_in

from bench.commands.plan import plan_json
from bench.commands.probe import added, probe
from bench.commands.show import trial
from bench.errors import UserError
from bench.progress.terminal import Terminal
from bench.run.conductor import Ending, Options, run_study
from bench.run.planning import prepare
from bench.store import Store
from bench.study.command import filled, problems
from bench.study.read import parse
from bench.train.checkpoint import Interrupted
from bench.trial import Surroundings, run_trial

QUIET = Terminal(quiet=True)
PROGRAM = """\
import json, sys
from pathlib import Path
import numpy as np

seed, sharp, data, out = int(sys.argv[1]), float(sys.argv[2]), Path(sys.argv[3]), Path(sys.argv[4])
classes = json.loads((data / "classes.json").read_text())
train = np.load(data / "train.npz")
assert train["images"].dtype == np.uint8 and set(train.files) == {"images", "labels", "image"}
features = lambda images: np.concatenate([images.mean((1, 2)), images.std((1, 2))], 1) / 255
draw = np.random.default_rng(seed).choice(len(train["labels"]), len(train["labels"]))
x, y = features(train["images"])[draw], train["labels"][draw]
centres = np.stack([x[y == k].mean(0) if (y == k).any() else x.mean(0) for k in range(len(classes))])
for file in sorted(set(data.glob("*.npz")) - {data / "train.npz"}):
    held = np.load(file)
    assert ("labels" in held.files) == (file.stem == "val")
    logits = -sharp * 50 * np.square(features(held["images"])[:, None] - centres).sum(-1)
    said = np.exp(logits - logits.max(1, keepdims=True))
    said /= said.sum(1, keepdims=True)
    rows = [",".join(["set", "image", *(f"p_{name}" for name in classes)])]
    rows += [",".join([file.stem, str(i), *(f"{p:.6f}" for p in row)]) for i, row in zip(held["image"], said)]
    (out / f"{file.stem}.csv").write_text("\\n".join(rows))
"""
STUDY = """\
question = "Is a program better than a tiny network?"
seeds = {seeds}
[data]
source = "synthetic"
size_px = 16
n_images = 200
[hidden.other-lab]
kind = "synthetic"
images = 60
[recipe]
model = {{ name = "custom_cnn", widths = [4], dense = 8 }}
batch_size = 32
stages = [{{ train = "all", steps = 2 }}]
[arms]
ours = {{}}
theirs = {{ command = "{command}", settings = {{ sharp = 1.0 }} }}
"""
COMMAND = "python train.py {seed} {settings.sharp} {data} {out}"
TUNE = """\
[tune]
candidates = 2
finalists = 0
[tune.space]
"optimizer.lr" = { low = 1e-3, high = 1e-2, log = true }
[tune.arms.theirs]
"settings.sharp" = { low = 0.1, high = 10.0, log = true }
"""


def write(
    folder: Path, *, program: str = PROGRAM, command: str = COMMAND, more: str = "", seeds: int = 1
) -> Path:
    (folder / "train.py").write_text(program)
    study = folder / "mixed.toml"
    study.write_text(STUDY.format(command=command, seeds=seeds) + more)
    return study


def ran(study: Path, **options: Any) -> Ending:
    return run_study(study, machine_in(study.parent), Options(**options), QUIET)


def theirs(folder: Path) -> list[Any]:
    store = Store(folder / "results")
    return [one for one in store.records() if one.recipe["command"]]


def test_an_arm_that_a_program_trains_is_tuned_scored_and_judged_as_any(tmp_path: Path) -> None:
    study = write(tmp_path, more=TUNE, seeds=3)
    ending = ran(study)
    assert (ending.exit_code, dict(ending.counts)) == (0, {"done": 6})
    records = theirs(tmp_path)
    assert {record.role for record in records} == {"final", "tune"}
    final = next(record for record in records if record.role == "final")
    assert len(final.scores) == 2
    assert (final.parameters, final.training) == (None, [])
    assert final.validation["accuracy"] > 0.2
    assert final.recipe["settings"]["sharp"] != 1.0
    shown = trial(final.id, machine_in(tmp_path), as_json=False)
    assert re.search(rf"settings.sharp *{final.recipe['settings']['sharp']}", shown)
    assert "batch_size" not in shown
    text = ending.report.read_text()
    assert "theirs was trained by a program of the study's own." in text
    assert "| theirs | settings.sharp | – |" in text
    assert "| theirs | batch" not in text
    assert ran(study).ran == 0


def test_the_scores_are_those_of_the_images_in_their_own_order(tmp_path: Path) -> None:
    """Held-out images are handed over in another order and without classes; answers find back."""
    ran(write(tmp_path))
    store, (record,) = Store(tmp_path / "results"), theirs(tmp_path)
    run = next(
        run for run in prepare(tmp_path / "mixed.toml", machine_in(tmp_path)).runs if run.arm == "theirs"
    )
    said = store.predictions(record.id)
    ours = next(one for one in store.records() if not one.recipe["command"])
    for scored in run.sets:
        assert (said[scored.key].ids == store.predictions(ours.id)[scored.key].ids).all()
        assert record.scores[scored.key]["auc"] > 0.6  # of a nearest mean; .5 if images were mixed up


def test_nothing_runs_before_the_study_does(tmp_path: Path) -> None:
    study = write(tmp_path, program="raise SystemExit('it ran')")
    json.loads(plan_json(study, machine_in(tmp_path), False))
    assert not (tmp_path / "results").exists()


def ids(study: Path) -> dict[str, str]:
    return {run.arm: run.trial.id for run in prepare(study, machine_in(study.parent)).runs}


def test_a_trial_is_what_its_command_its_settings_and_its_files_are(tmp_path: Path) -> None:
    first = ids(write(tmp_path))
    assert ids(write(tmp_path)) == first
    same = write(tmp_path)
    same.write_text(same.read_text().replace("batch_size = 32", "batch_size = 16"))
    assert ids(same)["theirs"] == first["theirs"]  # it is not told of batches
    assert ids(same)["ours"] != first["ours"]
    assert ids(write(tmp_path, program=PROGRAM + "# other\n"))["theirs"] != first["theirs"]
    assert ids(write(tmp_path, command=COMMAND + " --more"))["theirs"] != first["theirs"]
    sharper = write(tmp_path)
    sharper.write_text(sharper.read_text().replace("sharp = 1.0", "sharp = 2.0"))
    assert ids(sharper)["theirs"] != first["theirs"]


@pytest.mark.parametrize(
    ("program", "says"),
    [
        ("import sys; print('no GPU here'); sys.exit(3)", "exit code 3\nno GPU here"),
        ("import os; os.kill(os.getpid(), 9)", "signal 9"),
        ("pass", "file lies there; needed is set, image and p_<class>"),
        (PROGRAM.replace("file.stem, str(i)", "file.stem, '0'"), "not once, image 0"),
        (PROGRAM.replace("p:.6f", "2 * p:.6f"), "add up to 2; give softmax's output"),
        (PROGRAM.replace('f"p_{name}"', 'f"p_x{name}"'), "the columns are p_basophil"),
    ],
)  # fmt: skip
def test_a_program_that_fails_is_a_failed_trial_with_what_it_said(
    tmp_path: Path, program: str, says: str
) -> None:
    ending = ran(write(tmp_path, program=program))
    assert (ending.exit_code, ending.counts["failed"], ending.counts["done"]) == (1, 1, 1)
    (record,) = theirs(tmp_path)
    assert (record.status, record.cause) == ("failed", "error")
    assert says in record.message


@pytest.mark.parametrize("becomes", ["pass", "place.write_text('')", "place.mkdir()"])
def test_a_program_whose_folder_is_taken_away_runs_once_more(tmp_path: Path, becomes: str) -> None:
    taking = (
        "import shutil\nonce, place = Path('once'), out.parent.parent\n"
        f"if not once.exists():\n    once.touch()\n    shutil.rmtree(place)\n    {becomes}\n"
    )
    ending = ran(write(tmp_path, program=PROGRAM.replace("classes = json", f"{taking}classes = json")))
    assert (ending.exit_code, dict(ending.counts), ending.ran) == (0, {"done": 2}, 2)
    (record,) = theirs(tmp_path)
    assert record.attempts == 1


def test_answers_alone_will_do_and_no_numbers_are_a_divergence(tmp_path: Path) -> None:
    alone = PROGRAM.replace('*(f"p_{name}" for name in classes)', '"pred"')
    alone = alone.replace('*(f"{p:.6f}" for p in row)', "classes[row.argmax()]")
    ran(write(tmp_path, program=alone))
    (record,) = theirs(tmp_path)
    said = Store(tmp_path / "results").predictions(record.id)["val"].probabilities
    assert set(np.unique(said)) == {0.0, 1.0}
    ran(write(tmp_path, program=PROGRAM.replace("p:.6f", "np.nan")))
    assert sorted(record.status for record in theirs(tmp_path)) == ["diverged", "done"]


def gone(pid: int) -> bool:
    """Whether a process has ended, if nobody has asked for its exit code yet."""
    for _ in range(100):
        try:
            os.kill(pid, 0)
            if Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z":
                return True
        except (ProcessLookupError, FileNotFoundError):
            return True
        time.sleep(0.05)
    return False


def test_a_program_that_is_stopped_ends_with_all_that_it_started_and_goes_on_later(tmp_path: Path) -> None:
    wait = "import subprocess, sys, time\nfrom pathlib import Path\nout = Path(sys.argv[4])\n"
    wait += "if not (out / 'child').exists():\n"
    wait += "    child = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(60)'])\n"
    wait += "    (out / 'new').write_text(str(child.pid))\n"
    wait += "    (out / 'new').rename(out / 'child')\n    time.sleep(60)\n"
    study = write(tmp_path, program=wait + PROGRAM)
    run = next(run for run in prepare(study, machine_in(tmp_path)).runs if run.arm == "theirs")
    out = tmp_path / "trial" / "command" / "out"
    where = Surroundings("cpu", tmp_path / "cache", checkpoint=tmp_path / "trial" / "checkpoint.pt")
    with pytest.raises(Interrupted):
        run_trial(run.trial, run.sets, replace(where, stop=(out / "child").exists))
    assert gone(int((out / "child").read_text()))
    assert run_trial(run.trial, run.sets, where).status == "done"
    assert not out.exists()


def test_a_shell_whose_worker_is_killed_takes_its_sleeping_child_along(tmp_path: Path) -> None:
    (tmp_path / "train.sh").write_text('sleep 60 & echo $! > "$1/new"; mv "$1/new" "$1/child"; wait\n')
    study = write(tmp_path, command="sh train.sh {out}")
    run = next(run for run in prepare(study, machine_in(tmp_path)).runs if run.arm == "theirs")
    child = tmp_path / "trial" / "command" / "out" / "child"
    where = Surroundings("cpu", tmp_path / "cache", checkpoint=tmp_path / "trial" / "checkpoint.pt")
    worker = os.fork()
    if not worker:
        with contextlib.suppress(BaseException):
            run_trial(run.trial, run.sets, where)
        os._exit(0)
    while not child.exists() and not os.waitpid(worker, os.WNOHANG)[0]:
        time.sleep(0.02)
    os.kill(worker, signal.SIGKILL)  # as --timeout and a second Ctrl-C do
    os.waitpid(worker, 0)
    assert gone(int(child.read_text()))


def test_what_a_program_trains_is_not_probed(tmp_path: Path) -> None:
    study = write(tmp_path)
    machine = machine_in(tmp_path)
    assert [cost.arms for cost in probe(study, machine, False, QUIET)] == [("ours",)]
    study.write_text(study.read_text().replace("ours = {}\n", ""))
    told = added("plan", study, machine, smoked=False, as_json=False)
    assert told == "plan\n\nnothing to probe: every arm is trained by a command"


def test_a_smoke_run_tries_it_on_tiny_images(tmp_path: Path) -> None:
    assert ran(write(tmp_path), smoke=True).counts["done"] == 2


@pytest.mark.parametrize(
    ("arm", "says"),
    [
        ('command = "python t.py"', "does not say where predictions go"),
        ('command = "python t.py {out} {seeed}"', 'there is no "seeed" here'),
        ('command = "python t.py {out} {stages}"', "name a setting that holds one value"),
        ('command = "python \'t.py {out}"', "close every quotation mark"),
        ("settings = { a = 1 }", "is what a command alone knows"),
    ],
)
def test_a_command_that_cannot_work_is_a_mistake_of_the_file(arm: str, says: str) -> None:
    text = STUDY.format(command="x {out}", seeds=1).replace(
        'command = "x {out}", settings = { sharp = 1.0 }', arm
    )
    with pytest.raises(UserError) as error:
        parse(text, name="mixed", file="mixed.toml")
    assert says in str(error.value)


def test_a_program_that_is_not_there_is_said_before_the_first_trial(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="there is no such program"):
        ran(write(tmp_path, command="nowhere-to-be-found {out}"))
    assert not Store(tmp_path / "results").ids()


def test_words_are_split_as_a_shell_does_and_never_expanded() -> None:
    given = {"out": "/a b/out", "seed": "3"}
    line = filled("run 'two words' --seed={seed} {out} $HOME *.py", given, {})
    assert line == ["run", "two words", "--seed=3", "/a b/out", "$HOME", "*.py"]
    assert list(problems("run {out} {optimizer.lr}", {"optimizer": {"lr": 0.1}})) == []
    assert filled("{a.b} {c}", {}, {"a": {"b": True}, "c": 1e-5}) == ["true", "1e-05"]


def test_without_a_recipe_of_ours_a_command_needs_no_model() -> None:
    text = STUDY.format(command="x {out}", seeds=1).replace("ours = {}\n", 'ours = { command = "y {out}" }\n')
    head, _, rest = text.partition("[recipe]\n")
    study = parse(head + "[recipe]\n" + rest[rest.index("[arms]") :], name="mixed", file="mixed.toml")
    assert not study.elsewhere
    assert {arm.recipe.model.name for arm in study.arms} == {"elsewhere"}
