"""Two nodes of a Ray cluster are lost under trials; ``just deep`` loses twenty."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("ray", reason="needs the extra bench[ray]")

from bench.execute.nodes import GRACE_S, IDLE_S, LOOKS_S, Nodes

TESTS = Path(__file__).resolve().parents[1]


class FakeRay:
    """Says which nodes there are."""

    def __init__(self, *names: str, cpus: float = 1) -> None:
        self.alive, self.all, self.cpus = set(names), list(names), cpus

    def nodes(self) -> list[dict[str, object]]:
        return [
            {
                "NodeID": name,
                "NodeManagerHostname": f"host-{name}",
                "Alive": name in self.alive,
                "Resources": {"CPU": self.cpus},
            }
            for name in self.all
        ]


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def test_who_is_lost_how_many_are_left_and_what_is_waited_for_is_said_once() -> None:
    ray, clock = FakeRay("a", "b", "c"), Clock()
    nodes = Nodes(ray, clock)
    assert nodes.look() == []
    ray.alive.remove("b")
    assert nodes.look() == [], "not so soon again"
    clock.now += LOOKS_S
    assert nodes.look() == ["node host-b (b) is lost, 2 nodes are left; its trials run again"]
    clock.now += LOOKS_S
    assert nodes.look() == []
    ray.alive.remove("a")
    clock.now += LOOKS_S
    assert nodes.look() == ["node host-a (a) is lost, 1 node is left; its trials run again"]
    ray.alive.remove("c")
    clock.now += LOOKS_S
    assert nodes.look() == [
        "node host-c (c) is lost, none is left that takes trials: waiting for one to join"
    ]
    ray.alive.add("b")
    clock.now += LOOKS_S
    assert nodes.look() == ["node host-b (b) has joined, 1 take trials"]


def test_a_task_whose_node_is_gone_is_given_up_after_a_while_and_no_other() -> None:
    ray, clock = FakeRay("a", "b"), Clock()
    nodes = Nodes(ray, clock)
    nodes.look()
    for task, node in (("one", "a"), ("two", "b")):
        nodes.told(task)
        nodes.began(task, node)
    ray.alive.remove("b")
    clock.now += LOOKS_S
    nodes.look()
    assert nodes.lost(["one", "two"]) == [], "Ray may still say how it ended"
    clock.now += GRACE_S + 1
    assert nodes.lost(["one", "two"]) == ["two"]
    nodes.ended("two")
    assert nodes.lost(["one"]) == []


def test_what_waits_although_there_is_room_is_told_again_once_a_node_was_lost() -> None:
    ray, clock = FakeRay("a", "b"), Clock()
    nodes = Nodes(ray, clock)
    nodes.look()
    for task in ("one", "two", "three"):
        nodes.told(task)
    nodes.began("one", "a")
    clock.now += 10 * IDLE_S
    assert nodes.stuck(["one", "two", "three"], room=2) == [], "a busy cluster, or one that is slow"
    ray.alive.remove("b")
    nodes.look()
    assert nodes.stuck(["one", "two", "three"], room=2) == []
    clock.now += IDLE_S + 1
    assert nodes.stuck(["one", "two", "three"], room=1) == [], "no room for another"
    assert nodes.stuck(["one", "two", "three"], room=2) == ["two"]
    nodes.ended("two")
    nodes.told("two again")
    assert nodes.stuck(["one", "two again"], room=2) == [], "it has just been told"


@pytest.mark.slow
def test_nodes_that_are_killed_and_stopped_cost_no_record_and_dump_nothing(tmp_path: Path) -> None:
    """In a process of its own: Ray connects once at a time."""
    done = subprocess.run(
        [sys.executable, str(TESTS / "lost_nodes.py"), "2", "0"],
        env=os.environ | {"PYTHONPATH": os.pathsep.join([str(TESTS.parent), str(TESTS)])},
        capture_output=True,
        text=True,
        timeout=400,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "2 nodes killed or stopped" in done.stdout
    assert "is lost, " in done.stdout
    assert "raylet" not in done.stdout + done.stderr
