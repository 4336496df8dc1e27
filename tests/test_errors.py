import ast
import datetime
import json
from pathlib import Path

import pytest

from bench.errors import Mistake, did_you_mean, mistakes_error, shorten, shown

ROOT = Path(__file__).resolve().parent.parent
QUIET = ("look.py", "submission.py", "codabench.py")
"""Print for a program of ours, or run where there is no bench."""


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


def test_what_is_printed_steers_no_terminal_and_stays_what_it_was():
    text = "a\tb\u00a0c\u202fd\n\x1b]0;owned\x07 \x9b2J \u202eback"
    assert shown(text) == "a       b\u00a0c\u202fd\n\\x1b]0;owned\\x07 \\x9b2J \\u202eback"
    data = json.dumps({"a": text, "b": 1}, indent=1, ensure_ascii=False)
    assert json.loads(shown(data, as_json=True)) == json.loads(data)
    assert all(c.isprintable() or c in "\n\u00a0\u202f" for c in shown(data, as_json=True))


def test_all_that_is_printed_is_shown_first():
    """Where text leaves the program, not where it comes from."""
    for file in (ROOT / "bench").rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_text("utf-8"))):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "print":
                (first, *more) = node.args
                where = f"{file}, line {node.lineno}"
                assert not more, where
                assert ast.unparse(first).startswith("shown(") or file.name in QUIET, where


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
