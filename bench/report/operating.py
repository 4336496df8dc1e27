"""ROC and precision–recall curves: what the thresholds of an arm can do for some classes against the rest."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from bench.judge.findings import Document
from bench.judge.pictures import Operating, Pictures
from bench.report.cells import percent
from bench.report.naming import Names, file_part, plain
from bench.report.svg import Axes, Canvas, Figure, Scale, cut

SIDE = 500
"""Of a figure of which two stand side by side."""
PANEL, GAP = 130.0, 34.0
COLUMNS = 3


def curves(document: Document, pictures: Pictures, names: Names) -> Iterator[Figure]:
    """Two figures for each of the classes asked about: a panel for each arm, the baseline behind."""
    for positive in dict.fromkeys(one.positive for one in pictures.operating):
        of = [one for one in pictures.operating if one.positive == positive]
        called = " or ".join(map(plain, positive))
        yield _roc(of, called, document, names)
        yield _precision(of, called, document, names)


def _roc(of: Sequence[Operating], called: str, document: Document, names: Names) -> Figure:
    canvas = Canvas()
    high = _panels(canvas, of, [one.roc for one in of], names, diagonal=True)
    least = [percent(_at(one.roc, 0.1)) for one in of]
    said = "; ".join(f"{names[one.arm]} {rate} %" for one, rate in zip(of, least, strict=True))
    return canvas.figure(
        (SIDE, high),
        f"roc-{file_part(called)}",
        f"ROC of {cut(called)} against the rest, on {plain(document.where)}",
        alt=f"ROC curves, a panel for each arm. Sensitivity at specificity 90 %: {said}.",
        note=f"Across: 1 − specificity, up: sensitivity, in %. Gray behind: the baseline. On the dashed line "
        f"nothing is told apart. Mean over finished {document.over} at equal specificity.{names.more}",
    )


def _precision(of: Sequence[Operating], called: str, document: Document, names: Names) -> Figure:
    canvas = Canvas()
    high = _panels(canvas, of, [one.precision for one in of], names)
    said = "; ".join(f"{names[one.arm]} {percent(_at(one.precision, 0.9))} %" for one in of)
    return canvas.figure(
        (SIDE, high),
        f"precision-{file_part(called)}",
        f"Precision and recall of {cut(called)}, on {plain(document.where)}",
        alt=f"Precision against recall, a panel for each arm. Precision at recall 90 %: {said}.",
        note=f"Across: recall, up: precision, in %. Gray behind: the baseline. {percent(of[0].share)} % of "
        f"the images are positive: that is the precision of calling every image so. Mean over finished "
        f"{document.over} at equal recall.{names.more}",
    )


def _at(points: Sequence[tuple[float, float]], x: float) -> float:
    """The value of the point nearest to ``x``, of several the last."""
    return min(reversed(points), key=lambda point: abs(point[0] - x))[1]


def _panels(
    canvas: Canvas,
    of: Sequence[Operating],
    lines: Sequence[Sequence[tuple[float, float]]],
    names: Names,
    *,
    diagonal: bool = False,
) -> float:
    """A panel for each arm; returns how high they are together."""
    base = next((line for one, line in zip(of, lines, strict=True) if one.arm == names.baseline), ())
    for n, (one, line) in enumerate(zip(of, lines, strict=True)):
        left, up = 30 + n % COLUMNS * (PANEL + GAP), 26 + n // COLUMNS * (PANEL + 48)
        x, y = Scale(0, 100, left, left + PANEL), Scale(0, 100, up + PANEL, up)
        canvas.text(left, up - 12, cut(names[one.arm], 18), "bold")
        Axes(x, y).draw(canvas, most=(3, 3))
        if diagonal:
            canvas.line("axis dash", x(0), y(0), x(100), y(100))
        if one.arm != names.baseline and base:
            canvas.path("plain faint", _scaled(base, x, y), names[names.baseline])
        canvas.path(f"{names.tone(one.arm)[0]} line", _scaled(line, x, y), names[one.arm])
    return 26 + -(-len(of) // COLUMNS) * (PANEL + 48)


def _scaled(line: Sequence[tuple[float, float]], x: Scale, y: Scale) -> list[tuple[float, float]]:
    return [(x(100 * a), y(100 * b)) for a, b in line]
