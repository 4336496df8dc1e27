"""Studies that train in a second, written to disk, for tests that go through the whole house."""

from __future__ import annotations

from pathlib import Path

from bench.machine import Machine

TINY = """\
question = "Does a flip help?"
seeds = {seeds}

[data]
source = "synthetic"
size_px = 16
n_images = 120

{hidden}

[recipe]
model = {{ name = "custom_cnn", widths = [4], dense = 8 }}
batch_size = 32
stages = [{{ train = "all", steps = 2 }}]

[arms]
none = {{}}
{arms}

[[claims]]
says = "A flip helps"
better = "flips"
than = "none"
"""
HIDDEN = """\
[hidden.other-lab]
kind = "synthetic"
images = 40
"""
FLIPS = 'flips = { augment = ["flip"] }'


def write_study(
    folder: Path, *, seeds: int = 1, hidden: str = "", arms: str = FLIPS, name: str = "tiny"
) -> Path:
    """A study file in ``folder``."""
    file = folder / f"{name}.toml"
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(TINY.format(seeds=seeds, hidden=hidden, arms=arms))
    return file


def machine_in(folder: Path, **settings: object) -> Machine:
    """A machine whose results and cache lie in ``folder``; trials run in this process."""
    places = {"results": folder / "results", "cache": folder / "cache", "executor": "inline", "device": "cpu"}
    return Machine(**(places | settings))  # type: ignore[arg-type]
