"""A row for every planned trial, set and metric; what is missing is there to be seen."""

from collections import Counter
from typing import Any

from tuned import tuned

from bench.judge.results import Row, read, rows
from bench.planned import PlanFile, PlannedArm, PlannedTrial

METRICS = ["accuracy", "auc", "balanced_accuracy", "ece", "macro_f1", "worst_recall"]


def listed(w: Any, plan: PlanFile | None = None) -> list[Row]:
    return list(rows(w.study, plan or w.plan, w.store))


def test_a_score_stands_under_its_trial_set_and_metric(world: Any):
    found = {(r.arm, r.seed, r.set, r.metric): r for r in listed(world)}
    record = world.store.read(world.id("blur", 3))
    for name, key in (("local", world.keys()["test"]), ("heavy", world.keys()["heavy"])):
        for metric in METRICS:
            row = found["blur", 3, name, metric]
            assert row == Row(
                "tiny",
                "blur",
                3,
                None,
                "final",
                name,
                metric,
                record.scores[key][metric],
                "done",
                23.0,
                record.id,
            )


def test_trials_that_are_not_done_have_as_many_rows_without_values(world: Any):
    found = listed(world)
    assert len(found) == 7 * 5 * 3 * len(METRICS)
    assert set(Counter((r.arm, r.seed) for r in found).values()) == {3 * len(METRICS)}
    states = {(r.arm, r.seed): r.status for r in found if r.status != "done"}
    assert states == {
        ("mixup", 2): "diverged", ("huge", 1): "failed", ("flip", 4): "failed",
        ("late", 3): "not run", ("late", 4): "not run",
    }  # fmt: skip
    assert all(r.value is None for r in found if r.status != "done")
    assert {r.seconds for r in found if r.status == "not run"} == {None}


def test_a_damaged_and_a_stale_trial_say_so(world: Any):
    (world.store.trial_dir(world.id("none", 0)) / "record.json").write_text("{")
    stale = world.store.read(world.id("blur", 1)).model_copy(update={"id": "0" * 16})
    (world.store.trial_dir(world.id("blur", 1)) / "record.json").unlink()
    world.store.write(stale, history=[], predictions={})
    found = {(r.arm, r.seed): (r.status, r.value) for r in listed(world)}
    assert found["none", 0] == ("damaged", None)
    assert found["blur", 1] == ("stale", None)


def test_before_the_first_trial_the_deciding_metric_stands_alone(make_world: Any):
    w = make_world(seeds=(0,))
    w.arm("none", 1.0)
    shown = [(r.set, r.metric, r.value, r.status) for r in listed(w)]
    assert shown == [(name, "accuracy", None, "not run") for name in ("local", "heavy", "val")]


def test_a_metric_that_only_some_trials_have_is_an_empty_value_in_the_others(make_world: Any):
    w = make_world(seeds=(0, 1))
    w.arm("none", 1.0)
    w.finish_all()
    record = w.store.read(w.id("none", 1))
    key = w.keys()["heavy"]
    w.store.rewrite(record.model_copy(update={"scores": {key: {"margin": 0.5}}}))
    found = {(r.seed, r.set): r.value for r in listed(w) if r.metric == "margin"}
    assert found == {
        (0, "local"): None, (0, "heavy"): None, (0, "val"): None,
        (1, "local"): None, (1, "heavy"): 0.5, (1, "val"): None,
    }  # fmt: skip


def test_candidates_stand_under_their_arm_with_validation_alone(make_world: Any):
    w = make_world(seeds=(0,))
    w.arm("none", 1.0)
    w.arm("flip", 2.0)
    plan = tuned(w)
    search = plan.searches[0].model_copy(update={"pruned": (3,)})
    found = [r for r in listed(w, plan.model_copy(update={"searches": (search,)})) if r.role == "tune"]
    assert {(r.arm, r.set, r.seed) for r in found} == {("none", "val", 20000)}
    accuracies = [(r.status, r.value) for r in found if r.metric == "accuracy"]
    assert accuracies == [("done", 0.5), ("done", 0.6), ("diverged", None), ("pruned", None)]


def test_runs_with_shared_values_and_the_baseline_again_keep_their_arm(make_world: Any):
    w = make_world(seeds=(0,))
    w.arm("none", 1.0)
    w.arm("flip", 2.0)
    plan = tuned(w)

    def planned(label: str, id: str, seed: int) -> PlannedArm:
        return PlannedArm(label=label, trials=(PlannedTrial(id=id, seed=seed, sets=w.keys()),))

    more = {"shared": (planned("flip", "a" * 16, 0),), "again": planned("none", "b" * 16, 10000)}
    found = listed(w, plan.model_copy(update=more))
    assert {(r.arm, r.seed, r.trial) for r in found if r.role == "shared"} == {("flip", 0, "a" * 16)}
    assert {(r.arm, r.seed, r.trial) for r in found if r.role == "again"} == {("none", 10000, "b" * 16)}


def test_by_trial_there_is_the_same(world: Any):
    metrics, trials = read(world.study, world.plan, world.store)
    every = [
        Row(*head, name, metric, of.get(metric), *tail)
        for head, scores, tail in trials
        for name, of in scores.items()
        for metric in metrics
    ]
    assert every == listed(world)
