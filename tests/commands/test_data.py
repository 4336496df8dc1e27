from pathlib import Path

import pytest

from bench.commands.data import SOURCES, fetch, sources
from bench.errors import UserError
from bench.machine import Machine
from bench.progress.terminal import Terminal
from bench.recipe import Data


def test_the_sources_listed_are_those_a_study_can_name(tmp_path: Path):
    text = sources(Machine(paths={}))
    for name, _ in SOURCES:
        assert Data(source=name).source == name
        assert f"\n{name}" in f"\n{text}"
    assert text.endswith("  none")


def test_named_folders_are_listed_and_missing_ones_marked(tmp_path: Path):
    machine = Machine(paths={"cells": tmp_path, "gone": tmp_path / "gone"})
    lines = sources(machine).splitlines()
    assert f"  @cells        {tmp_path}" in lines
    assert f"  @gone         {tmp_path / 'gone'}   (missing)" in lines


@pytest.mark.parametrize("source", ["synthetic", "folder:x", "", "mnist"])
def test_only_bloodmnist_is_downloaded(tmp_path: Path, source: str):
    with pytest.raises(UserError, match="only bloodmnist is downloaded"):
        fetch(source, 96, Machine(cache=tmp_path), Terminal(quiet=True))
