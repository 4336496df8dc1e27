"""A small hand-made study with its records: no training, fixed predictions."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest

from bench.identity import identity
from bench.metrics import ece
from bench.plan import fingerprint
from bench.planned import PlanFile, PlannedArm, PlannedTrial
from bench.recipe import Choice, Data, Recipe, Shifted
from bench.stats import pseudo_values
from bench.store import Predictions, Record, Store
from bench.streams import stream
from bench.study.read import Arm, Claim, Folds, Study

CLASSES = ("basophil", "monocyte", "platelet")
LOCAL_KEY, HEAVY_KEY = "a" * 64, "b" * 64


def answers(seed: int, key: str, skill: float, n: int) -> Predictions:
    """Predictions of an arm of some skill; images are equally hard in every arm, noise is the seed's."""
    images = stream(0, f"images/{key}")
    labels = images.integers(0, len(CLASSES), n)
    hardness = images.normal(0, 0.8, n)
    noise = stream(seed, f"{key}/{skill}").normal(0, 0.4, (n, len(CLASSES)))
    logits = noise + (skill - hardness)[:, None] * np.eye(len(CLASSES))[labels]
    P = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    return Predictions(P.astype(np.float16), labels, np.arange(n, dtype=np.uint64) * 7 + 3)


@dataclass
class World:
    """Study, plan and store of a few arms; each arm has a skill."""

    store: Store
    seeds: Sequence[int] = (0, 1, 2, 3, 4)
    images: int = 200
    skills: dict[str, float] = field(default_factory=dict)
    recipes: dict[str, Recipe] = field(default_factory=dict)
    claims: tuple[Claim, ...] = ()
    extra: dict[str, object] = field(default_factory=dict)
    folds: int | None = None

    def arm(self, label: str, skill: float, augment: Sequence[str] = ()) -> None:
        """Declare an arm; the first is the baseline."""
        self.skills[label] = skill
        self.recipes[label] = Recipe(
            model=Choice(name="custom_cnn", params={"dropout": 0.3}),
            augment=tuple(Choice(name=name, params={"p": 0.5}) for name in augment),
        )

    @property
    def data(self) -> Data:
        return Data(source="synthetic", size_px=32)

    @property
    def study(self) -> Study:
        fields: dict[str, object] = {
            "name": "tiny",
            "question": "Which augmentation helps?",
            "baseline": next(iter(self.skills)),
            "design": "arms",
            "arms": tuple(Arm(label=a, recipe=r, data=self.data) for a, r in self.recipes.items()),
            "recipe": next(iter(self.recipes.values())),
            "data": self.data,
            "hidden": {"heavy": Shifted(kind="synthetic")},
            "seeds": tuple(self.seeds),
            "folds": Folds(kind="folds", k=self.folds) if self.folds else None,
            "primary": "heavy.accuracy",
            "claims": self.claims,
        }
        return Study(**(fields | self.extra))

    def replicates(self) -> list[tuple[int, int | None]]:
        return [(s, f) for s in self.seeds for f in (range(self.folds) if self.folds else [None])]

    def id(self, label: str, seed: int, fold: int | None = None) -> str:
        recipe = identity(self.recipes[label])  # as real ids: a key that is added later changes none
        return fingerprint([recipe, self.skills[label], seed, fold])[:16]

    def keys(self, fold: int | None = None) -> dict[str, str]:
        return {"test": LOCAL_KEY if fold is None else fingerprint(fold), "heavy": HEAVY_KEY}

    @property
    def plan(self) -> PlanFile:
        arms = [
            PlannedArm(
                label=label,
                trials=tuple(
                    PlannedTrial(id=self.id(label, s, f), seed=s, fold=f, sets=self.keys(f))
                    for s, f in self.replicates()
                ),
            )
            for label in self.skills
        ]
        return PlanFile(
            study="tiny", baseline=next(iter(self.skills)), data_fingerprint="c" * 64, arms=tuple(arms)
        )

    def record(self, label: str, seed: int, fold: int | None = None, **changes: object) -> Record:
        fields = {
            "id": self.id(label, seed, fold),
            "key": "k",
            "status": "done",
            "recipe": self.recipes[label].model_dump(mode="json"),
            "data": self.data.model_dump(mode="json"),
            "data_fingerprint": "c" * 64,
            "source": "synthetic",
            "seed": seed,
            "fold": fold,
            "versions": {"model:custom_cnn": 1},
            "classes": list(CLASSES),
            "training": [{"train": "all", "epochs": 10, "steps": 100}],
            "parameters": 12345,
            "trainable_parameters": 2345,
            "flops": 45678900,
            "libraries": {"torch": "2.11.0", "numpy": "2.1.0"},
            "timings": {"data": 1.0, "train": 20.0 + seed, "images_per_s": 500.0 + 10 * seed},
            "memory": {"peak_mb": 300.0},
            "machine": {"device": "cpu", "device_name": "Example CPU"},
            "commit": "0123456789ab",
        }
        return Record(**(fields | changes))

    def finish(self, label: str, seed: int, fold: int | None = None, **changes: object) -> None:
        """Store a finished trial with its predictions and the scores that follow from them."""
        said = {
            key: answers(
                seed + 100 * (fold or 0),
                key,
                self.skills[label] - (0.7 if name == "heavy" else 0),
                self.images,
            )
            for name, key in self.keys(fold).items()
        }
        self.keep(label, seed, said, fold, **changes)

    def keep(
        self,
        label: str,
        seed: int,
        said: Mapping[str, Predictions],
        fold: int | None = None,
        **changes: object,
    ) -> None:
        """Store a finished trial that said this, by key of the set."""
        scores, recalls = {}, {}
        for key, p in said.items():
            right = p.probabilities.argmax(axis=1) == p.labels
            recalls[key] = {c: float(right[p.labels == k].mean()) for k, c in enumerate(CLASSES)}
            metrics = ("accuracy", "balanced_accuracy", "macro_f1", "auc")
            scores[key] = {m: pseudo_values(m, p.probabilities, p.labels, p.ids)[0] for m in metrics}
            scores[key]["ece"] = ece()(p.probabilities, p.labels)
            scores[key]["worst_recall"] = min(recalls[key].values())
        stored = {
            "scores": scores,
            "recalls": recalls,
            "sizes": {key: len(p.labels) for key, p in said.items()},
        }
        self.store.write(self.record(label, seed, fold, **(stored | changes)), history=[], predictions=said)

    def finish_all(self, but: Sequence[tuple[str, int]] = ()) -> None:
        for label in self.skills:
            for seed, fold in self.replicates():
                if (label, seed) not in but:
                    self.finish(label, seed, fold)

    def before_checksums(self, label: str, seed: int) -> Path:
        """Let a record know nothing of the files beside it, so that they are taken as they are."""
        record = self.store.read(self.id(label, seed))
        self.store.rewrite(record.model_copy(update={"files": {}}))
        return self.store.trial_dir(record.id)

    def diverge(self, label: str, seed: int) -> None:
        record = self.record(
            label, seed, status="diverged", cause="loss", message="loss is nan (stage 1, step 34, lr 0.1)"
        )
        self.store.write(record, history=[], predictions={})

    def little(self, label: str, seed: int) -> None:
        """Mark a finished trial: little was learned."""
        record = self.store.read(self.id(label, seed))
        text = record.model_copy(update={"little_learned": "validation loss 0.69"}).model_dump_json()
        (self.store.trial_dir(record.id) / "record.json").write_text(text)

    def fail(self, label: str, seed: int, cause: str, message: str = "") -> None:
        record = self.record(
            label,
            seed,
            status="failed",
            cause=cause,
            message=message,
            classes=[],
            parameters=None,
            training=[],
        )
        self.store.write(record, history=[], predictions={})


@pytest.fixture(autouse=True)
def fast_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    """Hundreds of files need not survive a power cut here; test_store keeps the real thing."""
    monkeypatch.setattr(os, "fsync", lambda handle: None)


@pytest.fixture
def make_world(tmp_path: Path) -> Callable[..., World]:
    """Builds an empty world in a fresh results folder."""

    def make(**fields: object) -> World:
        return World(Store(tmp_path / f"results-{len(list(tmp_path.iterdir()))}"), **fields)

    return make


@pytest.fixture
def world(make_world: Callable[..., World]) -> World:
    """Six arms: one helps, one equals the baseline, one is harmful, and each kind of trouble."""
    w = make_world()
    for label, skill, augment in [
        ("none", 1.0, []),
        ("randaugment", 1.9, ["randaugment"]),
        ("flip", 1.0001, ["flip"]),
        ("blur", 0.3, ["blur"]),
        ("mixup", 1.5, ["mixup"]),
        ("huge", 1.6, ["huge"]),
        ("late", 1.7, ["late"]),
    ]:
        w.arm(label, skill, augment)
    w.claims = (
        Claim(says="RandAugment helps", better=("randaugment",), than=("none",), metric="heavy.accuracy"),
        Claim(
            says="Blur brings nothing",
            better=("blur",),
            than=("none",),
            metric="local.accuracy",
            expect="no gain",
        ),
        Claim(
            says="MixUp does not converge",
            better=("mixup",),
            metric="local.accuracy",
            expect="does not converge",
        ),
        Claim(says="RandAugment closes the gap", better=("randaugment",), than=("none",), metric="gap.heavy"),
        Claim(says="RandAugment is as fast", better=("none",), than=("randaugment",), metric="cost.seconds"),
    )
    w.finish_all(but=[("mixup", 2), ("huge", 1), ("late", 3), ("late", 4), ("flip", 4)])
    w.diverge("mixup", 2)
    w.fail("huge", 1, "oom", "CUDA out of memory")
    w.fail("flip", 4, "killed", "its worker process ended with code -9")
    return w
