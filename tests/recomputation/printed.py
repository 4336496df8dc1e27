"""Reads what a report prints: cells and sentences, number by number, to the digits that are printed."""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from .check import Tally

NUMBER = r"[+−-]?(?:\d{1,3}(?:,\d{3})+|\d+)(?:\.\d+)?(?:e[+-]?\d+)?"
NOTHING = "–"


@dataclass(frozen=True)
class Text:
    """A text with numbers: `{}` in the template stands for each."""

    template: str
    numbers: tuple[float, ...] = ()

    @property
    def pattern(self) -> str:
        return f"({NUMBER})".join(re.escape(part) for part in self.template.split("{}"))

    def agrees(self, found: re.Match[str]) -> bool:
        """Whether the numbers that were found are these."""
        return all(
            rounds_to(value, printed) for value, printed in zip(self.numbers, found.groups(), strict=True)
        )

    def __str__(self) -> str:
        return self.template.format(*(f"{number:.6g}" for number in self.numbers))


def text(template: str, *numbers: float) -> Text:
    return Text(template, numbers)


def rounds_to(value: float, printed: str) -> bool:
    """Whether a number is the printed one, to the digits that are printed."""
    plain = printed.replace("−", "-").replace(",", "")
    mantissa, _, power = plain.partition("e")
    decimals = len(mantissa.partition(".")[2]) - int(power or 0)
    return abs(value - float(plain)) <= 0.5 * 10.0**-decimals * (1 + 1e-7) + 1e-12


Cell = Text | str | None
Columns = dict[str, Callable[[dict[str, Any]], Cell]]


def cell_agrees(printed: str, expected: Cell) -> bool:
    """Whether a printed cell says this."""
    if not isinstance(expected, Text):
        return printed == (NOTHING if expected is None else expected)
    found = re.fullmatch(expected.pattern, printed)
    return bool(found and expected.agrees(found))


@dataclass(frozen=True)
class Table:
    """A printed table: the rows that the records give and, by printed heading, what a cell has to say."""

    name: str
    rows: Sequence[dict[str, Any]]
    columns: Columns
    found_by: str
    """A heading that only this table of its section has."""


@dataclass(frozen=True)
class Line:
    """A sentence or list item that has to be there: it begins with `start`, and has these texts in it."""

    start: str
    texts: Sequence[Text | str] = ()


@dataclass
class Section:
    """What stands under one heading."""

    title: str
    lines: list[Line] = field(default_factory=list)
    tables: list[Table] = field(default_factory=list)


def plain(line: str) -> str:
    """Without Markdown's backslashes."""
    return re.sub(r"\\(.)", r"\1", line)


def cells(line: str) -> list[str]:
    return [plain(part.strip()) for part in re.split(r"(?<!\\)\|", line.strip())[1:-1]]


def check_table(printed: list[str], tables: list[Table], tally: Tally) -> None:
    """The lines of one printed table."""
    headings, rows = cells(printed[0]), [cells(line) for line in printed[2:]]
    table = next((one for one in tables if one.found_by in headings), None)
    if table is None:
        tally.uncovered += [f"row {i + 1}, {heading}" for i in range(len(rows)) for heading in headings]
        return
    if len(rows) != len(table.rows):
        tally.mismatched.append(f"{table.name}: {len(rows)} rows, from the records {len(table.rows)}")
    seen: dict[str, int] = {}
    names = []
    for heading in headings:  # two columns may be called alike: the second is "heading 2" here
        seen[heading] = seen.get(heading, 0) + 1
        names.append(heading if seen[heading] == 1 else f"{heading} {seen[heading]}")
    for i, (row, want) in enumerate(zip(rows, table.rows, strict=False)):
        for name, cell in zip(names, row, strict=True):
            place = f"{table.name}, row {i + 1}, {name}"
            if name in table.columns:
                expected = table.columns[name](want)
                tally.compare(place, cell_agrees(cell, expected), cell, str(expected))
            else:
                tally.uncovered.append(place)


def check_line(printed: str, lines: list[Line], constants: Sequence[str], tally: Tally) -> None:
    """One line that is no table's: every number in it must be accounted for.

    lines  those that have to be there; the one that this is, is taken out
    """
    rest = plain(printed)
    line = next((one for one in lines if rest.startswith(one.start)), None)
    if line is not None:
        lines.remove(line)
        tally.covered += 1
        rest = rest[len(line.start) :]
        for wanted in line.texts:
            found = re.search(wanted.pattern if isinstance(wanted, Text) else re.escape(wanted), rest)
            agrees = found is not None and (isinstance(wanted, str) or wanted.agrees(found))
            tally.compare(line.start.strip(), agrees, printed.strip(), str(wanted))
            if found:
                rest = f"{rest[: found.start()]} {rest[found.end() :]}"
    for constant in constants:
        rest = rest.replace(constant, "")
    if re.search(r"\d", rest):
        tally.uncovered.append(printed.strip())


def check_report(markdown: str, sections: dict[str, Section], constants: Sequence[str]) -> dict[str, Tally]:
    """A report against the sections that the records give; a tally for each section."""
    tallies = {title: Tally(f"report.md, {title or 'first screen'}") for title in sections}
    missing = {title: list(section.lines) for title, section in sections.items()}
    title, block = "", list[str]()
    for line in [*markdown.splitlines(), ""]:
        if line.startswith("|"):
            block.append(line)
            continue
        if title not in sections:
            sections = sections | {title: Section(title)}
        tally = tallies.setdefault(title, Tally(f"report.md, {title}"))
        if block:
            check_table(block, sections[title].tables, tally)
            block = []
        if line.startswith("## "):
            title = plain(line[3:])
        elif line.strip() and not line.startswith("# "):
            check_line(line, missing.setdefault(title, []), constants, tally)
    for name, lines in missing.items():
        tallies[name].mismatched += [f"not printed: {line.start.strip()}" for line in lines]
    return tallies
