from pathlib import Path

import pytest

from bench.claims import Presence, told
from bench.commands import doctor
from bench.commands.doctor import examine
from bench.machine import Machine
from bench.progress.board import Board


def test_a_machine_that_can_write_is_well(tmp_path: Path):
    (tmp_path / "here").mkdir()
    paths = {"there": tmp_path / "here", "gone": tmp_path / "gone"}
    machine = Machine(results=tmp_path / "new" / "results", cache=tmp_path / "cache", paths=paths)
    text, well = examine(machine)
    lines = text.splitlines()
    assert well
    assert lines[-1] == "all well"
    assert f"path       @there → {tmp_path / 'here'}" in lines
    assert f"path       @gone → {tmp_path / 'gone'}  (missing)" in lines
    assert any(line.startswith("libraries  python ") and " torch " in line for line in lines)
    assert any(line.startswith(f"results    {tmp_path / 'new' / 'results'}  ") for line in lines)
    assert any(
        line.startswith("executor   local, workers chosen per device, gang chosen per device, ray ")
        for line in lines
    )
    assert any(line.startswith("           fp32, bf16") for line in lines)
    assert list(tmp_path.iterdir()) == [tmp_path / "here"], "looking leaves nothing behind"


def test_a_folder_that_cannot_be_written_is_a_problem(tmp_path: Path):
    (tmp_path / "file").write_text("in the way")
    text, well = examine(Machine(results=tmp_path / "file", cache=tmp_path / "file" / "cache", workers=3))
    assert not well
    assert f"problem    results: {tmp_path / 'file'} cannot be written (Not a directory)" in text
    assert text.endswith("2 problems")
    assert "workers 3" in text


def test_a_disk_that_is_nearly_full_is_a_problem(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(doctor, "_free", lambda path: 12_000_000)
    text, well = examine(Machine(results=tmp_path, cache=tmp_path))
    assert not well
    assert f"problem    results: {tmp_path} has 12 MB left; bench clean frees some" in text


def test_a_gpu_that_torch_cannot_use_is_a_problem(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(doctor, "unused_gpu", lambda: "The NVIDIA driver on your system is too old")
    text, well = examine(Machine(results=tmp_path, cache=tmp_path))
    assert not well
    assert (
        "problem    gpu: there is one that torch cannot use: The NVIDIA driver on your system is too" in text
    )


def test_whether_processes_share_a_gpus_processors_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("CUDA_MPS_PIPE_DIRECTORY", str(tmp_path))
    assert doctor._mps().startswith("mps        off")
    (tmp_path / "control").touch()
    assert doctor._mps().startswith("mps        its daemon runs")


def test_a_run_at_work_is_named(tmp_path: Path):
    with Presence(tmp_path) as presence:
        presence.tell(**Board("cells", 12).as_data())
        text, well = examine(Machine(results=tmp_path, cache=tmp_path))
    assert well
    assert f"running    cells: 0/12, {told(presence.owner)}" in text
