"""What every registered augmentation promises; a new one is covered the moment it registers."""

from __future__ import annotations

import inspect
import subprocess
import sys
from typing import Any

import pytest
import torch

import bench.augment  # noqa: F401
from bench.augment.pipeline import Pipeline, build
from bench.errors import UserError
from bench.recipe import Choice
from bench.registry import Component, augmentations
from bench.streams import stream

REQUIRED: dict[str, dict[str, Any]] = {
    "one-of": {"choices": ["rotate", "cutmix", {"name": "noise", "p": 1.0}]},
    "chain": {"steps": ["flip", "blur", "mixup"], "p": 0.5},
}
"""Parameters of components that have no default for them."""
KORNIA: dict[str, dict[str, Any]] = {
    "RandomAffine": {"degrees": 30.0, "translate": [0.1, 0.1], "p": 0.5},
    "RandomPerspective": {"p": 0.9},
    "RandomHorizontalFlip": {},
    "RandomResizedCrop": {},
    "RandomElasticTransform": {"kernel_size": [11, 11], "sigma": [4.0, 4.0], "alpha": [2.0, 2.0], "p": 0.9},
    "ColorJitter": {"brightness": 0.4, "contrast": 0.4},
    "RandomEqualize": {},
    "RandomPosterize": {"bits": [1.0, 3.0], "p": 0.9},
    "RandomGaussianBlur": {"kernel_size": 5, "sigma": [0.5, 2.0], "p": 0.9},
    "RandomGaussianNoise": {"std": 0.2},
    "RandomSaltAndPepperNoise": {},
    "RandomErasing": {"p": 0.9},
    "RandomPlasmaBrightness": {"p": 0.9},
    "RandomHue": {"hue": [-0.3, 0.3]},
    "RandAugment": {"n": 2, "m": 10},
}
"""Classes of Kornia that stand for all; tests/augment/test_kornia_classes.py goes through every one."""
VARIANTS: dict[str, list[dict[str, Any]]] = {
    "randaugment": [
        {"ops": "kornia", "m": 10},
        {"ops": "geometric", "fill": "edge"},
        {"n": 4, "m": 30, "fill": "reflect"},
        {"per": "batch"},
        {"ops": "kornia", "per": "batch", "engine": "kornia"},
    ],
    "cutmix": [{"per": "batch"}],
    "mixup": [{"per": "batch", "alpha": 1.0}],
    "flip": [{"vertical_p": 0.5}],
    "augmix": [{"depth": 2, "width": 2, "severity": 10}, {"jsd": True}],
}


def cases() -> list[Any]:
    return [
        pytest.param(component, extra, id=f"{component.name}{extra or ''}")
        for component in augmentations
        for extra in [{}, *VARIANTS.get(component.name, [])]
    ] + [pytest.param(augmentations[f"kornia:{name}"], given, id=name) for name, given in KORNIA.items()]


def policy(component: Component, extra: dict[str, Any], size_px: int = 24, channels: int = 3) -> Pipeline:
    params = REQUIRED.get(component.name, {}) | extra
    return build([Choice(name=component.name, params=params)], size_px=size_px, channels=channels)


def batch(count: int, channels: int = 3, size_px: int = 24) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(count)
    images = torch.rand(count, channels, size_px, size_px, generator=generator)
    images[:, :, :4, :4], images[:, :, 4:8, :4] = 0.0, 1.0
    return images.contiguous(memory_format=torch.channels_last), torch.eye(5)[torch.arange(count) % 5]


def check(before: torch.Tensor, images: torch.Tensor, targets: torch.Tensor, views: int = 1) -> None:
    assert images.shape == (views * len(before), *before.shape[1:])
    assert images.dtype == torch.float32
    assert images.device == before.device
    assert images.is_contiguous(memory_format=torch.channels_last)
    assert torch.isfinite(images).all()
    assert images.min() >= 0
    assert images.max() <= 1
    assert targets.shape == (len(before), 5)
    assert targets.min() >= 0
    torch.testing.assert_close(targets.sum(1), torch.ones(len(before)))


@pytest.mark.parametrize(("component", "extra"), cases())
class TestEveryAugmentation:
    @pytest.mark.parametrize("count", [1, 2, 7, 16])
    def test_keeps_shape_type_format_range_and_probabilities(
        self, component: Component, extra: dict[str, Any], count: int
    ) -> None:
        run = policy(component, extra)
        for step in range(4):
            images, targets = batch(count)
            check(images, *run(images, targets, stream(step, "t")), views=run.views)

    @pytest.mark.parametrize("size_px", [16, 17])
    def test_works_on_the_smallest_and_on_odd_sizes(
        self, component: Component, extra: dict[str, Any], size_px: int
    ) -> None:
        images, targets = batch(5, size_px=size_px)
        run = policy(component, extra, size_px)
        check(images, *run(images, targets, stream(0, "t")), views=run.views)

    def test_gives_the_same_for_the_same_generator_and_leaves_its_input_alone(
        self, component: Component, extra: dict[str, Any]
    ) -> None:
        images, targets = batch(6)
        kept = images.clone(), targets.clone()
        first = policy(component, extra)(images, targets, stream(3, "t"))
        torch.manual_seed(99)
        second = policy(component, extra)(images, targets, stream(3, "t"))
        assert torch.equal(first[0], second[0])
        assert torch.equal(first[1], second[1])
        assert torch.equal(images, kept[0])
        assert torch.equal(targets, kept[1])

    def test_does_something(self, component: Component, extra: dict[str, Any]) -> None:
        images, targets = batch(16)
        out, _ = policy(component, extra)(images, targets, stream(0, "t"))
        out = out[-len(images) :]  # of several views the first is the image itself
        assert (out - images).abs().amax((1, 2, 3)).gt(0.01).sum() >= 4

    def test_leaves_torchs_global_generator_alone(self, component: Component, extra: dict[str, Any]) -> None:
        before = torch.random.get_rng_state()
        policy(component, extra)(*batch(4), stream(0, "t"))
        assert torch.equal(torch.random.get_rng_state(), before)

    def test_works_on_one_channel_or_says_why_not(self, component: Component, extra: dict[str, Any]) -> None:
        try:
            run = policy(component, extra, channels=1)
        except UserError as error:
            assert "3 channels" in str(error) or "1 channel" in str(error)  # noqa: PT017
            return
        images, targets = batch(5, channels=1)
        out, mixed = run(images, targets, stream(0, "t"))
        check(images, out, mixed, views=run.views)

    def test_gives_several_batches_in_one_run_what_each_gets_alone_bit_for_bit(
        self, component: Component, extra: dict[str, Any]
    ) -> None:
        """Each batch draws from its own stream, so how many run together is a matter of speed."""
        run, sizes = policy(component, extra), (5, 8, 3)
        images, targets = batch(sum(sizes))
        parts = list(zip(images.split(sizes), targets.split(sizes), strict=True))
        alone = [run(*part, stream(k, "t")) for k, part in enumerate(parts)]
        together = run.many(images, [own for _, own in parts], [stream(k, "t") for k in range(3)])
        for one, other in zip(alone, together, strict=True):
            assert torch.equal(one[0], other[0])
            assert torch.equal(one[1], other[1])
            assert other[0].is_contiguous(memory_format=torch.channels_last)

    def test_keeps_plain_memory_format_too(self, component: Component, extra: dict[str, Any]) -> None:
        images, targets = batch(3)
        out, _ = policy(component, extra)(images.contiguous(), targets, stream(0, "t"))
        assert out.is_contiguous()

    def test_changes_targets_only_where_its_trait_says_so(
        self, component: Component, extra: dict[str, Any]
    ) -> None:
        run = policy(component, extra)
        images, targets = batch(16)
        _, out = run(images, targets, stream(0, "t"))
        assert torch.equal(out, targets) is not run.mixes_images


@pytest.mark.parametrize("component", list(augmentations), ids=lambda component: component.name)
class TestEveryRegistration:
    def test_with_probability_zero_changes_nothing(self, component: Component) -> None:
        if "p" not in inspect.signature(component.factory).parameters:
            pytest.skip("has no p")
        images, targets = batch(9)
        out, same = policy(component, {"p": 0.0})(images, targets, stream(0, "t"))
        assert torch.equal(out, images)
        assert torch.equal(same, targets)

    def test_documents_shapes_every_parameter_randomness_and_source(self, component: Component) -> None:
        text = inspect.getdoc(component.factory) or ""
        for part in ("images   (B, C, H, W)", "targets  (B, K)", "random   ", "Source: "):
            assert part in text
        for name in inspect.signature(component.factory).parameters:
            assert name in text.partition("Source:")[0]

    def test_fills_its_defaults_and_refuses_unknown_parameters(self, component: Component) -> None:
        given = REQUIRED.get(component.name, {})
        filled = component.parameters(given)
        assert set(filled) == set(inspect.signature(component.factory).parameters)
        assert component.parameters(filled) == filled
        with pytest.raises(ValueError, match="strenght"):
            component.parameters(given | {"strenght": 1})

    def test_is_geometric_exactly_when_it_always_gives_matrices(self, component: Component) -> None:
        part = component.build(component.parameters(REQUIRED.get(component.name, {})))
        assert bool(component.traits.get("geometric")) is hasattr(part, "matrices")


def test_importing_the_package_loads_no_heavy_library() -> None:
    heavy = ["torch", "torchvision", "kornia", "numpy", "sklearn", "timm"]
    code = f"import sys, bench.augment; print([m for m in {heavy} if m in sys.modules])"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout.strip() == "[]"
