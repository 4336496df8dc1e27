from __future__ import annotations

import json
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from bench import models
from bench.data.images import Samples
from bench.data.reading import read, square
from bench.errors import UserError
from bench.evaluate import predict
from bench.export import codabench, submission
from bench.models.network import Network
from bench.recipe import Choice, Recipe
from bench.registry import models as registered

SMALL = {"widths": [4, 8], "dense": 8, "dropout": 0.5}
TENSORFLOW_BORN = {"pad_type": "same", "bn_eps": 1e-3, "mean": [0.5] * 3, "std": [0.25] * 3}


def trained(name: str, size_px: int, channels: int = 3, **given: Any) -> tuple[Recipe, Network]:
    """A network with weights and statistics of its own, as after training."""
    torch.manual_seed(5)
    recipe = Recipe(model=Choice(name=name, params=registered[name].parameters(given)))
    task = models.Task(4, channels, size_px, (0.4,) * channels, (0.2,) * channels)
    network = models.build(recipe.model, task)
    with torch.no_grad():
        network.train()(torch.rand(8, channels, size_px, size_px))
    return recipe, network.eval()


def about(recipe: Recipe, network: Network, size_px: int, **changes: Any) -> dict[str, Any]:
    made = {
        "model": codabench.layers(recipe, network, size_px),
        "classes": ["a", "b", "c", "d"],
        "class_numbers": [0, 1, 2, 3],
        "channels": network.mean.shape[1],
        "bit_range": None,
        "fit": "crop",
        "fill": "black",
        "size_px": size_px,
        "tta": "none",
        "precision": "fp32",
    }
    return made | changes


def loaded(file: Path, folder: Path, monkeypatch: pytest.MonkeyPatch) -> submission.Model:
    """The submission's class, at home in the unpacked zip."""
    with zipfile.ZipFile(file) as archive:
        archive.extractall(folder)
    monkeypatch.setattr(submission, "HERE", folder)
    return submission.Model()


def pixels(count: int, size_px: int, channels: int = 3) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (count, size_px, size_px, channels), dtype=np.uint8)


def samples(images: np.ndarray) -> Samples:
    return Samples(images, np.zeros(len(images), np.int64), np.arange(len(images), dtype=np.uint64))


@pytest.mark.parametrize(
    ("name", "size_px", "given"),
    [
        ("custom_cnn", 16, SMALL),
        ("mobilenetv2_035", 32, {"dropout": 0.2, **TENSORFLOW_BORN}),
        ("resnet10t", 32, {"dense": 12}),
        ("vgg11", 32, {}),
        ("vgg11", 24, {"dense": 6}),
        ("vit_tiny_patch16_224", 32, {}),
    ],
)
def test_the_submission_is_the_network_layer_for_layer(
    name: str, size_px: int, given: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe, network = trained(name, size_px, **given)
    file = codabench.write(network, about(recipe, network, size_px), tmp_path / "x.zip")
    model = loaded(file, tmp_path / "home", monkeypatch)
    images = pixels(5, size_px)
    expected = predict(network.to(memory_format=torch.channels_last), samples(images), "cpu")
    np.testing.assert_array_equal(model.probabilities(images), expected)
    assert expected.std() > 0


@pytest.mark.parametrize("changes", [{"tta": "flips"}, {"precision": "bf16"}])
def test_the_submission_answers_as_the_recipe_says(
    changes: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe, network = trained("custom_cnn", 16, **SMALL)
    file = codabench.write(network, about(recipe, network, 16, **changes), tmp_path / "x.zip")
    model = loaded(file, tmp_path / "home", monkeypatch)
    found = model.probabilities(pixels(6, 16))
    expected = predict(
        network.to(memory_format=torch.channels_last), samples(pixels(6, 16)), "cpu", **changes
    )
    np.testing.assert_array_equal(found, expected)
    plain = predict(network, samples(pixels(6, 16)), "cpu")
    assert np.abs(found - plain).max() > 1e-6


@pytest.fixture
def model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> submission.Model:
    recipe, network = trained("custom_cnn", 16, **SMALL)
    file = codabench.write(network, about(recipe, network, 16), tmp_path / "x.zip")
    return loaded(file, tmp_path / "home", monkeypatch)


def test_predict_gives_a_whole_number_for_each_image(model: submission.Model) -> None:
    said = model.predict(pixels(300, 16))  # more than a batch
    assert said.shape == (300,)
    assert said.dtype == np.int64
    assert set(said.tolist()) <= {0, 1, 2, 3}
    assert model.predict(pixels(0, 16)).shape == (0,)


def test_classes_that_are_numbers_are_answered_by_their_numbers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe, network = trained("custom_cnn", 16, **SMALL)
    changes = {"classes": ["1", "2", "10", "11"], "class_numbers": [1, 2, 10, 11]}
    file = codabench.write(network, about(recipe, network, 16, **changes), tmp_path / "x.zip")
    model = loaded(file, tmp_path / "home", monkeypatch)
    places = model.probabilities(pixels(40, 16)).astype(np.float16).argmax(1)
    assert model.predict(pixels(40, 16)).tolist() == [[1, 2, 10, 11][k] for k in places]


def test_numbers_of_another_type_mean_the_same(model: submission.Model) -> None:
    images = pixels(4, 16)
    expected = model.probabilities(images)
    for same in (images.astype(np.float32), images.astype(np.float64), images.astype(np.int64)):
        np.testing.assert_array_equal(model.probabilities(same), expected)


def test_images_of_any_size_are_seen_as_the_trial_saw_them(model: submission.Model) -> None:
    """As the cache cuts and resizes them: a wide one loses its sides, and is not squashed."""
    images = [pixels(1, 40)[0][:, :24], pixels(1, 48)[0][:16], pixels(1, 16)[0]]
    seen = np.stack([square(image, 16) for image in images])
    np.testing.assert_array_equal(seen[1], images[1][:, 16:32])
    np.testing.assert_array_equal(model.probabilities(images), model.probabilities(seen))
    np.testing.assert_array_equal(model.probabilities(images[0][None]), model.probabilities(seen[:1]))


@pytest.mark.parametrize(("fit", "fill"), [("pad", "white"), ("squash", "black")])
def test_images_become_square_as_in_the_trial(
    fit: str, fill: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe, network = trained("custom_cnn", 16, **SMALL)
    file = codabench.write(network, about(recipe, network, 16, fit=fit, fill=fill), tmp_path / "x.zip")
    model = loaded(file, tmp_path / "home", monkeypatch)
    wide = pixels(1, 48)[0][:16]
    seen = np.stack([square(wide, 16, fit, fill)])
    assert (seen != square(wide, 16)[None]).any()
    np.testing.assert_array_equal(model.probabilities([wide]), model.probabilities(seen))


def test_files_are_read_as_for_training(
    model: submission.Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Turned as EXIF says, without what is transparent, and the middle of a wide one."""
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(pixels(1, 40)[0][:20]).save(tmp_path / "turned.png", exif=exif)
    Image.fromarray(pixels(1, 16, channels=4)[0], "RGBA").save(tmp_path / "clear.png")
    paths = [tmp_path / "turned.png", tmp_path / "clear.png"]
    seen = np.stack([square(read(path.read_bytes()), 16) for path in paths])
    said: list[np.ndarray] = []
    monkeypatch.setattr(model, "_batch", lambda X: said.append(X) or np.zeros((len(X), 4), np.float32))
    assert model.predict_files(paths).shape == (2,)
    np.testing.assert_array_equal(said[0], seen)


def test_what_is_no_list_of_images_is_refused(model: submission.Model) -> None:
    with pytest.raises(ValueError, match=r"\(n, H, W, 3\) with values 0 to 255, got \(2, 3, 16, 16\)"):
        model.predict(np.zeros((2, 3, 16, 16), np.uint8))


def test_equal_weights_make_equal_bytes(tmp_path: Path) -> None:
    recipe, network = trained("custom_cnn", 16, **SMALL)
    files = [
        codabench.write(network, about(recipe, network, 16), tmp_path / name) for name in ("a.zip", "b.zip")
    ]
    assert files[0].read_bytes() == files[1].read_bytes()
    with zipfile.ZipFile(files[0]) as archive:
        assert archive.namelist() == ["model.py", "reading.py", "recipe.json", "weights.pt"]
        assert json.loads(archive.read("recipe.json"))["model"]["widths"] == [4, 8]


def test_a_submission_that_does_not_run_shows_why(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "x.zip", "w") as archive:
        archive.writestr("model.py", "raise LookupError('no weights')")
    with pytest.raises(RuntimeError, match="LookupError: no weights"):
        codabench.answers(tmp_path / "x.zip", pixels(1, 16))


def test_a_model_that_is_neither_ours_nor_timms_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    recipe, network = trained("custom_cnn", 16, **SMALL)

    class Foreign:
        def bare(self) -> Foreign:
            return self

    monkeypatch.setattr(codabench, "architecture_of", lambda choice: Foreign())
    with pytest.raises(UserError, match='model "custom_cnn": a submission writes out custom_cnn and timm'):
        codabench.layers(recipe, network, 16)
