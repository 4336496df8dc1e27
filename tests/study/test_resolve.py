from typing import Any

import pytest

from bench.recipe import Recipe
from bench.registry import optimizers
from bench.study.patch import PatchError, apply
from bench.study.resolve import base_tree, resolve
from bench.study.wording import Problem


def problems(**changes: Any) -> list[Problem]:
    recipe, found = resolve(base_tree({"model": "custom_cnn"} | changes))
    assert recipe is None
    return found


def test_every_default_is_filled_in():
    recipe, found = resolve(base_tree({"model": "custom_cnn"}))
    assert found == []
    assert isinstance(recipe, Recipe)
    assert recipe.optimizer.params == optimizers["adam"].parameters({})
    assert recipe.model.params["dense"] == 256
    assert (recipe.schedule.name, recipe.loss.name) == ("constant", "cross-entropy")
    assert [(stage.train, stage.epochs) for stage in recipe.stages] == [("all", 10)]


def test_a_resolved_recipe_resolves_to_itself():
    recipe, _ = resolve(base_tree({"model": "resnet18", "augment": ["flip", "randaugment"]}))
    assert recipe is not None
    assert resolve(recipe.model_dump(mode="json")) == (recipe, [])


def test_another_optimizer_takes_its_own_defaults():
    base = base_tree({"model": "custom_cnn", "optimizer": {"name": "adam", "lr": 0.5}})
    recipe, _ = resolve(apply(base, {"optimizer": "lion"}))
    assert recipe is not None
    assert recipe.optimizer.params == optimizers["lion"].parameters({})


def test_any_other_name_is_a_timm_model():
    recipe, found = resolve(base_tree({"model": {"name": "efficientnet_b0", "dropout": 0.3}}))
    assert found == []
    assert recipe is not None
    assert recipe.model.name == "efficientnet_b0"
    assert recipe.model.params["pretrained"] is False


def test_a_recipe_can_patch_the_defaults_it_leaves_out():
    recipe, _ = resolve(base_tree({"model": "custom_cnn", "stages.0.epochs": 3, "optimizer.lr": 0.1}))
    assert recipe is not None
    assert recipe.stages[0].epochs == 3
    assert recipe.optimizer.params["lr"] == 0.1


def test_a_patch_that_points_nowhere_is_raised():
    with pytest.raises(PatchError, match="past the end of a list of 1"):
        base_tree({"stages.1.epochs": 3})


@pytest.mark.parametrize(
    ("changes", "location", "text"),
    [
        (
            {"augment": ["flip", "cutmx"]},
            ("augment", 1),
            'no augmentation of that name; did you mean "cutmix"?   (bench list augmentations)',
        ),
        ({"optimizer": "adma"}, ("optimizer",), 'no optimizer of that name; did you mean "adam"?'),
        ({"loss": "mse"}, ("loss",), "no loss of that name; known: cross-entropy"),
        ({"optimizer": {"lr": 0}}, ("optimizer", "lr"), "must be > 0"),
        ({"optimizer": {"momentum": 0.9}}, ("optimizer", "momentum"), "unknown key; known:"),
        (
            {"model": {"name": "custom_cnn", "widht": [8]}},
            ("model", "widht"),
            'unknown key; did you mean "widths"?',
        ),
        ({"model": ["x"]}, ("model",), "must be the name of a model or a table with a name"),
        ({"optimizer": 5}, ("optimizer",), "must be the name of an optimizer"),
        ({"augment": [{"p": 1.0}]}, ("augment", 0), "must be the name of an augmentation"),
        ({"augment": "flip"}, ("augment",), "must be a list, in [ ]"),
        ({"stages": [{"train": "all"}]}, ("stages", 0), "give either epochs or steps"),
        ({"stages": [{"train": "none"}]}, ("stages",), 'every stage is "none"'),
        ({"stages": []}, ("stages",), "needs at least 1"),
        ({"batchsize": 64}, ("batchsize",), 'unknown key; did you mean "batch_size"?'),
    ],
)
def test_what_is_wrong_is_located_in_the_recipe(
    changes: dict[str, Any], location: tuple[str | int, ...], text: str
):
    assert [p.location for p in problems(**changes)] == [location]
    assert problems(**changes)[0].text.startswith(text)


def test_a_broken_component_does_not_hide_what_else_is_wrong():
    found = problems(optimizer="adma", augment=["flp"], batch_size=0, stages=[{"train": "top", "epochs": 1}])
    assert [p.location for p in found] == [
        ("optimizer",),
        ("augment", 0),
        ("batch_size",),
        ("stages", 0, "train"),
    ]


def test_augmentations_that_mix_images_cannot_be_static():
    found = problems(augment=["flip", "cutmix"], augment_mode="static")
    assert [p.location for p in found] == [("augment", 1)]
    assert "cannot be static" in found[0].text


def test_mixing_inside_a_chain_cannot_be_static_either():
    chain = {"name": "chain", "steps": ["rotate", {"name": "one-of", "choices": ["flip", "mixup"]}]}
    found = problems(augment=["flip", chain], augment_mode="static")
    assert [(p.location, p.found) for p in found] == [(("augment", 1), '"mixup"')]
    geometric = {"name": "chain", "steps": ["rotate", {"name": "one-of", "choices": ["flip", "zoom"]}]}
    for fine in ({"augment": [chain]}, {"augment": [geometric], "augment_mode": "static"}):
        assert resolve(base_tree({"model": "custom_cnn", **fine}))[1] == []


JSD = {"name": "augmix", "jsd": True}


@pytest.mark.parametrize(
    ("changes", "location", "text"),
    [
        (
            {"augment": [JSD, "cutmix"]},
            ("augment", 0, "jsd"),
            "which cutmix would mix with others; leave one",
        ),
        ({"augment": ["mixup", JSD]}, ("augment", 1, "jsd"), "which mixup would mix with others; leave one"),
        (
            {"augment": [JSD, "cutout"]},
            ("augment", 0, "jsd"),
            "must be last in augment; cutout comes after it",
        ),
        ({"augment": ["flip", JSD], "augment_mode": "static"}, ("augment", 1, "jsd"), "cannot be static"),
        ({"augment": [{"name": "chain", "steps": [JSD]}]}, ("augment", 0), "cannot stand inside chain"),
    ],
)
def test_views_that_are_compared_need_the_end_of_the_list_and_no_mixing(
    changes: dict[str, Any], location: tuple[str | int, ...], text: str
):
    (found,) = problems(**changes)
    assert (found.location, found.found) == (location, "true")
    assert text in found.text


def test_views_go_with_class_weights_smoothing_and_other_augmentations():
    fine = {"balance": "class-weights", "loss": {"label_smoothing": 0.1}, "augment": ["flip", JSD]}
    recipe, found = resolve(base_tree({"model": "custom_cnn", **fine}))
    assert found == []
    assert recipe is not None
    assert recipe.augment[1].params["jsd"] is True


def test_augmix_without_views_goes_with_mixing():
    assert resolve(base_tree({"model": "custom_cnn", "augment": ["augmix", "cutmix"]}))[1] == []


def test_a_broken_augmentation_hides_no_rule_between_fields():
    found = problems(augment=["flp", "cutmix"], augment_mode="static")
    assert [p.location for p in found] == [("augment", 0), ("augment", 1)]
