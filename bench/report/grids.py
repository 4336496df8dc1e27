"""The figures that repeat a small drawing: a panel for each arm, or a cell for each number."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from bench.judge.findings import Document
from bench.judge.pictures import Confusion, Curve, Pictures, reached, trial_name
from bench.judge.robustness import ConditionScore, CorruptedArm, CorruptedSet
from bench.report.cells import percent
from bench.report.naming import Names, file_part, plain
from bench.report.svg import Axes, Canvas, Figure, Scale, cut, letters

WIDTH = 760
FULL = 0.25
"""A change of recall that has the strongest colour."""


def recall(document: Document, names: Names) -> Figure | None:
    """How each class's recall changes against the baseline, a row for each class."""
    others = [arm for arm in names.arms if not arm.is_baseline]
    if not document.classes or not others:
        return None
    base = document.arms[0]
    left = max(letters(_short(name)) for name in document.classes) + 60
    wide, high = min(56.0, (WIDTH - left) / len(others)), 22
    top = 12 + max(letters(names[arm.label]) for arm in others) * 0.72
    canvas, said = Canvas(), []
    canvas.text(left - 8, top - 12, "baseline %", "end small muted")
    for j, arm in enumerate(others):
        _slanted(canvas, left + (j + 0.5) * wide, top - 6, names[arm.label])
    for i, name in enumerate(document.classes):
        y, was = top + i * high, base.recall(name)
        canvas.text(left - 56, y + high / 2, _short(name), "end")
        canvas.text(left - 8, y + high / 2, percent(was), "end small muted")
        for j, arm in enumerate(others):
            now, change = arm.recall(name), arm.gain(name, base)
            if change is None:
                continue
            tip = f"{names[arm.label]}, {plain(name)}: {percent(was)} → {percent(now)} %"
            kind = "good" if change > 0 else "bad"
            canvas.cell(kind, (left + j * wide, y, wide, high), abs(change) / FULL, tip)
            if wide >= 30:
                text = f"{100 * change:+.0f}".replace("-", "−").replace("+0", "0").replace("−0", "0")
                canvas.text(left + (j + 0.5) * wide, y + high / 2, text, "middle small")
            said.append((abs(change), f"{plain(name)} {100 * change:+.1f} with {names[arm.label]}"))
    largest = "; ".join(text for _, text in sorted(said, key=lambda pair: -pair[0])[:3])
    return canvas.figure(
        (left + wide * len(others) + 60, top + high * len(document.classes) + 6),
        "recall",
        "Recall of each class, change against the baseline in points",
        alt=f"Change of recall by class and arm. Largest: {largest or 'none'}. Values stand in the table.",
        note=f"Blue: recognised more often than by the baseline, orange: less; the strongest colour is "
        f"{100 * FULL:.0f} points. Means over finished {document.over}.{names.more}",
    )


def _short(name: str) -> str:
    return cut(plain(name))


def _slanted(canvas: Canvas, x: float, y: float, text: str) -> None:
    """A column's name, rising to the right."""
    canvas.text(0, 0, text, "small")
    canvas.parts[-1] = f'<g transform="translate({x:.1f} {y:.1f}) rotate(-45)">{canvas.parts[-1]}</g>'


def corruptions(document: Document, names: Names) -> Iterator[Figure]:
    """Accuracy by family and severity of every set whose corruptions are told apart."""
    for one in document.corrupted:
        if one.by_family and any(c.accuracy for arm in one.arms for c in arm.conditions):
            yield _corruption(one, document, names)


def _corruption(one: CorruptedSet, document: Document, names: Names) -> Figure:
    shown = {arm.label for arm in names.arms}
    arms = [arm for arm in one.arms if arm.label in shown]
    families = [family for _, family in one.families]
    left = max(letters(_short(family)) for family in families) + 12
    cell = 15.0
    wide = max(len(one.severities) * cell + 14, 92)
    per_row = max(1, int((WIDTH - left) // wide))
    high = len(families) * cell + 58
    canvas, found = Canvas(), []
    for n, arm in enumerate(arms):
        x, y = left + n % per_row * wide, 34 + n // per_row * high
        if n % per_row == 0:
            for i, family in enumerate(families):
                canvas.text(left - 8, y + (i + 0.5) * cell, _short(family), "end small")
        canvas.text(x, y - 24, cut(names[arm.label], int(wide // 8)), "bold small")
        for j, severity in enumerate(one.severities):
            canvas.text(x + (j + 0.5) * cell, y - 8, str(severity), "middle small muted")
        _cells(canvas, arm, one, (x, y, cell), names)
        found += [(c.accuracy.mean, c, arm.label) for c in arm.conditions if c.accuracy]
    worst = min(found, key=lambda each: each[0])
    rows = -(-len(arms) // per_row)
    return canvas.figure(
        (left + min(per_row, len(arms)) * wide, 34 + rows * high - 40),
        f"corruptions-{file_part(one.name)}",
        f"Accuracy on {plain(one.name)}, by family and severity",
        alt=f"Heat maps of accuracy by corruption family and severity, one for each arm. Lowest: "
        f"{percent(worst[0])} % for {names[worst[2]]} on {worst[1].family} at severity {worst[1].severity}. "
        "All values stand in tables/corruptions.csv.",
        note="The fuller the cell, the more images are recognised; columns are severities, a dot marks a "
        f"family that the arm also trains with. Means over finished {document.over}.{names.more}",
    )


def _cells(
    canvas: Canvas, arm: CorruptedArm, one: CorruptedSet, at: tuple[float, float, float], names: Names
) -> None:
    x, y, cell = at
    rows = {family: i for i, (_, family) in enumerate(one.families)}
    columns = {severity: j for j, severity in enumerate(one.severities)}
    for c in arm.conditions:
        if c.accuracy is None:
            continue
        tip = _told(c, names[arm.label])
        box = (x + columns[c.severity] * cell, y + rows[c.family] * cell, cell, cell)
        canvas.cell("good", box, c.accuracy.mean, tip, most=1)
    for family in arm.seen:
        centre = (x + len(columns) * cell + 5, y + (rows[family] + 0.5) * cell)
        canvas.mark(
            "circle", "base", f"{names[arm.label]} trains with {family}", cx=centre[0], cy=centre[1], r=2
        )


def _told(c: ConditionScore, name: str) -> str:
    return f"{name}: {c.family}, severity {c.severity}: {percent(c.accuracy.mean if c.accuracy else None)} %"


def confusions(document: Document, pictures: Pictures, names: Names) -> Iterator[Figure]:
    """What each arm takes each class for."""
    for n, one in enumerate(pictures.confusions):
        yield _confusion(n, one, document.where, names, document.over)


def _confusion(n: int, one: Confusion, where: str, names: Names, over: str) -> Figure:
    short = [cut(plain(name), 18) for name in one.classes]
    left = max(map(letters, short)) + 12
    cell = 40.0 if len(short) <= 10 else 28.0
    top = 12 + max(map(letters, short)) * 0.72
    canvas = Canvas()
    for j, name in enumerate(short):
        _slanted(canvas, left + (j + 0.5) * cell, top - 6, name)
    for i, (true, row) in enumerate(zip(short, one.shares, strict=True)):
        y = top + i * 24
        canvas.text(left - 8, y + 12, true, "end")
        if not one.images[i]:
            continue
        for j, share in enumerate(row):
            kind = "good" if i == j else "bad"
            tip = f"{true} taken for {short[j]}: {percent(share)} %"
            # The share of errors is told on a scale of its own: half of a class lost is full colour.
            canvas.cell(kind, (left + j * cell, y, cell, 24), share if i == j else 2 * share, tip)
            if share >= 0.0005:
                canvas.text(left + (j + 0.5) * cell, y + 12, f"{100 * share:.0f}", "middle small")
    worst = one.worst()
    said = (
        f"Most frequent error: {worst[0]} taken for {worst[1]}, {percent(worst[2])} %."
        if worst
        else "No error."
    )
    return canvas.figure(
        (left + cell * len(short) + top, top + 24 * len(short) + 6),
        f"confusion-{n + 1:02d}-{file_part(names[one.arm])}",
        f"{names[one.arm]}: what it takes images of {plain(where)} for",
        alt=f"Confusion matrix of {names[one.arm]}. {plain(said)}",
        note=f"Rows: the true class; columns: the answer; per cent of the class's images, all "
        f"finished {over} together. {plain(said)}",
    )


def curves(document: Document, pictures: Pictures, names: Names) -> Figure | None:
    """Validation accuracy against steps, a panel for each arm, the baseline behind in gray."""
    by_arm = {
        arm.label: [c for c in pictures.curves if c.arm == arm.label and c.points] for arm in names.arms
    }
    by_arm = {label: found for label, found in by_arm.items() if found}
    points = [point for found in by_arm.values() for curve in found for point in curve.points]
    if len({step for step, _ in points}) < 2:
        return None
    columns = min(3, len(by_arm))
    wide, high = (WIDTH - 10) / columns, 168
    last = max(step for step, _ in points)
    low, top = min(value for _, value in points), max(value for _, value in points)
    canvas = Canvas()
    for n, (label, found) in enumerate(by_arm.items()):
        left, up = 34 + n % columns * wide, 26 + n // columns * high
        x = Scale(0, last, left, left + wide - 44)
        y = Scale.around([100 * low, 100 * top], up + 110, up)
        canvas.text(left, up - 12, cut(names[label], int(wide // 8)), "bold")
        Axes(x, y).draw(canvas, most=(3, 4))
        if label != names.baseline:
            _lines(canvas, by_arm.get(names.baseline, ()), x, y, "plain faint", names)
        _lines(canvas, found, x, y, f"{names.tone(label)[0]} line", names)
    rows = -(-len(by_arm) // columns)
    ends = [f"{names[label]} {percent(reached(found))} %" for label, found in by_arm.items()]
    return canvas.figure(
        (WIDTH, rows * high + 4),
        "curves",
        "Learning curves: validation accuracy in % against training steps",
        alt=f"Validation accuracy over training, a panel for each arm. Mean at the end: {'; '.join(ends)}.",
        note=f"A line is one trial; gray behind: the baseline's. Dashed: a new stage begins.{names.more}",
    )


def _lines(canvas: Canvas, found: Sequence[Curve], x: Scale, y: Scale, kind: str, names: Names) -> None:
    starts = sorted({step for curve in found for step in curve.stages})
    for step in starts[:1] if "faint" not in kind else ():
        canvas.line("axis dash", x(step), y.start, x(step), y.end)
    for curve in found:
        tip = f"{names[curve.arm]}, {trial_name(curve.seed, curve.fold)}"
        canvas.path(kind, [(x(step), y(100 * value)) for step, value in curve.points], tip)
