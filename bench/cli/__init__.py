"""The command line: parse, print, exit code. Every command imports what it needs when it is called."""

from __future__ import annotations

import gc
import signal
import sys
from collections.abc import Callable
from typing import Annotated

import typer

from bench.cli import data, helping, judging, looking, running
from bench.errors import UserError, raise_stop, shown
from bench.files import BROKEN, IN_THE_WAY, REFUSED

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
    epilog=(
        "Exit codes: 0 done (a diverged trial is a result); 1 trials failed, or report --check found a stale "
        "report; 2 something to fix, which the message names; 3 a gate does not hold; 4 --hours ended a run "
        "before its last trial; 130 interrupted, the same command continues."
    ),
)
data_app = typer.Typer(no_args_is_help=True, help="Images: sources, downloads, a look at them.")
app.add_typer(data_app, name="data")


def _version(asked: bool) -> None:
    if asked:
        from bench import __version__

        print(shown(__version__))
        raise typer.Exit


@app.callback()
def _common(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    pass


COMMANDS: dict[str, Callable[..., None]] = {
    "run": running.run,
    "plan": running.plan,
    "status": running.status,
    "judge": judging.judge,
    "report": looking.report,
    "compare": looking.compare,
    "show": looking.show,
    "explain": looking.explain,
    "export": looking.export,
    "predict": looking.predict,
    "list": helping.list_components,
    "new": helping.new,
    "schema": helping.schema,
    "doctor": helping.doctor,
    "clean": helping.clean,
}
"""In the order of ``bench --help``."""
for name, command in COMMANDS.items():
    app.command(name)(command)
for name, command in data.COMMANDS.items():
    data_app.command(name)(command)


def main() -> None:
    """Entry point of ``bench``; ``bench --help`` has its exit codes."""
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, raise_stop)
    gc.set_threshold(50_000, 20, 20)  # plans of 30,000 trials are no garbage: a fifth of their time was this
    try:
        app()
    except UserError as error:
        print(shown(error), file=sys.stderr)
        sys.exit(2)
    except BrokenPipeError:
        sys.stderr.close()  # the reader of our output left, as `| head` does
    except OSError as error:
        if error.errno not in (*REFUSED, *BROKEN, *IN_THE_WAY):
            raise
        hint = "\n    move away what is there under that name" if error.errno in IN_THE_WAY else ""
        said = f"{error.filename or 'a file'} cannot be written: {error.strerror}{hint}"
        print(shown(said), file=sys.stderr)
        sys.exit(2)
