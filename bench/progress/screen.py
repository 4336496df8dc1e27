"""A board as lines of text that fit a terminal. Pure: nothing is written anywhere."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from bench.progress.board import Board, Cell, row


def duration(seconds: float) -> str:
    """``58 s``, ``3:04``, ``2:10:00``."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    minutes, rest = divmod(whole, 60)
    return f"{minutes}:{rest:02d}" if minutes < 60 else f"{minutes // 60}:{minutes % 60:02d}:{rest:02d}"


def screen_lines(board: Board, width: int, height: int) -> list[str]:
    """What a terminal of ``width`` × ``height`` characters shows of a board that changes."""
    rows = running_rows(board.as_data()["running"], width, max(3, height // 3))
    if not rows and board.ended < board.total:
        rows = ["  the workers start: importing torch takes some seconds"]
    room = max(3, height - len(rows) - 4)
    return [_header(board, width), *grid_lines(board.cells.values(), width, room), *rows]


def _header(board: Board, width: int) -> str:
    """``augmentation  12/40  2 workers  12:04  about 31:00 left``, with a bar where there is room."""
    left = board.left_s()
    parts = [
        board.title,
        f"{board.ended}/{board.total}",
        f"{board.workers} worker{'s' * (board.workers > 1)}",
        duration(board.clock() - board.began),
        *([] if left is None else [f"about {duration(left)} left"]),
    ]
    text = "  ".join(parts)
    room = min(40, width - len(text) - 2)
    if room < 10 or not board.total:
        return text
    full = round(room * board.ended / board.total)
    return "  ".join([parts[0], "━" * full + "─" * (room - full), *parts[1:]])


def grid_lines(cells: Iterable[Cell], width: int, most: int) -> list[str]:
    """An arm a line, a mark a trial; of more than ``most`` arms first those where something happens."""
    by_arm: dict[str, list[Cell]] = {}
    for cell in cells:
        by_arm.setdefault(cell.arm, []).append(cell)
    if len(by_arm) > most:
        order = sorted(by_arm, key=lambda arm: _interest(by_arm[arm]))  # stable: else as in the study
        shown = {arm: by_arm[arm] for arm in order[: most - 1]}
    else:
        shown = by_arm
    widest = min(max(map(len, shown), default=0), width // 2)
    lines = [f"  {_cut(arm, widest):<{widest}}  {row(of)}" for arm, of in shown.items()]
    if len(shown) < len(by_arm):
        rest = [cell for arm, of in by_arm.items() if arm not in shown for cell in of]
        lines.append(f"  and {len(by_arm) - len(shown)} more arms  {row(rest, most=0)}")
    return lines


def _interest(cells: Sequence[Cell]) -> int:
    states = {cell.state for cell in cells}
    return (
        0
        if "running" in states
        else 1
        if states & {"failed", "diverged"}
        else 2
        if "missing" in states
        else 3
    )


def running_rows(running: Sequence[Mapping[str, Any]], width: int, most: int) -> list[str]:
    """A line for each running trial: where it is, loss, speed, memory of the GPU, time left."""
    facts = [_facts(trial) for trial in running[:most]]
    widths = [max(map(len, column)) for column in zip(*facts, strict=True)]
    lines = []
    for trial, of in zip(running, facts, strict=False):
        cells = "  ".join(f"{fact:>{w}}" for fact, w in zip(of, widths, strict=True) if w)
        name = f"{trial['arm']} {trial['replicate']}"
        names = max(len(f"{each['arm']} {each['replicate']}") for each in running[:most])
        room = min(names, max(8, width - len(cells) - 6))
        lines.append(f"  ◐ {_cut(name, room):<{room}}  {cells}")
    return lines + ([f"  and {len(running) - most} more"] if len(running) > most else [])


def curve_rows(running: Sequence[Mapping[str, Any]], width: int) -> list[str]:
    """Validation accuracy of each running trial over its evaluations, all on one scale; head line first."""
    curves = {f"{trial['arm']} {trial['replicate']}": trial.get("curve", []) for trial in running}
    values = [value for curve in curves.values() for value in curve]
    if not values:
        return ["no running trial was evaluated yet"]
    low, high = min(values), max(values)
    names = max(map(len, curves))
    room = max(8, width - names - 34)
    lines = [f"validation accuracy over evaluations, ▁ {100 * low:.1f} to █ {100 * high:.1f} %"]
    for name, curve in curves.items():
        drawn = "".join(_bar(value, low, high) for value in _thinned(curve, room))
        if curve:
            drawn += f"  now {100 * curve[-1]:.1f}, best {100 * max(curve):.1f}, of {len(curve)}"
        lines.append(f"  {name:<{names}}  {drawn or 'none yet'}")
    return lines


BARS = "▁▂▃▄▅▆▇█"


def _bar(value: float, low: float, high: float) -> str:
    share = (value - low) / (high - low) if high > low else 1.0
    return BARS[min(len(BARS) - 1, int(share * len(BARS)))]


def _thinned(curve: Sequence[float], most: int) -> list[float]:
    """At most so many values: of each run of neighbours the last, so that the end is the end."""
    if len(curve) <= most:
        return list(curve)
    return [curve[(i + 1) * len(curve) // most - 1] for i in range(most)]


def _facts(trial: Mapping[str, Any]) -> list[str]:
    """What a running trial's line says, most important first."""
    if trial.get("epoch") is None:
        return ["reading, building", "", "", "", "", duration(trial["seconds"])]
    share = (trial["stage"] - 1 + trial["epoch"] / trial["epochs"]) / trial["stages"]
    left = trial["seconds"] * (1 - share) / share
    memory = trial.get("memory_mb")
    return [
        f"{trial['stage']}/{trial['stages']} ep {trial['epoch']}/{trial['epochs']}",
        f"loss {trial['loss']:.3f}",
        f"val accuracy {100 * trial['val_accuracy']:.1f} %",
        f"{trial['images_per_s']:,.0f}/s",
        "" if memory is None else f"{memory / 1000:.1f} GB",
        f"{duration(left)} left",
    ]


def _cut(text: str, width: int) -> str:
    return text if len(text) <= width else text[: width - 1] + "…"
