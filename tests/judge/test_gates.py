"""Gates: what they may say, when they hold, and that a run that fails one ends with 3."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from studies import text
from tiny import HIDDEN, machine_in, write_study
from typer.testing import CliRunner
from worlds import World

from bench.cli import app
from bench.errors import UserError
from bench.judge.gates import holds
from bench.report import build, lost_gates, markdown
from bench.run.conductor import Ending
from bench.run.gating import further_gate
from bench.study.gates import Gate, Known
from bench.study.gates import parse as gate
from bench.study.read import parse

KNOWN = Known(("none", "a: b", "a"), "none", "heavy.accuracy", lambda metric: "no" * (metric == "x.y"))


def test_a_gate_is_an_arm_a_verdict_and_where():
    assert gate("a: helps", KNOWN) == Gate(
        text="a: helps", arm="a", reference="none", metric="heavy.accuracy", words=("helps",)
    )
    full = gate("a: b : not harmful or unstable on local.auc against a", KNOWN)
    assert full.key == ("a: b", "a", "local.auc")
    assert (full.words, full.negated) == (("harmful", "unstable"), True)


@pytest.mark.parametrize(
    ("written", "problem"),
    [
        ("b: helps", "names no arm; known"),
        ("a helps", "names no arm; write ARM: VERDICT"),
        ("a: good", '"good" is no verdict'),
        ("a: harmfull", 'did you mean "harmful"'),
        ("a: helps on x.y", '"x.y": no'),
        ("a: helps against c", '"c" is no arm'),
        ("none: helps", "compares none with itself"),
    ],
)
def test_what_a_gate_cannot_say_is_told(written: str, problem: str):
    with pytest.raises(ValueError, match="^.*" + problem.replace("(", r"\(")):
        gate(written, KNOWN)


@pytest.mark.parametrize(
    ("asked", "verdict", "held"),
    [
        ("helps", "helps, by more than 1 point", True),
        ("helps", "inconclusive", False),
        ("helps or equivalent", "equivalent", True),
        ("no gain", "equivalent", True),
        ("equivalent", "no gain", False),
        ("not harmful", "inconclusive", True),
        ("not harmful", "harmful", False),
        ("not harmful", "unstable (1/5 diverged)", False),
        ("not harmful or unstable", "helps", True),
        ("unstable", "unstable (1/5 diverged)", True),
        ("not harmful", "no verdict", False),
        ("not harmful", "not run yet", False),
        ("not harmful", "declared after scores", False),
        ("faster", "faster", True),
    ],
)
def test_a_gate_holds_by_the_verdict_alone(asked: str, verdict: str, held: bool):
    assert holds(gate(f"a: {asked}", KNOWN), verdict) == held


def test_a_gate_of_the_study_is_declared_with_it_and_told_in_the_report(make_world: Callable[..., World]):
    w = make_world()
    w.arm("a", 1.0)
    w.arm("b", 0.2)
    w.finish_all()
    before = build(w.study, w.plan, w.store).rules.family
    known = Known(("a", "b"), "a", "heavy.accuracy", lambda metric: "")
    texts = ("b: not harmful", "b: harmful on local.balanced_accuracy")
    w.extra = {"gates": tuple(gate(one, known) for one in texts)}
    document = build(w.study, w.plan, w.store)
    assert document.rules.family == before + 1, "on another metric it is a comparison more"
    assert [row.passed for row in document.gates] == [False, True]
    (line,) = lost_gates(document, ())
    assert line.startswith("b: not harmful — b: harmful, −")
    assert line.endswith("points on heavy.accuracy")
    report = markdown(document)
    assert "- **does not hold** — b: not harmful: **b: harmful** on" in report
    assert "- holds — b: harmful on local.balanced\\_accuracy" in report
    again = lost_gates(document, [gate("b: helps", known)])
    assert len(again) == 2


def test_a_gate_of_the_command_line_is_about_what_is_declared(tmp_path: Path):
    study = parse(text("[arms]\nnone = {}\nflips = { augment = ['flip'] }"), name="x", file="x.toml")
    assert further_gate("flips: helps", study).metric == study.primary
    with pytest.raises(UserError, match="does not declare flips against none"):
        further_gate("flips: helps on local.auc", study)
    with pytest.raises(UserError, match="the other way round is"):
        further_gate("none: helps against flips", study)
    with pytest.raises(UserError, match="no such metric"):
        further_gate("flips: helps on local.acuracy", study)
    wrong = "gates = ['flips: good', 'flop: helps', 'flips: helps on local.nothing']"
    with pytest.raises(UserError, match="3 mistakes"):
        parse(text("[arms]\nnone = {}\nflips = { augment = ['flip'] }", top=wrong), name="x", file="x.toml")


def test_a_run_ends_with_three_where_a_gate_does_not_hold(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    study, machine = write_study(tmp_path, hidden=HIDDEN), machine_in(tmp_path)
    monkeypatch.setenv("BENCH_EXECUTOR", "inline")
    at = ["run", str(study), "--results", str(machine.results), "--device", "cpu"]
    bad = CliRunner().invoke(app, [*at, "--gate", "flips: helps"])
    assert bad.exit_code == 3
    why = "gate does not hold: flips: helps — flips: inconclusive"
    assert [line.startswith(why) for line in bad.stderr.splitlines() if "gate" in line] == [True]
    good = CliRunner().invoke(app, [*at, "--gate", "flips: not harmful", "--gate", "flips: inconclusive"])
    assert good.exit_code == 0
    assert "gate" not in good.stderr


def test_failed_trials_are_told_before_gates():
    from collections import Counter

    def code(failed: int, gates: tuple[str, ...]) -> int:
        return Ending(Path("r"), Counter(failed=failed), 0, gates=gates).exit_code  # type: ignore[arg-type]

    assert [code(0, ()), code(0, ("x",)), code(1, ("x",)), code(1, ())] == [0, 3, 1, 1]
