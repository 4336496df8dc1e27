"""A key added since version 1 makes no old trial stale."""

from __future__ import annotations

import inspect
import tomllib
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from pydantic import create_model
from studies import FakeLocator, read

import bench.identity
from bench.data import fingerprint as fingerprints
from bench.execute import Place, slots
from bench.identity import identity, later
from bench.plan import ID_LENGTH, Replicate, Source, fingerprint, make_plan
from bench.recipe import Choice, Corrupted, Data, External, Frozen, Recipe, Shifted, Split, Stage
from bench.registry import Registry, augmentations, losses, models, optimizers, schedules
from bench.store import Store

FIRST = Path(bench.identity.__file__).with_name("version_1.toml")
REFERENCE = Path(__file__).resolve().parent.parent / "results" / "reference"

TABLES: list[tuple[type[Frozen], dict[str, Any]]] = [
    (Recipe, {"model": "custom_cnn"}),
    (Stage, {"epochs": 3}),
    (Data, {"source": "synthetic"}),
    (Split, {}),
    (External, {"kind": "external", "source": "folder:x"}),
    (Corrupted, {"kind": "corrupted"}),
    (Shifted, {"kind": "synthetic"}),
]


def grown(table: type[Frozen], **added: Any) -> type[Frozen]:
    """``table`` as a later version has it: under the same name, with keys more."""
    return create_model(table.__name__, __base__=table, **added)  # type: ignore[no-any-return, call-overload]


def test_every_kept_trial_still_has_the_id_of_its_recipe():
    for record in Store(REFERENCE).records():
        assert record.trained is not None
        content = fingerprint(identity(record.trained[0]))
        replicate = vars(Replicate(record.seed, record.fold))
        key = fingerprint({"recipe": content, "data": record.data_fingerprint, "replicate": replicate})
        assert record.key == key[:ID_LENGTH]
        assert record.id == fingerprint({"key": record.key, "versions": record.versions})[:ID_LENGTH]


# -- tables --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("table", "given"), TABLES, ids=lambda value: getattr(value, "__name__", ""))
def test_keys_of_version_1_always_count(table: type[Frozen], given: dict[str, Any]):
    made = table.model_validate(given)
    first = tomllib.loads(FIRST.read_text("utf-8"))["tables"][table.__name__]
    assert list(identity(made)) == [key for key in table.model_fields if key in first]
    assert later(made) == {}


@pytest.mark.parametrize(("table", "given"), TABLES, ids=lambda value: getattr(value, "__name__", ""))
def test_a_key_added_later_counts_only_where_it_leaves_its_default(
    table: type[Frozen], given: dict[str, Any]
):
    new = grown(table, sharpness=(float, 0.5))
    before = identity(table.model_validate(given))
    assert identity(new.model_validate(given)) == before
    assert identity(new.model_validate(given | {"sharpness": 0.5})) == before
    changed = new.model_validate(given | {"sharpness": 0.7})
    assert identity(changed) == before | {"sharpness": 0.7}
    assert later(changed) == {"sharpness": 0.7}


def test_a_table_added_later_counts_as_far_as_it_leaves_its_defaults():
    inner = create_model("Warm", __base__=Frozen, epochs=(int, 1), rate=(float, 0.1))
    new = grown(Recipe, warm=(inner, inner()))
    assert "warm" not in identity(new.model_validate({"model": "custom_cnn"}))
    changed = new.model_validate({"model": "custom_cnn", "warm": {"rate": 0.2}})
    assert identity(changed)["warm"] == {"rate": 0.2}


def test_true_is_not_taken_for_the_number_it_equals_in_python():
    new = grown(Recipe, window=(int | bool, 1))
    assert "window" not in identity(new.model_validate({"model": "custom_cnn", "window": 1}))
    assert identity(new.model_validate({"model": "custom_cnn", "window": True}))["window"] is True


# -- components ----------------------------------------------------------------------------------------------

NESTED = '{ name = "chain", steps = [{ name = "one-of", choices = ["flip"] }] }'
FIRST_OF_EACH: list[tuple[Registry, str, str]] = [
    (models, "custom_cnn", "[arms]\nx = {}\ny = { model.dropout = 0.1 }"),
    (optimizers, "adam", "[arms]\nx = {}\ny = { optimizer.lr = 0.1 }"),
    (schedules, "constant", "[arms]\nx = {}\ny = { batch_size = 8 }"),
    (losses, "cross-entropy", "[arms]\nx = {}\ny = { batch_size = 8 }"),
    (augmentations, "flip", '[arms]\nx = { augment = ["flip"] }\ny = {}'),
    (augmentations, "flip", f"[arms]\nx = {{ augment = [{NESTED}] }}\ny = {{}}"),
]


def keys(text: str) -> list[str]:
    return [run.trial.key for run in make_plan(read(text), FakeLocator()).runs]


@pytest.mark.parametrize(("registry", "name", "arms"), FIRST_OF_EACH)
def test_a_parameter_added_to_a_component_moves_no_id(
    registry: Registry, name: str, arms: str, monkeypatch: pytest.MonkeyPatch
):
    before = keys(arms)
    grow(registry, name, monkeypatch)
    assert "sharpness" in registry[name].parameters({})
    assert keys(arms) == before


def grow(registry: Registry, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A component as a later version has it: with one parameter more, as its schema shows it."""
    component = registry[name]

    def factory(sharpness: float = 0.5) -> None: ...

    monkeypatch.setattr(factory, "__signature__", _signature(component.factory, factory), raising=False)
    factory.__annotations__ |= {
        key: component.schema.model_fields[key].rebuild_annotation() for key in component.schema.model_fields
    }
    monkeypatch.setitem(registry._components, name, replace(component, factory=factory))


def _signature(first: Any, more: Any) -> Any:
    parameters = [*inspect.signature(first).parameters.values(), *inspect.signature(more).parameters.values()]
    return inspect.Signature(parameters)


@pytest.mark.parametrize("inside", [False, True])
def test_a_parameter_added_to_a_component_counts_where_it_leaves_its_default(
    inside: bool, monkeypatch: pytest.MonkeyPatch
):
    def arms(flip: str) -> str:
        part = f'{{ name = "chain", steps = [{flip}] }}' if inside else flip
        return f"[arms]\nx = {{ augment = [{part}] }}\ny = {{}}"

    plain = keys(arms('"flip"'))
    grow(augmentations, "flip", monkeypatch)
    assert keys(arms('{ name = "flip", sharpness = 0.5 }')) == plain
    changed = keys(arms('{ name = "flip", sharpness = 0.7 }'))
    assert [a == b for a, b in zip(plain, changed, strict=True)] == [False, False, True, True]


def test_parameters_come_in_the_order_of_the_signature():
    chain = Choice(name="chain", params={"steps": [{"name": "flip", "vertical_p": 0.1}]})
    (found,) = identity(Recipe(model=Choice(name="custom_cnn"), augment=(chain,)))["augment"]
    assert list(found) == ["name", "steps", "p"]
    assert found["steps"] == [{"name": "flip", "p": 0.5, "vertical_p": 0.1}]


def test_of_a_component_that_is_not_here_every_parameter_counts():
    recipe = Recipe(model=Choice(name="custom_cnn"), augment=(Choice(name="mine", params={"by": 1}),))
    assert identity(recipe)["augment"] == [{"name": "mine", "by": 1}]


# -- images --------------------------------------------------------------------------------------------------

DRAWN = Source("synthetic", None, "f" * 64)


def data_keys(data: Data) -> tuple[str, str]:
    return fingerprints.data_fingerprint(DRAWN, data), fingerprints.test_key(DRAWN, data, Replicate(0))


def test_a_key_added_to_data_counts_in_both_keys_of_its_images():
    new = grown(Data, groups=(str | None, None))
    first = data_keys(Data(source="synthetic"))
    by_group = data_keys(new(source="synthetic", groups="patient"))
    assert by_group[0] != first[0]
    assert by_group[1] != first[1]


def test_how_images_become_square_makes_another_trial_on_the_same_test_images():
    first = data_keys(Data(source="synthetic"))
    assert data_keys(Data(source="synthetic", fit="crop", fill="white")) == first, "nothing is filled"
    black, white = (data_keys(Data(source="synthetic", fit="pad", fill=fill)) for fill in ("black", "white"))
    squashed = data_keys(Data(source="synthetic", fit="squash"))
    assert len({keys[0] for keys in (first, black, white, squashed)}) == 4
    assert len({keys[1] for keys in (first, black, white, squashed)}) == 1


@pytest.mark.parametrize(("table", "given"), TABLES[4:], ids=lambda value: getattr(value, "__name__", ""))
def test_a_key_added_to_a_hidden_set_counts_where_it_leaves_its_default(
    table: type[Frozen], given: dict[str, Any]
):
    new = grown(table, sharpness=(float, 0.5))
    source = DRAWN if table is External else None

    def key(hidden: Any) -> str:
        return fingerprints.hidden_key(hidden, source, "test")

    assert key(new.model_validate(given)) == key(table.model_validate(given))
    assert key(new.model_validate(given | {"sharpness": 0.7})) != key(table.model_validate(given))


# -- old records ---------------------------------------------------------------------------------------------


def test_a_record_from_before_a_key_has_it_at_its_default(monkeypatch: pytest.MonkeyPatch):
    record = Store(REFERENCE).records()[0]
    assert record.trained is not None
    grow(optimizers, record.recipe["optimizer"]["name"], monkeypatch)
    today = optimizers[record.recipe["optimizer"]["name"]].parameters({})
    recipe = record.trained[0]
    filled = recipe.model_copy(
        update={"optimizer": recipe.optimizer.model_copy(update={"params": today | recipe.optimizer.params})}
    )
    assert filled != recipe
    assert identity(filled) == identity(recipe)


def test_a_record_that_todays_types_cannot_read_is_from_before_them(tmp_path: Path):
    record = Store(REFERENCE).records()[0]
    old = record.model_copy(update={"recipe": record.recipe | {"batch_size": "many"}})
    assert old.trained is None
    gpu = {"memory": {"reserved_mb": 5.0}, "machine": {"device": "cuda"}}
    for trained, peaks in ((old, 0), (record, 1)):
        rooms = slots.Rooms(Place(tmp_path, tmp_path), ())
        rooms._learn(trained.model_copy(update=gpu))
        assert len(rooms._known) == peaks


def test_filling_validation_up_makes_another_trial_and_leaves_the_test_images() -> None:
    (images, test), (filled, same) = (
        data_keys(Data(source="synthetic", limit=200, val_images=count)) for count in (None, 100)
    )
    assert filled != images
    assert same == test
    assert data_keys(Data(source="synthetic", limit=200)) == (images, test)
