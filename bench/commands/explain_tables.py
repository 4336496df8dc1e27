"""Tables and drawings of ``bench explain``: recall by class, confusion matrices, reliability."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from bench.explain.pair import Pair

if TYPE_CHECKING:
    from bench.explain.comparison import Which
    from bench.report.svg import Figure

STRONGEST = 0.5
"""Opacity of a full cell: text on it stays readable in both schemes."""


@dataclass(frozen=True)
class Table:
    """Rows of text under a head."""

    head: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


@dataclass(frozen=True)
class Tinted:
    """A number of a matrix, and how strongly it is tinted."""

    text: str
    tone: str
    """``good`` or ``bad``: a name of the palette."""
    strength: float
    """0 to STRONGEST."""


@dataclass(frozen=True)
class Matrix:
    """True classes down, answers across."""

    title: str
    classes: tuple[str, ...]
    cells: tuple[tuple[Tinted, ...], ...]


def recall_table(pair: Pair) -> Table:
    """Recall of each class for both arms, and the change: mean over seeds, and its range."""
    c, classes = pair.comparison, pair.classes
    before, after = c.recalls("reference"), c.recalls("arm")
    counts = np.bincount(c.labels, minlength=len(classes))
    many = len(pair.replicates) > 1
    head = ("class", "images", f"{pair.reference.label} %", f"{pair.arm.label} %", "change in points")
    rows = []
    for k in np.flatnonzero(counts):
        change = 100 * (after[:, k] - before[:, k])
        row = (
            classes[k],
            f"{counts[k]:,}",
            f"{100 * before[:, k].mean():.1f}",
            f"{100 * after[:, k].mean():.1f}",
            _signed(change.mean()),
        )
        rows.append((*row, f"{_signed(change.min())} to {_signed(change.max())}") if many else row)
    return Table((*head, "lowest to highest seed") if many else head, tuple(rows))


def _signed(points: float) -> str:
    text = f"{points:+.1f}".replace("-", "−")
    return "0.0" if text in ("+0.0", "−0.0") else text


def matrices(pair: Pair) -> tuple[Matrix, ...]:
    """What each arm takes each class for, and what the arm changes."""
    before, after = (pair.comparison.confusion(which) for which in ("reference", "arm"))
    over = f"images, all {len(pair.replicates)} seeds together" if len(pair.replicates) > 1 else "images"
    change = np.where(before.sum(1, keepdims=True) > 0, after - before, 0)
    return (
        Matrix(f"{pair.reference.label}, {over}", pair.classes, _counted(before)),
        Matrix(f"{pair.arm.label}, {over}", pair.classes, _counted(after)),
        Matrix(f"{pair.arm.label} minus {pair.reference.label}", pair.classes, _changed(change, before)),
    )


def _counted(counts: np.ndarray) -> tuple[tuple[Tinted, ...], ...]:
    """Counts (K, K), tinted by their share of the true class."""
    shares = counts / np.maximum(counts.sum(1, keepdims=True), 1)
    return tuple(
        tuple(
            Tinted(
                f"{n:,}" if n else "",
                "good" if i == j else "bad",
                _strength(shares[i, j] * (1 if i == j else 2)),
            )
            for j, n in enumerate(row)
        )
        for i, row in enumerate(counts)
    )


def _changed(change: np.ndarray, before: np.ndarray) -> tuple[tuple[Tinted, ...], ...]:
    """Changes (K, K), tinted by their share of the true class: more right or fewer wrong is good."""
    shares = np.abs(change) / np.maximum(before.sum(1, keepdims=True), 1)
    return tuple(
        tuple(
            Tinted(_whole(n), "good" if (n > 0) == (i == j) else "bad", _strength(4 * shares[i, j]))
            for j, n in enumerate(row)
        )
        for i, row in enumerate(change)
    )


def _whole(n: int) -> str:
    return f"{n:+,}".replace("-", "−") if n else ""


def _strength(share: float) -> float:
    return round(STRONGEST * min(1.0, float(share)), 3)


def reliability_figure(pair: Pair, which: Which) -> Figure:
    """Confidence against accuracy: the shown seed with points, the others as faint lines."""
    from bench.report.svg import Axes, Canvas, Scale, spelled

    label = pair.arm.label if which == "arm" else pair.reference.label
    diagrams = [pair.comparison.reliability(which, s) for s in range(len(pair.replicates))]
    shown = diagrams[pair.comparison.shown]
    low = min(0.9, *(float(min(d.confidence.min(), d.accuracy.min())) for d in diagrams))
    low = max(0.0, np.floor(10 * low) / 10)
    axes = Axes(Scale(100 * low, 100, 46, 346), Scale(100 * low, 100, 330, 30))
    canvas = Canvas()
    axes.draw(canvas, across="mean confidence of a bin, %", up="right answers, %")
    canvas.path("axis dash", [(46, 330), (346, 30)])
    for s, diagram in enumerate(diagrams):
        points = [
            (axes.x(100 * x), axes.y(100 * y))
            for x, y in zip(diagram.confidence, diagram.accuracy, strict=True)
        ]
        canvas.path("good line" if s == pair.comparison.shown else "plain faint", points)
    for x, y, n in zip(shown.confidence, shown.accuracy, shown.counts, strict=True):
        tip = f"{n:,} images: confidence {100 * x:.1f} %, right {100 * y:.1f} %"
        canvas.point("good dot", axes.x(100 * x), axes.y(100 * y), tip)
    eces = [100 * diagram.ece for diagram in diagrams]
    among = (
        f" ({spelled(round(min(eces), 1))} to {spelled(round(max(eces), 1))} over seeds)"
        if len(eces) > 1
        else ""
    )
    said = f"Expected calibration error {eces[pair.comparison.shown]:.1f} points{among}."
    return canvas.figure(
        (360, 372),
        f"reliability-{which}",
        label,
        alt=f"Reliability diagram of {label}. {said}",
        note=f"{said} Bins of equally many images; below the diagonal: surer than right.",
    )
