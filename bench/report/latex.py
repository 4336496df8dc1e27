"""Tables as LaTeX, for papers: each needs the package booktabs and nothing else."""

from __future__ import annotations

import functools
import unicodedata

from bench.judge.findings import LONGEST_NAME, Document
from bench.judge.tables import tables as of
from bench.judge.tables.table import TEXT, Table
from bench.report.cells import Cell, rows
from bench.report.naming import plain

SPECIAL = {
    "\\": r"\textbackslash{}", "{": r"\{", "}": r"\}", "$": r"\$", "&": r"\&", "#": r"\#", "%": r"\%",
    "_": r"\_", "^": r"\textasciicircum{}", "~": r"\textasciitilde{}", "<": r"\textless{}",
    ">": r"\textgreater{}", "|": r"\textbar{}", '"': r"\textquotedbl{}", "`": r"\textasciigrave{}",
    "−": "$-$", "±": r"$\pm$", "×": r"$\times$", "Δ": r"$\Delta$", "δ": r"$\delta$", "σ": r"$\sigma$",
    "τ": r"$\tau$", "κ": r"$\kappa$", "λ": r"$\lambda$", "μ": r"$\mu$", "α": r"$\alpha$",
    "β": r"$\beta$", "χ": r"$\chi$",
    "†": r"$\dagger$", "‡": r"$\ddagger$", "…": r"\dots{}", "–": "--", "—": "---", "→": r"$\to$",
    "§": r"\S{}", "≥": r"$\ge$", "≤": r"$\le$", "·": r"$\cdot$",
}  # fmt: skip
WIDE = {"prose": "p{5cm}", "verdict": "p{3.2cm}"}
"""Columns whose text may take several lines."""


def tables(document: Document, *, cost: bool = True) -> dict[str, str]:
    """LaTeX text by table name, one ``tabular`` or two. ``cost=False``: nothing that equals may differ in."""
    made = {key: table for key, table in of(document, cost=cost).items() if not table.only_file}
    parts = {key: [table.shown, table.below] for key, table in made.items() if table.shown.rows}
    return {
        key: "\n".join(tabular(one, document.study) for one in of_key if one) for key, of_key in parts.items()
    }


def tabular(table: Table, study: str) -> str:
    """One table of a study, its note in front as a comment."""
    columns = [WIDE.get(c.kind, "l" if c.kind in TEXT else "r") for c in table.columns]
    lines = [
        f"% {plain(study)}, made by bench report; needs \\usepackage{{booktabs}}",
        *([f"% {plain(table.note)}"] if table.note else []),
        rf"\begin{{tabular}}{{{''.join(columns)}}}",
        r"\toprule",
        _row([tex(column.heading) for column in table.columns]),
        r"\midrule",
        *(_row(list(map(_cell, row))) for row in rows(table)),
        r"\bottomrule",
        r"\end{tabular}",
    ]
    return "\n".join(lines) + "\n"


def _row(cells: list[str]) -> str:
    """Behind the end of a row, a bracket or a star would be taken for its argument."""
    guard = "{}" if cells[0].startswith(("[", "*")) else ""
    return guard + " & ".join(cells) + r" \\"


def _cell(cell: Cell) -> str:
    words = tex(cell.text, 2000 if cell.column.kind == "prose" else 4 * LONGEST_NAME)
    return rf"\textbf{{{words}}} (baseline)" if cell.is_base else words


@functools.cache
def _letter(c: str) -> str:
    """One character: marked up, as it is, or (what no Latin font has) by its number."""
    if c in SPECIAL:
        return SPECIAL[c]
    if ord(c) < 0x250:  # Latin, with every accent
        return c if c.isprintable() else " "
    bare = unicodedata.normalize("NFKD", c)
    return bare if bare.isascii() and bare.isalnum() else f"[U+{ord(c):04X}]"


def tex(value: object, longest: int = 4 * LONGEST_NAME) -> str:
    """Any text as plain words of LaTeX, on one line."""
    line = plain(str(value))
    line = line if len(line) <= longest else line[: longest - 1] + "…"
    return "".join(map(_letter, line))
