from typing import Any

import pytest
from pydantic import ValidationError

from bench.study.file import ClaimTable, Folds, Range, StudyFile, Tune, contradictions

LEAST: dict[str, Any] = {"question": "q", "data": {"source": "synthetic"}, "recipe": {}, "arms": {"a": {}}}


def refused(model: Any, table: dict[str, Any]) -> str:
    with pytest.raises(ValidationError) as caught:
        model.model_validate(table)
    return str(caught.value)


def test_what_is_left_out_has_a_default():
    written = StudyFile.model_validate(LEAST)
    assert (written.looks, written.delta.local, written.delta.hidden) == ((5, 8, 12), 0.5, 1.0)
    assert (written.aa, written.keep_weights, written.tune, written.hidden) == (False, True, None, {})


@pytest.mark.parametrize(
    ("key", "value", "problem"),
    [
        ("seeds", 0, "greater than or equal to 1"),
        ("seeds", 1001, "less than or equal to 1000"),
        ("seeds", True, "valid integer"),
        ("seeds", [], "seeds = [] names none"),
        ("seeds", [1, 1], "names the seed 1 twice"),
        ("seeds", [10_000], "seeds of replicates are 0 to 9999"),
        ("seeds", [-1], "seeds of replicates are 0 to 9999"),
        ("seeds", [True], "valid integer"),
        ("replicates", {"kind": "folds", "k": 1}, "greater than or equal to 2"),
        ("replicates", {"kind": "folds", "k": 21}, "less than or equal to 20"),
        ("replicates", {"kind": "bootstrap"}, "'folds'"),
        ("question", "", "at least 1 character"),
        ("looks", [], "at least 1 item"),
        ("looks", [1, 5], "greater than or equal to 2"),
        ("looks", [8, 5], "must rise, 8 is followed by 5"),
        ("looks", [5, 5], "must rise"),
        ("delta", {"local": 0.0}, "greater than 0"),
        ("delta", {"hidden": float("inf")}, "finite number"),
        ("design", "factorial", "'grid'"),
        ("aa", 1, "valid boolean"),
        ("keep_weights", "no", "valid boolean"),
        ("claim", [], "Extra inputs"),
    ],
)
def test_what_is_out_of_bounds_is_refused(key: str, value: Any, problem: str):
    assert problem in refused(StudyFile, LEAST | {key: value})


@pytest.mark.parametrize("seeds", [1, 1000, [0, 9999], [7]])
def test_replicates_are_a_number_or_a_list_of_seeds(seeds: Any):
    assert StudyFile.model_validate(LEAST | {"seeds": seeds}).seeds == seeds


def test_folds_are_five_unless_said():
    assert Folds(kind="folds").k == 5


@pytest.mark.parametrize(
    ("table", "found"),
    [
        ({"arms": {}}, []),
        ({"factors": {}}, []),
        ({}, ["[arms]"]),
        ({"arms": {}, "factors": {}}, ["[factors]"]),
        ({"arms": {}, "seeds": 1, "replicates": {}}, ["replicates"]),
        ({"arms": {}, "design": "grid", "exclude": []}, ["design", "exclude"]),
        ({"factors": {}, "exclude": []}, []),
        ({"factors": {}, "exclude": [], "design": "grid"}, []),
        ({"factors": {}, "exclude": [], "design": "leave-one-out"}, ["exclude"]),
        ({"seeds": "x", "replicates": 5}, ["replicates", "[arms]"]),
    ],
)
def test_keys_that_exclude_each_other_are_found_whatever_they_hold(table: dict[str, Any], found: list[str]):
    assert [key for key, _ in contradictions(table)] == found


# -- claims --------------------------------------------------------------------------------------------------


def test_a_claim_needs_an_arm_to_compare_with():
    assert "needs `than`" in refused(ClaimTable, {"says": "x", "better": "a"})
    assert "needs `than`" in refused(ClaimTable, {"says": "x", "better": "a", "expect": "no gain"})
    assert ClaimTable(says="x", better="a", expect="does not converge").than is None
    both = {"says": "x", "better": "a", "than": "b", "expect": "does not converge"}
    assert "takes no `than`" in refused(ClaimTable, both)


def test_a_criterion_is_one_thing_that_a_converging_training_reaches():
    claim = {"says": "x", "better": "a", "expect": "does not converge"}
    assert ClaimTable.model_validate(claim | {"criterion": {"val_loss": 0.3}}).criterion.of == "val_loss"
    for wrong in ({"train_loss": 0.5, "train_accuracy": 0.9}, {}):
        said = refused(ClaimTable, claim | {"criterion": wrong})
        assert "give one of train_loss, train_accuracy, val_loss" in said
    better = {"says": "x", "better": "a", "than": "b", "criterion": {"train_loss": 0.5}}
    assert "criterion = train_loss 0.5 goes with" in refused(ClaimTable, better)


def test_a_margin_goes_with_better():
    claim = {"says": "x", "better": "a", "than": "b", "margin": 1.0}
    assert ClaimTable.model_validate(claim).margin == 1.0
    assert "margin = 1 goes with" in refused(ClaimTable, claim | {"expect": "no gain"})
    assert "greater than or equal to 0" in refused(ClaimTable, claim | {"margin": -1.0})


# -- tuning --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "form",
    [
        {"low": 1e-5, "high": 1e-2, "log": True},
        {"low": 0, "high": 1},
        {"around": "recipe", "times": 30, "log": True},
        {"choices": ["a", "b"]},
        {"choices": [1, 2, 3]},
    ],
)
def test_a_range_has_one_of_three_forms(form: dict[str, Any]):
    Range.model_validate(form)


@pytest.mark.parametrize(
    ("form", "problem"),
    [
        ({}, "one of them; these are none"),
        ({"low": 1}, "one of them"),
        ({"low": 1, "times": 3}, "one of them; these are low, times"),
        ({"low": 1, "high": 2, "around": "recipe", "times": 2}, "one of them"),
        ({"low": 1, "high": 2, "choices": [1, 2]}, "one of them"),
        ({"low": 1, "high": 2, "times": 2}, "one of them"),
        ({"around": "recipe"}, "one of them"),
        ({"around": "best", "times": 3}, "'recipe'"),
        ({"around": "recipe", "times": 1}, "greater than 1"),
        ({"low": 2, "high": 1}, "low must be below high, these are 2 and 1"),
        ({"low": 1, "high": 1}, "low must be below high"),
        ({"low": 0, "high": 1, "log": True}, "a log range needs low > 0, not 0"),
        ({"low": float("-inf"), "high": 1}, "finite number"),
        ({"low": 0, "high": float("nan")}, "finite number"),
        ({"low": True, "high": 2}, "valid number"),
        ({"choices": [1]}, "at least 2 items"),
        ({"lo": 1, "high": 2}, "Extra inputs"),
    ],
)
def test_a_range_of_no_form_is_refused(form: dict[str, Any], problem: str):
    assert problem in refused(Range, form)


def test_the_extremes_of_a_range_are_its_ends_or_its_choices():
    assert Range(low=1, high=4).extremes(9) == (1, 4)
    assert Range(around="recipe", times=4).extremes(0.1) == (0.05, 0.2)
    assert Range.model_validate({"choices": ["a", "b"]}).extremes(0) == ("a", "b")


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("space", {}),
        ("candidates", 0),
        ("candidates", 1001),
        ("sampler", "random"),
        ("pruner", "hyperband"),
        ("seeds", 0),
        ("epochs", 0),
        ("seed", -1),
        ("minutes", 0),
        ("generation", 0),
        ("trials", 5),
    ],
)
def test_tuning_refuses_what_is_out_of_bounds(key: str, value: Any):
    table = {"space": {"optimizer.lr": {"low": 1, "high": 2}}}
    assert Tune.model_validate(table).candidates == 12
    assert key in refused(Tune, table | {key: value})
