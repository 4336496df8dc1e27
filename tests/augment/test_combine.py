"""Augmentations inside augmentations."""

from __future__ import annotations

import pytest
import torch
from pydantic import ValidationError

import bench.augment  # noqa: F401
from bench.augment.pipeline import build
from bench.errors import UserError
from bench.recipe import Choice
from bench.registry import augmentations
from bench.streams import stream

LEFT = {"name": "flip", "p": 1.0}
DOWN = {"name": "flip", "p": 0.0, "vertical_p": 1.0}


def faces(params: dict[str, object], count: int = 400) -> dict[str, int]:
    """How many copies of one image came out mirrored left-right, top-bottom, or as they were."""
    image = torch.rand(1, 1, 16, 16, generator=torch.Generator().manual_seed(0))
    run = build([Choice(name="one-of", params=params)], size_px=16, channels=1)
    out, _ = run(image.repeat(count, 1, 1, 1), torch.ones(count, 1), stream(2, "t"))
    known = {"left": image[0].flip(2), "down": image[0].flip(1), "same": image[0]}
    return {name: sum(torch.equal(one, face) for one in out) for name, face in known.items()}


def test_one_of_sends_each_image_through_exactly_one_choice() -> None:
    counts = faces({"choices": [LEFT, DOWN]})
    assert counts["left"] + counts["down"] == 400
    assert 160 <= counts["left"] <= 240


def test_one_of_follows_its_weights() -> None:
    assert faces({"choices": [LEFT, DOWN], "weights": [3.0, 1.0]})["left"] == pytest.approx(300, abs=30)


def test_one_of_per_batch_sends_all_images_the_same_way() -> None:
    counts = faces({"choices": [LEFT, DOWN], "per": "batch"})
    assert sorted(counts.values()) == [0, 0, 400]


def test_an_empty_chain_inside_one_of_is_the_choice_to_do_nothing() -> None:
    counts = faces({"choices": [LEFT, {"name": "chain", "steps": []}]})
    assert counts["same"] + counts["left"] == 400
    assert counts["same"] > 100


def test_a_chain_runs_all_of_its_steps_or_none() -> None:
    image = torch.rand(1, 1, 16, 16)
    run = build([Choice(name="chain", params={"steps": [LEFT, DOWN], "p": 0.5})], size_px=16, channels=1)
    out, _ = run(image.repeat(200, 1, 1, 1), torch.ones(200, 1), stream(0, "t"))
    both = sum(torch.equal(one, image[0].flip(1, 2)) for one in out)
    assert both + sum(torch.equal(one, image[0]) for one in out) == 200
    assert 70 <= both <= 130


def test_mixing_inside_keeps_targets_true_to_the_pixels() -> None:
    value = (torch.arange(40) % 2).float()
    images = value.view(-1, 1, 1, 1).expand(-1, 1, 16, 16).clone()
    targets = torch.stack([1 - value, value], 1)
    run = build([Choice(name="one-of", params={"choices": ["cutmix", "mixup"]})], size_px=16, channels=1)
    out, mixed = run(images, targets, stream(0, "t"))
    assert run.mixes_images
    torch.testing.assert_close(mixed[:, 1], out.mean((1, 2, 3)), atol=1e-5, rtol=0)
    assert not torch.equal(mixed, targets)


def test_inner_defaults_are_filled_in_so_that_they_count_in_an_identity() -> None:
    filled = augmentations["one-of"].parameters({"choices": ["flip", {"name": "zoom", "p": 0.5}]})
    assert filled["choices"] == [
        {"name": "flip", "p": 0.5, "vertical_p": 0.0},
        {"name": "zoom", "low": 0.8, "high": 1.2, "p": 0.5, "fill": "black"},
    ]


@pytest.mark.parametrize(
    ("part", "words"),
    [
        ("flp", 'did you mean "flip"'),
        ({"name": "flip", "p": 2.0}, "flip: p = 2.0: Input should be less than or equal to 1"),
        ({"name": "chain", "steps": ["rotat"]}, 'did you mean "rotate"'),
    ],
)
def test_mistakes_inside_are_found_when_the_file_is_checked(part: object, words: str) -> None:
    with pytest.raises(ValidationError, match=words):
        augmentations["one-of"].parameters({"choices": [part]})


def test_an_inner_part_that_cannot_work_says_where_it_stands() -> None:
    choice = Choice(name="one-of", params={"choices": ["flip", "colour-jitter"]})
    with pytest.raises(UserError, match=r"augment\[0\] one-of choices\[1\] colour-jitter works on colour"):
        build([choice], size_px=16, channels=1)


def test_weights_must_match_the_choices() -> None:
    choice = Choice(name="one-of", params={"choices": ["flip"], "weights": [1.0, 2.0]})
    with pytest.raises(UserError, match=r"one-of: 2 weights for 1 choices"):
        build([choice], size_px=16, channels=1)
