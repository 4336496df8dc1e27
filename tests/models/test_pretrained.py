from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest
import timm
import torch
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode

from bench import models
from bench.errors import UserError
from bench.models.network import Network
from bench.models.weights import save
from bench.recipe import Choice, Recipe
from bench.registry import models as registered

TENSORFLOW_BORN = {"pad_type": "same", "bn_eps": 1e-3, "mean": [0.5] * 3, "std": [0.5] * 3}
OFFLINE = "sha256:" + "0" * 64


def choice(name: str, **given: Any) -> Choice:
    return Choice(name=name, params=registered[name].parameters(given))


def build(
    name: str, weights: Path | None = None, channels: int = 3, size_px: int = 32, **given: Any
) -> Network:
    if weights is not None:
        given["weights"] = OFFLINE
    return models.build(choice(name, **given), models.Task(8, channels, size_px), weights)


@pytest.fixture(scope="module")
def resnet_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Weights of a whole ResNet-10 with 1000 classes, as a hub would offer them."""
    torch.manual_seed(1)
    path = tmp_path_factory.mktemp("weights") / "resnet10t.safetensors"
    save(timm.create_model("resnet10t").state_dict(), path)
    return path


@pytest.mark.parametrize(
    "name", ["resnet10t", "mobilenetv3_small_050", "convnext_atto", "vit_tiny_patch16_224"]
)
def test_any_timm_model_gives_logits_and_blocks_at_any_size(name: str) -> None:
    network = build(name)
    assert network(torch.rand(2, 3, 32, 32)).shape == (2, 8)
    assert len(network.blocks()) > 4
    assert network.blocks()[-1] == list(network.head.parameters())


def test_a_dense_layer_can_be_added_on_top() -> None:
    network = build("resnet10t", dense=12, dropout=0.4)
    assert [type(layer) for layer in network.head] == [nn.Dropout, nn.Linear, nn.ReLU, nn.Linear]
    assert network.head.dense.out_features == 12
    assert network.head.dropout.p == 0.4


def test_vgg_is_features_global_average_pooling_and_our_head() -> None:
    with torch.device("meta"):
        network = build("vgg16", size_px=28)
        count = sum(p.numel() for p in network.parameters())
        # 13 convolutions of VGG16 (Simonyan and Zisserman 2015), then 512 features to 8 classes
        assert count == 14_714_688 + 512 * 8 + 8
        assert network.backbone(torch.zeros(1, 3, 28, 28)).shape == (1, 512)
    assert len(network.blocks()) == 13 + 1


def test_weights_from_a_file_are_loaded_exactly_and_the_head_is_fresh(resnet_file: Path) -> None:
    from safetensors.torch import load_file

    stored, network = load_file(resnet_file), build("resnet10t", resnet_file)
    loaded = network.backbone.state_dict()
    assert all(torch.equal(tensor, stored[name]) for name, tensor in loaded.items())
    assert set(stored) - set(loaded) == {"fc.weight", "fc.bias"}


@pytest.mark.parametrize(
    ("theirs", "ours"), [("mobilenet_v2", "mobilenetv2_100"), ("efficientnet_b0", "efficientnet_b0")]
)
def test_torchvisions_weights_make_the_same_features(theirs: str, ours: str, tmp_path: Path) -> None:
    import torchvision

    torch.manual_seed(3)
    model = getattr(torchvision.models, theirs)(weights=None)
    images = torch.rand(4, 3, 32, 32)
    model.train()(images)  # statistics of its own in every batch norm
    state = {f"model.{name}": tensor for name, tensor in model.state_dict().items()}
    torch.save({"state_dict": state, "epoch": 3}, tmp_path / "x.ckpt")
    backbone = build(ours, tmp_path / "x.ckpt").backbone.eval()
    with torch.no_grad():
        expected = model.eval().features(images).mean((2, 3))
        torch.testing.assert_close(backbone(images), expected, rtol=1e-4, atol=1e-4)


def test_torchvisions_vgg_has_another_classifier_and_the_same_features(tmp_path: Path) -> None:
    import torchvision

    model = torchvision.models.vgg11(weights=None)
    state = {name: tensor for name, tensor in model.state_dict().items() if "classifier" not in name}
    torch.save(state | {"classifier.0.weight": torch.zeros(2, 2)}, tmp_path / "x.pth")
    loaded = build("vgg11", tmp_path / "x.pth").backbone.state_dict()
    assert all(torch.equal(loaded[name], tensor) for name, tensor in state.items())


def test_gray_images_use_the_sum_of_the_first_layers_colours(resnet_file: Path) -> None:
    colour, gray = build("resnet10t", resnet_file), build("resnet10t", resnet_file, channels=1)
    first = colour.backbone.conv1[0].weight
    assert torch.allclose(gray.backbone.conv1[0].weight, first.sum(1, keepdim=True))
    assert gray.mean.flatten().tolist() == pytest.approx([sum((0.485, 0.456, 0.406)) / 3])


def test_pretrained_models_bring_their_own_normalisation_unless_told_otherwise(resnet_file: Path) -> None:
    own = build("resnet10t", resnet_file)
    assert own.mean.flatten().tolist() == pytest.approx([0.485, 0.456, 0.406])
    told = build("resnet10t", resnet_file, mean=[0.5] * 3, std=[0.25] * 3)
    assert told.mean.flatten().tolist() == [0.5] * 3
    assert told.std.flatten().tolist() == [0.25] * 3
    task = models.Task(8, 3, 32, (0.1, 0.2, 0.3), (0.4, 0.5, 0.6))
    fresh = models.build(choice("resnet10t"), task)
    assert fresh.mean.flatten().tolist() == pytest.approx([0.1, 0.2, 0.3])


def test_weights_of_another_model_are_refused_with_counts_and_names(resnet_file: Path) -> None:
    with pytest.raises(UserError) as caught:
        build("resnet18", resnet_file)
    message = str(caught.value)
    assert "do not fit resnet18: " in message
    assert "53 of the model's 109 tensors match" in message
    assert "not in the file (conv1.weight, " in message
    assert "not in the model (conv1.0.weight, " in message
    assert "give the file that was made for this model" in message


def test_a_nearly_fitting_file_is_refused_too(resnet_file: Path, tmp_path: Path) -> None:
    from safetensors.torch import load_file

    state = load_file(resnet_file)
    del state["layer1.0.bn1.running_mean"]
    save(state, tmp_path / "hole.safetensors")
    with pytest.raises(UserError, match=r"1 not in the file \(layer1\.0\.bn1\.running_mean\)"):
        build("resnet10t", tmp_path / "hole.safetensors")


def test_unknown_names_get_a_suggestion() -> None:
    with pytest.raises(UserError, match=r'"efficientnet_bo" is neither .*did you mean "efficientnet_b'):
        build("efficientnet_bo")
    with pytest.raises(UserError, match='did you mean "custom_cnn"'):
        build("custom_cn")
    with pytest.raises(UserError, match='no weights "tv_in2k" for vgg16; did you mean "tv_in1k"'):
        build("vgg16.tv_in2k")


@pytest.mark.parametrize("name", ["hf-hub:someone/model", "local-dir:/etc", "timm"])
def test_names_never_become_paths_or_addresses(name: str) -> None:
    with pytest.raises(UserError, match="neither a model of ours nor of timm"):
        build(name)


def test_a_model_without_hub_weights_names_the_tags_that_have_some() -> None:
    with pytest.raises(UserError, match='no weights for "efficientnetv2_m"; these have some: ') as caught:
        build("efficientnetv2_m", pretrained=True)
    for tag in ("in1k", "in21k", "in21k_ft_in1k"):
        assert f"tf_efficientnetv2_m.{tag}" in str(caught.value)
    assert "pretrained = false" in str(caught.value)


# Parameters with 1,000 classes as published (Simonyan and Zisserman 2015; Tan and Le 2019, 2021) less that
# classifier; VGG less its two hidden layers too. Blocks as `top:N` counts them: convolutions of a VGG, stem
# and stages of an EfficientNet.
REPORTED = [
    ("vgg16", "tv_in1k", 138_357_544 - 123_642_856, 512, 13),
    ("vgg19", "tv_in1k", 143_667_240 - 123_642_856, 512, 16),
    ("efficientnet_b0", "ra_in1k", 5_288_548 - 1_281_000, 1280, 8),
    ("efficientnet_b2", "ra_in1k", 9_109_994 - 1_409_000, 1408, 8),
    ("tf_efficientnetv2_b2", "in1k", 10_096_086 - 1_409_000, 1408, 7),
    ("tf_efficientnetv2_m", "in21k_ft_in1k", 54_139_356 - 1_281_000, 1280, 8),
]


@pytest.mark.parametrize(("name", "tag", "parameters", "features", "blocks"), REPORTED)
def test_the_reported_models_have_their_published_size_by_plain_and_by_tagged_name(
    name: str, tag: str, parameters: int, features: int, blocks: int
) -> None:
    for written in (name, f"{name}.{tag}"):
        assert timm.models.is_model_pretrained(written)
        with torch.device("meta"):
            network = build(written, size_px=96, dropout=0.3)
        assert sum(p.numel() for p in network.backbone.parameters()) == parameters
        assert sum(p.numel() for p in network.head.parameters()) == (features + 1) * 8
        assert len(network.blocks()) == blocks + 1
        assert [type(layer) for layer in network.head] == [nn.Dropout, nn.Linear]
        with torch.device("meta"):
            assert network(torch.zeros(2, 3, 96, 96)).shape == (2, 8)


def test_a_model_that_timm_does_not_divide_into_blocks_is_refused() -> None:
    with torch.device("meta"), pytest.raises(UserError, match="does not divide a MetaFormer into blocks"):
        build("poolformer_s12")


def test_an_unreachable_hub_names_the_two_ways_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    monkeypatch.setattr("bench.models.pretrained.HUB_FILES", ("no-such-file-in-any-cache",))
    recipe = Recipe(model=choice("resnet10t", pretrained=True))
    with pytest.raises(UserError, match=r"resnet10t: .*cannot be fetched") as caught:
        models.check(recipe, 8, 3, 32)
    assert "weights = PATH" in str(caught.value)
    assert "pretrained = false" in str(caught.value)


def test_contradicting_and_foreign_settings_are_refused() -> None:
    with pytest.raises(UserError, match="pretrained = true excludes weights"):
        build("resnet10t", Path("x.pth"), pretrained=True)
    with pytest.raises(UserError, match=r"resnet10t cannot be built at 32 px, pad_type"):
        build("resnet10t", pad_type="same")
    with pytest.raises(UserError, match=r"mean = \[0\.5\] has 1 numbers, the images have 3"):
        build("resnet10t", mean=[0.5])


@pytest.mark.shared
def test_tensorflow_born_weights_load_strictly_and_see_cells(shared: Path) -> None:
    """A linear probe on 400 cells; random weights reach 20 to 35 %."""
    from PIL import Image
    from sklearn.linear_model import LogisticRegression

    file = shared / "weights" / "mobilenetv2_035_keras_imagenet_nohead.pth"
    network = models.build(
        choice("mobilenetv2_035", weights=OFFLINE, **TENSORFLOW_BORN), models.Task(8, 3, 96), file
    ).eval()
    folders = sorted((shared / "data" / "pbc96").iterdir())
    paths = [path for folder in folders for path in sorted(folder.iterdir())[:50]]
    images = torch.stack(
        [torch.frombuffer(bytearray(Image.open(p).tobytes()), dtype=torch.uint8) for p in paths]
    )
    images = images.view(-1, 96, 96, 3).permute(0, 3, 1, 2).float() / 255
    labels = [i for i, _ in enumerate(folders) for _ in range(50)]
    with torch.no_grad():
        features = torch.cat([network.backbone((b - network.mean) / network.std) for b in images.split(100)])
    train = [i % 2 == 0 for i in range(400)]
    probe = LogisticRegression(max_iter=300).fit(
        features[train], [y for y, t in zip(labels, train, strict=True) if t]
    )
    held = [not t for t in train]
    accuracy = probe.score(features[held], [y for y, h in zip(labels, held, strict=True) if h])
    assert accuracy > 0.6


class Clones(TorchDispatchMode):
    """Counts them."""

    count = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.count += func._schema.name == "aten::clone"
        return func(*args, **(kwargs or {}))


@pytest.mark.parametrize("name", ["test_efficientnet", "mobilenetv3_small_050"])
def test_no_activation_makes_autograd_clone_what_came_in_and_the_numbers_are_timms(name: str) -> None:
    ours = build(name)
    theirs = copy.deepcopy(ours)
    for module in theirs.modules():
        if hasattr(module, "inplace"):
            module.inplace = True
    images, clones, gradients = torch.rand(2, 3, 32, 32), [], []
    for network in (ours, theirs):
        with Clones() as counted:
            network.train()(images).square().sum().backward()
        clones.append(counted.count)
        gradients.append([weight.grad for weight in network.parameters()])
    assert clones[0] == 0 < clones[1]
    assert all(torch.equal(*pair) for pair in zip(*gradients, strict=True))
