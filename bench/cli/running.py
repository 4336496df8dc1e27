"""What trains: ``run``; what it would train and how far it is: ``plan``, ``status``."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TextIO

import typer

from bench.errors import UserError, is_stop, raise_stop, shown

if TYPE_CHECKING:
    from bench.run.conductor import Ending
from bench.cli.options import (
    Address,
    Device,
    ExecutorName,
    Gang,
    Gates,
    Json,
    Quiet,
    Results,
    Smoke,
    Studies,
    Workers,
    hours_of,
    machine_of,
    seconds_of,
)


def run(
    studies: Studies,
    smoke: Smoke = False,
    results: Results = None,
    device: Device = None,
    executor: ExecutorName = None,
    workers: Workers = None,
    gang: Gang = None,
    address: Address = None,
    rescore: Annotated[
        bool,
        typer.Option(
            "--rescore",
            help="Train again what has no weights left to score an added hidden set.",
        ),
    ] = False,
    retry: Annotated[
        str,
        typer.Option(
            "--retry",
            help="Run failed trials again, by cause: error,oom. Killed ones run again by themselves.",
        ),
    ] = "",
    until: Annotated[
        str,
        typer.Option(
            "--until",
            help="decided: judge after 5, 8 and 12 seeds (the study's looks), stop what is decided.",
            show_default=False,
        ),
    ] = "",
    hours: Annotated[
        float | None,
        typer.Option(
            "--hours",
            parser=hours_of,
            metavar="HOURS",
            help="Begin no seed that is not expected to end within so many hours; report what there is.",
            show_default=False,
        ),
    ] = None,
    gate: Gates = None,
    timeout: Annotated[
        float | None,
        typer.Option(
            "--timeout",
            parser=seconds_of,
            metavar="TIME",
            help="Longest time a trial may take: 90s, 30m, 2h.  \\[default: no limit]",
            show_default=False,
        ),
    ] = None,
    max_failures: Annotated[
        int | None,
        typer.Option(
            "--max-failures",
            min=1,
            help="Stop after so many failed trials.  \\[default: never]",
            show_default=False,
        ),
    ] = None,
    quiet: Quiet = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print every event as a line of JSON.")] = False,
) -> None:
    """Train and score what a study still misses, then write its report.

    Run it again and it continues where it stopped; when all is done it returns at once.
    """
    import signal

    from bench.progress.terminal import Terminal, aside

    terminal = Terminal(quiet=quiet, as_json=as_json)
    with terminal.waiting("starting"):
        from bench.run import conductor, several
        from bench.run.crew import Patience
        from bench.run.hours import Budget

    signal.signal(signal.SIGTERM, raise_stop)  # as Ctrl-C does

    machine = machine_of(
        results=results, device=device, executor=executor, workers=workers, gang=gang, address=address
    )
    patience = Patience(timeout, max_failures)
    if until not in ("", "decided"):
        raise UserError(f'--until "{until}": must be decided')
    gates = tuple(gate or ())
    causes, budget = _causes(retry), Budget(hours)
    options = conductor.Options(smoke, rescore, causes, until == "decided", gates, patience, budget)
    code = 0
    for study in studies:
        try:
            with aside() as terminal.out:
                for each, ending in several.run_each(study, machine, options, terminal):
                    say_end(each, ending, quiet=quiet, as_json=as_json, out=terminal.out)
                    code = max(code, ending.exit_code)
        except KeyboardInterrupt as stopped:
            if not is_stop(stopped):
                raise RuntimeError("code of a component raised it, nobody asked to stop") from stopped
            what = f" ({stopped})" if str(stopped) else ""
            said = f"\ninterrupted{what}; finished trials are kept, the same command continues"
            print(shown(said), file=sys.stderr)
            raise typer.Exit(130) from None
    raise typer.Exit(code)


def say_end(study: Path, ending: Ending, *, quiet: bool, as_json: bool, out: TextIO | None = None) -> None:
    """Failures, a count and the verdicts to stderr, the report's place to ``out``, or stdout."""
    from bench.progress.screen import duration

    for failure in ending.failures:
        print(shown(f"failed: {failure}"), file=sys.stderr)
    for line in ending.gates:
        print(shown(f"gate does not hold: {line}"), file=sys.stderr)
    if ending.left:
        print(shown(f"{study.stem}: {ending.left}"), file=sys.stderr)
    if not quiet:
        others = f", {ending.elsewhere} in other runs" if ending.elsewhere else ""
        what = f"{ending.ran} trials in {duration(ending.seconds)}{others}"
        what = what if ending.ran or others else _idle(ending)
        print(shown(f"{study.stem}: {what}  ({_counted(ending.counts)})"), file=sys.stderr)
    if not as_json:
        if ending.report.is_file():
            print(shown(ending.report), file=out, flush=True)
        if not quiet:
            _say_verdicts(ending)
        return
    import json

    about = {"event": "report", "study": study.stem, "file": str(ending.report), "ran": ending.ran}
    about |= {"gates": list(ending.gates), "left": ending.left, "elsewhere": ending.elsewhere}
    about |= {"counts": dict(ending.counts)}
    print(shown(json.dumps(about, ensure_ascii=False), as_json=True), file=out, flush=True)


def _say_verdicts(ending: Ending) -> None:
    for line in ending.verdicts:
        print(shown(f"  {line}"), file=sys.stderr)
    page = ending.report.with_name("report.html")
    if page.is_file():
        print(shown(f"with figures: {page}"), file=sys.stderr)


def _causes(text: str) -> tuple[str, ...]:
    known = ("error", "oom", "killed", "timeout", "interrupted")
    causes = tuple(cause.strip() for cause in text.split(",") if cause.strip())
    for cause in causes:
        if cause not in known:
            raise UserError(f'--retry "{cause}": must be some of {", ".join(known)}')
    return causes


def _idle(ending: Ending) -> str:
    if ending.counts["failed"]:
        return "nothing new to run; --retry error,oom runs failed trials again"
    if ending.left:
        return "nothing was begun"
    return "nothing to do, all is done"


def _counted(counts: Any) -> str:
    order = ("done", "diverged", "failed", "unscored", "missing")
    return ", ".join(f"{counts[state]} {state}" for state in order if counts[state]) or "no trials"


def plan(
    studies: Studies,
    smoke: Smoke = False,
    results: Results = None,
    probe: Annotated[
        bool,
        typer.Option(
            "--probe", help="Build every arm and train a few steps of it: blocks, seconds, peak memory."
        ),
    ] = False,
    hours: Annotated[
        float | None,
        typer.Option(
            "--hours",
            parser=hours_of,
            metavar="HOURS",
            help="Show what so many hours could buy (arms, seeds, candidates, size), and which to take.",
            show_default=False,
        ),
    ] = None,
    device: Device = None,
    no_code: Annotated[
        bool,
        typer.Option("--no-code", help="Run none of the Python that a study names; say what goes unchecked."),
    ] = False,
    as_json: Json = False,
) -> None:
    """Show a study's arms and trials, and what is done already. Trains nothing, with --probe a few steps."""
    from bench.commands.plan import Together, plan_json, plan_text
    from bench.progress.terminal import Terminal, aside
    from bench.study.code import run_in, unread_in
    from bench.study.datasets import each_read, files, refuse_unlike
    from bench.study.read import Reading

    machine = machine_of(results=results, device=device)
    if no_code and hours is not None:
        raise UserError("--hours asks what trials take, which --no-code cannot know; give one of the two")
    if probe and no_code:
        raise UserError("--probe trains a few steps, which --no-code forbids; give one of the two")
    for named in studies:
        if len(parts := files(named)) > 1:  # mistakes of any first
            with aside():
                refuse_unlike(named, each_read(parts, Reading(named, unread_in if no_code else run_in)))
    for named in studies:
        together = Together()
        for study in files(named):
            about = Terminal().waiting(f"{study.stem}: reading the study, finding its images")
            with aside(), about:
                if as_json:
                    text = plan_json(study, machine, smoke, code=not no_code)
                else:
                    text = plan_text(study, machine, smoke, code=not no_code, together=together)
            if probe:
                from bench.commands import probe as commands

                text = commands.added(text, study, machine, smoked=smoke, as_json=as_json, hours=hours)
            elif hours is not None:
                from bench.commands import allocating

                text = allocating.added(text, study, machine, hours, smoked=smoke)
            print(shown(text, as_json=as_json))
        if together.sets > 1:
            print(shown(f"\n{together.line(named.stem)}"))


def status(
    studies: Annotated[
        list[Path] | None,
        typer.Argument(help="Study files or names.", show_default=False),
    ] = None,
    smoke: Annotated[bool, typer.Option("--smoke", help="Look at smoke runs instead.")] = False,
    curves: Annotated[
        bool, typer.Option("--curves", help="Also how the trials that run learn: validation accuracy.")
    ] = False,
    check: Annotated[
        bool,
        typer.Option("--check", help="Read every file of every trial, also those that seem unchanged."),
    ] = False,
    results: Results = None,
    as_json: Json = False,
) -> None:
    """Say what is done, failed (by cause), missing and running now; from any terminal, at any time.

    Without a study, for all of the results folder.
    """
    from bench.commands import status as commands

    machine = machine_of(results=results)
    asked = {"smoked": smoke, "curves": curves, "check": check}
    print(shown(commands.status(studies or [], machine, as_json=as_json, **asked), as_json=as_json))
