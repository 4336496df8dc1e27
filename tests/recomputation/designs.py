"""What a level changes over all settings of the others, in grids and screens; ladders rung by rung."""

from itertools import product
from typing import Any

import numpy as np

from . import screens, settings
from .family import Family
from .formulas import LEVEL, two_way
from .records import Row, Study
from .replicates import rows as rows_of
from .rows import effect, verdict


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


def factor_rows(study: Study, family: Family) -> list[Row]:
    """Of a screen: its effects, of interactions that are one column the first."""
    names, rows, told = screens.factors(study), [], set()
    aliases = screens.aliases(study)
    for sides, weights in screens.effects(study).items():
        column = tuple(weight > 0 for weight in weights.values())
        turned = tuple(not one for one in column)
        if sides[1] == screens.BOTH and {column, turned} & told:
            continue
        told.add(column)
        name = (*sides, study.primary)
        asked = name in family.members
        found = family.verdict(name) if asked else None
        one = found.comparison if found else screens.compare(study, name)
        assert one is not None
        row: Row = {"effect_of": _against(names, sides)} | effect(
            "effect", one, found.level if found else LEVEL
        )
        if any((*each, study.primary) in family.members for each in screens.effects(study)):
            row |= verdict(found)
        row |= {"aliases": ", ".join(aliases[sides]) or None}
        rows.append(row | {"blocks": len(weights) // 2, "cells": len(weights), "seeds": one.seeds})
    return rows


def _against(names: dict[str, list[str]], sides: tuple[str, str]) -> str:
    wanted = sides[0].split(" × ") if sides[1] == screens.BOTH else [sides[0].removeprefix("with ")]
    return " × ".join(
        f"{name} {on} against {off}" for name, (off, on) in names.items() if screens.value(name, on) in wanted
    )


def ladder_rows(study: Study, family: Family) -> list[Row]:
    """Rung by rung: against the one below, and against the first."""
    if study.file.get("design") != "ladder":
        return []
    rows, below = [], None
    for arm in study.arms:
        row: Row = {"arm": arm, "adds": settings.added(study, below, arm) if below else None}
        for stem, reference in (("step", below), ("whole", study.baseline if below else None)):
            found = family.verdict((arm, reference, study.primary)) if reference else None
            row |= effect(f"{stem}_effect", found and found.comparison, stem=f"{stem}_")
            row |= {f"{stem}_{key}": value for key, value in verdict(found).items()}
        rows.append(row)
        below = arm
    return rows
