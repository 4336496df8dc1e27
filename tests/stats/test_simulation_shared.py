"""150 studies in each of the worlds that rules are to hold in; ``just coverage`` draws 4,000."""

import math

import numpy as np
import pytest
from simulation_races import LOOKS, RACES, chance, race, wrong
from simulation_shared import (
    Seen,
    World,
    beyond,
    certainty,
    draw,
    half_width,
    holm,
    look,
    met,
    promised,
    simulate,
)

from bench import stats

STUDIES = 150
SOME = [World(3, 8), World(5, 4, 60, "t3"), World(5, 3, 0), World(10, 8, 30, patients=True)]


def seen_of(world: World, studies: int, seed: int = 0, ahead: float = 3.0) -> Seen:
    """Comparisons, the first of which is ahead."""
    rng = np.random.default_rng(seed)
    truth = np.array([ahead] + [0.0] * (world.arms - 1))
    luck = draw(world, studies, rng)
    return look(world, luck, truth, world.seeds, met(world, studies, world.seeds, rng))


def intervals_of(seen: Seen, study: int) -> list[stats.Interval]:
    """The same comparisons, as the package has them."""
    return [
        stats.Interval(*(float(part[study, c]) for part in seen[:4]), int(seen.seeds[study, c]), seen.items)
        for c in range(seen.mean.shape[1])
    ]


@pytest.mark.parametrize("world", SOME, ids=str)
def test_studies_judged_at_once_are_judged_as_one_by_one(world: World):
    seen = seen_of(world, 20)
    widths, sure = half_width(seen, shared=True), certainty(seen, shared=True)
    rejected = holm(beyond(np.abs(seen.mean), sure, world.level), world.arms)
    for study in range(20):
        found = [one for one in stats.moderate(intervals_of(seen, study)) if one]
        assert [one.half_width() for one in found] == pytest.approx(widths[study])
        sides, _ = stats.sides([stats.Hypothesis(one) for one in found], [0.0] * world.arms)
        assert [bool(side) for side in sides] == rejected[study].tolist()


def test_what_is_drawn_at_once_varies_as_whole_tables_do():
    world, studies = World(4, 2, 60), 300
    seen, rng = seen_of(world, studies, ahead=0.0), np.random.default_rng(1)
    tables = []
    for _ in range(studies):
        arms = rng.standard_normal((3, 4, 1)) + world.own * rng.standard_normal((3, 1, 60))
        arms = arms + world.met * rng.standard_normal((3, 4, 60))
        tables += [stats.two_way(arms[c] - arms[0]) for c in (1, 2)]
    for at_once, name in ((1, "seed_variance"), (2, "item_variance"), (3, "interaction")):
        values = np.array([getattr(one, name) for one in tables])
        assert seen[at_once].mean() == pytest.approx(values.mean(), rel=0.15)
        assert seen[at_once].std() == pytest.approx(values.std(), rel=0.25)
    for means in (seen.mean, [one.mean for one in tables]):
        assert np.std(means) == pytest.approx(math.sqrt(world.variance()[0]), rel=0.1)


WORLDS = dict(promised())


@pytest.mark.parametrize("name", WORLDS)
def test_shared_variance_keeps_its_word_where_it_promises(name: str):
    for place, world in enumerate(WORLDS[name]):
        before, after = simulate(world, STUDIES, seed=place)
        covered, error = after.coverage
        assert covered >= 0.945 - 3 * max(error, 0.005)
        false, error = after.false
        assert false <= 0.05 + 3 * max(error, 0.018)
        assert after.coverage[0] >= before.coverage[0], "the printed interval is the wider of two"


def test_what_quiet_arms_are_told_of_noise_finds_more():
    before, after = simulate(World(3, 8), STUDIES, seed=2, effect=6.0)
    assert after.power[0] >= before.power[0] + 0.15  # of 2,000: 0.38 and 0.17


def test_a_look_rejects_as_the_package_does():
    seen = seen_of(World(5, 6), 30)
    sure, rng = certainty(seen, shared=True), np.random.default_rng(2)
    before, stopped = rng.random((2, 30, 6)) < 0.2
    now = holm(beyond(np.abs(seen.mean), sure, 0.015), 6 - before.sum(axis=-1), ~stopped & ~before)
    for study in range(30):
        p = [one.p(0) for one in stats.moderate(intervals_of(seen, study)) if one]
        assert stats.rejected_now(p, before[study], stopped[study], 0.015) == now[study].tolist()


def test_the_chance_of_a_verdict_is_the_package_s():
    seen = seen_of(World(5, 6), 10)
    at_once = chance(seen, certainty(seen, shared=True), LOOKS[-1], np.full(10, 0.025 / 6))
    for study in range(10):
        found = [one for one in stats.moderate(intervals_of(seen, study)) if one]
        one_by_one = [stats.chance_of_verdict(one, 1.0, LOOKS[-1], 0.025 / 6) for one in found]
        assert one_by_one == pytest.approx(at_once[study])


@pytest.mark.parametrize("name", ["equal", "one 6 ahead"])
def test_a_race_saves_a_quarter_of_the_trials_and_finds_nearly_as_much(name: str):
    truth = np.array(RACES[name], dtype=float)
    before = race(World(5, 7), truth, STUDIES, 0, shared=False, futile=0)
    now = race(World(5, 7), truth, STUDIES, 0, shared=True, futile=stats.FUTILE)
    assert now.seeds.sum() <= 0.75 * before.seeds.sum()
    assert now.decided.sum() >= 0.9 * before.decided.sum()
    assert wrong(now, truth).mean() <= 0.05 + 3 * 0.018
