"""Scripts that people run by hand still run."""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
from collections import Counter
from pathlib import Path
from types import ModuleType
from typing import Any

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
def results(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    """What a rehearsal of scripts/gpu.sh leaves: every step in tiny form on a CPU."""
    out = tmp_path_factory.mktemp("out")
    command = ["sh", str(SCRIPTS / "gpu.sh"), "--rehearse"]
    given = {"PYTHON": sys.executable, "PATH": "/usr/bin:/bin", "OUT": str(out)}
    done = subprocess.run(command, env=given, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + (out / "log.txt").read_text()
    assert (out / "records.tar.gz").stat().st_size > 1000
    return [json.loads(line) for line in (out / "results.jsonl").read_text().splitlines()]


@pytest.mark.slow
def test_every_step_of_a_gpu_run_can_be_rehearsed_on_a_cpu(results: list[dict[str, Any]]) -> None:
    rows = Counter(row["step"] for row in results)
    assert rows.pop("rehearsal") == 1
    assert rows == {
        "device": 1, "smoke": 1, "tests": 1, "table": 4, "plain": 1, "study": 7,
        "concurrency": 1, "identity": 3, "bars": 12,
    }  # fmt: skip
    for row in results:
        assert row.get("exit", 0) == 0
        assert not row.get("missed"), "bars are for a GPU"
        assert row.get("images_per_s", 1) > 0
        assert row.get("relative_difference", 0.0) == 0.0, "on a CPU all are the same steps"


@pytest.mark.slow
def test_a_run_becomes_the_section_of_the_performance_page(results: list[dict[str, Any]]) -> None:
    gpu_table = _module("gpu_table")
    text = gpu_table.section(results)
    assert text.startswith("## On a GPU\n")
    assert "A rehearsal on a CPU" in text
    for part in ("| bf16, recorded |", "A study of 6 trials", "Projected from these", "twice, deterministic"):
        assert part in text
    page = (SCRIPTS.parent / "docs" / "performance.md").read_text("utf-8")
    once = gpu_table.replaced(page, text)
    assert text in once
    assert gpu_table.replaced(once, text) == once
    assert [line for line in once.splitlines() if line.startswith("## ")] == [
        line for line in page.splitlines() if line.startswith("## ")
    ]
    broken = gpu_table.section([{"step": "table", "exit": 124, "seconds": 80}])
    assert "Did not come to its end: table (exit code 124)." in broken


def test_a_step_that_cannot_run_is_counted_and_stops_no_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(str(SCRIPTS))
    file = tmp_path / "results.jsonl"
    given = ["--tiny", "--results", str(file), "--work", str(tmp_path), "--cells", "folder:/nowhere"]
    assert _module("gpu_steps").main(["study", "device", *given]) == 1
    assert [json.loads(line)["step"] for line in file.read_text().splitlines()] == ["device"]


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a CUDA device")
def test_without_a_gpu_the_bars_say_so_and_judge_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        _module("gpu_bars").main([])
    assert ended.value.code == 2
    assert "no CUDA device here" in capsys.readouterr().err


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
