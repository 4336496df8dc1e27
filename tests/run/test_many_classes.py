"""A hundred and twenty classes, from planning to the report."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from tiny import machine_in, write_study

from bench.commands.inspect import as_text, inspect
from bench.commands.plan import plan_text
from bench.progress.terminal import Terminal
from bench.run.conductor import Options, run_study
from bench.run.planning import prepare
from bench.store import Store

CLASSES, EACH = 120, 10
QUIET = Terminal(quiet=True)


def test_a_study_of_more_than_a_hundred_classes_runs_and_is_reported(tmp_path: Path) -> None:
    labels = np.arange(CLASSES * EACH) % CLASSES
    images = np.random.default_rng(0).integers(0, 256, (len(labels), 16, 16, 3), np.uint8)
    np.savez(tmp_path / "cells.npz", images=images, labels=labels)
    study, machine = write_study(tmp_path), machine_in(tmp_path)
    text = study.read_text().replace("n_images = 120\n", "").replace('"synthetic"', '"npz:cells.npz"', 1)
    study.write_text(text)
    assert f"{CLASSES} classes" in as_text(inspect(str(study), None, machine, QUIET))
    assert "local: 1,200 files or images found, 1,200 used" in plan_text(study, machine, False)
    assert run_study(study, machine, Options(), QUIET).failures == []
    (run, *_) = prepare(study, machine).runs
    store = Store(machine.results)
    record = store.read(run.trial.id)
    assert record is not None
    assert len(record.classes) == CLASSES
    (recalls,) = record.recalls.values()
    assert len(recalls) == CLASSES, "every class has a test image"
    (said,) = [p for key, p in store.predictions(run.trial.id).items() if key in record.scores]
    assert said.probabilities.shape == (CLASSES, CLASSES), "a tenth of the images"
    assert np.allclose(said.probabilities.sum(1, dtype=np.float32), 1, atol=5e-3)
    report = (machine.results / "tiny" / "report.md").read_text()
    assert all(f"| class {k} |" in report for k in range(CLASSES))
    assert (machine.results / "tiny" / "report.html").stat().st_size < 4_000_000
