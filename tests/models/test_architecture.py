from __future__ import annotations

import subprocess
import sys

import pytest
import torch

from bench import models
from bench.errors import UserError
from bench.models import Task, unfrozen
from bench.recipe import Choice
from bench.registry import models as registered


@pytest.mark.parametrize(
    ("train", "blocks", "expected"),
    [
        ("head", 7, 0),
        ("top:3", 7, 3),
        ("top:7", 7, 7),
        ("all", 7, 7),
        ("none", 7, 0),
        ("fraction:0.5", 7, 4),
        ("fraction:0.3", 10, 3),
        ("fraction:1.0", 7, 7),
        ("fraction:.01", 7, 1),
    ],
)
def test_unfrozen_counts_blocks_from_the_output(train: str, blocks: int, expected: int) -> None:
    assert unfrozen(train, blocks) == expected


def test_more_blocks_than_there_are_is_an_error_that_says_how_many() -> None:
    with pytest.raises(
        UserError, match=r'"top:99" asks for 99 blocks, but the model has 7 .*"top:1" to "top:7"'
    ):
        unfrozen("top:99", 7)


def test_a_constant_channel_is_not_divided_by_zero() -> None:
    assert Task(2, 3, 16, (0.1, 0.2, 0.3), (0.5, 0.0, 0.5)).normalisation[1] == (0.5, 1.0, 0.5)
    assert Task(2, 1, 16).normalisation == ((0.0,), (1.0,))


@pytest.mark.parametrize("name", ["custom_cnn", "resnet18"])
def test_the_same_seed_builds_the_same_network(name: str) -> None:
    choice = Choice(name=name, params=registered[name].parameters({}))
    states = []
    for _ in range(2):
        torch.manual_seed(5)
        states.append(models.build(choice, Task(4, 3, 32)).state_dict())
    assert all(torch.equal(states[0][key], states[1][key]) for key in states[0])


def test_importing_models_and_training_components_imports_no_torch() -> None:
    code = (
        "import sys, bench.models, bench.train; sys.exit(bool({'torch', 'timm', 'numpy'} & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
