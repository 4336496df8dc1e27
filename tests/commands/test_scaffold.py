import json
import tomllib
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import torch
from studies import FakeLocator, text

from bench.augment.pipeline import build
from bench.commands import scaffold
from bench.errors import UserError
from bench.plan import make_plan
from bench.streams import stream
from bench.study.read import load


def test_a_new_study_loads_and_plans(tmp_path: Path):
    file = scaffold.new("which-one", tmp_path)
    assert file == Path("ablations/which-one.toml")
    study = load(tmp_path / file)
    assert (study.name, study.baseline) == ("which-one", "none")
    assert len(make_plan(study, FakeLocator()).runs) == 9
    assert "# which-one: " in (tmp_path / file).read_text("utf-8")


def test_the_file_ending_may_be_given(tmp_path: Path):
    assert scaffold.new("x.toml", tmp_path) == Path("ablations/x.toml")


def test_nothing_is_overwritten(tmp_path: Path):
    file = tmp_path / scaffold.new("x", tmp_path)
    file.write_text("mine")
    with pytest.raises(UserError, match="is there already; choose another name"):
        scaffold.new("x", tmp_path)
    assert file.read_text() == "mine"


@pytest.mark.parametrize("name", ["", "../x", "a/b", "trials", "Index", "a b", ".toml", "é", "x" * 65])
def test_a_name_that_no_study_can_have_is_refused(tmp_path: Path, name: str):
    with pytest.raises(UserError, match="cannot name a study; use letters, digits, - and _"):
        scaffold.new(name, tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_cannot_be_written_is_said(tmp_path: Path):
    (tmp_path / "ablations").write_text("a file, not a folder")
    with pytest.raises(UserError, match="cannot be written"):
        scaffold.new("x", tmp_path)


# -- an augmentation of one's own ----------------------------------------------------------------------------


OWN = """\
[arms]
none = {}
own = { augment = ["flip", { name = "my-stripe", width = 0.2, p = 1 }] }
"""


def test_the_written_component_is_an_augmentation_that_keeps_what_augmentations_promise(tmp_path: Path):
    assert scaffold.new("my-stripe", tmp_path, component=True) == Path("ablations/my-stripe.py")
    study = tmp_path / "ablations" / "mine.toml"
    study.write_text(text(OWN, top='uses = ["my-stripe.py"]'), "utf-8")
    (own,) = load(study).arm("own").recipe.augment[1:]
    images, targets = torch.rand(5, 3, 16, 16), torch.eye(5)
    run = build([own], size_px=16, channels=3)
    out, same = run(images, targets, stream(0, "t"))
    dark = (out == 0).all(dim=(1, 3)).sum(1)
    assert dark.min() >= 1
    assert dark.max() == 3
    assert torch.equal(out[out > 0], images[out > 0])
    assert torch.equal(same, targets)
    assert torch.equal(run(images, targets, stream(0, "t"))[0], out)
    off = build([own.model_copy(update={"params": own.params | {"p": 0.0}})], size_px=16, channels=3)
    assert torch.equal(off(images, targets, stream(0, "t"))[0], images)
    schema = json.loads(scaffold.schema())
    assert "my-stripe" in schema["$defs"]["Choice"]["anyOf"][0]["enum"]


def test_the_written_component_says_how_a_study_uses_it(tmp_path: Path):
    said = (tmp_path / scaffold.new("streak", tmp_path, component=True)).read_text("utf-8")
    assert 'uses = ["streak.py"]' in said
    assert 'streak = { augment = ["flip", { name = "streak", p = 0.5 }] }' in said


@pytest.mark.parametrize(
    ("name", "problem"),
    [("flip", '"flip" is an augmentation already; choose another name'), ("../x", "cannot name a component")],
)
def test_a_name_that_no_component_can_have_is_refused(tmp_path: Path, name: str, problem: str):
    with pytest.raises(UserError, match=problem):
        scaffold.new(name, tmp_path, component=True)


# -- the schema ----------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def validator() -> jsonschema.Draft202012Validator:
    schema = json.loads(scaffold.schema())
    jsonschema.Draft202012Validator.check_schema(schema)
    return jsonschema.Draft202012Validator(schema)


RICH = text(
    """
    [arms]
    none = {}
    patched = { "stages.1.train" = "top:3", stages.0.epochs = 3, optimizer.lr = 1e-2, data.size_px = 64 }
    [arms.many]
    model = { name = "efficientnet_b0", pretrained = true }
    optimizer = "lion"
    unset = ["optimizer.lr", "stages.1.patience"]
    augment = ["flip", { name = "zoom", p = 0.5 }, { name = "chain", steps = ["flip", { name = "blur" }] }]
    [hidden.heavy]
    kind = "corrupted"
    severities = [1, 2]
    [[claims]]
    says = "s"
    better = ["p*"]
    than = "none"
    [tune.space]
    "optimizer.lr" = { around = "recipe", times = 3 }
    [tune.arms."m*"]
    batch_size = { choices = [1, 2] }
    """,
    top="looks = [2, 3]",
    data="split = { train = 0.8, val = 0.1, test = 0.1 }",
)
FACTORS = text('[factors]\nbalance = ["none", "upsample"]\naugment.toggle = ["flip"]', top='design = "grid"')


@pytest.mark.parametrize("study", [RICH, FACTORS], ids=["rich", "factors"])
def test_the_schema_accepts_every_key_of_a_study(validator: jsonschema.Draft202012Validator, study: str):
    assert [error.message for error in validator.iter_errors(tomllib.loads(study))] == []


def test_the_schema_accepts_the_template(validator: jsonschema.Draft202012Validator):
    assert validator.is_valid(tomllib.loads((scaffold.TEMPLATES / "study.toml").read_text("utf-8")))


@pytest.mark.parametrize(
    ("parts", "what"),
    [
        ({"top": "baselin = 'none'"}, "a key of the file"),
        ({"top": "looks = [0]"}, "a bound"),
        ({"top": "delta = { local = 0 }"}, "a difference"),
        ({"data": "sizepx = 32"}, "a key of the data"),
        ({"recipe": "batchsize = 32"}, "a key of the recipe"),
        ({"recipe": "batch_size = 0"}, "a bound of the recipe"),
        ({"recipe": 'augment = ["flp"]'}, "an augmentation"),
        ({"recipe": 'augment = [{ name = "flip", q = 1.0 }]'}, "a parameter"),
        ({"recipe": 'augment = [{ name = "flip", p = 2.0 }]'}, "a bound of a parameter"),
        ({"recipe": 'augment = [{ name = "chain", steps = ["flp"] }]'}, "a nested augmentation"),
        ({"recipe": 'loss = "mse"'}, "a loss"),
        ({"rest": '[arms]\na = { optimizer = "adma" }'}, "an optimizer of an arm"),
        ({"rest": "[arms]\na = { data = { source = 'x' } }"}, "data that no arm may change"),
        ({"rest": '[arms]\na = { unset = "model.weights" }'}, "a list of keys"),
        ({"rest": '[arms]\na = {}\n[hidden.x]\nkind = "other"'}, "a kind"),
        ({"rest": '[arms]\na = {}\n[[claims]]\nsays = "x"'}, "a claim without arms"),
    ],
)
def test_the_schema_rejects_a_mistake_in(
    validator: jsonschema.Draft202012Validator, parts: dict[str, Any], what: str
):
    table = tomllib.loads(text(**parts))
    assert not validator.is_valid(table), what


def test_an_editor_can_show_what_a_component_does(validator: jsonschema.Draft202012Validator):
    text = json.dumps(validator.schema)
    assert "Mirror images left to right" in text
    assert "Adam" in text
