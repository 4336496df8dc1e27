"""What arms are called and how they are coloured."""

from dataclasses import replace

import pytest

from bench.judge.pictures import Pictures, gather
from bench.report import build
from bench.report.naming import Names, file_part, plain, tone


@pytest.mark.parametrize(
    ("verdict", "look"),
    [
        ("helps", ("good", "up")),
        ("helps, by more than 1 point", ("good", "up")),
        ("smaller gap", ("good", "up")),
        ("harmful", ("bad", "down")),
        ("larger gap", ("bad", "down")),
        ("no gain", ("plain", "circle")),
        ("unstable (1/5 diverged)", ("plain", "circle")),
        ("inconclusive", ("plain", "circle")),
        ("not judged", ("plain", "circle")),
    ],
)
def test_shape_and_colour_say_the_verdict(world, verdict, look):
    finding = build(world.study, world.plan, world.store).findings[0]
    assert tone(replace(finding, verdict=verdict)) == look
    assert tone(None) == ("plain", "circle")


def test_the_baseline_has_a_look_of_its_own(world):
    document = build(world.study, world.plan, world.store)
    names = Names(document, gather(world.study, world.plan, world.store, document))
    assert names.tone("none") == ("base", "square")
    assert names.tone("blur") == ("bad", "down")
    assert names.more == ""


def test_what_is_left_out_is_said(world):
    document = build(world.study, world.plan, world.store)
    names = Names(document, Pictures(("none", "blur"), 7, "heavy"))
    assert [arm.label for arm in names.arms] == ["none", "blur"]
    assert names.more == " First 2 of 7 arms."


@pytest.mark.parametrize(
    ("name", "file"), [("heavy", "heavy"), ("../a b", "___a_b"), ("ü🧪", "__"), ("x" * 90, "x" * 60)]
)
def test_any_name_can_be_part_of_a_file_s(name, file):
    assert file_part(name) == file


def test_plain_text_stands_on_one_line():
    assert plain("a\n b\x00\u202ec\t d") == "a b c d"
