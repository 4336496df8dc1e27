"""Kornia's classes by name: every one that it exports works on a batch, or is refused with the reason."""

from __future__ import annotations

from typing import Any

import kornia.augmentation
import numpy as np
import pytest
import torch
from kornia.augmentation import auto

import bench.augment  # noqa: F401
from bench.augment.kornia_classes import DOES
from bench.augment.kornia_modules import POLICIES, suitable
from bench.augment.pipeline import Pipeline, build
from bench.corruptions.families import seen
from bench.errors import UserError
from bench.recipe import Choice, Recipe
from bench.registry import augmentations
from bench.streams import stream

SIZE = 32
SHARES = [0.5, 1.5]
GIVEN: dict[str, dict[str, Any]] = {
    "ColorJiggle": {"brightness": 0.3, "hue": 0.1},
    "ColorJitter": {"brightness": 0.3, "hue": 0.1},
    "RandAugment": {"n": 2, "m": 10},
    "RandomAffine": {"degrees": 30.0, "translate": [0.1, 0.1]},
    "RandomBrightness": {"brightness": SHARES},
    "RandomContrast": {"contrast": SHARES},
    "RandomCrop": {"padding": 4},
    "RandomFisheye": {"center_x": [-0.3, 0.3], "center_y": [-0.3, 0.3], "gamma": [0.9, 1.1]},
    "RandomGamma": {"gamma": SHARES},
    "RandomGaussianBlur": {"kernel_size": [5, 5], "sigma": [0.5, 2.0]},
    "RandomHue": {"hue": [-0.2, 0.2]},
    "RandomMotionBlur": {"kernel_size": 5, "angle": 35.0, "direction": 0.5},
    "RandomRotation": {"degrees": 30.0},
    "RandomRotation90": {"times": [1, 3]},
    "RandomSaturation": {"saturation": SHARES},
    "RandomShear": {"shear": 10.0},
    "RandomTranslate": {"translate_x": [0.1, 0.3]},
}
"""Parameters of the classes that need some, or whose defaults change nothing."""
IDLE = {"CenterCrop", "PadTo", "Resize"}
"""At the images' own size they change nothing."""
SIZED = {"LongestMaxSize", "SmallestMaxSize"}
REFUSED = {"Normalize", "Denormalize", "RandomDissolving"}
EXPORTED = sorted(
    name for name in kornia.augmentation.__all__ if isinstance(getattr(kornia.augmentation, name), type)
)
WORK = sorted({*suitable()} - IDLE - SIZED)


def policy(name: str, size_px: int = SIZE, channels: int = 3, **given: Any) -> Pipeline:
    choice = Choice(name=f"kornia:{name}", params=GIVEN.get(name, {}) | given)
    return build([choice], size_px=size_px, channels=channels)


def batch(count: int = 8, channels: int = 3) -> tuple[torch.Tensor, torch.Tensor]:
    """Noise, a flat image of each extreme, and a black and a white patch in every other."""
    images = torch.rand(count, channels, SIZE, SIZE, generator=torch.Generator().manual_seed(count))
    images[:, :, :4, :4], images[:, :, 4:8, :4] = 0.0, 1.0
    images[0], images[1] = 0.0, 1.0
    return images, torch.eye(5)[torch.arange(count) % 5]


def complaint(name: str, size_px: int = SIZE, channels: int = 3, **given: Any) -> str:
    with pytest.raises(UserError) as caught:
        policy(name, size_px, channels, **given)
    return str(caught.value).removeprefix(f"augment[0] kornia:{name}: ")


@pytest.mark.parametrize("name", WORK)
def test_every_suitable_class_keeps_shape_range_and_targets_and_repeats_itself(name: str):
    images, targets = batch()
    kept, state = images.clone(), torch.random.get_rng_state()
    run = policy(name)
    out, labels = run(images, targets, stream(3, "t"))
    again, _ = run(images, targets, stream(3, "t"))
    assert (out.shape, out.dtype) == (images.shape, torch.float32)
    assert torch.isfinite(out).all()
    assert 0 <= out.min() <= out.max() <= 1
    assert torch.equal(out, again)
    assert torch.equal(labels, targets)
    assert torch.equal(images, kept)
    assert torch.equal(torch.random.get_rng_state(), state)


@pytest.mark.parametrize("name", sorted({*EXPORTED} - {*WORK}))
def test_every_other_class_is_refused_with_the_reason(name: str):
    given = {"max_size": SIZE // 2} if name in SIZED else {}
    said = complaint(name, **given)
    if name in IDLE:
        assert "its defaults change nothing" in said
    elif name in SIZED:
        assert said.startswith("makes images of 16 × 16 px and 3 channels of those of 32 × 32 px")
    elif name in REFUSED:
        assert "network" in said
    elif issubclass(getattr(kornia.augmentation, name), kornia.augmentation.MixAugmentationBaseV2):
        assert "use cutmix or mixup" in said
    else:
        assert said == "is not for batches of single 2-d images"


def test_what_is_suitable_is_what_kornia_exports_for_single_images():
    flat = {
        name
        for name in EXPORTED
        if issubclass(getattr(kornia.augmentation, name), kornia.augmentation.AugmentationBase2D)
    }
    bases = {name for name in flat if "Base" in name}
    assert {*suitable()} == (flat - bases - REFUSED) | {"RandomJigsaw", *POLICIES}
    assert len(WORK) >= 45


def test_names_in_the_map_of_what_classes_do_are_kornias():
    assert {*DOES} <= {*WORK}


def test_draws_come_from_the_generator_that_is_handed_over_and_from_nowhere_else():
    images, targets = batch()
    run = policy("RandomPlasmaShadow", p=0.5)
    torch.manual_seed(1)
    one, _ = run(images, targets, stream(5, "t"))
    torch.manual_seed(2)
    assert torch.equal(run(images, targets, stream(5, "t"))[0], one)
    assert not torch.equal(run(images, targets, stream(6, "t"))[0], one)


def test_a_batch_takes_one_draw_whatever_the_class_draws_so_that_no_stream_shifts():
    images, targets = batch()
    for name in ("RandomHorizontalFlip", "RandomGaussianNoise", "RandAugment"):
        used, expected = stream(7, "t"), stream(7, "t")
        policy(name)(images, targets, used)
        expected.integers(0, 2**63)
        assert used.random() == expected.random()


def test_it_is_kornias_class_seeded_by_the_first_draw():
    images, targets = batch()
    out, _ = policy("RandomPerspective", p=0.7, distortion_scale=0.4)(images, targets, stream(5, "t"))
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(int(stream(5, "t").integers(0, 2**63)))
        expected = kornia.augmentation.RandomPerspective(p=0.7, distortion_scale=0.4)(images)
    assert torch.equal(out, expected.clamp(0, 1))


@pytest.mark.parametrize("name", ["RandomPlasmaShadow", "RandomRotation", "RandomGaussianNoise"])
def test_with_probability_zero_it_changes_nothing(name: str):
    images, targets = batch()
    assert torch.equal(policy(name, p=0.0)(images, targets, stream(0, "t"))[0], images)


def test_a_size_is_the_images_own_so_that_crops_fit_any_study():
    images, targets = batch()
    out, _ = policy("RandomResizedCrop")(images, targets, stream(0, "t"))
    assert out.shape == images.shape
    assert "sizes must stay; set [data] size_px instead" in complaint("RandomResizedCrop", size=[16, 16])


@pytest.mark.parametrize(
    ("name", "given", "said"),
    [
        ("RandomPlasmaShado", {}, 'has no such augmentation; did you mean "RandomPlasmaShadow"?'),
        ("RandomPlasmaShadow", {"roughnes": [0.1, 0.5]}, 'unknown key; did you mean "roughness"?'),
        ("RandomPlasmaShadow", {"roughness": "high"}, 'roughness = "high": must be a list, in [ ]   (ro'),
        ("RandomErasing", {"scale": [0.1, 0.2, 0.3]}, "scale = [0.1, 0.2, 0.3]: allows at most 2   (scale"),
        ("RandomRotation", {"degrees": [1.0, 2.0, 3.0]}, "TypeError: degrees should be a "),
        ("RandAugment", {"m": 40}, "ValueError: Expect `m` in (0, 30). Got 40."),
        ("RandomJigsaw", {"grid": [5, 5]}, "cannot take images of 32 × 32 px and 3 channels: RuntimeError: "),
    ],
)  # fmt: skip
def test_what_is_wrong_is_said_with_its_key(name: str, given: dict[str, Any], said: str):
    assert said in complaint(name, **given)


def test_a_dose_of_zero_is_a_dose():
    images, targets = batch()
    out, _ = policy("ColorJitter", brightness=0.0, hue=0.0)(images, targets, stream(0, "t"))
    torch.testing.assert_close(out, images)


def test_all_mistakes_of_a_class_are_said_together():
    said = complaint("RandomPlasmaShadow", roughnes=[0.1, 0.5], shade_intensity=[0.1])
    assert len(said.splitlines()) == 2
    assert "shade_intensity[1]: is required" in said


def test_colour_is_asked_for_where_the_images_have_none():
    assert "ValueError: Input size must have a shape of (*, 3, H, W)" in complaint("RandomHue", channels=1)
    with pytest.raises(UserError, match="works on colour"):
        policy("TrivialAugment", channels=1)


def test_the_study_checks_what_it_can_without_kornia():
    component = augmentations["kornia:RandomPlasmaShadow"]
    assert component.parameters({"p": 0.5, "roughness": [0.1, 0.7]}) == {"p": 0.5, "roughness": [0.1, 0.7]}
    assert component.parameters({}) == {}, "defaults are Kornia's"
    for wrong in ({"p": 1.5}, {"p": "often"}, {"roughness": [float("nan"), 1.0]}):
        with pytest.raises(ValueError, match="validation error"):
            component.parameters(wrong)
    assert component.version == kornia.__version__
    assert "kornia:no class" not in augmentations
    assert "kornia:" not in augmentations


def test_known_classes_count_as_seen_and_unknown_ones_as_nothing():
    def of(name: str, **params: Any) -> set[str]:
        choice = Choice(name=f"kornia:{name}", params=params)
        return seen(Recipe(model=Choice(name="custom_cnn"), augment=(choice,)))

    assert of("RandomRotation", degrees=10.0) == {"rotation"}
    assert of("RandomRotation", degrees=10.0, p=0.0) == set()
    assert of("RandomGaussianBlur") == {"defocus", "motion"}
    assert of("RandomJPEG") == {"jpeg"}
    assert of("RandomPlasmaShadow") == {"vignette"}
    assert of("RandomSnow") == set()


def test_policies_are_those_of_kornias_auto_module():
    assert {*POLICIES} <= set(auto.__dict__)
    images, targets = batch(4)
    out = policy("AutoAugment")(images, targets, np.random.default_rng(0))[0]
    assert not torch.equal(out, images)
