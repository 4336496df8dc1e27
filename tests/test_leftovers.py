from pathlib import Path

import pytest

from bench import leftovers
from bench.store import Record, Store


@pytest.fixture
def store(tmp_path: Path) -> Store:
    """Two trials, of two versions of a component, with weights of five bytes each; and an unfinished one."""
    store = Store(tmp_path / "results")
    for id, version in (("a" * 16, 1), ("b" * 16, 2)):
        weights = tmp_path / "w"
        weights.write_bytes(b"12345")
        fields = {"id": id, "key": "k", "status": "done", "recipe": {}, "data": {}, "data_fingerprint": "f"}
        record = Record(**fields, source="synthetic", seed=0, versions={"model:custom_cnn": version})
        store.write(record, history=[], predictions={}, weights_file=weights)
    store.trial_dir("c" * 16).mkdir()
    (store.trial_dir("c" * 16) / "checkpoint.pt").write_bytes(b"123")
    return store


def test_weights_go_and_their_trials_stay(store: Store):
    assert [leftover.size for leftover in leftovers.weights(store)] == [5, 5]
    assert leftovers.remove(store, leftovers.weights(store)) == 10
    assert (leftovers.weights(store), store.ids()) == ([], ["a" * 16, "b" * 16])


def test_checkpoints_of_unfinished_trials_go(store: Store):
    assert [leftover.size for leftover in leftovers.checkpoints(store)] == [3]
    assert leftovers.remove(store, leftovers.checkpoints(store)) == 3
    assert leftovers.checkpoints(store) == []


def test_stale_trials_go_whole(store: Store):
    stale = leftovers.stale(store, lambda record: record.versions == {"model:custom_cnn": 2})
    assert [leftover.path.name for leftover in stale] == ["a" * 16]
    assert leftovers.remove(store, stale) == stale[0].size > 5
    assert store.ids() == ["b" * 16]


def test_nothing_outside_the_trials_is_ever_removed(store: Store, tmp_path: Path):
    (tmp_path / "thesis").write_text("x")
    for path in (tmp_path / "thesis", store.root / "trials", store.root / "trials" / ".." / ".."):
        with pytest.raises(ValueError, match="not inside"):
            leftovers.remove(store, [leftovers.Leftover(path, 1)])
    assert (tmp_path / "thesis").exists()
