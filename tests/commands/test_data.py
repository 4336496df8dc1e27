from pathlib import Path

import pytest

from bench import registry
from bench.commands.data import fetch, sources
from bench.errors import UserError
from bench.machine import Machine
from bench.progress.terminal import Terminal


def test_the_sources_listed_are_those_a_study_can_name(tmp_path: Path):
    text = sources(Machine(paths={}))
    for form in ("bloodmnist", "folder:PATH", "npz:PATH", "synthetic"):
        assert registry.sources.problem(form) is None
        assert f"\n{form}" in f"\n{text}"
    assert text.endswith("  none")


def test_named_folders_are_listed_and_missing_ones_marked(tmp_path: Path):
    machine = Machine(paths={"cells": tmp_path, "gone": tmp_path / "gone"})
    lines = sources(machine).splitlines()
    assert f"  @cells        {tmp_path}" in lines
    assert f"  @gone         {tmp_path / 'gone'}   (missing)" in lines


@pytest.mark.parametrize(
    ("source", "says"),
    [
        ("synthetic", "only bloodmnist is downloaded"),
        ("folder:x", "only bloodmnist is downloaded"),
        ("", "no source of that name"),
        ("mnist", 'did you mean "bloodmnist"'),
    ],
)
def test_only_bloodmnist_is_downloaded(tmp_path: Path, source: str, says: str):
    with pytest.raises(UserError, match=says):
        fetch(source, 96, Machine(cache=tmp_path), Terminal(quiet=True))
