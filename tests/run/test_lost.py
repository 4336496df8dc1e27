"""Files of finished trials are lost: the next run finds it, says so, and ends as if it had not been."""

from __future__ import annotations

import json
import os
import re
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tiny import HIDDEN, machine_in, write_study

from bench import briefs
from bench.briefs import Stamp
from bench.commands.report import Wanted, reports
from bench.commands.speakers import speakers_of
from bench.commands.status import status
from bench.commands.trained import network_of
from bench.errors import UserError
from bench.files import sum_of_bytes
from bench.predictions import Predictions, archive_of
from bench.progress.terminal import Terminal
from bench.run.conductor import Ending, Options, run_study
from bench.store import Store, equal_view
from bench.trial import trial_turns


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a study of two trials that was run."""
    folder = tmp_path_factory.mktemp("lost")
    assert go(folder).ran == 2
    return folder


def go(folder: Path, hidden: str = "") -> Ending:
    study = write_study(folder, hidden=hidden)
    return run_study(study, machine_in(folder), Options(), Terminal())


def cut(file: Path) -> None:
    file.write_bytes(file.read_bytes()[:-20])


def flip(file: Path) -> None:
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.write_bytes(content)


@pytest.mark.parametrize("part", ["predictions.npz", "history.jsonl"])
@pytest.mark.parametrize("harm", [Path.unlink, cut, flip])
def test_what_is_lost_of_a_trial_is_found_said_and_made_again(
    finished: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    part: str,
    harm: Callable[[Path], None],
) -> None:
    folder = shutil.copytree(finished, tmp_path / "copy")
    store, whole = Store(folder / "results"), Store(finished / "results")
    id = store.ids()[0]
    harm(store.trial_dir(id) / part)
    damage = f"1 missing, for its {part} is gone or damaged"
    told = status([], machine_in(folder), as_json=False)
    assert (damage in told) == (harm is not flip), "by its size"
    assert damage in status([], machine_in(folder), as_json=False, check=True), "by its bytes"
    from_weights = part == "predictions.npz"
    assert go(folder).ran == (0 if from_weights else 1)
    how = "was gone or damaged; computed again from weights"
    how = how if from_weights else "is gone or damaged; they are trained again"
    assert f'{part} of 1 trials {how}: ["{id}"]' in capsys.readouterr().err
    assert [equal_view(record) for record in store.records()] == [equal_view(r) for r in whole.records()]
    assert {*store.predictions(id)} == {*whole.predictions(id)}
    assert go(folder).ran == 0


@pytest.mark.parametrize(
    ("field", "value", "damage"),
    [
        ("classes", [], "recalls of .* are of classes that it does not name"),
        ("classes", ["c"] * 6, "names a class twice"),
        ("classes", lambda said: [*said, "more"], "is gone or damaged"),
        ("sizes", lambda said: {key: n + 1 for key, n in said.items()}, "is gone or damaged"),
        ("sizes", lambda said: {**said, "f" * 64: 3}, "is gone or damaged"),
    ],
)
def test_a_record_that_cannot_be_of_its_predictions_is_damaged_and_hides_no_other_study(
    finished: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], field: str, value: Any, damage: str
) -> None:
    folder = shutil.copytree(finished, tmp_path / "copy")
    store, whole = Store(folder / "results"), Store(finished / "results")
    file = store.trial_dir(store.ids()[0]) / "record.json"
    told = json.loads(file.read_text("utf-8"))
    told[field] = value(told[field]) if callable(value) else value
    file.write_text(json.dumps(told), "utf-8")
    shutil.copytree(folder / "results" / "tiny", folder / "results" / "tiny2")
    reports([], machine_in(folder), Wanted(("md", "html"), no_cost=False), reference=False)
    assert (folder / "results" / "tiny2" / "report.md").read_text("utf-8").count(damage.partition(" ")[0])
    assert "1 damaged" in (folder / "results" / "tiny" / "report.md").read_text("utf-8")
    capsys.readouterr()
    assert go(folder).ran == 1
    assert re.search(rf"record\.json .*{damage}.* trained again", capsys.readouterr().err)
    assert [equal_view(record) for record in store.records()] == [equal_view(r) for r in whole.records()]
    assert go(folder).ran == 0


@pytest.mark.parametrize(
    "harm",
    [
        lambda said: replace(said, conditions=np.full(len(said.labels), 9, np.int16)),
        lambda said: replace(said, labels=said.labels + len(said.probabilities[0])),
        lambda said: replace(said, labels=said.labels[:-1]),
    ],
)
def test_predictions_that_contradict_themselves_are_damage_whatever_their_checksum(
    finished: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    harm: Callable[[Predictions], Predictions],
) -> None:
    folder = shutil.copytree(finished, tmp_path / "copy")
    store = Store(folder / "results")
    id = store.ids()[0]
    with monkeypatch.context() as lenient:
        lenient.setattr(Predictions, "__post_init__", lambda self: None)
        said = {key: harm(one) for key, one in store.predictions(id).items()}
        content = archive_of(said)
    (store.trial_dir(id) / "predictions.npz").write_bytes(content)
    file = store.trial_dir(id) / "record.json"
    told = json.loads(file.read_text("utf-8"))
    told["files"]["predictions.npz"] = [sum_of_bytes(content)]
    file.write_text(json.dumps(told), "utf-8")
    assert "1 missing" in status([], machine_in(folder), as_json=False, check=True)
    assert go(folder).ran == 1
    assert go(folder).ran == 0


def test_weights_may_be_deleted_and_damaged_ones_score_nothing(
    finished: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = shutil.copytree(finished, tmp_path / "copy")
    store = Store(folder / "results")
    first, second = store.ids()
    flip(store.weights_path(first))
    store.weights_path(second).unlink()
    assert "damaged" not in status([], machine_in(folder), as_json=False), "nobody read them"
    told = status([], machine_in(folder), as_json=False, check=True)
    assert "1 done, but its weights are damaged · 1 done" in told or "1 done · 1 done, but its" in told
    damaged, gone = (store.read(id) for id in (first, second))
    assert damaged is not None
    assert gone is not None
    with pytest.raises(UserError, match="is damaged, or of another trial"):
        network_of(damaged, store)
    with pytest.raises(UserError, match="were not kept"):
        network_of(gone, store)
    os.mkfifo(store.weights_path(second))
    with pytest.raises(UserError, match="is no file; move away what stands there"):
        network_of(gone, store)
    store.weights_path(second).unlink()
    with pytest.raises(UserError, match="seed 0 weights not kept, or damaged"):
        speakers_of("tiny/none", store, Terminal(quiet=True), with_weights=True)
    assert go(folder).ran == 0
    assert go(folder, HIDDEN).ran == 0
    assert "2 trials have no weights to score the new sets from" in capsys.readouterr().err


def test_a_record_from_before_checksums_is_as_it_was(finished: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(finished, tmp_path / "copy")
    store = Store(folder / "results")
    for record in store.records():
        store.rewrite(record.model_copy(update={"files": {}}))
        cut(store.trial_dir(record.id) / "history.jsonl")
    assert go(folder, HIDDEN).ran == 2
    assert all(record.files == {} and len(record.scores) == 2 for record in store.records())


def test_replacing_predictions_may_be_cut_short_anywhere(
    finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = Store(shutil.copytree(finished / "results", tmp_path / "copy"))
    record = store.records()[0]
    more = store.predictions(record.id) | {"f" * 64: store.predictions(record.id)["val"]}

    class Stop(Exception):  # noqa: N818 - stands in for a power cut
        pass

    from bench import store as module

    write = module.write_whole
    for left in range(3):

        def until(path: Path, content: bytes) -> None:
            nonlocal left
            if not left:
                raise Stop
            left -= 1
            write(path, content)

        monkeypatch.setattr(module, "write_whole", until)
        with pytest.raises(Stop):
            store.rewrite(record, more)
        found = store.read(record.id)
        assert found is not None
        assert store.lost(found, whole=True) == ""
    monkeypatch.setattr(module, "write_whole", write)
    store.rewrite(record, more)
    found = store.read(record.id)
    assert found is not None
    assert len(found.files["predictions.npz"]) == 1
    assert store.lost(found, whole=True) == ""


def test_predictions_are_trained_again_where_weights_do_not_give_them(
    finished: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = shutil.copytree(finished, tmp_path / "copy")
    store = Store(folder / "results")
    kept, first, second = (store.records()[0], *store.ids())
    (store.trial_dir(first) / "predictions.npz").unlink()
    other = store.predictions(second)
    assert not store.restore(kept, other), "of another trial"
    monkeypatch.setattr("bench.trial.said_from_weights", lambda *given: dict(other))
    assert go(folder).ran == 1
    assert "1 trials is gone or damaged; they are trained again" in capsys.readouterr().err
    (store.trial_dir(second) / "predictions.npz").unlink()
    cut(store.weights_path(second))
    assert go(folder).ran == 1, "nothing is made of damaged weights"


def test_what_rots_while_the_disk_says_nothing_is_found_by_who_reads_all(
    finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(briefs, "YOUNG_NS", 0)
    monkeypatch.setattr(briefs, "ENOUGH", 1)
    folder = shutil.copytree(finished, tmp_path / "copy")
    assert go(folder).ran == 0
    store = Store(folder / "results")
    history = store.trial_dir(store.ids()[0]) / "history.jsonl"
    real, before = Stamp.of, Stamp.of(str(history))
    silent = staticmethod(lambda path: before if path == str(history) else real(path))
    monkeypatch.setattr(Stamp, "of", silent)
    flip(history)
    assert go(folder).ran == 0
    assert "2 done" in status([], machine_in(folder), as_json=False)
    assert "1 missing, for its history.jsonl" in status([], machine_in(folder), as_json=False, check=True)
    assert go(folder).ran == 1


def test_what_stands_in_place_of_a_trials_folder_or_files_blocks_nothing(
    finished: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = shutil.copytree(finished, tmp_path / "copy")
    store = Store(folder / "results")
    first, second = map(store.trial_dir, store.ids())
    shutil.rmtree(first)
    first.symlink_to(folder / "nowhere")
    for part in ("predictions.npz", "history.jsonl"):
        (second / part).unlink()
        (second / part).mkdir()
    ending = go(folder)
    assert (ending.ran, dict(ending.counts), ending.exit_code) == (2, {"done": 2}, 0)
    said = capsys.readouterr().err
    assert f"{first} was no folder, and is removed; the trial is trained again" in said
    assert "history.jsonl of 1 trials is gone or damaged; they are trained again" in said
    assert go(folder).ran == 0


def a_file(place: Path, other: Path) -> None:
    place.write_text("in the way")


def a_pipe(place: Path, other: Path) -> None:
    os.mkfifo(place)


def a_link_to_itself(place: Path, other: Path) -> None:
    place.symlink_to(place)


def another_trials_folder(place: Path, other: Path) -> None:
    place.symlink_to(other)


@pytest.mark.parametrize("strange", [a_file, a_pipe, a_link_to_itself, another_trials_folder])
@pytest.mark.parametrize("when", ["before", "while"])
def test_what_takes_the_place_of_a_trials_folder_in_mid_run_is_said_and_costs_nothing(
    finished: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    strange: Callable[[Path, Path], None],
    when: str,
) -> None:
    store, whole = Store(tmp_path / "results"), Store(finished / "results")
    first = next(record.id for record in whole.records() if not record.recipe["augment"])
    (other,) = set(whole.ids()) - {first}

    def put(id: str) -> None:
        place = store.trial_dir(id)
        shutil.rmtree(place, ignore_errors=True)
        place.parent.mkdir(parents=True, exist_ok=True)
        strange(place, store.trial_dir(first))

    def turns(trial: Any, *rest: Any) -> Any:
        if when == "before" and trial.id == first:
            put(other)
        result = yield from trial_turns(trial, *rest)
        if when == "while" and trial.id == other:
            put(other)
        return result

    monkeypatch.setattr("bench.execute.work.trial_turns", turns)
    ending = go(tmp_path)
    assert (dict(ending.counts), ending.exit_code) == ({"done": 2}, 0)
    assert f"{store.trial_dir(other)} was no folder, and is removed" in capsys.readouterr().err
    assert [equal_view(record) for record in store.records()] == [equal_view(r) for r in whole.records()]
    assert go(tmp_path).ran == 0


def test_a_link_to_another_disk_is_a_trials_folder(finished: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(finished, tmp_path / "copy")
    store = Store(folder / "results")
    first = store.trial_dir(store.ids()[0])
    shutil.move(first, tmp_path / "elsewhere")
    first.symlink_to(tmp_path / "elsewhere")
    assert go(folder).ran == 0
    assert first.is_symlink()


def test_a_pipe_in_place_of_a_checkpoint_is_not_waited_for(
    finished: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = shutil.copytree(finished, tmp_path / "copy")
    store = Store(folder / "results")
    for id, make in zip(store.ids(), (os.mkfifo, os.mkdir), strict=True):
        store.forget(id)
        make(store.trial_dir(id) / "checkpoint.pt")
    ending = go(folder)
    assert (ending.ran, ending.exit_code) == (2, 0)
    assert not list(store.root.glob("trials/*/checkpoint.pt"))


def test_a_results_folder_that_is_deleted_in_mid_run_is_made_again(
    finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    taken: list[str] = []

    def turns(trial: Any, *rest: Any) -> Any:
        result = yield from trial_turns(trial, *rest)
        if not taken:
            shutil.rmtree(tmp_path / "results")
        taken.append(trial.id)
        return result

    monkeypatch.setattr("bench.execute.work.trial_turns", turns)
    ending = go(tmp_path)
    assert (dict(ending.counts), ending.exit_code) == ({"done": 2}, 0)
    assert len(taken) == 3, "the one whose claim went was trained again"
    store, whole = Store(tmp_path / "results"), Store(finished / "results")
    assert [equal_view(record) for record in store.records()] == [equal_view(r) for r in whole.records()]
