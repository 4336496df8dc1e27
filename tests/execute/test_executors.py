"""The registry of executors: one file each, nothing else to edit. The added one is that of the docs."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from tiny import machine_in, write_study
from typer.testing import CliRunner

from bench import cli
from bench.commands import doctor
from bench.commands.components import components
from bench.errors import UserError
from bench.registry import executors
from bench.store import Store

PAGE = Path(__file__).resolve().parents[2] / "docs" / "add-a-component.md"


@pytest.fixture
def backwards(monkeypatch: pytest.MonkeyPatch) -> None:
    """Register the executor that docs/add-a-component.md shows, with an extra that nobody has."""
    monkeypatch.setattr(executors, "_components", dict(executors._components))
    (source,) = re.findall(r"```python\n(# bench/execute/.*?)```", PAGE.read_text("utf-8"), re.DOTALL)
    exec(source.replace('where="this process"', 'where="back to front", needs="backwards-py"'), {})


@pytest.mark.usefixtures("backwards")
def test_a_registered_executor_runs_a_study(tmp_path: Path) -> None:
    options = ["--executor", "backwards", "--results", str(tmp_path / "results"), "--device", "cpu"]
    done = CliRunner().invoke(cli.app, ["run", str(write_study(tmp_path)), *options])
    assert done.exit_code == 0, done.output
    assert re.findall(r"(\S+) s0  accuracy local", done.stderr) == ["flips", "none"]
    assert [record.status for record in Store(tmp_path / "results").records()] == ["done", "done"]


@pytest.mark.usefixtures("backwards")
def test_a_registered_executor_is_known_wherever_one_is_named(tmp_path: Path) -> None:
    assert "backwards  From the last trial to the first." in components("executors", as_json=False)
    refused = CliRunner().invoke(cli.app, ["run", str(write_study(tmp_path)), "--executor", "sideways"])
    assert 'executor "sideways": must be one of backwards, inline, local, ray' in str(refused.exception)
    report, _ = doctor.examine(machine_in(tmp_path))
    assert "backwards-py not installed (uv sync --extra backwards-py)" in report


@pytest.mark.parametrize("name", executors.names())
def test_help_says_where_each_executor_runs_trials(name: str) -> None:
    shown = CliRunner().invoke(cli.app, ["run", "--help"], env={"COLUMNS": "300"}).output
    assert f"{name} ({executors[name].traits['where']})" in shown


def test_inline_has_no_way_to_end_a_trial_that_hangs(tmp_path: Path) -> None:
    options = ["--executor", "inline", "--timeout", "5s", "--results", str(tmp_path / "results")]
    done = CliRunner().invoke(cli.app, ["run", str(write_study(tmp_path)), *options, "--device", "cpu"])
    assert isinstance(done.exception, UserError)
    assert "take --executor local" in str(done.exception)
