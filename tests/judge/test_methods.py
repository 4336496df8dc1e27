"""The paragraph for a paper: its numbers are the study's, and what arms differ in is left out."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
import torch
from worlds import World

from bench.judge import methods
from bench.judge.findings import Document
from bench.planned import Account, Shares
from bench.recipe import Choice, Corrupted, External, Recipe, Stage
from bench.registry import corruptions
from bench.report import build, files

MAKE = Callable[..., World]


def told(w: World) -> str:
    return " ".join(build(w.study, w.plan, w.store).methods)


def test_numbers_are_the_studys(make_world: MAKE):
    w = make_world()
    w.arm("a", 1.0)
    w.arm("b", 2.5, ["flip"])
    stages = (Stage(train="head", epochs=1), Stage(train="top:2", epochs=9, patience=3, lr_scale=0.3))
    optimizer = Choice(name="adam", params={"lr": 0.002})
    w.recipes = {
        name: one.model_copy(update={"stages": stages, "optimizer": optimizer, "batch_size": 48})
        for name, one in w.recipes.items()
    }
    w.finish_all(but=[("b", 1)])
    w.diverge("b", 1)
    text = told(w)
    for said in (
        "One arm was compared with a: b.",
        "The images were of 3 classes (basophil, monocyte, platelet).",
        "The local test set of 200 images was the same in all trials; for each of 5 random seeds",
        "The held-out test set was heavy (200 drawn images).",
        "images of 32 px, adam at a learning rate of 0.002",
        "batches of 48",
        "the head for 1 epoch, then the head and the last 2 blocks for up to 9 epochs",
        "9 epochs at 0.3 times that learning rate, stopped after 3 evaluations",
        "What decides is heavy.accuracy.",
        "Verdicts are corrected for one comparison (Holm 1979)",
        "0.5 points locally and 1 on held-out sets",
        "Of 10 trials 9 finished and 1 diverged.",
        "torch 2.11.0",
    ):
        assert said in text, said
    made = files(w.study, w.plan, w.store, ("md", "html"))
    assert text in made["report.md"].replace("\\", "")
    assert "Methods, for a paper" in made["report.html"]
    assert text.count("  ") == 0


def test_what_arms_differ_in_is_left_out(make_world: MAKE):
    w = make_world(seeds=(0, 1))
    w.arm("a", 1.0)
    w.arm("b", 1.5)
    w.recipes["b"] = Recipe(model=w.recipes["b"].model, batch_size=7, optimizer=Choice(name="lion"))
    w.finish_all()
    text = told(w)
    assert "batches of" not in text
    assert "lion" not in text
    assert "custom_cnn" in text


def test_what_became_of_images_folds_and_groups_is_told(make_world: MAKE, monkeypatch):
    w = make_world(seeds=(0,), folds=3)
    w.arm("a", 1.0)
    w.arm("b", 1.5)
    w.finish_all()
    text = told(w)
    assert "In 3-fold cross-validation each fold was the test set once" in text
    assert "Nadeau and Bengio 2003" in text
    w = make_world(seeds=(0, 1))
    w.arm("a", 1.0)
    w.finish_all()
    lab = {"heavy": External(kind="external", source="folder:x"), "c": Corrupted(kind="corrupted")}
    w.extra = {"hidden": lab}
    plan = w.plan.model_copy(
        update={
            "accounts": (
                Account(set="local", images={"x": 1000, "y": 50}, dropped={"copies": {"x": 3, "y": 4}}),
            ),
            "shares": Shares(
                images=1050,
                sides={"train": 700, "val": 150, "test": 200},
                asked={"val": 0.1, "test": 0.2},
            ),
        }
    )
    document: Document = build(w.study, plan, w.store)
    text = " ".join(document.methods)
    assert "held 1,050 images of 3 classes" in text
    assert "7 outliers and copies had been left out" in text
    assert "the rest was split anew into 700 training and 150 validation images" in text
    assert "heavy (200 images of another source) and c (corrupted copies of test images" in text
    smoked = build(w.study, plan.model_copy(update={"smoke": True}), w.store)
    assert smoked.methods == ()


KORNIAS = Choice(name="kornia:RandomRain")
LIBRARIES = {
    "python": "3.11", "torch": "2", "timm": "1", "kornia": "0.9", "optuna": "5", "lion-pytorch": "0.2",
    "own": "7",
}  # fmt: skip


@pytest.mark.parametrize(
    ("recipe", "hidden", "used"),
    [
        ({}, {}, set()),
        ({"model": Choice(name="resnet18"), "optimizer": Choice(name="lion")}, {}, {"timm"}),
        ({"augment": (KORNIAS,)}, {}, {"kornia"}),
        ({"augment": (Choice(name="randaugment", params={"ops": "kornia"}),)}, {}, {"kornia"}),
        ({"augment": (Choice(name="chain", params={"steps": [KORNIAS.model_dump()]}),)}, {}, {"kornia"}),
        ({}, {"heavy": Corrupted(kind="corrupted")}, {"kornia"}),
        ({}, {"heavy": Corrupted(kind="corrupted", profile="micro-c", families=("jpeg", "noise"))}, set()),
        ({}, {"heavy": Corrupted(kind="corrupted", profile="micro-c", families=("jpeg", "hue"))}, {"kornia"}),
    ],
)  # fmt: skip
def test_only_libraries_that_took_part_are_named(make_world: MAKE, recipe, hidden, used):
    w = make_world(seeds=(0, 1))
    w.arm("a", 1.0)
    w.recipes["a"] = w.recipes["a"].model_copy(update=recipe)
    w.extra = {"hidden": hidden} if hidden else {}
    w.finish_all()
    document = build(w.study, w.plan, w.store)
    known = replace(document.provenance, libraries=tuple(LIBRARIES.items()))
    text = " ".join(methods.sentences(w.study, w.plan, replace(document, provenance=known)))
    named = {name for name in LIBRARIES if f" {name} {LIBRARIES[name]}" in text}
    assert named == {"python", "torch", "own"} | used


def test_a_corruption_says_that_it_is_made_with_kornia_where_it_is(monkeypatch):
    image, told = torch.rand(1, 3, 24, 24), {c.name for c in corruptions if c.traits.get("library")}
    for name in [name for name in sys.modules if name.partition(".")[0] == "kornia"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "kornia", None)
    needs = set()
    for component in (one for one in corruptions if not one.origin):
        try:
            component.build({}).apply(image, 1, [np.random.default_rng(0)])
        except ImportError:
            needs.add(component.name)
    assert needs == told >= {"hue", "crop", "gamma"}
