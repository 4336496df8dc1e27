"""The figures of ordered levels: how far each is from the first, and which may be the best."""

from __future__ import annotations

from collections.abc import Iterator

from bench.judge.findings import Document, Effect
from bench.judge.tables.ordered import Trend
from bench.report.cells import effect
from bench.report.naming import file_part, plain
from bench.report.svg import Axes, Canvas, Figure, Scale, cut, letters

WIDTH = 640
ROW = 26
BESIDE = 150
"""Room for numbers at the right, px."""


def trends(document: Document) -> Iterator[Figure]:
    """One for each ordered factor that was judged in points: a row for each level, the first at the top."""
    for one in document.trends:
        known = [step for step in one.steps if step]
        if known and len(known) == len(one.levels) - 1 and all(step.unit == "points" for step in known):
            yield _trend(document, one, [0.0, *(step.mean for step in known)])


def _trend(document: Document, one: Trend, means: list[float]) -> Figure:
    names = [cut(plain(level)) for level in one.levels]
    left, bottom = max(map(letters, names)) + 16, 10 + ROW * len(names)
    reach = [100 * v for step in one.steps if step for v in (step.low, step.high)]
    fit = _line(one.line, means)
    x = Scale.around([0.0, *reach, *fit], left, WIDTH - BESIDE)
    canvas = Canvas()
    for i, level in enumerate(one.levels):
        if level in one.among:
            canvas.area("band", (left, 10 + ROW * i, x.end - left, ROW), f"{names[i]}: may be the best")
    across = f"Δ {plain(document.rules.primary)} against {names[0]}, points"
    Axes(x, Scale(0, 1, bottom, 10)).draw(canvas, across=across, most=(6, 0))
    canvas.line("axis", x(0), 10, x(0), bottom)
    if fit:
        ends = zip(fit, (10 + ROW / 2, bottom - ROW / 2), strict=True)
        canvas.path("axis dash", [(x(at), y) for at, y in ends], "the straight line through the means")
    for i, level in enumerate(one.levels):
        _level(canvas, x, 10 + ROW * (i + 0.5), names[i], one.steps[i], best=level == one.best)
    said = [f"{name}: {effect(step)}" for name, step in zip(names, one.steps, strict=True) if step]
    among = ", ".join(cut(plain(level)) for level in one.among) or "not told"
    return canvas.figure(
        (WIDTH, bottom + 38),
        f"trend-{file_part(one.name)}",
        f"{cut(plain(one.name), 40)} in its order",
        alt=f"Each level against the first, with 95 % intervals, in points. {'; '.join(said)}. Not told from "
        f"the best: {among}.",
        note="Point and line: a level's difference to the first, and its 95 % interval, pointwise. Dashed: "
        "the straight line through the means. ▲ the best seen; on gray: levels that no other is seen to be "
        "better than.",
    )


def _line(line: Effect | None, means: list[float]) -> list[float]:
    """Where the straight line begins and ends, in points from the first level; nothing where unknown."""
    if line is None:
        return []
    middle = sum(means) / len(means)
    return [100 * (middle - line.mean / 2), 100 * (middle + line.mean / 2)]


def _level(canvas: Canvas, x: Scale, y: float, name: str, step: Effect | None, *, best: bool) -> None:
    """One row; the first level has no difference to itself."""
    canvas.text(x.start - 8, y, name, "end")
    colour, shape = ("good", "up") if best else ("plain", "circle")
    if step is None:
        canvas.point(colour, x(0), y, f"{name}: the first level", shape if best else "square")
        return
    canvas.line(f"{colour} thick", x(100 * step.low), y, x(100 * step.high), y)
    canvas.point(colour, x(100 * step.mean), y, f"{name}: {effect(step)}", shape)
    canvas.text(x.end + 8, y, effect(step), "small")
