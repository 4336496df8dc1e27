"""A study of several data sets: each of its studies is run, then the page on all of them is written."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

from bench.errors import UserError
from bench.machine import Machine
from bench.progress.terminal import Terminal
from bench.report import pooled
from bench.run.conductor import Ending, Options, run_study
from bench.run.planning import Planning, TrialState, store_of
from bench.study import datasets
from bench.study.read import Reading


def run_each(
    path: Path, machine: Machine, options: Options, terminal: Terminal
) -> Iterator[tuple[Path, Ending]]:
    """Run a study, or that of each of its data sets and then make the page on all: file and ending of each.

    Raises UserError before the first trial of any.
    """
    read = Reading(path)  # once: the last data set may be begun days later
    parts = datasets.files(path, read.text)
    if parts == (path,):
        yield path, run_study(path, machine, options, terminal, read)
        return
    if options.until_decided:
        raise UserError(
            f"{path}: --until decided stops an arm where one data set has decided, and a mean over several "
            "needs them all\n"
            f"    run without it; or one data set by itself: bench run {parts[0].stem} --until decided"
        )
    with terminal.waiting(f"{path.stem}: reading the study, finding the images of {len(parts)} data sets"):
        look(path, parts, machine, read, smoked=options.smoke)
    endings = []
    for part in parts:
        endings.append(run_study(part, machine, options, terminal, read))
        yield part, endings[-1]
    yield path, _together(path, machine, endings, terminal, smoked=options.smoke)


def look(path: Path, parts: Sequence[Path], machine: Machine, read: Reading, *, smoked: bool = False) -> None:
    """Raise UserError for what the run of any data set would refuse, and for data sets that cannot be pooled.

    path, parts   the whole file, and what ``datasets.files`` makes of it
    read          the same, read
    """
    plannings = [Planning(part, machine, read=read, smoked=smoked) for part in parts]
    datasets.refuse_unlike(path, [each.study for each in plannings])
    for each in plannings:
        each.foresee(each.plan())


def _together(
    path: Path, machine: Machine, endings: Sequence[Ending], terminal: Terminal, *, smoked: bool
) -> Ending:
    """Write the page on all data sets."""
    store = store_of(machine, smoked=smoked)
    with terminal.waiting(f"{path.stem}: writing the page on all data sets"):
        made = pooled.views(path.stem, store)
    counts: Counter[TrialState] = sum((ending.counts for ending in endings), Counter())
    return Ending(
        report=store.study_dir(path.stem) / "report.md",
        counts=counts,
        ran=sum(ending.ran for ending in endings),
        seconds=sum(ending.seconds for ending in endings),
        failures=list(made.failures),
        verdicts=() if smoked else made.verdicts,
    )
