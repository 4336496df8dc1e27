"""A Document as Markdown."""

from __future__ import annotations

import functools
import re
from typing import TYPE_CHECKING

from bench.judge.findings import LONGEST_NAME, Document
from bench.judge.tables import tables
from bench.judge.tables.table import TEXT, Table
from bench.report import cells, glossary
from bench.report.templating import environment

if TYPE_CHECKING:
    from jinja2 import Template

LONGEST_TEXT = 2000


def markdown(document: Document, *, cost: bool = True) -> str:
    """The report, always the same bytes. ``cost=False``: without what may differ between equals."""
    text = template("report.md.j2").render(
        d=document,
        t=tables(document, cost=cost),
        words=glossary.words(document),
        cost=cost,
        name=lambda label: md(document.called(label).name),
    )
    return tidy(text)


def tidy(text: str) -> str:
    """A page without rows of empty lines."""
    return re.sub(r"\n{3,}", "\n\n", text).strip() + "\n"


@functools.cache
def template(name: str) -> Template:
    """A template of Markdown, with how each kind of value is spelled in it."""
    # The filter md escapes value by value; HTML's autoescape would not see a pipe or a newline.
    pages = environment("bench.report", autoescape=False)
    pages.filters |= {
        "md": md,
        "sentence": sentence,
        "long": functools.partial(md, longest=LONGEST_TEXT),
        "effect": cells.effect,
        "span": cells.span,
        "number": cells.number,
        "chance": cells.chance,
        "pct": cells.percent,
        "grid": grid,
    }
    return pages.get_template(name)


def grid(table: Table) -> str:
    """The rows of a table under their heads."""
    table = table.shown
    lines = [
        [md(column.heading) for column in table.columns],
        [":--" if column.kind in TEXT else "--:" for column in table.columns],
        *([_cell(cell) for cell in row] for row in cells.rows(table)),
    ]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _cell(cell: cells.Cell) -> str:
    if cell.column.kind == "link" and cell.value:
        return f"[{md(cell.value[0])}]({cell.value[1]})"
    longest = LONGEST_TEXT if cell.column.kind == "prose" else LONGEST_NAME * 4
    words = md(cell.words, longest) if cell.is_text else cell.words
    words = f"**{words}** (baseline)" if cell.is_base else words
    return f"{words} {md(cell.after)}".strip()


def md(text: object, longest: int = LONGEST_NAME * 4) -> str:
    """Any text as plain words on one line of Markdown: no markup, no HTML, no table cell of its own."""
    line = " ".join("".join(c if c.isprintable() else " " for c in str(text)).split())
    line = line if len(line) <= longest else line[: longest - 1] + "…"
    line = line.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    line = re.sub(r"([\\`*_\[\]|~$])", r"\\\1", line)
    return re.sub(r"^([#+-])|^(\d+)([.)])(?=\s)", lambda m: f"\\{m[1]}" if m[1] else f"{m[2]}\\{m[3]}", line)


def sentence(text: str) -> str:
    """Text with a capital and a full stop."""
    return md(text[:1].upper() + text[1:]) + "."
