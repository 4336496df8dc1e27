"""The forest plot: every data set's difference, their mean, and where that of a new data set would lie."""

from __future__ import annotations

from bench.judge.findings import LOCAL, Effect, Finding
from bench.judge.pooling import Cell, PooledRow, Together
from bench.report.cells import effect, span
from bench.report.naming import plain, tone
from bench.report.svg import Axes, Canvas, Figure, Scale, cut, letters

WIDTH = 440
"""Letters are 10 px where it is shown whole on a phone."""
HEAD, ROW, GAP = 24, 34, 12
"""Heights: an arm's name, a name above its line, what is left between two arms. px"""
MOST = 8
"""Arms that are drawn."""
LINES = 2
"""Beside an arm's data sets: the mean, and a new data set."""


def forest(d: Together) -> Figure | None:
    """Of the deciding metric, an arm below the other; None where nothing was measured in points."""
    told = [row for row in d.first if any(cell.finding and cell.finding.effect for cell in row.cells)]
    rows = told[:MOST]
    drawn = [one for row in rows for one in _drawn(row)]
    if not drawn or any(one.unit != "points" for one in drawn):
        return None
    delta = d.delta_local if d.primary.startswith(f"{LOCAL}.") else d.delta_hidden
    within = [one for row in rows for one in _drawn(row, told=True)] or drawn
    ends = [100 * end for one in within for end in (one.low, one.high)]
    cells = [cell for row in rows for cell in row.cells]
    words = [
        letters(cell.part.name) + letters(effect(cell.finding.effect)) + 40
        for cell in cells
        if cell.finding and cell.finding.effect
    ]
    width = max(WIDTH, *words)
    heights = [HEAD + ROW * (len(row.cells) + LINES * (row.mean is not None)) + GAP for row in rows]
    bottom = 8 + sum(heights)
    x = Scale.around([*ends, -delta, delta], 10, width - 10)
    canvas = Canvas()
    Axes(x, Scale(0, 1, bottom, 8)).draw(canvas, across=f"Δ {plain(d.primary)}, points", most=(6, 0))
    for at in (-delta, delta):
        canvas.line("axis dash", x(at), 8, x(at), bottom)
    canvas.line("axis", x(0), 8, x(0), bottom)
    top = 8.0
    for row, height in zip(rows, heights, strict=True):
        _arm(canvas, x, top, row, _name(row.finding, d))
        top += height
    more = f" First {len(rows)} of {len(told)} arms." if len(told) > len(rows) else ""
    return canvas.figure(
        (width, bottom + 38),
        "forest",
        f"Every data set: effect on {plain(d.primary)}",
        alt="Differences with 95 % intervals on each data set, in points, their mean and the prediction "
        f"interval of a new one. {' '.join(_said(row, _name(row.finding, d)) for row in rows)}",
        note="Point and line: a data set's difference and its 95 % interval. Diamond: the mean and its 95 % "
        "interval. Thin line: 95 % prediction interval of the difference on a new data set. A line of a data "
        "set in no mean may go on beyond the edge. Dashed: δ either way. "
        f"▲ helps, ▼ harmful, ● neither, on that data set.{more}",
    )


def _drawn(row: PooledRow, *, told: bool = False) -> list[Effect]:
    """Everything that is drawn of an arm; told: but for data sets that are in no mean, whatever they show."""
    of_sets = [cell.finding.effect for cell in row.cells if cell.finding and (cell.told or not told)]
    every = [*of_sets, row.finding.effect, row.new_set]
    return [one for one in every if one is not None]


def _name(finding: Finding, d: Together) -> str:
    other = "" if finding.reference == d.baseline else f" vs {d.called(finding.reference).name}"
    return cut(plain(d.called(finding.arm).name + other), 40)


def _said(row: PooledRow, name: str) -> str:
    sets = "; ".join(
        f"{plain(cell.part.name)} {effect(cell.finding.effect)}" if cell.finding and cell.finding.effect
        else f"{plain(cell.part.name)} missing" for cell in row.cells
    )  # fmt: skip
    mean = f", mean {effect(row.finding.effect)}" if row.finding.effect else ", no mean"
    return f"{name}: {sets}{mean}{f', new data set {span(row.new_set)}' if row.new_set else ''}."


def _arm(canvas: Canvas, x: Scale, top: float, row: PooledRow, name: str) -> None:
    """One arm: its data sets, their mean, a new one."""
    canvas.text(x.start, top + 10, name, "bold")
    canvas.text(x.end, top + 10, row.finding.verdict, "end small")
    for i, cell in enumerate(row.cells):
        _cell(canvas, x, top + HEAD + ROW * i, cell)
    at = top + HEAD + ROW * len(row.cells)
    if row.finding.effect and row.new_set:
        _mean(canvas, x, at, row.finding)
        _new(canvas, x, at + ROW, row.new_set)


def _cell(canvas: Canvas, x: Scale, top: float, cell: Cell) -> None:
    """A data set's difference; of a missing one why."""
    name = cut(plain(cell.part.name), 40)
    canvas.text(x.start + 8, top + 8, name, "small")
    found = cell.finding.effect if cell.finding else None
    if cell.finding is None or found is None:
        room = int((x.end - x.start - letters(name)) / 7) - 6
        canvas.text(x.end, top + 8, cut(f"missing: {plain(cell.reason)}", max(16, room)), "end small muted")
        return
    colour, shape = tone(cell.finding)
    canvas.text(x.end, top + 8, effect(found) + (" (in no mean)" if cell.reason else ""), "end small")
    canvas.line(f"{colour} line", x(100 * found.low), top + 23, x(100 * found.high), top + 23)
    canvas.point(
        colour, x(100 * found.mean), top + 23, f"{name}: {effect(found)}, {cell.finding.verdict}", shape
    )


def _mean(canvas: Canvas, x: Scale, top: float, finding: Finding) -> None:
    found = finding.effect
    assert found is not None, "asked of a row with a mean"
    canvas.text(x.start + 8, top + 8, "mean", "small bold")
    canvas.text(x.end, top + 8, effect(found), "end small bold")
    low, middle, high = (x(100 * at) for at in (found.low, found.mean, found.high))
    corners = [(low, 23.0), (middle, 17.0), (high, 23.0), (middle, 29.0), (low, 23.0)]
    tip = f"mean: {effect(found)}, {finding.verdict}"
    canvas.path(tone(finding)[0], [(across, top + down) for across, down in corners], tip)


def _new(canvas: Canvas, x: Scale, top: float, new_set: Effect) -> None:
    canvas.text(x.start + 8, top + 8, "on a new data set", "small")
    canvas.text(x.end, top + 8, span(new_set), "end small")
    low, high = (x(100 * at) for at in (new_set.low, new_set.high))
    canvas.line("axis", low, top + 23, high, top + 23)
    for end in (low, high):
        canvas.line("axis", end, top + 19, end, top + 27)
