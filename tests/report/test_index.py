from __future__ import annotations

from pathlib import Path

from tiny import FLIPS, HIDDEN, machine_in, write_study

from bench.judge.folder import entries, looks, places
from bench.progress.terminal import Terminal
from bench.report import index
from bench.run.conductor import Options, run_study
from bench.store import Store


def go(study: Path, folder: Path) -> Store:
    machine = machine_in(folder)
    run_study(study, machine, Options(), Terminal(quiet=True))
    return Store(machine.results)


def test_the_ledger_counts_each_studys_looks_and_different_trials_in_all(tmp_path: Path) -> None:
    go(write_study(tmp_path, hidden=HIDDEN, name="one"), tmp_path)
    arms = FLIPS + '\nrotated = { augment = ["rotate"] }'
    store = go(write_study(tmp_path, hidden=HIDDEN, arms=arms, name="two"), tmp_path)
    found = looks(entries(store))
    assert [(look.name, look.study, len(look.trials)) for look in found] == [
        ("other-lab", "one", 2),
        ("other-lab", "two", 3),
    ]
    assert len({look.key for look in found}) == 1
    page = (store.root / "index.md").read_text()
    assert f"| other-lab | {found[0].key[:12]} | one | 2 | 3 |" in page
    assert "| [two](two/report.md) | Does a flip help? | 3/3 | 0 | 0 |" in page


def test_the_board_ranks_different_arms_of_all_studies_on_one_set(tmp_path: Path) -> None:
    go(write_study(tmp_path, hidden=HIDDEN, name="one"), tmp_path)
    arms = FLIPS + '\nrotated = { augment = ["rotate"] }'
    store = go(write_study(tmp_path, hidden=HIDDEN, arms=arms, name="two"), tmp_path)
    found = places(entries(store))
    assert {(place.name, place.arm, place.study) for place in found} == {
        ("other-lab", "none", "one"),
        ("other-lab", "flips", "one"),
        ("other-lab", "rotated", "two"),
    }, "what two studies share stands there once"
    assert [p.accuracy.mean for p in found] == sorted((p.accuracy.mean for p in found), reverse=True)
    record = store.read(entries(store)[0].plan.arms[0].trials[0].id)
    first = next(place for place in found if place.arm == "none")
    assert record is not None
    assert first.accuracy.mean == record.scores[first.key]["accuracy"]
    assert "| arm | study | other-lab % | local % | seeds |" in (store.root / "index.md").read_text()


def test_a_folder_without_hidden_sets_says_so(tmp_path: Path) -> None:
    store = go(write_study(tmp_path), tmp_path)
    assert "No hidden set was scored." in index.markdown(entries(store))
    assert index.markdown(entries(store)) == (store.root / "index.md").read_text()


def test_an_index_of_nothing_is_a_page_all_the_same(tmp_path: Path) -> None:
    assert index.markdown(entries(Store(tmp_path))).startswith("# Studies")


def test_a_damaged_study_file_does_not_hide_the_others(tmp_path: Path) -> None:
    store = go(write_study(tmp_path, name="one"), tmp_path)
    (store.root / "one" / "study.toml").write_text("= broken")
    assert "cannot be read" in index.markdown(entries(store))
