"""The figures of a made-up study, and what is drawn in one."""

from __future__ import annotations

import xml.etree.ElementTree as ElementTree
from typing import Any

from bench.judge.pictures import gather
from bench.report import build
from bench.report.figures import figures
from bench.report.svg import Figure


def drawn(w: Any, plan: Any = None, **options: bool) -> dict[str, Figure]:
    """Every figure of a world (tests/worlds.py), by name."""
    plan = plan or w.plan
    document = build(w.study, plan, w.store)
    return {f.name: f for f in figures(document, gather(w.study, plan, w.store, document), **options)}


def elements(figure: Figure, name: str, kind: str = "") -> list[ElementTree.Element]:
    """SVG elements of a name, and of a class."""
    root = ElementTree.fromstring(f"<svg>{figure.body}</svg>")
    return [e for e in root.iter(name) if not kind or kind in e.get("class", "").split()]


def texts(figure: Figure) -> list[str]:
    """Words in the drawing."""
    return ["".join(e.itertext()) for e in elements(figure, "text")]


def tips(figure: Figure) -> list[str]:
    """Words under the pointer."""
    return ["".join(e.itertext()) for e in elements(figure, "title")]
