"""Kornia's operations, each against Kornia's own class."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from kornia.augmentation.auto import RandAugment as KorniaRandAugment
from kornia.augmentation.auto.rand_augment.rand_augment import default_policy

from bench.augment.kernels.rounds import Draw, run
from bench.augment.kornia_ops import kornia_table

SIZE = 48


def test_filling_kornias_table_leaves_the_global_generator_alone() -> None:
    torch.manual_seed(5)
    before = torch.random.get_rng_state()
    kornia_table(10, SIZE)
    assert torch.equal(torch.random.get_rng_state(), before)


@pytest.mark.parametrize("m", [1, 10, 15, 29])
@pytest.mark.parametrize("index", range(15), ids=[policy[0][0] for policy in default_policy])
def test_each_of_kornias_operations_equals_kornias_class(index: int, m: int, pictures: torch.Tensor) -> None:
    theirs = KorniaRandAugment(n=1, m=m, policy=[default_policy[index]])
    parameters = theirs.forward_parameters(pictures.shape)
    drawn = parameters[0].data[0].data
    key = {"rotate": "degrees"}.get(default_policy[index][0][0], default_policy[index][0][0])
    signed = key in drawn and key in ("degrees", "shear_x", "shear_y", "translate_x", "translate_y")
    sign = (drawn[key] < 0).long().numpy() if signed else np.zeros(len(pictures), np.int64)
    free = drawn.get("thresholds", torch.zeros(len(pictures))).numpy()
    op = np.full((1, len(pictures)), index)
    ours = run(pictures.clone(), kornia_table(m, SIZE), Draw(op, op * 0, sign[None], free[None]), "black")
    assert (ours - theirs(pictures, params=parameters)).abs().max() <= 1e-4
