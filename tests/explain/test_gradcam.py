from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from bench import models
from bench.explain.gradcam import gradcam, places_of
from bench.models.network import Network
from bench.recipe import Choice
from bench.registry import models as registered


def built(name: str, size_px: int, **given: object) -> Network:
    torch.manual_seed(3)
    choice = Choice(name=name, params=registered[name].parameters(given))
    return models.build(choice, models.Task(5, 3, size_px))


def two_channels() -> Network:
    """Maps are the image's two channels; logit k is the mean of channel k, of the second one negative."""
    head = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(2, 2, bias=False))
    head[2].weight.data = torch.tensor([[1.0, 0.0], [0.0, -1.0]])
    return Network(nn.Identity(), head, [], ((0.0, 0.0), (1.0, 1.0)))


def test_a_channel_that_raises_the_logit_lights_its_own_places() -> None:
    image = torch.zeros(1, 2, 2, 2)
    image[0, 0] = torch.tensor([[0.1, 0.2], [0.4, 0.8]])
    found = gradcam(two_channels(), image, torch.tensor([0]))
    torch.testing.assert_close(found, torch.tensor([[[0.125, 0.25], [0.5, 1.0]]]))


def test_what_only_speaks_against_a_class_is_dark() -> None:
    images = torch.rand(2, 2, 4, 4) + 0.1
    found = gradcam(two_channels(), images, torch.tensor([1, 0]))
    assert not found[0].any()
    assert found[1].max() == 1


def by_hooks(network: Network, layer: nn.Module, image: Tensor, chosen: int) -> Tensor:
    """Grad-CAM as its paper has it: maps and gradients caught on their way through the whole network."""
    caught: list[Tensor] = []
    hook = layer.register_forward_hook(lambda module, given, maps: caught.append(maps))
    logit = network(image)[0, chosen]
    hook.remove()
    (gradient,) = torch.autograd.grad(logit, caught[0])
    places = (gradient.mean((2, 3), keepdim=True) * caught[0]).sum(1, keepdim=True).relu()
    large = F.interpolate(places, image.shape[2:], mode="bilinear", align_corners=False)[0, 0]
    return (large / large.max().clamp_min(1e-30)).detach()


@pytest.mark.parametrize(
    ("name", "size_px", "layer", "grid"),
    [
        ("custom_cnn", 32, "backbone", (8, 8)),
        ("resnet10t", 64, "backbone.layer4", (2, 2)),
        ("mobilenetv2_035", 64, "backbone.bn2", (2, 2)),
        ("efficientnet_b0", 64, "backbone.bn2", (2, 2)),
        ("convnext_atto", 64, "backbone.stages", (2, 2)),
        ("vgg11", 64, "backbone.features", (2, 2)),
    ],
)
def test_every_cnn_is_explained_as_the_paper_has_it(
    name: str, size_px: int, layer: str, grid: tuple[int, int]
) -> None:
    given = {"widths": [4, 8], "dense": 8} if name == "custom_cnn" else {}
    network = built(name, size_px, **given).eval()
    assert places_of(network, size_px) == grid
    images = torch.rand(5, 3, size_px, size_px)
    found = gradcam(network, images, torch.arange(5))
    assert found.amax((1, 2)).sum() >= 1  # of some classes everything speaks against
    for chosen, (image, heat) in enumerate(zip(images, found, strict=True)):
        expected = by_hooks(network, network.get_submodule(layer), image[None], chosen)
        torch.testing.assert_close(heat, expected, atol=1e-4, rtol=1e-3)


def test_places_of_maps_with_channels_last_are_found_too() -> None:
    network = built("swin_tiny_patch4_window7_224", 64)
    images = torch.rand(2, 3, 64, 64)
    found = gradcam(network, images, torch.tensor([0, 1]))
    assert places_of(network, 64) == (2, 2)
    assert found.shape == (2, 64, 64)
    assert found.min() >= 0
    assert found.max() <= 1


def test_tokens_have_no_place_and_say_so() -> None:
    network = built("vit_tiny_patch16_224", 32)
    assert places_of(network, 32) is None
    with pytest.raises(ValueError, match="no feature maps"):
        gradcam(network, torch.rand(1, 3, 32, 32), torch.tensor([0]))


def test_explaining_changes_no_mode_no_gradient_and_no_statistics() -> None:
    network = built("resnet10t", 32).train()
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    gradcam(network, torch.rand(2, 3, 32, 32), torch.tensor([0, 1]))
    assert all(module.training for module in network.modules())
    assert all(parameter.grad is None for parameter in network.parameters())
    for name, tensor in network.state_dict().items():
        assert torch.equal(tensor, before[name]), name
