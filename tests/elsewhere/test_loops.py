"""The loops of docs/judge.md, with stand-ins for the libraries around them, end in a report."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from tiny import machine_in

from bench.progress.terminal import Terminal
from bench.run.judging import Wanted, judge

PAGE = Path(__file__).resolve().parents[2] / "docs" / "judge.md"
CLASSES = ["cat", "dog", "owl"]
N = 60
LABELS = np.arange(N) % 3
NAMES = [f"img_{i:02}.png" for i in range(N)]
IMAGES = torch.from_numpy(np.eye(3, dtype=np.float32)[LABELS])
"""(N, 3): the class itself, which a model sees the better the less it is disturbed."""


def code_of(name: str) -> str:
    (found,) = re.findall(
        rf"^```python\n(# [^\n]*: {name}\n.*?)^```", PAGE.read_text(), re.DOTALL | re.MULTILINE
    )
    return str(found)


def network(arm: str, seed: int) -> torch.nn.Module:
    """Logits that are right the more often for ``better``."""
    torch.manual_seed(seed + 100 * (arm == "better"))

    class Net(torch.nn.Module):
        def forward(self, images: torch.Tensor) -> torch.Tensor:
            return images * (2.5 if arm == "better" else 1.0) + torch.randn_like(images)

    return Net()


class Batches:
    """What a loader is to a loop: batches of images and targets, and the data set behind them."""

    dataset = SimpleNamespace(filenames=lambda basename: NAMES)

    def __iter__(self) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
        for start in range(0, N, 16):
            yield IMAGES[start : start + 16], torch.from_numpy(LABELS[start : start + 16])


def lightning(arm: str, seed: int) -> dict[str, Any]:
    model = network(arm, seed)
    predict = lambda model, loader: [model(images) for images, _ in loader]  # noqa: E731
    return {
        "trainer": SimpleNamespace(predict=predict),
        "datamodule": SimpleNamespace(test_dataloader=Batches),
        "model": model,
        "names": NAMES,
        "labels": LABELS,
    }


def timm(arm: str, seed: int) -> dict[str, Any]:
    return {"model": network(arm, seed), "loader_eval": Batches()}


def keras(arm: str, seed: int) -> dict[str, Any]:
    net = network(arm, seed)
    predict = lambda images, verbose: net(torch.from_numpy(images)).softmax(1).numpy()  # noqa: E731
    images = IMAGES.numpy()
    return {
        "model": SimpleNamespace(predict=predict),
        "test": (images, LABELS, NAMES),
        "other": (images[:30], LABELS[:30], NAMES[:30]),
    }


@pytest.mark.parametrize(("loop", "name"), [(lightning, "Lightning"), (timm, "timm"), (keras, "Keras")])
def test_a_loop_that_is_not_ours_is_judged(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, loop: Any, name: str
) -> None:
    monkeypatch.chdir(tmp_path)
    code = compile(code_of(name), f"docs/judge.md, {name}", "exec")
    for arm in ("baseline", "better"):
        for seed in range(4):
            exec(code, {"arm": arm, "seed": seed, "classes": CLASSES} | loop(arm, seed))
    ending = judge(
        [Path("predictions")], machine_in(tmp_path), Wanted(name=name.lower()), Terminal(quiet=True)
    )
    assert dict(ending.counts) == {"done": 8}
    assert ending.verdicts[0].startswith("better: helps")


def test_no_snippet_is_longer_than_a_dozen_lines_and_all_are_run() -> None:
    blocks = re.findall(r"^```python\n(.*?)^```", PAGE.read_text(), re.DOTALL | re.MULTILINE)
    assert [code_of(name) for name in ("Lightning", "timm", "Keras")] == blocks
    for block in blocks:
        lines = [
            line
            for line in block.splitlines()
            if line.strip() and not line.startswith(("#", "import", "from"))
        ]
        assert len(lines) <= 10
