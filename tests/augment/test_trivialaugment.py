"""TrivialAugment: torchvision's wide ranges, one operation per image, every magnitude."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torchvision.transforms import InterpolationMode
from torchvision.transforms.v2 import TrivialAugmentWide

import bench.augment  # noqa: F401
from bench.augment import optable
from bench.augment.kernels.rounds import Draw, run
from bench.augment.pipeline import build
from bench.recipe import Choice
from bench.streams import stream

NAMES = {
    "rotate": "Rotate",
    "shear-x": "ShearX",
    "translate-y": "TranslateY",
    "brightness": "Brightness",
    "posterize": "Posterize",
}


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("level", [0, 7, 16, 30])
def test_wide_ranges_equal_torchvisions(
    name: str, level: int, pictures: torch.Tensor, eight_bit: torch.Tensor
) -> None:
    theirs = TrivialAugmentWide(interpolation=InterpolationMode.BILINEAR)
    magnitude = float(theirs._AUGMENTATION_SPACE[NAMES[name]][0](31, 48, 48)[level])
    expected = theirs._apply_image_or_video_transform(
        eight_bit, NAMES[name], magnitude, InterpolationMode.BILINEAR, theirs._fill
    )
    full = [np.full((1, 6), value) for value in (optable.STANDARD.index(name), level, 0)]
    ours = run(pictures.clone(), optable.trivial_table(48), Draw(*full, np.zeros((1, 6))), "black")
    assert (ours - expected.float() / 255).abs().max() <= 1.01 / 255


def faces(per: str, pictures: torch.Tensor) -> int:
    run_policy = build([Choice(name="trivialaugment", params={"per": per})], size_px=48, channels=3)
    out, _ = run_policy(pictures[:1].repeat(128, 1, 1, 1), torch.ones(128, 1), stream(0, "t"))
    return len({image.numpy().tobytes() for image in out})


def test_copies_of_one_image_come_out_different_per_image_and_alike_per_batch(pictures: torch.Tensor) -> None:
    assert faces("image", pictures) > 60
    assert faces("batch", pictures) <= 2
