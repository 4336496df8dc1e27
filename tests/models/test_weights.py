from __future__ import annotations

import argparse
import re
import resource
from pathlib import Path

import pytest
import torch

from bench.errors import UserError
from bench.execute.records import cause_of
from bench.models.weights import compare, load_strictly, read, save, without_prefix

STATE = {"a.weight": torch.arange(6.0).view(2, 3), "b.num_batches_tracked": torch.tensor(7)}


def test_what_is_saved_reads_back_equal(tmp_path: Path) -> None:
    path = tmp_path / "weights.safetensors"
    save({**STATE, "c": torch.rand(2, 3, 4, 4).contiguous(memory_format=torch.channels_last)}, path)
    back = read(path)
    assert all(torch.equal(back[name], tensor) for name, tensor in STATE.items())
    assert [p.name for p in tmp_path.iterdir()] == ["weights.safetensors"]


def test_a_write_that_breaks_leaves_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "weights.safetensors"
    save(STATE, path)
    before = path.read_bytes()
    shared = torch.zeros(4)
    with pytest.raises(RuntimeError, match="share memory"):
        save({"x": shared, "y": shared}, path)
    assert path.read_bytes() == before
    assert len(list(tmp_path.iterdir())) == 1


@pytest.mark.parametrize("wrapper", [None, "state_dict", "model", "model_state_dict"])
def test_a_training_scripts_checkpoint_is_unwrapped(wrapper: str | None, tmp_path: Path) -> None:
    torch.save({wrapper: STATE, "epoch": 3} if wrapper else STATE, tmp_path / "w.pth")
    assert set(read(tmp_path / "w.pth")) == set(STATE)


@pytest.mark.parametrize("prefix", ["", "module.", "model.", "model._orig_mod.", "module.backbone."])
def test_what_wrappers_put_before_all_names_is_taken_off(prefix: str) -> None:
    state = {f"{prefix}{name}": tensor for name, tensor in STATE.items()} | {"loss.weight": torch.ones(2)}
    names = set(STATE) | (set() if prefix else {"loss.weight"})
    assert set(without_prefix(state, STATE)) == names


def test_a_part_that_repeats_inside_a_network_is_no_prefix() -> None:
    wanted = ["norm.weight", "blocks.0.norm.weight", "blocks.1.norm.weight"]
    state = {f"model.{name}": torch.ones(1) for name in wanted}
    assert list(without_prefix(state, wanted)) == wanted
    foreign = {"layer.norm.weight": torch.ones(1), "x": torch.ones(1)}
    assert set(without_prefix(foreign, wanted)) == set(foreign)


def test_a_file_that_holds_the_network_twice_is_refused() -> None:
    twice = {f"{prefix}{name}": tensor for prefix in ("net.", "ema.") for name, tensor in STATE.items()}
    with pytest.raises(UserError, match=r"more than once, under ema\. and net\."):
        without_prefix(twice, STATE)


class Harmful:
    def __reduce__(self) -> tuple:
        return (Path.touch, (Path("executed"),))


def test_nothing_in_a_weight_file_is_executed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    torch.save({"a": Harmful()}, "evil.pth")
    with pytest.raises(
        UserError, match=r"holds more than tensors \(.*code in a weight file is never run"
    ) as error:
        read(Path("evil.pth"))
    assert "\x1b" not in str(error.value)
    assert not Path("executed").exists()


def test_what_to_do_with_a_checkpoint_that_holds_objects_is_said_and_works(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    torch.save({"state_dict": STATE, "hyper_parameters": argparse.Namespace(lr=1)}, "x.ckpt")
    with pytest.raises(UserError, match=r"holds more than tensors \(argparse\.Namespace\)") as error:
        read(Path("x.ckpt"))
    (code,) = re.findall(r'python -c "(.*)"', str(error.value))
    exec(code)  # what the message says
    assert set(read(Path("weights.pth"))) == set(STATE)


@pytest.mark.parametrize("name", ["w.pth", "w.safetensors"])
def test_a_damaged_or_missing_file_is_one_clear_error(name: str, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no such file"):
        read(tmp_path / name)
    (tmp_path / name).write_bytes(b"not weights at all")
    with pytest.raises(UserError, match="not a readable weight file"):
        read(tmp_path / name)


def test_a_file_of_something_else_than_tensors_is_refused(tmp_path: Path) -> None:
    torch.save([1, 2], tmp_path / "w.pth")
    with pytest.raises(UserError, match="holds a list"):
        read(tmp_path / "w.pth")
    torch.save({"epoch": 3, "weights": STATE}, tmp_path / "w.pth")
    with pytest.raises(
        UserError, match=r'holds a dict with \["epoch", "weights"\].*\n.*under one of state_dict'
    ):
        read(tmp_path / "w.pth")


def test_comparison_names_what_differs_and_forgives_missing_counters() -> None:
    model = {"a": torch.zeros(2), "b": torch.zeros(3), "n.num_batches_tracked": torch.tensor(0)}
    assert compare(model, {"a": torch.ones(2), "b": torch.ones(3)}).fits
    found = compare(model, {"a": torch.ones(2), "b": torch.ones(4), "z": torch.ones(1)})
    assert not found.fits
    assert str(found) == (
        "1 of the model's 2 tensors match; 1 another shape (b (4,), not (3,)); 1 not in the model (z)"
    )


def test_a_module_is_left_alone_when_the_file_does_not_fit() -> None:
    module = torch.nn.Linear(2, 2)
    before = module.weight.detach().clone()
    with pytest.raises(UserError, match=r"^FILE: 1 of the model's 2 tensors match"):
        load_strictly(module, {"weight": torch.zeros(2, 2), "bias": torch.zeros(3)}, "FILE")
    assert torch.equal(module.weight, before)


def test_weights_beyond_the_limit_of_a_file_are_the_system_s_refusal(tmp_path: Path) -> None:
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, limits[1]))
    try:
        with pytest.raises(OSError, match="File too large") as caught:
            save({"x": torch.zeros(4096)}, tmp_path / "w.safetensors")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert cause_of(caught.value) == "interrupted", "no fault of the arm"
    assert list(tmp_path.iterdir()) == []
