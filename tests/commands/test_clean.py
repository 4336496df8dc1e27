from importlib import metadata
from pathlib import Path

import pytest

from bench.claims import Presence
from bench.commands.clean import Wanted, clean
from bench.errors import UserError
from bench.machine import Machine
from bench.plan import ROOMS
from bench.planned import PlanFile, PlannedArm, PlannedTrial
from bench.store import Record, Store

CURRENT, STALE, LISTED = "aaaaaaaaaaaaaaaa", "bbbbbbbbbbbbbbbb", "cccccccccccccccc"


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    """A results folder with a current trial, a stale one, and a stale one that a study lists."""
    machine = Machine(results=tmp_path / "results", cache=tmp_path / "cache")
    store = Store(machine.results)
    for id, versions in ((CURRENT, ROOMS), (STALE, {"optimizer:adam": 0}), (LISTED, {"room": 9})):
        weights = tmp_path / "weights"
        weights.write_bytes(b"w" * 1_000_000)
        store.write(record(id, versions), history=[], predictions={}, weights_file=weights)
    unfinished = store.trial_dir("dddddddddddddddd")
    unfinished.mkdir()
    (unfinished / "checkpoint.pt").write_bytes(b"c" * 500_000)
    plan = PlanFile(
        study="s",
        baseline="a",
        data_fingerprint="f",
        arms=(PlannedArm(label="a", trials=(PlannedTrial(id=LISTED, seed=0, sets={}),)),),
    )
    store.write_text(store.study_dir("s") / "plan.json", plan.model_dump_json())
    store.write_text(store.root / "smoke-runs" / "x.txt", "smoke")
    (machine.cache / "images").mkdir(parents=True)
    (machine.cache / "images" / "a.npy").write_bytes(b"i" * 100_000)
    (machine.cache / "keep").write_text("not ours")
    return machine


def record(id: str, versions: dict[str, int | str]) -> Record:
    return Record.model_validate(
        {
            "id": id, "key": "k", "status": "done", "recipe": {}, "data": {}, "data_fingerprint": "f",
            "source": "synthetic", "seed": 0, "versions": versions,
        }
    )  # fmt: skip


def contents(machine: Machine) -> set[str]:
    root = machine.results.parent
    return {
        str(path.relative_to(root))
        for path in root.rglob("*")
        if path.is_file() and ".claims" not in str(path)
    }


def test_without_a_wish_everything_that_could_go_is_listed_and_nothing_goes(machine: Machine):
    before = contents(machine)
    lines = clean(machine, Wanted(), delete=True).splitlines()
    assert [line.split()[:3] for line in lines[:5]] == [
        ["stale", "1", "1.0"],
        ["checkpoints", "1", "0.5"],
        ["weights", "3", "3.0"],
        ["smoke", "1", "0.0"],
        ["cache", "1", "0.1"],
    ]
    assert lines[5:] == ["nothing deleted; add what should go, and --yes"]
    assert contents(machine) == before


@pytest.mark.parametrize("kind", ["stale", "checkpoints", "weights", "smoke", "cache"])
def test_without_yes_nothing_goes(machine: Machine, kind: str):
    before = contents(machine)
    lines = clean(machine, Wanted(**{kind: True}), delete=False).splitlines()
    assert lines[0].split()[0] == kind
    assert lines[1:] == ["nothing deleted; add --yes"]
    assert contents(machine) == before


@pytest.mark.parametrize(
    ("kind", "gone"),
    [
        ("stale", {f"results/trials/{STALE}/{part}" for part in ("record.json", "weights.safetensors")}),
        ("checkpoints", {"results/trials/dddddddddddddddd/checkpoint.pt"}),
        ("weights", {f"results/trials/{id}/weights.safetensors" for id in (CURRENT, STALE, LISTED)}),
        ("smoke", {"results/smoke-runs/x.txt"}),
        ("cache", {"cache/images/a.npy"}),
    ],
)
def test_what_is_asked_for_goes_and_nothing_else(machine: Machine, kind: str, gone: set[str]):
    before = contents(machine)
    text = clean(machine, Wanted(**{kind: True}), delete=True)
    assert text.endswith("deleted")
    left = contents(machine)
    assert gone <= before - left
    assert {path for path in before - left if path not in gone} <= {
        f"results/trials/{STALE}/{part}" for part in ("history.jsonl", "predictions.npz")
    }
    assert "cache/keep" in left


def test_what_links_to_another_disk_is_emptied_and_stays(machine: Machine, tmp_path: Path):
    for place in (
        machine.cache / "images",
        machine.results / "smoke-runs",
        Store(machine.results).trial_dir(STALE),
    ):
        far = tmp_path / "far" / place.name
        far.parent.mkdir(exist_ok=True)
        place.rename(far)
        place.symlink_to(far)
        (far / "more").mkdir()
    trial = tmp_path / "far" / STALE
    clean(machine, Wanted(weights=True), delete=True)
    assert sorted(path.name for path in trial.iterdir()) == ["history.jsonl", "more", "record.json"]
    clean(machine, Wanted(smoke=True, cache=True, stale=True), delete=True)
    for place in (machine.cache / "images", machine.results / "smoke-runs", tmp_path / "far" / STALE):
        assert list(place.iterdir()) == []
    assert (machine.cache / "images").is_symlink()


def test_all_kinds_at_once(machine: Machine):
    clean(machine, Wanted(stale=True, checkpoints=True, weights=True, smoke=True, cache=True), delete=True)
    assert [record.id for record in Store(machine.results).records()] == [CURRENT, LISTED]


def test_looking_at_an_empty_machine_makes_no_folder(tmp_path: Path):
    machine = Machine(results=tmp_path / "results", cache=tmp_path / "cache")
    assert "nothing deleted" in clean(machine, Wanted(), delete=False)
    assert list(tmp_path.iterdir()) == []


def test_one_looks_while_a_run_works_but_does_not_delete(machine: Machine):
    with Presence(machine.results):
        assert "nothing deleted" in clean(machine, Wanted(weights=True), delete=False)
        with pytest.raises(UserError, match="another run is working"):
            clean(machine, Wanted(weights=True), delete=True)


def test_a_trial_of_another_kornia_is_stale_and_one_of_todays_is_not(tmp_path: Path):
    store = Store(tmp_path)
    key, today = "augmentation:kornia:RandomRotation", metadata.version("kornia")
    for id, version in ((CURRENT, today), (STALE, "0.1")):
        store.write(record(id, {**ROOMS, "model:custom_cnn": 1, key: version}), history=[], predictions={})
    clean(Machine(results=tmp_path, cache=tmp_path / "cache"), Wanted(stale=True), delete=True)
    assert [store.read(id) is not None for id in (CURRENT, STALE)] == [True, False]
