"""Numbers and verdicts that pages quote stand in the reports that they link to."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PAGES = [ROOT / "README.md", ROOT / "docs" / "reproduction.md"]
LINK = re.compile(r"\(((?:\.\./)?results/reference/[\w-]+/report\.md)\)")
DIFFERENCE = re.compile(r"[+−]?\d+(?:\.\d+)? \[−?\d+(?:\.\d+)?, −?\d+(?:\.\d+)?\]")
SCORE = re.compile(r"\d+(?:\.\d+)? ± \d+(?:\.\d+)?")
CLAIM = re.compile(r"\| (?P<says>[^|]+) \|.*\*\*(?P<verdict>supported|refuted|inconclusive)\*\*")


def blocks(page: Path) -> list[tuple[str, str]]:
    """(line, reports it may quote): a table's row with a link quotes that one, all else any linked one."""
    text = page.read_text("utf-8")
    everything = "\n".join(_report(page, link) for link in LINK.findall(text))
    found = []
    for line in text.split("\n"):
        links = LINK.findall(line) if line.startswith("|") else []
        found.append((line, "\n".join(_report(page, link) for link in links) or everything))
    return found


def _report(page: Path, link: str) -> str:
    return (page.parent / link).read_text("utf-8").replace("**", "").replace("\\", "")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_quoted_numbers_are_those_of_the_reports(page: Path) -> None:
    quoted = [
        (q, reports) for line, reports in blocks(page) for q in DIFFERENCE.findall(line) + SCORE.findall(line)
    ]
    assert len(quoted) > 10
    assert [number for number, reports in quoted if number not in reports] == []


def test_quoted_verdicts_are_those_of_the_reports() -> None:
    page = PAGES[1]
    claims = [(CLAIM.match(line), reports) for line, reports in blocks(page) if LINK.search(line)]
    found = [(claim, reports) for claim, reports in claims if claim]
    assert len(found) > 10
    missing = [c["says"] for c, reports in found if not re.search(_line(c), reports)]
    assert missing == []


def _line(claim: re.Match[str]) -> str:
    """How a report tells a claim's outcome; what more it tells, a page says in words of its own."""
    return rf"- {claim['verdict']}(, and more: [^—]+)? — {re.escape(claim['says'])} \(expects"
