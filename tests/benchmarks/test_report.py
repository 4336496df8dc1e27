"""How long a report takes on a large study, and how long reading all records does."""

import resource
from pathlib import Path

import numpy as np
import pytest

from bench.corruptions.families import families_of, severities_of
from bench.planned import PlanFile, PlannedArm, PlannedTrial
from bench.recipe import Choice, Corrupted, Data, Recipe, Shifted
from bench.report import FORMATS, files
from bench.store import Predictions, Record, Store
from bench.study.read import Arm, Study

ARMS, SEEDS, IMAGES, CLASSES = 400, 5, 1700, 8
KEYS = {"test": "a" * 64, "heavy": "b" * 64}
SECONDS, GIGABYTES, PAGE_BYTES = 20, 2, 5_000_000
FAMILIES = families_of(Corrupted(kind="corrupted"))[:20]
MICRO = Corrupted(kind="corrupted", profile="micro-c", families=FAMILIES)
CONDITIONS = tuple(f"{family}/{s}" for family in FAMILIES for s in severities_of(MICRO))
"""100, so that a corrupted set of as many images is of 17 base images."""
SLACK = 2.0
"""A benchmark fails only far from its bar: the machine may be busy."""


def _said(rng: np.random.Generator, labels: np.ndarray, skill: float, copies: int) -> Predictions:
    """``copies`` of each base image, condition by condition."""
    base = len(labels) // copies
    labels = np.tile(labels[:base], copies)
    logits = rng.normal(size=(len(labels), CLASSES)) + skill * np.eye(CLASSES)[labels]
    P = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    ids = np.tile(np.arange(base, dtype=np.uint64), copies)
    if copies == 1:
        return Predictions(P.astype(np.float16), labels, ids)
    conditions = np.repeat(np.arange(copies, dtype=np.int16), base)
    return Predictions(P.astype(np.float16), labels, ids, conditions, CONDITIONS)


def _conditions(said: Predictions) -> dict[str, dict[str, float]]:
    right = (said.probabilities.argmax(1) == said.labels).reshape(len(CONDITIONS), -1).mean(1)
    return {
        name: {"accuracy": float(share), "balanced_accuracy": float(share)}
        for name, share in zip(CONDITIONS, right, strict=True)
    }


@pytest.fixture(scope="module", params=[Shifted(kind="synthetic"), MICRO], ids=["synthetic", "micro-c"])
def large(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Study, PlanFile, Store]:
    micro = request.param is MICRO
    store = Store(Path(tmp_path_factory.mktemp("results")))
    rng = np.random.default_rng(0)
    labels = np.arange(IMAGES) % CLASSES
    data, arms, planned = Data(source="synthetic"), [], []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("os.fsync", lambda handle: None)
        for a in range(ARMS):
            recipe = Recipe(model=Choice(name="custom_cnn"), batch_size=a + 1)
            arms.append(Arm(label=f"arm {a}", recipe=recipe, data=data))
            ids = [f"{a * SEEDS + s:016x}" for s in range(SEEDS)]
            trials = (PlannedTrial(id=id, seed=s, sets=KEYS) for s, id in enumerate(ids))
            planned.append(PlannedArm(label=f"arm {a}", trials=tuple(trials)))
            for seed, id in enumerate(ids):
                copies = {"test": 1, "heavy": len(CONDITIONS) if micro else 1}
                said = {key: _said(rng, labels, 2 + a / ARMS, copies[name]) for name, key in KEYS.items()}
                right = {k: (p.probabilities.argmax(1) == p.labels) for k, p in said.items()}
                record = Record(
                    id=id,
                    key=id,
                    status="done",
                    recipe=recipe.model_dump(mode="json"),
                    data=data.model_dump(mode="json"),
                    data_fingerprint="c",
                    source="synthetic",
                    seed=seed,
                    versions={},
                    classes=[str(c) for c in range(CLASSES)],
                    scores={key: {"accuracy": float(r.mean())} for key, r in right.items()},
                    recalls={
                        key: {str(c): float(r[said[key].labels == c].mean()) for c in range(CLASSES)}
                        for key, r in right.items()
                    },
                    conditions={KEYS["heavy"]: _conditions(said[KEYS["heavy"]])} if micro else {},
                    training=[{"train": "all", "epochs": 10, "steps": 100}],
                )
                store.write(record, history=[], predictions=said)
    study = Study(
        name="large",
        question="?",
        baseline="arm 0",
        design="arms",
        arms=tuple(arms),
        recipe=arms[0].recipe,
        data=data,
        hidden={"heavy": request.param},
        seeds=tuple(range(SEEDS)),
        primary="heavy.accuracy",
    )
    return study, PlanFile(study="large", baseline="arm 0", data_fingerprint="c", arms=tuple(planned)), store


def test_a_report_on_two_thousand_records_takes_seconds_and_little_memory(benchmark, large):
    made = benchmark.pedantic(lambda: files(*large, FORMATS), rounds=1)
    assert made["report.md"].count("arm 399") > 3
    assert made["report.html"].count("arm 399") > 3
    assert len(made["report.html"]) < PAGE_BYTES
    assert benchmark.stats.stats.max <= SECONDS * SLACK
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20 <= GIGABYTES


def test_reading_every_record_takes_no_time_to_speak_of(benchmark, large):
    store = large[2]
    assert len(benchmark.pedantic(store.records, rounds=3)) == ARMS * SEEDS
    assert benchmark.stats.stats.min <= 1.5 * (ARMS * SEEDS / 5000) * SLACK
