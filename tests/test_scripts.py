"""Scripts that people run by hand still run."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import torch
from PIL import Image

SCRIPTS = Path(__file__).resolve().parent.parent / "scripts"


def _module(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, SCRIPTS / f"{name}.py")
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # a dataclass looks itself up there
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def gpu_bars() -> ModuleType:
    return _module("gpu_bars")


def test_every_gpu_figure_can_be_had_in_small_on_a_cpu(
    gpu_bars: ModuleType, capsys: pytest.CaptureFixture[str]
) -> None:
    threads = torch.get_num_threads()
    assert gpu_bars.main(["--device", "cpu", "--tiny"]) == 0
    table = capsys.readouterr().out.splitlines()[4:]
    assert len(table) == 12
    for line in table:
        assert float(line[48:57]) > 0, line
        assert line[59:61] in ("<=", ">="), line
    assert "missed" not in "".join(table), "bars are for a GPU"
    assert torch.get_num_threads() == threads


@pytest.mark.slow
def test_a_process_of_its_own_trains_when_told_to(gpu_bars: ModuleType) -> None:
    """Several of them, told at once, are the last figure."""
    tiny = gpu_bars.Bench("cpu", "custom_cnn", 16, 16, 64, 1)
    assert gpu_bars.workers(tiny, 1, False, 1) > 0


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a CUDA device")
def test_without_a_gpu_the_scripts_say_so_and_judge_nothing(
    gpu_bars: ModuleType, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        gpu_bars.main([])
    assert ended.value.code == 2
    assert "no CUDA device here" in capsys.readouterr().err
    shell = ["sh", str(SCRIPTS / "gpu.sh")]
    done = subprocess.run(shell, env={"PYTHON": sys.executable, "PATH": "/usr/bin:/bin"}, capture_output=True)
    assert done.returncode == 1
    assert b"no CUDA device: nothing was tested" in done.stderr


def test_a_file_like_the_contests_has_its_two_kinds_of_outlier(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    for name in ("a", "b"):
        (tmp_path / "cells" / name).mkdir(parents=True)
        for i in range(60):
            pixels = rng.integers(0, 256, (20, 20, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(tmp_path / "cells" / name / f"{i}.png")
    script = _module("contest_like")
    target = tmp_path / "contest.npz"
    assert script.main([str(tmp_path / "cells"), str(target), "--clean", "100", "--size", "16"]) == 0
    found = np.load(target)
    assert found["images"].shape == (100 + 13 + 2 + 2, 16, 16, 3)
    groups: dict[bytes, list[int]] = {}
    for image, label in zip(found["images"], found["labels"][:, 0], strict=True):
        groups.setdefault(image.tobytes(), []).append(int(label))
    copied = sorted((sorted(g) for g in groups.values() if len(g) > 1), key=len)
    assert [len(g) for g in copied] == [2, 2, 2, 13]
    assert copied[-1] == [0] * 7 + [1] * 6, "one picture under all labels"
    assert sum(g == [1, 1] for g in copied) >= 1, "and one in the last class alone"
