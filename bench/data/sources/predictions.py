"""What others predicted: nothing to open, but the source that a judged study names."""

from __future__ import annotations

from pathlib import Path

from bench.data.content import Asked, Located
from bench.data.reader import Reader
from bench.errors import UserError
from bench.registry import sources


def locate(asked: Asked) -> Located:
    """Refuses: there are no images."""
    path = asked.written.partition(":")[2]
    raise UserError(f"{asked.written}: these are predictions, not images\n    bench judge {path}")


@sources.register("predictions", path="any", locate=locate, judged=True)
def predictions(path: Path) -> Reader:
    """No images, but what somebody else's training said of some: ``bench judge`` reads it.

    path   named by the studies that ``bench judge`` writes; nothing is trained on it
    """
    raise UserError(f"predictions:{path} holds no images; bench judge {path} judges it")
