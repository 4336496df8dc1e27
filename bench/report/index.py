"""The index page of a results folder: its studies, and how often each hidden set was looked at."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from bench.judge import whole
from bench.judge.folder import Entry, boards, looks, looks_table, places, sound, studies_table
from bench.judge.tables.hidden import LOOKED
from bench.report.made import INDEX
from bench.report.text import grid, md
from bench.store import Store

NO_COMPARISON = (
    "Mean accuracy and its sd over finished seeds, arms of different studies on the same images. No "
    "comparison: these arms differ in more than one thing, and the first of many is there by luck too. "
    "Verdicts are in the studies."
)


def write_index(store: Store) -> Path:
    """Write ``index.md`` and return its path."""
    path = store.root / INDEX
    store.write_text(path, markdown(*sound(store), whole.wholes(store)))
    return path


def markdown(studies: Sequence[Entry], damaged: Sequence[str] = (), together: Sequence[str] = ()) -> str:
    """The page, always the same bytes.

    damaged    folders of studies whose plan cannot be read
    together   studies of several data sets, each of which is among ``studies``
    """
    found, seen = list(boards(places(studies))), looks(studies)
    parts = ["# Studies", grid(studies_table(studies))]
    if together:
        links = (f"[{md(name)}]({name}/report.md)" for name in together)
        parts.append(f"Several data sets, one verdict: {', '.join(links)}.")
    if damaged:
        parts.append(f"Left out, for their `plan.json` is damaged: {md(', '.join(damaged))}.")
    parts.append("## Best arms")
    for board in found:
        parts += [md(board.title), grid(board), board.note]
    parts.append(NO_COMPARISON if found else "No trial has finished.")
    parts.append("## Looks at hidden sets")
    counted = f"{LOOKED} `in all` counts different trials over all studies."
    parts += [grid(looks_table(seen)), counted] if seen else ["No hidden set was scored."]
    return "\n\n".join(filter(None, parts)) + "\n"
