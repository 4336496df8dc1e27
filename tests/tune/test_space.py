import numpy as np
import pytest
from scipy.stats import qmc
from studies import read

from bench.streams import derive
from bench.study.file import Range, Tune
from bench.tune import space

LR = Range(low=1e-4, high=1e-2, log=True)


def tune(**settings: object) -> Tune:
    return Tune(**({"space": {"optimizer.lr": LR}} | settings))  # type: ignore[arg-type]


KEYS = ("optimizer.lr", "optimizer.weight_decay", "batch_size", "ema")


def test_without_the_shift_the_learning_rates_points_are_scipys_sobol_sequence():
    bits = 32
    points = np.array(space.points(256, "optimizer.lr", seed=3))
    shift = np.uint64(derive(3, "sobol", 0) >> (63 - bits))
    unshifted = ((points * 2**bits).astype(np.uint64) ^ shift) / 2**bits
    assert np.array_equal(unshifted, qmc.Sobol(1, scramble=False, bits=bits).random(256)[:, 0])


@pytest.mark.parametrize("count", [1, 2, 4, 16, 128])
def test_the_first_points_of_each_power_of_two_fill_every_interval_once(count: int):
    for key in KEYS:
        cells = (np.array(space.points(count, key, seed=0)) * count).astype(int)
        assert sorted(cells) == list(range(count))


def test_points_depend_on_seed_and_key_alone():
    for key in KEYS:
        assert space.points(9, key, seed=7)[:3] == space.points(3, key, seed=7)
        assert space.points(3, key, seed=8) != space.points(3, key, seed=7)
    assert len({tuple(space.points(4, key, seed=7)) for key in KEYS}) == len(KEYS)


def test_a_key_put_first_moves_no_other_keys_points():
    ranges = {"optimizer.weight_decay": LR, "optimizer.lr": LR, "ema": Range(low=0.9, high=0.99)}
    before = space.grid_points(tune(space=ranges), "any", 12)
    after = space.grid_points(tune(space={"batch_size": Range(choices=(8, 16))} | ranges), "any", 12)
    assert [{key: point[key] for key in ranges} for point in after] == before


def test_points_of_two_keys_together_fill_the_square_better_than_random_ones():
    """Worse than a Sobol sequence of two dimensions (0.071 for 12 points), better than chance (0.182)."""
    found = [
        qmc.discrepancy(np.array([space.points(12, key, seed) for key in pair]).T) ** 0.5
        for seed in range(20)
        for pair in (KEYS[:2], KEYS[2:])
    ]
    assert np.mean(found) < 0.12
    rows = np.array([space.points(64, key, seed=0) for key in KEYS])
    assert np.abs(np.corrcoef(rows)[np.triu_indices(4, 1)]).max() < 0.3


@pytest.mark.parametrize(
    ("scale", "base", "u", "value"),
    [
        (LR, 1e-3, 0.0, 1e-4),
        (LR, 1e-3, 0.5, 1e-3),
        (Range(low=0.0, high=0.3), 0.1, 0.5, 0.15),
        (Range(around="recipe", times=100, log=True), 1e-3, 0.0, 1e-4),
        (Range(around="recipe", times=100, log=True), 1e-4, 0.5, 1e-4),
        (Range(low=16, high=128, log=True), 64, 0.5, 45),
        (Range(low=16, high=128, log=True), 64, 0.999, 128),
        (Range(choices=("a", "b", "c")), "a", 0.34, "b"),
        (Range(choices=("a", "b", "c")), "a", 0.999, "c"),
    ],
)
def test_a_coordinate_becomes_a_setting(scale: Range, base: object, u: float, value: object):
    assert space.value_at(scale, base, u) == value


def test_a_tuned_number_has_four_digits_and_stays_inside_its_range():
    scale = Range(low=1 / 3, high=2 / 3)
    assert space.value_at(scale, 0.5, 0.123456) == 0.3745
    assert space.value_at(scale, 0.5, 0.0) == 1 / 3, "0.3333 would lie outside"


def test_arms_share_points_and_have_their_own_ranges():
    study = read(
        '[arms]\nadam = {}\nlion = { optimizer = "lion" }\n[tune]\n[tune.space]\n'
        '"optimizer.lr" = { low = 1e-4, high = 1e-2, log = true }\nbatch_size = { choices = [32, 64] }\n'
        '[tune.arms."li*"]\n"optimizer.lr" = { low = 1e-5, high = 1e-3, log = true }'
    )
    assert study.tune is not None
    adam, lion = (space.grid_points(study.tune, label, 8) for label in ("adam", "lion"))
    assert adam == lion
    for point in adam:
        one, other = (space.values_at(study.tune, study.arm(label), point) for label in ("adam", "lion"))
        assert one["optimizer.lr"] == pytest.approx(10 * other["optimizer.lr"], rel=1e-3)
        assert one["batch_size"] == other["batch_size"]


def test_the_edge_is_the_outer_tenth_of_a_range():
    assert space.at_edge(LR, 1e-3, 1.5e-4) == "low"
    assert space.at_edge(LR, 1e-3, 1.6e-4) is None
    assert space.at_edge(LR, 1e-3, 9e-3) == "high"
    assert space.at_edge(Range(choices=(16, 32, 64)), 32, 64) == "high"
    assert space.at_edge(Range(choices=(16, 32, 64)), 32, 32) is None
    assert space.at_edge(Range(choices=("step", "cosine")), "step", "cosine") is None, "no order, no edge"


def test_a_candidate_trains_no_stage_for_longer_than_it_should():
    recipe = read().arms[0].recipe
    assert [stage.epochs for stage in recipe.stages] == [1, 2]
    assert [stage.epochs for stage in space.shortened(recipe, 1).stages] == [1, 1]
    assert space.shortened(recipe, None) is recipe


def test_tuned_values_are_frozen_into_the_arms_that_have_some():
    study = read()
    frozen = space.tuned_study(study, {"none": {"optimizer.lr": 0.5}})
    assert frozen.arm("none").recipe.optimizer.params["lr"] == 0.5
    assert frozen.recipe == frozen.arm("none").recipe, "the baseline's"
    assert frozen.arm("flips") == study.arm("flips")
