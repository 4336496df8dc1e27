"""``bench report``: which files it writes, checks and prints, from records alone."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest
from tiny import machine_in, write_study

from bench import briefs
from bench import store as store_module
from bench.briefs import Stamp
from bench.commands.report import Wanted, reports
from bench.errors import UserError
from bench.machine import Machine
from bench.progress.terminal import Terminal
from bench.report import parse_formats
from bench.run.conductor import Options, run_study
from bench.run.planning import prepare
from bench.store import Store


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    """A results folder with one planned study, whose trials have not run."""
    study, machine = write_study(tmp_path), machine_in(tmp_path)
    plan = prepare(study, machine)
    store = Store(machine.results)
    store.write_text(store.study_dir("tiny") / "plan.json", plan.file.model_dump_json())
    store.write_text(store.study_dir("tiny") / "study.toml", study.read_text("utf-8"))
    return machine


def _run(machine: Machine, formats: str = "md", **flags: bool) -> int:
    return reports(["tiny"], machine, Wanted(parse_formats(formats), **flags), reference=False)


def _kinds(machine: Machine) -> set[str]:
    folder = machine.results / "tiny"
    return {path.relative_to(folder).parent.as_posix() + "/*" + path.suffix for path in folder.rglob("*.*")}


def test_each_format_writes_its_files(machine: Machine, capsys: pytest.CaptureFixture[str]) -> None:
    assert _run(machine) == 0
    assert capsys.readouterr().out.strip().endswith("report.md")
    assert _kinds(machine) == {"./*.toml", "./*.json", "./*.md", "tables/*.csv"}
    assert _run(machine, "html,tex") == 0
    assert capsys.readouterr().out.strip().endswith("report.html")
    assert _kinds(machine) == {"./*.toml", "./*.json", "./*.md", "tables/*.csv", "./*.html", "tables/*.tex"}


def test_check_covers_every_file_that_is_there(machine: Machine) -> None:
    assert _run(machine, check=True) == 1  # none was written yet
    _run(machine)
    assert _run(machine, check=True) == 0
    _run(machine, "html")
    assert _run(machine, check=True) == 0
    for name in ("report.html", "tables/arms.csv", "report.md"):
        file = machine.results / "tiny" / name
        before = file.read_text("utf-8")
        file.write_text(before + "more")
        assert _run(machine, check=True) == 1, name
        assert file.read_text("utf-8") == before + "more"
        file.write_text(before)


def test_tables_that_were_not_committed_are_not_missed(machine: Machine) -> None:
    _run(machine, "md,html")
    (machine.results / "tiny" / "tables" / "arms.csv").unlink()
    assert _run(machine, check=True) == 0


def test_a_figure_of_an_earlier_report_is_found_and_goes(
    machine: Machine, capsys: pytest.CaptureFixture[str]
) -> None:
    _run(machine)
    left = machine.results / "tiny" / "figures" / "effects.svg"
    left.parent.mkdir()
    left.write_text("<svg/>")
    assert _run(machine, check=True) == 1
    capsys.readouterr()
    assert _run(machine, "svg") == 0
    assert capsys.readouterr().out == "tiny: no figures, for no trial has scores yet\n"
    assert not left.exists()
    assert _run(machine, check=True) == 0


@pytest.mark.parametrize("way", ["tiny/report.md", "tiny/tables/arms.csv", "tiny/tables", "index.md"])
def test_what_cannot_be_written_is_said_as_a_run_says_it(machine: Machine, way: str) -> None:
    place = machine.results / way
    if way == "tiny/tables":
        place.write_text("")
    else:
        place.mkdir(parents=True)
    with pytest.raises(
        UserError, match=f"{way}.* cannot be written: .*; finished trials are kept, bench report"
    ):
        _run(machine)


def test_no_cost_prints_one_report_as_it_is_and_writes_nothing(
    machine: Machine, capsys: pytest.CaptureFixture[str]
) -> None:
    before = _kinds(machine)
    _run(machine, no_cost=True)
    assert capsys.readouterr().out.startswith("# tiny\n")
    _run(machine, "html", no_cost=True)
    assert capsys.readouterr().out.startswith("<!DOCTYPE html>")
    _run(machine, "tex", no_cost=True)
    out = capsys.readouterr().out
    assert out.startswith("==> tables/arms.tex <==\n% tiny")
    assert "train s" not in out
    assert _kinds(machine) == before


def test_an_unknown_format_is_a_mistake_that_can_be_mended() -> None:
    with pytest.raises(UserError, match=r'"pdf" is no format\n.*csv, html, md, svg, tex'):
        parse_formats("md,pdf")


def test_a_file_that_a_trial_lost_is_named(machine: Machine, capsys: pytest.CaptureFixture[str]) -> None:
    (machine.results / "tiny" / "plan.json").unlink()
    run_study(machine.results.parent / "tiny.toml", machine, Options(), Terminal())
    assert _run(machine, check=True) == 0
    store = Store(machine.results)
    file = store.trial_dir(store.ids()[0]) / "predictions.npz"
    file.unlink()
    capsys.readouterr()
    assert _run(machine, check=True) == 1
    assert f"{file} is gone or damaged; bench run mends it" in capsys.readouterr().err
    assert _run(machine) == 0
    assert f"{file} is gone or damaged; bench run mends it" in capsys.readouterr().err
    assert "1 damaged" in (machine.results / "tiny" / "report.md").read_text("utf-8")


def test_a_report_asks_the_disk_once_of_each_file(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    (machine.results / "tiny" / "plan.json").unlink()
    run_study(machine.results.parent / "tiny.toml", machine, Options(), Terminal())
    monkeypatch.setattr(briefs, "YOUNG_NS", 0)
    calls: Counter[tuple[str, str]] = Counter()

    def noted(real: Callable[[str], object], what: str) -> Callable[[str], object]:
        def call(path: str) -> object:
            if "/trials/" in str(path):
                calls[what, Path(path).name] += 1
            return real(path)

        return call

    monkeypatch.setattr(store_module, "content_of", noted(store_module.content_of, "read"))
    monkeypatch.setattr(briefs.Stamp, "of", staticmethod(noted(Stamp.of, "asked")))
    trials = len(Store(machine.results).ids())
    _run(machine, "md,tex,html")
    # once for good whether it is as it was written, then for rows and for the figures of 24 arms
    looks = {"record.json": 1, "history.jsonl": 2, "predictions.npz": 3}
    read = {("read", name): count * trials for name, count in looks.items()}
    assert calls == read | {("asked", name): trials for name in looks}
