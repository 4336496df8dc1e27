"""Studies with ``test = 0``: all local images train or validate, hidden sets of other images decide."""

from __future__ import annotations

from pathlib import Path

import pytest
from tiny import HIDDEN, machine_in, write_study

from bench.commands.plan import plan_text
from bench.data import provide
from bench.errors import UserError
from bench.explain.pair import Asked, gather
from bench.progress.terminal import Terminal
from bench.run.conductor import Options, run_study
from bench.run.planning import prepare
from bench.store import Store

QUIET = Terminal(quiet=True)
SPLIT = "split = { train = 0.8, val = 0.2, test = 0 }"


def without_local(folder: Path, *, hidden: str = HIDDEN, more: str = "", seeds: int = 1) -> Path:
    study = write_study(folder, seeds=seeds, hidden=hidden)
    study.write_text(study.read_text().replace("n_images = 120", f"n_images = 120\n{SPLIT}") + more)
    return study


def test_all_images_train_or_validate_and_the_hidden_set_is_all_that_a_report_shows(tmp_path: Path) -> None:
    study = without_local(tmp_path, seeds=2, more='[ensembles.both]\narm = "flips"\n')
    machine = machine_in(tmp_path)
    assert "hidden    other-lab" in plan_text(study, machine, False)
    assert run_study(study, machine, Options(), QUIET).failures == []
    (run, *_) = prepare(study, machine).runs
    made = provide.development(run.trial, machine.cache)
    assert (len(made.train), len(made.val)) == (96, 24)
    record = Store(machine.results).read(run.trial.id)
    assert record is not None
    assert list(record.scores) == [scored.key for scored in run.sets if scored.name == "other-lab"]
    report = (machine.results / "tiny" / "report.md").read_text()
    assert "other-lab %" in report
    for absent in ("local %", "| local |", "Set local", "gap to"):
        assert absent not in report, absent
    assert gather(prepare(study, machine), Asked(), Store(machine.results)).set == "other-lab"


@pytest.mark.parametrize(
    ("hidden", "more", "message"),
    [
        ("", "", r"\[data\] split\n *test = 0 leaves nothing to decide; add a hidden set"),
        (
            '[hidden.heavy]\nkind = "corrupted"',
            "",
            r'\[hidden.heavy\] kind = "corrupted"\n *is made of local test images, and',
        ),
        (
            HIDDEN,
            'metric = "local.accuracy"',
            r'metric = "local.accuracy"\n *no such metric; .*: other-lab',
        ),
        (HIDDEN, 'metric = "gap.other-lab"', r'metric = "gap.other-lab"\n *no such metric'),
    ],
)
def test_what_takes_local_test_images_is_refused(
    hidden: str, more: str, message: str, tmp_path: Path
) -> None:
    with pytest.raises(UserError, match=message):
        prepare(without_local(tmp_path, hidden=hidden, more=more), machine_in(tmp_path))


def test_a_primary_that_is_local_and_folds_are_refused(tmp_path: Path) -> None:
    study = without_local(tmp_path)
    study.write_text('primary = "local.accuracy"\n' + study.read_text())
    with pytest.raises(UserError, match=r'primary = "local.accuracy"\n *no such metric'):
        prepare(study, machine_in(tmp_path))
    folds = 'replicates = { kind = "folds", k = 5 }'
    study.write_text(without_local(tmp_path).read_text().replace("seeds = 1", folds))
    with pytest.raises(UserError, match="in cross-validation every image is a test image"):
        prepare(study, machine_in(tmp_path))
