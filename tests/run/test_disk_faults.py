"""Whatever write of a tuned study fails: a message or a note, and the next run ends as if nothing had.

It fails as on a full disk, on a broken one, on another's file or in a folder that is gone, these in turn. CI
tries one write in ten, ``DEEP=1`` every one, ``DEEP=1 FAULTS=2/9`` the second ninth of these. Trials are not
trained anew: each gives what it gave first.
"""

from __future__ import annotations

import builtins
import errno
import functools
import os
import random
import shutil
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tiny import machine_in

from bench.commands.report import Wanted, reports
from bench.errors import UserError
from bench.files import BROKEN, IN_THE_WAY, REFUSED
from bench.progress.terminal import Terminal
from bench.run.conductor import Options, run_study
from bench.store import Store, equal_view
from bench.trial import trial_turns

STUDY = """\
question = "Does a flip help?"
seeds = 2

[data]
source = "synthetic"
size_px = 16
n_images = 120

[recipe]
model = { name = "custom_cnn", widths = [4], dense = 8 }
batch_size = 32
stages = [{ train = "all", steps = 2 }]

[arms]
none = {}
flips = { augment = ["flip"] }

[tune]
candidates = 1
finalists = 0
[tune.space]
batch_size = { choices = [16, 32] }
"""
DEEP = bool(os.environ.get("DEEP"))
SHARE = 1 if DEEP else 10
PART, PARTS = map(int, os.environ.get("FAULTS", "1/1").split("/"))
CALLS = ("fsync", "replace", "rename", "mkdir")
KINDS = (errno.ENOSPC, errno.EIO, errno.EACCES, errno.ENOENT)


class Faults:
    """Counts the calls that write, and lets one of them fail."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.count, self.fails = 0, -1
        for name in CALLS:
            monkeypatch.setattr(os, name, functools.partial(self.call, getattr(os, name), name))
        monkeypatch.setattr(builtins, "open", functools.partial(self.call, open, "open"))

    def call(self, real: Callable[..., Any], name: str, *given: Any, **named: Any) -> Any:
        if name == "open" and not set(given[1] if len(given) > 1 else "r") & set("wxa+"):
            return real(*given, **named)
        self.count += 1
        if self.count == self.fails:
            where = None if name == "fsync" else str(given[0])
            kind = KINDS[self.count % len(KINDS)]
            if name in ("fsync", "mkdir") and kind == errno.ENOENT:
                kind = errno.EROFS  # these find what they are asked for
            raise OSError(kind, os.strerror(kind), where)
        return real(*given, **named)


@pytest.fixture
def repeated(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every trial gives what it gave the first time."""
    known: dict[str, Any] = {}

    def once(trial: Any, *rest: Any) -> Any:
        if trial.id not in known:
            known[trial.id] = yield from trial_turns(trial, *rest)
        return known[trial.id]

    monkeypatch.setattr("bench.execute.work.trial_turns", once)


@pytest.fixture
def faults(monkeypatch: pytest.MonkeyPatch) -> Faults:
    return Faults(monkeypatch)


def go(folder: Path) -> int:
    return run_study(folder / "tuned.toml", machine_in(folder), Options(), Terminal(quiet=True)).exit_code


def untold(folder: Path) -> str:
    """What a run ended with that the command line cannot tell as a message or a file that is not written."""
    try:
        go(folder)
    except UserError:
        return ""
    except OSError as error:
        told = error.errno in (*REFUSED, *BROKEN, *IN_THE_WAY) and error.filename
        return "" if told else "".join(traceback.format_exception(error))
    return ""


def printed(folder: Path, capsys: pytest.CaptureFixture[str]) -> str:
    capsys.readouterr()
    reports(["tuned"], machine_in(folder), Wanted(("md",), no_cost=True), reference=False)
    return capsys.readouterr().out


@pytest.mark.slow
@pytest.mark.usefixtures("repeated")
def test_whatever_write_fails_the_next_run_ends_as_a_quiet_one(
    tmp_path: Path, faults: Faults, capsys: pytest.CaptureFixture[str]
) -> None:
    quiet, torn = tmp_path / "quiet", tmp_path / "torn"
    for folder in (quiet, torn):
        folder.mkdir()
        (folder / "tuned.toml").write_text(STUDY)
    assert go(quiet) == 0
    shutil.rmtree(quiet / "results")
    shutil.rmtree(quiet / "cache")
    faults.count = 0
    assert go(quiet) == 0
    writes = faults.count
    assert writes > 50
    expected = {record.id: equal_view(record) for record in Store(quiet / "results").records()}
    report = printed(quiet, capsys)
    numbers = random.Random(0).sample(range(1, writes + 1), writes // SHARE)
    for number in sorted(numbers)[PART - 1 :: PARTS]:
        for old in ("results", "cache"):
            shutil.rmtree(torn / old, ignore_errors=True)
        faults.count, faults.fails = 0, number
        assert untold(torn) == "", number
        assert faults.count >= number
        faults.fails = -1
        assert go(torn) == 0, number
        store = Store(torn / "results")
        assert {record.id: equal_view(record) for record in store.records()} == expected, number
        assert all(not store.lost(record, whole=True) for record in store.records())
        assert printed(torn, capsys) == report, number


def test_what_a_killed_run_had_begun_to_write_goes_with_the_next(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "tuned.toml").write_text(STUDY.replace("seeds = 2", "seeds = 1"))
    assert go(tmp_path) == 0
    results = tmp_path / "results"
    trial = Store(results).trial_dir(Store(results).ids()[0])
    begun = [folder / ".record.json.01234567.part" for folder in (results, results / "tuned", trial)]
    young = results / ".index.md.76543210.part"
    for part in (*begun, young):
        part.write_text("{")
    for part in begun:
        os.utime(part, (0, 0))
    assert go(tmp_path) == 0
    assert not any(part.exists() for part in begun)
    assert young.exists(), "another process may be at it"


@pytest.mark.usefixtures("repeated")
@pytest.mark.parametrize("role", ["final", "tune"])
def test_a_folder_that_takes_no_file_leaves_other_trials_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, role: str
) -> None:
    (tmp_path / "tuned.toml").write_text(STUDY)
    assert go(tmp_path) == 0
    store = Store(tmp_path / "results")
    expected = {record.id: equal_view(record) for record in store.records()}
    shut = next(record for record in store.records() if record.role == role)
    shutil.rmtree(tmp_path / "results" / "trials")
    store.trial_dir(shut.id).mkdir(parents=True)
    with monkeypatch.context() as patch:
        refuse(patch, store.trial_dir(shut.id))
        for _ in range(2):
            ending = run_study(tmp_path / "tuned.toml", machine_in(tmp_path), Options(), Terminal(quiet=True))
            (told,) = ending.failures
            assert "cannot be written: Operation not permitted; the trial is left as it is" in told
            assert ending.exit_code == 1
    found = {record.id: equal_view(record) for record in store.records()}
    if role == "final":
        assert found == {id: view for id, view in expected.items() if id != shut.id}
    else:
        assert all(record.recipe["augment"] != shut.recipe["augment"] for record in store.records())
        assert len(found) == len(expected) / 2
    assert go(tmp_path) == 0
    assert {record.id: equal_view(record) for record in store.records()} == expected


@pytest.mark.usefixtures("repeated")
def test_a_disk_that_takes_no_file_ends_the_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "tuned.toml").write_text(STUDY)
    (tmp_path / "results" / "trials").mkdir(parents=True)
    refuse(monkeypatch, tmp_path / "results" / "trials")
    with pytest.raises(PermissionError):
        go(tmp_path)


def refuse(patch: pytest.MonkeyPatch, folder: Path) -> None:
    """No file can be written below a folder, as in one of somebody else's."""

    def guarded(real: Callable[..., Any], name: str) -> Callable[..., Any]:
        def call(path: Any, *given: Any, **named: Any) -> Any:
            how = given[0] if given else named.get("mode", "r")
            writes = how & os.O_ACCMODE if isinstance(how, int) else set(how) & set("wxa+")
            if (writes or name == "mkdir") and str(path).startswith(str(folder)):
                raise PermissionError(errno.EPERM, os.strerror(errno.EPERM), str(path))
            return real(path, *given, **named)

        return call

    for where, name in ((os, "open"), (os, "mkdir"), (builtins, "open")):
        patch.setattr(where, name, guarded(getattr(where, name), name))
