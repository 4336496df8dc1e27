"""Predictions of others as records and a plan, like those of trials that were trained here."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from bench import metrics
from bench.elsewhere.answers import LOCAL, Answers, Trial
from bench.plan import ID_LENGTH, TEST, fingerprint
from bench.planned import PlanFile, PlannedArm, PlannedTrial
from bench.predictions import Predictions
from bench.record import Record
from bench.registry import metrics as scores_of
from bench.registry import models
from bench.study.read import Study

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

SOURCE = "elsewhere"
"""What a record says of where its images came from: no file's name, for ids are of content alone."""


class Recorder:
    """Makes records of answers, all of which are sound."""

    def __init__(self, answers: Answers, study: Study) -> None:
        self.answers, self.study = answers, study
        self._ids: dict[str, int] = {}
        self._sets: dict[tuple[str, int | None], tuple[str, Predictions]] = {}
        """Set and fold → its key, and its images with nothing said of them yet."""
        self._version = models["elsewhere"].version
        first: dict[int | None, Trial] = {}
        for trial in (one for one in answers.trials if not one.diverged):
            first.setdefault(trial.fold, trial)
        for trial in first.values():
            for place, name in enumerate(answers.sets):
                images = self._images(trial.rows[answers.set_of[trial.rows] == place])
                self._sets[name, self._fold(name, trial.fold)] = _key(name, images, answers), images[0]
        self.fingerprint = fingerprint(sorted(key for key, _ in self._sets.values()))
        """Of all that is scored: stands where a study has that of its images."""

    def records(self) -> Iterator[tuple[PlannedTrial, Record, dict[str, Predictions]]]:
        """Every trial with its record and predictions, arm by arm."""
        for trial in self.answers.trials:
            said = {} if trial.diverged else self._said(trial)
            yield self._record(trial, said)

    def plan(self, trials: Mapping[str, list[PlannedTrial]], file: str) -> PlanFile:
        """The plan of these trials, by arm.

        file   where the predictions are, relative to the results folder
        """
        return PlanFile(
            study=self.study.name,
            baseline=self.study.baseline,
            data_fingerprint=self.fingerprint,
            file=file,
            arms=tuple(
                PlannedArm(label=arm.label, trials=tuple(trials[arm.label])) for arm in self.study.arms
            ),
        )

    def _record(
        self, trial: Trial, said: dict[str, Predictions]
    ) -> tuple[PlannedTrial, Record, dict[str, Predictions]]:
        answers = self.answers
        content: dict[str, Any] = {key: _hash(one.probabilities) for key, one in said.items()}
        keys = {TEST if name == LOCAL else name: self._at(name, trial.fold)[0] for name in answers.sets}
        if trial.diverged:
            content = {"diverged": trial.arm, "sets": sorted(keys.values())}
        key = fingerprint([SOURCE, trial.seed, trial.fold, answers.classes, content])[:ID_LENGTH]
        versions = {"model:elsewhere": self._version}
        id = fingerprint({"key": key, "versions": versions})[:ID_LENGTH]
        told = {key: metrics.told(one, answers.classes) for key, one in said.items()}
        by_class = answers.answers is not None
        record = Record(
            id=id,
            key=key,
            status="diverged" if trial.diverged else "done",
            cause="not finite" if trial.diverged else "",
            message="said so by its predictions" if trial.diverged else "",
            recipe={
                "model": {"name": SOURCE, "arm": trial.arm} | ({"answers": "classes"} if by_class else {})
            },
            data={"source": SOURCE},
            data_fingerprint=self.fingerprint,
            source=SOURCE,
            seed=trial.seed,
            fold=trial.fold,
            versions=versions,
            classes=list(answers.classes),
            scores={key: self._known(one.scores) for key, one in told.items()},
            recalls={key: one.recalls for key, one in told.items()},
            sizes={key: len(one.labels) for key, one in said.items()},
            conditions={key: one.conditions for key, one in told.items() if one.conditions},
            metrics=metrics.versions() if told else {},
        )
        return PlannedTrial(id=id, seed=trial.seed, fold=trial.fold, sets=keys), record, said

    def _known(self, scores: Mapping[str, float]) -> dict[str, float]:
        """Without those that need probabilities, where there are none."""
        if self.answers.answers is None:
            return dict(scores)
        return {name: value for name, value in scores.items() if not scores_of.needs_probabilities(name)}

    def _at(self, name: str, fold: int | None) -> tuple[str, Predictions]:
        return self._sets[name, self._fold(name, fold)]

    def _fold(self, name: str, fold: int | None) -> int | None:
        """The fold that a set's images belong to; None where all folds have the same."""
        return fold if name in self.answers.by_fold else None

    def _said(self, trial: Trial) -> dict[str, Predictions]:
        """Key of each set → what a trial said of its images."""
        answers, found = self.answers, {}
        for place, name in enumerate(answers.sets):
            rows = trial.rows[answers.set_of[trial.rows] == place]
            key, images = self._at(name, trial.fold)
            found[key] = Predictions(
                self._probabilities(rows),
                images.labels,
                images.ids,
                images.conditions,
                images.condition_names,
                groups=images.groups,
            )
        return found

    def _probabilities(self, rows: NDArray[np.int64]) -> NDArray[np.float16]:
        """(N, K) as they are stored; rounded so that the most probable class stays so."""
        import numpy as np

        if self.answers.answers is not None:
            return np.eye(len(self.answers.classes), dtype=np.float16)[self.answers.answers[rows]]
        exact = np.clip(self.answers.sheet.said[rows], 0, 1)
        rounded = exact.astype(np.float16)
        best = exact.argmax(1)
        lost = np.flatnonzero(rounded.argmax(1) != best)
        rounded[lost, best[lost]] = np.nextafter(rounded[lost].max(1), np.float16(2))
        return rounded

    def _images(self, rows: NDArray[np.int64]) -> tuple[Predictions, list[str]]:
        """The images of rows (N,), with nothing said of them; and what they are called."""
        import numpy as np

        answers, cells = self.answers, self.answers.sheet.cells
        names = [str(name) for name in cells["image"][rows]]
        groups = cells["group"][rows] if "group" in cells else None
        known = (
            None
            if groups is None or not all(groups)
            else np.unique(groups.astype(str), return_inverse=True)[1]
        )
        conditions, called = None, ()
        if "condition" in cells and any(cells["condition"][rows]):
            kinds, number = np.unique(cells["condition"][rows].astype(str), return_inverse=True)
            conditions, called = number.astype(np.int16), tuple(kinds.tolist())
        empty = np.zeros((len(rows), len(answers.classes)), np.float16)
        images = Predictions(
            empty,
            answers.labels[rows],
            np.array([self._id(name) for name in names], np.uint64),
            conditions,
            called,
            groups=None if known is None else known.astype(np.int32),
        )
        return images, names

    def _id(self, name: str) -> int:
        """An image's id: of its name, for its pixels are not here."""
        if name not in self._ids:
            self._ids[name] = int.from_bytes(hashlib.sha256(name.encode()).digest()[:8])
        return self._ids[name]


def _key(name: str, images: tuple[Predictions, list[str]], answers: Answers) -> str:
    """Key of a set: its name, and of each image its name, class and group and what was done to it."""
    said, names = images
    about: list[Any] = [name, names, [answers.classes[k] for k in said.labels.tolist()]]
    if said.groups is not None:
        about.append(said.groups.tolist())
    if said.conditions is not None:
        about.append([said.condition_names[k] for k in said.conditions.tolist()])
    return fingerprint(about)


def _hash(probabilities: NDArray[np.float16]) -> str:
    """Of what was said, (N, K): the content that makes a trial's id."""
    return hashlib.sha256(probabilities.tobytes()).hexdigest()
