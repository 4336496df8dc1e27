from typing import Any

import pytest
from pydantic import TypeAdapter, ValidationError

from bench.recipe import Choice, Corrupted, Data, External, Hidden, Recipe, Shifted, Split, Stage

hidden_set: TypeAdapter[Any] = TypeAdapter(Hidden)


def refused(model: Any, /, **fields: Any) -> str:
    with pytest.raises(ValidationError) as caught:
        model(**fields)
    return str(caught.value)


def test_a_choice_is_a_name_or_a_table_and_is_written_flat():
    assert Choice.model_validate("flip") == Choice(name="flip")
    choice = Choice.model_validate({"name": "zoom", "p": 0.5})
    assert choice == Choice(name="zoom", params={"p": 0.5})
    assert choice.model_dump() == {"name": "zoom", "p": 0.5}


def test_a_recipe_reads_back_from_what_it_writes():
    recipe = Recipe(
        model=Choice(name="vgg16", params={"dropout": 0.5}),
        augment=(Choice(name="flip"), Choice(name="zoom", params={"p": 0.5})),
        stages=(Stage(train="head", epochs=1), Stage(train="top:3", steps=10, eval_every=5)),
    )
    assert Recipe.model_validate(recipe.model_dump(mode="json")) == recipe
    assert Recipe.model_validate_json(recipe.model_dump_json()) == recipe


def test_what_travels_cannot_be_changed():
    with pytest.raises(ValidationError):
        Data(source="synthetic").size_px = 5  # type: ignore[misc]


@pytest.mark.parametrize(
    "train", ["none", "head", "all", "top:1", "top:12", "fraction:0.5", "fraction:.25", "fraction:1"]
)
def test_a_stage_trains_none_head_top_fraction_or_all(train: str):
    assert Stage(train=train, epochs=1).train == train


@pytest.mark.parametrize(
    "train",
    ["", "top", "top:0", "top:-1", "top:1.5", "fraction:0", "fraction:0.0", "fraction:1.5", "ALL", "all\n"],
)
def test_a_stage_trains_nothing_else(train: str):
    message = refused(Stage, train=train, epochs=1)
    assert 'must be "none", "head", "all", "top:N" or "fraction:F"' in message


@pytest.mark.parametrize("length", [{}, {"epochs": 1, "steps": 1}])
def test_a_stage_has_epochs_or_steps(length: dict[str, int]):
    assert "give either epochs or steps" in refused(Stage, **length)


def test_a_skipped_stage_needs_no_length():
    assert Stage(train="none").epochs is None


def test_eval_every_goes_with_steps():
    assert Stage(steps=10, eval_every=5).eval_every == 5
    assert "eval_every = 1 goes with steps" in refused(Stage, epochs=1, eval_every=1)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("epochs", 0),
        ("epochs", True),
        ("epochs", 1.0),
        ("patience", 0),
        ("lr_scale", 0.0),
        ("lr_scale", float("inf")),
        ("layer_decay", 0.0),
        ("layer_decay", 1.1),
        ("epoch", 1),
    ],
)
def test_a_stage_refuses_what_is_out_of_bounds(key: str, value: Any):
    assert key in refused(Stage, **({"epochs": 1} | {key: value}))


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("balance", "up"),
        ("batch_size", 0),
        ("batch_size", "64"),
        ("clip_norm", -1.0),
        ("clip_norm", float("nan")),
        ("clip_norm", float("inf")),
        ("ema", 1.0),
        ("tta", "all"),
        ("precision", "fp16"),
        ("deterministic", 1),
        ("cpu_threads", 0),
        ("stages", ()),
        ("augment_mode", "both"),
        ("seed", 0),
    ],
)
def test_a_recipe_refuses_what_is_out_of_bounds(key: str, value: Any):
    assert key in refused(Recipe, model=Choice(name="x"), **{key: value})


def test_shares_add_up_to_one():
    assert Split(train=0.7, val=0.2, test=0.1).val == 0.2
    assert "shares must add up to 1, these make 1.1" in refused(Split, train=0.8, val=0.2, test=0.1)
    assert "greater than 0" in refused(Split, train=1.0, val=0.0, test=0.0)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("size_px", 15),
        ("size_px", 1025),
        ("outliers", "maybe"),
        ("split", "unofficial"),
        ("limit", 0),
        ("n_images", 79),
        ("classes", ("a", "a")),
        ("classes", ("a",)),
        ("classes", ("a", "")),
        ("split_seed", -1),
    ],
)
def test_data_refuses_what_is_out_of_bounds(key: str, value: Any):
    assert key in refused(Data, source="synthetic", **{key: value})


def test_a_hidden_set_is_told_by_its_kind():
    assert isinstance(hidden_set.validate_python({"kind": "external", "source": "npz:x"}), External)
    assert isinstance(hidden_set.validate_python({"kind": "corrupted"}), Corrupted)
    assert isinstance(hidden_set.validate_python({"kind": "synthetic", "stain": 2.0}), Shifted)


@pytest.mark.parametrize(
    "table",
    [
        {"kind": "external"},
        {"kind": "external", "source": "npz:x", "classes": {"a": 1}},
        {"kind": "corrupted", "source": "npz:x"},
        {"kind": "corrupted", "severities": [0]},
        {"kind": "corrupted", "severities": [6]},
        {"kind": "corrupted", "families": []},
        {"kind": "corrupted", "images": 0},
        {"kind": "synthetic", "stain": 3.1},
        {"kind": "synthetic", "images": 7},
        {"kind": "other"},
        {},
    ],
)
def test_a_hidden_set_refuses_what_its_kind_does_not_have(table: dict[str, Any]):
    with pytest.raises(ValidationError):
        hidden_set.validate_python(table)


def test_lists_of_toml_become_tuples():
    corrupted = hidden_set.validate_python({"kind": "corrupted", "families": ["noise"], "severities": [1, 5]})
    assert (corrupted.families, corrupted.severities) == (("noise",), (1, 5))
    assert Data.model_validate({"source": "synthetic", "classes": ["a", "b"]}).classes == ("a", "b")
