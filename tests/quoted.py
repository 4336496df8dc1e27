"""What pages quote of reports: numbers on a page, each with the reports that it must stand in."""

from __future__ import annotations

import csv
import functools
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path

NUMBER = r"[+−]?\d(?:[\d,]*\d)?(?:\.\d+)?"
BETWEEN = rf"\[(?:{NUMBER}), (?:{NUMBER})\]"
KINDS = {
    "difference": re.compile(rf"(?<![\w.]){NUMBER} {BETWEEN}"),
    "interval": re.compile(BETWEEN),
    "score": re.compile(rf"(?<![\w.]){NUMBER} ± {NUMBER}"),
    "number": re.compile(rf"(?<![\w.\-/−+]){NUMBER}(?![\w/])"),
}
"""What a number may be part of, the longer first."""
MEASURED = re.compile(r"\s*(?:%|points?\b|per cent\b)")
"""Behind a whole number of a sentence, which is looked up then."""
LINK = re.compile(r"\]\(((?:\.\./)?results/reference/[\w-]+/report\.md)(?:#[\w-]*)?\)")
NO_NUMBERS = re.compile(
    r"`[^`]*`|\]\([^)]*\)|\[\d[^\]]*\](?=\()|<[^>]*>|MobileNetV2 (?:0\.35|1\.0)|95 %(?= interval)"
)
"""Code, targets of links, identifiers, and names that look like numbers."""
RAW = ("results.csv", "candidates.csv", "trials.csv")
"""Tables of single runs, where nearly any number could be found."""

Values = tuple[float, ...]


@dataclass(frozen=True)
class Quote:
    """A number, or several that belong together, on a page."""

    page: Path
    line: int
    text: str
    kind: str
    sentence: str
    reports: tuple[Path, ...]
    """Where it may stand: those that its row links to, or its section, or the nearest above that does."""
    column: str = ""
    """Heading of its column, in a table."""

    @property
    def values(self) -> tuple[tuple[float, int], ...]:
        """Each number, and how many decimals it is written with; of one alone its size."""
        found = [_read(text) for text in re.findall(NUMBER, self.text)]
        return tuple(
            (abs(value), decimals) if self.kind == "number" else (value, decimals)
            for value, decimals in found
        )


def quotes(page: Path) -> list[Quote]:
    """All numbers of a page that are results: those with an interval or a deviation, those with decimals, per
    cents and points; whole numbers in tables of sections that link to a report."""
    found: list[Quote] = []
    for section in _sections(page.read_text("utf-8").split("\n")):
        head: list[str] = []
        for line, text in section.blocks:
            links, near = section.reports(text)
            reports = tuple((page.parent / link).resolve() for link in dict.fromkeys(links))
            whole = Quote(page, line, text, "", "", reports)
            cells = [cell.strip() for cell in text.strip("|").split("|")] if text.startswith("|") else []
            if not cells:
                head = []
                found += _quotes(whole, text, near=False)
            elif not head:
                head = cells
            else:
                for column, cell in zip(head, cells, strict=False):
                    found += _quotes(replace(whole, column=column), cell, near=near)
    return found


def _quotes(whole: Quote, text: str, *, near: bool) -> Iterator[Quote]:
    """The numbers of a paragraph, or of a cell of a row; whole ones without a unit only where ``near``."""
    rest = NO_NUMBERS.sub(lambda match: " " * len(match[0]), text.replace("**", "  "))
    for kind, pattern in KINDS.items():
        for match in pattern.finditer(rest):
            counts = kind == "number" and "." not in match[0] and not MEASURED.match(rest, match.end())
            if near or not counts:
                sentence = whole.text if whole.column else _sentence(text, match.start())
                yield replace(whole, text=match[0], kind=kind, sentence=sentence)
        rest = pattern.sub(lambda match: " " * len(match[0]), rest)


def _sentence(text: str, at: int) -> str:
    """The sentence of a paragraph that is written around ``at``."""
    ends = [0, *(match.end() for match in re.finditer(r"[.:;?!]\s+", text)), len(text)]
    return next(text[a:b].strip() for a, b in pairwise(ends) if a <= at < b)


@dataclass
class _Section:
    depth: int
    above: _Section | None
    blocks: list[tuple[int, str]]
    """Line and text of each paragraph, item of a list and row of a table."""
    links: list[str]
    """Those of the sections below it too."""

    def reports(self, block: str) -> tuple[list[str], bool]:
        """The nearest links to a report around ``block``; whether a section has them, or only the page.

        A table's row with a link is held to that alone, and its link holds for no other.
        """
        if block.startswith("|") and (own := LINK.findall(block)):
            return own, True
        of_all = [LINK.findall(text) for _, text in self.blocks if not text.startswith("|")]
        if own := [link for links in of_all for link in links]:
            return own, True
        section = self
        while not section.links and section.above:
            section = section.above
        return section.links, section.depth > 1


def _sections(lines: Sequence[str]) -> list[_Section]:
    found = [_Section(0, None, [], [])]
    code = False
    fresh = True
    for number, line in enumerate(lines, 1):
        code ^= line.startswith("```")
        if code or line.startswith("```"):
            continue
        if heading := re.match(r"(#+) ", line):
            above = found[-1]
            while above.above and above.depth >= len(heading[1]):
                above = above.above
            found.append(_Section(len(heading[1]), above, [], []))
        elif fresh or line.startswith(("|", "- ")) or not found[-1].blocks:
            found[-1].blocks += [(number, line)] * bool(line)
        else:
            at, text = found[-1].blocks[-1]
            found[-1].blocks[-1] = at, f"{text} {line.strip()}"
        fresh = not line or bool(heading) or line.startswith("|")
    for section in found:
        links = [link for _, text in section.blocks for link in LINK.findall(text)]
        holder: _Section | None = section
        while holder:
            holder.links += links
            holder = holder.above
    return found


def known(quote: Quote) -> bool:
    """Whether one of its reports says so, rounded as the quote is."""
    if quote.kind == "number":  # alone it is soon found: as it is printed, or not at all
        return any(quote.values[0] in _printed(report) for report in quote.reports)
    return any(_agrees(quote, values) for report in quote.reports for values in _said(report)[quote.kind])


def nearest(quote: Quote, count: int = 3) -> list[str]:
    """What its reports say that comes next to it."""
    written = [value for value, _ in quote.values]
    if quote.kind == "number":
        said = {(value,) for report in quote.reports for value, _ in _printed(report)}
    else:
        said = {values for report in quote.reports for values in _said(report)[quote.kind]}
    order = sorted(said, key=lambda values: sum(abs(a - b) for a, b in zip(values, written, strict=True)))
    return [_written(quote.kind, values) for values in order[:count]]


def _agrees(quote: Quote, values: Values) -> bool:
    return all(
        abs(value - said) <= 0.5 * 10.0**-decimals + 1e-9
        for (value, decimals), said in zip(quote.values, values, strict=True)
    )


def _written(kind: str, values: Values) -> str:
    numbers = [f"{value:.4g}".replace("-", "−") for value in values]
    if kind == "score":
        return " ± ".join(numbers)
    between = f"[{', '.join(numbers[-2:])}]"
    return {"difference": f"{numbers[0]} {between}", "interval": between}.get(kind, numbers[0])


def _text(report: Path) -> str:
    return re.sub(r"\*\*|\\|[§†‡]", "", report.read_text("utf-8"))


@functools.cache
def _printed(report: Path) -> set[tuple[float, int]]:
    """The size and the decimals of every number in a report's text."""
    numbers = map(_read, re.findall(NUMBER, _text(report)))
    return {(abs(value), decimals) for value, decimals in numbers}


@functools.cache
def _said(report: Path) -> dict[str, set[Values]]:
    """By kind, all that a report and its tables say; shares also in per cent."""
    text = _text(report)
    found: dict[str, set[Values]] = {
        kind: {tuple(_read(one)[0] for one in re.findall(NUMBER, match)) for match in pattern.findall(text)}
        for kind, pattern in KINDS.items()
    }
    for table in sorted((report.parent / "tables").glob("*.csv")):
        if table.name not in RAW:
            with table.open(encoding="utf-8", newline="") as file:
                for row in csv.DictReader(file):
                    _add(found, row)
    return found


def _add(found: dict[str, set[Values]], row: dict[str, str]) -> None:
    """What a table's row says: values, values with their deviation, values with their interval."""
    numbers = {
        name: float(cell) for name, cell in row.items() if re.fullmatch(r"-?[\d.]+(?:e-?\d+)?", cell or "")
    }
    for scale in (1.0, 100.0):
        for name, value in numbers.items():
            value *= scale
            if (deviation := numbers.get(f"{name}_sd")) is not None:
                found["score"].add((value, scale * deviation))
            stem = "" if name == "effect" and "low" in numbers else f"{name.removesuffix('_accuracy')}_"
            low, high = numbers.get(f"{stem}low"), numbers.get(f"{stem}high")
            if low is not None and high is not None:
                found["score"].add((value, scale * (high - low) / 2))
                found["difference"].add((value, scale * low, scale * high))
                found["interval"].add((scale * low, scale * high))


def _read(text: str) -> tuple[float, int]:
    """A number as written → its value and how many decimals it has."""
    return float(text.replace("−", "-").replace(",", "")), len(text.partition(".")[2])
