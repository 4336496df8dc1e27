"""Working on some images of a batch."""

from __future__ import annotations

import numpy as np
import torch

from bench.augment.kernels.rows import on_chosen

IMAGES = torch.arange(4.0).view(4, 1, 1, 1)
FIRST, SECOND = np.array([1.0, 2.0, 3.0, 4.0]), np.array([10, 20, 30, 40])


def line(images: torch.Tensor, first: torch.Tensor, second: torch.Tensor) -> torch.Tensor:
    return images * first.view(-1, 1, 1, 1) + second.view(-1, 1, 1, 1)


def test_chosen_images_meet_their_own_draws_and_the_others_stay() -> None:
    out = on_chosen(IMAGES.clone(), np.array([False, True, False, True]), [FIRST, SECOND], line)
    assert out.view(-1).tolist() == [0, 1 * 2 + 20, 2, 3 * 4 + 40]


def test_a_whole_batch_is_worked_on_without_gathering() -> None:
    out = on_chosen(IMAGES.clone(), np.ones(4, bool), [FIRST, SECOND], line)
    assert out.view(-1).tolist() == [10, 22, 36, 52]


def test_no_image_chosen_runs_nothing() -> None:
    def never(*_: torch.Tensor) -> torch.Tensor:
        raise AssertionError

    assert on_chosen(IMAGES, np.zeros(4, bool), [FIRST], never) is IMAGES
