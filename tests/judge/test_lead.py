from pathlib import Path

import numpy as np
import pytest

from bench.judge.lead import lead
from bench.planned import Candidate, PlannedTrial
from bench.store import VALIDATION, Predictions, Store
from bench.tune.candidates import Standing


def stood(number: int, *values: float, state: str = "done") -> Standing:
    trials = tuple(
        PlannedTrial(id=f"{number:018x}{seed:02x}", seed=seed, sets={}) for seed in range(len(values))
    )
    candidate = Candidate(number=number, values={"optimizer.lr": 10.0**-number}, trials=trials)
    return Standing(candidate, state, sum(values) / len(values), values, 0.1)  # type: ignore[arg-type]


def keep(store: Store, standing: Standing, right: list[int], images: int = 10) -> None:
    """Let each of its trials have been right on so many of the first images."""
    for trial, count in zip(standing.candidate.trials, right, strict=True):
        said = np.zeros((images, 2), np.float16)
        said[:count, 0], said[count:, 1] = 1, 1
        one = Predictions(said, np.zeros(images, np.int64), np.arange(images, dtype=np.uint64))
        folder = store.trial_dir(trial.id)
        folder.mkdir(parents=True)
        np.savez(
            folder / "predictions.npz",
            **{f"{VALIDATION}/{name}": getattr(one, name) for name in ("probabilities", "labels", "ids")},
        )


def test_a_lead_in_standard_errors_by_hand(tmp_path: Path):
    """Differences .02 and .04: mean .03, sd .01414, standard error .01: three of them."""
    found = lead([stood(0, 0.50, 0.50), stood(1, 0.52, 0.54)], "val.accuracy", Store(tmp_path))
    assert found is not None
    assert (found.over, found.images, found.tie) == (0, None, False)
    assert (found.by, found.errors) == pytest.approx((0.03, 3.0))


def test_one_image_of_one_seed_has_the_error_of_the_images_on_which_the_two_disagree(tmp_path: Path):
    store, worse, better = Store(tmp_path), stood(0, 0.8), stood(1, 0.9)
    keep(store, worse, [8])
    keep(store, better, [9])
    found = lead([worse, better], "val.accuracy", store)
    assert found is not None
    assert (found.images, found.errors) == pytest.approx((1.0, 1.0))
    assert not found.tie
    assert lead([worse], "val.accuracy", store) is None, "nobody to be ahead of"


def test_equal_candidates_are_a_tie_and_failed_ones_no_runner_up(tmp_path: Path):
    found = lead([stood(0, 0.5, 0.5), stood(1, 0.5, 0.5)], "val.accuracy", Store(tmp_path))
    assert found is not None
    assert (found.by, found.errors, found.tie) == (0.0, 0.0, True)
    assert lead([stood(0, 0.5), stood(1, 0.4, state="diverged")], "val.accuracy", Store(tmp_path)) is None


def test_one_seed_without_kept_predictions_does_not_tell(tmp_path: Path):
    found = lead([stood(0, 0.5), stood(1, 0.6)], "val.accuracy", Store(tmp_path))
    assert found is not None
    assert (found.errors, found.tie) == (None, False)


def test_less_is_better_where_the_metric_says_so(tmp_path: Path):
    found = lead([stood(0, 0.5, 0.6), stood(1, 0.4, 0.3)], "val.nll", Store(tmp_path))
    assert found is not None
    assert (found.over, found.by) == (0, pytest.approx(0.2))
