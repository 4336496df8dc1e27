"""Forty simulated studies; ``just coverage`` draws 500 in each of six worlds: docs/method.md."""

from simulation_clinic import simulate

SCORES = (
    "sensitivity(1)",
    "sensitivity(1, specificity = 0.9)",
    "ppv(1, prevalence = 0.02)",
    "quadratic_kappa",
)


def test_intervals_of_scores_of_the_clinic_cover_the_truth():
    found = simulate((30, 150), False, 40, seed=1, scores=SCORES, images=20_000)
    assert set(found) == set(SCORES)
    for score, one in found.items():
        assert one.coverage >= 0.9, score
        assert 0 < one.width < 60, score
    wide, narrow = (found[score].width for score in ("sensitivity(1, specificity = 0.9)", "sensitivity(1)"))
    assert wide > narrow, "a threshold that is read off the images is a further source of luck"
