"""Kornia's operations, each against Kornia's own class."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from kornia.augmentation.auto import RandAugment as KorniaRandAugment
from kornia.augmentation.auto.rand_augment.rand_augment import default_policy

from bench.augment.kernels.rounds import Draw, run
from bench.augment.kornia_ops import kornia_table
from bench.augment.pipeline import build
from bench.augment.randaugment import randaugment
from bench.errors import UserError
from bench.recipe import Choice
from bench.streams import stream

SIZE = 48


def test_filling_kornias_table_leaves_the_global_generator_alone() -> None:
    torch.manual_seed(5)
    before = torch.random.get_rng_state()
    kornia_table(10, SIZE)
    assert torch.equal(torch.random.get_rng_state(), before)


@pytest.mark.parametrize("index", range(15), ids=[policy[0][0] for policy in default_policy])
def test_each_operation_equals_kornias_own_at_every_magnitude(index: int, pictures: torch.Tensor) -> None:
    gaps = {m: gap(index, m, pictures) for m in range(1, 30)}
    assert max(gaps.values()) <= 1e-4, gaps


def gap(index: int, m: int, pictures: torch.Tensor) -> float:
    """Largest difference between ours and Kornia's class, for parameters that Kornia drew."""
    theirs = KorniaRandAugment(n=1, m=m, policy=[default_policy[index]])
    parameters = theirs.forward_parameters(pictures.shape)
    drawn = parameters[0].data[0].data
    key = {"rotate": "degrees"}.get(default_policy[index][0][0], default_policy[index][0][0])
    signed = key in drawn and key in ("degrees", "shear_x", "shear_y", "translate_x", "translate_y")
    sign = (drawn[key] < 0).long().numpy() if signed else np.zeros(len(pictures), np.int64)
    free = drawn.get("thresholds", torch.zeros(len(pictures))).numpy()
    op = np.full((1, len(pictures)), index)
    ours = run(pictures.clone(), kornia_table(m, SIZE), Draw(op, op * 0, sign[None], free[None]), "black")
    return (ours - theirs(pictures, params=parameters)).abs().max().item()


def engine(images: torch.Tensor, seed: int, m: int = 10) -> torch.Tensor:
    choice = Choice(
        name="randaugment", params={"ops": "kornia", "per": "batch", "engine": "kornia", "m": m, "n": 3}
    )
    run = build([choice], size_px=SIZE, channels=3)
    return run(images, torch.ones(len(images), 1), stream(seed, "t"))[0]


def test_kornias_engine_is_kornias_class_with_a_generator_seeded_by_the_first_draw(
    pictures: torch.Tensor,
) -> None:
    seed = int(stream(5, "t").integers(0, 2**63))
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        expected = KorniaRandAugment(n=3, m=10)(pictures)
    assert torch.equal(engine(pictures, 5), expected.clamp(0, 1))


def test_kornias_engine_depends_on_the_stream_and_not_on_the_global_generator(
    pictures: torch.Tensor,
) -> None:
    torch.manual_seed(1)
    one = engine(pictures, 5)
    torch.manual_seed(2)
    before = torch.random.get_rng_state()
    assert torch.equal(engine(pictures, 5), one)
    assert torch.equal(torch.random.get_rng_state(), before)
    assert not torch.equal(engine(pictures, 6), one)


def test_kornias_engine_draws_once_for_a_whole_batch_and_ours_for_every_image(pictures: torch.Tensor) -> None:
    """Of 60 copies of an image, one draw of operations leaves a handful of results (by their signs)."""
    copies = pictures[:1].repeat(60, 1, 1, 1)
    kinds = {seed: len({image.numpy().tobytes() for image in engine(copies, seed)}) for seed in range(8)}
    assert min(kinds.values()) <= 4, kinds
    ours = build([Choice(name="randaugment", params={"ops": "kornia", "m": 10})], size_px=SIZE, channels=3)
    made, _ = ours(copies, torch.ones(60, 1), stream(0, "t"))
    assert len({image.numpy().tobytes() for image in made}) >= 30


@pytest.mark.parametrize(
    ("given", "found"),
    [
        ({"engine": "kornia"}, 'ops = "standard", per = "image", fill = "black"'),
        ({"engine": "kornia", "ops": "kornia"}, 'ops = "kornia", per = "image", fill = "black"'),
        ({"engine": "kornia", "ops": "kornia", "per": "batch", "fill": "edge"}, 'fill = "edge"'),
    ],
)
def test_kornias_engine_refuses_what_its_class_cannot_do(given: dict[str, str], found: str) -> None:
    with pytest.raises(UserError, match=found) as caught:
        randaugment(**given)  # type: ignore[arg-type]
    assert 'only knows ops = "kornia", per = "batch", fill = "black"' in str(caught.value)
