"""The figures on arms and their scores: document and pictures in, drawings out."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from bench.judge.findings import LOCAL, ArmRow, Document, Effect, Finding
from bench.judge.pictures import Pictures, trial_name
from bench.report import grids, operating, searching
from bench.report.cells import effect, number, percent
from bench.report.ladder import ladder
from bench.report.naming import Names, file_part, plain, tone
from bench.report.svg import Axes, Canvas, Figure, Scale, cut, labels, letters
from bench.report.trends import trends

WIDTH = 760
NARROW = 440
"""Of the first figure, which is shown whole on a phone: its letters are 10 px there."""
SQUARE = 500
"""Width of a figure of which two stand side by side."""
ROW = 22
TALL = 38
"""A row with its name above its line."""


def figures(document: Document, pictures: Pictures, *, cost: bool = True) -> list[Figure]:
    """Every figure that this study has, in the order of the page. ``cost=False``: none about time."""
    names = Names(document, pictures)
    found = [ladder(document, names), effects(document, pictures, names), *trends(document)]
    found.append(seeds(document, names))
    found += list(hidden(document, names))
    found.append(costs(document, names, cost=cost))
    found.append(grids.recall(document, names))
    found += list(grids.corruptions(document, names))
    found += list(grids.confusions(document, pictures, names))
    found.append(grids.curves(document, pictures, names))
    found += list(operating.curves(document, pictures, names))
    found += list(searching.searches(document, pictures, names))
    return [figure for figure in found if figure is not None]


def effects(document: Document, pictures: Pictures, names: Names) -> Figure | None:
    """Every arm's effect on the primary metric with its interval, the noise band behind."""
    rows = list(_effect_rows(document, pictures, names))
    if not rows or any(found.unit != "points" for _, _, found in rows):
        return None
    noise = 100 * pictures.noise if pictures.noise is not None and not document.screen else 0.0
    delta = document.rules.delta_local if document.where == LOCAL else document.rules.delta_hidden
    spans = [100 * v for _, _, found in rows for v in (found.low, found.high)]
    width = max(NARROW, *(letters(name) + letters(effect(found)) + 32 for name, _, found in rows))
    bottom = 16 + TALL * len(rows)
    x = Scale.around([*spans, -delta, delta, -noise, noise], 10, width - 10)
    canvas = Canvas()
    if noise:
        canvas.area(
            "band", (x(-noise), 8, x(noise) - x(-noise), bottom - 8), f"{noise:.1f} points either way"
        )
    across = f"Δ {plain(document.rules.primary)}, points"
    Axes(x, Scale(0, 1, bottom, 8)).draw(canvas, across=across, most=(6, 0))
    for at in (-delta, delta):
        canvas.line("axis dash", x(at), 8, x(at), bottom)
    canvas.line("axis", x(0), 8, x(0), bottom)
    for i, (name, finding, found) in enumerate(rows):
        _effect_row(canvas, x, 8 + TALL * i, name, finding, found)
    said = [f"{name}: {effect(found)}, {finding.verdict}" for name, finding, found in rows]
    others = len(pictures.arms) - 1
    against = "of each factor over all arms" if document.screen else f"against {names[document.baseline]}"
    equal = f"the largest of {others} equal arms' differences" if others > 1 else "an equal arm's difference"
    band = f"Band: how far {equal} would go by the luck of {document.over} alone (95 %, from the arms' "
    band = band + f"pooled spread): {noise:.1f} points either way. " if noise else ""
    return canvas.figure(
        (width, bottom + 38),
        "effects",
        f"Effect on {plain(document.rules.primary)}, {against}",
        alt=f"Effects with 95 % intervals, in points. {'; '.join(said)}.",
        note=f"Point and line: mean difference and its 95 % interval. {band}Dashed: δ either way, what "
        f"counts as a difference that matters. ▲ helps, ▼ harmful, ● neither.{names.more}",
    )


def _effect_rows(
    document: Document, pictures: Pictures, names: Names
) -> Iterator[tuple[str, Finding, Effect]]:
    """(name, finding, effect) of the arms shown, then of the baseline trained again."""
    told = document.findings if document.screen else [arm.finding for arm in document.arms if arm.finding]
    for finding in told:
        if (document.screen or finding.arm in pictures.arms) and finding.effect:
            plainly = document.screen or finding.reference == document.baseline
            other = "" if plainly else f" vs {names[finding.reference]}"
            name = cut(plain(finding.arm), 40) if document.screen else names[finding.arm]
            yield name + other, finding, finding.effect
    again = document.again.finding if document.again else None
    if again and again.effect:
        yield "baseline again (A/A)", again, again.effect


def _effect_row(canvas: Canvas, x: Scale, top: float, name: str, finding: Finding, found: Effect) -> None:
    """Name and numbers, and the line under them."""
    colour, shape = tone(finding)
    y = top + 27
    canvas.text(x.start, top + 10, name)
    canvas.text(x.end, top + 10, effect(found), "end small")
    canvas.line(f"{colour} thick", x(100 * found.low), y, x(100 * found.high), y)
    words = ("if it converges " if finding.if_converges else "") + effect(found)
    canvas.point(colour, x(100 * found.mean), y, f"{name}: {words}, {finding.verdict}", shape)


def seeds(document: Document, names: Names) -> Figure | None:
    """Every finished trial's accuracy on each set, a panel for each of the first sets."""
    shown, sets = [arm.label for arm in names.arms], document.sets[:3]
    if not any(found for arm in names.arms for found in arm.accuracies):
        return None
    left, bottom = names.margin(shown), 26 + ROW * len(shown)
    wide = (WIDTH - left) / len(sets)
    canvas = Canvas()
    for i, label in enumerate(shown):
        canvas.text(left - 8, 20 + ROW * (i + 0.5), names[label], "end" + " bold" * (label == names.baseline))
    for j, name in enumerate(sets):
        scores = [
            score
            for arm in names.arms
            for o in arm.trials
            if (score := o.score(name, "accuracy")) is not None
        ]
        x = Scale.around([100 * score for score in scores], left + j * wide + 16, left + (j + 1) * wide - 14)
        if j:  # a set's axis is its own: a dot right of one must not be read on the other
            canvas.line("axis", left + j * wide, 2, left + j * wide, bottom + 12)
        canvas.text((x.start + x.end) / 2, 8, cut(plain(name)), "middle bold")
        Axes(x, Scale(0, 1, bottom, 20)).draw(canvas, most=(4, 0))
        for i, arm in enumerate(names.arms):
            _dots(canvas, x, 20 + ROW * (i + 0.5), arm, name, names)
    more = f" First {len(sets)} of {len(document.sets)} sets." if len(document.sets) > len(sets) else ""
    return canvas.figure(
        (WIDTH, bottom + 22),
        "seeds",
        f"Every {document.over[:-1]}: accuracy, %",
        alt=f"Accuracy of every finished trial, by arm and set; means stand in the first table.{names.more}",
        note=f"A dot is one trial, the bar their mean. Diverged trials have no dot.{more}{names.more}",
    )


def _dots(canvas: Canvas, x: Scale, y: float, arm: ArmRow, name: str, names: Names) -> None:
    """One arm's trials on one set, and their mean."""
    colour, mean = names.tone(arm.label)[0], arm.scores[name].get("accuracy")
    for outcome in arm.trials:
        if (score := outcome.score(name, "accuracy")) is not None:
            tip = f"{names[arm.label]}, {trial_name(*outcome.replicate)}: {percent(score)} %"
            canvas.mark("circle", f"{colour} dot", tip, cx=x(100 * score), cy=y, r=3.5)
    if mean:
        canvas.line(f"{colour} thick", x(100 * mean.mean), y - 7, x(100 * mean.mean), y + 7)


def hidden(document: Document, names: Names) -> Iterator[Figure]:
    """Local accuracy against accuracy on each hidden set."""
    for j, name in enumerate(document.sets[1:], 1):
        points = [
            (arm.label, 100 * here.mean, 100 * there.mean)
            for arm in names.arms
            if (here := arm.accuracies[0]) and (there := arm.accuracies[j])
        ]
        if len(points) < 2:
            continue
        x = Scale.around([v for _, v, _ in points], 46, SQUARE - 90)
        y = Scale.around([v for _, _, v in points], 290, 24)
        canvas = Canvas()
        Axes(x, y).draw(canvas, across="local accuracy, %", up=f"{cut(plain(name))} accuracy, %")
        equal = _diagonal(canvas, x, y)
        _points(canvas, x, y, points, names)
        order = [names[label] for label, _, _ in sorted(points, key=lambda p: -p[2])]
        yield canvas.figure(
            (SQUARE, 332),
            f"local-{file_part(name)}",
            f"Local against {plain(name)}",
            alt=f"Accuracy on the local test set against {plain(name)}, a point for each arm. "
            f"Best on {plain(name)}: {', '.join(order[:3])}.",
            note=f"A point is an arm's mean, ■ the baseline's. {equal}{names.more}",
        )


def _diagonal(canvas: Canvas, x: Scale, y: Scale) -> str:
    """The line on which nothing is lost, where it can be seen; returns what to say of it."""
    low, high = max(x.low, y.low), min(x.high, y.high)
    if low >= high:
        return "Every hidden accuracy shown is below every local one."
    canvas.path("axis dash", [(x(low), y(low)), (x(high), y(high))], "equal")
    return "On the dashed line nothing is lost from local to hidden."


def _points(
    canvas: Canvas, x: Scale, y: Scale, points: Sequence[tuple[str, float, float]], names: Names
) -> None:
    for label, across, up in points:
        colour, shape = names.tone(label)
        tip = f"{names[label]}: {number(across) if across >= 1000 else f'{across:.4g}'}, {up:.1f} %"
        canvas.point(colour, x(across), y(up), tip, shape)
    labels(canvas, [(x(across), y(up), names[label]) for label, across, up in points], SQUARE)


def costs(document: Document, names: Names, *, cost: bool) -> Figure | None:
    """Accuracy against what training costs: seconds, or without times operations of a forward pass."""
    where = document.where
    points = [
        (arm.label, price, 100 * mean.mean)
        for arm in names.arms
        if (price := arm.seconds and arm.seconds.mean if cost else arm.flops and arm.flops / 1e9)
        and (mean := arm.scores[where].get("accuracy"))
    ]
    if len({price for _, price, _ in points}) < 2:
        return None
    prices = [price for _, price, _ in points]
    x = Scale.around(prices, 46, SQUARE - 90, log=max(prices) > 8 * min(prices))
    y = Scale.around([up for _, _, up in points], 290, 24)
    canvas = Canvas()
    name = cut(plain(where))
    unit = "seconds of training" if cost else "GFLOPs per image, forward"
    Axes(x, y).draw(
        canvas, across=f"{unit}{', each line a multiple' if x.log else ''}", up=f"{name} accuracy, %"
    )
    _points(canvas, x, y, points, names)
    best = max(points, key=lambda p: p[2])
    least = min(points, key=lambda p: p[1])
    return canvas.figure(
        (SQUARE, 332),
        "cost",
        f"What {name} accuracy costs",
        alt=f"{name} accuracy against {unit}, a point for each arm. Most accurate: {names[best[0]]}, "
        f"{best[2]:.1f} % at {best[1]:.3g}; cheapest: {names[least[0]]}, {least[2]:.1f} % at {least[1]:.3g}.",
        note=f"Up and to the left is better. Means over finished {document.over}.{names.more}",
    )
