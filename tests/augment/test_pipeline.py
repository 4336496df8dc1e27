"""Putting a recipe's list together."""

from __future__ import annotations

import pytest
import torch

import bench.augment  # noqa: F401
from bench.augment.pipeline import build
from bench.errors import UserError
from bench.recipe import Choice
from bench.streams import stream


def batch(count: int = 8) -> tuple[torch.Tensor, torch.Tensor]:
    return torch.rand(count, 3, 24, 24).contiguous(memory_format=torch.channels_last), torch.eye(count)


def test_an_empty_list_changes_nothing() -> None:
    images, targets = batch()
    out = build([], size_px=24, channels=3)(images, targets, stream(0, "t"))
    assert out[0] is images
    assert out[1] is targets


def test_steps_run_in_the_order_written() -> None:
    images, targets = batch()
    names = ["randaugment", "blur", "cutmix"]
    rng = stream(0, "t")
    expected = images, targets
    for name in names:
        expected = build([Choice(name=name)], size_px=24, channels=3)(*expected, rng)
    run = build([Choice(name=name) for name in names], size_px=24, channels=3)
    out = run(images, targets, stream(0, "t"))
    assert torch.equal(out[0], expected[0])
    assert torch.equal(out[1], expected[1])


def test_a_later_step_does_not_shift_the_draws_of_an_earlier_one() -> None:
    images, targets = batch()
    one = build([Choice(name="randaugment")], size_px=24, channels=3)(images, targets, stream(0, "t"))[0]
    two = build([Choice(name=n) for n in ("randaugment", "cutmix")], size_px=24, channels=3)
    untouched = two(images, targets, stream(0, "t"))[0] == one
    assert untouched.float().mean() > 0.5


def test_only_lists_with_a_mixing_part_say_that_they_mix() -> None:
    assert not build([Choice(name="augmix")], size_px=24, channels=3).mixes_images
    assert build([Choice(name="flip"), Choice(name="mixup")], size_px=24, channels=3).mixes_images


def test_an_unknown_name_is_found_with_its_place_and_a_suggestion() -> None:
    with pytest.raises(UserError, match=r'augment\[1\] "flp" is not an augmentation; did you mean "flip"\?'):
        build([Choice(name="blur"), Choice(name="flp")], size_px=24, channels=3)


def test_an_empty_batch_comes_back() -> None:
    run = build([Choice(name="randaugment"), Choice(name="mixup")], size_px=24, channels=3)
    images, targets = run(torch.rand(0, 3, 24, 24), torch.rand(0, 2), stream(0, "t"))
    assert images.shape == (0, 3, 24, 24)
    assert targets.shape == (0, 2)


def test_mixing_alone_leaves_channels_last_images_as_they_lie(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two conversions of a batch cost more than MixUp itself."""
    seen = []
    plain = torch.lerp

    def watched(start: torch.Tensor, *rest: torch.Tensor) -> torch.Tensor:
        out = plain(start, *rest)
        seen.append((start.dim(), start.stride(), out.stride()))
        return out

    monkeypatch.setattr(torch, "lerp", watched)
    images, targets = batch()
    out, _ = build([Choice(name="mixup")], size_px=24, channels=3)(images, targets, stream(0, "t"))
    assert seen[0] == (4, images.stride(), images.stride())
    assert out.stride() == images.stride()


@pytest.mark.parametrize("name", ["cutmix", "mixup"])
def test_mixing_is_the_same_in_both_memory_formats(name: str) -> None:
    images, targets = batch()
    run = build([Choice(name=name)], size_px=24, channels=3)
    last, plain = (run(x, targets, stream(0, "t"))[0] for x in (images, images.contiguous()))
    assert torch.equal(last, plain)
    assert plain.is_contiguous()
    assert last.is_contiguous(memory_format=torch.channels_last)


def test_only_what_stands_before_the_mixing_runs_on_many_batches_at_once() -> None:
    names = ["flip", "rotate", "randaugment", "cutmix", "blur"]
    run = build([Choice(name=name) for name in names], size_px=24, channels=3)
    assert len(run.leading) == 2  # flip and rotate are one step
    assert len(run.steps) == 4
    assert not build([Choice(name="mixup"), Choice(name="flip")], size_px=24, channels=3).leading


def test_a_mixture_is_made_within_a_batch_whatever_runs_together() -> None:
    """Batch k holds grey level k only, so a mixture across batches would show another level."""
    images = (torch.arange(4.0) / 4).repeat_interleave(8)[:, None, None, None].expand(-1, 3, 24, 24)
    run = build([Choice(name="flip"), Choice(name="cutmix"), Choice(name="mixup")], size_px=24, channels=3)
    rngs = [stream(k, "t") for k in range(4)]
    for number, (made, _) in enumerate(run.many(images, [torch.eye(8)] * 4, rngs)):
        torch.testing.assert_close(made, torch.full_like(made, number / 4))


def test_gradients_are_recorded_again_between_batches() -> None:
    run = build([Choice(name="flip")], size_px=24, channels=3)
    images, targets = batch(4)
    for _ in run.many(images, [targets[:2], targets[2:]], [stream(0, "t"), stream(1, "t")]):
        assert torch.is_grad_enabled()
