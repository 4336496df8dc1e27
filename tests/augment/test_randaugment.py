"""RandAugment: every operation against torchvision's and Kornia's own, and the distribution of the draws."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
import torch
from torchvision.transforms import InterpolationMode
from torchvision.transforms.v2 import RandAugment as TorchvisionRandAugment

import bench.augment  # noqa: F401
from bench.augment import optable
from bench.augment.kernels.rounds import Draw, run
from bench.augment.pipeline import build
from bench.augment.randaugment import pick
from bench.errors import UserError
from bench.recipe import Choice
from bench.streams import stream

SIZE = 48
TORCHVISION = {
    "identity": "Identity",
    "autocontrast": "AutoContrast",
    "equalize": "Equalize",
    "rotate": "Rotate",
    "solarize": "Solarize",
    "color": "Color",
    "posterize": "Posterize",
    "contrast": "Contrast",
    "brightness": "Brightness",
    "sharpness": "Sharpness",
    "shear-x": "ShearX",
    "shear-y": "ShearY",
    "translate-x": "TranslateX",
    "translate-y": "TranslateY",
}
EXACT_ON_8_BIT = {"identity", "equalize", "solarize", "posterize"}
LEVELS = [0, 1, 5, 9, 14, 18, 20, 25, 30]


def one_op(images: torch.Tensor, table: optable.OpTable, op: int, level: int, sign: int) -> torch.Tensor:
    shape = (1, len(images))
    full = [np.full(shape, value) for value in (op, level, sign)]
    return run(images.clone(), table, Draw(*full, np.zeros(shape)), "black")


def torchvisions(images: torch.Tensor, name: str, level: int, sign: int) -> torch.Tensor:
    """torchvision's own operation at its own magnitude, bilinear."""
    policy = TorchvisionRandAugment(interpolation=InterpolationMode.BILINEAR)
    magnitudes, signed = policy._AUGMENTATION_SPACE[TORCHVISION[name]]
    values = magnitudes(31, SIZE, SIZE)
    magnitude = 0.0 if values is None else float(values[level]) * (-1 if signed and sign else 1)
    return policy._apply_image_or_video_transform(
        images, TORCHVISION[name], magnitude, InterpolationMode.BILINEAR, policy._fill
    )


@pytest.mark.parametrize("name", optable.STANDARD)
def test_each_operation_equals_torchvisions_within_8_bit_rounding(
    name: str, pictures: torch.Tensor, eight_bit: torch.Tensor
) -> None:
    table = optable.randaugment_table(optable.STANDARD, SIZE)
    # torchvision cuts to 8 bits twice in these three: the grey value or smooth copy, then the result.
    twice = name in ("color", "contrast", "sharpness")
    limit = 1e-5 if name in EXACT_ON_8_BIT else (2.01 if twice else 1.01) / 255
    for level in LEVELS:
        for sign in (0, 1):
            ours = one_op(pictures, table, optable.STANDARD.index(name), level, sign)
            theirs = torchvisions(eight_bit, name, level, sign).float() / 255
            # A whole threshold such as 102 is 102.00001 in torchvision's float32; ours is exact.
            at_threshold = (eight_bit == 255 * (30 - level) / 30) & (name == "solarize")
            assert torch.where(at_threshold, 0, (ours - theirs).abs()).max() <= limit, (level, sign)


def test_solarize_inverts_from_the_threshold_on() -> None:
    table = optable.randaugment_table(optable.STANDARD, 16)
    ramp = (torch.arange(256).float() / 255).view(1, 1, 16, 16)
    out = one_op(ramp, table, optable.STANDARD.index("solarize"), 18, 0).view(-1) * 255
    assert out[[101, 102, 255]].round().tolist() == [101, 153, 0]


@pytest.mark.parametrize("name", sorted(set(optable.STANDARD) - {"equalize", "posterize", "solarize"}))
def test_each_continuous_operation_equals_torchvisions_on_floats(name: str, pictures: torch.Tensor) -> None:
    table = optable.randaugment_table(optable.STANDARD, SIZE)
    for level in LEVELS:
        for sign in (0, 1):
            ours = one_op(pictures, table, optable.STANDARD.index(name), level, sign)
            assert (ours - torchvisions(pictures, name, level, sign)).abs().max() <= 1e-4, (level, sign)


def test_operations_are_drawn_uniformly_with_replacement() -> None:
    op = pick(stream(0, "t"), 14, (2, 14_000), "image", replace=True)
    assert np.abs(np.bincount(op.ravel(), minlength=14) / 2000 - 1).max() < 0.1
    assert (op[0] == op[1]).mean() == pytest.approx(1 / 14, abs=0.01)


def test_kornias_operations_are_drawn_without_replacement() -> None:
    op = pick(stream(0, "t"), 15, (3, 5000), "image", replace=False)
    assert (op[0] != op[1]).all()
    assert (op[1] != op[2]).all()
    assert np.abs(np.bincount(op.ravel(), minlength=15) / 1000 - 1).max() < 0.12


def distinct(params: dict[str, object], pictures: torch.Tensor, count: int = 64) -> int:
    copies = pictures[:1].repeat(count, 1, 1, 1)
    policy = build([Choice(name="randaugment", params=params)], size_px=SIZE, channels=3)
    out, _ = policy(copies, torch.ones(count, 1), stream(0, "t"))
    return len(Counter(image.numpy().tobytes() for image in out))


@pytest.mark.parametrize("ops", ["standard", "kornia", "geometric"])
def test_per_image_gives_copies_of_one_image_many_faces_and_per_batch_few(
    ops: str, pictures: torch.Tensor
) -> None:
    assert distinct({"ops": ops, "m": 10}, pictures) > (12 if ops == "geometric" else 30)
    assert distinct({"ops": "standard", "per": "batch", "m": 10}, pictures) <= 4


def test_geometric_rounds_fuse_with_a_neighbouring_flip() -> None:
    choices = [Choice(name="flip"), Choice(name="randaugment", params={"ops": "geometric"})]
    assert len(build(choices, size_px=SIZE, channels=3).steps) == 1


def test_one_channel_is_torchvisions_grey_picture(pictures: torch.Tensor, eight_bit: torch.Tensor) -> None:
    table = optable.randaugment_table(optable.STANDARD, SIZE)
    for name in ("color", "contrast"):
        ours = one_op(pictures[:, :1], table, optable.STANDARD.index(name), 20, 0)
        theirs = torchvisions(eight_bit[:, :1], name, 20, 0).float() / 255
        assert (ours - theirs).abs().max() <= 1.01 / 255


def test_kornias_operations_refuse_one_channel() -> None:
    choice = Choice(name="randaugment", params={"ops": "kornia"})
    with pytest.raises(UserError, match=r'augment\[0\] randaugment with ops = "kornia" .* have 1; use ops'):
        build([choice], size_px=SIZE, channels=1)


@pytest.mark.parametrize("m", [0, 30])
def test_kornias_operations_refuse_the_magnitudes_kornia_refuses(m: int) -> None:
    with pytest.raises(UserError, match=f"m = {m} .* Kornia allows 1 to 29"):
        build([Choice(name="randaugment", params={"ops": "kornia", "m": m})], size_px=SIZE, channels=3)
