"""Screens and ladders: what they compare, and effects of factors over all arms."""

import itertools
import math
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from . import ordered
from .comparisons import LOWER, UNITS, Comparison, cost
from .formulas import paired
from .parts import View, metric_of, whole_and_slice, withheld
from .parts import view as view_of
from .records import LOCAL, Study, Trial
from .replicates import by_image, effect, ever, gap_effect, replicates, rows
from .sharing import lend

Name = tuple[str, str, str]
BOTH = "the sum of both"
NOTHING = 1e-9  # what is left of shares that cancel out


def factors(study: Study) -> dict[str, list[str]]:
    """Factor → labels of its levels, the recipe's own first."""
    found: dict[str, list[str]] = {}

    def look(table: Mapping[str, Any], before: str) -> None:
        for key, value in table.items():
            name = before + key
            if isinstance(value, list):
                found[name] = [_label(name, one) for one in value]
            elif list(value) == ["toggle"]:
                for one in value["toggle"]:
                    found[f"{name}.{one if isinstance(one, str) else one['name']}"] = ["off", "on"]
            elif all(isinstance(one, dict) for one in value.values()):
                found[name] = list(value)
            else:
                look(value, name + ".")

    look(study.file.get("factors", {}), "")
    return found


def _label(name: str, value: Any) -> str:
    return value if isinstance(value, str) else f"{name.rpartition('.')[2]}={value:g}"


def levels(study: Study) -> dict[str, tuple[int, ...]]:
    """Arm → which of the factors it has: its name says what is on."""
    names, called = factors(study), {}
    toggles = [name.rpartition(".")[2] if name.startswith("augment.") else name for name in names]
    on = [
        toggle if labels[1] == "on" else labels[1]
        for toggle, labels in zip(toggles, names.values(), strict=True)
    ]
    for run in itertools.product((0, 1), repeat=len(names)):
        called[" + ".join(label for label, there in zip(on, run, strict=True) if there) or "none"] = run
    return {arm: called[arm] for arm in study.arms}


def effects(study: Study) -> dict[tuple[str, str], dict[str, float]]:
    """(with, without) → each arm's weight; after the factors every two of them."""
    if study.file.get("design") != "screen":
        return {}
    runs = levels(study)
    coded = {arm: [2 * there - 1 for there in run] for arm, run in runs.items()}
    names, size = factors(study), len(runs)
    found = {}
    for i, (name, (off, on)) in enumerate(names.items()):
        sides = (_side(name, on, "with"), _side(name, off, "without" if off == "off" else "with"))
        found[sides] = {arm: 2 * code[i] / size for arm, code in coded.items()}
    for i, j in itertools.combinations(range(len(names)), 2):
        both = " × ".join(value(name, names[name][1]) for name in (list(names)[i], list(names)[j]))
        found[both, BOTH] = {arm: 4 * code[i] * code[j] / size for arm, code in coded.items()}
    return found


def averaged(study: Study) -> dict[tuple[str, str], dict[str, float]]:
    """All that is told from several arms: the effects of a screen, lines through levels in an order."""
    return effects(study) | ordered.lines(study)


def _side(name: str, level: str, word: str) -> str:
    return f"{word} {value(name, level)}"


def value(name: str, level: str) -> str:
    if level in ("on", "off"):
        return name
    return level if level.startswith(name.rpartition(".")[2] + "=") else f"{name} {level}"


def declared(study: Study) -> list[tuple[str, str]]:
    """What a study compares on its primary metric, beside its claims."""
    others = [arm for arm in study.arms if arm != study.baseline]
    if study.file.get("design") == "screen":
        return list(effects(study))[: len(factors(study))]
    pairs = [(arm, study.baseline) for arm in others]
    if study.file.get("design") == "ladder":
        pairs += [(upper, lower) for lower, upper in itertools.pairwise(study.arms)]
    return list(dict.fromkeys(pairs))


def aliases(study: Study) -> dict[tuple[str, str], list[str]]:
    """What else each effect's number holds: other effects of which the arms' scores give it a share."""
    every = effects(study)
    found: dict[tuple[str, str], list[str]] = {}
    for sides, weights in every.items():
        found[sides] = []
        for other, theirs in every.items():
            # scores of a world in which that other effect is 1 and nothing else is
            unit = {arm: weight / sum(w * w for w in theirs.values()) for arm, weight in theirs.items()}
            share = sum(weights[arm] * unit[arm] for arm in weights)
            if other != sides and abs(share) > NOTHING:
                size = {0.5: "½ ", 1.0: "", 2.0: "2 · "}.get(round(abs(share), 9), f"{abs(share):.2g} ")
                found[sides].append(f"{'−' if share < 0 else ''}{size}{other[0].removeprefix('with ')}")
    return found


def held(study: Study, pair: tuple[str, str]) -> str:
    """The same in a sentence about a comparison."""
    every = aliases(study)
    listed = every.get(pair) or [
        name.removeprefix("−") if name.startswith("−") else f"−{name}" for name in every.get(pair[::-1], [])
    ]
    return f"also holds {', '.join(listed)}" if listed else ""


def told(study: Study, order: list[str]) -> list[tuple[str, str]]:
    """The same in the order of a report: factors by size, rungs as written, arms as in the first table."""
    if study.file.get("design") == "screen":
        found = {pair: compare(study, (*pair, study.primary)) for pair in declared(study)}
        means = {pair: one.effect.mean for pair, one in found.items() if one and one.effect}
        return sorted(means, key=lambda pair: -abs(means[pair]))
    pairs = [(arm, study.baseline) for arm in order[1:]]
    steps = [pair for pair in declared(study) if pair not in pairs]
    if study.file.get("design") == "ladder" and steps:
        return list(dict.fromkeys([pairs[0], *steps, pairs[-1], *pairs]))
    return pairs


def claimed(study: Study, claim: dict[str, Any]) -> list[Name]:
    """The comparison of a claim about a factor, about two, or about levels in an order."""
    if "over" in claim:
        return [ordered.claimed(study, claim)]
    wanted = claim["effect"] if isinstance(claim["effect"], list) else [claim["effect"]]
    names = list(factors(study))
    place = sorted(names.index(name) for name in wanted)
    every = [(i,) for i in range(len(names))] + list(itertools.combinations(range(len(names)), 2))
    sides = list(effects(study))[every.index(tuple(place))]
    return [(*sides, metric_of(study, claim))]


def compare(
    study: Study, name: Name, look: int | None = None, view: View = lambda trial: trial
) -> Comparison | None:
    """An effect on any metric, on the seeds that all arms finished; None of what compares two arms.

    look  as many of each arm's seeds, in their order; all
    view  what of each trial is looked at
    """
    first, second, metric = name
    found, sign = averaged(study), 1.0
    if (second, first) in found:
        first, second, sign = second, first, -1.0
    if (first, second) not in found:
        return None
    if why := withheld(study, metric):
        return Comparison(*name, 0, withheld=why)
    if whole_and_slice(metric)[1]:
        if study.folds:
            raise NotImplementedError("slices of a screen over folds")
        view = view_of(study, metric)
    weights = {arm: sign * weight for arm, weight in found[first, second].items()}
    done = {arm: [t for t in study.arms[arm][:look] if t.done] for arm in weights}
    common = set.intersection(*({trial.replicate for trial in trials} for trials in done.values()))
    trials = {arm: [view(t) for t in done[arm] if t.replicate in common] for arm in weights}
    over = next(iter(trials.values()))
    kind, _, what = whole_and_slice(metric)[0].partition(".")
    seeds = replicates(study, over)
    plain = Comparison(*name, seeds, delta=study.delta(what if kind == "gap" else kind))

    def total(name: str, score: str = "accuracy") -> list[np.ndarray]:
        each = [(weight, rows(trials[arm], name, score) or []) for arm, weight in weights.items()]
        return [sum(weight * part[i] for weight, part in each) for i in range(len(over))]

    if kind == "gap":
        return replace(plain, effect=gap_effect(study, over, total(LOCAL), total(what), what), sign=-1)
    if kind == "cost":
        logs = [[weight * math.log(cost(t, what)) for t in trials[arm]] for arm, weight in weights.items()]
        return replace(plain, effect=paired(np.sum(logs, axis=0)), sign=-1, delta=None)
    return replace(
        plain,
        effect=effect(study, over, total(kind, what), kind),
        sign=-1 if what in LOWER else 1,
        delta=None if what in UNITS else plain.delta,
        differing=_differing(trials, weights, kind),
    )


def _differing(trials: Mapping[str, list[Trial]], weights: Mapping[str, float], name: str) -> int:
    """Items with an image on which the arms' answers do not cancel out in some seed."""
    shares = {arm: [by_image(t.answers(t.keys[name])) for t in of] for arm, of in trials.items()}
    over = next(iter(trials.values()))
    sums = [sum(w * shares[arm][i] for arm, w in weights.items()) for i in range(len(over))]
    return ever(over, name, [abs(one) > NOTHING for one in sums])


def arms(study: Study, name: Name) -> set[str]:
    """All that a comparison is told from."""
    every = averaged(study)
    return set(every.get(name[:2]) or every.get((name[1], name[0])) or name[:2])


def sides(study: Study) -> set[tuple[str, str]]:
    """What effects compare, told from either side."""
    return {one for pair in averaged(study) for one in (pair, pair[::-1])}


def shared(
    study: Study, members: Mapping[Name, Comparison], look: int | None = None
) -> dict[Name, Comparison]:
    """With what decides: as variances of a single arm, since contrasts weigh the arms differently."""
    found = dict(members)
    for metric in {name[2] for name in members}:
        mine = [name for name in members if name[2] == metric]
        further = [(*one, metric) for one in _unasked(study, [name[:2] for name in mine])]
        told = {}
        for name in [*mine, *further]:
            one = members.get(name) or compare(study, name, look)
            if one and one.effect and not one.reason:
                v = (one.effect.v_seed, one.effect.v_item, one.effect.v_both)
                parts = zip(("v_seed", "v_item", "v_both"), v, strict=True)
                told[name] = replace(one.effect, **{key: part / _size(study, name) for key, part in parts})
        apart = study.file.get("design") == "screen"
        for name, shrunk in lend(told, len(told), orthogonal=apart).items():
            own = found.get(name)
            if own and own.effect and shrunk.by:
                v_seed = shrunk.by.v_seed * _size(study, name)
                by = replace(own.effect, v_seed=v_seed, lent=shrunk.by.lent)
                found[name] = replace(own, effect=replace(own.effect, by=by))
    return found


def _size(study: Study, name: Name) -> float:
    every = averaged(study)
    weights = every.get(name[:2]) or every[name[1], name[0]]
    return sum(weight**2 for weight in weights.values())


def _unasked(study: Study, asked: list[tuple[str, str]]) -> list[tuple[str, str]]:
    """Effects that are no number of what was asked for, nor of one another: factors first."""
    every, found = effects(study), []
    taken = [one for pair in asked if (one := every.get(pair) or every.get(pair[::-1]))]
    for pair, weights in every.items():
        if all(abs(sum(w * other[arm] for arm, w in weights.items())) < NOTHING for other in taken):
            taken.append(weights)
            found.append(pair)
    return found


def seen(study: Study, arm: str) -> float:
    """By which the arms of a screen are ordered, for none is judged: the difference to the baseline."""
    others = {t.seed: t for t in study.finished(study.baseline)}
    both: list[tuple[Trial, Trial]] = [(t, others[t.seed]) for t in study.finished(arm) if t.seed in others]
    mine, theirs = (np.array(rows(side, study.primary_set)) for side in zip(*both, strict=True))
    return float(np.mean(mine - theirs))
