"""``bench data``: sources, downloads, a look at images."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import typer

from bench.cli.options import Json, OneStudy, Quiet, Results, machine_of, path_of
from bench.errors import shown


def data_list() -> None:
    """List the kinds of sources a study can name, and the folders bench.toml names."""
    from bench.commands.data import sources

    print(shown(sources(machine_of())))


def data_fetch(
    source: Annotated[str, typer.Argument(help="bloodmnist; no other is downloaded.")] = "bloodmnist",
    size_px: Annotated[int, typer.Option("--size-px", min=16, help="Image size a study will ask for.")] = 96,
) -> None:
    """Download a source into the cache, with checksum and resume."""
    from bench.commands.data import fetch
    from bench.progress.terminal import Terminal

    print(shown(fetch(source, size_px, machine_of(), Terminal())))


def data_inspect(
    source: Annotated[
        str,
        typer.Argument(
            help="folder:, csv:, parquet: or npz:PATH, bloodmnist, synthetic, or a study file.",
            show_default=False,
        ),
    ],
    which: Annotated[
        str,
        typer.Option(
            "--set",
            help="Of a study, a hidden set's name; of a source, hidden: then it is one set, and not split.",
        ),
    ] = "local",
    size_px: Annotated[
        int | None,
        typer.Option(
            "--size-px",
            min=16,
            max=1024,
            help="Size to look at them with.  \\[default: the study's, or 96]",
            show_default=False,
        ),
    ] = None,
    html: Annotated[
        Path | None,
        typer.Option(
            "--html",
            parser=path_of,
            metavar="PATH",
            help="Also write a page with the images in question.",
            show_default=False,
        ),
    ] = None,
    png: Annotated[
        Path | None,
        typer.Option(
            "--png",
            parser=path_of,
            metavar="PATH",
            help="Also write a contact sheet of what would be dropped.",
            show_default=False,
        ),
    ] = None,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Look at images: classes, sizes, copies, near-duplicates, suspects; what dropping outliers leaves."""
    from bench.commands import inspect as commands
    from bench.commands import inspect_page as pages
    from bench.progress.terminal import Terminal

    seen = commands.inspect(source, size_px, machine_of(), Terminal(quiet=quiet), which)
    print(shown(commands.as_json(seen) if as_json else commands.as_text(seen), as_json=as_json))
    for file, write in ((html, pages.write_html), (png, pages.write_png)):
        if file is not None:
            print(shown(write(seen, file)), file=sys.stderr if as_json else sys.stdout)


def data_preview(
    study: OneStudy,
    out: Annotated[
        Path | None,
        typer.Option(
            "--out",
            parser=path_of,
            metavar="PATH",
            help="Folder for the sheets.  \\[default: results/<study>/preview/]",
            show_default=False,
        ),
    ] = None,
    results: Results = None,
    quiet: Quiet = False,
) -> None:
    """Write contact sheets of what a study shows its models: splits, balance, augmentations, hidden sets."""
    from bench.commands.preview import preview
    from bench.progress.terminal import Terminal

    for file in preview(study, machine_of(results=results), Terminal(quiet=quiet), out):
        print(shown(file))


COMMANDS: dict[str, Callable[..., None]] = {
    "list": data_list,
    "fetch": data_fetch,
    "inspect": data_inspect,
    "preview": data_preview,
}
"""In the order of ``bench data --help``."""
