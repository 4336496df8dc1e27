"""The file of briefs is a view: whatever becomes of it or of what is beside it, nothing is lost."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from worlds import World

from bench import briefs, store
from bench.briefs import FILE, Briefs, Stamp
from bench.record import Brief
from bench.store import Store


@pytest.fixture
def results(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of four records, of which the briefs are kept, however few and young they are."""
    monkeypatch.setattr(briefs, "ENOUGH", 1)
    monkeypatch.setattr(briefs, "YOUNG_NS", 0)
    world = World(Store(tmp_path / "results"), seeds=(0, 1), images=20)
    world.arm("none", 1.0)
    world.arm("flips", 2.0)
    world.finish_all()
    for record in world.store.records():
        history = [{"step": step, "val_accuracy": 0.5} for step in range(9)]
        world.store.write(record, history=history, predictions=world.store.predictions(record.id))
    first = Store(tmp_path / "results")
    assert all(first.lost(brief, whole=True) == "" for id in first.ids() if (brief := first.brief(id)))
    first.briefs.keep()
    assert (tmp_path / "results" / FILE).is_file()
    return tmp_path / "results"


@pytest.fixture
def read(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Names of the files that a store has read."""
    names: list[str] = []

    def noted(real: Callable[[str], object]) -> Callable[[str], object]:
        def call(path: str) -> object:
            names.append(Path(path).name)
            return real(path)

        return call

    monkeypatch.setattr(store, "content_of", noted(store.content_of))
    monkeypatch.setattr(store, "sum_of", noted(store.sum_of))
    return names


def look(results: Path) -> dict[str, tuple[Brief | None, str]]:
    """What a process that just started says of every record, and of what is lost."""
    fresh, found = Store(results), {}
    for id in fresh.ids():
        brief = fresh.brief(id)
        found[id] = brief, fresh.lost(brief, whole=True) if brief else ""
    return found


def test_what_has_not_changed_is_not_read_again(results: Path, read: list[str]) -> None:
    told = look(results)
    assert read == []
    whole = Store(results)
    assert [brief for brief, _ in told.values()] == [record.brief for record in whole.records()]


def gone(file: Path) -> None:
    file.unlink()


def folder(file: Path) -> None:
    file.unlink()
    file.mkdir()


def pipe(file: Path) -> None:
    file.unlink()
    os.mkfifo(file)


def cut(file: Path) -> None:
    file.write_bytes(file.read_bytes()[:-30])


def flip(file: Path) -> None:
    content = bytearray(file.read_bytes())
    content[-40] ^= 1
    file.write_bytes(content)


def empty(file: Path) -> None:
    file.write_bytes(b"")


def false(file: Path) -> None:
    head, _, body = file.read_bytes().partition(b"\n")
    file.write_bytes(head + b"\n" + body.replace(b'"done"', b'"gone"'))


@pytest.mark.parametrize("harm", [gone, folder, pipe, cut, flip, empty, false])
def test_a_view_that_is_damaged_costs_reading_again_and_nothing_else(
    results: Path, read: list[str], harm: Callable[[Path], None]
) -> None:
    told = look(results)
    harm(results / FILE)
    assert look(results) == told
    assert read.count("record.json") == 4
    again = Store(results)
    assert [again.brief(id) for id in again.ids()]
    again.briefs.keep()  # where it cannot be written, that is no matter
    assert look(results) == told


def test_records_of_another_form_are_read_again(
    results: Path, read: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(briefs, "FORMAT", 0)
    look(results)
    assert read.count("record.json") == 4


@pytest.mark.parametrize("file", ["record.json", "history.jsonl", "predictions.npz"])
@pytest.mark.parametrize("harm", [gone, cut, flip, folder])
def test_damage_is_noticed_also_where_the_time_was_set_back(
    results: Path, file: str, harm: Callable[[Path], None]
) -> None:
    id = Store(results).ids()[0]
    path = Store(results).trial_dir(id) / file
    before = path.stat()
    harm(path)
    if path.exists():
        os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    told = look(results)
    if file != "record.json":
        assert told[id][1] == file
    (results / FILE).unlink()
    assert told == look(results), "as it is told without the view"


def test_a_record_that_another_process_replaced_is_read(results: Path) -> None:
    mine, other = Store(results), Store(results)
    record = other.records()[0]
    assert mine.brief(record.id) == record.brief
    other.rewrite(record.model_copy(update={"attempts": 2}))
    told = mine.brief(record.id)
    assert told is not None
    assert told.attempts == 2


def test_a_file_that_may_change_once_more_within_the_same_tick_is_not_trusted(
    results: Path, read: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    (results / FILE).unlink()
    monkeypatch.setattr(briefs, "YOUNG_NS", 10**15)
    young = Store(results)
    for _ in range(2):
        assert all(young.brief(id) for id in young.ids())
    assert read.count("record.json") == 8


def test_of_two_that_write_the_last_one_stays_and_both_know_all(results: Path, read: list[str]) -> None:
    (results / FILE).unlink()
    ids = Store(results).ids()
    for half in (ids[:2], ids[2:]):
        one = Store(results)
        one.briefs.entries.clear()
        for id in half:
            one.brief(id)
        one.briefs.keep()
    assert list(Briefs(results).entries) == ids[2:]
    assert all(brief for brief, _ in look(results).values())


def test_what_is_no_more_leaves_the_view(results: Path) -> None:
    fresh = Store(results)
    first, *rest = fresh.ids()
    shutil.rmtree(fresh.trial_dir(first))
    assert fresh.brief(first) is None
    fresh.rewrite(fresh.records()[0].model_copy(update={"attempts": 2}))
    assert all(fresh.brief(id) for id in rest)
    fresh.briefs.keep()
    assert sorted(Briefs(results).entries) == rest


def test_few_records_are_not_worth_a_file(results: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (results / FILE).unlink()
    monkeypatch.setattr(briefs, "ENOUGH", 500)
    few = Store(results)
    assert all(few.brief(id) for id in few.ids())
    few.briefs.keep()
    assert not (results / FILE).exists()


def test_a_stamp_is_of_a_file_alone(tmp_path: Path) -> None:
    (tmp_path / "loop").symlink_to("loop")
    assert [Stamp.of(str(tmp_path / name)) for name in ("", "none", "loop")] == [None, None, None]


def test_a_record_that_somebody_holds_is_not_read_twice_unless_it_changed(
    results: Path, read: list[str]
) -> None:
    one = Store(results)
    held = one.read(one.ids()[0])
    assert held is not None
    assert one.read(held.id) is held
    assert read == ["record.json"]
    Store(results).rewrite(held.model_copy(update={"attempts": 3}))
    now = one.read(held.id)
    assert now is not None
    assert now.attempts == 3
    id, other, *_ = one.ids()
    del held, now
    assert one.read(other) is not None  # the last one read is kept
    gone = len(read)
    assert one.read(id) is not None
    assert len(read) == gone + 1, "nobody keeps the others"


@pytest.mark.parametrize("part", ["record.json", "history.jsonl"])
def test_what_is_told_of_a_trial_while_the_store_is_steady_is_of_one_moment(results: Path, part: str) -> None:
    one = Store(results)
    id = one.ids()[0]

    def told() -> tuple[bool, bool, str]:
        brief = one.brief(id)
        lost = one.lost(brief, whole=True) or one.lost(brief, whole=False) if brief else ""
        return one.read(id) is not None, brief is not None, lost

    with one.steady():
        before = told()
        held = one.read(id)
        (one.trial_dir(id) / part).write_bytes(b"")
        with one.steady():
            assert told() == before == (True, True, "")
        assert told() == before
        assert held is not None
    assert told() == ((False, False, "") if part == "record.json" else (True, True, part))


def test_damage_that_only_a_checksum_tells_is_no_damage_by_size_in_a_steady_store(results: Path) -> None:
    one = Store(results)
    brief = one.brief(one.ids()[0])
    assert brief is not None
    file = one.trial_dir(brief.id) / "history.jsonl"
    file.write_bytes(file.read_bytes().swapcase())
    with one.steady():
        for _ in range(2):
            assert one.lost(brief, whole=True) == "history.jsonl"
            assert one.lost(brief, whole=False) == ""
