"""Four runs of one tuned study on one folder, killed and stopped at random; all is as one run leaves it.

``python tests/joined.py [DEEDS] [SEED]``. Processes are forked from one that has imported torch. The file
system has no locks, as far as Python can tell. CI has four deeds, ``test_joined.py``, ``just deep`` thirty.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import io
import os
import random
import signal
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

STUDY = """\
question = "Does a flip help?"
seeds = 3
baseline = "none"

[data]
source = "synthetic"
size_px = 16
n_images = 120

[hidden.other-lab]
kind = "synthetic"
images = 40

[recipe]
model = { name = "custom_cnn", widths = [8, 16], dense = 16 }
batch_size = 32
stages = [{ train = "all", epochs = 12 }]

[arms]
none = {}
flips = { augment = ["flip"] }

[tune]
candidates = 4
[tune.space]
"optimizer.lr" = { low = 1e-4, high = 1e-2, log = true }
"""
RUNS = 4
LEASE_S = 1.5
LONGEST_S = 120.0
"""For what is to come by itself."""


def without_locks(*_: object) -> None:
    """Stands in for flock and lockf on storage that has none."""
    raise OSError(errno.ENOLCK, "No locks available")


@dataclass
class Shared:
    """A study that several processes run."""

    folder: Path
    dice: random.Random
    say: Callable[[str], object] = print
    did: list[str] = field(default_factory=list)
    running: list[int] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.study, self.results = self.folder / "shared.toml", self.folder / "results"
        self.study.write_text(STUDY)

    def begin(self) -> None:
        """One more process that runs it."""
        child = os.fork()
        if child:
            self.running.append(child)
            return
        code = 70
        try:
            with open(self.folder / f"log-{os.getpid()}.txt", "wb") as log:
                os.dup2(log.fileno(), 1)
                os.dup2(log.fileno(), 2)
            code = run_study(self.study, self.results)
        finally:
            sys.stderr.flush()
            os._exit(code)

    def harm(self) -> None:
        """Kill a process and begin another; or stop one for longer than its lease."""
        time.sleep(self.dice.uniform(0.1, 1.0))
        victim = self.dice.choice(self.running)
        if self.dice.random() < 0.2 or (len(self.did) == 1 and "stopped" not in self.did):
            os.kill(victim, signal.SIGSTOP)
            time.sleep(self.dice.uniform(1.5, 2.5) * LEASE_S)
            os.kill(victim, signal.SIGCONT)
            self.did.append("stopped")
            return
        os.kill(victim, signal.SIGKILL)
        os.waitpid(victim, 0)
        self.running.remove(victim)
        self.did.append("killed")
        self.begin()

    def survive(self, deeds: int) -> None:
        """Do the worst, then let all end in peace."""
        for _ in range(RUNS):
            self.begin()
        while len(self.did) < deeds:
            self.replace_ended()
            self.harm()
        until = time.monotonic() + LONGEST_S
        for each in self.running:
            while not (ended := os.waitpid(each, os.WNOHANG))[0]:
                assert time.monotonic() < until, f"process {each} never ends:\n{self.log_of(each)}"
                time.sleep(0.05)
            assert os.waitstatus_to_exitcode(ended[1]) == 0, self.log_of(each)

    def replace_ended(self) -> None:
        """A run that came to its end gets something to do again: some records go, and another run begins."""
        for each in list(self.running):
            ended, status = os.waitpid(each, os.WNOHANG)
            if not ended:
                continue
            assert os.waitstatus_to_exitcode(status) == 0, self.log_of(each)
            self.running.remove(each)
            if not self.running:
                for record in self.dice.sample(sorted(self.results.glob("trials/*/record.json")), 12):
                    record.unlink()
            self.begin()

    def log_of(self, process: int) -> str:
        """What a process said."""
        return (self.folder / f"log-{process}.txt").read_text(errors="replace")[-3000:]


def run_study(study: Path, results: Path, *, quiet: bool = False) -> int:
    """``bench run`` in this process; its exit code."""
    from bench.machine import Machine
    from bench.progress.terminal import Terminal
    from bench.run import conductor

    cache = study.parent / "cache"
    machine = Machine(results=results, cache=cache, device="cpu", executor="inline", lease_s=LEASE_S)
    return conductor.run_study(study, machine, conductor.Options(), Terminal(quiet=quiet)).exit_code


def check(one: Path, other: Path, study: str) -> int:
    """Every record, all predictions and the report are equal, and nothing else is left; how many records."""
    from bench.commands.report import Wanted, reports
    from bench.machine import Machine
    from bench.store import PREDICTIONS, Store, equal_view

    mine, quiet = Store(one), Store(other)
    assert mine.ids() == quiet.ids()
    assert mine.damaged() == []
    for record in quiet.records():
        found = mine.read(record.id)
        assert found is not None
        assert equal_view(found) == equal_view(record), record.id
        assert mine.lost(found, whole=True) == "", record.id
        said, before = (store.trial_dir(record.id) / PREDICTIONS for store in (mine, quiet))
        assert said.read_bytes() == before.read_bytes()
        assert not (mine.trial_dir(record.id) / "checkpoint.pt").exists()
    texts = []
    for results in (one, other):
        with contextlib.redirect_stdout(io.StringIO()) as printed:
            assert reports([study], Machine(results=results), Wanted(no_cost=True), reference=False) == 0
        texts.append(printed.getvalue())
    assert texts[0] == texts[1]
    assert "Does a flip help?" in texts[0]
    for left in (one / ".claims", one / ".running"):
        there = [file.relative_to(left).as_posix() for file in left.rglob("*")]
        assert there == [], "nobody is there any more"
    return len(mine.ids())


def run(folder: Path, deeds: int, seed: int, say: Callable[[str], object] = print) -> list[str]:
    """One quiet run, four that are harmed, and the comparison; what was done to them."""
    fcntl.flock = fcntl.lockf = without_locks  # type: ignore[assignment]
    shared = Shared(folder, random.Random(seed), say)
    assert run_study(shared.study, folder / "quiet", quiet=True) == 0
    try:
        shared.survive(deeds)
    finally:
        for each in shared.running:
            with contextlib.suppress(OSError):
                os.kill(each, signal.SIGKILL)
    trials = check(shared.results, folder / "quiet", "shared")
    say(f"  {trials} records, the report is the same")
    return shared.did


def main() -> None:
    """Run as a script."""
    deeds, seed = (int(word) for word in (sys.argv[1:] + ["30", "0"][len(sys.argv) - 1 :])[:2])
    with tempfile.TemporaryDirectory() as folder:
        begun = time.time()
        did = run(Path(folder), deeds, seed)
        told = f"{did.count('killed')} kills, {did.count('stopped')} stops beyond the lease"
        print(f"{told}, of {RUNS} runs at once, in {time.time() - begun:.0f} s")


if __name__ == "__main__":
    main()
