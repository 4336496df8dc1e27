"""Some images of a set alone: trials that answered for no others, and metrics that are about them."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from .records import LOCAL, Answers, Study, Trial

Slice = tuple[str, str]
"""A column of a table, and the value that images have there."""
View = Callable[[Trial], Trial]
FEWEST = 10
"""Images of a slice, for a verdict and for an interval."""


class Part(Trial):
    """A trial of which a set has some images alone."""

    def __init__(self, whole: Trial, name: str, chosen: Callable[[Answers], np.ndarray]) -> None:
        own = ("rows", "_answers", "parts")
        self.__dict__ |= {key: value for key, value in vars(whole).items() if key not in own}
        self.rows, self._answers, self.parts, self._whole = {}, {}, {}, whole
        self._key, self._chosen = self.keys[name], chosen

    def answers(self, key: str) -> Answers:
        if key != self._key:
            return self._whole.answers(key)
        if key not in self._answers:
            answers = self._whole.answers(key)
            self._answers[key] = answers.of(self._chosen(answers))
        return self._answers[key]


def whole_and_slice(metric: str) -> tuple[str, Slice | None]:
    """`local.accuracy where scanner is B`: the metric on the whole set, and the slice."""
    whole, where, which = metric.partition(" where ")
    column, _, value = which.partition(" is ")
    return whole, (column, value) if where else None


def metric_of(study: Study, claim: dict[str, Any]) -> str:
    """What a claim is about."""
    metric: str = claim.get("metric", study.primary)
    for column, value in claim.get("slice", {}).items():
        metric += f" where {column} is {value}"
    return metric


def slices(study: Study, name: str) -> dict[str, dict[str, np.ndarray]]:
    """Column → value → ids (M,) of a set's images that have it, as `slices.npz` has them.

    A corrupted set has those of the local one.
    """
    corrupted = study.file.get("hidden", {}).get(name, {}).get("kind") == "corrupted"
    return study.slices.get(LOCAL if corrupted else name, {})


def images(study: Study, metric: str) -> np.ndarray:
    """Ids (M,) of the images that a metric on a slice is about; of no such slice none."""
    whole, part = whole_and_slice(metric)
    column, value = part or ("", "")
    return slices(study, whole.partition(".")[0]).get(column, {}).get(value, np.empty(0, np.uint64))


def withheld(study: Study, metric: str) -> str:
    """Why what is on a slice is not judged; empty where it is."""
    whole, part = whole_and_slice(metric)
    known, name = len(images(study, metric)), whole.partition(".")[0]
    if part is None:
        return ""
    if known < FEWEST:
        return f"not judged: {known} image{'s' * (known != 1)} known of it, {FEWEST} needed"
    tested = there(study, study.finished(study.baseline), name, view(study, metric))
    return "" if any(tested) else "not judged: no image of it was tested on"


def view(study: Study, metric: str) -> View:
    """Of a metric on a slice, a trial as one that answered for those images alone; else the trial."""
    whole, part = whole_and_slice(metric)
    if part is None:
        return lambda trial: trial
    name, wanted = whole.partition(".")[0], images(study, metric)

    def seen(trial: Trial) -> Trial:
        if (name, part) not in trial.parts:
            trial.parts[name, part] = Part(trial, name, lambda answers: np.isin(answers.ids, wanted))
        return trial.parts[name, part]

    return seen


def there(study: Study, trials: Sequence[Trial], name: str, seen: View) -> list[bool]:
    """Whether the set that each trial was scored on has an image of what is looked at."""
    every = [trial for each in study.arms.values() for trial in each if trial.done]
    known = {trial.keys[name]: trial for trial in every}
    sizes = {key: len(seen(trial).answers(key).labels) for key, trial in known.items()}
    return [sizes.get(trial.keys[name], 1) > 0 for trial in trials]
