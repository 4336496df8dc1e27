import itertools
import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.study.design import (
    DesignError,
    Factor,
    Level,
    arm_label,
    build_tree,
    combinations,
    count_combinations,
    label_of,
    levels_of,
    read_factors,
)

DESIGNS = ("grid", "one-at-a-time", "leave-one-out", "add-and-remove")


def factors_of(sizes: list[int]) -> list[Factor]:
    return [
        Factor(f"f{i}", tuple(Level(f"f{i}l{j}", {f"f{i}": j}) for j in range(size)))
        for i, size in enumerate(sizes)
    ]


sizes = st.lists(st.integers(1, 4), min_size=1, max_size=5)


def changed(combination: tuple[int, ...], reference: tuple[int, ...]) -> int:
    return sum(a != b for a, b in zip(combination, reference, strict=True))


@given(sizes)
def test_a_grid_has_every_combination_once_and_the_baseline_first(sizes: list[int]):
    found = combinations(factors_of(sizes), "grid")
    assert len(found) == math.prod(sizes) == len(set(found))
    assert found[0] == (0,) * len(sizes)


@given(sizes)
def test_one_at_a_time_changes_one_factor_of_the_first_levels_to_each_other_level(sizes: list[int]):
    found = combinations(factors_of(sizes), "one-at-a-time")
    first = (0,) * len(sizes)
    assert len(found) == 1 + sum(size - 1 for size in sizes) == len(set(found))
    assert found[0] == first
    assert all(changed(combination, first) == 1 for combination in found[1:])


@given(sizes)
def test_leave_one_out_takes_one_factor_of_the_last_levels_back_to_its_first(sizes: list[int]):
    found = combinations(factors_of(sizes), "leave-one-out")
    last = tuple(size - 1 for size in sizes)
    assert len(found) == 1 + sum(size > 1 for size in sizes) == len(set(found))
    assert found[0] == last
    for combination in found[1:]:
        assert changed(combination, last) == 1
        assert all(a in (0, b) for a, b in zip(combination, last, strict=True))


@given(sizes)
def test_add_and_remove_is_both_without_doubles(sizes: list[int]):
    factors = factors_of(sizes)
    added, removed = combinations(factors, "one-at-a-time"), combinations(factors, "leave-one-out")
    assert combinations(factors, "add-and-remove") == list(dict.fromkeys(added + removed))


@given(sizes, st.sampled_from(DESIGNS))
def test_a_count_made_without_the_combinations_is_never_too_small(sizes: list[int], design: str):
    factors = factors_of(sizes)
    assert len(combinations(factors, design)) <= count_combinations(factors, design)


@given(sizes, st.sampled_from(DESIGNS))
def test_labels_of_distinct_levels_are_unique_and_joined_by_plus(sizes: list[int], design: str):
    factors = factors_of(sizes)
    found = combinations(factors, design)
    labels = [arm_label(factors, combination) for combination in found]
    assert len(set(labels)) == len(labels)
    assert labels[0] == " + ".join(f"f{i}l{level}" for i, level in enumerate(found[0]))


# -- the three forms of a factor -----------------------------------------------------------------------------


def test_a_list_gives_one_level_per_value():
    (factor,) = read_factors({"balance": ["none", "upsample"]})
    assert factor == Factor(
        "balance", (Level("none", {"balance": "none"}), Level("upsample", {"balance": "upsample"}))
    )


def test_named_patches_give_one_level_per_name():
    (factor,) = read_factors({"length": {"short": {"batch_size": 8}, "long": {"stages.0.epochs": 9}}})
    assert factor == Factor(
        "length", (Level("short", {"batch_size": 8}), Level("long", {"stages.0.epochs": 9}))
    )


def test_a_toggle_gives_one_factor_per_entry_off_first():
    flip, strong = read_factors({"augment": {"toggle": ["flip", {"name": "randaugment", "m": 9}]}})
    assert (flip.name, strong.name) == ("augment.flip", "augment.randaugment")
    assert [level.label for level in strong.levels] == ["", "randaugment"]
    assert strong.levels[1].toggles == {"name": "randaugment", "m": 9}
    assert levels_of([flip, strong], (0, 1)) == {"augment.flip": "off", "augment.randaugment": "on"}


def test_dotted_keys_mean_the_same_with_and_without_quotes():
    assert read_factors({"optimizer": {"lr": [0.1, 0.2]}}) == read_factors({"optimizer.lr": [0.1, 0.2]})
    unquoted = {"stages": {"1": {"train": ["head", "all"]}}}
    assert read_factors(unquoted) == read_factors({"stages.1.train": ["head", "all"]})


@pytest.mark.parametrize(
    ("table", "path", "problem"),
    [
        ({"balance": []}, "balance", "the grid is empty"),
        ({"balance": "upsample"}, "balance", "must be a list of levels"),
        ({"balance": {}}, "balance", "must be a list of levels"),
        ({"balance": {"a": 1}}, "balance", "each named level must be a table"),
        ({"balance": ["none", "none"]}, "balance", 'level "none" stands there twice'),
        ({"lr": [1, 1]}, "lr", 'level "lr=1" stands there twice'),
        ({"model": ["", "vgg16"]}, "model", "a level needs a name"),
        ({"length": {"": {"batch_size": 8}}}, "length", "a level needs a name"),
        ({"augment": {"toggle": []}}, "augment.toggle", "the grid is empty"),
        ({"augment": {"toggle": "flip"}}, "augment.toggle", "must be a list"),
        ({"augment": {"toggle": [5]}}, "augment.toggle", "a name or a table with a name"),
        ({"augment": {"toggle": [{"p": 1.0}]}}, "augment.toggle", "a name or a table with a name"),
        ({"augment": {"toggle": ["flip", {"name": "flip"}]}}, "augment.flip", "stands there twice"),
        ({"model": {"toggle": ["vgg16"]}}, "model.toggle", "only augment is a list"),
        ({"optimizer.lr": [1], "optimizer": {"lr": [2]}}, "optimizer.lr", "stands there twice"),
    ],
)
def test_a_factor_that_cannot_be_built_says_where_and_why(table: dict[str, Any], path: str, problem: str):
    with pytest.raises(DesignError) as caught:
        read_factors(table)
    assert caught.value.path == path
    assert problem in str(caught.value)


# -- labels --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("key", "value", "label"),
    [
        ("balance", "upsample", "upsample"),
        ("optimizer.lr", 1e-3, "lr=0.001"),
        ("batch_size", 64, "batch_size=64"),
        ("data.n", 1234567, "n=1234567"),
        ("lr", 0.12345678, "lr=0.12345678"),
        ("compile", True, "compile=on"),
        ("compile", False, "compile=off"),
        ("optimizer", {"name": "adam", "lr": 0.1}, "adam (lr=0.1)"),
        ("optimizer", {"name": "adam"}, "adam"),
        ("optimizer", {"lr": 0.1, "decay_norms": False}, "lr=0.1, decay_norms=off"),
        ("augment", [], "none"),
        ("augment", ["flip", {"name": "zoom", "p": 1.0}], "flip&zoom (p=1)"),
        ("model.widths", [8, 16], "widths=8,16"),
    ],
)
def test_a_level_is_called_what_a_person_would_call_it(key: str, value: Any, label: str):
    assert label_of(key, value) == label


def test_a_label_that_two_factors_share_says_whose_it_is():
    factors = read_factors({"loss": ["plain", "x"], "schedule": ["plain", "y"]})
    assert arm_label(factors, (0, 0)) == "loss=plain + schedule=plain"
    assert arm_label(factors, (1, 0)) == "x + schedule=plain"


def test_all_toggles_off_is_none():
    factors = read_factors({"augment": {"toggle": ["flip", "zoom"]}})
    labels = [arm_label(factors, c) for c in itertools.product((0, 1), repeat=2)]
    assert labels == ["none", "zoom", "flip", "flip + zoom"]


# -- trees ---------------------------------------------------------------------------------------------------


def test_a_toggle_adds_to_the_recipes_list_in_order_and_takes_out_what_it_switches():
    factors = read_factors({"augment": {"toggle": ["zoom", {"name": "flip", "p": 1.0}]}})
    base = {"augment": ["rotate", "flip"]}
    assert build_tree(base, factors, (0, 0))["augment"] == [{"name": "rotate"}]
    both = [{"name": "rotate"}, {"name": "zoom"}, {"name": "flip", "p": 1.0}]
    assert build_tree(base, factors, (1, 1))["augment"] == both


def test_levels_patch_in_the_order_of_the_factors():
    factors = read_factors({"optimizer": ["adam", "lion"], "optimizer.lr": [0.1, 0.2]})
    tree = build_tree({"optimizer": {"name": "adam", "beta1": 0.5}}, factors, (1, 1))
    assert tree["optimizer"] == {"name": "lion", "lr": 0.2}


@pytest.mark.parametrize("broken", ["flip", 5, [5], {"name": "flip"}])
def test_a_broken_list_under_a_toggle_is_left_for_the_recipes_own_check(broken: Any):
    factors = read_factors({"augment": {"toggle": ["flip"]}})
    assert "augment" in build_tree({"augment": broken}, factors, (1,))
