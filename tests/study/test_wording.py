from typing import Annotated, Any

import pytest
from pydantic import Field, ValidationError

from bench.recipe import Frozen, Hidden
from bench.study.wording import Problem, key_path, mistake_of, place, problems_of


class Part(Frozen):
    size: Annotated[int, Field(ge=1, le=9)] = 1
    names: Annotated[tuple[str, ...], Field(min_length=1, max_length=2)] = ("a",)


class Whole(Frozen):
    part: Part = Part()
    parts: list[Part] = Field(default_factory=list)
    sets: dict[str, Hidden] = Field(default_factory=dict)
    either: int | list[int] = 1
    must: str


def problems(**tree: Any) -> list[Problem]:
    tree = {"must": "x"} | tree
    with pytest.raises(ValidationError) as caught:
        Whole.model_validate(tree)
    return problems_of(caught.value, tree, Whole)


@pytest.mark.parametrize(
    ("tree", "problem"),
    [
        ({"must": 5}, Problem(("must",), "5", "must be text, in quotes")),
        ({"part": {"size": 0}}, Problem(("part", "size"), "0", "must be ≥ 1")),
        ({"part": {"size": 10}}, Problem(("part", "size"), "10", "must be ≤ 9")),
        ({"part": {"size": 1.5}}, Problem(("part", "size"), "1.5", "must be a whole number")),
        ({"part": {"size": True}}, Problem(("part", "size"), "true", "must be a whole number")),
        ({"part": 5}, Problem(("part",), "5", "must be a table")),
        ({"part": {"names": ()}}, Problem(("part", "names"), "[]", "needs at least 1")),
        ({"part": {"names": ("a",) * 3}}, Problem(("part", "names"), '["a", "a", "a"]', "allows at most 2")),
        ({"part": {"sise": 1}}, Problem(("part", "sise"), "1", 'unknown key; did you mean "size"?')),
        (
            {"parts": [{}, {"sise": 1}]},
            Problem(("parts", 1, "sise"), "1", 'unknown key; did you mean "size"?'),
        ),
        ({"parts": {}}, Problem(("parts",), "{  }", "must be a list, in [ ]")),
        ({"either": "x"}, Problem(("either",), '"x"', "must be a whole number")),
        ({"either": [1, "x"]}, Problem(("either", 1), '"x"', "must be a whole number")),
        (
            {"sets": {"a": {}}},
            Problem(("sets", "a"), "{  }", "needs a kind: external, corrupted or synthetic"),
        ),
        (
            {"sets": {"a": {"kind": "corupted"}}},
            Problem(
                ("sets", "a"),
                '{ kind = "corupted" }',
                'kind must be one of "external", "corrupted", "synthetic"',
            ),
        ),
        (
            {"sets": {"a": {"kind": "corrupted", "profil": "x"}}},
            Problem(("sets", "a", "profil"), '"x"', 'unknown key; did you mean "profile"?'),
        ),
        (
            {"sets": {"a": {"kind": "corrupted", "profile": "x"}}},
            Problem(("sets", "a", "profile"), '"x"', 'must be one of "micro-c", "heavy-mix"'),
        ),
    ],
)
def test_a_problem_says_where_what_was_found_and_what_is_allowed(tree: dict[str, Any], problem: Problem):
    assert problem in problems(**tree)


def test_a_missing_key_is_located_where_it_should_stand():
    with pytest.raises(ValidationError) as caught:
        Whole.model_validate({})
    assert problems_of(caught.value, {}, Whole) == [Problem(("must",), "", "is required")]


def test_a_value_that_fits_no_member_of_a_union_is_one_problem():
    assert len(problems(either="x")) == 1


def test_a_large_table_is_not_printed_whole():
    table = {"kind": "x", **{f"k{i}": i for i in range(5)}}
    assert problems(sets={"a": table})[0].found == ""


def test_a_problem_can_be_seen_from_further_out():
    assert Problem(("lr",), "0", "p").under("optimizer").location == ("optimizer", "lr")


@pytest.mark.parametrize(
    ("location", "text"),
    [(("augment", 1, "n"), "augment[1].n"), (("a",), "a"), ((), ""), (("stages.1.train",), "stages.1.train")],
)
def test_a_key_path_is_written_as_a_person_finds_it(location: tuple[str | int, ...], text: str):
    assert key_path(location) == text


@pytest.mark.parametrize(
    ("location", "heading", "rest"),
    [
        (("arms", "x", "augment", 1), "[arms.x]", ("augment", 1)),
        (("hidden", "heavy", "kind"), "[hidden.heavy]", ("kind",)),
        (("hidden", "heavy"), "[hidden.heavy]", ()),
        (("claims", 0, "better"), "[[claims]] number 1", ("better",)),
        (("tune", "space", "optimizer.lr", "low"), "[tune.space]", ("optimizer.lr", "low")),
        (("tune", "metric"), "[tune]", ("metric",)),
        (("data", "size_px"), "[data]", ("size_px",)),
        (("seeds",), "", ("seeds",)),
        (("looks", 0), "", ("looks", 0)),
    ],
)
def test_a_location_is_under_its_tables_heading(
    location: tuple[str | int, ...], heading: str, rest: tuple[str | int, ...]
):
    assert place(location) == (heading, rest)


def test_a_problem_of_the_whole_file_names_the_study():
    assert mistake_of(Problem((), "", "p")).path == "the study"
    assert mistake_of(Problem(("data", "size_px"), "5", "p")).path == "[data] size_px"
