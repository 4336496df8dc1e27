from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from bench.corruptions.profiles import Operation, draws, heavy_mix
from bench.data import cache
from bench.data import corrupted as module
from bench.data.corrupted import chosen, corrupted_samples
from bench.data.images import Samples
from bench.data.synthetic import draw as synthetic
from bench.errors import UserError
from bench.recipe import Corrupted
from bench.registry import corruptions

SIZE_PX = 24
ALL = tuple(corruptions.names())


def cells(count: int = 12, channels: int = 3) -> Samples:
    """Drawings with ids that are no positions, in the order of their ids."""
    pixels, labels = synthetic.draw(count, SIZE_PX, 0)
    ids = np.arange(1, count + 1, dtype=np.uint64) * np.uint64(2**57 + 1)
    return Samples(np.ascontiguousarray(pixels[..., :channels]), labels, ids).take(np.arange(count))


def table(**given: Any) -> Corrupted:
    return Corrupted(kind="corrupted", **given)


MICRO = table(profile="micro-c", families=("noise", "defocus", "zoom"), severities=(1, 4))


@pytest.fixture
def fresh(monkeypatch: pytest.MonkeyPatch) -> None:
    """As in another process: no file was verified yet."""
    monkeypatch.setattr(cache, "_whole", {})


def by_id(samples: Samples) -> dict[tuple[int, int], bytes]:
    conditions = samples.conditions if samples.conditions is not None else np.zeros(len(samples), np.int16)
    keys = zip(map(int, samples.ids), map(int, conditions), strict=True)
    return {key: image.tobytes() for key, image in zip(keys, samples.images, strict=True)}


def test_micro_c_is_every_condition_of_every_image_with_its_label_and_id(tmp_path: Path) -> None:
    base = cells()
    made = corrupted_samples(MICRO, base, tmp_path)
    assert made.condition_names == ("defocus/1", "defocus/4", "noise/1", "noise/4", "zoom/1", "zoom/4")
    assert made.images.shape == (72, SIZE_PX, SIZE_PX, 3)
    assert made.conditions is not None
    assert made.conditions.tolist() == [k for k in range(6) for _ in range(12)]
    for k in range(6):
        np.testing.assert_array_equal(made.ids[made.conditions == k], base.ids)
        np.testing.assert_array_equal(made.labels[made.conditions == k], base.labels)
    assert len(by_id(made)) == len(set(by_id(made).values())) == 72


def test_a_copy_is_the_family_applied_with_the_draws_of_its_id_and_rounded(tmp_path: Path) -> None:
    base = cells()
    made = corrupted_samples(MICRO, base, tmp_path)
    image = torch.from_numpy(base.images[5]).permute(2, 0, 1)[None].float() / 255
    out = corruptions["noise"].build({}).apply(image, 4, [draws(0, Operation("noise", 4), int(base.ids[5]))])
    expected = (out[0].permute(1, 2, 0).double() * 255).round().numpy()
    np.testing.assert_array_equal(made.images[3 * 12 + 5], expected)


def test_a_heavy_mix_is_one_copy_of_each_image_after_its_operations(tmp_path: Path) -> None:
    base = cells()
    made = corrupted_samples(table(seed=3), base, tmp_path)
    assert (len(made), made.conditions, made.condition_names) == (12, None, ())
    np.testing.assert_array_equal(made.ids, base.ids)
    one = torch.from_numpy(base.images[7]).permute(2, 0, 1)[None].float() / 255
    for op in heavy_mix(3, int(base.ids[7]), ALL, (2, 3, 4, 5)):
        one = corruptions[op.family].build({}).apply(one, op.severity, [draws(3, op, int(base.ids[7]))])
    np.testing.assert_array_equal(made.images[7], (one[0] * 255).round().permute(1, 2, 0).numpy())


@pytest.mark.parametrize("hidden", [MICRO, table(), table(profile="micro-c", severities=(3,))])
def test_an_image_is_corrupted_alike_alone_in_any_set_any_block_and_with_any_threads(
    hidden: Corrupted, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    base = cells()
    whole = by_id(corrupted_samples(hidden, base, tmp_path / "whole"))
    some = [7, 2, 9]
    shuffled = Samples(base.images[some], base.labels[some], base.ids[some])
    monkeypatch.setattr(module, "BLOCK", 2)
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        few = by_id(corrupted_samples(hidden, shuffled, tmp_path / "few"))
        alone = by_id(corrupted_samples(hidden, base.take(np.array([4])), tmp_path / "alone"))
    finally:
        torch.set_num_threads(before)
    assert len(few) == len(whole) / 4
    assert few.items() <= whole.items()
    assert alone.items() <= whole.items()


def test_another_seed_gives_other_images(tmp_path: Path) -> None:
    one, other = (by_id(corrupted_samples(table(seed=seed), cells(), tmp_path)) for seed in (0, 1))
    assert all(one[key] != other[key] for key in one)


def test_the_second_time_images_are_mapped_not_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fresh: None
) -> None:
    first = corrupted_samples(MICRO, cells(), tmp_path)
    monkeypatch.setattr(module, "_build", None)
    again = corrupted_samples(MICRO, cells(), tmp_path)
    assert isinstance(again.images, np.memmap)
    np.testing.assert_array_equal(first.images, again.images)


def test_writing_into_the_images_reaches_no_file(tmp_path: Path, fresh: None) -> None:
    made = corrupted_samples(MICRO, cells(), tmp_path)
    before = made.images[0].copy()
    made.images[0] = 0
    np.testing.assert_array_equal(corrupted_samples(MICRO, cells(), tmp_path).images[0], before)


def only_folder(cache: Path) -> Path:
    (folder,) = (path for path in (cache / "corrupted").iterdir() if path.is_dir())
    return folder


def test_the_manifest_says_what_the_images_are(tmp_path: Path) -> None:
    corrupted_samples(MICRO, cells(), tmp_path)
    manifest = json.loads((only_folder(tmp_path) / "manifest.json").read_text())
    assert manifest["parameters"] == {
        "version": 1,
        "profile": "micro-c",
        "families": {"defocus": 1, "noise": 1, "zoom": 1},
        "severities": [1, 4],
        "seed": 0,
        "base images": 12,
    }
    assert manifest["shape"] == [72, SIZE_PX, SIZE_PX, 3]
    assert manifest["device"] == "cpu"
    assert manifest["conditions"][:2] == ["defocus/1", "defocus/4"]


def damage_pixel(folder: Path) -> None:
    with (folder / "images.npy").open("r+b") as file:
        file.seek(5000)
        byte = file.read(1)[0]
        file.seek(5000)
        file.write(bytes([byte ^ 1]))


def damage_conditions(folder: Path) -> None:
    file = folder / "manifest.json"
    manifest = json.loads(file.read_text())
    file.write_text(json.dumps(manifest | {"conditions_sha256": "0" * 64}))


def tear(folder: Path) -> None:
    content = (folder / "images.npy").read_bytes()
    (folder / "images.npy").write_bytes(content[: len(content) // 2])


def lose_manifest(folder: Path) -> None:
    (folder / "manifest.json").unlink()


@pytest.mark.parametrize("damage", [damage_pixel, damage_conditions, tear, lose_manifest])
def test_a_damaged_set_is_made_again(damage: Any, tmp_path: Path, fresh: None) -> None:
    intact = np.array(corrupted_samples(MICRO, cells(), tmp_path).images)
    cache._whole.clear()
    damage(only_folder(tmp_path))
    np.testing.assert_array_equal(corrupted_samples(MICRO, cells(), tmp_path).images, intact)


def test_a_changed_byte_is_noticed_within_one_process_by_the_files_time(tmp_path: Path, fresh: None) -> None:
    intact = np.array(corrupted_samples(MICRO, cells(), tmp_path).images)
    damage_pixel(only_folder(tmp_path))
    os.utime(only_folder(tmp_path) / "images.npy")  # some clocks tick in milliseconds
    np.testing.assert_array_equal(corrupted_samples(MICRO, cells(), tmp_path).images, intact)


def test_what_was_interrupted_leaves_no_half_set(tmp_path: Path) -> None:
    def stop(done: int, total: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        corrupted_samples(MICRO, cells(), tmp_path, progress=stop)
    assert not [path for path in (tmp_path / "corrupted").iterdir() if path.is_dir()]
    assert len(corrupted_samples(MICRO, cells(), tmp_path)) == 72


def test_progress_counts_copies_when_they_are_made_and_only_then(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "BLOCK", 32)
    told: list[tuple[int, int]] = []
    for _ in range(2):
        corrupted_samples(MICRO, cells(), tmp_path, progress=lambda *news: told.append(news))
    assert told == [(32, 72), (64, 72), (72, 72)]


def test_other_base_images_labels_or_versions_are_another_set(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    base = cells()
    changed = base.images.copy()
    changed[0, 0, 0, 0] ^= 1
    corrupted_samples(MICRO, base, tmp_path)
    corrupted_samples(MICRO, Samples(changed, base.labels, base.ids), tmp_path)
    corrupted_samples(MICRO, Samples(base.images, base.labels[::-1].copy(), base.ids), tmp_path)
    monkeypatch.setattr(module, "CORRUPTIONS_VERSION", 2)
    corrupted_samples(MICRO, base, tmp_path)
    assert sum(path.is_dir() for path in (tmp_path / "corrupted").iterdir()) == 4


# -- which images --------------------------------------------------------------------------------------------


def unequal(count: int = 60) -> Samples:
    """Two thirds class 0, one third class 1."""
    labels = (np.arange(count) % 3 == 2).astype(np.int64)
    return Samples(np.zeros((count, 16, 16, 1), np.uint8), labels, np.arange(count, dtype=np.uint64))


def test_images_are_chosen_by_a_hash_with_classes_in_proportion() -> None:
    base = unequal()
    for count in (3, 15, 30, 59):
        picked = chosen(base, count, 0)
        assert len(set(picked.tolist())) == count
        assert int(base.labels[picked].sum()) == pytest.approx(count / 3, abs=1)
    assert chosen(base, 15, 0).tolist() != chosen(base, 15, 1).tolist()


def test_a_larger_choice_contains_a_smaller_one_and_ignores_the_order_of_images() -> None:
    base = unequal()
    assert set(chosen(base, 10, 0)) < set(chosen(base, 25, 0))
    order = np.random.default_rng(0).permutation(60)
    mixed = Samples(base.images[order], base.labels[order], base.ids[order])
    assert set(mixed.ids[chosen(mixed, 10, 0)]) == set(base.ids[chosen(base, 10, 0)])


def test_fewer_images_have_all_conditions(tmp_path: Path) -> None:
    made = corrupted_samples(MICRO.model_copy(update={"images": 3}), cells(), tmp_path)
    assert len(made) == 18
    assert len(set(made.ids.tolist())) == 3


def test_more_images_than_there_are_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="images = 13: there are 12 to corrupt; give at most as many"):
        corrupted_samples(table(images=13), cells(), tmp_path)


def test_gray_images_leave_out_colour_unless_it_is_asked_for(tmp_path: Path) -> None:
    made = corrupted_samples(table(profile="micro-c", severities=(3,)), cells(2, channels=1), tmp_path)
    assert made.images.shape == (2 * 18, SIZE_PX, SIZE_PX, 1)
    assert not {"hue/3", "saturation/3", "stain/3"} & set(made.condition_names)
    with pytest.raises(UserError, match=r"families: hue, stain change colour, these images have one channel"):
        corrupted_samples(table(families=("stain", "hue", "jpeg")), cells(2, channels=1), tmp_path)


def test_taking_some_copies_keeps_their_conditions(tmp_path: Path) -> None:
    made = corrupted_samples(MICRO, cells(), tmp_path)
    some = made.take(np.arange(0, 72, 5))
    assert some.conditions is not None
    assert by_id(some).items() <= by_id(made).items()
    assert some.condition_names == made.condition_names


@pytest.mark.shared
def test_real_cells_stay_in_memory_bounds_and_keep_their_classes(shared: Path, tmp_path: Path) -> None:
    from PIL import Image

    files = sorted((shared / "data/pbc96").glob("*/*.jpg"))[::171]
    pixels = np.stack([np.asarray(Image.open(file).convert("RGB")) for file in files])
    base = Samples(pixels, np.zeros(len(files), np.int64), np.arange(len(files), dtype=np.uint64))
    made = corrupted_samples(table(), base, tmp_path)
    change = np.abs(made.images.astype(int) - base.images).mean((1, 2, 3))
    assert change.min() > 1.0
    assert 15 < change.mean() < 60  # of 255: heavy, and not noise
