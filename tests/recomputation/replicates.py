"""Rows of numbers, one for each trial and item, to effects: over seeds and items, or over folds."""

from collections.abc import Sequence

import numpy as np

from .formulas import Effect, gap, two_way
from .jackknife import by_image, per_item
from .records import Answers, Study, Trial

FEW = 10  # items on which two arms have to disagree, or that an arm has to get wrong, before more is said
Rows = list[np.ndarray] | None
"""Of each trial (M,), by items; None where one of them has none."""


def rows(trials: Sequence[Trial], name: str, score: str = "accuracy") -> Rows:
    """What each trial's score on a set hangs on."""
    found = []
    for trial in trials:
        key = trial.keys[name]
        if (key, score) not in trial.rows:
            trial.rows[key, score] = per_item(trial.answers(key), score)
        found.append(trial.rows[key, score])
    known = [row for row in found if row is not None]
    return known if len(known) == len(found) else None


CHANCE = {"auc": 0.5}
"""What a diverged trial scores, where that is not one over the classes."""


def ended(study: Study, trials: Sequence[Trial], name: str, score: str = "accuracy") -> Rows:
    """The same, a diverged trial scoring as chance on every item. At least one of them is done."""
    done = rows([trial for trial in trials if trial.done], name, score)
    if not done:
        return None
    known = iter(done)
    chance = CHANCE.get(score, 1 / len(study.classes))
    return [next(known) if trial.done else np.full_like(done[0], chance) for trial in trials]


def minus(first: Rows, second: Rows) -> Rows:
    """First minus second."""
    if first is None or second is None:
        return None
    return [one - two for one, two in zip(first, second, strict=True)]


def effect(study: Study, trials: Sequence[Trial], values: Rows, name: str) -> Effect | None:
    """Of rows on a set: over seeds and items. With folds over folds, seeds of one averaged first.

    A set of each fold's own images has them inside the fold's mean, and training images are shared: the
    corrected resampled variance. A set that all folds' models score is two-way, V_seed corrected as well.
    """
    if values is None or len(values) < 2:
        return None
    if study.folds is None:
        return two_way(np.array(values)) if len(values[0]) > 1 else None
    folds = list(dict.fromkeys(trial.fold for trial in trials))
    averaged = [
        np.mean([row for row, trial in zip(values, trials, strict=True) if trial.fold == fold], axis=0)
        for fold in folds
    ]
    J, k = len(folds), study.folds
    if J < 2:
        return None
    if len({trial.keys[name] for trial in trials}) > 1:
        means = np.array([row.mean() for row in averaged])
        variance = (1 / J + 1 / (k - 1)) * float(np.var(means, ddof=1))
        return Effect(float(means.mean()), variance, 0.0, 0.0, J, (J,))
    found = two_way(np.array(averaged))
    v_seed = found.v_seed * (1 + J / (k - 1))
    return Effect(found.mean, v_seed, found.v_item, found.v_both, J, found.items)


def gap_effect(study: Study, trials: Sequence[Trial], local: Rows, hidden: Rows, name: str) -> Effect | None:
    """Of local minus hidden. With folds local images are inside their folds' means."""
    if local is None or hidden is None or len(local) < 2:
        return None
    if study.folds is None:
        return gap(np.array(local), np.array(hidden))
    both = [here.mean() - there for here, there in zip(local, hidden, strict=True)]
    return effect(study, trials, both, name)


def replicates(study: Study, trials: Sequence[Trial]) -> int:
    """Seeds, or folds."""
    return len({trial.fold for trial in trials}) if study.folds else len(trials)


def among(answers: Answers, images: np.ndarray) -> int:
    """How many items have one of the images that are chosen (M,), by their ids."""
    if answers.groups is None:
        return int(images.sum())
    _, first = np.unique(answers.ids, return_index=True)
    return len(np.unique(answers.groups[first][images]))


def ever(trials: Sequence[Trial], name: str, images: Sequence[np.ndarray]) -> int:
    """Items of which an image was chosen in any trial, of all folds' sets."""
    found: dict[str, np.ndarray] = {}
    shown: dict[str, Answers] = {}
    for trial, chosen in zip(trials, images, strict=True):
        key = trial.keys[name]
        shown[key] = trial.answers(key)
        found[key] = found[key] | chosen if key in found else chosen
    return sum(among(shown[key], chosen) for key, chosen in found.items())


def _shares(trials: Sequence[Trial], name: str) -> list[np.ndarray]:
    return [by_image(trial.answers(trial.keys[name])) for trial in trials]


def differing(first: Sequence[Trial], second: Sequence[Trial], name: str) -> int:
    """Items on which two arms are ever not equally right."""
    both = zip(_shares(first, name), _shares(second, name), strict=True)
    return ever(first, name, [one != two for one, two in both])


def wrong(trials: Sequence[Trial], name: str) -> int:
    """Items that are ever answered wrongly."""
    return ever(trials, name, [share < 1 for share in _shares(trials, name)])


def items(trials: Sequence[Trial], name: str) -> int:
    """All items of a set, with folds of all their sets."""
    return ever(trials, name, [np.ones(len(share), bool) for share in _shares(trials, name)])
