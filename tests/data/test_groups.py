"""Which images belong together, as a study says it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from samples import noise, write_folder

from bench.data.cache import open_images
from bench.data.content import Asked
from bench.data.fingerprint import locate
from bench.data.groups import groups_of
from bench.data.hidden import hidden_samples
from bench.data.reader import Reader, open_source, without
from bench.data.sources.folder import list_images
from bench.errors import UserError
from bench.machine import Machine
from bench.plan import ScoredSet
from bench.recipe import Corrupted, Data, External, Grouping, NamePattern


def reader(names: list[str] = (), **columns: object) -> Reader:  # type: ignore[assignment]
    """A source of four images."""
    kept = {name: (lambda values=values: values) for name, values in columns.items()}
    return Reader(("a", "b"), np.array([0, 1, 0, 1]), 3, lambda k: noise(4)[k], names=names, columns=kept)  # type: ignore[arg-type]


FILES = ["a/P2_1.png", "b/P10_1.png", "a/P2_2.png", "b/P1_1.png"]


@pytest.mark.parametrize(
    ("pattern", "expected"),
    [(r"^(P\d+)_", [2, 1, 2, 0]), (r"^P\d+", [2, 1, 2, 0]), (r"_(\d)\.png$", [0, 0, 1, 0])],
)
def test_a_patient_is_what_the_pattern_finds_in_the_file_name(pattern: str, expected: list[int]) -> None:
    """In its first pair of brackets, or all of it; numbers go by the order of names, P1 before P10 and P2."""
    assert groups_of(reader(FILES), NamePattern(pattern=pattern), "folder:x").tolist() == expected


def test_the_pattern_sees_the_name_of_the_file_and_not_its_folder() -> None:
    with pytest.raises(UserError, match="does not match the file names of 4 of 4 images"):
        groups_of(reader(FILES), NamePattern(pattern="^[ab]"), "folder:x")


def test_file_names_that_do_not_match_are_counted_and_the_first_is_named() -> None:
    with pytest.raises(UserError) as error:
        groups_of(reader(FILES), NamePattern(pattern=r"^(P2)_"), "folder:x")
    assert str(error.value).splitlines() == [
        'groups = { pattern = "^(P2)_" }: it does not match the file names of 2 of 4 images of "folder:x"',
        '    the first is "b/P10_1.png"; every image needs a group, be it one of its own',
    ]


def test_brackets_that_take_part_in_no_match_are_no_group() -> None:
    with pytest.raises(UserError, match="2 of 4 images"):
        groups_of(reader(FILES), NamePattern(pattern=r"^(P2)?"), "folder:x")


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        (["p", "q", "p", "r"], [0, 1, 0, 2]),
        (np.array([7, 7, 3, 3]), [1, 1, 0, 0]),
        (np.array([[1.0], [0.0], [1.0], [1.0]]), [1, 0, 1, 1]),
    ],
)
def test_a_column_names_the_patient_of_every_image(values: object, expected: list[int]) -> None:
    found = groups_of(reader(patient=values), "patient", "own:x")
    assert (found.tolist(), found.dtype) == (expected, np.int32)


@pytest.mark.parametrize(
    "values", [["p", "", "p", "r"], np.array([1.0, np.nan, 2, 2]), ["a", None, "b", "b"]]
)
def test_an_image_without_a_patient_is_an_error(values: object) -> None:
    with pytest.raises(
        UserError, match=r'groups = "patient": there is no patient for 1 of 4 images.*\n.*image 1'
    ):
        groups_of(reader(patient=values), "patient", "own:x")


def test_an_unknown_column_is_told_with_those_there_are() -> None:
    with pytest.raises(UserError, match='no column of that name; did you mean "patient"'):
        groups_of(reader(patient=[1, 1, 2, 2]), "pateint", "own:x")
    with pytest.raises(UserError, match="it has none"):
        groups_of(reader(), "patient", "own:x")


def test_a_column_of_another_length_is_an_error() -> None:
    with pytest.raises(UserError, match=r"\(3,\) values for 4 images"):
        groups_of(reader(patient=[1, 2, 3]), "patient", "own:x")


# -- in sources ----------------------------------------------------------------------------------------------


def opened(folder: Path, source: str, groups: Grouping | None, **data: object) -> tuple[Reader, Data]:
    asked = Data(source=source, groups=groups, size_px=16, **data)  # type: ignore[arg-type]
    return open_source(asked, locate(source, asked, Machine(cache=folder / "cache"), folder)), asked


def patients(folder: Path, source: str, groups: Grouping) -> list[int]:
    made, _ = opened(folder, source, groups)
    return groups_of(made, groups, source).tolist()


def nested(folder: Path, *files: str) -> Path:
    for number, name in enumerate(files):
        pixels = noise(len(files))[number : number + 1]
        made = write_folder(folder / "made", pixels, [0], ["x"]) / "x" / "0000.png"
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        made.rename(folder / name)
    return folder


def test_folders_between_class_and_file_are_patients_whatever_their_class(tmp_path: Path) -> None:
    nested(tmp_path, "cells/a/P1/0.png", "cells/a/P2/0.png", "cells/b/P1/7.png", "cells/b/P3/0.png")
    assert patients(tmp_path, "folder:cells", "folder") == [0, 1, 0, 2]


def test_an_image_beside_the_folders_of_patients_is_an_error(tmp_path: Path) -> None:
    nested(tmp_path, "cells/a/P1/0.png", "cells/a/stray.png", "cells/b/P1/7.png")
    with pytest.raises(UserError, match=r"no folder for 1 of 3 images.*\n.*a/stray\.png"):
        patients(tmp_path, "folder:cells", "folder")


def test_folders_inside_class_folders_are_read_for_groups_only(tmp_path: Path) -> None:
    nested(tmp_path, "cells/a/P1/0.png", "cells/a/1.png", "cells/b/2.png")
    assert [file.relative for file in list_images(tmp_path / "cells")] == ["a/1.png", "b/2.png"]
    assert len(list_images(tmp_path / "cells", between=True)) == 3


def test_what_is_read_between_is_part_of_the_sources_identity(tmp_path: Path) -> None:
    nested(tmp_path, "cells/a/P1/0.png", "cells/a/1.png", "cells/b/2.png")
    machine = Machine(cache=tmp_path / "cache")
    plain, by_folder, by_name = (
        locate("folder:cells", Data(source="folder:cells", groups=groups), machine, tmp_path).fingerprint
        for groups in (None, "folder", NamePattern(pattern="."))
    )
    assert plain == by_name != by_folder
    assert Asked("folder:cells", "folder", Data(source="folder:cells"), machine, tmp_path).path.is_dir()


def test_arrays_beside_the_images_of_an_npz_are_columns(tmp_path: Path) -> None:
    plain = {"images": noise(4), "labels": np.array([0, 1, 0, 1])}
    np.savez(tmp_path / "one.npz", **plain, patient=np.array(["x", "y", "y", "x"]))
    assert patients(tmp_path, "npz:one.npz", "patient") == [0, 1, 1, 0]


def test_columns_of_medmnists_layout_are_joined_part_by_part(tmp_path: Path) -> None:
    parts = {
        f"{part}_{what}": values
        for k, part in enumerate(("train", "val", "test"))
        for what, values in {"images": noise(2, k), "labels": np.arange(2), "slide": np.array([k, 9])}.items()
    }
    np.savez(tmp_path / "three.npz", **parts, test_only=np.zeros(6), note=np.zeros(1))
    assert patients(tmp_path, "npz:three.npz", "slide") == [0, 3, 1, 3, 2, 3]
    assert list(opened(tmp_path, "npz:three.npz", None)[0].columns) == ["slide"]


# -- and on to the sets --------------------------------------------------------------------------------------


def test_images_bring_their_groups_and_copies_that_of_their_base(tmp_path: Path) -> None:
    write_folder(tmp_path / "cells", noise(20), [0, 1] * 10, ["a", "b"])
    machine = Machine(cache=tmp_path / "cache")
    data = Data(source="folder:cells", size_px=16, groups=NamePattern(pattern=r"(\d)\.png"))
    images = open_images(data, locate("folder:cells", data, machine, tmp_path), machine.cache)
    names = [file.name for file in list_images(tmp_path / "cells")]
    assert images.groups is not None
    assert images.groups.tolist() == [int(name[-5]) for name in names]

    test = images.take(np.arange(0, 20, 3))
    group_of = dict(zip(test.ids.tolist(), test.groups.tolist(), strict=True))  # type: ignore[union-attr]
    hidden = Corrupted(kind="corrupted", profile="micro-c", families=("gamma",), images=4)
    made = hidden_samples(ScoredSet("x", "k", hidden), images, test, data, machine.cache)
    assert made.groups is not None
    assert [group_of[i] for i in made.ids.tolist()] == made.groups.tolist()
    assert len(made) == 20


@pytest.mark.parametrize(("groups", "known"), [(None, False), (NamePattern(pattern=r"\d"), True)])
def test_a_hidden_set_has_the_groups_it_names_and_not_the_local_ones(
    tmp_path: Path, groups: Grouping | None, known: bool
) -> None:
    write_folder(tmp_path / "cells", noise(8), [0, 1] * 4, ["a", "b"])
    write_folder(tmp_path / "other", noise(6, 1), [0, 1] * 3, ["a", "b"])
    machine = Machine(cache=tmp_path / "cache")
    data = Data(source="folder:cells", size_px=16, groups=NamePattern(pattern=r"\d+"))
    images = open_images(data, locate("folder:cells", data, machine, tmp_path), machine.cache)
    hidden = External(kind="external", source="folder:other", groups=groups)
    scored = ScoredSet("o", "k", hidden, locate("folder:other", data, machine, tmp_path))
    made = hidden_samples(scored, images, images, data, machine.cache)
    assert (made.groups is not None) is known
    if made.groups is not None:
        assert set(made.groups) == {0}, "the first digit is 0 everywhere"


def test_a_class_that_is_left_out_takes_its_values_along() -> None:
    left = without(reader(patient=["p", "q", "r", "q"]), ["a"])
    assert groups_of(left, "patient", "own:x").tolist() == [0, 0]
