from __future__ import annotations

import tracemalloc
from pathlib import Path

import numpy as np
import pytest
from samples import noise, write_folder

from bench.data.cache import open_images
from bench.data.reader import open_source, without
from bench.data.sources.synthetic import ID_PX, synthetic
from bench.data.synthetic import draw as generator
from bench.plan import Source
from bench.recipe import Data


def test_each_kind_of_source_has_its_reader(tmp_path: Path) -> None:
    folder = write_folder(tmp_path / "cells", noise(2), [0, 1], ["a", "b"])
    np.savez(tmp_path / "x.npz", images=noise(2), labels=[0, 1])
    data = Data(source="synthetic", size_px=16, n_images=80)
    assert open_source(data, Source("folder", folder, "f")).classes == ("a", "b")
    assert open_source(data, Source("npz", tmp_path / "x.npz", "f")).classes == ("class 0", "class 1")
    assert open_source(data, Source("synthetic", None, "f")).classes == generator.CLASSES


def test_drawings_are_drawn_at_the_size_wanted_and_known_by_one_size(tmp_path: Path) -> None:
    source = Source("synthetic", None, "f")
    sets = {
        size: open_images(Data(source="synthetic", size_px=size, n_images=80), source, tmp_path)
        for size in (16, ID_PX, 48)
    }
    np.testing.assert_array_equal(sets[48].images, generator.draw(80, 48, 0)[0])
    np.testing.assert_array_equal(sets[48].ids, sets[16].ids)
    np.testing.assert_array_equal(sets[48].ids, sets[ID_PX].ids)
    assert len(set(sets[48].ids.tolist())) == 80


def test_eight_other_names_rename_the_drawings_classes() -> None:
    names = tuple("abcdefgh")
    renamed, plain = synthetic(80, 16, names), synthetic(80, 16)
    assert renamed.classes == names
    np.testing.assert_array_equal(renamed.labels, plain.labels)


@pytest.mark.parametrize("count", [2, 5, 20])
def test_another_number_of_classes_gets_drawings_in_turn(count: int) -> None:
    reader = synthetic(80, 16, tuple(f"c{k}" for k in range(count)))
    assert np.bincount(reader.labels).tolist() == [80 // count] * count


def test_drawings_are_drawn_as_they_are_asked_for() -> None:
    """A million of 16 px would be 0.8 GB, and 3 GB at the size that gives their identity."""
    tracemalloc.start()
    reader = synthetic(1_000_000, 16)
    assert reader.drawn is not None
    first, last = reader.drawn(0), reader.drawn(999_999)
    assert reader.native(999_999).shape == (ID_PX, ID_PX, 3)
    assert (first.shape, last.shape, reader.names[999_999], len(reader.names)) == (
        (16, 16, 3), (16, 16, 3), "drawing 999999", 1_000_000,
    )  # fmt: skip
    assert tracemalloc.get_traced_memory()[1] < 200e6
    tracemalloc.stop()
    few = generator.draw(600, 16, 0)[0]
    np.testing.assert_array_equal([reader.drawn(k) for k in (599, 0, 300, 599)], few[[599, 0, 300, 599]])
    left = without(synthetic(80, 16), ["monocyte"])
    assert left.drawn is not None
    place = int(np.flatnonzero(generator.label(80) != generator.CLASSES.index("monocyte"))[-1])
    np.testing.assert_array_equal(left.drawn(len(left.labels) - 1), few[place])
