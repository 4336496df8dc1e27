import json
from pathlib import Path

import pytest

from bench.commands.show import trial
from bench.errors import UserError
from bench.machine import Machine
from bench.planned import PlanFile, PlannedArm, PlannedTrial
from bench.store import Record, Store

ID, OTHER = "0123456789abcdef", "0123ffffffffffff"


def record(**changes: object) -> Record:
    fields: dict[str, object] = {
        "id": ID,
        "key": "aaaa",
        "status": "done",
        "recipe": {
            "model": {"name": "timm", "weights": None, "dropout": 0.5},
            "augment": [{"name": "flip", "p": 0.5}, {"name": "noise"}],
            "stages": [{"train": "all", "epochs": 2, "steps": None}],
            "batch_size": 64,
        },
        "data": {"source": "synthetic"},
        "data_fingerprint": "bbbb",
        "source": "synthetic",
        "seed": 3,
        "versions": {},
        "scores": {"c" * 20: {"accuracy": 0.75}, "d" * 20: {"auc": 0.5}},
        "validation": {"accuracy": 0.875},
        "timings": {"train": 61.0},
        "machine": {"device": "cpu"},
        "libraries": {"torch": "2.15"},
        "parameters": 12345,
        "trainable_parameters": 45,
    }
    return Record.model_validate(fields | changes)


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(results=tmp_path)


def show(machine: Machine, *records: Record, history: tuple[dict[str, object], ...] = ()) -> str:
    for each in records:
        Store(machine.results).write(each, history=history, predictions={})
    return trial(records[0].id[:8], machine, as_json=False)


def test_a_trial_is_shown_whole(machine: Machine):
    history = ({"stage": 1, "epoch": 1, "step": 10, "val_accuracy": 0.8751, "other": "x"},)
    lines = show(machine, record(), history=history).splitlines()
    assert lines[0] == f"{ID}  done  seed 3  on synthetic"
    assert "  model         timm (dropout=0.5)" in lines
    assert "  augment       flip (p=0.5); noise" in lines
    assert "  stages        train=all, epochs=2" in lines
    assert "  batch_size    64" in lines
    assert "       stage         epoch          step  val_accuracy" in lines
    assert "           1             1            10        0.8751" in lines
    assert "validation              0.8750                   –" in lines
    assert f"{'c' * 12}            0.7500                   –" in lines
    assert f"{'d' * 12}                 –              0.5000" in lines
    assert "parameters  12,345, 45 of them trained" in lines
    assert "time        train 1:01" in lines
    assert lines[-1] == "commit      unknown   attempts 1"


def plan_of(store: Store, study: str, id: str, sets: dict[str, str]) -> None:
    trial = PlannedTrial(id=id, seed=3, fold=None, sets=sets)
    arms = (PlannedArm(label="none", trials=(trial,)),)
    plan = PlanFile(study=study, baseline="none", data_fingerprint="x", arms=arms)
    store.write_text(store.study_dir(study) / "plan.json", plan.model_dump_json())


def test_sets_are_called_as_the_studies_of_the_folder_call_them(machine: Machine):
    store, local, other = Store(machine.results), "c" * 20, "d" * 20
    plan_of(store, "elsewhere", OTHER, {"test": local, "lab": other})
    rows = [line.split() for line in show(machine, record()).splitlines()]
    assert ["local", "0.7500", "–"] in rows
    assert ["lab", "–", "0.5000"] in rows
    plan_of(store, "mine", ID, {"test": local, "microscope-2": other})
    rows = [line.split() for line in show(machine, record()).splitlines()]
    assert ["microscope-2", "–", "0.5000"] in rows, "its own study's word counts"
    assert ["local", "0.7500", "–"] in rows
    (store.study_dir("mine") / "plan.json").write_text("{")
    assert "lab" in trial(ID, machine, as_json=False), "a damaged plan has no say"


def test_a_failed_trial_shows_its_cause_and_traceback(machine: Machine):
    failed = record(
        status="failed",
        cause="oom",
        message="out of memory",
        traceback="Traceback …\nKeyError: 1\n",
        scores={},
        fold=2,
    )
    lines = show(machine, failed).splitlines()
    assert lines[0] == f"{ID}  failed  seed 3, fold 2  on synthetic"
    assert lines[1] == "cause     oom: out of memory"
    assert lines[-2:] == ["Traceback …", "KeyError: 1"]


def test_as_data_it_is_the_record(machine: Machine):
    show(machine, record())
    found = Record.model_validate(json.loads(trial(ID, machine, as_json=True)))
    assert list(found.files) == ["history.jsonl"]
    assert found.model_copy(update={"files": {}}) == record()


def test_the_first_digits_must_tell_one_trial(machine: Machine):
    show(machine, record(), record(id=OTHER))
    with pytest.raises(
        UserError, match=r"2 trials of .* have an id that starts with '0123'; bench plan STUDY"
    ):
        trial("0123", machine, as_json=False)
    with pytest.raises(UserError, match=r"no trial of .* has an id that starts with '\.\./x'"):
        trial("../x", machine, as_json=False)


def test_a_damaged_record_says_what_to_do(machine: Machine):
    show(machine, record())
    (Store(machine.results).trial_dir(ID) / "record.json").write_text("{")
    with pytest.raises(
        UserError, match=rf"(?s)the record of {ID} cannot be used: it is .* delete .* and run again"
    ):
        trial(ID, machine, as_json=False)


def test_a_trial_that_learned_little_says_why(machine: Machine):
    lines = show(machine, record(little_learned="validation loss 0.69; train longer")).splitlines()
    assert lines[1] == "learned   little: validation loss 0.69; train longer"
