import csv
import io

import pytest

from bench.judge.findings import Effect, Seeds, short_names
from bench.report import build
from bench.report.cells import effect
from bench.report.spreadsheet import tables
from bench.report.text import md, sentence


@pytest.mark.parametrize(
    ("raw", "spelled"),
    [
        ("plain name-1", "plain name-1"),
        ("a|b", r"a\|b"),
        ("<b>&", "&lt;b&gt;&amp;"),
        ("two\n lines\t\x00!", "two lines !"),
        ("*x* _y_ `z` [l](u)", r"\*x\* \_y\_ \`z\` \[l\](u)"),
        ("# title", r"\# title"),
        ("1. item", r"1\. item"),
        ("0.3", "0.3"),
        ("\\", "\\\\"),
    ],
)
def test_any_text_becomes_plain_words_on_one_line(raw: str, spelled: str):
    assert md(raw) == spelled


def test_text_without_end_is_cut():
    assert md("x" * 1000, longest=10) == "x" * 9 + "…"


def test_numbers_are_spelled_alike_everywhere():
    assert effect(Effect(0.121, 0.092, 0.15)) == "+12.1 [9.2, 15.0]"
    assert effect(Effect(-0.0031, -0.0095, 0.0002)) == "−0.31 [−0.95, 0.02]"
    assert effect(Effect(0.0, -0.02, 0.02)) == "0.0 [−2.0, 2.0]"
    assert effect(Effect(-0.0001, -0.02, 0.02)) == "0.0 [−2.0, 2.0]"
    assert effect(Effect(1.18, 1.1, 1.27, "ratio")) == "×1.18 [1.10, 1.27]"
    assert sentence("1 of 5 seeds failed") == "1 of 5 seeds failed."


def test_seeds_are_counted_in_words():
    assert str(Seeds(5, 5)) == "5/5"
    assert str(Seeds(5, 4, diverged=1)) == "4/5, 1 diverged"
    assert str(Seeds(5, 2, failed=(("oom", 1),), not_run=2)) == "2/5, 1 failed (oom), 2 not run"


def test_long_names_are_cut_in_the_middle_and_stay_unlike():
    names = short_names(["a" * 100, "a" * 101, "short", "a" * 102])
    assert len(set(names.values())) == 4
    assert names["short"] == "short"
    assert all(len(name) < 70 for name in names.values())


def test_tables_hold_the_unrounded_numbers(world):
    document = build(world.study, world.plan, world.store)
    rows = list(csv.DictReader(io.StringIO(tables(document)["arms"])))
    assert [row["arm"] for row in rows] == [arm.label for arm in document.arms]
    assert float(rows[1]["effect"]) == pytest.approx(document.arms[1].finding.effect.mean)
    assert rows[3]["verdict"] == "unstable (1/5 diverged)"
    assert rows[3]["if_converges"] == "yes"
    claims = list(csv.DictReader(io.StringIO(tables(document)["claims"])))
    assert [row["outcome"] for row in claims] == [claim.outcome for claim in document.claims]
    assert claims[2]["detail"].startswith("1 of 5 seeds diverged")


def test_without_costs_no_table_holds_a_time(world):
    found = tables(build(world.study, world.plan, world.store), cost=False)
    assert "train_seconds" not in found["arms"]
    assert "cost.seconds" not in found["claims"]


def test_a_name_that_a_spreadsheet_would_run_is_quoted(make_world):
    w = make_world()
    w.arm("base", 1.0)
    w.arm("=1+1", 1.5, ["flip"])
    w.finish_all()
    arms = tables(build(w.study, w.plan, w.store))["arms"]
    assert list(csv.DictReader(io.StringIO(arms)))[1]["arm"] == "'=1+1"
