"""What every registered corruption promises; a new one is covered the moment it registers."""

from __future__ import annotations

import inspect
import itertools
from collections.abc import Iterator

import numpy as np
import pytest
import torch

import bench  # noqa: F401
from bench.augment.kornia_classes import DOES
from bench.corruptions.base import SEVERITIES
from bench.corruptions.families import done_by
from bench.corruptions.profiles import ORDER, Operation, draws
from bench.data.synthetic import draw as synthetic
from bench.errors import UserError
from bench.registry import Component, augmentations, corruptions

EVERY = [pytest.param(component, id=component.name) for component in corruptions]
GRAY = [
    pytest.param(component, id=component.name)
    for component in corruptions
    if not component.traits.get("colour")
]


def cells(count: int, size_px: int, channels: int = 3) -> torch.Tensor:
    """(count, channels, S, S) drawings of cells in [0, 1]."""
    pixels, _ = synthetic.draw(count, size_px, 3)
    return torch.from_numpy(pixels[..., :channels]).permute(0, 3, 1, 2).float().div(255).contiguous()


def corrupted(component: Component, images: torch.Tensor, severity: int, ids: list[int]) -> torch.Tensor:
    rngs = [draws(0, Operation(component.name, severity), i) for i in ids]
    return component.build({}).apply(images, severity, rngs)


@pytest.fixture
def two_threads() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)


@pytest.mark.parametrize("component", EVERY)
@pytest.mark.parametrize("size_px", [16, 33])
def test_images_keep_shape_type_and_range_at_any_size(component: Component, size_px: int) -> None:
    images = cells(3, size_px)
    before = images.clone()
    for severity in range(1, SEVERITIES + 1):
        out = corrupted(component, images, severity, [1, 2, 3])
        assert out.shape == images.shape
        assert out.dtype == torch.float32
        assert out.is_contiguous()
        assert out.isfinite().all()
        assert 0 <= out.min() <= out.max() <= 1
    assert torch.equal(images, before), "the images handed in were written into"


@pytest.mark.parametrize("component", EVERY)
@pytest.mark.parametrize("value", [0.0, 1.0])
def test_a_black_and_a_white_image_stay_finite(component: Component, value: float) -> None:
    out = corrupted(component, torch.full((1, 3, 24, 24), value), 5, [1])
    assert out.isfinite().all()


@pytest.mark.parametrize("component", EVERY)
def test_an_image_comes_out_the_same_alone_in_any_batch_and_any_memory_order(component: Component) -> None:
    images, ids = cells(6, 32), [11, 12, 13, 14, 15, 16]
    together = corrupted(component, images, 3, ids)
    alone = torch.cat([corrupted(component, images[k : k + 1], 3, [ids[k]]) for k in range(6)])
    assert torch.equal(together, alone)
    order = [4, 0, 5, 2]
    others = corrupted(component, images[order], 3, [ids[k] for k in order])
    assert torch.equal(together[order], others)
    last = corrupted(component, images.to(memory_format=torch.channels_last), 3, ids)
    assert torch.equal(together, last)


@pytest.mark.parametrize("component", EVERY)
def test_the_number_of_threads_changes_no_bit(component: Component, two_threads: None) -> None:
    image = cells(1, 224)
    with_two = corrupted(component, image, 4, [7])
    assert torch.get_num_threads() == 2
    torch.set_num_threads(1)
    assert torch.equal(corrupted(component, image, 4, [7]), with_two)


@pytest.mark.parametrize("component", EVERY)
def test_each_severity_changes_more_than_the_one_before(component: Component) -> None:
    """With the same draws at every severity, so that chance in signs and places plays no part."""
    images = cells(24, 48)
    change = []
    for severity in range(1, SEVERITIES + 1):
        rngs = [np.random.default_rng(k) for k in range(len(images))]
        out = component.build({}).apply(images, severity, rngs)
        change.append(float((out - images).abs().mean()))
    assert change[0] > 0.5 / 255 or component.name in ("bubbles", "pixelate", "stain-deposit", "defocus")
    assert change[0] > 0.05 / 255
    assert all(after > 0.99 * before for before, after in itertools.pairwise(change)), change
    assert change[-1] > 1.3 * change[0]


@pytest.mark.parametrize("component", EVERY)
def test_the_grade_of_change_hardly_depends_on_size(component: Component) -> None:
    """Strengths that are lengths scale with the image: 224 against 96 pixels, the same cells."""
    change = []
    for size_px in (96, 224):
        images = cells(8, size_px)
        rngs = [np.random.default_rng(k) for k in range(len(images))]
        change.append(float((component.build({}).apply(images, 4, rngs) - images).abs().mean()))
    assert 0.6 < change[0] / change[1] < 1.7, change


@pytest.mark.parametrize("component", GRAY)
def test_gray_images_are_corrupted_too(component: Component) -> None:
    images = cells(2, 24, channels=1)
    out = corrupted(component, images, 5, [1, 2])
    assert out.shape == images.shape
    assert not torch.equal(out, images)


@pytest.mark.parametrize("component", [c for c in corruptions if c.traits.get("colour")])
def test_what_needs_colour_says_so(component: Component) -> None:
    with pytest.raises(UserError, match=rf"{component.name} changes colour .* these images have 1"):
        corrupted(component, cells(1, 16, channels=1), 1, [1])


@pytest.mark.parametrize("component", EVERY)
def test_the_docstring_names_strengths_shapes_randomness_and_source(component: Component) -> None:
    text = inspect.getdoc(component.factory) or ""
    for part in ("strengths  ", "images     (B, ", "random     ", "Source: "):
        assert part in text, f"{component.name}: {part!r} is missing"
    assert not inspect.signature(component.factory).parameters


@pytest.mark.parametrize("component", EVERY)
def test_a_corruption_knows_its_kind_and_what_it_resembles(component: Component) -> None:
    assert component.traits["group"] in ORDER
    whole = [a.name for a in augmentations if not a.schema.model_json_schema().get("required")]
    said = done_by(whole).union(*DOES.values())
    assert set(component.traits["kin"]) <= said, "words that no augmentation says"
    built = component.build({})
    assert built.name == component.name
    assert built.colour_only == bool(component.traits.get("colour"))
