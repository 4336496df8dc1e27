"""CutMix and MixUp: targets say exactly what the pixels say, and draws follow their distributions."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torchvision.transforms.v2 import CutMix as TorchvisionCutMix

import bench.augment  # noqa: F401
from bench.augment.mixing import CutMix
from bench.augment.pipeline import Pipeline, build
from bench.recipe import Choice
from bench.streams import stream

SIZE = 32


def policy(name: str, **params: object) -> Pipeline:
    return build([Choice(name=name, params=params)], size_px=SIZE, channels=1)


def constant(count: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Image i is all black or all white, and its target is its brightness: (1 − v, v)."""
    value = (torch.arange(count) % 2).float()
    images = value.view(-1, 1, 1, 1).expand(-1, 1, SIZE, SIZE).clone()
    return images, torch.stack([1 - value, value], 1)


@pytest.mark.parametrize("name", ["cutmix", "mixup"])
@pytest.mark.parametrize("per", ["image", "batch"])
@pytest.mark.parametrize("p", [1.0, 0.5])
def test_the_target_is_the_share_of_white_in_the_image(name: str, per: str, p: float) -> None:
    images, targets = constant(33)
    for step in range(5):
        out, mixed = policy(name, per=per, p=p, alpha=1.0)(images, targets, stream(step, "t"))
        torch.testing.assert_close(mixed[:, 1], out.mean((1, 2, 3)), atol=1e-5, rtol=0)


def test_cutmix_leaves_every_pixel_black_or_white_and_mixup_none_in_a_mixed_pair() -> None:
    images, targets = constant(64)
    cut, _ = policy("cutmix")(images, targets, stream(0, "t"))
    assert ((cut == 0) | (cut == 1)).all()
    blended, _ = policy("mixup", alpha=1.0)(images, targets, stream(0, "t"))
    assert ((blended > 0) & (blended < 1)).any()


def test_a_cutmix_of_a_batch_pastes_the_same_box_into_every_image() -> None:
    images = torch.linspace(0, 1, 8).view(-1, 1, 1, 1).expand(-1, 1, SIZE, SIZE).clone()
    out, _ = policy("cutmix", per="batch")(images, torch.eye(8), stream(1, "t"))
    changed = (out != images)[(out != images).any((1, 2, 3)).nonzero().ravel()]
    assert len(changed) >= 4
    assert (changed == changed[:1]).all()


def test_cutmixs_box_and_share_follow_torchvisions_formula() -> None:
    partner, edges, own = CutMix(1.0, 1.0, "image").draw(stream(4, "t"), 200, SIZE)
    rng = stream(4, "t")
    assert np.array_equal(rng.permutation(200), partner)
    rng.random(200)
    drawn = rng.beta(1.0, 1.0, 200)
    centre = rng.integers(0, SIZE, (2, 200))
    for index in range(200):
        half = int(0.5 * np.sqrt(1 - drawn[index]) * SIZE)
        y, x = centre[:, index]
        expected = [max(y - half, 0), min(y + half, SIZE), max(x - half, 0), min(x + half, SIZE)]
        assert edges[index].tolist() == expected
        area = (expected[1] - expected[0]) * (expected[3] - expected[2])
        assert own[index] == pytest.approx(1 - area / SIZE**2)


def test_a_cutmix_batch_equals_torchvisions_with_the_same_box() -> None:
    images = torch.rand(6, 1, SIZE, SIZE)
    partner, edges, own = CutMix(1.0, 1.0, "batch").draw(stream(2, "t"), 6, SIZE)
    top, bottom, left, right = edges[0].tolist()
    given = {"box": (left, top, right, bottom), "batch_size": 2, "labels": None, "lam_adjusted": own[0]}
    ours, mixed = policy("cutmix", per="batch")(images, torch.eye(6), stream(2, "t"))
    for index, other in enumerate(partner):
        pair = torch.stack([images[index], images[other]])  # torchvision pastes from the neighbour before
        theirs = TorchvisionCutMix(num_classes=6).transform(pair, given)
        assert torch.equal(ours[index], theirs[0])
        if other != index:
            assert mixed[index, index] == pytest.approx(own[0], abs=1e-6)


@pytest.mark.parametrize("alpha", [0.2, 1.0, 4.0])
def test_mixups_weights_follow_beta_of_alpha(alpha: float) -> None:
    images, marked = torch.rand(2000, 1, 16, 16), torch.eye(2000)  # own weight stands on the diagonal
    run = build([Choice(name="mixup", params={"alpha": alpha})], size_px=16, channels=1)
    own = run(images, marked, stream(0, "t"))[1].diagonal().numpy()
    assert own.mean() == pytest.approx(0.5, abs=0.03)
    assert own.var() == pytest.approx(1 / (4 * (2 * alpha + 1)), rel=0.1)  # variance of Beta(a, a)


def test_p_is_how_often_an_image_is_mixed() -> None:
    images, targets = torch.rand(1000, 1, SIZE, SIZE), torch.eye(1000)
    out, _ = policy("mixup", p=0.3, alpha=1.0)(images, targets, stream(0, "t"))
    assert (out != images).any(3).any(2).any(1).float().mean() == pytest.approx(0.3, abs=0.05)


def test_a_batch_of_one_has_no_partner_and_stays() -> None:
    images, targets = constant(1)
    for name in ("cutmix", "mixup"):
        out, mixed = policy(name)(images, targets, stream(0, "t"))
        torch.testing.assert_close(out, images)
        torch.testing.assert_close(mixed, targets)
