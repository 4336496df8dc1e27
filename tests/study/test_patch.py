from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.study.patch import PatchError, apply, look_up, normalise

BASE: dict[str, Any] = {
    "model": {"name": "vgg16", "dropout": 0.5},
    "optimizer": {"name": "adam", "lr": 1e-3},
    "augment": ["flip", {"name": "randaugment", "n": 2}],
    "stages": [{"train": "head", "epochs": 1}, {"train": "all", "epochs": 2}],
    "batch_size": 64,
}


def test_a_bare_name_becomes_a_table():
    tree = normalise({"model": "vgg16", "augment": ["flip", {"name": "blur"}], "balance": "none"})
    assert tree == {
        "model": {"name": "vgg16"},
        "augment": [{"name": "flip"}, {"name": "blur"}],
        "balance": "none",
    }


@pytest.mark.parametrize("new", ["lion", {"name": "lion"}])
def test_another_name_replaces_a_component_with_its_own_defaults(new: Any):
    assert apply(BASE, {"optimizer": new})["optimizer"] == {"name": "lion"}
    assert apply(BASE, {"optimizer.name": "lion"})["optimizer"] == {"name": "lion"}


@pytest.mark.parametrize("new", [{"lr": 0.1}, {"name": "adam", "lr": 0.1}])
def test_the_same_or_no_name_merges(new: Any):
    base = {"optimizer": {"name": "adam", "lr": 1e-3, "beta1": 0.8}}
    assert apply(base, {"optimizer": new})["optimizer"] == {"name": "adam", "lr": 0.1, "beta1": 0.8}


def test_the_same_bare_name_keeps_the_parameters():
    assert apply(BASE, {"optimizer": "adam"})["optimizer"] == {"name": "adam", "lr": 1e-3}


def test_lists_replace():
    assert apply(BASE, {"augment": ["blur"]})["augment"] == [{"name": "blur"}]
    assert apply(BASE, {"stages": []})["stages"] == []


def test_a_dotted_key_reaches_inside_and_an_integer_indexes_a_list():
    tree = apply(BASE, {"stages.1.train": "top:3", "augment.1.n": 5, "model.dropout": 0.1})
    assert tree["stages"] == [{"train": "head", "epochs": 1}, {"train": "top:3", "epochs": 2}]
    assert tree["augment"][1] == {"name": "randaugment", "n": 5}
    assert tree["model"] == {"name": "vgg16", "dropout": 0.1}


def test_a_dotted_key_without_quotes_means_the_same():
    # TOML reads `stages.1.train = "top:3"` as tables inside each other.
    assert apply(BASE, {"stages": {"1": {"train": "top:3"}}}) == apply(BASE, {"stages.1.train": "top:3"})
    assert apply(BASE, {"optimizer": {"lr": 0.1}}) == apply(BASE, {"optimizer.lr": 0.1})


def test_a_dotted_key_reaches_into_a_component_written_as_a_bare_name():
    assert apply(BASE, {"augment.0.p": 1.0})["augment"][0] == {"name": "flip", "p": 1.0}
    assert apply({"model": "vgg16"}, {"model.dropout": 0.1})["model"] == {"name": "vgg16", "dropout": 0.1}


def test_a_dotted_key_makes_the_table_it_misses():
    assert apply({}, {"optimizer.lr": 0.1}) == {"optimizer": {"lr": 0.1}}


def test_patches_apply_in_the_order_written():
    assert apply(BASE, {"optimizer": "lion", "optimizer.lr": 0.1})["optimizer"] == {"name": "lion", "lr": 0.1}


@pytest.mark.parametrize(
    ("patch", "path", "problem"),
    [
        (
            {"stages.2.train": "all"},
            "stages.2.train",
            "index 2 is past the end of a list of 2 (the first is 0)",
        ),
        ({"stages": {"7": {}}}, "stages.7", "index 7 is past the end of a list of 2 (the first is 0)"),
        (
            {"stages.first.train": "all"},
            "stages.first.train",
            '"first" must be an index, 0 to 1: this is a list',
        ),
        ({"stages.-1.train": "all"}, "stages.-1.train", '"-1" must be an index, 0 to 1: this is a list'),
        ({"stages.².train": "all"}, "stages.².train", '"²" must be an index, 0 to 1: this is a list'),
        ({"stages." + "9" * 5000: 1}, "stages." + "9" * 5000, "past the end of a list of 2"),
        ({"batch_size.x": 1}, "batch_size.x", '"x" points inside 64, which has no keys'),
        ({"stages.0.train.x": 1}, "stages.0.train.x", '"x" points inside "head", which has no keys'),
        ({"augment": [], "augment.0": "flip"}, "augment.0", "past the end of a list of 0"),
        ({"augment": [], "augment.x": "flip"}, "augment.x", '"x" must be left out: this list is empty'),
    ],
)
def test_a_patch_that_points_nowhere_says_where_and_why(patch: dict[str, Any], path: str, problem: str):
    with pytest.raises(PatchError) as caught:
        apply(BASE, patch)
    assert caught.value.path == path
    assert problem in str(caught.value)


def test_what_is_unset_goes_back_to_its_default():
    assert apply(BASE, {"unset": ["model.dropout"]})["model"] == {"name": "vgg16"}
    assert apply(BASE, {"unset": ["augment.1.n"]})["augment"][1] == {"name": "randaugment"}
    assert "batch_size" not in apply(BASE, {"unset": ["batch_size"]})
    tree = apply(BASE, {"unset": ["optimizer", "stages"]})
    assert tree["optimizer"] == {"name": "adam"}
    assert tree["stages"] == [{"train": "all", "epochs": 10}]


def test_keys_are_unset_before_the_others_are_set():
    base = {"optimizer": {"name": "lion", "lr": 0.5, "weight_decay": 0.1}}
    patch = {"optimizer.lr": 0.2, "unset": ["optimizer"]}
    assert apply(base, patch)["optimizer"] == {"name": "adam", "lr": 0.2}


@pytest.mark.parametrize(
    ("unset", "problem"),
    [
        (["model.dropuot"], '"model.dropuot" has its default already; did you mean "dropout"?'),
        (["modle.dropout"], '"modle.dropout": there is no "modle" here; did you mean "model"?'),
        (["loss"], '"loss" has its default already; known: augment, batch_size, model, optimizer, stages'),
        (["model.dropout", "model.dropout"], '"model.dropout" has its default already; known: name'),
        (["stages.0"], '"stages.0" is an entry of a list; write the list without it'),
        (["stages.2.epochs"], '"stages.2.epochs": index 2 is past the end of a list of 2 (the first is 0)'),
        (["batch_size.x"], '"batch_size.x": "batch_size" holds 64, which has no keys'),
        ("model.dropout", 'must be a list of dotted keys, ["model.weights"], not "model.dropout"'),
        ([1], 'must be a list of dotted keys, ["model.weights"], not [1]'),
    ],
)
def test_only_what_is_set_can_be_unset(unset: Any, problem: str):
    with pytest.raises(PatchError) as caught:
        apply(BASE, {"unset": unset})
    assert (caught.value.path, str(caught.value)) == ("unset", problem)


def test_neither_tree_nor_patch_is_changed():
    import copy

    base, patch = copy.deepcopy(BASE), {"model": {"dense": 4}, "stages.0.epochs": 9, "augment": ["flip"]}
    before = copy.deepcopy(patch)
    tree = apply(base, patch)
    tree["stages"][1]["epochs"] = 99
    tree["augment"].append("blur")
    assert (base, patch) == (BASE, before)


keys = st.sampled_from(
    ["unset", "name", "lr", "model", "optimizer", "0", "stages", "a.b", "stages.0", "", ".", "²"]
)
leaves = st.none() | st.booleans() | st.integers(-2, 2) | st.floats() | st.sampled_from(["", "adam", "flip"])
trees = st.recursive(
    leaves, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(keys, inner, max_size=3)
)
tables = st.dictionaries(keys, trees, max_size=4)


@given(tables, tables)
def test_any_patch_of_any_tree_applies_or_says_where_it_points(tree: dict[str, Any], patch: dict[str, Any]):
    caught: PatchError | None = None
    try:
        out = apply(tree, patch)
    except PatchError as error:
        caught = error
    assert (caught.path and str(caught)) if caught else isinstance(out, dict)


@given(
    st.sampled_from(["batch_size", "optimizer.lr", "model.weights", "stages.1.patience", "augment.0.p"]),
    st.integers() | st.text() | st.booleans(),
)
def test_unsetting_what_was_set_gives_back_the_recipe(key: str, value: Any):
    plain = apply(BASE, {"unset": ["batch_size", "optimizer.lr"]})
    assert apply(apply(plain, {key: value}), {"unset": [key]}) == plain


@given(tables)
def test_an_empty_patch_changes_nothing(tree: dict[str, Any]):
    assert repr(apply(tree, {})) == repr(normalise(tree))


def test_look_up_finds_a_value_inside_tables_and_lists():
    assert look_up(BASE, "stages.1.train") == "all"
    assert look_up(BASE, "optimizer.lr") == 1e-3


@pytest.mark.parametrize(
    ("path", "problem"),
    [
        ("optimizer.lrr", 'there is no "lrr" here; did you mean "lr"?'),
        ("stages.5", "index 5 is past the end of a list of 2"),
        ("batch_size.x", "which has no keys"),
    ],
)
def test_look_up_says_what_is_not_there(path: str, problem: str):
    with pytest.raises(PatchError, match=problem.replace("?", r"\?")):
        look_up(BASE, path)
