"""Two or three kills and a stop of runs that share a folder; ``just deep`` does more of it."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
LOCKS = re.compile(r"\b(flock|lockf|fcntl|filelock|FileLock)\b")


@pytest.mark.slow
def test_four_joined_runs_that_are_killed_and_stopped_leave_what_one_leaves() -> None:
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(ROOT), *sys.path])}
    done = subprocess.run(
        [sys.executable, str(ROOT / "tests" / "joined.py"), "4", "1"],
        env=environment,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    assert re.search(r"[23] kills, [12] stops", done.stdout), done.stdout


def test_nothing_of_bench_asks_a_file_system_for_locks() -> None:
    """Storage that several machines share often has none."""
    files = sorted((ROOT / "bench").rglob("*.py"))
    assert not [path for path in files if LOCKS.search(path.read_text("utf-8"))]
