from __future__ import annotations

from pathlib import Path

import pytest
import torch

from bench.claims import Presence
from bench.errors import UserError
from bench.execute import driver
from bench.execute.driver import unused_gpu
from bench.machine import Machine
from bench.progress.terminal import Terminal
from bench.run.crew import crew, device_of

OLD = "The NVIDIA driver on your system is too old (found version 11040)."


@pytest.fixture
def old_driver(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine with a GPU whose driver is too old for torch."""

    def init() -> None:
        raise RuntimeError(OLD + "\nPlease update your GPU driver")

    (tmp_path / "gpus" / "0000:01:00.0").mkdir(parents=True)
    monkeypatch.setattr(driver, "DRIVER", tmp_path / "gpus")
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.version, "cuda", "13.0")
    monkeypatch.setattr(torch.cuda, "init", init)


def test_an_old_driver_is_told(old_driver: None) -> None:
    assert unused_gpu() == OLD


def test_a_torch_without_cuda_is_told(old_driver: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.version, "cuda", None)
    assert unused_gpu() == f"torch {torch.__version__} was built without CUDA"


def test_no_gpu_a_hidden_one_and_one_in_use_are_no_problem(
    old_driver: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    assert unused_gpu() == ""
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES")
    monkeypatch.setattr(driver, "DRIVER", tmp_path / "none")
    assert unused_gpu() == ""
    monkeypatch.setattr(driver, "DRIVER", tmp_path / "gpus")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert unused_gpu() == ""


def test_a_run_on_the_cpu_beside_such_a_gpu_says_so(
    old_driver: None, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def told(device: str) -> str:
        machine = Machine(tmp_path / "results", tmp_path / "cache", device)
        with (
            Presence(machine.results) as presence,
            crew(machine, presence, Terminal(), keep_weights=False, smoked=False) as hands,
        ):
            assert hands.place.device == "cpu"
        return capsys.readouterr().err

    assert OLD in told("auto")
    assert told("cpu") == "", "the person said so"
    with pytest.raises(UserError, match=r"torch sees no GPU.*The NVIDIA driver on your system is too old"):
        device_of(Machine(tmp_path, tmp_path, "cuda"))
