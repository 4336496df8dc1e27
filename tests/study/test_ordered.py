"""What a study may call ordered, and what that means."""

from __future__ import annotations

import pytest
from studies import complaint, read

FACTORS = """\
[factors]
batch_size = [32, 8, 128]
[factors.strength]
weak = { augment = [] }
middle = { augment = ["flip"] }
strong = { augment = ["randaugment"] }
"""
ARMS = """\
[arms]
a = {}
b = { augment = ["flip"] }
c = { batch_size = 8 }
"""


def test_numbers_come_by_value_and_names_as_they_are_written() -> None:
    study = read(FACTORS, top='ordered = ["batch_size", "strength"]')
    size, strength = study.ordered
    assert size.levels == ("batch_size=8", "batch_size=32", "batch_size=128")
    assert strength.levels == ("weak", "middle", "strong")
    assert len(size.blocks) == 3
    assert size.blocks[0] == tuple(f"{level} + weak" for level in size.levels)


def test_where_one_factor_is_changed_at_a_time_the_others_stay_at_the_baseline() -> None:
    study = read(FACTORS, top='ordered = ["batch_size"]\ndesign = "one-at-a-time"')
    assert study.ordered[0].blocks == (
        ("batch_size=8 + weak", "batch_size=32 + weak", "batch_size=128 + weak"),
    )


def test_arms_have_the_order_in_which_they_are_named() -> None:
    (one,) = read(ARMS, top='ordered = [["c", "a", "b"]]').ordered
    assert (one.name, one.levels, one.blocks) == ("c … b", ("c", "a", "b"), (("c", "a", "b"),))


@pytest.mark.parametrize(
    ("rest", "ordered", "says"),
    [
        (FACTORS, '["batchsize"]', 'is no factor; did you mean "batch_size"?'),
        (ARMS, '["batch_size"]', "with [arms] name the arms"),
        (ARMS, '[["a", "b"]]', "has 2 levels; a trend takes 3 or more"),
        (ARMS, '[["a", "b", "d"]]', '"d" is no arm'),
        (ARMS, '[["a", "b", "a"]]', 'names the arm "a" twice'),
        (FACTORS.replace("8, 128", "8"), '["batch_size"]', "has 2 levels"),
    ],
)
def test_what_has_no_order_is_refused(rest: str, ordered: str, says: str) -> None:
    told = complaint(rest, top=f"ordered = {ordered}")
    assert says in told
    assert "  ordered = " in told
