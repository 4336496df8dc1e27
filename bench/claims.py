"""Who is at what in a folder that several processes share: claims with a lease, without locks.

A claim is a file named by its owner in a folder named by what is claimed. Each step renames or removes it by
that name, which one process does and nobody else: so nothing is decided by what was read before, here or on a
server. A claim counts for as long as its owner lives, which every process at work shows in a file of its own
(``Presence``). Whoever loses one is told by its next step; it never waits for anybody.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import json
import os
import re
import secrets
import shutil
import socket
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.errors import UserError
from bench.files import content_of, vanished, write_whole

CLAIMS, RUNNING = ".claims", ".running"
"""Folders, of claims and of the processes at work, in the one that is shared."""
WRITING = ".writing"
"""Ends the name of a claim whose record is being written."""
LEASE_S = 120.0
"""Longer than clients of a network file system keep what they know of a file, a minute by default."""
BEATS = 6
"""Signs of life within a lease."""
LONGEST_LOOK = 1 / 3
"""Of a lease: what a gap between two looks counts at most. Who was stopped itself has seen nothing."""
POLL_S = 0.5
"""Seconds between two tries, or a twentieth of a lease."""
TAKEN = (errno.EEXIST, errno.ENOTEMPTY, *((errno.EACCES,) if os.name == "nt" else ()))
"""What a rename onto a folder with something in it ends in, by system."""


class ClaimLostError(Exception):
    """Another process has taken over, and what was about to be written is its to write."""


def new_owner() -> str:
    """A name that nothing else has or will have: host, process, its start, the machine's boot, a token."""
    host = re.sub(r"[^A-Za-z0-9-]+", "-", socket.gethostname())[:40] or "host"
    pid = os.getpid()
    return f"{host}.{pid}.{_start_of(pid) or 0}.{_boot()}.{secrets.token_hex(8)}"


def told(owner: str) -> str:
    """An owner as a person is told of it: ``node7, process 4242``."""
    host, _, rest = owner.partition(".")
    return f"{host}, process {rest.partition('.')[0]}"


def is_gone(owner: str) -> bool:
    """Whether its process is known to have ended: one of this machine; never of one that lives."""
    if not _is_known_here(owner):
        return False
    _, pid, start, *_ = owner.split(".")
    try:
        os.kill(int(pid), 0)
    except ProcessLookupError:
        return True
    except (OSError, OverflowError):
        pass
    now = _start_of(int(pid))
    return now is not None and now != start


def _is_known_here(owner: str) -> bool:
    """Whether its process is, or was, one of those that this one can ask after."""
    parts = owner.split(".")
    return len(parts) == 5 and parts[1].isdecimal() and parts[3] == _boot() != "0"


def _boot() -> str:
    """Of this boot of this machine, and of who sees the same processes; "0" where none can tell."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text()
        return hashlib.sha256(f"{boot} {os.readlink('/proc/self/ns/pid')}".encode()).hexdigest()[:12]
    except OSError:
        return "0"


def _start_of(pid: int) -> str | None:
    """When a process of this machine began; "" for one that has ended, None where nobody can tell."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return None
    state, *fields = stat.rpartition(")")[2].split()
    return "" if state in "ZX" else fields[18]


class Claims:
    """Claims in a folder in one owner's name. Nothing is created until something is claimed."""

    def __init__(self, folder: Path, owner: str) -> None:
        self.folder, self.owner = folder / CLAIMS, owner

    def take(self, name: str) -> bool:
        """Whether ``name`` is this owner's from here on; False while it is another's.

        Raises OSError, and UserError for a file in place of the folder.
        """
        if self.holds(name):
            with contextlib.suppress(FileNotFoundError):
                os.rename(self._file(name) + WRITING, self._file(name))
            return True
        try:
            return self._take(name, f"{self.folder}/.{name}.{self.owner}")
        except FileNotFoundError as error:
            raise vanished(self._file(name)) from error

    def _take(self, name: str, draft: str) -> bool:
        with _a_folder(self.folder):
            os.makedirs(draft, exist_ok=True)
        with open(f"{draft}/{self.owner}", "wb"):
            pass
        for _ in range(2):
            try:
                os.rename(draft, self.folder / name)
            except OSError as error:
                if self.holds(name):  # a server may have done it and its answer been lost
                    break
                if error.errno not in TAKEN:
                    error.filename = f"{self.folder}/{name}"  # whatever is there, and no draft of ours
                    raise
                with contextlib.suppress(OSError):
                    os.rmdir(self.folder / name)  # empty, on a system that renames onto nothing
            else:
                return True
        shutil.rmtree(draft, ignore_errors=True)
        return self.holds(name)

    def take_over(self, name: str, held: str) -> bool:
        """Take a claim from who had it; False where another was faster, or it has moved since.

        held   as ``holder`` said
        """
        try:
            os.rename(self.folder / name / held, self._file(name))
        except FileNotFoundError:
            return self.holds(name)
        return True

    def seal(self, name: str) -> bool:
        """Say that its record is being written; False where it is not this owner's any more.

        From here on whoever wants to take it over has a whole lease to wait.
        """
        file = self._file(name)
        try:
            os.rename(file, file + WRITING)
        except FileNotFoundError:
            return os.path.exists(file + WRITING)
        return True

    def holds(self, name: str) -> bool:
        """Whether it is this owner's, as far as is known here; ``seal`` asks the disk itself."""
        file = self._file(name)
        return os.path.exists(file) or os.path.exists(file + WRITING)

    def holder(self, name: str) -> str:
        """Who has it, as ``take_over`` wants that said; "" for nobody."""
        try:
            return next(iter(os.listdir(self.folder / name)), "")
        except OSError:
            return ""

    def names(self) -> set[str]:
        """What is claimed, or was a moment ago."""
        try:
            return {name for name in os.listdir(self.folder) if not name.startswith(".")}
        except OSError:
            return set()

    def release(self, name: str) -> None:
        """Let go of it, if it is this owner's."""
        file = self._file(name)
        for one in (file, file + WRITING):
            with contextlib.suppress(OSError):
                os.unlink(one)
        with contextlib.suppress(OSError):
            os.rmdir(self.folder / name)

    def sweep(self) -> None:
        """Let go of everything, and remove what processes of this machine had begun to claim and died."""
        for name in self.names():
            if self.holds(name):
                self.release(name)
        with contextlib.suppress(OSError):
            for draft in self.folder.glob(".*"):
                owner = draft.name[1:].partition(".")[2]
                if owner == self.owner or is_gone(owner):
                    shutil.rmtree(draft, ignore_errors=True)

    def _file(self, name: str) -> str:
        return f"{self.folder}/{name}/{self.owner}"


@dataclass
class _Watched:
    """What was seen of an owner who may have died."""

    sign: object
    at: float
    waited_s: float = 0.0
    """For how long it has been the same, as far as this process looked."""
    moved: bool = False


class Presence:
    """This process at work in a shared folder: shows that it lives, sees who else does, has its claims."""

    def __init__(
        self, folder: Path, lease_s: float = LEASE_S, clock: Callable[[], float] = time.monotonic
    ) -> None:
        """Nobody is told before it is entered.

        lease_s   seconds without a sign of life after which others may take its claims over
        clock     seconds that only ever go on
        """
        self.folder, self.lease_s, self.owner = folder, lease_s, new_owner()
        self.claims = Claims(folder, self.owner)
        self.file = folder / RUNNING / f"{self.owner}.json"
        self._told: dict[str, Any] = {}
        self._clock, self._number, self._over = clock, 0, threading.Event()
        self._watched: dict[str, _Watched] = {}
        self._lock = threading.Lock()
        self._thread = threading.Thread(target=self._beat, daemon=True, name="bench-presence")

    def __enter__(self) -> Presence:
        with _a_folder(self.file.parent):
            self.file.parent.mkdir(parents=True, exist_ok=True)
        self.tell()
        self.claims.sweep()
        self._look()
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()
        self._look()  # what the dead had was let go of by the first look, that they were there by the second
        self.claims.sweep()
        with contextlib.suppress(OSError):
            self.file.unlink()

    def tell(self, **more: Any) -> None:
        """Show that it lives, and what else others may know. Where that cannot be written, it is no error."""
        with self._lock:
            self._told |= more
            self._number += 1
            about = {"pid": os.getpid(), "host": self.owner.partition(".")[0], "at": time.time()}
            about |= {"owner": self.owner, "lease_s": self.lease_s, "beat": self._number}
            try:
                write_whole(self.file, json.dumps(about | self._told).encode(), safe=False)
            except OSError:  # a full disk; the records will say so
                with contextlib.suppress(OSError):
                    os.utime(self.file)

    def take(self, name: str) -> bool:
        """Claim ``name``, also from one who has died; False while another lives who has it."""
        if self.claims.take(name):
            return True
        held = self.claims.holder(name)
        return bool(held) and self.is_over(held) and self.claims.take_over(name, held)

    @contextlib.contextmanager
    def hold(self, name: str) -> Iterator[None]:
        """Have ``name`` within, waiting for as long as others do who live. Raises OSError."""
        while not self.take(name):
            time.sleep(self.poll_s)
        try:
            yield
        finally:
            self.claims.release(name)

    @property
    def poll_s(self) -> float:
        """Seconds between two looks of who waits for others."""
        return min(POLL_S, self.lease_s / 20)

    def is_over(self, held: str) -> bool:
        """Whether who holds a claim, or is at work, has died: known, or silent for a lease of its own.

        held   an owner, or what ``Claims.holder`` says
        """
        owner = held.removesuffix(WRITING)
        if owner == self.owner:
            return False
        if is_gone(owner):
            return True
        sign, lease_s = self._sign(owner)
        with self._lock:
            now, seen = self._clock(), self._watched.get(held)
            if seen is None or seen.sign != sign:
                self._watched[held] = _Watched(sign, now, moved=seen is not None)
                return False
            seen.waited_s += min(now - seen.at, LONGEST_LOOK * lease_s)
            seen.at = now
            return seen.waited_s >= lease_s

    def others(self) -> list[dict[str, Any]]:
        """What the other processes at work say of themselves, those that have died left out."""
        there = [each for each in at_work(self.folder) if each["owner"] != self.owner]
        return [each for each in there if not self.is_over(each["owner"])]

    def wait_until_alone(self) -> str:
        """Wait while nobody can tell of another whether it lives; "" once alone, or who is at work."""
        while others := self.others():
            for each in others:
                seen = self._watched.get(each["owner"])
                if (seen and seen.moved) or _is_known_here(each["owner"]):
                    return told(each["owner"])
            time.sleep(self.poll_s)
        return ""

    def _sign(self, owner: str) -> tuple[object, float]:
        """What changes while an owner lives, and its lease in seconds; it is opened, for stat may be old."""
        from bench.at_work import said  # imports pydantic

        file = self.folder / RUNNING / f"{owner}.json"
        try:
            content = content_of(file)
            touched = os.stat(file).st_mtime_ns
        except OSError:
            return None, self.lease_s
        about = said(content)
        return (content, touched), about.lease_s if about else self.lease_s

    def _beat(self) -> None:
        while not self._over.wait(self.lease_s / BEATS):
            self.tell()
            self._look()

    def _look(self) -> None:
        """See all others, so that it is known since when each is silent; let go of what the dead had."""
        claimed = {name: found for name in self.claims.names() if (found := self.claims.holder(name))}
        there = {*_owners(self.folder), *claimed.values()}
        over = {one for one in there if self.is_over(one)}
        heir = Claims(self.folder, new_owner())  # in a name of its own: this one may want them meanwhile
        with contextlib.suppress(OSError):
            for name in (name for name, one in claimed.items() if one in over):
                heir.take_over(name, claimed[name])
                heir.release(name)
        for one in over - {one.removesuffix(WRITING) for one in claimed.values()}:
            with contextlib.suppress(OSError):
                (self.folder / RUNNING / f"{one}.json").unlink()
        with self._lock:
            self._watched = {one: seen for one, seen in self._watched.items() if one in there}


@contextlib.contextmanager
def alone(folder: Path, name: str) -> Iterator[None]:
    """Do what only one process of those that share a folder is to do, the others waiting. Raises OSError."""
    with Presence(folder) as presence, presence.hold(name):
        yield


@contextlib.contextmanager
def _a_folder(folder: Path) -> Iterator[None]:
    try:
        yield
    except OSError:
        if folder.is_dir() or not os.path.lexists(folder):
            raise
        raise UserError(f"{folder} is no folder\n    delete it, whatever it is: it is made again") from None


def at_work(folder: Path) -> list[dict[str, Any]]:
    """What the processes at work in a folder say of themselves, but for those known to have died.

    Each is an ``AtWork`` as a table, with its ``owner``.
    """
    from bench.at_work import said  # imports pydantic

    found = []
    for owner in _owners(folder):
        with contextlib.suppress(OSError):
            about = said(content_of(folder / RUNNING / f"{owner}.json"))
            if about is not None and not is_gone(owner):
                found.append({**about.model_dump(mode="json"), "owner": owner})
    return found


def _owners(folder: Path) -> list[str]:
    try:
        names = sorted(os.listdir(folder / RUNNING))
    except OSError:
        return []
    return [name.removesuffix(".json") for name in names if name.endswith(".json") and name[0] != "."]
