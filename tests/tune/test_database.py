from pathlib import Path

import optuna
import pytest
from optuna.trial import TrialState
from searches import Desk
from studies import read

from bench.plan import Run
from bench.tune import database

TEXT = """\
[arms]
adam = {}
"lion | <b>" = { optimizer = "lion" }
[tune]
candidates = 4
finalists = 0
[tune.space]
"optimizer.lr" = { low = 1e-5, high = 1e-2, log = true }
batch_size = { choices = [16, 32] }
augment = { choices = [[], ["flip"]] }
"""


def objective(run: Run) -> float | str:
    if run.candidate == 1:
        return "diverged"
    return 0.5 + run.trial.recipe.optimizer.params["lr"]


@pytest.fixture
def desk() -> Desk:
    return Desk(read(TEXT), objective)


def show(desk: Desk, file: Path) -> None:
    database.update(file, desk.plan(), {arm.label: arm for arm in desk.study.arms}, desk.records.get)


def content(file: Path, arm: str = "adam") -> list[tuple[TrialState, object, dict[str, object]]]:
    study = optuna.load_study(study_name=arm, storage=f"sqlite:///{file}")
    return [(trial.state, trial.value, trial.params) for trial in study.get_trials()]


def test_it_holds_what_the_records_say(desk: Desk, tmp_path: Path):
    plan = desk.finish()
    show(desk, tmp_path / "search.db")
    for search in plan.searches:
        found = content(tmp_path / "search.db", search.arm)
        assert [state for state, _, _ in found] == [TrialState.COMPLETE, TrialState.FAIL] + [
            TrialState.COMPLETE
        ] * 2
        best = max((value, i) for i, (_, value, _) in enumerate(found) if isinstance(value, float))
        assert best[1] == search.chosen
        for candidate, (_, _, params) in zip(search.candidates, found, strict=True):
            assert params["optimizer.lr"] == candidate.values["optimizer.lr"]
            assert params["augment"] == repr(candidate.values["augment"])


def test_a_search_that_goes_on_is_asked_and_then_told(desk: Desk, tmp_path: Path):
    pending = desk.plan().pending
    show(desk, tmp_path / "search.db")
    assert {state for state, _, _ in content(tmp_path / "search.db")} == {TrialState.RUNNING}
    for run in pending[:4]:
        desk.answer(run)
    show(desk, tmp_path / "search.db")
    states = [state for state, _, _ in content(tmp_path / "search.db")]
    assert states == [TrialState.COMPLETE, TrialState.FAIL, TrialState.RUNNING, TrialState.RUNNING]


def test_telling_twice_changes_nothing(desk: Desk, tmp_path: Path):
    desk.finish()
    show(desk, tmp_path / "search.db")
    before = content(tmp_path / "search.db")
    show(desk, tmp_path / "search.db")
    assert content(tmp_path / "search.db") == before


@pytest.mark.parametrize("harm", ["lost", "damaged", "another study's"])
def test_it_can_be_rebuilt_from_the_records(desk: Desk, tmp_path: Path, harm: str):
    file = tmp_path / "search.db"
    desk.finish()
    show(desk, file)
    whole = content(file)
    if harm == "lost":
        file.unlink()
    elif harm == "damaged":
        file.write_bytes(file.read_bytes()[:5000] + b"\0" * 3000)
    else:
        other = Desk(read(TEXT.replace("1e-5", "1e-4")), objective)
        other.finish()
        show(other, file)
        assert content(file) != whole
    show(desk, file)
    assert content(file) == whole


def test_finalists_are_a_study_of_their_own_and_go_with_it(tmp_path: Path):
    desk = Desk(read(TEXT.replace("finalists = 0", "finalists = 2\nfinal_seeds = 2")), objective)
    plan, file = desk.finish(), tmp_path / "search.db"
    show(desk, file)
    (search, _) = plan.searches
    study = optuna.load_study(study_name="adam, finalists", storage=f"sqlite:///{file}")
    trials = study.get_trials()
    assert [trial.user_attrs["candidate"] for trial in trials] == [one.number for one in search.finalists]
    assert study.best_trial.user_attrs["candidate"] == search.chosen
    before = content(file, "adam, finalists")
    show(desk, file)
    assert content(file, "adam, finalists") == before

    without = Desk(read(TEXT), objective)
    without.finish()
    show(without, file)
    assert set(optuna.get_all_study_names(f"sqlite:///{file}")) == {one.arm for one in plan.searches}
