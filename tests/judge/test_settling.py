"""What would settle a comparison that decides nothing: in words that name a number."""

import math

import pytest
from worlds import World

from bench import stats
from bench.judge import settling
from bench.judge.settings import _times, shared
from bench.judge.settling import about
from bench.recipe import Data
from bench.report import build

FEW = stats.Interval(0.0, 0.005**2 / 5, 0.03 / 300, 0.0, 5, 300)
"""Images decide: no number of seeds finds one point."""


@pytest.mark.parametrize(("count", "told"), [(3, 3), (40, 40), (101, 110), (8423, 8500), (999, 1000)])
def test_counts_are_rounded_up_to_two_digits(count: int, told: int) -> None:
    assert about(count) == told


@pytest.mark.parametrize(
    ("times", "told"), [(1.5, "1.5"), (9.94, "9.9"), (23.2, "24"), (100, "100"), (2312, "2,400")]
)
def test_many_times_as_many_are_told_in_plain_numbers(times: float, told: str) -> None:
    assert settling.Tested(300, "images", sets=2).more(times).startswith(f"{told} times as many images")


def test_images_are_counted_where_no_number_of_seeds_is_enough() -> None:
    items, seeds = stats.items_needed(FEW, 0.01, stats.level)
    further = f"{about(items - 300):,}"
    text = settling.smallest(FEW, 0.01, 1, settling.Tested(300, "images"))
    assert seeds == 5
    assert text.endswith(f"; 1 point would need about {further} more test images")
    assert settling.smallest(FEW, 0.01, 1, settling.Tested(300, "patients")).endswith(
        f"about {further} more patients"
    )
    # A sensitivity over 300 positives of 900 images: three times as many images bring as many positives.
    of_some = settling.smallest(FEW, 0.01, 1, settling.Tested(900, "images"))
    assert of_some.endswith(f"about {about(3 * (items - 300)):,} more test images")
    of_gap = settling.smallest(FEW, 0.01, 1, settling.Tested(300, "images", sets=2))
    assert of_gap.endswith(f"about {about(math.ceil(items / 300))} times as many images of both sets")


def test_what_nobody_can_get_is_called_that() -> None:
    hard = stats.Interval(0.0, 0.02**2 / 3, 0.3 / 30, 0.0, 3, 30)
    assert settling.smallest(hard, 0.0001, 1, settling.Tested(30, "images")).endswith(
        "; 0.01 points would need more than 3,000 more test images"
    )


def test_of_folds_neither_seeds_nor_images_are_told() -> None:
    assert settling.smallest(FEW, 0.01, 1, None).count(";") == 0


@pytest.mark.parametrize(
    ("ratio", "told"), [(2.44, "2.4×"), (1.03, "1.03×"), (1.004, "1×"), (0.5, "0.5×"), (12.3, "12×")]
)
def test_a_ratio_that_was_noticed_is_never_told_as_one(ratio: float, told: str) -> None:
    assert _times(ratio) == told


def test_keys_of_another_source_are_no_settings_of_a_study(make_world) -> None:
    w: World = make_world()
    w.arm("none", 1.0)
    w.finish_all()
    assert "data.n_images" in dict(shared(w.study)), "drawn images are counted by it"
    data = Data(source="folder:cells", size_px=32)
    arms = tuple(arm.model_copy(update={"data": data}) for arm in w.study.arms)
    folder = w.study.model_copy(update={"data": data, "arms": arms})
    assert "data.n_images" not in dict(build(folder, w.plan, w.store).fixed)
    assert "data.size_px" in dict(shared(folder))
