"""Rounds of operations: every image gets its own, in order."""

from __future__ import annotations

import numpy as np
import torch

from bench.augment import optable
from bench.augment.kernels.rounds import Draw, run

SIZE = 48


def one(op: int, level: int, count: int = 6) -> Draw:
    """One round of one operation for all."""
    full = [np.full((1, count), value) for value in (op, level, 0)]
    return Draw(*full, np.zeros((1, count)))


def test_a_draw_runs_every_round_in_order(pictures: torch.Tensor) -> None:
    table = optable.randaugment_table(optable.STANDARD, SIZE)
    solarize, equalize = optable.STANDARD.index("solarize"), optable.STANDARD.index("equalize")
    op = np.array([[solarize] * 6, [equalize] * 6])
    both = run(pictures.clone(), table, Draw(op, op * 0 + 12, op * 0, op * 0.0), "black")
    first = run(pictures.clone(), table, one(solarize, 12), "black")
    assert torch.equal(both, run(first, table, one(equalize, 12), "black"))


def test_images_without_an_operation_stay_bit_for_bit(pictures: torch.Tensor) -> None:
    table = optable.randaugment_table(optable.STANDARD, SIZE)
    op = np.array([[-1, 2, 2, 0, 2, -1]])
    out = run(pictures.clone(), table, Draw(op, op * 0, op * 0, op * 0.0), "black")
    assert [torch.equal(a, b) for a, b in zip(out, pictures, strict=True)] == [
        True, False, False, True, False, True,
    ]  # fmt: skip


def test_a_mixed_batch_equals_its_images_one_by_one(pictures: torch.Tensor) -> None:
    table = optable.randaugment_table(optable.STANDARD, SIZE)
    many = pictures.repeat(7, 1, 1, 1)[:28]
    op, level, sign = np.arange(28)[None] % 14, np.arange(28)[None] + 1, np.arange(28)[None] // 14
    together = run(many.clone(), table, Draw(op, level, sign, op * 0.0), "edge")
    for index in range(28):
        part = slice(index, index + 1)
        draw = Draw(op[:, part], level[:, part], sign[:, part], op[:, part] * 0.0)
        alone = run(many[part].clone(), table, draw, "edge")
        torch.testing.assert_close(together[part], alone, atol=2e-6, rtol=0)


def test_a_free_threshold_is_taken_from_the_draw_of_its_own_image() -> None:
    values = np.zeros((1, 1, 2, 2), np.float32)
    free = optable.OpTable(
        ("solarize-free",),
        np.array([int(optable.Family.SOLARIZE)]),
        values,
        np.tile(np.eye(3), (1, 1, 2, 1, 1)),
        np.array([True]),
    )
    zeros = np.zeros((1, 3), np.int64)
    images = torch.full((3, 1, 16, 16), 0.4)
    out = run(images, free, Draw(zeros, zeros, zeros, np.array([[0.3, 0.5, 0.4]])), "black")
    assert out[:, 0, 0, 0].tolist() == [0.6000000238418579, 0.4000000059604645, 0.6000000238418579]
