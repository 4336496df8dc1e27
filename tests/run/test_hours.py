"""``bench run --hours``: time alone decides what is begun, whole seeds first, and what is begun is ended."""

from __future__ import annotations

import inspect
import itertools
import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from tiny import machine_in, write_study

from bench.execute import Job
from bench.planned import read_plan_file
from bench.progress.terminal import Terminal
from bench.run import hours
from bench.run.conductor import Ending, Options, run_study
from bench.run.hours import HOUR_S, Budget
from bench.run.planning import prepare
from bench.store import Store

ARMS = ("none", "flips", "slow")
PAIRS = [frozenset({"none", "flips"}), frozenset({"none", "slow"})]
TOOK = {"none": [10.0], "flips": [10.0, 5.0], "slow": [40.0]}
FURTHER = 'flips = { augment = ["flip"] }\nshifts = { augment = ["shift"] }'


def seed(*arms: str) -> list[Any]:
    """Jobs of one seed, as far as a budget looks at them."""
    return [SimpleNamespace(run=SimpleNamespace(arm=arm), missing=()) for arm in arms or ARMS]


def labels(jobs: Iterable[Any]) -> list[str]:
    return [job.run.arm for job in jobs]


def of(seconds: float) -> Budget:
    return Budget(seconds / HOUR_S, clock=lambda: 0.0)


def test_a_budget_sees_jobs_and_seconds_and_no_score() -> None:
    assert list(inspect.signature(Budget.next).parameters) == ["self", "groups", "parts", "took", "workers"]
    assert list(inspect.signature(Budget.ended).parameters) == ["self", "seconds"]


def test_without_hours_all_is_begun() -> None:
    assert len(Budget().next([seed(), seed()], PAIRS, {}, 1)) == 6


def test_the_first_seed_is_begun_where_nobody_knows_what_it_takes() -> None:
    assert labels(of(1).next([seed(), seed()], PAIRS, {}, 1)) == list(ARMS)


def test_a_seed_is_begun_only_where_all_of_it_is_expected_to_fit_as_long_as_the_longest() -> None:
    assert labels(of(60).next([seed(), seed()], PAIRS, TOOK, 1)) == list(ARMS)
    assert labels(of(59).next([seed(), seed()], PAIRS, TOOK, 1)) == ["none", "flips"], "the pair that fits"
    assert labels(of(51).next([seed("none", "slow")], PAIRS, TOOK, 1)) == ["none", "slow"]
    assert of(19).next([seed()], PAIRS, TOOK, 1) == []


def test_an_arm_that_never_ended_is_expected_to_take_as_long_as_any() -> None:
    assert of(49).next([seed("none", "new")], [frozenset({"none", "new"})], TOOK, 1) == []


def test_a_pair_whose_baseline_has_ended_is_begun_by_its_arm_alone() -> None:
    assert labels(of(10).next([seed("flips", "slow")], PAIRS, TOOK, 1)) == ["flips"]


def test_effects_over_all_arms_take_whole_seeds() -> None:
    assert of(59).next([seed()], [frozenset(ARMS)], TOOK, 1) == []


def test_several_seeds_are_handed_out_while_half_of_the_time_is_enough() -> None:
    assert len(of(360).next([seed() for _ in range(6)], PAIRS, TOOK, 1)) == 9
    assert len(of(360).next([seed() for _ in range(6)], PAIRS, TOOK, 3)) == 18


def test_what_a_batch_took_in_truth_corrects_what_is_expected() -> None:
    now = [0.0]
    budget = Budget(200 / HOUR_S, clock=lambda: now[0])
    budget.next([seed()], PAIRS, TOOK, 1)
    now[0] = 120.0  # twice the trials' own seconds
    budget.ended([10.0, 10.0, 40.0])
    assert labels(budget.next([seed()], PAIRS, TOOK, 1)) == ["none", "flips"]
    now[0] = 200.0
    assert budget.next([seed()], PAIRS, TOOK, 1) == [], "over"


class _Seeds(Budget):
    """So many seeds, whatever they take."""

    def __init__(self, count: int, parts: int = 0) -> None:
        super().__init__(8.0)
        self.count, self.some = count, parts

    def next(self, groups: Iterable[Sequence[Job]], *_: Any) -> list[Job]:
        groups, self.count = list(groups), self.count - 1
        if not groups or self.count >= 0:
            return list(groups[0]) if groups else []
        some, self.some = self.some, 0
        return list(groups[0][:some])


def go(study: Path, budget: Budget, **options: Any) -> Ending:
    return run_study(study, machine_in(study.parent), Options(budget=budget, **options), Terminal(quiet=True))


def test_a_run_that_hours_ended_reports_what_there_is_and_says_so(tmp_path: Path) -> None:
    study = write_study(tmp_path, seeds=5)
    ending = go(study, _Seeds(3))
    assert (ending.exit_code, dict(ending.counts)) == (4, {"done": 6, "missing": 4})
    assert "3 of 5 seeds ended in every arm; 4 trials are left; the same command continues" in ending.left
    report = " ".join(ending.report.read_text().split())
    said = "decided by time and by no score: --hours ended a run after 8 hours with 3 of them."
    assert said in report
    assert "limited by computing time, fixed beforehand, and by no result" in report
    assert "There was a report" not in report

    ending = go(study, Budget())
    assert (ending.exit_code, ending.ran, ending.left) == (0, 4, "")
    report = " ".join(ending.report.read_text().split())
    assert said in report
    assert "There was a report after 3 seeds. Whoever trains on because of what one said looks" in report
    assert "Results could be seen after 3 seeds, before the others were trained." in report


def test_a_night_is_remembered_where_the_plan_is_lost(tmp_path: Path) -> None:
    study, went_on = write_study(tmp_path, seeds=4), "There was a report after 3 seeds."
    ending = go(study, _Seeds(3))
    plan, declared = (ending.report.with_name(name) for name in ("plan.json", "declared.json"))
    (night,) = json.loads(declared.read_text())["nights"]
    assert night["seeds"] == [3, 3]
    plan.unlink()
    ending = go(study, Budget())
    assert went_on in " ".join(ending.report.read_text().split())
    older = json.loads(declared.read_text())
    del older["nights"]
    declared.write_text(json.dumps(older))
    go(study, Budget())
    plan.unlink()
    ending = go(study, Budget())
    assert went_on in " ".join(ending.report.read_text().split()), "a file from before got it"


def test_hours_that_were_passed_are_told_also_where_all_is_done(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    clock = itertools.count(0.0, 15.0)
    budget = Budget(0.01, clock=lambda: next(clock))
    study = write_study(tmp_path, seeds=1)
    ending = run_study(study, machine_in(tmp_path), Options(budget=budget), Terminal())
    assert (ending.exit_code, ending.left) == (0, "")
    assert "the 0.01 hours are over, " in capsys.readouterr().err
    assert of(5.0).overrun == ""


def test_arms_may_end_with_one_seed_more_than_others(tmp_path: Path) -> None:
    ending = go(write_study(tmp_path, seeds=5, arms=FURTHER), _Seeds(3, parts=2))
    assert "3 to 4 of 5 seeds ended" in ending.left
    (night,) = read_plan_file(ending.report.with_name("plan.json")).nights
    assert night.seeds == (3, 4)


def test_by_the_clock_a_run_ends_on_whole_pairs(tmp_path: Path) -> None:
    store = Store(tmp_path / "results")
    budget = Budget(2.5, clock=lambda: 1200.0 * len(store.ids()))  # twenty minutes a trial
    ending = go(write_study(tmp_path, seeds=9), budget)
    assert ending.exit_code == 4
    assert 2 <= ending.counts["done"] <= 6
    assert ending.counts["done"] % 2 == 0


def test_looks_are_judged_when_their_seeds_have_ended_whatever_night_that_is(tmp_path: Path) -> None:
    study = write_study(tmp_path, seeds=3)
    study.write_text("looks = [3, 4]\n" + study.read_text())
    ending = go(study, _Seeds(2), until_decided=True)
    assert ending.exit_code == 4
    assert "not looked at yet" in ending.report.read_text()
    ending = go(study, _Seeds(5))
    assert ending.exit_code == 0
    report = ending.report.read_text()
    assert "by no score" in report
    assert "There was a report" not in report, "looks were declared"


def test_searches_come_first_side_by_side_and_go_on_where_they_were(tmp_path: Path) -> None:
    study = write_study(tmp_path, seeds=1)
    tune = '[tune]\ncandidates = 3\nfinalists = 0\n[tune.space]\n"optimizer.lr" = {low = 1e-3, high = 1e-2}\n'
    study.write_text(study.read_text() + tune)
    ending = go(study, _Seeds(1))
    assert (ending.exit_code, ending.ran) == (4, 2)
    assert "2 arms are still being tuned" in ending.left
    ending = go(study, Budget())
    assert (ending.exit_code, ending.ran) == (0, 6)


def test_arms_that_only_say_something_together_are_begun_together(tmp_path: Path) -> None:
    study = prepare(write_study(tmp_path, arms=FURTHER), machine_in(tmp_path)).study
    assert set(hours.parts(study)) == {frozenset({"none", "flips"}), frozenset({"none", "shifts"})}


@pytest.mark.parametrize("arms", [("a", "b", "a", "b", "a"), ("a", "a", "b")])
def test_searches_are_handed_out_in_rounds(arms: tuple[str, ...]) -> None:
    assert labels(job for group in hours.by_round(seed(*arms)) for job in group)[:2] == ["a", "b"]
