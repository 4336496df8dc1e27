"""Twenty kills, full disks and torn files; ``just chaos`` does more of it."""

from __future__ import annotations

from pathlib import Path

import pytest
from chaos import run


@pytest.mark.slow
@pytest.mark.parametrize(("kills", "forked"), [(18, True), (2, False)])
def test_kills_a_full_disk_and_torn_files_leave_every_record_and_the_report_as_in_a_quiet_run(
    tmp_path: Path, kills: int, forked: bool
) -> None:
    chaos = run(tmp_path, kills=kills, seed=1, forked=forked)
    assert sum(what.startswith("killed") for what in chaos.did) == kills
    assert {"truncated a record", "corrupted a checkpoint"} < set(chaos.did)
