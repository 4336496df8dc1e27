"""Grids of factors: what a level changes, over all settings of the others."""

from itertools import product
from typing import Any

import numpy as np

from .formulas import two_way
from .records import Study
from .replicates import rows as rows_of


def _levels(study: Study) -> dict[str, list[str]]:
    """Factor → labels of its levels, the baseline's first."""
    found = {}
    for name, levels in study.file.get("factors", {}).items():
        if isinstance(levels, dict):
            found[name] = list(levels)
        else:
            found[name] = [f"{name}={level}" if not isinstance(level, str) else level for level in levels]
    return found


def main_effects(study: Study) -> list[dict[str, Any]]:
    """Of each level against the baseline's, over the settings of the others in which both were trained."""
    levels, rows = _levels(study), []
    arms = {
        tuple(labels): " + ".join(labels)
        for labels in product(*levels.values())
        if " + ".join(labels) in study.arms
    }
    name, _, score = study.primary.partition(".")
    if study.folds and levels:
        raise NotImplementedError("a grid over folds")
    for place, (factor, labels) in enumerate(levels.items()):
        for level in labels[1:]:
            ours = {cell: arm for cell, arm in arms.items() if cell[place] == level}
            blocks = []
            for cell, arm in ours.items():
                other = arms.get((*cell[:place], labels[0], *cell[place + 1 :]))
                if other is not None:
                    blocks.append((arm, other))
            cells = {arm for block in blocks for arm in block}
            seeds = set.intersection(*({t.seed for t in study.finished(arm)} for arm in cells))
            right = {
                arm: np.array(rows_of([t for t in study.finished(arm) if t.seed in seeds], name, score))
                for arm in sorted(cells)
            }
            found = two_way(np.mean([right[arm] - right[other] for arm, other in blocks], axis=0))
            rows.append(
                {
                    "effect_of": f"{factor} {level} against {labels[0]}",
                    "effect": found.mean,
                    "effect_low": found.ends()[0],
                    "effect_high": found.ends()[1],
                    "blocks": len(blocks),
                    "cells": len(cells),
                    "seeds": len(seeds),
                }
            )
    return rows
