"""The figures on tuning: what each arm's search tried, where, and what more candidates would have brought."""

from __future__ import annotations

from collections.abc import Iterator

from bench.judge.findings import Document
from bench.judge.pictures import Axis, Pictures, SearchPicture, Tried
from bench.judge.searched import Tuning
from bench.report.naming import Names, plain
from bench.report.svg import Axes, Canvas, Figure, Scale, cut, spelled
from bench.tune.space import EDGE

WIDTH = 760


def searches(document: Document, pictures: Pictures, names: Names) -> Iterator[Figure]:
    """History, slices, expected best; nothing without tuning."""
    tuning = document.tuning
    found = [s for s in pictures.searches if any(t.value is not None for t in s.tried)]
    if tuning is None or not found:
        return
    metric = MetricAxis(tuning)
    yield _history(found, metric, names)
    yield from _slices(found, metric, names)
    best = _best(tuning, metric, names)
    if best:
        yield best


class MetricAxis:
    """The tuning metric: its name, unit, and which way is better."""

    def __init__(self, tuning: Tuning) -> None:
        self.lower, self.share, self._tuning = tuning.lower_is_better, tuning.unit == "share", tuning
        self.factor = 100 if self.share else 1
        self.name = plain(tuning.metric) + (", %" if self.share else "")

    def told(self, value: float | None) -> str:
        """A value with its digits."""
        return self._tuning.told(value) + (" %" if self.share and value is not None else "")

    def scale(self, searches: list[SearchPicture], start: float, end: float) -> Scale:
        """Wide enough for every candidate of every arm, so that panels compare."""
        values = [self.factor * t.value for s in searches for t in s.tried if t.value is not None]
        return Scale.around(values, start, end)


def _history(searches: list[SearchPicture], metric: MetricAxis, names: Names) -> Figure:
    columns = min(3, len(searches))
    wide, high = (WIDTH - 10) / columns, 168
    most = max(t.number for s in searches for t in s.tried)
    canvas, said = Canvas(), []
    for n, search in enumerate(searches):
        left, up = 40 + n % columns * wide, 26 + n // columns * high
        x, y = Scale(-0.5, most + 0.5, left, left + wide - 52), metric.scale(searches, up + 104, up)
        canvas.text(left, up - 12, cut(names[search.arm], int(wide // 8)), "bold")
        Axes(x, y).draw(canvas, most=(4, 4))
        _so_far(canvas, search, metric, x, y)
        for t in search.tried:
            _candidate(canvas, t, metric, x(t.number), y)
        chosen = next((t for t in search.tried if t.chosen), None)
        said.append(
            f"{names[search.arm]}: candidate {chosen.number}, {metric.told(chosen.value)}"
            if chosen
            else f"{names[search.arm]}: none yet"
        )
    return canvas.figure(
        (WIDTH, -(-len(searches) // columns) * high + 4),
        "search-history",
        f"Search history: {metric.name} of each candidate, in their order",
        alt=f"The tuning metric of every candidate, a panel for each arm. Chosen: {'; '.join(said)}.",
        note="Line: the best so far. Ring: the one chosen. × diverged, failed or cut short, drawn at the "
        "worse end.",
    )


def _so_far(canvas: Canvas, search: SearchPicture, metric: MetricAxis, x: Scale, y: Scale) -> None:
    path: list[tuple[float, float]] = []
    for t in search.tried:
        if t.best is not None:
            at = (x(t.number), y(metric.factor * t.best))
            path += [(at[0], path[-1][1])] if path and path[-1][1] != at[1] else []
            path.append(at)
    if path:
        canvas.path("plain line", path)


def _candidate(canvas: Canvas, t: Tried, metric: MetricAxis, across: float, y: Scale) -> None:
    """A dot for a finished candidate, a cross for another, nothing for one not tried."""
    if t.state == "missing":
        return
    if t.value is None:
        worst = y.end + 6 if metric.lower else y.start - 6
        canvas.point("bad", across, worst, f"candidate {t.number}: {t.state}", "cross")
        return
    at = y(metric.factor * t.value)
    canvas.mark(
        "circle", "good dot", f"candidate {t.number}: {metric.told(t.value)}", cx=across, cy=at, r=3.5
    )
    if t.chosen:
        canvas.mark("circle", "base line", f"candidate {t.number}, chosen", cx=across, cy=at, r=7)


def _slices(searches: list[SearchPicture], metric: MetricAxis, names: Names) -> Iterator[Figure]:
    """One figure for each tuned setting, a panel for each arm that tunes it."""
    settings = dict.fromkeys(axis.setting for s in searches for axis in s.axes)
    for number, setting in enumerate(settings):
        mine = [(s, i, axis) for s in searches for i, axis in enumerate(s.axes) if axis.setting == setting]
        columns = min(3, len(mine))
        wide, high = (WIDTH - 10) / columns, 168
        canvas, said = Canvas(), []
        for n, (search, i, axis) in enumerate(mine):
            left, up = 40 + n % columns * wide, 26 + n // columns * high
            y = metric.scale(searches, up + 104, up)
            canvas.text(left, up - 12, cut(names[search.arm], int(wide // 8)), "bold")
            _slice(canvas, search, i, (left, left + wide - 52), y, metric)
            chosen = next((t for t in search.tried if t.chosen), None)
            if chosen:
                said.append(f"{names[search.arm]} {_value(axis, chosen.places[i])}")
        name = cut(plain(setting), 40)
        yield canvas.figure(
            (WIDTH, -(-len(mine) // columns) * high + 4),
            f"search-slice-{number + 1}",
            f"{metric.name} against {name}",
            alt=f"The tuning metric against {name}, a panel for each arm. "
            f"Chosen: {'; '.join(said) or 'none'}.",
            note="Solid lines: the ends of the range; shaded: its outer tenths, where a choice means that "
            "better may lie beyond. Ring: the one chosen.",
        )


def _value(axis: Axis, place: float) -> str:
    return plain(axis.choices[int(place)]) if axis.choices else f"{place:.4g}"


def _slice(
    canvas: Canvas, search: SearchPicture, i: int, span: tuple[float, float], y: Scale, metric: MetricAxis
) -> None:
    axis = search.axes[i]
    if axis.choices:
        x = Scale(-0.5, len(axis.choices) - 0.5, *span)
        for place, choice in enumerate(axis.choices):
            canvas.text(x(place), y.start + 11, cut(plain(choice), 9), "middle small muted")
        Axes(Scale(0.1, 0.2, *span), y).draw(canvas, most=(0, 4))
    else:
        pad = 0.04 * (span[1] - span[0])
        x = Scale(axis.low, axis.high if axis.high > axis.low else axis.low + 1, span[0] + pad, span[1] - pad,
                  axis.log)  # fmt: skip
        edge = EDGE * (x.end - x.start)
        for start in (x.start, x.end - edge):
            canvas.area("band", (start, y.end, edge, y.start - y.end))
        Axes(x, y).draw(canvas, most=(4, 4))
        for end in (x.start, x.end):
            canvas.line("axis", end, y.start, end, y.end)
    for t in search.tried:
        _candidate(canvas, t, metric, x(t.places[i]), y)


def _best(tuning: Tuning, metric: MetricAxis, names: Names) -> Figure | None:
    shown = {arm.label for arm in names.arms}
    arms = [arm for arm in tuning.arms if len(arm.curve) > 1 and arm.label in shown]
    if not arms:
        return None
    values = [metric.factor * v for arm in arms for _, v in arm.curve]
    x = Scale(1, max(k for arm in arms for k, _ in arm.curve), 56, 540, True)
    y = Scale.around(values, 300, 24)
    canvas = Canvas()
    sizes = sorted({k for arm in arms for k, _ in arm.curve})
    Axes(Scale(0.1, 0.2, x.start, x.end), y).draw(canvas, across="candidates", up=metric.name, most=(0, 5))
    for k in sizes:
        canvas.text(x(k), y.start + 11, spelled(k), "middle small muted")
        canvas.line("grid", x(k), y.start, x(k), y.end)
    ends = []
    for arm in arms:
        colour = names.tone(arm.label)[0]
        tips = ", ".join(f"{k}: {metric.told(v)}" for k, v in arm.curve)
        canvas.path(f"{colour} line", [(x(k), y(metric.factor * v)) for k, v in arm.curve], names[arm.label])
        for k, v in arm.curve:
            tip = f"{names[arm.label]}: {tips}"
            canvas.mark("circle", f"{colour} dot", tip, cx=x(k), cy=y(metric.factor * v), r=3)
        k, v = arm.curve[-1]
        ends.append((y(metric.factor * v), x(k), names[arm.label]))
    below = 0.0
    for at, across, name in sorted(ends):
        below = max(at, below + 13)
        canvas.text(across + 8, below, name, "small")
    return canvas.figure(
        (WIDTH, 342),
        "search-best",
        f"Expected best of k candidates: {metric.name}",
        alt="What the best of k candidates is worth on average, a line for each arm. With all: "
        + "; ".join(f"{names[arm.label]} {metric.told(arm.curve[-1][1])}" for arm in arms)
        + ".",
        note="A line that still rises (falls, for a loss) at its end says that more candidates would help "
        f"that arm more.{names.more}",
    )
