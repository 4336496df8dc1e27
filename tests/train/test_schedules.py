from __future__ import annotations

import pytest
import torch
from torch.optim.lr_scheduler import ReduceLROnPlateau

import bench.train  # noqa: F401 - fills the registry
from bench.registry import schedules
from bench.train.schedules import Schedule


def build(name: str, **given: object) -> Schedule:
    return schedules[name].build(schedules[name].parameters(given))


def test_cosine_halves_the_rate_in_the_middle_and_ends_at_its_floor() -> None:
    assert [build("cosine")(d) for d in (0.0, 0.5, 1.0)] == pytest.approx([1.0, 0.5, 0.0])
    assert build("cosine", floor=0.2)(1.0) == pytest.approx(0.2)
    assert build("cosine", warmup=0.2)(0.6) == pytest.approx(0.5)


def test_step_falls_at_each_milestone_and_not_before() -> None:
    chosen = build("step", milestones=[0.75, 0.5], factor=0.1)
    assert [chosen(d) for d in (0.0, 0.499, 0.5, 0.749, 0.75)] == pytest.approx([1, 1, 0.1, 0.1, 0.01])
    assert build("step", milestones=[0.5], warmup=0.8)(0.6) == pytest.approx(0.1 * 0.75)


def test_plateau_falls_after_so_many_evaluations_without_a_lower_loss() -> None:
    chosen = build("plateau", patience=2, factor=0.5, min_gain=0.0)
    losses = [1.0, 0.8, 0.9, 0.8, 0.7, 0.7, 0.7, 0.7, 0.7]
    seen = [chosen(0.5, losses[:count]) for count in range(len(losses) + 1)]
    #       before 1.0  0.8  0.9  0.8: second without a gain, 0.7 is one, then every second 0.7
    assert seen == [1.0, 1.0, 1.0, 1.0, 0.5, 0.5, 0.5, 0.25, 0.25, 0.125]


def test_plateau_wants_a_gain_that_counts_and_stops_at_its_floor() -> None:
    falling_slowly = [1.0, 0.99, 0.98, 0.97]
    assert build("plateau", patience=3, min_gain=0.05)(0.5, falling_slowly) == pytest.approx(0.1)
    assert build("plateau", patience=3, min_gain=0.005)(0.5, falling_slowly) == 1.0
    assert build("plateau", patience=1, floor=0.02)(0.5, [1.0] * 9) == pytest.approx(0.02)


def test_plateau_agrees_with_torchs() -> None:
    weights = torch.nn.Parameter(torch.zeros(1))
    theirs = ReduceLROnPlateau(torch.optim.SGD([weights], lr=1.0), patience=1, eps=0)
    ours = build("plateau", patience=2, floor=1e-30)
    generator = torch.Generator().manual_seed(0)
    losses: list[float] = []
    for step in range(40):
        losses.append(float(torch.rand((), generator=generator)) + 1 / (step + 1))
        theirs.step(losses[-1])
        assert ours(0.5, losses) == pytest.approx(theirs.get_last_lr()[0], abs=0)


@pytest.mark.parametrize("name", schedules.names())
def test_only_a_schedule_that_says_so_reacts_to_validation(name: str) -> None:
    chosen = build(name)
    differs = chosen(0.4, [1.0] * 9) != chosen(0.4)
    assert differs == bool(schedules[name].traits.get("reacts"))


@pytest.mark.parametrize(
    ("name", "given"),
    [("step", {"milestones": []}), ("step", {"milestones": [1.0]}), ("plateau", {"patience": 0})],
)
def test_settings_out_of_range_are_refused(name: str, given: dict[str, object]) -> None:
    with pytest.raises(ValueError, match=next(iter(given))):
        build(name, **given)
