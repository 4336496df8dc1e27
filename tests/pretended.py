"""A whole study on disk whose trials answer by a formula: planned, tuned, reported, never trained."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from studies import FakeLocator

from bench import report, slices
from bench.corruptions.families import families_of, severities_of
from bench.files import write_whole
from bench.judge.declared import declare, write_declared
from bench.judge.findings import LOCAL
from bench.judge.looks import progress
from bench.metrics import recalls, score_all, versions
from bench.plan import TEST, VAL_SHIFT, Plan, Run, ScoredSet
from bench.planned import look_seeds
from bench.recipe import Corrupted, Recipe
from bench.slices import Sliced
from bench.store import VALIDATION, Predictions, Record, Store
from bench.streams import stream
from bench.study.read import Study, parse
from bench.tune import search

CLASSES = ("basophil", "monocyte", "platelet")
GAIN = {"randaugment": 0.9, "flip": 0.1, "blur": -0.6, "cutmix": 0.4}
"""Augmentation → what it adds to the logit of the right class."""
NAME = "pretended"


@dataclass
class Pretended:
    """Plans a study file as ``bench run`` does and makes up what its trials say."""

    results: Path
    text: str
    images: Mapping[str, int] = field(default_factory=dict)
    """Name of a set (``test``, ``val``, a hidden one) → images; 120 of one that is not named."""
    patients: Mapping[str, int] = field(default_factory=dict)
    """Name of a set → groups of its images, where they are known."""
    looks: Sequence[int] = ()
    ends: Callable[[Run], str] = lambda run: ""
    """How a trial ends: ``diverged``, ``pruned``, a cause of failing; empty: done."""
    little: Callable[[Run], str] = lambda run: ""
    """How little a trial learned; empty: enough."""
    kept: Callable[[Run], bool] = lambda run: True
    """Whether a trial's predictions are kept."""
    slices: Mapping[str, Mapping[str, Sequence[str]]] = field(default_factory=dict)
    """``local`` or a hidden set → column → its values, the rarer the later; some images have none.

    12 that no trial was tested on have a further one, ``elsewhere``.
    """

    def __post_init__(self) -> None:
        self.store = Store(self.results)
        self.study = parse(self.text, name=NAME, file=f"{NAME}.toml")

    def finish(self) -> Path:
        """Every trial recorded, the report written; returns the results folder."""
        plan = self._searched()
        study = self.study
        if self.looks:
            study = study.model_copy(update={"seeds": look_seeds(study, self.looks)})
            plan = self._looked(study)
        for run in plan.everything:
            self._answer(run)
        folder = self.store.study_dir(NAME)
        self.store.write_text(folder / "study.toml", self.text)
        self.store.write_text(folder / "plan.json", plan.file.model_dump_json())
        sliced = {name: self._sliced(name) for name in self.slices}
        if sliced:
            write_whole(folder / slices.FILE, slices.write(sliced))
        write_declared(declare(self.study, sliced), self.store)
        report.write_report(self.study, plan.file, self.store, formats=("md", "csv"))
        return self.results

    def _sliced(self, name: str) -> Sliced:
        """What columns say of a set's images, with folds of all of theirs, and of some that are in none."""
        base, folds = (TEST, self.study.folds) if name == LOCAL else (name, None)
        n = self.images.get(base, 120)
        starts = 100_000 * np.arange(folds.k if folds else 1, dtype=np.uint64)
        tested = (starts[:, None] + np.arange(n, dtype=np.uint64) * 7 + 3).ravel()
        ids = np.append(tested, np.uint64(2**63) + np.arange(12, dtype=np.uint64))
        codes, names = {}, {}
        for column, values in self.slices[name].items():
            draw = stream(0, f"slices/{name}/{column}").beta(1, 3, len(ids))
            codes[column] = np.where(draw < 0.04, slices.NO_VALUE, draw * len(values)).astype(np.int16)
            codes[column][len(tested) :] = len(values)
            names[column] = (*values, "elsewhere")
        return Sliced(ids, codes, names)

    def _plan(self, study: Study) -> Plan:
        return search.plan(study, FakeLocator(), self.store.read, self.store.history)

    def _searched(self) -> Plan:
        plan = self._plan(self.study)
        while plan.pending:
            for run in plan.pending:
                self._answer(run)
            plan = self._plan(self.study)
        return plan

    def _looked(self, study: Study) -> Plan:
        """As far as the looks ask for seeds."""
        import dataclasses

        plan = dataclasses.replace(self._plan(study), looks=tuple(self.looks))
        done = 0
        while True:
            wanted = progress(study, plan.file, self.store).wanted
            runs = tuple(r for r in plan.runs if r.trial.replicate.seed < study.seeds[0] + wanted[r.arm])
            for run in runs:
                self._answer(run)
            if len(runs) == done:
                first = study.seeds[0] + self.looks[0]
                again = tuple(r for r in plan.again if r.trial.replicate.repeats < first)
                for run in again:
                    self._answer(run)
                return dataclasses.replace(plan, runs=runs, again=again)
            done = len(runs)

    def _answer(self, run: Run) -> None:
        """Put down what a worker would."""
        if self.store.read(run.trial.id) is not None:
            return
        ends = self.ends(run)
        if ends:
            status = ends if ends in ("diverged", "pruned") else "failed"
            cause = {"diverged": "not finite", "pruned": "behind"}.get(ends, ends)
            record = self._record(run, status=status, cause=cause, message=f"it {ends}")
            self.store.write(record, history=[], predictions={})
            return
        said = {VALIDATION: self._said(run, VALIDATION, None)}
        said |= {one.key: self._said(run, one.name, one) for one in run.sets}
        scored = {key: score_all(one.probabilities, one.labels) for key, one in said.items()}
        record = self._record(
            run,
            status="done",
            little_learned=self.little(run),
            validation=scored.pop(VALIDATION),
            scores=scored,
            recalls={key: _recalls(said[key]) for key in scored},
            sizes={key: len(said[key].labels) for key in scored},
            conditions={key: _conditions(said[key]) for key in scored if said[key].conditions is not None},
        )
        kept = said if self.kept(run) else {}
        self.store.write(record, history=[{"val_accuracy": record.validation["accuracy"]}], predictions=kept)

    def _record(self, run: Run, **fields: Any) -> Record:
        trial, replicate = run.trial, run.trial.replicate
        return Record(
            id=trial.id,
            key=trial.key,
            role=trial.role,
            recipe=trial.recipe.model_dump(mode="json"),
            data=trial.data.model_dump(mode="json"),
            data_fingerprint=trial.data_fingerprint,
            source=self.study.data.source,
            seed=replicate.seed,
            fold=replicate.fold,
            versions=dict(trial.versions),
            classes=list(CLASSES),
            metrics=versions(),
            training=[{"train": "all", "epochs": 2, "steps": 20}],
            parameters=12345,
            trainable_parameters=2345,
            flops=45678900,
            libraries={"torch": "2.11.0"},
            timings={"data": 1.0, "train": 20.0 + replicate.seed % 7, "images_per_s": 500.0},
            memory={"peak_mb": 300.0},
            machine={"device": "cpu", "device_name": "Example CPU"},
            commit="0123456789ab",
            **fields,
        )

    def _said(self, run: Run, name: str, one: ScoredSet | None) -> Predictions:
        """Images are as hard for every arm; noise is the trial's."""
        hidden = one.hidden if one else None
        replicate = run.trial.replicate
        fold = replicate.fold if one is None or name == TEST or isinstance(hidden, Corrupted) else None
        # validation is drawn anew for every seed; a corrupted set has the images of the local one
        base = TEST if isinstance(hidden, Corrupted) and name != VAL_SHIFT else name
        draw = replicate.split_seed if base in (VALIDATION, VAL_SHIFT) else fold or 0
        n = self.images.get(base, 120)
        images = stream(draw, f"images/{base}")
        labels, hardness = images.integers(0, len(CLASSES), n), images.normal(0, 1.0, n)
        ids = images.permutation(np.arange(n, dtype=np.uint64) * 7 + 3 + 100_000 * (fold or 0))
        groups = None
        if base in self.patients:  # of unequal sizes
            groups = (images.beta(1, 2, n) * self.patients[base]).astype(np.int32)
            hardness += images.normal(0, 0.8, self.patients[base])[groups]
        pick = np.arange(n)[: self.images.get(name, n)]
        labels, hardness, ids = labels[pick], hardness[pick], ids[pick]
        groups = None if groups is None else groups[pick]
        conditions: dict[str, Any] = {}
        loss = np.zeros(len(pick))
        if isinstance(hidden, Corrupted) and hidden.profile == "micro-c":
            names = [f"{f}/{s}" for f in families_of(hidden) for s in severities_of(hidden)]
            copies = len(names)
            which = np.repeat(np.arange(copies, dtype=np.int16), len(pick))
            conditions = {"conditions": which, "condition_names": tuple(names)}
            loss = np.array([0.25 * int(name[-1]) for name in names])[which]
            labels, hardness, ids = (np.tile(part, copies) for part in (labels, hardness, ids))
            groups = None if groups is None else np.tile(groups, copies)
        elif hidden is not None:
            loss += 0.7
        noise = stream(replicate.stream_seed, f"{name}/{fold}/{run.trial.id}")
        logits = noise.normal(0, 0.5, (len(labels), len(CLASSES))) + noise.normal(0, 0.1)
        logits += (_skill(run.trial.recipe) - hardness - loss)[:, None] * np.eye(len(CLASSES))[labels]
        P = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
        return Predictions(P.astype(np.float16), labels, ids, groups=groups, **conditions)


def _skill(recipe: Recipe) -> float:
    lr = float(recipe.optimizer.params["lr"])
    return 1.2 + sum(GAIN[one.name] for one in recipe.augment) - 0.5 * (math.log10(lr) + 3) ** 2


def _recalls(said: Predictions) -> dict[str, float]:
    return dict(zip(CLASSES, map(float, recalls(said.probabilities, said.labels)), strict=True))


def _conditions(said: Predictions) -> dict[str, dict[str, float]]:
    found = {}
    for number, name in enumerate(said.condition_names):
        of = said.conditions == number
        scores = score_all(said.probabilities[of], said.labels[of])
        found[name] = {score: scores[score] for score in ("accuracy", "balanced_accuracy")}
    return found
