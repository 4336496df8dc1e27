"""What came of it: ``report``, ``compare``, ``show``, ``explain``, ``export``, ``predict``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from bench.cli.options import Device, Json, OneStudy, Quiet, Results, machine_of, path_of
from bench.errors import shown


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

    machine, wanted = machine_of(results=results), parse_formats(formats)
    asked = Wanted(wanted, check=check, no_cost=no_cost)
    stale = reports(studies or [], machine, asked, reference=results is None)
    raise typer.Exit(1 if stale else 0)


def compare(
    first: Annotated[str, typer.Argument(help="A study's file or name, or STUDY/ARM.", show_default=False)],
    second: Annotated[str, typer.Argument(help="The other one, likewise.", show_default=False)],
    results: Results = None,
    as_json: Json = False,
) -> None:
    """Put two studies side by side: arms scored on the same images, differences, what else differs.

    From records alone. Arms of one name are compared, else the two baselines; STUDY/ARM names any.
    """
    from bench.commands import compare as commands

    text = commands.side_by_side(first, second, machine_of(results=results), as_json=as_json)
    print(shown(text, as_json=as_json))


def show(
    trial: Annotated[str, typer.Argument(help="A trial's id, or its first digits.")],
    results: Results = None,
    as_json: Json = False,
) -> None:
    """Show one trial: recipe, learning curve, scores, versions, and why it failed."""
    from bench.commands import show as commands

    print(shown(commands.trial(trial, machine_of(results=results), as_json=as_json), as_json=as_json))


def explain(
    study: OneStudy,
    arm: Annotated[
        str, typer.Option("--arm", help="Arm to look at.  \\[default: the first with finished trials]")
    ] = "",
    against: Annotated[str, typer.Option("--against", help="Arm beside it.  \\[default: the baseline]")] = "",
    scored: Annotated[
        str,
        typer.Option(
            "--set",
            help="local, or the name of a hidden set.  \\[default: local, or the first there is]",
        ),
    ] = "",
    seed: Annotated[
        int | None,
        typer.Option(
            "--seed", help="Whose images to show.  \\[default: the first both finished]", show_default=False
        ),
    ] = None,
    fold: Annotated[
        int | None,
        typer.Option("--fold", help="The same, of folds instead of seeds.", show_default=False),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(
            "--out", help="Folder for the page.  \\[default: results/<study>/explain/]", show_default=False
        ),
    ] = None,
    smoke: Annotated[bool, typer.Option("--smoke", help="Look at the smoke run of the study.")] = False,
    results: Results = None,
    quiet: Quiet = False,
) -> None:
    """Write a page about two arms, image by image: flips, confident errors, Grad-CAM, reliability."""
    from bench.commands import explain as commands
    from bench.explain.pair import Asked
    from bench.progress.terminal import Terminal

    asked = Asked(arm, against, scored, seed, fold, smoke)
    print(shown(commands.explain(study, asked, machine_of(results=results), Terminal(quiet=quiet), out)))


def export(
    trial: Annotated[str, typer.Argument(help="A trial's id, or its first digits; for predictions a study.")],
    form: Annotated[
        str,
        typer.Option(
            "--format",
            help="safetensors, onnx or codabench; of a study predictions, as bench judge reads them.",
            metavar="FORMAT",
        ),
    ] = "safetensors",
    out: Annotated[
        Path | None,
        typer.Option(
            "--out",
            parser=path_of,
            metavar="PATH",
            help="Folder for the files.  \\[default: export/ beside the trial or the study]",
            show_default=False,
        ),
    ] = None,
    results: Results = None,
    quiet: Quiet = False,
) -> None:
    """Write a trained network in a form that others can use, checked against the trial's own network.

    Or, of a whole study, what its trials said of every image: a table, and what was asked of it.
    """
    from bench.commands import export as commands
    from bench.progress.terminal import Terminal

    for file in commands.export(trial, form, machine_of(results=results), Terminal(quiet=quiet), out):
        print(shown(file))


def predict(
    wanted: Annotated[
        str,
        typer.Argument(
            metavar="TRIAL_OR_ARM",
            help="A trial's id or its first digits; ARM or STUDY/ARM: the mean over its seeds.",
            show_default=False,
        ),
    ],
    source: Annotated[
        str,
        typer.Argument(
            help="Images to label: a folder (at any depth), a .csv with a column file, an .npz, or a source.",
            show_default=False,
        ),
    ] = "",
    scored: Annotated[
        str,
        typer.Option(
            "--scored",
            help="Instead, what was stored of a scored set: local, val or a hidden set's name.",
            show_default=False,
        ),
    ] = "",
    out: Annotated[
        Path | None,
        typer.Option(
            "--out",
            parser=path_of,
            metavar="PATH",
            help="CSV file.  \\[default: print it]",
            show_default=False,
        ),
    ] = None,
    results: Results = None,
    device: Device = None,
    quiet: Quiet = False,
) -> None:
    """Label images with trained networks: a row each, with its class and every class's probability.

    Images are read as they were for training. A file that cannot be read has a row that says why.
    """
    from bench.commands import predict as commands
    from bench.errors import UserError
    from bench.progress.terminal import Terminal

    if bool(source) == bool(scored):
        raise UserError("bench predict takes images to label, or --scored SET: one of them")
    machine, terminal = machine_of(results=results, device=device), Terminal(quiet=quiet)
    of = (machine, terminal, out)
    print(shown(commands.scored(wanted, scored, *of) if scored else commands.predict(wanted, source, *of)))
