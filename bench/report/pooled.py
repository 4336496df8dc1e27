"""The page on all data sets of a study, in every format: what ``report`` does for one of them."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace
from typing import TYPE_CHECKING

from bench.report import POOLED, USUAL, Views, present, stamps, unwritten, write_files, write_index

NARROW = "@media (max-width:40rem){#figure-forest svg{max-width:100%}}"
"""On a phone the figure is shown whole."""

if TYPE_CHECKING:
    from bench.judge.pooling import Together
    from bench.store import Store


def build(name: str, store: Store) -> Together:
    """Everything the page says. Raises UserError where none of its data sets was run."""
    from bench.judge import pooling

    return pooling.together(name, store)


def files(document: Together, formats: Collection[str], *, cost: bool = True) -> dict[str, str]:
    """Every file of it in these formats: path inside the study's folder → text. ``cost=False``: no times."""
    from bench.judge.tables.pooled import tables
    from bench.report import latex, page, spreadsheet, text
    from bench.report.forest import forest
    from bench.report.naming import plain

    found: dict[str, str] = {}
    made = tables(document, cost=cost)
    assert tuple(made) == POOLED, "what is written is known to be ours"
    if "csv" in formats:
        found |= {f"tables/{k}.csv": spreadsheet.spell(spreadsheet.lines(t.filed)) for k, t in made.items()}
    if "tex" in formats:
        found |= {
            f"tables/{k}.tex": latex.tabular(t.shown, document.study)
            for k, t in made.items()
            if t.rows and k != "parts"
        }
    drawn = [figure for figure in [forest(document)] if figure]
    if "html" in formats or "svg" in formats:
        found |= {f"figures/{figure.name}.svg": figure.file() for figure in drawn}
    values = {"d": document, "t": made, "cost": cost}
    if "html" in formats:
        called = {"name": lambda label: plain(document.called(label).name)}
        found["report.html"] = page.filled("pooled.html.j2", NARROW, figures=drawn, **values, **called)
    if "md" in formats:
        called = {"name": lambda label: text.md(document.called(label).name)}
        found["report.md"] = text.tidy(text.template("pooled.md.j2").render(**values, **called))
    return found


def views(name: str, store: Store) -> Views:
    """Write the page and the folder's index, where records say otherwise now.

    Raises UserError where none of its data sets was run.
    """
    from bench.judge import whole
    from bench.report import brief, made

    folder = store.study_dir(name)
    of = made.of_all(folder, map(store.study_dir, whole.parts(name, store)))
    kept = made.read(folder)
    if kept and of == kept.of and kept.files == stamps(folder) and (store.root / made.INDEX).is_file():
        return Views(kept.verdicts, ())
    document = build(name, store)
    found = Views(brief.means(document), ())
    wanted = [*USUAL, *(each for each in present(folder) if each not in USUAL)]
    try:
        write_files(files(document, wanted), folder, store, USUAL)
        write_index(store)
    except OSError as error:
        return replace(found, failures=(unwritten(error, name),))
    if of:
        made.write(made.Made(of=of, files=stamps(folder), verdicts=found.verdicts, gates=()), folder, store)
    return found
