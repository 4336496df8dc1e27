"""The command line: parse, print, exit code. Every command imports what it needs when it is called."""

from __future__ import annotations

import errno
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from bench.errors import UserError
from bench.registry import REGISTRIES, executors

if TYPE_CHECKING:
    from bench.machine import Machine
    from bench.run.conductor import Ending

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    help=(
        "Benchmark and ablation suite for image classification: which ingredient helped, by how much, and "
        "would it help again?\n\nA study is one TOML file. [bold]bench new NAME[/bold] writes one, "
        "[bold]bench run[/bold] trains it and writes the report; run again, it continues where it stopped."
    ),
)
data_app = typer.Typer(no_args_is_help=True, help="Images: sources, downloads, a look at them.")
app.add_typer(data_app, name="data")


def _version(asked: bool) -> None:
    if asked:
        from bench import __version__

        print(__version__)
        raise typer.Exit


@app.callback()
def _common(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    pass


def _found(study: Path) -> Path:
    from bench.study.read import find

    return find(study)


def _all_found(studies: list[Path]) -> list[Path]:
    return [_found(study) for study in studies]


Studies = Annotated[
    list[Path], typer.Argument(help="Study files (TOML).", show_default=False, callback=_all_found)
]
OneStudy = Annotated[Path, typer.Argument(help="A study file (TOML).", show_default=False, callback=_found)]
WithStudy = Annotated[
    Path | None,
    typer.Option(
        "--study",
        help="A study file, whose own code has further components.",
        show_default=False,
        callback=lambda study: study and _found(study),
    ),
]
Results = Annotated[
    Path | None, typer.Option("--results", help="Results folder.  [default: results/]", show_default=False)
]
Device = Annotated[
    str | None, typer.Option("--device", help="auto, cpu or cuda.  [default: auto]", show_default=False)
]
Workers = Annotated[
    int | None,
    typer.Option(
        "--workers",
        min=0,
        help="Trials at once; 0: one per core, or as many as fit a GPU.  [default: 0]",
        show_default=False,
    ),
]
ExecutorName = Annotated[
    str | None,
    typer.Option(
        "--executor",
        help=", ".join(f"{e.name} ({e.traits['where']})" for e in executors) + ".  [default: local]",
        show_default=False,
    ),
]
Address = Annotated[
    str | None,
    typer.Option(
        "--address",
        help="Ray cluster for --executor ray: auto, HOST:6379.  [default: start one here]",
        show_default=False,
    ),
]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Only results and errors.")]
Json = Annotated[bool, typer.Option("--json", help="Print data as JSON.")]
Smoke = Annotated[
    bool,
    typer.Option(
        "--smoke",
        help="Every arm on tiny synthetic images, two steps, one seed; results go to results/smoke-runs/.",
    ),
]


def main() -> None:
    """Entry point of ``bench``: 0 done, 1 trials failed, 2 the person must fix something, 130 interrupted."""
    try:
        app()
    except UserError as error:
        print(error, file=sys.stderr)
        sys.exit(2)
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES):
            raise
        print(f"{error.filename or 'a file'} cannot be written: {error.strerror}", file=sys.stderr)
        sys.exit(2)
    except BrokenPipeError:
        sys.stderr.close()  # the reader of our output left, as `| head` does


def _machine(**overrides: Any) -> Machine:
    from bench import machine

    for key, allowed in (("device", machine.DEVICES), ("executor", executors.names())):
        if overrides.get(key) not in (None, *allowed):
            raise UserError(f'--{key} "{overrides[key]}": must be one of {", ".join(allowed)}')
    return machine.load(Path.cwd(), overrides)


@app.command()
def run(
    studies: Studies,
    smoke: Smoke = False,
    results: Results = None,
    device: Device = None,
    executor: ExecutorName = None,
    workers: Workers = None,
    address: Address = None,
    rescore: Annotated[
        bool, typer.Option("--rescore", help="Train again what a new hidden set cannot be scored from.")
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
    timeout: Annotated[
        str,
        typer.Option("--timeout", help="Longest time a trial may take: 90s, 30m, 2h.  [default: no limit]"),
    ] = "",
    max_failures: Annotated[
        int | None,
        typer.Option(
            "--max-failures",
            min=1,
            help="Stop after so many failed trials.  [default: never]",
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

    from bench.progress.terminal import Terminal
    from bench.run import conductor
    from bench.run.crew import Patience, seconds_of

    signal.signal(signal.SIGTERM, lambda *_: signal.raise_signal(signal.SIGINT))  # stop as Ctrl-C does

    machine = _machine(results=results, device=device, executor=executor, workers=workers, address=address)
    patience = Patience(seconds_of(timeout) if timeout else None, max_failures)
    if until not in ("", "decided"):
        raise UserError(f'--until "{until}": must be decided')
    options = conductor.Options(smoke, rescore, _causes(retry), until == "decided", patience)
    code = 0
    for study in studies:
        try:
            ending = conductor.run_study(study, machine, options, Terminal(quiet=quiet, as_json=as_json))
        except KeyboardInterrupt as stopped:
            what = f" ({stopped})" if str(stopped) else ""
            print(
                f"\ninterrupted{what}; finished trials are kept, the same command continues", file=sys.stderr
            )
            raise typer.Exit(130) from None
        _say_end(study, ending, quiet=quiet, as_json=as_json)
        code = max(code, ending.exit_code)
    raise typer.Exit(code)


def _say_end(study: Path, ending: Ending, *, quiet: bool, as_json: bool) -> None:
    """Failures, a count and the verdicts to stderr, the report's place to stdout."""
    from bench.progress.screen import duration

    for failure in ending.failures:
        print(f"failed: {failure}", file=sys.stderr)
    if not quiet:
        what = f"{ending.ran} trials in {duration(ending.seconds)}" if ending.ran else _idle(ending)
        print(f"{study.stem}: {what}  ({_counted(ending.counts)})", file=sys.stderr)
    if not as_json:
        print(ending.report, flush=True)
        if not quiet:
            _say_verdicts(ending)
        return
    import json

    about = {"event": "report", "study": study.stem, "file": str(ending.report), "ran": ending.ran}
    print(json.dumps(about | {"counts": dict(ending.counts)}, ensure_ascii=False))


def _say_verdicts(ending: Ending) -> None:
    for line in ending.verdicts:
        print(f"  {line}", file=sys.stderr)
    page = ending.report.with_name("report.html")
    if page.is_file():
        print(f"with figures: {page}", file=sys.stderr)


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
    return "nothing to do, all is done"


def _counted(counts: Any) -> str:
    order = ("done", "diverged", "failed", "unscored", "missing")
    return ", ".join(f"{counts[state]} {state}" for state in order if counts[state]) or "no trials"


@app.command()
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
    device: Device = None,
    no_code: Annotated[
        bool,
        typer.Option("--no-code", help="Run none of the Python that a study names; say what goes unchecked."),
    ] = False,
    as_json: Json = False,
) -> None:
    """Show a study's arms and trials, and what is done already. Trains nothing, with --probe a few steps."""
    from bench.commands.plan import plan_json, plan_text

    machine = _machine(results=results, device=device)
    if probe and no_code:
        raise UserError("--probe trains a few steps, which --no-code forbids; give one of the two")
    for study in studies:
        text = (plan_json if as_json else plan_text)(study, machine, smoke, code=not no_code)
        if probe:
            from bench.commands import probe as commands

            text = commands.added(text, study, machine, smoked=smoke, as_json=as_json)
        print(text)


@app.command()
def status(
    studies: Annotated[list[Path] | None, typer.Argument(help="Study files.", show_default=False)] = None,
    smoke: Annotated[bool, typer.Option("--smoke", help="Of the smoke runs.")] = False,
    results: Results = None,
    as_json: Json = False,
) -> None:
    """Say what is done, failed (by cause), missing and running now; from any terminal, at any time.

    Without a study, for all of the results folder.
    """
    from bench.commands import status as commands

    print(commands.status(studies or [], _machine(results=results), as_json=as_json, smoked=smoke))


@app.command()
def report(
    studies: Annotated[
        list[str] | None,
        typer.Argument(
            help="Study files or names; none: every study of the results folder.", show_default=False
        ),
    ] = None,
    results: Results = None,
    formats: Annotated[
        str,
        typer.Option(
            "--format",
            help="Some of md (csv comes with it), csv, tex, html, svg; what is there stays up to date too.",
            metavar="LIST",
        ),
    ] = "md",
    check: Annotated[
        bool, typer.Option("--check", help="Write nothing; fail when a report is not what its records say.")
    ] = False,
    no_cost: Annotated[
        bool,
        typer.Option(
            "--no-cost",
            help="Print the report without what equal runs may differ in: times, memory, machine, commit.",
        ),
    ] = False,
) -> None:
    """Write the report of studies from their records: no GPU, no data, no network."""
    from bench.commands.report import Wanted, reports
    from bench.report import parse_formats

    machine, wanted = _machine(results=results), parse_formats(formats)
    asked = Wanted(wanted, check=check, no_cost=no_cost)
    stale = reports(studies or [], machine, asked, reference=results is None)
    raise typer.Exit(1 if stale else 0)


@app.command()
def show(
    trial: Annotated[str, typer.Argument(help="A trial's id, or its first digits.")],
    results: Results = None,
    as_json: Json = False,
) -> None:
    """Show one trial: recipe, learning curve, scores, versions, and why it failed."""
    from bench.commands import show as commands

    print(commands.trial(trial, _machine(results=results), as_json=as_json))


@app.command()
def explain(
    study: OneStudy,
    arm: Annotated[
        str, typer.Option("--arm", help="Arm to look at.  [default: the first with finished trials]")
    ] = "",
    against: Annotated[str, typer.Option("--against", help="Arm beside it.  [default: the baseline]")] = "",
    scored: Annotated[str, typer.Option("--set", help="local, or the name of a hidden set.")] = "local",
    seed: Annotated[
        int | None,
        typer.Option(
            "--seed", help="Whose images to show.  [default: the first both finished]", show_default=False
        ),
    ] = None,
    fold: Annotated[int | None, typer.Option("--fold", help="The same of folds.", show_default=False)] = None,
    out: Annotated[
        Path | None,
        typer.Option(
            "--out", help="Folder for the page.  [default: results/<study>/explain/]", show_default=False
        ),
    ] = None,
    smoke: Annotated[bool, typer.Option("--smoke", help="Of the smoke run.")] = False,
    results: Results = None,
    quiet: Quiet = False,
) -> None:
    """Write a page about two arms, image by image: flips, confident errors, Grad-CAM, reliability."""
    from bench.commands import explain as commands
    from bench.explain.pair import Asked
    from bench.progress.terminal import Terminal

    asked = Asked(arm, against, scored, seed, fold, smoke)
    print(commands.explain(study, asked, _machine(results=results), Terminal(quiet=quiet), out))


@app.command()
def export(
    trial: Annotated[str, typer.Argument(help="A trial's id, or its first digits.")],
    form: Annotated[
        str, typer.Option("--format", help="safetensors, onnx or codabench.", metavar="FORMAT")
    ] = "safetensors",
    out: Annotated[
        Path | None,
        typer.Option(
            "--out", help="Folder for the files.  [default: results/trials/<id>/export/]", show_default=False
        ),
    ] = None,
    results: Results = None,
    quiet: Quiet = False,
) -> None:
    """Write a trained network in a form that others can use, checked against the trial's own network."""
    from bench.commands import export as commands
    from bench.progress.terminal import Terminal

    for file in commands.export(trial, form, _machine(results=results), Terminal(quiet=quiet), out):
        print(file)


@app.command("list")
def list_components(
    kind: Annotated[
        str,
        typer.Argument(help=", ".join(REGISTRIES) + "."),
    ] = "",
    study: WithStudy = None,
    as_json: Json = False,
) -> None:
    """List the components that a study or bench.toml can name, with their parameters."""
    from bench.commands.components import components

    print(components(kind, as_json=as_json, study=study))


@app.command()
def new(
    name: Annotated[str, typer.Argument(help="Name of the study; the file is ablations/NAME.toml.")],
    component: Annotated[
        bool,
        typer.Option("--component", help="Write ablations/NAME.py, an augmentation of your own."),
    ] = False,
) -> None:
    """Write a commented study to start from; with --component an augmentation for your studies."""
    from bench.commands import scaffold

    file = scaffold.new(name, Path.cwd(), component=component)
    print(file)
    if component:
        print(f'in a study beside it:  uses = ["{file.name}"]   augment = ["{file.stem}"]', file=sys.stderr)


@app.command()
def schema(study: WithStudy = None) -> None:
    """Print the study file's JSON Schema, with which an editor completes and checks keys."""
    from bench.commands import scaffold
    from bench.study.read import load

    if study:
        load(study)
    print(scaffold.schema())


@app.command()
def doctor(results: Results = None) -> None:
    """Check this machine: device, versions, disk, folders that can be written."""
    from bench.commands.doctor import examine

    text, well = examine(_machine(results=results))
    print(text)
    raise typer.Exit(0 if well else 2)


@app.command()
def clean(
    results: Results = None,
    stale: Annotated[
        bool, typer.Option("--stale", help="Trials of no study, made by other component versions.")
    ] = False,
    checkpoints: Annotated[bool, typer.Option("--checkpoints", help="What unfinished trials left.")] = False,
    weights: Annotated[
        bool, typer.Option("--weights", help="Weights: sets added later then need --rescore.")
    ] = False,
    smoke: Annotated[bool, typer.Option("--smoke", help="The results of smoke runs.")] = False,
    cache: Annotated[bool, typer.Option("--cache", help="Decoded images and downloads.")] = False,
    yes: Annotated[
        bool, typer.Option("--yes", "-y", help="Delete; without it, only say what would go.")
    ] = False,
) -> None:
    """Free disk space. Says what would go; deletes with --yes."""
    from bench.commands import clean as commands

    wanted = commands.Wanted(stale, checkpoints, weights, smoke, cache)
    print(commands.clean(_machine(results=results), wanted, delete=yes))


@data_app.command("list")
def data_list() -> None:
    """List the kinds of sources a study can name, and the folders bench.toml names."""
    from bench.commands.data import sources

    print(sources(_machine()))


@data_app.command("fetch")
def data_fetch(
    source: Annotated[str, typer.Argument(help="bloodmnist")] = "bloodmnist",
    size_px: Annotated[int, typer.Option("--size-px", min=16, help="Image size a study will ask for.")] = 96,
) -> None:
    """Download a source into the cache, with checksum and resume."""
    from bench.commands.data import fetch
    from bench.progress.terminal import Terminal

    print(fetch(source, size_px, _machine(), Terminal()))


@data_app.command("inspect")
def data_inspect(
    source: Annotated[
        str,
        typer.Argument(
            help="folder:PATH, npz:PATH, bloodmnist, synthetic, or a study file.",
            show_default=False,
        ),
    ],
    size_px: Annotated[
        int | None,
        typer.Option(
            "--size-px",
            min=16,
            max=1024,
            help="Size to look at them with.  [default: the study's, or 96]",
            show_default=False,
        ),
    ] = None,
    html: Annotated[
        Path | None,
        typer.Option("--html", help="Also write a page with the images in question.", show_default=False),
    ] = None,
    png: Annotated[
        Path | None,
        typer.Option(
            "--png", help="Also write a contact sheet of what would be dropped.", show_default=False
        ),
    ] = None,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Look at images: classes, sizes, copies, near-duplicates, suspects; what dropping outliers leaves."""
    from bench.commands import inspect as commands
    from bench.commands import inspect_page as pages
    from bench.progress.terminal import Terminal

    seen = commands.inspect(source, size_px, _machine(), Terminal(quiet=quiet))
    print(commands.as_json(seen) if as_json else commands.as_text(seen))
    for file, write in ((html, pages.write_html), (png, pages.write_png)):
        if file is not None:
            print(write(seen, file), file=sys.stderr if as_json else sys.stdout)


@data_app.command("preview")
def data_preview(
    study: OneStudy,
    out: Annotated[
        Path | None,
        typer.Option(
            "--out",
            help="Folder for the sheets.  [default: results/<study>/preview/]",
            show_default=False,
        ),
    ] = None,
    results: Results = None,
    quiet: Quiet = False,
) -> None:
    """Write contact sheets of what a study shows its models: splits, balance, augmentations, hidden sets."""
    from bench.commands.preview import preview
    from bench.progress.terminal import Terminal

    for file in preview(study, _machine(results=results), Terminal(quiet=quiet), out):
        print(file)
