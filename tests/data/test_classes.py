from __future__ import annotations

import unicodedata
from pathlib import Path

import numpy as np
import pytest
from samples import noise, write_folder

from bench.data.cache import open_images
from bench.data.classes import counterparts, in_order, numbers
from bench.data.content import folder_sha256
from bench.data.fingerprint import locate
from bench.data.hidden import hidden_samples
from bench.data.reader import open_source
from bench.data.sources.folder import list_images
from bench.data.split import development
from bench.errors import UserError
from bench.machine import Machine
from bench.plan import Replicate, ScoredSet, Source
from bench.recipe import Data, External

TWELVE = [str(k) for k in range(12)]
COMPOSED, APART = unicodedata.normalize("NFC", "é"), unicodedata.normalize("NFD", "é")


def test_whole_numbers_come_by_value_and_words_by_the_alphabet() -> None:
    assert in_order(["10", "2", "1"]) == ("1", "2", "10")
    assert in_order(["b", "10", "2"]) == ("10", "2", "b")
    assert in_order(["-1", "1", "0"]) == ("-1", "0", "1")
    assert in_order(["1", "01", "10"]) == ("01", "1", "10")  # equal values are no order


def test_names_that_differ_in_their_unicode_form_are_one_class() -> None:
    assert in_order([f"caf{APART}", f"caf{COMPOSED}", "a"]) == ("a", f"caf{COMPOSED}")


def test_a_number_stands_for_itself_an_npz_label_for_its_place_and_a_word_for_its_place() -> None:
    assert numbers(["1", "2", "10"], numbered=False) == [1, 2, 10]
    assert numbers(["10", "20"], numbered=True) == [0, 1]
    assert numbers(["cat", "dog"], numbered=False) == [0, 1]


@pytest.mark.parametrize(
    ("foreign", "numbered", "ours", "ours_numbered", "found"),
    [
        (["class 0", "class 1", "class 2"], True, ["0", "2", "10"], False, {"class 0": "0", "class 2": "2"}),
        (["class 0", "class 1"], True, ["cat", "dog"], False, {"class 0": "cat", "class 1": "dog"}),
        (["class 0", "class 1"], True, ["10", "20"], True, {"class 0": "10", "class 1": "20"}),
        (["1", "0"], False, ["class 0", "class 1"], True, {"0": "class 0", "1": "class 1"}),
        (["01", "02"], False, ["2", "1"], False, {"01": "1", "02": "2"}),
        (["0", "1"], False, ["cat", "dog"], False, {}),
        (["dog", "1"], False, ["cat", "dog"], False, {"dog": "dog"}),
    ],
)
def test_foreign_classes_are_matched_by_name_else_by_value_never_by_place_in_a_folder(
    foreign: list[str], numbered: bool, ours: list[str], ours_numbered: bool, found: dict[str, str]
) -> None:
    assert counterparts(foreign, ours, numbered=numbered, ours_numbered=ours_numbered) == found


def twelve(folder: Path) -> Path:
    """Folders 0 to 11, image k in folder k."""
    return write_folder(folder, noise(12), list(range(12)), TWELVE)


def located(path: Path, tmp_path: Path, **keys: object) -> Source:
    data = Data.model_validate({"source": f"folder:{path}", **keys})
    return locate(data.source, data, Machine(cache=tmp_path / "cache"), tmp_path)


def test_the_images_of_folder_10_are_of_class_10_and_its_label_is_10(tmp_path: Path) -> None:
    source = located(twelve(tmp_path / "cells"), tmp_path)
    reader = open_source(Data(source="folder:cells"), source)
    assert list(reader.classes) == TWELVE
    of_ten = list(reader.names).index("10/0010.png")
    assert reader.labels[of_ten] == 10
    np.testing.assert_array_equal(reader.native(of_ten), noise(12)[10])


def test_label_k_of_a_hidden_npz_is_folder_k(tmp_path: Path) -> None:
    data = Data(source=f"folder:{twelve(tmp_path / 'cells')}", size_px=16)
    local = open_images(data, located(tmp_path / "cells", tmp_path), tmp_path / "cache")
    pixels = noise(12, seed=1)
    np.savez(tmp_path / "other.npz", images=pixels, labels=np.arange(12))
    scored = ScoredSet(
        "lab",
        "key",
        External(kind="external", source="npz:other.npz"),
        Source("npz", tmp_path / "other.npz", "other"),
    )
    samples = hidden_samples(scored, local, local.take(np.arange(2)), data, tmp_path / "cache")
    answer = {image.tobytes(): k for k, image in enumerate(pixels)}
    assert [local.classes[k] for k in samples.labels] == [str(answer[i.tobytes()]) for i in samples.images]


@pytest.mark.parametrize(
    ("names", "changes"),
    [
        (["cat", "dog"], False),
        ([str(k) for k in range(10)], False),
        (TWELVE, True),
        (["1", "2", "3"], True),  # a hidden npz's label 1 was taken for the second folder
        ([f"x{APART}", "y"], True),
    ],
)
def test_only_folders_that_were_read_otherwise_before_are_other_data_now(
    tmp_path: Path, names: list[str], changes: bool
) -> None:
    folder = write_folder(tmp_path / "cells", noise(len(names)), list(range(len(names))), names)
    files = [(file.relative, file.size, file.mtime_ns) for file in list_images(folder)]
    before = folder_sha256(folder, files, tmp_path / "memo")
    assert (located(folder, tmp_path).fingerprint != before) is changes


def test_an_order_that_the_study_gave_is_kept_and_stays_the_data_it_was(tmp_path: Path) -> None:
    folder = twelve(tmp_path / "cells")
    given = located(folder, tmp_path, classes=TWELVE)
    assert given.fingerprint != located(folder, tmp_path).fingerprint
    other = TWELVE[::-1]
    reader = open_source(
        Data(source="folder:cells", classes=tuple(other)), located(folder, tmp_path, classes=other)
    )
    assert list(reader.classes) == other


def test_a_class_may_be_written_in_another_unicode_form_than_its_folder(tmp_path: Path) -> None:
    folder = write_folder(tmp_path / "cells", noise(3), [0, 1, 2], [f"x{APART}", f"x{COMPOSED}", "y"])
    data = Data(source="folder:cells", classes=("y", f"x{APART}"))
    reader = open_source(data, Source("folder", folder, "x"))
    assert reader.classes == ("y", f"x{COMPOSED}")
    assert sorted(reader.labels) == [0, 1, 1]


def test_labels_that_start_at_1_are_told_so(tmp_path: Path) -> None:
    from bench.data.cache import open_images

    np.savez(tmp_path / "x.npz", images=noise(60), labels=np.arange(60) % 3 + 1)
    data = Data(source="npz:x.npz", size_px=16)
    images = open_images(data, Source("npz", tmp_path / "x.npz", "x"), tmp_path / "cache")
    with pytest.raises(UserError, match=r"class 0: 0 images.*\n.*labels start at 1, .* subtract 1 from each"):
        development(images, data, Replicate(0))


def test_dropped_classes_are_as_if_they_were_not_there(tmp_path: Path) -> None:
    pixels, names = noise(6), ["ant", "bee", "cat"]
    folder = write_folder(tmp_path / "cells", pixels, [0, 1, 2, 0, 1, 2], names)
    whole = located(folder, tmp_path)
    source = located(folder, tmp_path, drop_classes=["bee"])
    assert source.fingerprint != whole.fingerprint
    assert (source.images, source.classes) == (4, 2)
    reader = open_source(Data(source="folder:cells", drop_classes=("bee",)), source)
    assert reader.classes == ("ant", "cat")
    assert reader.labels.tolist() == [0, 0, 1, 1]
    assert list(reader.names) == ["ant/0000.png", "ant/0003.png", "cat/0002.png", "cat/0005.png"]
    np.testing.assert_array_equal(reader.native(2), pixels[2])
    with pytest.raises(UserError, match='drop_classes: "bees" is no class here; did you mean "bee"'):
        open_source(Data(source="folder:cells", drop_classes=("bees",)), source)
