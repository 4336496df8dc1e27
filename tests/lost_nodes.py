"""Kill and stop nodes of a Ray cluster under trials; in the end every record is there, as in a quiet run.

``python tests/lost_nodes.py [DEEDS] [SEED]``. Three nodes on this machine; trials wait and make up what they
say, so that no process imports torch. CI has two deeds through ``test_lost_nodes.py``, ``just deep`` twenty.
"""

from __future__ import annotations

import contextlib
import os
import random
import signal
import sys
import tempfile
import time
import types
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

STEPS, STEP_S = 10, 0.3
HEALTH = {
    "health_check_initial_delay_ms": 1000,
    "health_check_period_ms": 1000,
    "health_check_timeout_ms": 2000,
    "health_check_failure_threshold": 3,
}
"""What docs/cluster.md says to start a cluster's head with, and faster."""


def made_up(job: Any, place: Any, listen: Callable[[Any], object], stop: Callable[[], bool]) -> Any:
    """Stands in for ``work``: a trial that waits, and whose record its id decides."""
    from bench.execute.jobs import Event
    from bench.execute.records import base, ended
    from bench.store import Record, Store

    trial = job.run.trial
    listen(Event("started", trial.id, job.run.arm, trial.replicate.seed))
    for step in range(STEPS if place.cache.name != "quiet" else 0):
        time.sleep(STEP_S)
        listen(Event("epoch", trial.id, job.run.arm, trial.replicate.seed, at={"epoch": step}))
        if stop():
            raise RuntimeError("nobody asked for that")
    share = int(trial.id[:6], 16) / 16**6
    record = Record(**base(job, place), status="done", validation={"accuracy": share})
    Store(place.results).write(record, history=[{"step": 1, "val_accuracy": share}], predictions={})
    return ended(job, "done", f"{share:.3f}")


def task(job: Any, place: Any, mailbox: Any, key: str) -> Any:
    """The executor's own, with made-up work."""
    sys.modules["bench.execute.work"] = types.SimpleNamespace(work=made_up)  # type: ignore[assignment]
    from bench.execute.ray import _task

    return _task(job, place, mailbox, key)


class Cluster:
    """Three nodes, of which the first is the conductor's and stays."""

    def __init__(self, dice: random.Random, say: Callable[[str], object]) -> None:
        from ray.cluster_utils import Cluster as Nodes

        self.dice, self.say = dice, say
        self.nodes = Nodes(
            initialize_head=True, head_node_args={"num_cpus": 1, "_system_config": HEALTH, **LIGHT}
        )
        self.others = [self.add(), self.add()]

    def add(self) -> Any:
        """One more node."""
        return self.nodes.add_node(num_cpus=1, **LIGHT)

    def harm(self) -> None:
        """Kill or stop the raylet of one of the others; later another node comes in its place."""
        node = self.others.pop(self.dice.randrange(len(self.others)))
        raylet = node.all_processes["raylet"][0].process.pid
        deed = self.dice.choice(["kill", "stop"])
        self.say(f"  {deed} a node")
        os.kill(raylet, signal.SIGKILL if deed == "kill" else signal.SIGSTOP)
        time.sleep(self.dice.uniform(1, 8))
        self.others.append(self.add())
        time.sleep(8)
        with contextlib.suppress(ProcessLookupError):
            os.kill(raylet, signal.SIGKILL)

    def close(self) -> None:
        """End all nodes."""
        with contextlib.suppress(Exception):
            self.nodes.shutdown()


LIGHT = {"object_store_memory": 80 * 1024 * 1024, "include_dashboard": False}


def jobs_of(folder: Path, count: int) -> list[Any]:
    """That many trials, of one arm each seed."""
    from tiny import machine_in, write_study

    from bench.execute import Job
    from bench.run.planning import prepare

    study = write_study(folder, seeds=(count + 1) // 2)
    return [Job(run) for run in prepare(study, machine_in(folder)).runs][:count]


def finish(executor: Any, jobs: list[Any], listen: Callable[[Any], None], deeds: int) -> int:
    """Run all jobs, those that were killed again, until each is done; how many ran again."""
    from bench.store import MOST_ATTEMPTS

    waiting, killed = jobs, 0
    while waiting:
        ends = {event.trial: event for event in executor.run(waiting, listen)}
        assert len(ends) == len(waiting), "every job has one end"
        again = [job for job in waiting if ends[job.run.trial.id].kind != "done"]
        assert all(ends[job.run.trial.id].cause == "killed" for job in again), ends
        killed += len(again)
        waiting = [replace(job, attempt=job.attempt + 1) for job in again]
        assert all(job.attempt <= MOST_ATTEMPTS + deeds for job in waiting)
    return killed


def run(folder: Path, deeds: int, seed: int, say: Callable[[str], object] = print) -> list[str]:
    """A quiet run, a disturbed one, and the comparison of both; the lines that a person would be told."""
    os.environ["RAY_ENABLE_UV_RUN_RUNTIME_ENV"] = "0"
    from bench.execute import Place
    from bench.execute.ray import Cluster as Asked
    from bench.execute.ray import Ray
    from bench.store import Store, equal_view

    jobs = jobs_of(folder, 6 + 14 * deeds)  # something runs whenever a node is lost
    quiet = Place(folder / "quiet-results", folder / "quiet")
    for job in jobs:
        made_up(job, quiet, lambda event: None, lambda: False)
    (folder / "results").mkdir()
    cluster, told = Cluster(random.Random(seed), say), []
    executor = None
    try:
        executor = Ray(Asked(cluster.nodes.address), Place(folder / "results", folder / "cache"))
        executor._work = executor._ray.remote(max_retries=0, max_calls=0)(task)

        def listen(event: Any) -> None:
            if event.kind == "note":
                told.append(event.text)
                say(f"  {event.text}")

        with ThreadPoolExecutor(1) as pool:  # nodes are added by the main thread, as Ray wants it
            killed = pool.submit(finish, executor, jobs, listen, deeds)
            for _ in range(deeds):
                time.sleep(2)
                cluster.harm()
            say(f"  {killed.result()} trials ran again")
    finally:
        if executor is not None:
            executor.close()
        cluster.close()
    one, other = Store(folder / "results"), Store(quiet.results)
    assert one.ids() == other.ids() == sorted(job.run.trial.id for job in jobs)
    for record in other.records():
        mine = one.read(record.id)
        assert mine is not None
        assert equal_view(mine) == equal_view(record)
        assert one.lost(mine, whole=True) == ""
    return told


def main() -> None:
    """Run as a script."""
    deeds, seed = (int(word) for word in (sys.argv[1:] + ["20", "0"][len(sys.argv) - 1 :])[:2])
    with tempfile.TemporaryDirectory() as folder:
        begun = time.time()
        told = run(Path(folder), deeds, seed)
        lost = sum("is lost" in line for line in told)
        print(f"{deeds} nodes killed or stopped, {lost} told as lost, in {time.time() - begun:.0f} s")


if __name__ == "__main__":
    main()
