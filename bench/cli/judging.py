"""What was trained elsewhere: ``judge``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from bench.cli.options import Gates, Quiet, Results, machine_of
from bench.cli.running import say_end


def judge(
    files: Annotated[
        list[Path],
        typer.Argument(
            metavar="FILE...",
            help="Predictions: .csv, .parquet, .npz; several, or a folder of them, make one study.",
            show_default=False,
        ),
    ],
    asked: Annotated[
        Path | None,
        typer.Option(
            "--with",
            metavar="TOML",
            help="What is asked of them.  \\[default: the .toml of FILE's name beside it]",
            show_default=False,
        ),
    ] = None,
    name: Annotated[
        str,
        typer.Option(
            "--name", help="What the study is called.  \\[default: as FILE or the folder]", show_default=False
        ),
    ] = "",
    gate: Gates = None,
    results: Results = None,
    quiet: Quiet = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print what came of it as a line of JSON.")] = False,
) -> None:
    """Judge training that is not bench's own, by its predictions: the same report.

    One row for each image and training run, with the columns

    \b
        arm, seed, image, label
        p_CLASS    for every class; or pred alone: no AUC, calibration, log loss
    and where there are some
    \b
        set        a test set of its own; local unless said
        group      patient, slide: images that belong together
        fold       of cross-validation, from 0
        condition  tells copies of one image apart
        status     diverged: a training run without answers, one row

    \b
        arm,seed,image,label,p_cat,p_dog
        plain,0,img_1.png,cat,0.91,0.09

    Seeds pair: seed 1 of two arms is one pair. Give every arm the same ones,
    three at least, better five. Every run must say every image of every set.
    What is missing or contradicts itself is refused at once, with its line.

    The TOML file may name question, baseline, primary (the SET.SCORE that
    decides), local (the set that is the local one), delta, scores, claims,
    gates, ensembles, ordered, as a study does. Write it before you look: what is
    declared after the first report has no verdict. docs/judge.md shows a
    Lightning, a timm and a Keras loop.
    """
    from bench.progress.terminal import Terminal

    terminal = Terminal(quiet=quiet, as_json=as_json)
    with terminal.waiting("starting"):
        from bench.run import judging

    machine = machine_of(results=results)
    ending = judging.judge(files, machine, judging.Wanted(asked, name, tuple(gate or ())), terminal)
    say_end(ending.report.parent, ending, quiet=quiet, as_json=as_json)
    raise typer.Exit(ending.exit_code)
