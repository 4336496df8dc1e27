from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

import pytest

from bench.errors import UserError
from bench.study.signature import arguments

if TYPE_CHECKING:
    import elsewhere


class Tensor(list[float]):
    """Stands for what TOML has no value of."""


class Blur:
    """A class of another package."""

    def __init__(
        self,
        size: tuple[int, int] | int,
        sigma: tuple[float, ...] = (0.1, 2.0),
        border: Literal["reflect", "wrap"] = "reflect",
        weights: Tensor | None = None,
        either: Tensor | float | None = None,
        hook: elsewhere.Hook | None = None,
        also: elsewhere.Some[int] | str = "",
        seed: int | None = None,
        **rest: Any,
    ) -> None: ...


class Wrapper:
    """A class that takes an object."""

    def __init__(self, inner: Blur) -> None: ...


def complaint(of: type, **given: Any) -> str:
    with pytest.raises(UserError) as caught:
        arguments(of, given, "x:Blur", kept=("seed",))
    return str(caught.value)


def test_what_toml_writes_becomes_what_the_class_takes_and_nothing_is_filled_in():
    given = {"size": [3, 5], "sigma": [1, 2.5, 3], "border": "wrap", "either": 2, "also": "a"}
    expected = {"size": (3, 5), "sigma": (1.0, 2.5, 3.0), "border": "wrap", "either": 2.0, "also": "a"}
    assert arguments(Blur, given, "x:Blur") == expected
    assert arguments(Blur, {"size": 3}, "x:Blur") == {"size": 3}


def test_an_unknown_key_is_a_mistake_with_a_suggestion():
    assert complaint(Blur, size=3, sigm=[1, 2]) == 'x:Blur: sigm = [1, 2]: unknown key; did you mean "sigma"?'


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({}, "size: is required   (size: "),
        ({"size": "large"}, 'size = "large": must be '),
        ({"size": [3]}, "size[1]: is required"),
        ({"size": 3, "sigma": [1.0, "a"]}, 'sigma[1] = "a": must be a number   (sigma: '),
        ({"size": 3, "border": "mirror"}, 'border = "mirror": must be one of "reflect", "wrap"'),
        ({"size": 3, "weights": [1.0]}, "weights = [1.0]: cannot be written in a study   (weights: "),
        ({"size": 3, "hook": "h"}, 'hook = "h": cannot be written in a study'),
        ({"size": 3, "seed": 4}, "seed = 4: is not a study's to set   (seed: "),
        ({"size": 3, "rest": 4}, "rest = 4: unknown key"),
    ],
)
def test_a_wrong_value_is_a_mistake_with_its_place_and_what_the_class_says(given: dict[str, Any], said: str):
    assert said in complaint(Blur, **given)


def test_all_mistakes_are_told_together():
    assert len(complaint(Blur, sigma=1, sigm=2).splitlines()) == 3


def test_a_class_that_needs_an_object_cannot_be_had():
    assert complaint(Wrapper) == "x:Blur: needs what a study cannot write   (inner: 'Blur')"


def test_a_list_stands_for_a_type_where_nothing_else_can_be_written():
    also = {Tensor: list[float]}
    assert arguments(Blur, {"size": 3, "weights": [1]}, "x", also=also) == {"size": 3, "weights": [1.0]}
    with pytest.raises(UserError, match="either = "):
        arguments(Blur, {"size": 3, "either": [1.0]}, "x", also=also)
