"""Made-up predictions, written as anybody's training loop would write them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd

CLASSES = ("cat", "dog", "owl")
SKILL = {"plain": 1.0, "mixup": 2.8, "noisy": 0.4}


def predicted(
    arms: Sequence[str] = ("plain", "mixup"),
    seeds: Sequence[int] = (0, 1, 2),
    sets: Mapping[str, int] | None = None,
) -> pd.DataFrame:
    """What arms say of images of each set (name → how many), the same images for all."""
    tables = []
    for name, count in (sets or {"local": 60}).items():
        labels = np.arange(count) % len(CLASSES)
        hard = np.random.default_rng([count, len(name)]).normal(0, 1, count)
        for place, arm in enumerate(arms):
            for seed in seeds:
                draw = np.random.default_rng([place, seed, len(name)])
                logits = draw.normal(0, 0.8, (count, len(CLASSES)))
                logits[np.arange(count), labels] += SKILL.get(arm, 1.0) - hard
                said = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
                about = {"arm": arm, "seed": seed, "set": name}
                table = pd.DataFrame(about | {"image": [f"{name}-{i:03}.png" for i in range(count)]})
                table["label"] = [CLASSES[k] for k in labels]
                table[[f"p_{name}" for name in CLASSES]] = said
                tables.append(table)
    return pd.concat(tables, ignore_index=True)


def write(table: pd.DataFrame, path: Path) -> Path:
    """As a CSV file; returns its path."""
    path.parent.mkdir(parents=True, exist_ok=True)
    table.to_csv(path, index=False)
    return path


def answered(table: pd.DataFrame) -> pd.DataFrame:
    """The same with the most probable class alone."""
    columns = [f"p_{name}" for name in CLASSES]
    best = table[columns].to_numpy().argmax(1)
    return table.drop(columns=columns).assign(pred=[CLASSES[k] for k in best])
