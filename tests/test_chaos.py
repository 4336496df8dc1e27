"""Two kills, a full disk and torn files; ``just chaos`` does more of it."""

from __future__ import annotations

from pathlib import Path

import pytest
from chaos import run


@pytest.mark.slow
def test_kills_a_full_disk_and_torn_files_leave_every_record_and_the_report_as_in_a_quiet_run(
    tmp_path: Path,
) -> None:
    chaos = run(tmp_path, kills=2, seed=1)
    assert sum(what.startswith("killed") for what in chaos.did) == 2
    assert {"truncated a record", "corrupted a checkpoint"} < set(chaos.did)
