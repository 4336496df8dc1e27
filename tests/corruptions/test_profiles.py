from __future__ import annotations

from collections import Counter

import numpy as np
import pytest

import bench  # noqa: F401
from bench.corruptions.families import kinds_of
from bench.corruptions.profiles import ORDER, Operation, draws, heavy_mix, micro_c
from bench.registry import corruptions
from bench.streams import stream

ALL = tuple(corruptions.names())
MIXES = [heavy_mix(0, i, ALL, (2, 3, 4, 5)) for i in range(3000)]


def test_micro_c_is_every_family_at_every_severity() -> None:
    assert list(map(str, micro_c(("hue", "jpeg"), (1, 5)))) == ["hue/1", "hue/5", "jpeg/1", "jpeg/5"]
    assert len(micro_c(ALL, (1, 2, 3, 4, 5))) == 5 * len(ALL)


# These may never change without CORRUPTIONS_VERSION: scores are stored of images that were made so.
@pytest.mark.parametrize(
    ("image_id", "expected"),
    [
        (0, "noise/5 jpeg/5"),
        (1, "hue/3 rotation/2"),
        (2, "hue/3 rotation/2 defocus/5 jpeg/3"),
        (2**64 - 1, "hue/5 rotation/3 noise/3"),
    ],
)
def test_mixes_never_change(image_id: int, expected: str) -> None:
    families = ("defocus", "hue", "jpeg", "motion", "noise", "rotation")
    assert " ".join(map(str, heavy_mix(0, image_id, families, (2, 3, 4, 5)))) == expected


def test_an_image_meets_two_to_four_kinds_each_once_in_the_order_of_a_pictures_making() -> None:
    counts = Counter(map(len, MIXES))
    assert set(counts) == {2, 3, 4}
    assert min(counts.values()) > 900  # of 1000 expected; sd 26
    for mix in MIXES:
        kinds = [corruptions[op.family].traits["group"] for op in mix]
        assert kinds == sorted(set(kinds), key=ORDER.index)


def test_kinds_severities_and_the_families_of_a_kind_come_equally_often() -> None:
    every = [op for mix in MIXES for op in mix]
    kinds = Counter(corruptions[op.family].traits["group"] for op in every)
    assert max(kinds.values()) / min(kinds.values()) < 1.15
    severities = Counter(op.severity for op in every)
    assert set(severities) == {2, 3, 4, 5}
    assert max(severities.values()) / min(severities.values()) < 1.15
    families = Counter(op.family for op in every)
    for mine in kinds_of(ALL).values():
        shares = [families[family] for family in mine]
        assert max(shares) / min(shares) < 1.3


def test_a_mix_depends_on_seed_and_id_only() -> None:
    assert heavy_mix(0, 5, ALL, (2, 3)) == heavy_mix(0, 5, ALL, (2, 3))
    several = {(s, i): heavy_mix(s, i, ALL, (2, 3, 4, 5)) for s in range(3) for i in range(20)}
    assert len(set(several.values())) > 50


def test_three_kinds_allow_three_operations_at_most() -> None:
    mixes = [heavy_mix(0, i, ("hue", "stain", "jpeg", "noise"), (1,)) for i in range(200)]
    assert {len(mix) for mix in mixes} == {2, 3}
    assert not any({"hue", "stain"} <= {op.family for op in mix} for mix in mixes)


def test_draws_are_those_of_seed_family_severity_and_id() -> None:
    expected = stream(3, "corruption/hue/4", 2**64 - 1).random(5)
    assert np.array_equal(draws(3, Operation("hue", 4), 2**64 - 1).random(5), expected)
