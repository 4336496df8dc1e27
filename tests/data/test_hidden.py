from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from samples import as_images, noise, write_folder

from bench.data import outliers
from bench.data.cache import gray
from bench.data.hidden import SHIFTED_SEED, hidden_samples
from bench.data.images import Images, Samples, pixel_id
from bench.data.outliers import perceptual_hash
from bench.data.sources.folder import folder
from bench.data.synthetic import draw as synthetic
from bench.errors import UserError
from bench.plan import ScoredSet, Source
from bench.recipe import Corrupted, Data, External, Hidden, Shifted

NAMES = ("basophil", "monocyte", "neutrophil")
DATA = Data(source="folder:local", size_px=16)


def local(channels: int = 3) -> Images:
    plain = as_images(noise(9)[..., :channels], [0, 1, 2] * 3)
    return Images(plain.images, plain.labels, plain.ids, classes=NAMES, split=None, phash=plain.phash)


def score(
    hidden: Hidden, source: Source | None, cache: Path, here: Images | None = None, data: Data = DATA
) -> Samples:
    here = here or local()
    return hidden_samples(ScoredSet("lab", "key", hidden, source), here, here.take(np.arange(2)), data, cache)


def foreign(tmp_path: Path, names: list[str], pixels: np.ndarray | None = None) -> Source:
    pixels = noise(len(names), seed=1) if pixels is None else pixels
    return Source("folder", write_folder(tmp_path / "other", pixels, list(range(len(names))), names), "other")


def external(**settings: object) -> External:
    return External.model_validate({"kind": "external", "source": "folder:other", **settings})


def test_foreign_names_are_translated_and_missing_classes_are_fine(tmp_path: Path) -> None:
    source = foreign(tmp_path, ["NEU", "basophil"])
    samples = score(external(classes={"NEU": "neutrophil"}), source, tmp_path)
    by_id = {int(i): int(label) for i, label in zip(samples.ids, samples.labels, strict=True)}
    assert sorted(by_id.values()) == [0, 2]
    neutrophil = next(int(i) for i, label in by_id.items() if label == 2)
    assert neutrophil == int(as_images(noise(2, seed=1), [0, 1]).ids[0])


def test_several_foreign_classes_may_mean_one(tmp_path: Path) -> None:
    source = foreign(tmp_path, ["band", "segmented"])
    samples = score(external(classes={"band": "neutrophil", "segmented": "neutrophil"}), source, tmp_path)
    assert samples.labels.tolist() == [2, 2]


def test_all_classes_that_lead_nowhere_are_listed_together(tmp_path: Path) -> None:
    source = foreign(tmp_path, ["NEU", "basophill", "monocyte"])
    with pytest.raises(UserError) as error:
        score(external(classes={"NEU": "neutrofil", "MON": "monocyte"}), source, tmp_path)
    text = str(error.value)
    assert text.startswith("[hidden.lab]")
    assert '"neutrofil" is not a class of the study; did you mean "neutrophil"?' in text
    assert '"basophill" is not a class of the study; did you mean "basophil"?' in text
    assert '"MON" is not one of its classes' in text


def test_no_class_that_both_have_is_offered_for_another_one(tmp_path: Path) -> None:
    """A basophil would silently have become an eosinophil."""
    here = local()
    here = replace(here, classes=("eosinophil", "monocyte", "neutrophil"))
    source = foreign(tmp_path, ["basophil", "eosinophil", "monocyt"])
    with pytest.raises(UserError) as error:
        score(external(), source, tmp_path, here)
    text = str(error.value)
    assert '"basophil" is not a class of the study; known: monocyte, neutrophil\n' in text
    assert '"monocyt" is not a class of the study; did you mean "monocyte"?' in text
    assert 'leave them out: drop_classes = ["THEIR NAME"]' in text


def test_foreign_classes_can_be_left_out(tmp_path: Path) -> None:
    source = foreign(tmp_path, ["artefact", "monocyte", "smudge", "basophil"])
    samples = score(external(drop_classes=["artefact", "smudge"]), source, tmp_path)
    assert sorted(samples.labels) == [0, 1]
    with pytest.raises(UserError, match='"smug" is not one of its classes; did you mean "smudge"'):
        score(external(drop_classes=["artefact", "smug"]), source, tmp_path)


@pytest.mark.parametrize("again", ["saved as JPEG", "half as large", "other cells"])
def test_local_pictures_saved_again_are_local_pictures(tmp_path: Path, again: str) -> None:
    drawn, labels = synthetic.draw(24, 64, 0)
    here = as_images(drawn, labels)
    here = replace(here, classes=synthetic.CLASSES)
    pixels = synthetic.draw(24, 64, SHIFTED_SEED)[0] if again == "other cells" else drawn
    for k in range(24):
        image, folder = Image.fromarray(pixels[k]), tmp_path / "other" / synthetic.CLASSES[labels[k]]
        folder.mkdir(parents=True, exist_ok=True)
        if again == "half as large":
            image = image.resize((32, 32))
        image.save(folder / f"{k}.{'jpg' if again == 'saved as JPEG' else 'png'}", quality=85)
    source = Source("folder", tmp_path / "other", again)
    if again == "other cells":
        assert len(score(external(), source, tmp_path, here)) == 24
        return
    with pytest.raises(UserError, match=r"24 of its 24 images are also in .*\n.*pictures or nearly: .*, …"):
        score(external(), source, tmp_path, here)
    assert len(score(external(allow_overlap=True), source, tmp_path, here)) == 24


def test_a_hash_that_many_local_images_share_tells_nothing(tmp_path: Path) -> None:
    """Flat pictures all hash alike: a chain of more than 20 is a flaw of the hash, as it is in a split."""
    flat = np.stack([np.full((16, 16, 3), 10 * k, np.uint8) for k in range(1, 25)])
    few, many = as_images(flat[:3], [0, 1, 2]), as_images(flat[1:], [0, 1, 2] * 7 + [0, 1])
    assert outliers.seen_in(few, many).tolist() == [1, 2]  # the same pixels


def npz(tmp_path: Path, labels: list[int]) -> Source:
    np.savez(tmp_path / "other.npz", images=noise(len(labels), seed=1), labels=labels)
    return Source("npz", tmp_path / "other.npz", "other")


def test_an_npz_counts_its_labels_in_the_studys_order_unless_told(tmp_path: Path) -> None:
    source = npz(tmp_path, [0, 2])
    assert sorted(score(external(source="npz:other.npz"), source, tmp_path).labels) == [0, 2]
    told = external(source="npz:other.npz", classes={"class 0": "monocyte"})
    assert sorted(score(told, source, tmp_path).labels) == [1, 2]


def test_an_npz_label_beyond_the_studys_classes_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(UserError, match='"class 3" is not a class of the study'):
        score(external(source="npz:other.npz"), npz(tmp_path, [0, 3]), tmp_path)


def test_an_image_of_the_local_source_is_an_error_unless_allowed(tmp_path: Path) -> None:
    """Also when it is no test image: image 7 of the local source may be one that was trained on."""
    source = foreign(tmp_path, ["basophil", "monocyte"], np.stack([noise(9)[7], noise(1, seed=1)[0]]))
    with pytest.raises(
        UserError, match=r"1 of its 2 images are also in .*folder:local.*\n.*allow_overlap = true"
    ):
        score(external(), source, tmp_path)
    assert len(score(external(allow_overlap=True), source, tmp_path)) == 2


def test_gray_images_are_shown_to_a_colour_model_in_three_equal_channels(tmp_path: Path) -> None:
    np.savez(tmp_path / "other.npz", images=noise(2, seed=1)[..., 0], labels=[0, 1])
    samples = score(external(source="npz:other.npz"), Source("npz", tmp_path / "other.npz", "g"), tmp_path)
    assert samples.images.shape == (2, 16, 16, 3)
    np.testing.assert_array_equal(samples.images[..., 0], samples.images[..., 2])


def test_colour_images_do_not_fit_a_gray_model(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="holds colour images"):
        score(external(), foreign(tmp_path, ["basophil", "monocyte"]), tmp_path, here=local(1))


def test_a_shifted_set_is_other_cells_drawn_with_the_generators_knobs(tmp_path: Path) -> None:
    data = Data(source="synthetic", size_px=16, n_images=80)
    hidden = Shifted(kind="synthetic", images=40, stain=2.0, focus=0.0)
    drawn, labels = synthetic.draw(40, 16, SHIFTED_SEED, stain=2.0, illumination=1.0, scale=1.0, focus=0.0)
    here = as_images(noise(9), [0, 1, 2] * 3)
    here = Images(here.images, here.labels, here.ids, classes=synthetic.CLASSES, split=None, phash=here.phash)
    for _ in range(2):  # drawn, then from the cache
        samples = score(hidden, None, tmp_path, here, data)
        assert sorted(map(bytes, samples.images)) == sorted(map(bytes, drawn))
        assert np.bincount(samples.labels).tolist() == np.bincount(labels).tolist()


def test_drawings_are_no_hidden_set_for_real_images(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"it goes with .data. source = .synthetic."):
        score(Shifted(kind="synthetic"), None, tmp_path)


def test_a_corrupted_set_is_made_of_the_test_images_and_says_where_it_stands(tmp_path: Path) -> None:
    here = local()
    samples = score(Corrupted(kind="corrupted"), None, tmp_path, here)
    test = here.take(np.arange(2))
    assert samples.ids.tolist() == test.ids.tolist()
    assert samples.labels.tolist() == test.labels.tolist()
    assert (np.abs(samples.images.astype(int) - test.images).mean((1, 2, 3)) > 1).all()
    with pytest.raises(UserError, match=r"^.hidden.lab. images = 3: there are 2 to corrupt"):
        score(Corrupted(kind="corrupted", images=3), None, tmp_path, here)


@pytest.mark.shared
def test_the_other_laboratorys_cells_fit_five_of_the_eight_classes(shared: Path, tmp_path: Path) -> None:
    plain = local()
    names = tuple(sorted(path.name for path in (shared / "data/pbc96").iterdir()))
    here = Images(plain.images, plain.labels, plain.ids, classes=names, split=None, phash=plain.phash)
    samples = score(external(), Source("folder", shared / "data/external_cellavision", "c"), tmp_path, here)
    assert np.bincount(samples.labels, minlength=8).tolist() == [3, 12, 0, 0, 37, 15, 33, 0]


@pytest.mark.shared
def test_cells_of_another_laboratory_are_no_near_duplicates_of_ours(shared: Path) -> None:
    """All 17,092 in the deep run, else 100 of each class."""
    most = None if "DEEP" in os.environ else 100

    def hashed(path: Path) -> Images:
        reader = folder(path)
        mine = [np.flatnonzero(reader.labels == k)[:most] for k in range(len(reader.classes))]
        index = np.sort(np.concatenate(mine))
        natives = [reader.native(k) for k in index.tolist()]
        return Images(
            np.stack(natives),
            reader.labels[index],
            np.array([pixel_id(native) for native in natives], dtype=np.uint64),
            classes=reader.classes,
            split=None,
            phash=perceptual_hash(np.stack([gray(native) for native in natives])),
        )

    ours, theirs = hashed(shared / "data" / "pbc96"), hashed(shared / "data" / "external_cellavision")
    assert len(theirs) == 100
    assert outliers.seen_in(theirs, ours).tolist() == []
    assert len(outliers.seen_in(ours, ours)) == len(ours), "the search finds what is there"
