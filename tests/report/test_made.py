"""A run with nothing to do leaves a report as it is, unless anything that it is made of is not as it was."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from tiny import HIDDEN, machine_in, write_study

from bench import report
from bench.planned import read_plan_file
from bench.progress.terminal import Terminal
from bench.report import made
from bench.run.conductor import Ending, Options, run_study
from bench.store import Store


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("made")
    assert go(folder).ran == 2
    return folder


@pytest.fixture
def builds(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """A word for each report that is made."""
    seen: list[str] = []
    build = report.build

    def noted(*given: object) -> object:
        seen.append("built")
        return build(*given)  # type: ignore[arg-type]

    monkeypatch.setattr(report, "build", noted)
    return seen


def go(folder: Path, **options: object) -> Ending:
    study = write_study(folder, hidden=HIDDEN)
    return run_study(study, machine_in(folder), Options(**options), Terminal(quiet=True))  # type: ignore[arg-type]


def copied(finished: Path, folder: Path) -> Path:
    """The folder elsewhere, and its report made there."""
    copy = shutil.copytree(finished, folder / "copy")
    go(copy)
    return copy


def test_nothing_to_do_is_nothing_made_and_says_the_same(
    finished: Path, tmp_path: Path, builds: list[str]
) -> None:
    folder = copied(finished, tmp_path)
    assert builds == ["built"], "a copy's files are others"
    before = (folder / "results" / "tiny" / "report.html").stat()
    ending = go(folder)
    assert builds == ["built"]
    assert (folder / "results" / "tiny" / "report.html").stat() == before
    (folder / "results" / "tiny" / made.FILE).unlink()
    assert go(folder).verdicts == ending.verdicts != ()
    assert builds == ["built"] * 2


def commit(results: Path) -> None:
    store = Store(results)
    store.rewrite(store.records()[0].model_copy(update={"commit": "another"}))


def predictions(results: Path) -> None:
    store = Store(results)
    record = store.records()[0]
    store.rewrite(record, store.predictions(record.id))


HARMS: dict[str, Callable[[Path], None]] = {
    "a report deleted": lambda results: (results / "tiny" / "report.md").unlink(),
    "a report edited": lambda results: (results / "tiny" / "report.md").write_text("mine"),
    "a table deleted": lambda results: next((results / "tiny" / "tables").iterdir()).unlink(),
    "the index deleted": lambda results: (results / "index.md").unlink(),
    "a record changed": commit,
    "predictions written anew": predictions,
    "declarations changed": lambda results: (results / "tiny" / "declared.json").write_text(
        (results / "tiny" / "declared.json").read_text() + "\n"
    ),
    "what it was made of damaged": lambda results: (results / "tiny" / made.FILE).write_text("["),
    "a folder in its place": lambda results: (
        (results / "tiny" / made.FILE).unlink(),
        (results / "tiny" / made.FILE).mkdir(),
    )[1],
}


@pytest.mark.parametrize("harm", HARMS.values(), ids=HARMS)
def test_whatever_a_report_is_made_of_makes_it_anew(
    finished: Path, tmp_path: Path, builds: list[str], harm: Callable[[Path], None]
) -> None:
    folder = copied(finished, tmp_path)
    text = (folder / "results" / "tiny" / "report.md").read_text()
    builds.clear()
    harm(folder / "results")
    go(folder)
    assert builds == ["built"]
    assert (folder / "results" / "tiny" / "report.md").read_text().replace("another, ", "").replace(
        ", another", ""
    ) == text


def test_other_code_and_another_gate_are_another_answer(
    finished: Path, tmp_path: Path, builds: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = copied(finished, tmp_path)
    builds.clear()
    go(folder, gates=("flips: not harmful",))
    assert builds == ["built"]
    monkeypatch.setattr(made, "_code", lambda: ["edited"])
    go(folder, gates=("flips: not harmful",))
    assert builds == ["built"] * 2


def test_where_a_replicate_has_no_record_others_have_a_say(finished: Path, tmp_path: Path) -> None:
    folder = copied(finished, tmp_path)
    store = Store(folder / "results")
    planned = read_plan_file(folder / "results" / "tiny" / "plan.json")
    assert made.ingredients(planned, store, ())
    store.forget(store.ids()[0])
    assert made.ingredients(planned, store, ()) == ""
