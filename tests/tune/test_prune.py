from searches import Desk
from studies import read

from bench.plan import Run
from bench.study.read import Study

ARMS = '[arms]\none = {}\nother = { augment = ["flip"] }\n'
SPACE = '[tune.space]\n"optimizer.lr" = { low = 1e-4, high = 1e-2, log = true }\n'


def study(tune: str) -> Study:
    return read(f"{ARMS}[tune]\nfinalists = 0\n{tune}\n{SPACE}")


def by_number(run: Run) -> float:
    """Four good candidates, then bad and good ones in turn."""
    assert run.candidate is not None
    return 0.7 if run.candidate < 4 or run.candidate % 2 else 0.3


def test_the_median_of_earlier_generations_cuts_what_is_behind():
    desk = Desk(study('candidates = 8\npruner = "median"'), by_number)
    plan = desk.finish()
    assert [search.pruned for search in plan.searches] == [(4, 6), (4, 6)]
    cut = plan.searches[0].candidates[4].trials[0].id
    assert desk.records[cut].status == "pruned"
    assert len(desk.courses[cut]) == 2, "never at the first evaluation"


def test_a_late_starter_that_catches_up_in_time_is_kept():
    desk = Desk(study('candidates = 5\npruner = "median"'), by_number)
    for run in desk.plan().pending:
        desk.answer(run)
    for run in desk.plan().pending:
        desk.courses[run.trial.id] = [0.1, 0.8, 0.3]
        desk.answer(run)
    assert [search.pruned for search in desk.finish().searches] == [(), ()]


def test_what_another_study_trained_to_its_end_counts_as_cut_all_the_same():
    plain = Desk(study("candidates = 8"), by_number)
    plain.finish()
    desk = Desk(study('candidates = 8\npruner = "median"'), by_number, plain.records, plain.courses)
    plan = desk.finish()
    assert desk.asked == []
    assert [search.pruned for search in plan.searches] == [(4, 6), (4, 6)]


def test_what_a_pruner_cut_serves_no_study_without_it():
    cut = Desk(study('candidates = 8\npruner = "median"'), by_number)
    cut.finish()
    plain = Desk(study("candidates = 8"), by_number, cut.records, {})
    plain.finish()
    assert {run.candidate for run in plain.asked} == {4, 6}
    assert {record.status for record in plain.records.values()} == {"done"}


def test_wilcoxon_trains_seed_after_seed_and_stops_where_every_pair_is_worse():
    def objective(run: Run) -> float:
        luck = 0.01 * (run.trial.replicate.seed % 100)
        return by_number(run) + luck

    desk = Desk(study('candidates = 8\npruner = "wilcoxon"\nseeds = 6'), objective)
    plan = desk.finish()
    assert [search.pruned for search in plan.searches] == [(4, 6), (4, 6)]
    seeds = {
        number: sum(run.candidate == number and run.arm == "one" for run in desk.asked) for number in range(8)
    }
    assert {number: count for number, count in seeds.items() if count < 6} == {4: 4, 6: 4}
