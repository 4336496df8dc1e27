"""A Document and its figures as one HTML page: no other file, nothing from the network."""

from __future__ import annotations

import base64
import functools
import hashlib
import re
from collections.abc import Iterator, Sequence
from importlib import resources
from typing import TYPE_CHECKING

from bench.judge.findings import Document
from bench.report import text
from bench.report.naming import file_part, plain, replicates, tone
from bench.report.svg import STYLE, Figure, palette

if TYPE_CHECKING:
    from jinja2 import Template

LONGEST_TEXT = 2000
FINDINGS = 8
"""Lines of the first screen; further arms stand behind a fold."""


def page(document: Document, figures: Sequence[Figure], *, cost: bool = True) -> str:
    """The page, always the same bytes. ``cost=False``: without what may differ between equals."""
    names = {label: plain(name) for label, name in text.short_names([a.label for a in document.arms]).items()}
    ratios = _ratios(document) if cost else {}
    style, script = _tidy(_style()), _tidy(_asset("page.js"))
    head = document.rules.primary.partition(".")[0]
    html = _template().render(
        d=document,
        figures=figures,
        cost=cost,
        name=lambda label: names.get(label, plain(label)),
        over=replicates(document),
        where=head if head in document.sets else document.sets[0],
        ratios=ratios,
        price={label: f"Training takes ×{ratio:.2f} the baseline's time." for label, ratio in ratios.items()},
        sections=list(_sections(document)),
        style=_safe(style),
        style_hash=_hash(style),
        script=_safe(script),
        script_hash=_hash(script),
        MOST=FINDINGS,
    )
    return _tidy(html).strip() + "\n"


def _tidy(text: str) -> str:
    """Text without empty lines. Style and script first, then the page: their hashes must still fit."""
    return re.sub(r"\n\s*\n+", "\n", text)


def _sections(document: Document) -> Iterator[tuple[str, str]]:
    """(id, title) of what a reader may jump to."""
    if document.claims:
        yield "claims", "Claims"
    for id, title, there in (
        ("factors", "Factors", document.factor_effects),
        ("ingredients", "Added and removed", document.ingredients),
        ("ensembles", "Ensembles", document.ensembles),
    ):
        if there:
            yield id, title
    yield "scores", "Every set and score"
    for i, one in enumerate(document.corrupted, 1):
        yield f"corrupted-{i}", f"Corruptions of {one.name}"
    if document.classes:
        yield "classes", "Classes"
    if document.tuning:
        yield "tuning", "Tuning"
    yield from (
        ("trials", "Failures"),
        ("confounds", "What else differed"),
        ("costs", "Costs"),
        ("changes", "What each arm changed"),
        ("fixed", "Fixed settings"),
        ("made", "How it was made"),
        ("provenance", "Provenance"),
    )


def _ratios(document: Document) -> dict[str, float]:
    """Each other arm's training time over the baseline's."""
    base = next((arm.seconds for arm in document.arms if arm.is_baseline), None)
    if not base:
        return {}
    return {a.label: a.seconds / base for a in document.arms if a.seconds and not a.is_baseline}


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


def _safe(content: str) -> object:
    """Our own text, which needs no escape."""
    from markupsafe import Markup

    return Markup(content)


def long(value: object) -> str:
    """Any text on one line, cut where it is very long."""
    line = plain(str(value))
    return line if len(line) <= LONGEST_TEXT else line[: LONGEST_TEXT - 1] + "…"


def short(value: object) -> str:
    """A name on one line, cut where it is long."""
    line, longest = plain(str(value)), 4 * text.LONGEST_NAME
    return line if len(line) <= longest else line[: longest - 1] + "…"


@functools.cache
def _template() -> Template:
    from jinja2 import Environment, PackageLoader, StrictUndefined

    environment = Environment(
        loader=PackageLoader("bench.report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "plain": short,
        "long": long,
        "sentence": lambda value: long(value[:1].upper() + value[1:]) + ".",
        "file_part": file_part,
        "tone": tone,
        "pct": text.percent,
        "mean": text.mean,
        "score": text.score,
        "effect": text.effect,
        "ratio": text.ratio,
        "rho": text.rho,
        "width": text.width,
        "within": text.within,
        "count": text.seeds,
        "thousands": text.thousands,
    }
    return environment.get_template("page.html.j2")
