from __future__ import annotations

import numpy as np
import pytest
from samples import as_images, noise, reordered

from bench.data import suspects


def cells(count: int, seed: int = 0, size: int = 16) -> np.ndarray:
    """(count, size, size, 3): dark discs of various sizes and shades on pale ground, with noise."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:size, :size] - (size - 1) / 2
    radius = rng.uniform(0.2, 0.35, count) * size
    disc = (x**2 + y**2)[None] < (radius**2)[:, None, None]
    ground = np.array([230, 215, 200]) + rng.normal(0, 6, (count, 1, 1, 1))
    ink = np.array([120, 70, 150]) + rng.normal(0, 10, (count, 1, 1, 1))
    pixels = np.where(disc[..., None], ink, ground) + rng.normal(0, 4, (count, size, size, 3))
    return np.clip(pixels, 0, 255).astype(np.uint8)


def odd_one(size: int = 16) -> np.ndarray:
    """A green and blue checkerboard: no cell."""
    board = np.indices((size, size)).sum(0) // 4 % 2
    return np.where(board[..., None] == 1, [0, 255, 0], [0, 0, 255]).astype(np.uint8)


def test_an_image_of_something_else_is_found_and_no_other() -> None:
    pixels = np.concatenate([cells(300), odd_one()[None]])
    found = suspects.find(as_images(pixels, [0] * 301))
    assert [one.position for one in found] == [300]
    assert found[0].z > 20
    assert found[0].distance > 0


def test_many_copies_of_it_do_not_hide_it() -> None:
    """Copies are each other's neighbours at distance 0: without removing them nothing would be found."""
    pixels = np.concatenate([cells(300), np.repeat(odd_one()[None], 200, axis=0)])
    assert [one.position for one in suspects.find(as_images(pixels, [0] * 500))] == [300]
    points = suspects.embedding(pixels, np.arange(500))
    assert np.argmax(suspects.neighbour_distance(points)) < 300


def test_cells_alone_hold_no_suspect() -> None:
    assert suspects.find(as_images(cells(300, seed=1), [0] * 300)) == ()


def test_the_order_of_images_does_not_matter() -> None:
    images = as_images(np.concatenate([cells(60), odd_one()[None]]), [0] * 61)
    order = np.random.default_rng(0).permutation(61)
    one, other = suspects.find(images), suspects.find(reordered(images, order))
    assert one[0].position == 60
    assert [order[found.position] for found in other] == [found.position for found in one]
    assert [found.z for found in other] == [found.z for found in one]


def test_too_few_images_have_no_suspects() -> None:
    images = as_images(np.concatenate([cells(19), odd_one()[None]]), [0] * 20)
    assert suspects.find(images) == ()


def test_gray_images_are_searched_too() -> None:
    gray = np.concatenate([cells(100), odd_one()[None]])[..., :1]
    assert [one.position for one in suspects.find(as_images(gray, [0] * 101))] == [100]


def test_progress_ends_with_all_distinct_images() -> None:
    told: list[tuple[int, int]] = []
    pixels = np.concatenate([cells(600), cells(600)[:5]])
    suspects.find(as_images(pixels, [0] * 605), lambda done, total: told.append((done, total)))
    assert told == [(512, 600), (600, 600)]


def test_robust_z_is_worked_out_by_hand() -> None:
    # median 3, deviations 2 1 0 1 97, their median 1
    expected = np.array([-2, -1, 0, 1, 97]) / 1.4826
    np.testing.assert_allclose(suspects.robust_z(np.array([1.0, 2, 3, 4, 100])), expected)


def test_robust_z_is_zero_where_half_of_the_values_are_alike() -> None:
    assert suspects.robust_z(np.array([1.0, 1, 1, 9])).tolist() == [0, 0, 0, 0]


def test_the_tenth_neighbour_is_another_point() -> None:
    points = np.arange(12, dtype=np.float32)[:, None]
    distance = suspects.neighbour_distance(points)
    assert distance[0] == 10  # neighbours 1 to 10
    assert distance[5] == 5  # 4 6 3 7 2 8 1 9 0 10


def test_neighbours_of_very_many_are_looked_for_among_some(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(suspects, "AMONG", 12)
    points = np.arange(30, dtype=np.float32)[:, None]
    distance = suspects.neighbour_distance(points)
    assert distance[:12].tolist() == suspects.neighbour_distance(points[:12]).tolist()
    assert distance[12:].tolist() == [point - 2 for point in range(12, 30)]  # 11 is the nearest, 2 the tenth
    found = suspects.find(as_images(np.concatenate([cells(300), odd_one()[None]]), [0] * 301))
    assert [one.position for one in found][:1] == [300]


def test_images_lie_as_far_apart_as_scikit_learn_s_components_put_them() -> None:
    from sklearn.decomposition import PCA

    pixels = cells(300)
    parts = suspects.coarse_pixels(pixels), suspects.histograms(pixels)
    features = np.concatenate([part / np.sqrt(part.var(axis=0).sum()) for part in parts], axis=1)
    expected = PCA(64, svd_solver="covariance_eigh").fit_transform(features)
    found = suspects.embedding(pixels, np.arange(300))
    assert found.shape == expected.shape == (300, 64)
    np.testing.assert_allclose(
        suspects.neighbour_distance(found), suspects.neighbour_distance(expected), rtol=1e-3
    )


@pytest.mark.parametrize("size", [8, 16, 28, 29])
def test_coarse_pixels_are_means_of_a_grid_at_any_size(size: int) -> None:
    images = noise(2, size=size)
    cells = suspects.coarse_pixels(images).reshape(2, 8, 8, 3)
    edges = [row * size // 8 for row in range(9)]
    block = images[1, edges[2] : edges[3], edges[7] : edges[8], 0]
    assert cells[1, 2, 7, 0] == pytest.approx(block.mean() / 255, rel=1e-6)


def test_histograms_count_shares_of_sixteen_levels_per_channel() -> None:
    image = np.zeros((1, 2, 2, 3), np.uint8)
    image[0, 0, 0] = (16, 255, 15)
    shares = suspects.histograms(image).reshape(3, 16)
    expected = np.zeros((3, 16))
    expected[:, 0] = 0.75
    expected[0, 1] = expected[1, 15] = expected[2, 0] = 0.25
    expected[2, 0] = 1
    np.testing.assert_allclose(shares, expected)


def test_flat_images_can_be_embedded() -> None:
    flat = np.full((30, 16, 16, 3), 7, np.uint8)
    assert np.isfinite(suspects.embedding(flat, np.arange(30))).all()
