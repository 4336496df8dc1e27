from __future__ import annotations

import json
import os
import shutil
import socket
import time
from pathlib import Path

import pytest
from tiny import FLIPS, HIDDEN, machine_in, write_study

from bench import briefs, metrics
from bench.claims import RUNNING, Presence, told
from bench.commands.compare import side_by_side
from bench.commands.plan import plan_text
from bench.commands.report import Wanted, reports
from bench.commands.status import status
from bench.errors import UserError
from bench.execute import Event, Job, Place
from bench.execute.records import base, write_failure
from bench.machine import Machine
from bench.plan import Run
from bench.progress.board import board
from bench.run.planning import prepare
from bench.store import Record, Store

AT = {
    "stage": 1, "stages": 2, "epoch": 5, "epochs": 10, "loss": 0.25, "val_accuracy": 0.5,
    "images_per_s": 1200.0,
}  # fmt: skip


def planned(folder: Path, **parts: object) -> tuple[Path, Machine, tuple[Run, ...]]:
    """A study whose folder says what it plans, and that has no record yet."""
    study, machine = write_study(folder, **parts), machine_in(folder)  # type: ignore[arg-type]
    plan = prepare(study, machine)
    store = Store(machine.results)
    store.write_text(store.study_dir("tiny") / "plan.json", plan.file.model_dump_json())
    return study, machine, plan.runs


def finish(run: Run, machine: Machine, **changes: object) -> Record:
    fields = base(Job(run), Place(machine.results, machine.cache)) | {
        "status": "done",
        "scores": {scored.key: {"accuracy": 0.5} for scored in run.sets},
        "metrics": metrics.versions(),
    }
    return Record(**(fields | changes))


def test_every_state_is_counted_and_drawn(tmp_path: Path) -> None:
    _, machine, runs = planned(tmp_path, seeds=4, hidden=HIDDEN)
    store = Store(machine.results)
    none = [run for run in runs if run.arm == "none"]
    flips = [run for run in runs if run.arm == "flips"]
    store.write(finish(none[0], machine), history=[], predictions={})
    store.write(finish(none[1], machine, scores={}), history=[], predictions={})
    store.write(finish(none[2], machine, status="diverged"), history=[], predictions={})
    store.write(finish(none[3], machine, little_learned="AUC 0.5"), history=[], predictions={})
    write_failure(Job(flips[0]), Place(machine.results, machine.cache), "oom", "too large")
    # of a time when such trials were not scored
    old = finish(flips[1], machine, status="diverged", cause="not learned", scores={})
    store.write(old, history=[], predictions={})
    text = status([], machine, as_json=False)
    counts = {"done": 1, "unscored": 1, "diverged": 1, "little learned": 1, "failed (oom)": 1, "missing": 3}
    assert text.splitlines()[0] == "tiny  " + " · ".join(f"{n} {state}" for state, n in counts.items())
    assert "  none   ●◌✗◔" in text
    assert "  flips  !···" in text
    assert json.loads(status([Path("tiny.toml")], machine, as_json=True)) == {
        "studies": {"tiny": counts},
        "running": [],
    }


def test_what_a_person_stopped_did_not_fail(tmp_path: Path) -> None:
    _, machine, runs = planned(tmp_path, seeds=2)
    store = Store(machine.results)
    for run, cause in zip(runs, ("interrupted", "interrupted", "oom"), strict=False):
        failed = finish(run, machine, status="failed", cause=cause, scores={})
        store.write(failed, history=[], predictions={})
    text = status([], machine, as_json=False)
    assert text.splitlines()[0] == "tiny  2 interrupted · 1 failed (oom) · 1 missing"
    assert (text.count("!"), text.count("·")) == (1, 2 + 3)  # between words, and for what is to run


def test_another_terminal_sees_what_runs_now(tmp_path: Path) -> None:
    _, machine, runs = planned(tmp_path, seeds=2)
    jobs = [Job(run) for run in runs]
    shown = board("tiny", jobs, 2)
    shown.listen(Event("epoch", runs[0].trial.id, "none", 0, "", at=AT))
    with Presence(machine.results) as one, Presence(machine.results) as other:
        one.tell(**shown.as_data())
        text = status([], machine, as_json=False)
        (told_one, told_other) = sorted([one, other], key=lambda each: each.owner)
        assert [run["owner"] for run in json.loads(status([], machine, as_json=True))["running"]] == [
            told_one.owner,
            told_other.owner,
        ]
    assert f"running   tiny: 0/4 in 0 s, 2 at once, about 0 s left ({told(one.owner)})" in text
    assert "running   at its start: reading and checking" in text
    assert "◐ none s0  1/2 ep 5/10  loss 0.250  val accuracy 50.0 %  1,200/s" in text
    assert "  none   ◐·" in text
    assert text.splitlines()[0] == "tiny  1 running · 3 missing"
    assert "running" not in status([], machine, as_json=False)


def test_a_study_that_never_ran_is_told_apart_from_an_empty_folder(tmp_path: Path) -> None:
    machine = machine_in(tmp_path)
    assert "holds no study yet" in status([], machine, as_json=False)
    with pytest.raises(UserError, match="holds no study 'other'"):
        status([Path("ablations/other.toml")], machine, as_json=False)


def count_loads(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Ids of the records that are read from now on."""
    loads: list[str] = []
    load = Store._load

    def noted(store: Store, id: str) -> object:
        loads.append(id)
        return load(store, id)

    monkeypatch.setattr(Store, "_load", noted)
    return loads


def test_five_thousand_records_are_told_in_little_more_than_it_takes_to_read_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each is read once, by the first of the two: what they ask of it is remembered."""
    monkeypatch.setattr(briefs, "YOUNG_NS", 0)
    loads = count_loads(monkeypatch)
    arms = "\n".join(f"a{i} = {{ batch_size = {i} }}" for i in range(1, 4))
    study, machine, runs = planned(tmp_path, seeds=1000, hidden=HIDDEN, arms=f"{arms}\n{FLIPS}")
    trials = {run.trial.id: run for run in runs}
    assert len(trials) == 5000
    conditions = {
        f"family-{i}/{j}": {"accuracy": 0.5, "balanced_accuracy": 0.5} for i in range(20) for j in range(5)
    }
    record = finish(runs[0], machine, conditions={"k": conditions})
    for id, run in trials.items():
        folder = Store(machine.results).trial_dir(id)
        folder.mkdir(parents=True)
        scores = {scored.key: {"accuracy": 0.5} for scored in run.sets}
        one = record.model_copy(update={"id": id, "scores": scores})
        (folder / "record.json").write_text(one.model_dump_json(indent=1))
    begun = time.process_time()
    found = [json.loads(file.read_text()) for file in machine.results.glob("trials/*/record.json")]
    reading = time.process_time() - begun
    assert len(found) == 5000
    begun = time.process_time()
    assert "5000 done" in status([], machine, as_json=False)
    assert sorted(loads) == sorted(trials)
    looking = time.process_time() - begun
    begun = time.process_time()
    assert "done      5000" in plan_text(study, machine, False)
    planning = time.process_time() - begun
    assert looking < 2 * reading
    assert planning < 5 * reading
    assert len(loads) == 5000, "not once more"


def test_the_first_seconds_of_a_run_are_told_from_a_folder_without_studies(tmp_path: Path) -> None:
    machine = machine_in(tmp_path)
    with Presence(machine.results):
        assert "a run is at work that is still reading" in status([], machine, as_json=False)
        with pytest.raises(UserError, match="holds no study 'tiny'; a run is at work there"):
            status([Path("tiny")], machine, as_json=False)
    assert "bench run STUDY makes one" in status([], machine, as_json=False)


def test_a_damaged_study_hides_no_other(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    _, machine, _ = planned(tmp_path)
    store = Store(machine.results)
    for name, harm in (("broken", {"plan.json": b"["}), ("cut", {"study.toml": b'question = "\xff"'})):
        plan = (store.root / "tiny" / "plan.json").read_text()
        store.write_text(store.root / name / "plan.json", plan.replace('"study":"tiny"', f'"study":"{name}"'))
        for file, content in harm.items():
            (store.root / name / file).write_bytes(content)
    store.write_text(store.root / "tiny" / "study.toml", (tmp_path / "tiny.toml").read_text())
    first, second, last = status([], machine, as_json=False).splitlines()
    assert first.startswith(f"broken  {store.root / 'broken' / 'plan.json'} is damaged (")
    assert second.startswith(f"cut     2 missing · {store.root / 'cut' / 'study.toml'} is damaged (not UTF-8")
    assert last == "tiny    2 missing"
    told = json.loads(status([], machine, as_json=True))["studies"]
    assert (list(told["broken"]), told["tiny"]) == (["damaged"], {"missing": 2})
    with pytest.raises(UserError, match="is damaged"):
        status([Path("broken")], machine, as_json=False)
    assert reports([], machine, Wanted(("md", "csv")), reference=False) == 2
    said = capsys.readouterr()
    assert "broken: " in said.err
    copy = store.root / "cut" / "study.toml"
    assert f"cut: {copy} is damaged (not UTF-8 text (invalid start byte at byte 12)); delete it," in said.err
    assert said.out.splitlines() == [str(store.root / "tiny" / "report.md"), str(store.root / "index.md")]
    assert "Left out, for their `plan.json` is damaged: broken." in (store.root / "index.md").read_text()


NOT_BELIEVED = [
    '{"lease_s": 5, "running": 5}', '{"lease_s": 5, "running": ["a"]}', '{"lease_s": 5, "at": "x"}', "[]",
    "{",
    '{"title": "x"}', '{"lease_s": 5, "left_s": NaN}', '{"lease_s": 5, "at": -Infinity}', '{"lease_s": "x"}',
    '{"lease_s": NaN}', f'{{"lease_s": {"9" * 400}}}', '{"lease_s": 5, "title": "x", "seconds": 1e300}',
    '{"lease_s": 5, "running": [{"trial": "a", "arm": "b", "replicate": "s0", "seconds": 1, "epoch": 1}]}',
]  # fmt: skip
STRANGER = "node9.4242.17.abcdefabcdef.0123456789abcdef"


@pytest.mark.parametrize("content", NOT_BELIEVED)
def test_what_no_run_says_of_itself_is_not_believed(tmp_path: Path, content: str) -> None:
    study, machine, _ = planned(tmp_path)
    file = machine.results / RUNNING / f"{STRANGER}.json"
    file.parent.mkdir()
    file.write_text(content)
    before = status([study], machine, as_json=False, curves=True)
    file.unlink()
    assert before == status([study], machine, as_json=False, curves=True)
    file.write_text(content)
    assert not Presence(machine.results).is_over(STRANGER)


def test_what_a_run_says_only_in_part_is_told_as_far_as_it_goes(tmp_path: Path) -> None:
    study, machine, _ = planned(tmp_path)
    file = machine.results / RUNNING / f"{STRANGER}.json"
    file.parent.mkdir()
    file.write_text('{"lease_s": 5, "title": "x"}')
    assert "running   x: 0/0 in 0 s, 1 at once (node9" in status([study], machine, as_json=False)


def test_a_run_that_waits_is_told_from_one_that_trains(tmp_path: Path) -> None:
    study, machine, runs = planned(tmp_path)
    shown = board("tiny", [Job(run) for run in runs], 1)
    with Presence(machine.results) as presence:
        shown.waits = "waiting for 1 trial of other runs (node7, process 4242)"
        presence.tell(**shown.as_data())
        said = status([study], machine, as_json=False)
        shown.waits = ""
        presence.tell(**shown.as_data())
        assert "waiting" not in status([study], machine, as_json=False)
    assert "\n          waiting for 1 trial of other runs (node7, process 4242)" in said


@pytest.mark.parametrize(
    "change",
    [
        {"arms": []},
        {"arms": [{"label": "none", "trials": [{"id": "xyz", "seed": 0, "sets": {}}]}]},
        {"file": "a\0b"},
        {"shares": {"images": 0, "sides": {}}},
        {"shares": {"images": 9, "sides": {"train": 0, "val": 0, "test": 9}}},
        {"searches": [{"arm": "none", "candidates": [], "chosen": 3}]},
        {"baseline": "nobody"},
        {"arms": [{"label": "nobody", "trials": []}]},
    ],
)
def test_a_damaged_plan_is_named_and_hides_no_other_study(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], change: dict[str, object]
) -> None:
    study, machine, _ = planned(tmp_path)
    store = Store(machine.results)
    store.write_text(store.study_dir("tiny") / "study.toml", study.read_text())
    shutil.copytree(store.study_dir("tiny"), store.root / "bad")
    file = store.root / "bad" / "plan.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | {"study": "bad"} | change))
    assert reports([], machine, Wanted(), reference=False) == 1
    assert f"bad: {file} is damaged (" in capsys.readouterr().err
    assert (store.study_dir("tiny") / "report.md").is_file()
    assert "tiny  2 missing" in status([], machine, as_json=False)


@pytest.mark.parametrize("kind", ["folder", "link to itself", "text", "pipe", "device", "socket"])
def test_what_stands_in_place_of_a_plan_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    _, machine, _ = planned(tmp_path)
    file = machine.results / "bad" / "plan.json"
    file.parent.mkdir()
    if kind == "folder":
        file.mkdir()
    elif kind == "text":
        file.write_text("no plan")
    elif kind == "pipe":
        os.mkfifo(file)
    elif kind == "device":
        file.symlink_to("/dev/zero")  # whoever reads on never ends
    elif kind == "socket":
        monkeypatch.chdir(file.parent)  # a socket's path is short
        socket.socket(socket.AF_UNIX).bind(file.name)
    else:
        file.symlink_to(file)
    told = status([], machine, as_json=False)
    assert "tiny  2 missing" in told
    assert f"bad   {file} is damaged (" in told
    with pytest.raises(UserError, match="is damaged"):
        status([Path("bad")], machine, as_json=False)


def broken(file: Path, kind: str) -> None:
    """Something in place of the copy of a study."""
    file.unlink()
    if kind == "folder":
        file.mkdir()
    elif kind == "pipe":
        os.mkfifo(file)
    elif kind == "link to nothing":
        file.symlink_to(file.parent / "nothing")
    else:
        file.write_bytes({"binary": b"\xff\xfe", "cut": b'question = "Does'}[kind])


@pytest.mark.parametrize("kind", ["folder", "pipe", "link to nothing", "binary", "cut"])
def test_a_damaged_copy_of_a_study_is_named_with_a_way_out_and_hides_no_other(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], kind: str
) -> None:
    """Of an ordinary study, and of one with several data sets, which has no plan."""
    study, machine, _ = planned(tmp_path)
    store = Store(machine.results)
    for name in ("tiny", "bad", "several"):
        store.write_text(store.root / name / "study.toml", study.read_text())
    shutil.copy(store.root / "tiny" / "plan.json", store.root / "bad")
    for name in ("bad", "several"):
        broken(store.root / name / "study.toml", kind)
    plan = store.root / "bad" / "plan.json"
    plan.write_text(plan.read_text().replace('"study":"tiny"', '"study":"bad"'))
    told = status([], machine, as_json=False)
    assert reports([], machine, Wanted(), reference=False) == 2
    said = capsys.readouterr().err
    for name in ("bad", "several"):
        damage = f"{store.root / name / 'study.toml'} is damaged ("
        assert damage in told
        assert f"{name}: {damage}" in said
        with pytest.raises(UserError, match=r"is damaged \(.*delete it, bench run writes it again"):
            reports([name], machine, Wanted(), reference=False)
        with pytest.raises(UserError, match="is damaged"):
            side_by_side("tiny", f"{name}.toml", machine, as_json=False)
    assert "\ntiny     2 missing\n" in f"{told}\n"
    assert json.loads(status([], machine, as_json=True))["studies"]["bad"]["missing"] == 2
    assert (store.root / "tiny" / "report.md").is_file()
    with pytest.raises(UserError, match="is damaged"):
        status([Path("several")], machine, as_json=False)
    assert "is damaged" in status([Path("bad")], machine, as_json=False)
