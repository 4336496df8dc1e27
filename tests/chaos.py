"""Kill a study again and again, fill its disk, tear its files; in the end nothing may be lost or different.

``python tests/chaos.py [KILLS] [SEED]``, or ``just chaos``. Of ten kills one is of processes as people start
them; the others are forked from this one, which has imported torch, and take a second where those take ten.
CI has a tenth of the 200 kills of ``just deep``, ``test_chaos.py``.
"""

from __future__ import annotations

import contextlib
import math
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from bench.claims import at_work

STUDY = """\
question = "Does a flip help?"
seeds = {seeds}

[data]
source = "synthetic"
size_px = 32
n_images = 240

[hidden.other-lab]
kind = "synthetic"
images = 60

[recipe]
model = {{ name = "custom_cnn", widths = [8, 16], dense = 16 }}
batch_size = 32
stages = [{{ train = "all", epochs = 16 }}]

[arms]
none = {{}}
flips = {{ augment = ["flip"] }}
rotations = {{ augment = ["rotate"] }}
"""
ARMS = 3
MOST_SEEDS = 10
TMPFS_MB = 64
LONGEST_S = 60.0
"""For a run to begin its first trial: two cold imports of torch on a busy machine."""
AGAIN = "killed,interrupted,timeout"
"""Kills can hit one trial more often than a run puts up with."""


class Running(Protocol):
    """A run in the background."""

    @property
    def pid(self) -> int: ...

    def poll(self) -> int | None: ...

    def wait(self, timeout: float | None = None) -> int: ...

    def kill(self) -> None: ...


class Forked:
    """``bench`` in a fork of this process, its workers in forks of that."""

    def __init__(self, asked: list[str], log: int, cache: Path) -> None:
        self._code: int | None = None
        self.pid = os.fork()
        if self.pid:
            return
        code = 70
        try:
            os.dup2(log, 1)
            os.dup2(log, 2)
            code = _bench(asked, cache)
        finally:
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(code)

    def poll(self) -> int | None:
        """Its exit code; None while it runs."""
        if self._code is None:
            ended, status = os.waitpid(self.pid, os.WNOHANG)
            self._code = os.waitstatus_to_exitcode(status) if ended else None
        return self._code

    def wait(self, timeout: float | None = None) -> int:
        """Its exit code, once it has ended. Raises TimeoutExpired, as Popen does."""
        until = math.inf if timeout is None else time.monotonic() + timeout
        while (code := self.poll()) is None:
            if time.monotonic() > until:
                raise subprocess.TimeoutExpired("bench", timeout or 0.0)
            time.sleep(0.02)
        return code

    def kill(self) -> None:
        """SIGKILL."""
        if self.poll() is None:
            os.kill(self.pid, signal.SIGKILL)


def _bench(asked: list[str], cache: Path) -> int:
    """The command line in this process; its exit code."""
    import torch

    from bench import cli
    from bench.execute import local

    torch.set_num_threads(1)
    os.environ |= {"OMP_NUM_THREADS": "1", "BENCH_CACHE": str(cache)}
    serve = local._serve

    def alone(pipe: Any, *rest: Any) -> None:
        """A worker that holds no end of another's pipe, as a spawned one does not."""
        for fd in map(int, os.listdir("/proc/self/fd")):
            if fd > 2 and fd != pipe.fileno():
                with contextlib.suppress(OSError):  # the listing's own
                    os.close(fd)
        serve(pipe, *rest)

    local._serve, local.START = alone, "fork"
    sys.argv = ["bench", *asked]
    try:
        cli.main()
    except SystemExit as ended:
        return ended.code if isinstance(ended.code, int) else 1
    return 0


@dataclass
class Chaos:
    """A study that is to survive."""

    folder: Path
    dice: random.Random
    seeds: int = 4
    say: Callable[[str], None] = print
    forked: bool = True
    did: list[str] = field(default_factory=list)
    torn: set[str] = field(default_factory=set)

    def __post_init__(self) -> None:
        self.study = self.folder / "chaos.toml"
        self.results = self.folder / "results"
        self.study.write_text(STUDY.format(seeds=self.seeds))
        self.trials = ARMS * self.seeds

    def note(self, what: str) -> None:
        """Remember what was done to it."""
        self.did.append(what)
        self.say(f"  {what}")

    def start(self, results: Path) -> Running:
        """``bench run`` in the background."""
        asked = ["run", str(self.study), "--results", str(results), "--executor", "local"]
        asked += ["--workers", "2", "--device", "cpu", "--retry", AGAIN]
        with open(self.folder / "log.txt", "ab") as log:
            if self.forked:
                return Forked(asked, log.fileno(), self.folder / "cache")
            return subprocess.Popen(
                [sys.executable, "-m", "bench", *asked],
                stdout=log,
                stderr=log,
                env=os.environ | {"OMP_NUM_THREADS": "1", "BENCH_CACHE": str(self.folder / "cache")},
            )

    def survive(self, kills: int, *, fill_disk: bool) -> None:
        """Do the worst, then let it end in peace."""
        deeds = [self.dice.choice(["worker", "worker", "conductor", "both"]) for _ in range(kills - 1)]
        if fill_disk:
            deeds.insert(len(deeds) // 2, "disk")
        running, left = self.start(self.results), deque([*deeds, "conductor"])
        while left:
            deed = left.popleft()
            while not self.wait_for_work(running):  # it came to its end, or gave up
                self.undo_some()
                running = self.start(self.results)
            time.sleep(self.dice.uniform(0.05, 1.0))
            if deed == "worker":
                if not self.kill_worker(running):
                    left.appendleft(deed)
                continue
            if deed == "disk":
                self.fill_disk(running)
            at_work = _workers(running.pid) if deed == "both" else []
            running.kill()
            for worker in at_work:
                with contextlib.suppress(ProcessLookupError):  # it heard of it first
                    os.kill(worker, signal.SIGKILL)
            running.wait()
            if deed in ("conductor", "both"):
                self.note(f"killed the conductor{' and its workers' if deed == 'both' else ''}")
                self.tear_files()
            running = self.start(self.results)
        for _ in range(3):
            if running.wait() == 0:
                assert self.torn == {"record", "checkpoint"}, self.torn
                return
            running = self.start(self.results)
        log = (self.folder / "log.txt").read_text()
        raise AssertionError(f"the study never came to its end:\n{log[-3000:]}")

    def wait_for_work(self, running: Running) -> bool:
        """Wait until workers train; False when the run ended before."""
        begun = time.time()
        while running.poll() is None:
            for said in at_work(self.results):
                if said["pid"] == running.pid and said.get("running") and _workers(running.pid):
                    return True
            if time.time() - begun > LONGEST_S:
                raise AssertionError("no trial began")
            time.sleep(0.1)
        return False

    def kill_worker(self, running: Running) -> bool:
        """SIGKILL to one of the workers; False where none is left."""
        workers = _workers(running.pid)
        if workers:
            os.kill(self.dice.choice(workers), signal.SIGKILL)
            self.note("killed a worker")
        return bool(workers)

    def tear_files(self) -> None:
        """Cut a record in the middle and turn bytes of a checkpoint round, as a bad disk might; once each."""
        records = sorted(self.results.glob("trials/*/record.json"))
        if records and "record" not in self.torn:
            record = self.dice.choice(records)
            content = record.read_bytes()
            record.write_bytes(content[: self.dice.randrange(len(content))])
            self.torn.add("record")
            self.note("truncated a record")
        checkpoints = sorted(self.results.glob("trials/*/checkpoint.pt"))
        if checkpoints and "checkpoint" not in self.torn:
            checkpoint = self.dice.choice(checkpoints)
            damaged = bytearray(checkpoint.read_bytes())
            for _ in range(50):
                damaged[self.dice.randrange(len(damaged))] ^= 0xFF
            checkpoint.write_bytes(damaged)
            self.torn.add("checkpoint")
            self.note("corrupted a checkpoint")

    def fill_disk(self, running: Running) -> None:
        """Fill the disk under a run until that gives up or has had its time, then make room again."""
        ballast = self.results / "ballast"
        with contextlib.suppress(OSError), open(ballast, "wb", buffering=0) as file:
            while True:
                file.write(bytes(1 << 16))
        self.note("filled the disk")
        with contextlib.suppress(subprocess.TimeoutExpired):
            running.wait(timeout=8)
        ballast.unlink()

    def undo_some(self) -> None:
        """Where little is left, give the next run something to do: a few records go."""
        records = sorted(self.results.glob("trials/*/record.json"))
        if len(records) > self.trials - 4:
            for record in self.dice.sample(records, self.trials // 2):
                record.unlink()


def _workers(conductor: int) -> list[int]:
    """Worker processes of a conductor."""
    found = []
    with contextlib.suppress(OSError):
        children = Path(f"/proc/{conductor}/task/{conductor}/children").read_text().split()
        for pid in map(int, children):
            with contextlib.suppress(OSError):
                command = Path(f"/proc/{pid}/cmdline").read_bytes()
                if b"spawn_main" in command or command == Path(f"/proc/{conductor}/cmdline").read_bytes():
                    found.append(pid)
    return found


@contextlib.contextmanager
def small_disk(folder: Path) -> Iterator[bool]:
    """Mount a small file system at ``folder``; False where this process may not."""
    folder.mkdir(parents=True, exist_ok=True)
    mount = ["mount", "-t", "tmpfs", "-o", f"size={TMPFS_MB}m", "tmpfs", str(folder)]
    try:
        mounted = subprocess.run(mount, capture_output=True).returncode == 0
    except OSError:
        mounted = False
    try:
        yield mounted
    finally:
        if mounted:
            subprocess.run(["umount", "-l", str(folder)], capture_output=True)


def check(chaos: Chaos, quiet: Path) -> None:
    """Every trial has one whole record, equal to that of a quiet run; so is the report."""
    from bench.store import Store, equal_view

    survived, expected = Store(chaos.results), Store(quiet)
    assert survived.ids() == expected.ids()
    assert len(survived.ids()) == chaos.trials
    assert survived.damaged() == []
    for id in survived.ids():
        one, other = survived.read(id), expected.read(id)
        assert one is not None
        assert other is not None
        assert equal_view(one) == equal_view(other), id
        assert not (survived.trial_dir(id) / "checkpoint.pt").exists()
    assert _report(chaos, chaos.results) == _report(chaos, quiet)


def _report(chaos: Chaos, results: Path) -> str:
    command = [sys.executable, "-m", "bench", "report", "--no-cost", str(chaos.study)]
    command += ["--results", str(results)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert "Does a flip help?" in done.stdout
    return done.stdout


def run_quietly(study: Path, results: Path) -> None:
    """Run a study in this process, which has imported torch: an executor changes no record."""
    from bench.machine import Machine
    from bench.progress.terminal import Terminal
    from bench.run.conductor import Options, run_study

    machine = Machine(results=results, cache=study.parent / "cache", device="cpu", executor="inline")
    assert run_study(study, machine, Options(), Terminal(quiet=True)).exit_code == 0


def run(folder: Path, kills: int, seed: int, say: Callable[[str], None] = print, *, forked: bool) -> Chaos:
    """A quiet run, a disturbed one, and the comparison of both.

    forked   rather than started as people do
    """
    folder.mkdir(exist_ok=True)
    chaos = Chaos(folder, random.Random(seed), min(max(3, kills // 3), MOST_SEEDS), say, forked)
    run_quietly(chaos.study, folder / "quiet")
    with small_disk(chaos.results) as small:
        if not small:
            say("  the disk is not filled: mounting a tmpfs is not allowed here")
        chaos.survive(kills, fill_disk=small)
        check(chaos, folder / "quiet")
    return chaos


def main() -> None:
    """Run as a script."""
    kills, seed = (int(word) for word in (sys.argv[1:] + ["20", "0"][len(sys.argv) - 1 :])[:2])
    started = -(-kills // 10)
    for forked, count in ((True, kills - started), (False, started)):
        with tempfile.TemporaryDirectory() as folder:
            begun = time.time()
            chaos = run(Path(folder), count, seed, forked=forked)
            killed = sum(what.startswith("killed") for what in chaos.did)
            took = f"{killed} kills of {'forks' if forked else 'runs'} in {time.time() - begun:.0f} s"
            print(f"{took}: {chaos.trials} whole records, the report is the same")


if __name__ == "__main__":
    main()
