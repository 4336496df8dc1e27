import time
from dataclasses import replace
from importlib import metadata
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from studies import ARMS, FakeLocator, read

from bench import plan as plans
from bench.plan import Replicate, fingerprint, make_plan
from bench.planned import PlanFile
from bench.recipe import Data
from bench.registry import augmentations, optimizers
from bench.study.file import Folds
from bench.study.read import Study, parse


def ids(study: Study, locator: FakeLocator | None = None) -> dict[tuple[str, int], str]:
    """(arm, seed) → trial id."""
    found = make_plan(study, locator or FakeLocator())
    return {(run.arm, run.trial.replicate.seed): run.trial.id for run in found.runs}


# -- what a plan holds ---------------------------------------------------------------------------------------


@settings(max_examples=15, deadline=None)
@given(st.integers(1, 4), st.integers(1, 4), st.booleans())
def test_trials_are_arms_times_replicates_and_all_different(arms: int, replicates: int, folds: bool):
    table = "[arms]\n" + "\n".join(f"a{i} = {{ batch_size = {i + 1} }}" for i in range(arms))
    study = read(table)
    if folds:
        study = study.model_copy(update={"seeds": (0,), "folds": Folds(kind="folds", k=replicates + 1)})
    else:
        study = study.model_copy(update={"seeds": tuple(range(replicates))})
    runs = make_plan(study, FakeLocator()).runs
    assert len(runs) == arms * (replicates + folds)
    assert len({run.trial.id for run in runs}) == len(runs)


def test_trials_come_arm_by_arm_in_the_order_of_the_seeds():
    study = read().model_copy(update={"seeds": (4, 2)})
    runs = make_plan(study, FakeLocator()).runs
    assert [(run.arm, run.trial.replicate.seed) for run in runs] == [
        ("none", 4), ("none", 2), ("flips", 4), ("flips", 2),
    ]  # fmt: skip


def test_a_trial_holds_everything_but_the_arms_name():
    trial = make_plan(read(), FakeLocator()).runs[0].trial
    assert trial.recipe == read().arms[0].recipe
    assert trial.data == read().data
    assert trial.replicate == Replicate(0)
    assert trial.versions == plans.ROOMS | {
        "model:custom_cnn": 1, "optimizer:adam": 1, "schedule:constant": 1, "loss:cross-entropy": 1,
    }  # fmt: skip
    assert len(trial.id) == len(trial.key) == 20
    assert int(trial.id, 16) >= 0


def test_static_copies_are_of_the_version_of_what_makes_them():
    runs = make_plan(read('[arms]\nup = {}\nstatic = { balance = "upsample-static" }'), FakeLocator()).runs
    plain, copied = (dict(run.trial.versions) for run in (runs[0], runs[-1]))
    made_by = {f"augmentation:{name}" for name in ("flip", "rotate", "zoom")}
    assert copied.keys() - plain.keys() == made_by


def test_test_comes_first_among_the_scored_sets_then_the_hidden_ones_in_order():
    hidden = """
    [hidden.b]
    kind = "synthetic"
    [hidden.a]
    kind = "external"
    source = "folder:x"
    [hidden.c]
    kind = "corrupted"
    """
    runs = make_plan(read(ARMS + hidden), FakeLocator()).runs
    assert [scored.name for scored in runs[0].sets] == ["test", "b", "a", "c"]
    assert [scored.source is not None for scored in runs[0].sets] == [False, False, True, False]
    assert len({scored.key for scored in runs[0].sets}) == 4


def test_folds_have_test_sets_of_their_own():
    study = read().model_copy(update={"seeds": (0,), "folds": Folds(kind="folds", k=3)})
    runs = make_plan(study, FakeLocator()).runs[:3]
    assert [run.trial.replicate for run in runs] == [Replicate(0, fold, 3) for fold in range(3)]
    assert len({run.sets[0].key for run in runs}) == 3


def test_a_plan_file_says_which_records_a_report_is_made_of():
    plan = make_plan(read(ARMS + '[hidden.a]\nkind = "synthetic"'), FakeLocator())
    file = plan.file
    assert (file.study, file.baseline) == ("tiny", "none")
    assert [arm.label for arm in file.arms] == ["none", "flips"]
    assert [t.id for arm in file.arms for t in arm.trials] == [run.trial.id for run in plan.runs]
    assert list(file.arms[0].trials[0].sets) == ["test", "a"]
    assert file.data_fingerprint == plan.runs[0].trial.data_fingerprint
    assert PlanFile.model_validate_json(file.model_dump_json()) == file


# -- what an id depends on -----------------------------------------------------------------------------------

BASE = """
question = "q"
seeds = 2
[data]
source = "synthetic"
size_px = 32
[recipe]
model = { name = "custom_cnn", dense = 16, dropout = 0.5 }
optimizer = { name = "adam", lr = 1e-3, weight_decay = 0.1 }
batch_size = 32
[arms]
a = { augment = [{ name = "flip", p = 0.5 }] }
b = { clip_norm = 1.0 }
"""
SHUFFLED = """
seeds = 2
question = "another question"
primary = "local.macro_f1"
[arms]
second = { clip_norm = 1.0 }
first = { augment = [{ p = 0.5, name = "flip" }] }
[recipe]
batch_size = 32
optimizer.weight_decay = 0.1
optimizer.lr = 0.001
optimizer.name = "adam"
model = { dropout = 0.5, name = "custom_cnn", dense = 16 }
[data]
size_px = 32
source = "synthetic"
[hidden.x]
kind = "corrupted"
"""


def planned(text: str, name: str = "s", **changes: Any) -> set[str]:
    return set(ids(parse(text, name=name, file="s.toml"), FakeLocator(**changes)).values())


def test_an_id_does_not_depend_on_key_order_names_of_arm_and_study_question_or_hidden_sets():
    assert planned(BASE) == planned(SHUFFLED, name="other")


def test_the_same_number_written_otherwise_is_the_same_trial():
    assert planned(BASE.replace("clip_norm = 1.0", "clip_norm = 1")) == planned(BASE)
    assert planned(BASE.replace("1e-3", "0.001")) == planned(BASE)


def test_a_default_written_out_is_the_same_trial():
    assert planned(
        BASE.replace("batch_size = 32", 'batch_size = 32\nema = 0.0\nschedule = "constant"')
    ) == planned(BASE)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("lr = 1e-3", "lr = 2e-3"),
        ("dense = 16", "dense = 17"),
        ("batch_size = 32", "batch_size = 33"),
        ("batch_size = 32", 'batch_size = 32\nprecision = "bf16"'),
        ("batch_size = 32", "batch_size = 32\ncpu_threads = 2"),
        ("batch_size = 32", "batch_size = 32\ndeterministic = true"),
        ('"adam"', '"adamw"'),
        ("size_px = 32", "size_px = 48"),
        ("size_px = 32", 'size_px = 32\noutliers = "keep"'),
        ("size_px = 32", "size_px = 32\nsplit_seed = 1"),
        ("size_px = 32", "size_px = 32\nlimit = 100"),
        ('"synthetic"', '"bloodmnist"'),
    ],
)
def test_an_id_changes_with_the_recipe_and_the_data(old: str, new: str):
    assert planned(BASE).isdisjoint(planned(BASE.replace(old, new)))


def test_an_id_changes_with_the_order_of_augmentations():
    two = BASE.replace('[{ name = "flip", p = 0.5 }]', '["flip", "zoom"]')
    turned = BASE.replace('[{ name = "flip", p = 0.5 }]', '["zoom", "flip"]')
    assert len(planned(two) & planned(turned)) == 2, "only arm b is the same"


def test_an_id_changes_with_the_content_of_the_images():
    assert planned(BASE).isdisjoint(planned(BASE, content="v2"))


def test_seeds_and_folds_are_trials_of_their_own():
    assert len(planned(BASE)) == 4
    assert planned(BASE) < planned(BASE.replace("seeds = 2", "seeds = 3"))
    folds = planned(BASE.replace("seeds = 2", 'replicates = { kind = "folds", k = 2 }'))
    assert folds.isdisjoint(planned(BASE))
    assert folds.isdisjoint(planned(BASE.replace("seeds = 2", 'replicates = { kind = "folds", k = 3 }')))


def test_raising_a_components_version_changes_the_id_and_not_the_key(monkeypatch: pytest.MonkeyPatch):
    study, locator = read(), FakeLocator()
    before = {run.arm: run.trial for run in make_plan(study, locator).runs}
    raised = replace(augmentations["flip"], version=augmentations["flip"].version + 1)
    monkeypatch.setitem(augmentations._components, "flip", raised)
    after = {run.arm: run.trial for run in make_plan(study, locator).runs}
    assert after["flips"].id != before["flips"].id
    assert after["flips"].key == before["flips"].key
    assert after["none"].id == before["none"].id, "an arm without it is not touched"


def test_a_chained_augmentations_version_counts_too(monkeypatch: pytest.MonkeyPatch):
    study = read('[arms]\nnone = {}\nchained = { augment = [{ name = "chain", steps = ["flip"] }] }')
    before = ids(study)
    monkeypatch.setitem(augmentations._components, "flip", replace(augmentations["flip"], version=99))
    assert ids(study)["chained", 0] != before["chained", 0]
    assert ids(study)["none", 0] == before["none", 0]


def test_kornias_version_stands_for_what_its_classes_do(monkeypatch: pytest.MonkeyPatch):
    study = read(
        '[arms]\nnone = {}\nturned = { augment = [{ name = "kornia:RandomRotation", degrees = 9.0 }] }'
    )
    runs = [run for run in make_plan(study, FakeLocator()).runs if run.arm == "turned"]
    versions = {run.trial.versions["augmentation:kornia:RandomRotation"] for run in runs}
    assert versions == {metadata.version("kornia")}
    before = ids(study)
    newer = replace(augmentations["kornia:RandomRotation"], version="99.0")
    monkeypatch.setitem(augmentations.families, "kornia", lambda name: newer)
    assert ids(study)["turned", 0] != before["turned", 0]
    assert ids(study)["none", 0] == before["none", 0]


def test_raising_the_version_of_a_room_changes_every_id(monkeypatch: pytest.MonkeyPatch):
    before = set(ids(read()).values())
    monkeypatch.setitem(plans.ROOMS, "train", plans.ROOMS["train"] + 1)
    assert before.isdisjoint(ids(read()).values())


def test_a_component_that_is_not_used_does_not_count(monkeypatch: pytest.MonkeyPatch):
    before = ids(read())
    monkeypatch.setitem(optimizers._components, "lion", replace(optimizers["lion"], version=99))
    assert ids(read()) == before


def test_arms_that_differ_only_in_data_have_hidden_sets_of_their_own_where_these_are_made_of_it():
    rest = '[arms]\na = {}\nb = { data = { size_px = 64 } }\n[hidden.c]\nkind = "corrupted"'
    runs = {run.arm: run for run in make_plan(read(rest), FakeLocator()).runs}
    assert [s.key for s in runs["a"].sets] != [s.key for s in runs["b"].sets]
    assert runs["a"].trial.data_fingerprint != runs["b"].trial.data_fingerprint


def test_a_weight_file_is_known_by_its_content():
    arms = '[arms]\na = { model = { name = "resnet18", weights = "w.pth" } }'
    (run, _) = make_plan(read(arms), FakeLocator()).runs
    assert run.trial.recipe.model.params["weights"] == "sha256:" + fingerprint("w.pth")
    assert run.trial.weights is not None
    assert run.trial.weights.name == "w.pth"
    assert replace(run.trial, weights=None) == run.trial, "where the file lies is no part of the trial"


# -- fingerprints --------------------------------------------------------------------------------------------

trees = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=8,
)


@given(st.dictionaries(st.text(max_size=3), trees, max_size=4))
def test_a_fingerprint_ignores_key_order(tree: dict[str, Any]):
    assert fingerprint(dict(reversed(tree.items()))) == fingerprint(tree)


def test_fingerprints_never_change():
    # SHA-256 of '{"a":[1,2.5,"é"],"b":null}'
    expected = "c85a32002ab44befebd40fe674e4ac562524fa9d905f307b8f88d90d0b01b62c"
    assert fingerprint({"b": None, "a": [1, 2.5, "é"]}) == expected


def test_what_is_not_a_number_has_no_fingerprint():
    with pytest.raises(ValueError, match="JSON compliant"):
        fingerprint({"a": float("nan")})


def test_ids_never_change_by_accident(monkeypatch: pytest.MonkeyPatch):
    # Raise a version on purpose, and this number with it; a change without one loses every stored trial.
    for name in plans.ROOMS:
        monkeypatch.setitem(plans.ROOMS, name, 1)
    assert ids(read())["none", 0] == "18696e2acbcecb8f91cd"


def test_five_hundred_trials_are_planned_at_once():
    table = "[arms]\n" + "\n".join(f"a{i} = {{ batch_size = {i + 1} }}" for i in range(100))
    study = read(table).model_copy(update={"seeds": (0, 1, 2, 3, 4)})
    started = time.process_time()
    plan = make_plan(study, FakeLocator())
    seconds = time.process_time() - started
    assert len(plan.runs) == 500
    assert seconds < 1.0


def test_sources_of_hidden_sets_are_located_once():
    class Counting(FakeLocator):
        asked = 0

        def source(self, written: str, data: Data) -> Any:
            self.asked += written == "folder:x"
            return super().source(written, data)

    locator = Counting()
    make_plan(read(ARMS + '[hidden.a]\nkind = "external"\nsource = "folder:x"'), locator)
    assert locator.asked == 1


def test_the_baseline_is_repeated_where_a_study_wants_its_noise_floor():
    plan = make_plan(read(top="aa = true"), FakeLocator())
    assert [(run.arm, run.trial.replicate.seed) for run in plan.again] == [
        ("none again (A/A)", 10_000),
        ("none again (A/A)", 10_001),
    ]
    assert all(run.trial.recipe == plan.study.recipe for run in plan.again)
    assert [run.sets for run in plan.again] == [run.sets for run in plan.runs if run.arm == "none"]
    assert not {run.trial.id for run in plan.again} & {run.trial.id for run in plan.runs}
    assert plan.file.again is not None
    assert plan.file.again.label == "none"
    assert make_plan(read(), FakeLocator()).again == ()


def test_a_repeated_replicate_draws_the_same_split_and_nothing_else_alike():
    first, again = Replicate(3), Replicate(10_003)
    assert again.split_seed == first.split_seed == 3
    assert again.stream_seed != first.stream_seed
    fold, other = Replicate(0, 1, 5), Replicate(10_000, 1, 5)
    assert fold.split_seed == other.split_seed == fold.stream_seed
    assert Replicate(20_003).split_seed == 20_003, "a candidate has a split of its own"
