"""A clock and cells for tests of the live board."""

from __future__ import annotations

from bench.progress.board import Cell


class Clock:
    """Time that passes when told."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def cells(**arms: str) -> dict[tuple[str, str], Cell]:
    """``a="dm"``: arm a with a done and a missing trial, ids a0 and a1; what is done took ten seconds."""
    states = {"d": "done", "m": "missing", "x": "diverged"}
    made = [
        Cell(f"{arm}{i}", arm, states[mark], 10.0 if mark == "d" else 0.0)  # type: ignore[arg-type]
        for arm, marks in arms.items()
        for i, mark in enumerate(marks)
    ]
    return {(cell.arm, cell.trial): cell for cell in made}
