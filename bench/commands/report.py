"""``bench report``: reports from records alone."""

from __future__ import annotations

import contextlib
import functools
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from bench import report
from bench.commands.status import parts_of, planned, read_plan
from bench.errors import UserError, shown
from bench.judge import whole
from bench.judge.outcomes import LOST
from bench.judge.used import as_used
from bench.machine import Machine
from bench.report import pooled
from bench.run.planning import SMOKE_FOLDER
from bench.store import RECORD, Store


@dataclass(frozen=True)
class Wanted:
    """What is wanted of the reports."""

    formats: tuple[str, ...] = ("md", "csv")
    check: bool = False
    """Write nothing, compare."""
    no_cost: bool = False
    """Write nothing, print without what equal runs may differ in."""


def reports(studies: Sequence[str], machine: Machine, asked: Wanted, *, reference: bool) -> int:
    """Write (or check, or print without costs) the reports; return how many are stale or cannot be made.

    reference   with check and no study named: look at the committed results instead
    A name that ends in ``.toml`` or holds a slash is a file: its stem names the study.
    """
    store = Store(machine.results)
    if asked.check and not studies and reference and (machine.results / "reference").is_dir():
        store = Store(machine.results / "reference")
    asked_for = [Path(name).stem if name.endswith(".toml") else name for name in studies]
    asked_for = asked_for or [*planned(store), *whole.wholes(store), *whole.damaged(store)]
    names = list(dict.fromkeys(one for name in asked_for for one in (*parts_of(name, store), name)))
    if not names and not asked.check:
        raise UserError(f"{store.root} holds no study to report on; bench run STUDY makes one")
    stale = 0
    with store.steady():
        for name in names:
            try:
                with _written(name):
                    stale += _one(name, store, asked)
                _say_lost(name, store)
            except UserError as error:  # the others have reports all the same
                if len(names) == 1:
                    raise
                print(shown(f"{name}: {error}"), file=sys.stderr)
                stale += 1
        if asked.check:
            print(shown(f"{len(names)} reports of {store.root} checked, {stale} stale"), file=sys.stderr)
        elif not asked.no_cost:
            with _written(names[-1] if names else ""):
                index = report.write_index(store)
            store.briefs.keep()
            if not studies:
                print(shown(index))
    return stale


@contextlib.contextmanager
def _written(name: str) -> Iterator[None]:
    """Within, say of what cannot be written what a run says. Raises UserError."""
    try:
        yield
    except OSError as error:
        raise UserError(report.unwritten(error, name)) from None


def _say_lost(name: str, store: Store) -> None:
    """Which files of a study's trials are gone or damaged, by their sizes: the report goes without these."""
    plan = read_plan(name, store) if (store.study_dir(name) / "plan.json").is_file() else None
    trials = [(arm.label, trial) for arm in plan.arms for trial in arm.trials] if plan else []
    tried = [(search.arm, one) for search in plan.searches for one in search.tried] if plan else []
    trials += [(arm, trial) for arm, one in tried for trial in one.trials]
    for arm, trial in trials:
        record = store.brief(trial.id)
        of, folder = f"{name}: {arm}, seed {trial.seed}", store.trial_dir(trial.id)
        if record is not None and (part := store.lost(record, whole=False)):
            print(shown(f"{of}: {folder / part} {LOST}"), file=sys.stderr)
        for damage in store.damaged([trial.id]) if record is None else ():
            print(shown(f"{of}: {folder / RECORD} {damage.reason}; bench run mends it"), file=sys.stderr)


def _one(name: str, store: Store, asked: Wanted) -> bool:
    folder = store.study_dir(name)
    files = _of_all(name, store) if whole.parts(name, store) else _of_one(name, store)
    if asked.no_cost:
        _print(files(asked.formats, cost=False))
        return False
    if not asked.check:
        wanted = [*asked.formats, *(each for each in report.present(folder) if each not in asked.formats)]
        written = report.write_files(files(wanted), folder, store, asked.formats)
        there = written.is_file() or any(written.iterdir() if written.is_dir() else ())
        print(shown(written if there else f"{name}: no figures, for no trial has scores yet"))
        return False
    made = files({"md", *report.present(folder)})
    stale = not (folder / "report.md").is_file() or report.differs(folder, made)
    print(shown(f"{name}: {'stale, run bench report' if stale else 'as its records say'}"), file=sys.stderr)
    return stale


def _of_one(name: str, store: Store) -> Callable[..., dict[str, str]]:
    """Formats → the files of a study's report."""
    plan = read_plan(name, store)
    return functools.partial(report.files, as_used(plan, store), plan, store)


def _of_all(name: str, store: Store) -> Callable[..., dict[str, str]]:
    """The same of the page on several data sets."""
    return functools.partial(pooled.files, pooled.build(name, store))


def _print(files: Mapping[str, str]) -> None:
    """The report itself; of several files each under its name, but for the tables and figures beside it."""
    main = [text for file, text in files.items() if file in ("report.md", "report.html")]
    if len(main) == 1:
        print(shown(main[0]), end="")
        return
    for file, text in files.items():
        print(shown(f"==> {file} <==\n{text}"))


__all__ = ["SMOKE_FOLDER", "Wanted", "reports"]
