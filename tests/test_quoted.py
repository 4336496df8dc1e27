"""Numbers and verdicts that pages quote stand in the reports that they link to."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from quoted import LINK, Quote, known, nearest, quotes

ROOT = Path(__file__).resolve().parent.parent
PAGES = [ROOT / "README.md", ROOT / "docs" / "reproduction.md"]
CLAIM = re.compile(r"\| (?P<says>[^|]+) \|.*\*\*(?P<verdict>supported|refuted|inconclusive)\*\*")
THEIRS = re.compile(r"\btheirs?\b")
"""In the heading of a column: the student report's, which is not in this repository."""
ELSEWHERE = {
    "the student report": {"38", "63", "68", "88.8", "95.15", "96.49"},
    "MedMNIST+, Doerrich et al. 2024": {
        *("94.9", "98.2", "98.5", "98.8", "91.9", "97.1", "98.3", "98.9"),
        *("78.1", "90.6", "96.0", "97.4"),
    },
}
"""Source → numbers that pages quote and no report here has; in prose."""


def unknown(page: Path) -> list[Quote]:
    """The numbers of a page that are nowhere."""
    listed = set().union(*ELSEWHERE.values())
    return [
        quote
        for quote in quotes(page)
        if not THEIRS.search(quote.column) and (quote.column or quote.text not in listed) and not known(quote)
    ]


def told(quote: Quote) -> str:
    """Where it stands, what was looked for, and what comes nearest."""
    where = f"{quote.page.name}:{quote.line}" + (f", column {quote.column!r}" if quote.column else "")
    names = ", ".join(report.parent.name for report in quote.reports) or "no report: link to one"
    said = "; ".join(nearest(quote))
    return f"{where}: {quote.text} is not in {names}\n    {quote.sentence}\n    nearest: {said}"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_quoted_numbers_are_those_of_the_reports(page: Path) -> None:
    found = quotes(page)
    for kind, least in (("difference", 8), ("score", 20)):
        assert sum(quote.kind == kind for quote in found) >= least, f"{page.name} quotes no {kind}s any more"
    missing = [told(quote) for quote in unknown(page)]
    assert not missing, "\n".join([*missing, "mend the page, or say in ELSEWHERE where the number is from"])


def test_numbers_from_elsewhere_are_still_quoted() -> None:
    quoted = {quote.text for page in PAGES for quote in quotes(page)}
    assert {source: unused for source, all in ELSEWHERE.items() if (unused := all - quoted)} == {}


@pytest.mark.parametrize(
    ("right", "wrong"),
    [
        ("−3.4 [−6.6, −0.3]", "−3.4 [−6.6, −0.2]"),
        ("−8.7 [−12.2, −5.2]", "8.7 [5.2, 12.2]"),
        ("92.0 ± 2.1", "92.0 ± 2.2"),
        ("−3 [−7, 0]", "−4 [−7, 0]"),
        ("it is 91.2 here", "it is 91.27 here"),
        ("| arm | x |\n| -- | -- |\n| lion | 1,799 |", "| arm | x |\n| -- | -- |\n| lion | 1,798 |"),
        ("of 32 % here", "of 97 % here"),
        ("with 7,654 images", "with 76.54 of them"),
    ],
)
def test_a_number_that_is_not_in_the_report_is_found(right: str, wrong: str, tmp_path: Path) -> None:
    link = _of(
        tmp_path, "lion", "91.2 %, 92.0 ± 2.1, 1,799 or 7,654; 32 of −3.4 [−6.6, −0.3], −8.7 [−12.2, −5.2]"
    )
    page = tmp_path / "page.md"
    for text, missing in ((right, 0), (wrong, 1)):
        page.write_text(f"# Page\n\n## Section\n\nSee {link}.\n\n{text}\n", "utf-8")
        assert len(unknown(page)) == missing, text
    assert "nearest: " in told(unknown(page)[0])


def test_a_section_is_held_to_the_reports_that_it_links_to(tmp_path: Path) -> None:
    lion, batch = _of(tmp_path, "lion", "52.4 ± 4.5"), _of(tmp_path, "batch", "40.5 ± 2.5")
    page = tmp_path / "page.md"
    page.write_text(
        f"# Page\n\n## One\n\n{lion} 52.4 ± 4.5\n\n### Below\n\nagain 52.4 ± 4.5\n\n"
        f"## Two\n\n{batch}\n\n| a | b |\n| -- | -- |\n| 52.4 ± 4.5 | {lion} |\n"
        "| 40.5 ± 2.5 | |\n",
        "utf-8",
    )
    assert unknown(page) == []
    page.write_text(page.read_text("utf-8").replace("40.5 ± 2.5", "52.4 ± 4.5"), "utf-8")
    assert [quote.line for quote in unknown(page)] == [18]


def _of(folder: Path, study: str, text: str) -> str:
    """A link to a report that says so."""
    report = folder / "results" / "reference" / study / "report.md"
    report.parent.mkdir(parents=True)
    report.write_text(text, "utf-8")
    return f"[{study}](results/reference/{study}/report.md)"


def test_quoted_verdicts_are_those_of_the_reports() -> None:
    page = PAGES[1]
    rows = [(CLAIM.match(line), LINK.search(line)) for line in page.read_text("utf-8").split("\n")]
    found = [(claim, _report(link[1])) for claim, link in rows if claim and link]
    assert len(found) > 10
    missing = [claim["says"] for claim, report in found if not re.search(_line(claim), report)]
    assert missing == []


def _report(link: str) -> str:
    return (PAGES[1].parent / link).read_text("utf-8").replace("**", "").replace("\\", "")


def _line(claim: re.Match[str]) -> str:
    """How a report tells a claim's outcome; what more it tells, a page says in words of its own."""
    return rf"- {claim['verdict']}(, and more: [^—]+)? — {re.escape(claim['says'])} \(expects"
