"""A Document and its figures as one HTML page: no other file, nothing from the network."""

from __future__ import annotations

import base64
import functools
import hashlib
import re
from collections.abc import Sequence
from importlib import resources
from typing import TYPE_CHECKING, Any

from bench.judge.findings import LONGEST_NAME, Document
from bench.judge.tables import tables
from bench.judge.tables.table import TEXT
from bench.report import cells, glossary
from bench.report.naming import file_part, plain, tone
from bench.report.svg import STYLE, Figure, palette
from bench.report.templating import environment

if TYPE_CHECKING:
    from jinja2 import Template
    from markupsafe import Markup

LONGEST_TEXT = 2000
COUNT = re.compile(r"\bn = (?=\d)")
FINDINGS = 8
"""Lines of the first screen; further arms stand behind a fold."""


def page(document: Document, figures: Sequence[Figure], *, cost: bool = True) -> str:
    """The page, always the same bytes. ``cost=False``: without what may differ between equals."""
    return filled(
        "page.html.j2",
        d=document,
        t=tables(document, cost=cost),
        words=glossary.words(document),
        figures=figures,
        timed={arm.label: arm for arm in document.arms if arm.slowdown and not document.ladder},
        cost=cost,
        name=lambda label: plain(document.called(label).name),
        MOST=FINDINGS,
    )


def filled(template: str, /, more: str = "", **values: Any) -> str:
    """A template of HTML filled in, with its script and style; more: rules behind those of every page."""
    style, script = _tidy(_style() + more), _tidy(_asset("page.js"))
    html = _template(template).render(
        **values,
        style=_safe(style),
        style_hash=_hash(style),
        script=_safe(script),
        script_hash=_hash(script),
        TEXT=TEXT,
    )
    return _tidy(html).strip() + "\n"


def _tidy(text: str) -> str:
    """Text without empty lines. Style and script first, then the page: their hashes must still fit."""
    return re.sub(r"\n\s*\n+", "\n", text)


def headings(sections: Markup) -> list[tuple[str, Markup]]:
    """(id, title) of what a reader may jump to."""
    found = re.findall(r'<section id="([^"]+)"><h2>(.*?)</h2>', sections)
    return [(id, _safe(title)) for id, title in found]


def _style() -> str:
    style = _asset("page.css").replace("__LIGHT__", palette(0)).replace("__DARK__", palette(1))
    return style.replace("__MARKS__", "\n".join(f"svg {rule}" for rule in _rules(STYLE)))


def _rules(style: str) -> list[str]:
    return [f"{rule}}}" for rule in style.split("}") if rule]


def _asset(name: str) -> str:
    return (resources.files("bench.report") / "templates" / name).read_text("utf-8")


def _hash(content: str) -> str:
    """What a Content-Security-Policy allows: this very text and no other."""
    return "sha256-" + base64.b64encode(hashlib.sha256(content.encode()).digest()).decode()


def _safe(content: str) -> Markup:
    """Our own text, which needs no escape."""
    from markupsafe import Markup

    return Markup(content)


def short(value: object, longest: int = 4 * LONGEST_NAME) -> str:
    """Any text on one line, cut where it is long; a number of images stays with its n."""
    line = COUNT.sub("n\u00a0=\u00a0", plain(str(value)))
    return line if len(line) <= longest else line[: longest - 1] + "…"


@functools.cache
def _template(name: str) -> Template:
    pages = environment("bench.report")
    pages.filters |= {
        "plain": short,
        "long": functools.partial(short, longest=LONGEST_TEXT),
        "sentence": lambda value: short(value[:1].upper() + value[1:], LONGEST_TEXT) + ".",
        "file_part": file_part,
        "tone": tone,
        "pct": cells.percent,
        "effect": cells.effect,
        "span": cells.span,
        "number": cells.number,
        "chance": cells.chance,
        "cells": cells.rows,
        "headings": headings,
    }
    return pages.get_template(name)
