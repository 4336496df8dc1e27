import json
import os
import random
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from bench import store as store_module
from bench.errors import UserError
from bench.folders import check_writable
from bench.store import UNREADABLE, Damage, Predictions, Record, Store, equal_view

ID, OTHER = "0123456789abcdef", "fedcba9876543210"


def record(**changes: object) -> Record:
    fields = {
        "id": ID,
        "key": "aaaa",
        "status": "done",
        "recipe": {"model": {"name": "custom_cnn"}, "optimizer": {"name": "adam", "lr": 1e-3}},
        "data": {"source": "synthetic"},
        "data_fingerprint": "bbbb",
        "source": "synthetic",
        "seed": 0,
        "versions": {"model:custom_cnn": 1},
        "classes": ["x", "y"],
        "scores": {"local": {"accuracy": 0.75}},
        "recalls": {"local": {"x": 0.5, "y": 1.0}},
        "sizes": {"local": 4},
        "timings": {"train": 1.5},
        "commit": "abc",
    }
    return Record(**(fields | changes))


def without_sums(found: Record | None) -> Record | None:
    """The record as it was given to the store, which adds the checksums of its files."""
    return found and found.model_copy(update={"files": {}})


def predictions(seed: int = 0) -> Predictions:
    rng = np.random.default_rng(seed)
    return Predictions(
        rng.dirichlet([1, 1], 4).astype(np.float16), np.array([0, 0, 1, 1]), np.arange(4, dtype=np.uint64)
    )


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "results")


def test_what_is_written_reads_back_equal(store: Store, tmp_path: Path):
    weights = tmp_path / "weights.tmp"
    weights.write_bytes(b"weights")
    history = [{"epoch": 1, "val_accuracy": 0.5}, {"epoch": 2, "val_accuracy": 0.75}]
    store.write(record(), history=history, predictions={"local": predictions()}, weights_file=weights)
    assert without_sums(store.read(ID)) == record()
    assert store.history(ID) == history
    back = store.predictions(ID)["local"]
    for name in ("probabilities", "labels", "ids"):
        kept, given = getattr(back, name), getattr(predictions(), name)
        assert kept.dtype == given.dtype
        assert np.array_equal(kept, given)
    assert store.weights_path(ID).read_bytes() == b"weights"
    assert not weights.exists()


def test_a_trial_that_is_not_there_is_none_and_has_nothing(store: Store):
    assert store.read(ID) is None
    assert store.predictions(ID) == {}
    assert store.history(ID) == []
    assert (store.ids(), store.records(), store.damaged()) == ([], [], [])


def test_the_same_content_gives_the_same_bytes(store: Store):
    written = []
    for _ in range(2):
        store.write(record(), history=[{"a": 1}], predictions={"local": predictions()})
        written.append({p.name: p.read_bytes() for p in store.trial_dir(ID).iterdir()})
    assert written[0] == written[1]


def test_a_torn_record_counts_as_missing_and_is_reported(store: Store):
    store.write(record(), history=[], predictions={})
    path = store.trial_dir(ID) / "record.json"
    path.write_bytes(path.read_bytes()[:100])
    assert store.read(ID) is None
    assert store.records() == []
    assert [(d.id, d.reason) for d in store.damaged()] == [(ID, "is not a whole JSON table")]


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"id": OTHER}, f"holds the record of trial {OTHER}"),
        ({"schema_version": 2}, "has schema_version 2, this bench reads 1"),
        ({"colour": "red"}, "colour: Extra inputs are not permitted"),
        ({"seed": "0"}, "seed: Input should be a valid integer"),
    ],
)
def test_a_foreign_record_counts_as_missing_and_says_why(store: Store, change: dict, reason: str):
    store.write(record(), history=[], predictions={})
    path = store.trial_dir(ID) / "record.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    assert store.read(ID) is None
    assert store.damaged([ID])[0].reason == reason


@pytest.mark.parametrize("cut", ["history.jsonl", "predictions.npz", "record.json"])
@pytest.mark.parametrize("existed", [False, True])
def test_a_crash_at_any_file_leaves_no_half_a_trial(
    store: Store, monkeypatch: pytest.MonkeyPatch, cut: str, existed: bool
):
    if existed:
        store.write(record(), history=[], predictions={"local": predictions()})
    real = store_module.write_whole

    def crash(path: Path, fill: object) -> None:
        if path.name == cut:
            raise KeyboardInterrupt
        real(path, fill)

    monkeypatch.setattr(store_module, "write_whole", crash)
    with pytest.raises(KeyboardInterrupt):
        store.write(record(seed=1), history=[], predictions={"local": predictions(1)})
    assert store.read(ID) is None
    monkeypatch.undo()
    store.write(record(seed=1), history=[], predictions={"local": predictions(1)})
    assert without_sums(store.read(ID)) == record(seed=1)


def test_a_crash_while_a_file_is_filled_leaves_the_old_one_and_no_litter(store: Store):
    path = store.root / "x" / "report.md"
    store.write_text(path, "old")

    def fail(file: object) -> None:
        file.write(b"half")  # type: ignore[attr-defined]
        raise OSError("disk full")

    with pytest.raises(OSError, match="disk full"):
        store_module.write_whole(path, fail)
    assert path.read_text() == "old"
    assert [p.name for p in path.parent.iterdir()] == ["report.md"]


def test_killing_the_writer_leaves_a_whole_record_or_none(store: Store):
    script = (
        "import sys; from pathlib import Path; sys.path.insert(0, sys.argv[2])\n"
        "from bench.store import Store\n"
        "from test_store import record, predictions; s = Store(Path(sys.argv[1]));"
        "print('go', flush=True)\n"
        "while True: s.write(record(), history=[{}], predictions={'local': predictions()})"
    )
    for wait in (0.0, 0.02):
        writer = subprocess.Popen(
            [sys.executable, "-c", script, str(store.root), str(Path(__file__).parent)],
            stdout=subprocess.PIPE,
        )
        assert writer.stdout is not None
        writer.stdout.readline()
        time.sleep(wait)
        writer.kill()
        writer.wait()
        writer.stdout.close()
        assert store.damaged() == []
        if store.read(ID) is not None:
            assert store.predictions(ID)["local"].labels.tolist() == [0, 0, 1, 1]


def test_replacing_a_record_leaves_nothing_of_the_old_one(store: Store, tmp_path: Path):
    weights = tmp_path / "w"
    weights.write_bytes(b"w")
    store.write(record(), history=[{"a": 1}], predictions={"local": predictions()}, weights_file=weights)
    failed = record(status="failed", cause="oom", scores={}, recalls={}, sizes={})
    store.write(failed, history=[], predictions={})
    assert without_sums(store.read(ID)) == failed
    assert (store.predictions(ID), store.history(ID)) == ({}, [])
    assert not store.weights_path(ID).exists()


def test_a_finished_trial_keeps_no_checkpoint(store: Store):
    store.trial_dir(ID).mkdir(parents=True)
    (store.trial_dir(ID) / "checkpoint.pt").write_bytes(b"x")
    store.write(record(), history=[], predictions={})
    assert not (store.trial_dir(ID) / "checkpoint.pt").exists()


def test_a_hidden_set_added_later_stands_beside_the_old_scores(store: Store):
    store.write(record(), history=[{"a": 1}], predictions={"local": predictions()})
    added = store.add_scores(
        ID,
        {"heavy": predictions(1)},
        {"accuracy": 1, "auc": 1},
        scores={"heavy": {"accuracy": 0.5}},
        recalls={"heavy": {"x": 0.5}},
        sizes={"heavy": 4},
    )
    assert store.read(ID) == added
    assert added.metrics == {"accuracy": 1}, "auc is not known of the first set"
    assert added.scores == {"local": {"accuracy": 0.75}, "heavy": {"accuracy": 0.5}}
    assert added.sizes == {"local": 4, "heavy": 4}
    assert set(store.predictions(ID)) == {"local", "heavy"}
    assert np.array_equal(store.predictions(ID)["local"].probabilities, predictions().probabilities)
    assert store.history(ID) == [{"a": 1}]


def of_conditions() -> Predictions:
    plain = predictions()
    conditions = (np.arange(len(plain.labels)) % 2).astype(np.int16)
    return Predictions(plain.probabilities, plain.labels, plain.ids, conditions, ("hue/1", "défocus/2"))


def test_conditions_of_a_corrupted_set_read_back_and_others_have_none(store: Store):
    scores = {"micro": {"hue/1": {"accuracy": 0.5}, "défocus/2": {"accuracy": 0.25}}}
    store.write(record(), history=[], predictions={"local": predictions()})
    store.add_scores(
        ID, {"micro": of_conditions()}, {}, scores={"micro": {"accuracy": 0.4}}, conditions=scores
    )
    read = store.predictions(ID)
    assert read["local"].conditions is None
    assert read["local"].condition_names == ()
    np.testing.assert_array_equal(read["micro"].conditions, of_conditions().conditions)
    assert read["micro"].conditions.dtype == np.int16
    assert read["micro"].condition_names == ("hue/1", "défocus/2")
    assert store.read(ID).conditions == scores


def in_groups(*groups: int) -> Predictions:
    return replace(predictions(), groups=np.array(groups, dtype=np.int32))


def test_groups_of_images_read_back_and_sets_of_other_groups_keep_their_own(store: Store):
    said = {
        "local": in_groups(0, 0, 1, 2),
        "copies": in_groups(0, 0, 1, 2),
        "regrouped": in_groups(0, 1, 1, 2),
        "none": predictions(),
    }
    store.write(record(), history=[], predictions=said)
    for name, back in store.predictions(ID).items():
        np.testing.assert_array_equal(back.groups, said[name].groups)
        assert back.groups is None or back.groups.dtype == np.int32
    with np.load(store.trial_dir(ID) / "predictions.npz") as file:
        assert "copies/groups" not in file.files, "kept once for the same images"


def test_groups_of_a_wrong_type_or_length_are_refused():
    for wrong in (np.zeros(4, np.int64), np.zeros(1, np.int32)):
        with pytest.raises(ValueError, match="groups are int32"):
            replace(predictions(), groups=wrong)


def test_conditions_of_a_wrong_type_or_length_are_refused():
    plain = predictions()
    for wrong in (np.zeros(len(plain.labels), np.int64), np.zeros(1, np.int16)):
        with pytest.raises(ValueError, match="conditions are int16"):
            Predictions(plain.probabilities, plain.labels, plain.ids, wrong, ("a",))


def test_a_held_out_set_is_never_scored_twice(store: Store):
    store.write(record(), history=[], predictions={"local": predictions()})
    with pytest.raises(ValueError, match="scored once"):
        store.add_scores(ID, {}, {}, scores={"local": {"accuracy": 1.0}})
    with pytest.raises(ValueError, match="no record"):
        store.add_scores(OTHER, {}, {}, scores={})


@pytest.mark.parametrize(
    "id", ["", "../../etc", "0123456/89abcdef", "0123456789ABCDEF", "a" * 65, "..", "01234567\n"]
)
def test_what_is_no_id_never_becomes_a_path(store: Store, id: str):
    with pytest.raises(ValueError, match="no trial id"):
        store.trial_dir(id)


NO_STUDY = ["trials", "reference", "Trials", "..", "a/b", "", ".hidden", "x" * 101, "a\nb", "a\n", "a.b"]


@pytest.mark.parametrize("name", NO_STUDY)
def test_a_study_cannot_take_a_name_that_is_a_path_or_taken(store: Store, name: str):
    with pytest.raises(UserError, match="rename the study's file"):
        store.study_dir(name)
    assert store.study_dir("quick-start_2") == store.root / "quick-start_2"


def test_a_score_that_is_no_number_is_refused():
    for value in (float("nan"), float("inf")):
        with pytest.raises(ValueError, match="finite"):
            record(scores={"local": {"accuracy": value}})


def test_predictions_of_a_wrong_shape_are_refused():
    with pytest.raises(ValueError, match="float32"):
        Predictions(np.zeros((2, 2), np.float32), np.zeros(2, np.int64), np.zeros(2, np.uint64))
    with pytest.raises(ValueError, match=r"\[2, 3, 2\]"):
        Predictions(np.zeros((2, 2), np.float16), np.zeros(3, np.int64), np.zeros(2, np.uint64))


def test_images_that_two_sets_share_are_stored_once(store: Store):
    local = predictions()
    worse = replace(local, probabilities=local.probabilities[::-1].copy())
    other = replace(local, ids=local.ids + np.uint64(1))
    store.write(record(), history=[], predictions={"local": local, "heavy": worse, "other": other})
    with np.load(store.trial_dir(ID) / "predictions.npz") as file:
        assert sorted(n for n in file.files if n.endswith(("/ids", "/images_of"))) == [
            "heavy/images_of",
            "local/ids",
            "other/ids",
        ]
    back = store.predictions(ID)
    for name, given in {"local": local, "heavy": worse, "other": other}.items():
        for part in ("probabilities", "labels", "ids"):
            assert np.array_equal(getattr(back[name], part), getattr(given, part)), (name, part)


def test_pickled_predictions_are_not_executed(store: Store):
    store.write(record(), history=[], predictions={})
    evil = {"k/probabilities": np.array([print], object), "k/labels": np.zeros(1), "k/ids": np.zeros(1)}
    np.savez(store.trial_dir(ID) / "predictions.npz", **evil)
    with pytest.raises(ValueError, match="allow_pickle=False"):
        store.predictions(ID)


def test_equal_results_may_differ_in_time_machine_commit_and_attempts():
    other = record(
        timings={"train": 9.0}, memory={"peak_mb": 3.0}, machine={"device": "cuda"}, commit="d", attempts=2
    )
    assert other != record()
    assert equal_view(other) == equal_view(record())
    assert equal_view(record(seed=1)) != equal_view(record())


def test_a_folder_that_cannot_be_written_is_said_before_the_first_trial(tmp_path: Path):
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="--results FOLDER"):
        check_writable(tmp_path / "file" / "results")


def test_files_are_as_readable_as_the_person_asked(store: Store):
    before = os.umask(0o022)
    try:
        store.write(record(), history=[], predictions={})
    finally:
        os.umask(before)
    assert (store.trial_dir(ID) / "record.json").stat().st_mode & 0o777 == 0o644


def test_reading_records_imports_neither_torch_nor_pandas_nor_numpy():
    heavy = "('torch', 'pandas', 'numpy', 'scipy')"
    script = f"import sys, bench.store; print([m for m in {heavy} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_a_damaged_history_is_read_up_to_the_damage(store: Store):
    store.write(record(), history=[{"epoch": 1}, {"epoch": 2}, {"epoch": 3}], predictions={})
    file = store.trial_dir(ID) / "history.jsonl"
    file.write_bytes(file.read_bytes()[:-5])
    assert store.history(ID) == [{"epoch": 1}, {"epoch": 2}]


def test_a_folder_in_place_of_a_record_is_damage(store: Store):
    (store.trial_dir(ID) / "record.json").mkdir(parents=True)
    assert store.read(ID) is None
    assert store.damaged() == [Damage(ID, "is a folder")]
    store.write(record(), history=[], predictions={})
    assert without_sums(store.read(ID)) == record()


def edited(**changes: object) -> bytes:
    return json.dumps(record(id=ID).model_dump(mode="json") | changes).encode()


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b'{"id": ' + b"[" * 200_000, "is not a whole JSON table"),
        (b"null", "is not a whole JSON table"),
        (b"\xff\xfe", "is not a whole JSON table"),
        (
            record(id=ID).model_dump_json().replace("0.75", "7").encode(),
            "accuracy of local is 7, which lies outside 0 to 1",
        ),
        (edited(classes=["a", "a"]), "names a class twice"),
        (
            edited(classes=["a"], recalls={"k": {"b": 1.0}}),
            "recalls of k are of classes that it does not name",
        ),
    ],
    ids=["nested", "null", "not UTF-8", "accuracy of 7", "classes", "recalls"],
)
def test_what_no_record_can_be_is_damage_and_stops_no_other(store: Store, content: bytes, reason: str):
    for id in (ID, OTHER):
        store.write(record(id=id), history=[], predictions={})
    (store.trial_dir(ID) / "record.json").write_bytes(content)
    assert [damage.reason for damage in store.damaged()] == [reason]
    assert [found.id for found in store.records()] == [OTHER]


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs pipes with names")
@pytest.mark.parametrize("kind", ["link to itself", "pipe", "device"])
def test_what_is_no_file_is_damage_and_is_not_waited_for(store: Store, kind: str):
    store.write(record(), history=[{"step": 1}], predictions={})
    for name in ("record.json", "history.jsonl"):
        file = store.trial_dir(ID) / name
        file.unlink()
        if kind == "pipe":
            os.mkfifo(file)
        else:
            file.symlink_to(file if kind == "link to itself" else "/dev/zero")
    assert store.read(ID) is None
    assert store.history(ID) == []
    if kind != "link to itself":  # which is nothing to list
        assert "not a file" in store.damaged()[0].reason
    store.write(record(), history=[{"step": 2}], predictions={})
    assert (without_sums(store.read(ID)), store.history(ID)) == (record(), [{"step": 2}])


@pytest.mark.parametrize("line", ["null", "7", "[" * 200_000])
def test_a_line_of_a_history_that_is_no_table_ends_it(store: Store, line: str):
    store.write(record(), history=[{"step": 1}], predictions={})
    with (store.trial_dir(ID) / "history.jsonl").open("a") as file:
        file.write(f'{line}\n{{"step": 2}}\n')
    assert store.history(ID) == [{"step": 1}]


def test_a_file_in_place_of_the_trials_is_said(store: Store):
    store.root.mkdir(parents=True, exist_ok=True)
    (store.root / "trials").write_text("")
    with pytest.raises(UserError, match=r"trials cannot be read: Not a directory\n +it is the folder"):
        store.ids()


def test_flipped_bytes_of_predictions_are_read_or_known_for_damage(store: Store):
    store.write(record(), history=[], predictions={"local": predictions(), "other": predictions(1)})
    file, lot, caught = store.trial_dir(ID) / "predictions.npz", random.Random(0), 0
    whole = file.read_bytes()
    for _ in range(100):
        damaged = bytearray(whole)
        for _ in range(lot.choice([1, 2, 50])):
            damaged[lot.randrange(len(damaged))] ^= 1 << lot.randrange(8)
        file.write_bytes(damaged)
        try:
            store.predictions(ID)
        except UNREADABLE:
            caught += 1
    assert caught > 50
    compression = whole.index(b"PK\x01\x02") + 10  # one that no library knows: NotImplementedError
    file.write_bytes(whole[:compression] + b"\x63" + whole[compression + 1 :])
    with pytest.raises(UNREADABLE):
        store.predictions(ID)


@pytest.mark.parametrize("part", ["record.json", "history.jsonl", "predictions.npz", "weights.safetensors"])
@pytest.mark.parametrize("kind", ["folder", "link to a folder", "link to itself"])
def test_what_stands_in_place_of_a_file_gives_way_to_a_trial(
    store: Store, tmp_path: Path, part: str, kind: str
):
    file, other = store.trial_dir(ID) / part, tmp_path / "other"
    file.parent.mkdir(parents=True)
    other.mkdir()
    (other / "kept").write_text("")
    if kind == "folder":
        file.mkdir()
        (file / "something").write_text("")
    else:
        file.symlink_to(file if kind == "link to itself" else other)
    store.write(record(), history=[{"step": 1}], predictions={"local": predictions()})
    assert without_sums(store.read(ID)) == record()
    assert (store.lost(store.read(ID), whole=True), store.history(ID)) == ("", [{"step": 1}])
    assert (other / "kept").exists()


@pytest.mark.parametrize("kind", ["file", "pipe", "dangling link", "link to itself"])
def test_what_stands_in_place_of_a_trials_folder_gives_way(store: Store, tmp_path: Path, kind: str):
    folder = store.trial_dir(ID)
    folder.parent.mkdir(parents=True)
    if kind == "file":
        folder.write_text("")
    elif kind == "pipe":
        os.mkfifo(folder)
    else:
        folder.symlink_to(folder if kind == "link to itself" else tmp_path / "nowhere")
    assert store.read(ID) is None
    store.write(record(), history=[], predictions={})
    assert without_sums(store.read(ID)) == record()


@pytest.mark.parametrize("kind", ["file", "dangling link"])
def test_without_a_folder_of_trials_none_is_begun(store: Store, tmp_path: Path, kind: str):
    trials = store.root / "trials"
    store.root.mkdir(parents=True, exist_ok=True)
    if kind == "file":
        trials.write_text("")
    else:
        trials.symlink_to(tmp_path / "nowhere")
    with pytest.raises(UserError, match="trials is no folder, and all trials are to lie in it"):
        check_writable(store.root)


@pytest.mark.parametrize(
    "change",
    [
        {"timings": {"train": 1e308}},
        {"timings": {"train": -1.0}},
        {"parameters": 10**400},
        {"flops": 10**400},
        {"memory": {"peak_mb": -3.0}},
    ],
)
def test_amounts_that_no_machine_has_are_damage(store: Store, change: dict[str, object]):
    store.write(record(), history=[], predictions={})
    file = store.trial_dir(ID) / "record.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | change))
    assert store.read(ID) is None
    assert [damage.id for damage in store.damaged()] == [ID]


@pytest.mark.parametrize("label", [10**9, -1])
def test_labels_that_no_class_has_are_no_predictions(label: int):
    with pytest.raises(ValueError, match="labels are classes, 0 to"):
        replace(predictions(), labels=np.full(len(predictions().labels), label))
