"""The figure of a ladder: how far each rung is from the first, and what each step adds."""

from __future__ import annotations

from bench.judge.findings import LOCAL, Document
from bench.judge.tables.factors import Rung
from bench.report.cells import effect
from bench.report.naming import Names, plain, tone
from bench.report.svg import Canvas, Figure, Scale, cut, letters, spelled

WIDTH = 640
ROW = 38
BESIDE = 150
"""Room for numbers at the right, px."""
APART = 7
"""From the line of a step to that of the whole way, px."""


def ladder(document: Document, names: Names) -> Figure | None:
    """A row for each rung, the first at the bottom: a bar from where the rung below ends to where it ends."""
    rungs = [rung for rung in document.ladder if rung.arm in document.names]
    ends = _ends(rungs)
    if len(rungs) < 2 or any(r.step and r.step.effect and r.step.effect.unit != "points" for r in rungs):
        return None
    delta = document.rules.delta_local if document.where == LOCAL else document.rules.delta_hidden
    left, bottom = max(letters(names[rung.arm]) for rung in rungs) + 16, 12 + ROW * len(rungs)
    x = Scale.around([*_reach(rungs, ends), -delta, delta], left, WIDTH - BESIDE)
    canvas = Canvas()
    for value in x.ticks():
        canvas.line("grid", x(value), 8, x(value), bottom)
        canvas.text(x(value), bottom + 11, spelled(value), "middle small muted")
    canvas.line("axis", x(0), 8, x(0), bottom)
    across = f"Δ {plain(document.rules.primary)} against {names[document.baseline]}, points"
    canvas.text((x.start + x.end) / 2, bottom + 28, across, "middle muted")
    for i, rung in enumerate(rungs):
        _rung(canvas, x, bottom - ROW * (i + 0.5), rung, (ends[max(i - 1, 0)], ends[i]), names)
    said = [
        f"{names[rung.arm]}: {effect(rung.step.effect)}, {rung.step.verdict}"
        for rung in rungs
        if rung.step and rung.step.effect
    ]
    return canvas.figure(
        (WIDTH, bottom + 38),
        "ladder",
        f"Step by step on {plain(document.rules.primary)}",
        alt=f"Effect of each step with its 95 % interval, in points, from the first. {'; '.join(said)}.",
        note="From the bottom up. Bar: what a step adds to the rung below, with the 95 % interval of the "
        "step; ▲ it helps, ▼ it is harmful, ● neither. Thin line: the 95 % interval of the whole way from "
        "the first rung.",
    )


def _ends(rungs: list[Rung]) -> list[float]:
    """Where each rung stands, in points above the first; one without an effect where the rung below does."""
    at, found = 0.0, []
    for rung in rungs:
        at = 100 * rung.whole.effect.mean if rung.whole and rung.whole.effect else at
        found.append(at)
    return found


def _reach(rungs: list[Rung], ends: list[float]) -> list[float]:
    """All that the scale has to hold."""
    found = list(ends)
    for below, rung in zip([0.0, *ends], rungs, strict=False):
        if rung.step and rung.step.effect:
            found += [below + 100 * rung.step.effect.low, below + 100 * rung.step.effect.high]
        if rung.whole and rung.whole.effect:
            found += [100 * rung.whole.effect.low, 100 * rung.whole.effect.high]
    return found


def _rung(canvas: Canvas, x: Scale, y: float, rung: Rung, ends: tuple[float, float], names: Names) -> None:
    below, here = ends
    canvas.text(x.start - 8, y, names[rung.arm], "end")
    if rung.step is None or rung.step.effect is None:
        canvas.point("base", x(here), y, f"{names[rung.arm]}: the first rung", "square")
        return
    canvas.line("axis dash", x(below), y, x(below), y + ROW)
    found, (colour, shape) = rung.step.effect, tone(rung.step)
    start, end = sorted((x(below), x(here)))
    tip = f"{names[rung.arm]}, {cut(plain(rung.adds), 60)}: {effect(found)}, {rung.step.verdict}"
    canvas.cell(colour, (start, y - APART, max(end - start, 1.0), 2 * APART), 1.0, tip)
    canvas.line(f"{colour} thick", x(below + 100 * found.low), y, x(below + 100 * found.high), y)
    canvas.point(colour, x(here), y, tip, shape)
    canvas.text(x.end + 8, y, effect(found), "small")
    if rung.whole and rung.whole.effect and rung.whole.reference != rung.step.reference:
        whole = rung.whole.effect
        words = f"{names[rung.arm]} against {names[rung.whole.reference]}: {effect(whole)}"
        canvas.line("plain faint", x(100 * whole.low), y + APART + 4, x(100 * whole.high), y + APART + 4)
        canvas.mark("circle", "plain dot", words, cx=x(here), cy=y + APART + 4, r=2.5)
