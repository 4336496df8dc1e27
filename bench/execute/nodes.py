"""Which nodes of a Ray cluster are there, and whose tasks went with one that is lost. Imports no Ray."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Collection, Mapping
from typing import Any

LOOKS_S = 2.0
"""Seconds between two looks at the cluster."""
GRACE_S = 10.0
"""For Ray to say itself how a task ended whose node is gone; now and then it never does."""
IDLE_S = 60.0
"""For Ray to begin a task that waits although there is room, once a node was lost."""


class Nodes:
    """The nodes of a cluster, looked at now and then, and which task is at work where."""

    def __init__(self, ray: Any, clock: Callable[[], float] = time.monotonic) -> None:
        self._ray, self._clock = ray, clock
        self._there: dict[str, Mapping[str, Any]] = {}
        """Node → what Ray says of it."""
        self._gone: dict[str, float] = {}
        """Node → when it was seen to be gone."""
        self._at: dict[str, str] = {}
        """Task → node."""
        self._told: dict[str, float] = {}
        """Task that waits → when it was told to the cluster."""
        self._looked = -math.inf

    def told(self, task: str) -> None:
        """A task was given to the cluster, which places it."""
        self._told[task] = self._clock()

    def began(self, task: str, node: str) -> None:
        """A task has begun."""
        self._at[task] = node
        self._told.pop(task, None)

    def ended(self, task: str) -> None:
        """A task is over."""
        self._at.pop(task, None)
        self._told.pop(task, None)

    def look(self) -> list[str]:
        """A line for each node that came or went since the last look, and what is waited for."""
        now = self._clock()
        if now < self._looked + LOOKS_S:
            return []
        first, before = self._looked == -math.inf, self._there
        self._looked = now
        self._there = {node["NodeID"]: node for node in self._ray.nodes() if node["Alive"]}
        lost = [id for id in before if id not in self._there]
        came = [id for id in self._there if id not in before and not first]
        self._gone |= dict.fromkeys(lost, now)
        left = sum(_takes_trials(node) for node in self._there.values())
        ahead = f"{left} node{'s are' if left != 1 else ' is'} left; its trials run again"
        ahead = ahead if left else "none is left that takes trials: waiting for one to join"
        lines = [f"node {_name(before[id])} is lost, {ahead}" for id in lost]
        return lines + [f"node {_name(self._there[id])} has joined, {left} take trials" for id in came]

    def lost(self, tasks: Collection[str]) -> list[str]:
        """Of these tasks, those whose node has been gone for a while; Ray has not said that they ended."""
        now = self._clock()
        return [task for task in tasks if now - self._gone.get(self._at.get(task, ""), now) > GRACE_S]

    def stuck(self, tasks: Collection[str], room: int) -> list[str]:
        """Of these tasks, those that a lost node may have kept: not begun for long, with room for them.

        room   tasks that the nodes which are there could run at once
        """
        waiting = [task for task in tasks if task in self._told]
        spare = room - (len(tasks) - len(waiting))
        since = max(self._gone.values(), default=None)
        if since is None or spare <= 0:
            return []
        limit = self._clock() - IDLE_S
        return [task for task in waiting if max(self._told[task], since) < limit][:spare]


def _takes_trials(node: Mapping[str, Any]) -> bool:
    return any(node["Resources"].get(kind, 0) >= 1 for kind in ("CPU", "GPU"))


def _name(node: Mapping[str, Any]) -> str:
    return f"{node['NodeManagerHostname']} ({node['NodeID'][:6]})"
