"""Help to write a study, and with the machine: ``list``, ``new``, ``schema``, ``doctor``, ``clean``."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from bench.cli.options import Json, Results, WithStudy, machine_of
from bench.errors import shown
from bench.registry import REGISTRIES


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

    print(shown(components(kind, as_json=as_json, study=study), as_json=as_json))


def new(
    name: Annotated[str, typer.Argument(help="Name of the study; the file is ablations/NAME.toml.")],
    component: Annotated[
        bool,
        typer.Option("--component", help="Write ablations/NAME.py, an augmentation of your own."),
    ] = False,
    source: Annotated[
        str,
        typer.Option(
            "--from",
            metavar="SOURCE",
            help="Look at images and write a study that suits them: folder:, csv:, parquet: or npz:PATH.",
            show_default=False,
        ),
    ] = "",
    hidden: Annotated[
        list[str] | None,
        typer.Option(
            "--hidden",
            metavar="SOURCE",
            help="With --from: images of another laboratory; several times for several.",
            show_default=False,
        ),
    ] = None,
    upright: Annotated[
        bool,
        typer.Option("--upright", help="With --from: the images have an up, so none is turned."),
    ] = False,
) -> None:
    """Write a commented study to start from; with --from one that suits your images."""
    from bench.commands import scaffold
    from bench.errors import UserError
    from bench.progress.terminal import Terminal

    if (component and source) or ((hidden or upright) and not source):
        raise UserError(
            "--hidden and --upright go with --from SOURCE, the images to train on; --component with none"
        )
    if source:
        wanted = scaffold.Wanted(source, hidden or (), upright)
        file = scaffold.suited(name, Path.cwd(), wanted, machine_of(), Terminal().note)
        print(shown(file))
        print(
            shown(
                f"next:  bench plan {file} --probe   (what it would train, and how long that takes here)\n"
                f"       bench run {file}            (trains it; interrupted and run again, it goes on)"
            ),
            file=sys.stderr,
        )
        return
    file = scaffold.new(name, Path.cwd(), component=component)
    print(shown(file))
    if component:
        print(
            shown(f'in a study beside it:  uses = ["{file.name}"]   augment = ["{file.stem}"]'),
            file=sys.stderr,
        )


def schema(study: WithStudy = None) -> None:
    """Print the study file's JSON Schema, with which an editor completes and checks keys."""
    from bench.commands import scaffold
    from bench.study.read import load

    if study:
        load(study)
    print(shown(scaffold.schema(), as_json=True))


def doctor(results: Results = None) -> None:
    """Check this machine: device, versions, disk, folders that can be written."""
    from bench.commands.doctor import examine

    text, well = examine(machine_of(results=results))
    print(shown(text))
    raise typer.Exit(0 if well else 2)


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
    print(shown(commands.clean(machine_of(results=results), wanted, delete=yes)))
