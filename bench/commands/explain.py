"""``bench explain``: two arms of a study side by side, image by image, from what their trials stored."""

from __future__ import annotations

from pathlib import Path

from bench.explain.pair import Asked, gather
from bench.machine import Machine
from bench.progress.terminal import Terminal
from bench.run.planning import prepare, store_of


def explain(path: Path, asked: Asked, machine: Machine, terminal: Terminal, out: Path | None = None) -> Path:
    """Write the page about two arms of the study at ``path``; returns its file. Raises UserError."""
    from bench.commands import explain_page

    store = store_of(machine, smoked=asked.smoked)
    pair = gather(prepare(path, machine, smoked=asked.smoked), asked, store)
    folder = out or store.study_dir(pair.study) / "explain"
    return explain_page.write(pair, folder, machine.cache, terminal)
