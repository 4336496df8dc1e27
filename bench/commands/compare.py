"""``bench compare``: two studies of a results folder side by side, from their records."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

from bench.commands.status import planned, read_plan
from bench.errors import UserError, did_you_mean
from bench.judge import whole
from bench.judge.comparing import Comparison, Pair, Side, compare
from bench.judge.used import as_used
from bench.machine import Machine
from bench.report.cells import effect, number
from bench.report.naming import plain
from bench.store import Store


def side_by_side(first: str, second: str, machine: Machine, *, as_json: bool) -> str:
    """Two studies, or two arms, compared on the sets that both scored.

    first, second   a study's file or name, or ``STUDY/ARM``

    Raises UserError for a study that was never run, an arm it has not, and where no scored set is shared.
    """
    store = Store(machine.results)
    sides = _side(first, store), _side(second, store)
    found = compare(*sides, store)
    if as_json:
        return json.dumps(_data(found), indent=1, ensure_ascii=False)
    names = [f"{side.study.name}{'/' * bool(side.arm)}{side.arm}" for side in sides]
    if not found.pairs:
        sets = [", ".join(of) for of in found.apart]
        raise UserError(
            f"{names[0]} and {names[1]} have no set of the same images: {sets[0]}; {sets[1]}\n"
            "    a set is the same where its source, size and, of the local one, its split are"
        )
    blocks = [_table(found.pairs, names), _settings(found), list(_notes(found, names))]
    return "\n\n".join("\n".join(block) for block in blocks if block)


def _side(written: str, store: Store) -> Side:
    name, arm = (written, "") if written.endswith(".toml") else _split(written, store)
    study = Path(name).stem if name.endswith(".toml") else name
    plan = read_plan(study, store)
    used = as_used(plan, store)
    labels = [one.label for one in used.arms]
    if arm and arm not in labels:
        raise UserError(f"{written}: {study} has no arm {arm!r}; {did_you_mean(arm, labels)}")
    return Side(used, plan, arm)


def _split(written: str, store: Store) -> tuple[str, str]:
    """``STUDY`` or ``STUDY/ARM``; an arm may hold a slash, a study may not."""
    name, _, arm = written.partition("/")
    if name not in planned(store) and not whole.parts(name, store):
        hint = did_you_mean(name, planned(store)) if planned(store) else "bench run makes it"
        raise UserError(f"{store.root} holds no study {name!r}; {hint}")
    return name, arm


def _table(pairs: tuple[Pair, ...], names: list[str]) -> list[str]:
    """Columns of words to the left, of numbers to the right."""
    head = ["set", "score", "arm", *names, "Δ (second − first)", "seeds"]
    rows = [head, *(_row(pair) for pair in pairs)]
    widths = [max(len(row[i]) for row in rows) for i in range(len(head))]
    lines = []
    for row in rows:
        words = [cell.ljust(width) for cell, width in zip(row[:3], widths[:3], strict=True)]
        numbers = [cell.rjust(width) for cell, width in zip(row[3:], widths[3:], strict=True)]
        lines.append("  ".join([*words, *numbers]).rstrip())
    return lines


def _row(pair: Pair) -> list[str]:
    share = pair.effect is None or pair.effect.unit == "points"
    times, digits = (100.0, 1) if share else (1.0, 3)
    values = [number(times * one.mean, digits) if one else "–" for one in pair.values]
    arm = pair.arms[0] if pair.arms[0] == pair.arms[1] else f"{pair.arms[0]} → {pair.arms[1]}"
    where = pair.sets[0] if pair.sets[0] == pair.sets[1] else f"{pair.sets[0]} → {pair.sets[1]}"
    told = effect(pair.effect) if pair.effect else "–"
    between = "the same trials" if pair.same else told
    return [*map(plain, (where, pair.score, arm)), *values, between, str(pair.seeds)]


def _settings(found: Comparison) -> list[str]:
    lines = [f"  every arm: {_change(each)}" for each in found.everywhere]
    for arms, changes in found.further.items():
        name = arms[0] if arms[0] == arms[1] else f"{arms[0]} → {arms[1]}"
        lines += [f"  {plain(name)}: {_change(each)}" for each in changes]
    return ["what differs, first → second", *lines] if lines else ["the arms compared are set alike"]


def _change(each: tuple[str, str, str]) -> str:
    return plain(f"{each[0]} = {each[1]} → {each[2]}")


def _notes(found: Comparison, names: list[str]) -> list[str]:
    lines = ["Δ is pointwise, over seeds and images, and no verdict: nobody declared it beforehand."]
    if not found.drawn_alike:
        lines.append("The images to train on differ: equal seeds are no equal draws, and only images pair.")
    if len(found.devices) > 1:
        lines.append(f"Trained on more than one kind of device: {', '.join(found.devices)}.")
    for name, arms, sets in zip(names, found.alone, found.apart, strict=True):
        if arms:
            lines.append(f"{name} alone has the arms {', '.join(map(plain, arms))}.")
        if sets:
            lines.append(f"{name} alone has the sets {', '.join(map(plain, sets))}, with these images.")
    return lines


def _data(found: Comparison) -> dict[str, Any]:
    """All of it, for programs. Differences are fractions."""
    pairs = [asdict(pair) for pair in found.pairs]
    further = [
        {"arms": arms, "settings": [list(each) for each in of]} for arms, of in found.further.items() if of
    ]
    return {
        "pairs": pairs,
        "everywhere": [list(each) for each in found.everywhere],
        "further": further,
        "alone": found.alone,
        "apart": found.apart,
        "devices": found.devices,
        "drawn_alike": found.drawn_alike,
    }
