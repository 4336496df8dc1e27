"""Anatomy and geometry of synthetic cells, against numbers worked out by hand."""

from __future__ import annotations

import numpy as np
import pytest

from bench.data.synthetic import cells
from bench.data.synthetic.draw import CLASSES, draw

UNSHIFTED = cells.Knobs(0.0, 0.0, 0.0, 0.0)


def draws(pictures: int, seed: int = 0) -> cells.Draws:
    return cells.Draws(np.random.default_rng(seed).random((pictures, cells.N_DRAWS)))


def value(form: np.ndarray, x: float, y: float) -> float:
    return float(form @ np.array([x * x, x * y, y * y, x, y, 1.0]))


class TestDraws:
    def test_are_handed_out_column_by_column(self) -> None:
        handed = cells.Draws(np.array([[0.0, 0.5, 0.25, 0.75], [0.1, 0.2, 0.3, 0.4]]))
        np.testing.assert_allclose(handed.uniform(2.0, 4.0), [2.0, 2.2])
        np.testing.assert_allclose(handed.uniform(0.0, 1.0, 2), [[0.5, 0.25], [0.2, 0.3]])
        # Cut at three standard deviations: .75 is .00135 + .9973 × .75 = .7493 of the normal distribution.
        np.testing.assert_allclose(handed.normal(2.0), [2 * 0.6724, 2 * -0.2526], atol=2e-4)

    def test_say_so_when_they_run_out(self) -> None:
        with pytest.raises(IndexError, match="more than 2 numbers; raise N_DRAWS"):
            cells.Draws(np.zeros((1, 2))).uniform(0.0, 1.0, 3)

    def test_may_be_more_without_changing_a_picture(self, monkeypatch: pytest.MonkeyPatch) -> None:
        before = draw(3, 32, 0)[0]
        monkeypatch.setattr(cells, "N_DRAWS", cells.N_DRAWS + 50)
        assert np.array_equal(before, draw(3, 32, 0)[0])


class TestEllipse:
    def test_is_zero_in_the_middle_and_one_on_the_outline(self) -> None:
        # Centre (.1, .2), radius .4 straight up (angle 90°) and .2 to the side.
        form = cells._ellipse(*(np.array(v) for v in (0.1, 0.2, 0.4, 0.2, np.pi / 2)))
        assert value(form, 0.1, 0.2) == pytest.approx(0.0, abs=1e-9)
        assert value(form, 0.1, 0.6) == pytest.approx(1.0)
        assert value(form, 0.3, 0.2) == pytest.approx(1.0)
        assert value(form, 0.5, 0.2) == pytest.approx(4.0)

    def test_is_the_same_at_any_angle_when_it_is_a_circle(self) -> None:
        forms = [cells._ellipse(*(np.array(v) for v in (0.3, -0.1, 0.2, 0.2, turn))) for turn in (0.0, 0.7)]
        np.testing.assert_allclose(forms[0], forms[1])


class TestAnatomy:
    def test_has_a_range_for_every_class(self) -> None:
        assert {ranges.shape for ranges in cells._anatomy().values()} == {(len(CLASSES), 2)}

    def test_keeps_every_quantity_between_its_bounds(self) -> None:
        labels = np.arange(400) % 8
        for name, chosen in cells._quantities(labels, draws(400)).items():
            ends = np.sort(cells._anatomy()[name][labels], axis=1)
            assert (chosen >= ends[:, 0] - 1e-9).all(), name
            assert (chosen <= ends[:, 1] + 1e-9).all(), name

    def test_ripens_from_round_to_segmented(self) -> None:
        neutrophils = cells._quantities(np.full(500, CLASSES.index("neutrophil")), draws(500))
        assert np.corrcoef(neutrophils["lobes"], neutrophils["span"])[0, 1] > 0.7
        assert np.corrcoef(neutrophils["lobes"], neutrophils["lobe"])[0, 1] < -0.7


class TestCells:
    def lobes(self, name: str) -> list[int]:
        """How many lobes there are in each of 200 cells of a class."""
        chosen = cells.choose(np.full(200, CLASSES.index(name)), draws(200), UNSHIFTED)
        present = chosen.forms[:, 2 : 2 + cells.LOBES, 0] > 0
        return sorted(set(present.sum(axis=1).tolist()))

    @pytest.mark.parametrize(
        ("name", "counts"),
        [
            ("neutrophil", [2, 3, 4, 5]),
            ("eosinophil", [2, 3]),
            ("lymphocyte", [1]),
            ("erythroblast", [1]),
            ("immature granulocyte", [3]),
            ("platelet", [0]),
        ],
    )
    def test_have_as_many_lobes_as_their_class(self, name: str, counts: list[int]) -> None:
        assert self.lobes(name) == counts

    def test_lie_near_the_middle_and_red_cells_outside_them(self) -> None:
        chosen = cells.choose(np.arange(200) % 8, draws(200), UNSHIFTED)
        body, red = chosen.forms[:, 0].astype(float), chosen.forms[:, 2 + cells.LOBES : -1].astype(float)
        there = red[..., 0] > 0
        # A form's centre is where its gradient is zero: [[2a, b], [b, 2c]] (x, y) = -(d, e).
        hessian = np.stack([2 * red[..., 0], red[..., 1], red[..., 1], 2 * red[..., 2]], axis=-1)
        centres = np.linalg.solve(hessian[there].reshape(-1, 2, 2), -red[there][:, 3:5, None])[..., 0]
        x, y = centres.T
        basis = np.stack([x * x, x * y, y * y, x, y, np.ones_like(x)], axis=1)
        own = np.repeat(body, there.sum(axis=1), axis=0)
        assert ((basis * own).sum(axis=1) > 1).all()
        in_the_middle = body[np.arange(200) % 8 != 7, 5]  # platelets are smaller than their distance from it
        assert in_the_middle.max() < 1

    def test_of_a_lower_magnification_are_smaller_in_every_part(self) -> None:
        labels = np.full(50, CLASSES.index("monocyte"))
        near = cells.choose(labels, draws(50), UNSHIFTED)
        far = cells.choose(labels, draws(50), cells.Knobs(0.0, 0.0, 3.0, 0.0))
        shrink = far.traits["radius"] / near.traits["radius"]
        assert np.median(shrink) == pytest.approx(0.85**3, abs=0.05)
        there = near.forms[:, 2:-1, 0] > 0
        size = np.sqrt(near.forms[:, 2:-1, 0][there] / far.forms[:, 2:-1, 0][there])
        np.testing.assert_allclose(size, np.broadcast_to(shrink[:, None], there.shape)[there], rtol=1e-3)
