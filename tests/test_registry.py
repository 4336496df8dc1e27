from datetime import date
from importlib import metadata
from typing import TYPE_CHECKING, Annotated, Any, Literal

import pytest
from annotated_types import Gt, Interval
from pydantic import ValidationError

import bench  # noqa: F401  (fills the registries)
from bench.errors import UserError
from bench.registry import REGISTRIES, Component, Registry, Written, version_today

if TYPE_CHECKING:
    from nowhere import Nothing


@pytest.fixture
def registry() -> Registry:
    registry = Registry("optimizer")

    @registry.register("sgd", version=3, foreach=True)
    def sgd(
        lr: Annotated[float, Gt(0)],
        momentum: Annotated[float, Interval(ge=0, lt=1)] = 0.9,
        nesterov: bool = False,
        mode: Literal["plain", "max"] = "plain",
        sizes: list[int] | None = None,
    ) -> "Nothing":
        """Descend.

        More about it.
        """
        return (lr, momentum, nesterov, mode, sizes)

    return registry


def test_a_component_is_found_by_name(registry: Registry):
    component = registry["sgd"]
    assert (component.kind, component.name, component.version) == ("optimizer", "sgd", 3)
    assert component.traits == {"foreach": True}
    assert component.summary == "Descend."
    assert "sgd" in registry
    assert "adam" not in registry
    assert [c.name for c in registry] == registry.names() == ["sgd"]


def test_a_name_can_be_taken_once(registry: Registry):
    with pytest.raises(ValueError, match="optimizer 'sgd' is registered twice"):
        registry.register("sgd")(lambda: None)


@pytest.mark.parametrize(("name", "hint"), [("sdg", 'did you mean "sgd"?'), ("lion", "known: sgd")])
def test_an_unknown_name_is_the_persons_mistake(registry: Registry, name: str, hint: str):
    with pytest.raises(UserError) as caught:
        registry[name]
    assert str(caught.value) == f'"{name}" is not an optimizer; {hint}'


def test_a_fallback_stands_for_every_other_name():
    registry = Registry("model", fallback="any")
    registry.register("any")(lambda: None)
    assert "resnet50" in registry
    assert registry["resnet50"].name == "any"


def test_a_family_stands_for_the_classes_of_another_package(registry: Registry):
    @registry.family("pkg")
    def pkg(name: str) -> Component:
        """Any optimizer of pkg."""

        def factory(lr: Annotated[float, Gt(0)] | None = None, **parameters: Written) -> tuple[Any, ...]:
            return (name, lr, parameters)

        return Component("optimizer", f"pkg:{name}", "2.1", factory, {"foreach": False})

    component = registry["pkg:Adam"]
    assert (component.name, component.version, component.traits) == ("pkg:Adam", "2.1", {"foreach": False})
    assert registry["pkg:Adam"] is component
    given = {"lr": 0.1, "betas": [0.9, 0.99], "kind": "x", "deep": {"on": True}}
    assert component.parameters(given) == given
    assert component.parameters({}) == {}, "defaults are the package's own"
    assert component.build(given) == ("Adam", 0.1, {key: given[key] for key in ("betas", "kind", "deep")})
    assert registry.names() == ["sgd"], "a family is no name"
    assert [name in registry for name in ("pkg:Adam", "pkg:", "pkg:a b", "other:Adam", "pkg")] == [True] + [
        False
    ] * 4
    for wrong, key in (({"lr": 0}, "lr"), ({"a": float("inf")}, "a"), ({"a": [date(2020, 1, 1)]}, "a")):
        with pytest.raises(ValidationError) as caught:
            component.parameters(wrong)
        assert [error["loc"][0] for error in caught.value.errors()] == [key]


def test_the_version_of_today_is_that_of_the_component_of_that_kind_and_name():
    assert version_today("optimizer:adam") == REGISTRIES["optimizers"]["adam"].version
    assert version_today("loss:focal") == 1
    assert version_today("augmentation:kornia:RandomHue") == metadata.version("kornia")
    gone = ("optimizer:gone", "model:resnet18", "kind:adam", "room")
    assert [version_today(key) for key in gone] == [None] * 4, "any timm model is model:timm"


def test_the_signature_is_the_schema(registry: Registry):
    assert registry["sgd"].parameters({"lr": 1}) == {
        "lr": 1.0, "momentum": 0.9, "nesterov": False, "mode": "plain", "sizes": None,
    }  # fmt: skip
    schema = registry["sgd"].schema.model_json_schema()
    assert schema["required"] == ["lr"]
    assert schema["additionalProperties"] is False
    assert schema["properties"]["lr"]["exclusiveMinimum"] == 0
    assert schema["properties"]["momentum"]["exclusiveMaximum"] == 1


@pytest.mark.parametrize(
    ("given", "key"),
    [
        ({}, "lr"),
        ({"lr": 0}, "lr"),
        ({"lr": "0.1"}, "lr"),
        ({"lr": True}, "lr"),
        ({"lr": float("nan")}, "lr"),
        ({"lr": float("inf")}, "lr"),
        ({"lr": 0.1, "momentum": 1.0}, "momentum"),
        ({"lr": 0.1, "nesterov": 1}, "nesterov"),
        ({"lr": 0.1, "mode": "fast"}, "mode"),
        ({"lr": 0.1, "sizes": [1.5]}, "sizes"),
        ({"lr": 0.1, "momntum": 0.9}, "momntum"),
    ],
)
def test_what_the_signature_does_not_allow_is_refused(registry: Registry, given: dict[str, Any], key: str):
    with pytest.raises(ValidationError) as caught:
        registry["sgd"].parameters(given)
    assert [error["loc"][0] for error in caught.value.errors()] == [key]


def test_defaults_are_checked_too():
    registry = Registry("loss")
    registry.register("wrong")(_with_default_out_of_bounds)
    with pytest.raises(ValidationError):
        registry["wrong"].parameters({})


def _with_default_out_of_bounds(p: Annotated[float, Interval(ge=0, le=1)] = 2.0) -> None: ...


def test_checked_parameters_are_plain_json_and_build_the_thing(registry: Registry):
    parameters = registry["sgd"].parameters({"lr": 0.1, "sizes": [1, 2]})
    assert registry["sgd"].build(parameters) == (0.1, 0.9, False, "plain", [1, 2])


@pytest.mark.parametrize("kind", sorted(REGISTRIES))
def test_every_registered_component_has_a_summary_a_version_and_checkable_defaults(kind: str):
    registry = REGISTRIES[kind]
    assert len(registry.names()) > 0
    for component in registry:
        assert component.summary.endswith((".", "?")), component.name
        assert component.version >= 1
        required = component.schema.model_json_schema().get("required", [])
        assert not {"name", "params"} & set(component.schema.model_fields), (
            "these words mean something in a recipe"
        )
        if not required:
            again = component.parameters(component.parameters({}))
            assert again == component.parameters({})
