"""The first run writes what is declared; what a study says later is told by plan, run and report."""

from __future__ import annotations

from pathlib import Path

import pytest
from tiny import machine_in, write_study

from bench.commands.plan import plan_text
from bench.judge.declared import FILE, read_declared
from bench.progress.terminal import Terminal
from bench.run.conductor import Options, run_study

CLAIM = """
[[claims]]
says = "A flip {says}"
better = "{better}"
than = "{than}"
metric = "local.balanced_accuracy"
expect = "{expect}"
"""


def _run(study: Path) -> str:
    return run_study(study, machine_in(study.parent), Options(), Terminal()).report.read_text("utf-8")


def _add(study: Path, **fields: str) -> None:
    study.write_text(study.read_text("utf-8") + CLAIM.format(**fields), "utf-8")


def test_what_is_declared_stands_when_the_first_score_comes(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    study, folder = write_study(tmp_path, seeds=2), tmp_path / "results" / "tiny"
    made = "1 comparison, 1 claim, δ 0.5 locally, 1 on hidden sets: "
    plan = plan_text(study, machine_in(tmp_path), False)
    assert f"declares  {made}the first score freezes them (declared.json)\n" in plan
    assert "are those of `declared.json`, written 20" in _run(study)
    frozen = (folder / FILE).read_bytes()
    _add(study, says="is no use", better="flips", than="none", expect="no gain")
    plan = plan_text(study, machine_in(tmp_path), False)
    assert f"declares  {made}frozen 20" in plan
    late = "declared after scores: flips against none on local.balanced_accuracy"
    assert late in plan
    capsys.readouterr()
    report = _run(study)
    assert "declared after scores, so without a verdict: flips against none on" in capsys.readouterr().err
    assert "- **declared after scores** — A flip is no use" in report
    assert "Holm over 1 declared comparison " in report
    assert (folder / FILE).read_bytes() == frozen

    (folder / FILE).unlink()  # as all results were before it was kept
    _add(study, says="changes nothing", better="none", than="flips", expect="no difference")
    report = _run(study)
    declared = read_declared(folder)
    assert declared is not None
    assert (declared.later, [claim.says for claim in declared.claims]) == (
        True,
        ["A flip helps", "A flip is no use"],
    ), "the study as it was last run"
    assert "`declared.json` was written after it, of the study as it was last run." in report
    assert "- **declared after scores** — A flip changes nothing" in report
    assert "- **declared after scores** — A flip is no use" not in report
