"""What the arms share, what each changed, and what else came to differ with it."""

from __future__ import annotations

import itertools
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeGuard

from bench.identity import identity
from bench.judge.outcomes import Outcome, Outcomes, device, gang, trained
from bench.recipe import SOURCE_KEYS, Choice, Recipe
from bench.registry import augmentations, sources
from bench.study.command import named
from bench.study.patch import look_up
from bench.study.read import Arm, Study

NOTICED = 1.02
"""Ratio from which a difference in steps or parameters is worth a word."""


@dataclass(frozen=True)
class Change:
    """One setting in which an arm differs from the baseline."""

    arm: str
    setting: str
    baseline: str
    value: str


def flat(arm: Arm) -> dict[str, str]:
    """Every setting of an arm, by dotted key, spelled as in a study; of one trained elsewhere none."""
    if arm.elsewhere:
        return {}
    if arm.recipe.command:
        return _own(_of_command(arm.recipe) | _flatten(arm.data.model_dump(mode="json"), "data."), arm)
    settings = _flatten(arm.recipe.model_dump(mode="json"), "")
    return _own(settings | _flatten(arm.data.model_dump(mode="json"), "data."), arm)


def _own(settings: dict[str, str], arm: Arm) -> dict[str, str]:
    """Without keys of ``[data]`` that are another source's; of one whose code is not here all are kept."""
    name = arm.data.source.partition(":")[0]
    others = {f"data.{key}" for key in SOURCE_KEYS if name in sources and key not in sources[name].takes}
    return {key: value for key, value in settings.items() if key not in others}


def _of_command(recipe: Recipe) -> dict[str, str]:
    """All that says how a command trains: itself, and what is filled in."""
    tree = recipe.model_dump(mode="json")
    return {"command": recipe.command} | {key: spell(look_up(tree, key)) for key in named(recipe.command)}


def _flatten(table: Mapping[str, Any], prefix: str) -> dict[str, str]:
    found: dict[str, str] = {}
    for key, value in table.items():
        if isinstance(value, dict):
            found |= _flatten(value, f"{prefix}{key}.")
        else:
            found[prefix + key] = spell(value)
    return found


def spell(value: Any) -> str:
    """A value on one line, as TOML would write it; unset values and keys are left out."""
    if value is None:
        return "–"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, list | tuple):
        return "[" + ", ".join(map(spell, value)) + "]"
    if isinstance(value, dict):
        named = {key: v for key, v in value.items() if v is not None}
        if "name" in named:
            rest = ", ".join(f"{key} = {spell(v)}" for key, v in named.items() if key != "name")
            return f"{named['name']}({rest})" if rest else str(named["name"])
        return "{" + ", ".join(f"{key} = {spell(v)}" for key, v in named.items()) + "}"
    return f"{value:g}" if isinstance(value, float) else str(value)


def shared(study: Study) -> tuple[tuple[str, str], ...]:
    """Settings that no arm changes; a key that takes no part in ids at its default is none of them."""
    arms = () if study.elsewhere else study.arms
    tables = [
        _own(
            (_of_command(a.recipe) if a.recipe.command else _flatten(identity(a.recipe), ""))
            | _flatten(identity(a.data), "data."),
            a,
        )
        for a in arms
    ]
    first = tables[0] if tables else {}
    same = {key: value for key, value in first.items() if all(table.get(key) == value for table in tables)}
    if same.get("model.weights", "–") != "–":
        same.pop("model.pretrained", None)  # it is of the hub's weights; false beside a file of them misleads
    return tuple((key, value) for key, value in same.items() if value != "–")


def changes(study: Study, order: Sequence[str]) -> tuple[Change, ...]:
    """Every setting in which an arm differs from the baseline."""
    base = flat(study.arm(study.baseline))
    found = []
    for label in order:
        own = flat(study.arm(label))
        programs = [arm for arm in (study.arm(study.baseline), study.arm(label)) if arm.recipe.command]
        # Of an arm that bench trains and one that a program does, only what the program has is told.
        for key in dict.fromkeys([*base, *own] if len(programs) != 1 else flat(programs[0])):
            before, after = base.get(key, "–"), own.get(key, "–")
            if before != after:
                found.append(Change(label, key, before, after))
    return tuple(found)


def rungs(study: Study) -> list[str]:
    """Of every arm, what it has and the one written before it has not; of the first nothing."""
    return ["", *(added(lower, upper) for lower, upper in itertools.pairwise(study.arms))]


def added(lower: Arm, upper: Arm) -> str:
    """What an arm has that another one, which it builds on, has not: ``augment + cutmix, ema = 0.99``."""
    before, after = flat(lower), flat(upper)
    texts = []
    for key in dict.fromkeys([*before, *after]):
        was, now = before.get(key, "–"), after.get(key, "–")
        if was != now:
            further = _further(lower, upper) if key == "augment" else ""
            texts.append(f"{key} + {further}" if further else f"{key} = {now}")
    return ", ".join(texts)


def _further(lower: Arm, upper: Arm) -> str:
    """Augmentations that came in, where none went."""
    before, after = lower.recipe.augment, upper.recipe.augment
    kept = [one for one in after if one in before]
    new = [one for one in after if one not in before]
    return ", ".join(map(_short, new)) if kept == list(before) else ""


def _short(choice: Choice) -> str:
    """Its name, and the parameters that are not at their defaults."""
    fields = augmentations[choice.name].schema.model_fields if choice.name in augmentations else {}
    usual = {key: field.default for key, field in fields.items()}
    own = {key: value for key, value in choice.params.items() if key not in usual or usual[key] != value}
    return spell({"name": choice.name} | own)


def confounds(study: Study, outcomes: Outcomes, order: Sequence[str]) -> tuple[tuple[str, str], ...]:
    """What differs from the baseline beside an arm's own settings: steps, parameters, input size."""
    base = outcomes[study.baseline]
    found = []
    for label in order:
        texts = []
        own = outcomes[label]
        steps = _ratio(_mean(own, "steps"), _mean(base, "steps"))
        per_epoch = _ratio(_per_epoch(own), _per_epoch(base))
        if _noticed(steps):
            texts.append(f"{_times(steps)} the training steps")
        if _noticed(per_epoch):
            texts.append(f"{_times(per_epoch)} the steps per epoch")
        size = _ratio(parameters(own), parameters(base))
        if _noticed(size):
            texts.append(f"{_times(size)} the parameters")
        before, after = (study.arm(name).data.size_px for name in (study.baseline, label))
        if before != after:
            texts.append(f"input of {after} instead of {before} px")
        if texts:
            found.append((label, ", ".join(texts)))
    return tuple(found)


def cost_confounds(outcomes: Outcomes) -> tuple[str, ...]:
    """What makes times of this study hard to compare."""
    done = [o for trials in outcomes.values() for o in trials if o.state == "done"]
    kinds, sizes = sorted({device(o) for o in done}), [gang(o) for o in done]
    found = [f"trials ran on different kinds of device: {', '.join(kinds)}"] if len(kinds) > 1 else []
    if shared := sum(size > 1 for size in sizes):
        found.append(
            f"{shared} of {len(done)} trials took turns with others in one process, at most {max(sizes)} of "
            "them: their seconds and images/s are of their own turns, their memory is that of all"
        )
    return tuple(found)


def parameters(trials: Sequence[Outcome]) -> int | None:
    """Parameters of an arm's model."""
    known = [o.record.parameters for o in trials if o.record and o.record.parameters is not None]
    return known[0] if known else None


def _mean(trials: Sequence[Outcome], what: str) -> float | None:
    values = [v for o in trials if o.state == "done" and (v := trained(o, what)) is not None]
    return statistics.fmean(values) if values else None


def _per_epoch(trials: Sequence[Outcome]) -> float | None:
    return _ratio(_mean(trials, "steps"), _mean(trials, "epochs"))


def _ratio(a: float | None, b: float | None) -> float | None:
    return a / b if a and b else None


def _times(ratio: float) -> str:
    """``2.4×``, ``1.03×``: never a ratio of 1 that was noticed for not being it."""
    short = f"{ratio:.2g}"
    return f"{ratio:.3g}×" if short == "1" else f"{short}×"


def _noticed(ratio: float | None) -> TypeGuard[float]:
    return ratio is not None and not 1 / NOTICED <= ratio <= NOTICED
