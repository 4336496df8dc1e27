"""The report: a pure function of the study, its plan and its records. No device, no network, no images.

``build`` gathers numbers and verdicts into a Document; ``markdown``, ``page``, ``tables`` and ``latex`` only
spell it. Nothing heavy is imported before a report is made.
"""

from __future__ import annotations

import functools
import itertools
import re
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from bench.briefs import Stamp
from bench.errors import UserError, did_you_mean

if TYPE_CHECKING:
    from bench.judge.findings import Document
    from bench.planned import PlanFile
    from bench.report.svg import Figure
    from bench.store import Store
    from bench.study.gates import Gate
    from bench.study.read import Study

FORMATS = ("md", "csv", "tex", "html", "svg")
"""``report.md``, ``tables/*.csv``, ``tables/*.tex``, ``report.html`` with ``figures/*.svg``, these alone."""
POOLED = ("pooled", "datasets", "parts")
"""Tables of a page on several data sets."""
USUAL = ("md", "csv", "html")
"""What ``bench run`` writes."""


def build(study: Study, plan: PlanFile, store: Store) -> Document:
    """Everything the report says, as numbers and plain text."""
    from bench.judge import assemble

    return assemble.build(study, plan, store)


def markdown(document: Document, *, cost: bool = True) -> str:
    """The report as text. ``cost=False`` leaves out what may differ between equal results."""
    from bench.report import text

    return text.markdown(document, cost=cost)


def verdicts(document: Document) -> tuple[str, ...]:
    """The report's findings as a terminal shows them: a line for each arm, of very many the first ones."""
    from bench.report import brief

    return brief.verdicts(document)


def lost_gates(document: Document, further: Iterable[Gate]) -> tuple[str, ...]:
    """A line for each gate that does not hold: the study's, and further ones about declared comparisons."""
    from bench.judge import gates
    from bench.report import brief

    rows = [*document.gates, *(gates.look(gate, document.comparisons) for gate in further)]
    return brief.gates([row for row in rows if row], document)


def write_index(store: Store) -> Path:
    """Write ``index.md``: the studies of a folder, who looked at which hidden set. Returns its path."""
    from bench.report import index

    return index.write_index(store)


def parse_formats(asked: str) -> tuple[str, ...]:
    """``md,html`` taken apart, with the csv that comes with md; UserError for what is none of FORMATS."""
    found = tuple(dict.fromkeys(part for part in asked.replace(" ", "").split(",") if part))
    unknown = [part for part in found if part not in FORMATS]
    if unknown or not found:
        wrong = unknown[0] if unknown else ""
        raise UserError(
            f'--format {asked!r}: "{wrong}" is no format\n    {did_you_mean(wrong, FORMATS)}\n'
            "    several go with commas between, as in md,html"
        )
    return (*found, "csv") if "md" in found and "csv" not in found else found


def files(
    study: Study,
    plan: PlanFile,
    store: Store,
    formats: Collection[str],
    *,
    cost: bool = True,
    document: Document | None = None,
) -> dict[str, str]:
    """Every file of a report in these formats: path inside the study's folder → text.

    document   what ``build`` made of the three, where someone has it already
    """
    from bench.judge import results
    from bench.report import latex, page, spreadsheet

    document = document or build(study, plan, store)
    found: dict[str, str] = {}
    if "csv" in formats:
        found |= {f"tables/{k}.csv": v for k, v in spreadsheet.tables(document, cost=cost).items()}
        found["tables/results.csv"] = spreadsheet.results(results.read(study, plan, store), cost=cost)
    if "tex" in formats:
        found |= {f"tables/{k}.tex": v for k, v in latex.tables(document, cost=cost).items()}
    if "html" in formats or "svg" in formats:
        drawings = _figures(study, plan, store, document, cost)
        found |= _drawn_files(drawings)
        if "html" in formats:
            found["report.html"] = page.page(document, drawings, cost=cost)
    if "md" in formats:
        found["report.md"] = markdown(document, cost=cost)
    return found


def _figures(study: Study, plan: PlanFile, store: Store, document: Document, cost: bool) -> Sequence[Figure]:
    from bench.judge import pictures
    from bench.report import figures

    return figures.figures(document, pictures.gather(study, plan, store, document), cost=cost)


def _drawn_files(drawings: Sequence[Figure]) -> dict[str, str]:
    """A file for each figure, also where long names of hidden sets begin alike, or differ in A and a only."""
    found: dict[str, str] = {}
    taken: set[str] = set()
    for figure in drawings:
        further = (f"{figure.name}-{n}" for n in itertools.count(2))
        name = next(n for n in itertools.chain([figure.name], further) if n.lower() not in taken)
        taken.add(name.lower())
        found[f"figures/{name}.svg"] = figure.file()
    return found


def write_report(
    study: Study,
    plan: PlanFile,
    store: Store,
    *,
    formats: Collection[str] = USUAL,
    cost: bool = True,
    document: Document | None = None,
) -> Path:
    """Write a report into the study's folder; returns the path of the last format's main file.

    What an earlier report left in another format is written anew too, so that no two files disagree.
    document   as in ``files``
    """
    folder = store.study_dir(study.name)
    wanted = [*formats, *(each for each in present(folder) if each not in formats)]
    return write_files(
        files(study, plan, store, wanted, cost=cost, document=document), folder, store, formats
    )


def write_files(made: Mapping[str, str], folder: Path, store: Store, formats: Collection[str]) -> Path:
    """Write a report's files in place of those that an earlier one left; returns the main file's path."""
    for old in ours(folder) - set(made):
        (folder / old).unlink(missing_ok=True)
    for name, text in made.items():
        store.write_text(folder / name, text)
    return folder / main_file(formats)


@dataclass(frozen=True)
class Views:
    """What came of making a study's report and the folder's index."""

    verdicts: tuple[str, ...]
    gates: tuple[str, ...]
    """A line for each that does not hold."""
    failures: tuple[str, ...] = ()
    """A line for each file that cannot be written: no trial is lost by that, and it can be made again."""


def views(study: Study, plan: PlanFile, store: Store, further: Sequence[Gate]) -> Views:
    """Write a study's report and the folder's index, made of records alone, where records say otherwise now.

    further   gates, as in ``lost_gates``
    """
    from bench.report import made

    folder = store.study_dir(study.name)
    of = made.ingredients(plan, store, map(repr, further))
    kept = made.read(folder)
    if kept and of == kept.of and kept.files == stamps(folder) and (store.root / made.INDEX).is_file():
        return Views(kept.verdicts, kept.gates)
    with store.steady():
        document = build(study, plan, store)
        failures = _write_views(study, plan, store, document)
    found = Views(verdicts(document), lost_gates(document, further), tuple(failures))
    if of and not failures:
        told = made.Made(of=of, files=stamps(folder), verdicts=found.verdicts, gates=found.gates)
        made.write(told, folder, store)
    return found


def stamps(folder: Path) -> dict[str, Stamp]:
    """What the disk says of a report's files."""
    names = sorted({*ours(folder), "report.md", "report.html"})
    return {name: at for name in names if (at := Stamp.of(str(folder / name)))}


def _write_views(study: Study, plan: PlanFile, store: Store, document: Document) -> list[str]:
    failures = []
    report = functools.partial(write_report, study, plan, store, document=document)
    writers: tuple[Callable[[], Path], ...] = (report, functools.partial(write_index, store))
    for write in writers:
        try:
            write()
        except OSError as error:
            failures.append(unwritten(error, study.name))
    return failures


def unwritten(error: OSError, name: str) -> str:
    """What is said of a view of a study that cannot be written."""
    what = f"{error.filename or name} cannot be written: {error.strerror or error}"
    return f"{what}; finished trials are kept, bench report {name} makes it again"


def main_file(formats: Collection[str]) -> str:
    """What to open first, of a report in these formats."""
    if "md" in formats:
        return "report.md"
    if "html" in formats:
        return "report.html"
    return "figures" if set(formats) == {"svg"} else "tables"


def present(folder: Path) -> list[str]:
    """Formats of which a study's folder has files."""
    patterns = {"md": "report.md", "csv": "tables/*.csv", "tex": "tables/*.tex", "html": "report.html"}
    found = [name for name, pattern in patterns.items() if any(folder.glob(pattern))]
    return [*found, "svg"] if any(name.endswith(".svg") for name in ours(folder)) else found


def differs(folder: Path, made: Mapping[str, str]) -> bool:
    """Whether a file that is there is not as it was made now, or of the figures some are there, some not."""
    there = ours(folder)
    drawn = {name for name in made if name.endswith(".svg")}
    if there - set(made) or (any(name.endswith(".svg") for name in there) and not drawn <= there):
        return True
    found = ((folder / name, text) for name, text in made.items() if (folder / name).is_file())
    return any(file.read_text("utf-8") != text for file, text in found)


def ours(folder: Path) -> set[str]:
    """Tables and figures in a study's folder that a report left; not those that people put there."""
    from bench.judge.tables import TABLES

    several = "local|corruptions|confusion|search|roc|precision|trend"
    figures = rf"effects|forest|ladder|seeds|cost|recall|curves|({several})-[\w-]+"
    wanted = rf"figures/({figures})\.svg|tables/({'|'.join((*TABLES, *POOLED))})\.(csv|tex)"
    found = (path.relative_to(folder).as_posix() for path in folder.glob("*/*.*"))
    return {name for name in found if re.fullmatch(wanted, name, re.ASCII)}
