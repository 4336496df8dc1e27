import datetime

import pytest

from bench.errors import Mistake, did_you_mean, mistakes_error, shorten


def test_a_mistake_says_where_it_stands_what_was_found_and_what_to_do():
    mistake = Mistake("[recipe] batchsize", "64", 'unknown key; did you mean "batch_size"?')
    assert str(mistake) == '  [recipe] batchsize = 64\n    unknown key; did you mean "batch_size"?'


def test_a_missing_key_shows_no_value():
    assert str(Mistake("[data] source", "", "is required")) == "  [data] source\n    is required"


def test_mistakes_of_a_file_come_in_the_order_given_and_once_each():
    first, second = Mistake("b", "1", "wrong"), Mistake("a", "2", "wrong")
    text = str(mistakes_error("x.toml", [first, second, first]))
    assert text == f"x.toml has 2 mistakes\n\n{first}\n{second}"


def test_one_mistake_is_a_mistake():
    assert str(mistakes_error("x.toml", [Mistake("a", "", "p")])).startswith("x.toml has a mistake\n\n")


def test_a_name_in_a_file_cannot_steer_the_terminal():
    text = str(Mistake("[arms.\x1b[2J]", '"\x07"', "known: \r\x1b[31m"))
    assert all(c.isprintable() or c == "\n" for c in text)
    assert "\\x1b[2J" in text


@pytest.mark.parametrize(
    ("word", "known", "hint"),
    [
        ("flp", ["flip", "blur"], 'did you mean "flip"?'),
        ("zzz", ["flip", "blur"], "known: blur, flip"),
        ("zzz", [], "nothing is allowed here"),
        ("zzz", ["a", "b", "c"], "known: a, b, … (3 in all)"),
    ],
)
def test_a_hint_names_what_is_near_or_what_is_known(word: str, known: list[str], hint: str):
    assert did_you_mean(word, known, limit=2) == hint


def test_a_hint_does_not_depend_on_the_order_of_what_is_known():
    names = ["ab1", "ab2", "ab3", "ab4"]
    assert did_you_mean("ab", names) == did_you_mean("ab", reversed(names))


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (True, "true"),
        (1, "1"),
        (1e-3, "0.001"),
        (float("inf"), "inf"),
        ("flip", '"flip"'),
        ('say "hi"\n', '"say \\"hi\\"\\n"'),
        (["a", 1], '["a", 1]'),
        ({"low": 1, "on": False}, "{ low = 1, on = false }"),
        (datetime.date(1979, 5, 27), "1979-05-27"),
        (datetime.time(7, 32), "07:32:00"),
    ],
)
def test_a_value_is_shown_as_toml_writes_it(value: object, text: str):
    assert shorten(value) == text


def test_a_long_value_is_cut():
    assert shorten("x" * 100, width=10) == '"xxxxxxxx…'
    assert len(shorten(list(range(1000)))) == 60
