from __future__ import annotations

import contextlib
import errno
import json
import multiprocessing
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from bench import claims
from bench.claims import CLAIMS, RUNNING, WRITING, Claims, Presence, alone, at_work, is_gone, new_owner, told
from bench.errors import UserError

RACERS = 8
STRANGER = "node9.4242.17.abcdefabcdef.0123456789abcdef"
"""Of a machine that nobody here can ask."""


class Clock:
    """Goes on when told to."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


def of(folder: Path, owner: str) -> Claims:
    return Claims(folder, owner)


def watcher(folder: Path, lease_s: float = 12.0) -> tuple[Presence, Clock]:
    clock = Clock()
    return Presence(folder, lease_s, clock), clock


def beat(folder: Path, number: int, owner: str = STRANGER, lease_s: float = 12.0) -> None:
    """What a live stranger writes."""
    file = folder / RUNNING / f"{owner}.json"
    file.parent.mkdir(exist_ok=True)
    file.write_text(json.dumps({"lease_s": lease_s, "beat": number}))
    os.utime(file, (1, 1))  # clocks of other machines tell nothing


# -- one claim -----------------------------------------------------------------------------------------------


def test_a_claim_is_one_owners_until_it_is_let_go(tmp_path: Path) -> None:
    mine, other = of(tmp_path, "me"), of(tmp_path, "you")
    assert mine.holder("t") == ""
    assert mine.take("t")
    assert mine.take("t"), "still"
    assert not other.take("t")
    assert (other.holder("t"), other.holds("t"), mine.holds("t")) == ("me", False, True)
    other.release("t")
    assert mine.holds("t"), "nobody lets go of another's"
    mine.release("t")
    assert other.take("t")
    assert not mine.holds("t")
    assert [path.name for path in (tmp_path / CLAIMS).iterdir()] == ["t"], "nothing else is left"


def test_a_claim_that_is_sealed_is_another_name_to_take_over(tmp_path: Path) -> None:
    mine, other = of(tmp_path, "me"), of(tmp_path, "you")
    assert mine.take("t")
    seen = other.holder("t")
    assert mine.seal("t")
    assert mine.seal("t"), "again"
    assert mine.holds("t")
    assert not other.take_over("t", seen), "what was seen is no more: whoever wants it waits anew"
    assert other.holder("t") == f"me{WRITING}"
    assert mine.take("t"), "another attempt of the same run"
    assert mine.holder("t") == "me"


def test_who_was_taken_over_can_neither_seal_nor_let_go(tmp_path: Path) -> None:
    mine, other = of(tmp_path, "me"), of(tmp_path, "you")
    assert mine.take("t")
    assert other.take_over("t", "me")
    assert not mine.holds("t")
    assert not mine.seal("t")
    assert not mine.take("t")
    mine.release("t")
    assert other.holds("t")
    assert other.seal("t")
    other.release("t")
    assert not mine.seal("t"), "nor when nobody has it"
    assert of(tmp_path, "third").take("t")
    assert not mine.seal("t"), "nor when a third has"
    assert not other.take_over("t", "me"), "a late taker hits nothing"


def test_a_folder_left_empty_is_no_claim(tmp_path: Path) -> None:
    (tmp_path / CLAIMS / "t").mkdir(parents=True)
    assert of(tmp_path, "me").take("t")


def test_a_claim_whose_answer_was_lost_is_a_claim(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    mine, rename = of(tmp_path, "me"), os.rename

    def twice(source: Any, target: Any) -> None:
        rename(source, target)
        rename(source, target)  # as a server does that is asked again

    monkeypatch.setattr(os, "rename", twice)
    assert mine.take("t")
    assert mine.seal("t")
    assert of(tmp_path, "you").take_over("t", f"me{WRITING}")


def test_a_disk_that_takes_no_claim_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "makedirs", full)
    with pytest.raises(OSError, match="No space"):
        of(tmp_path, "me").take("t")


# -- races ---------------------------------------------------------------------------------------------------


def race(folder: str, start: Any, won: Any, names: int, dead: str) -> None:
    """Take every claim, or take it over from ``dead``, with as many others at the same moment."""
    mine = Claims(Path(folder), new_owner())
    start.wait()
    for name in map(str, range(names)):
        if mine.take_over(name, dead) if dead else mine.take(name):
            won.put(name)


@pytest.mark.parametrize("dead", ["", "dead"])
@pytest.mark.parametrize("kind", ["threads", "processes"])
def test_of_many_who_want_a_claim_at_once_one_gets_it(tmp_path: Path, kind: str, dead: str) -> None:
    names = 60
    for name in map(str, range(names)):
        assert not dead or Claims(tmp_path, dead).take(name)
    context = multiprocessing.get_context("spawn" if kind == "processes" else None)
    start, won = context.Barrier(RACERS), context.Queue()
    arguments = (str(tmp_path), start, won, names, dead)
    make: Any = context.Process if kind == "processes" else threading.Thread
    racers = [make(target=race, args=arguments) for _ in range(RACERS)]
    for racer in racers:
        racer.start()
    winners = [won.get(timeout=60) for _ in range(names)]
    for racer in racers:
        racer.join()
    assert sorted(winners) == sorted(map(str, range(names)))
    assert won.empty()
    assert sorted(path.name for path in (tmp_path / CLAIMS).iterdir()) == sorted(winners), (
        "no drafts are left"
    )


def test_claims_taken_and_let_go_for_a_while_are_never_anybodys_twice(tmp_path: Path) -> None:
    inside, most, rounds = [], [], 60

    def visit(_: int) -> None:
        presence = Presence(tmp_path, lease_s=600.0)
        for _ in range(rounds):
            with contextlib.ExitStack() as held:
                if presence.take("room"):
                    held.callback(presence.claims.release, "room")
                    inside.append(1)
                    most.append(len(inside))
                    inside.pop()

    with ThreadPoolExecutor(RACERS) as pool:
        list(pool.map(visit, range(RACERS)))
    assert max(most) == 1


def test_of_a_writer_who_wakes_and_one_who_takes_over_one_goes_on(tmp_path: Path) -> None:
    """Sealing and taking over are renames of the same name: never both, never neither."""
    outcomes = []
    for number in range(100):
        old, new = Claims(tmp_path, "old"), Claims(tmp_path, "new")
        assert old.take(str(number))
        with ThreadPoolExecutor(2) as pool:
            sealed = pool.submit(old.seal, str(number))
            taken = pool.submit(new.take_over, str(number), "old")
            outcomes.append((sealed.result(), taken.result()))
    assert set(outcomes) <= {(True, False), (False, True)}


# -- leases --------------------------------------------------------------------------------------------------


def test_a_stranger_has_died_when_it_was_silent_for_a_whole_lease_of_the_own_clock(tmp_path: Path) -> None:
    presence, clock = watcher(tmp_path)
    beat(tmp_path, 1)
    for second in range(12):
        clock.now = float(second)
        assert not presence.is_over(STRANGER), second
    clock.now = 12.0
    assert presence.is_over(STRANGER)
    beat(tmp_path, 2)
    assert not presence.is_over(STRANGER), "it woke"


def test_any_sign_of_life_begins_a_lease_anew(tmp_path: Path) -> None:
    presence, clock = watcher(tmp_path)
    for second in range(60):
        clock.now = float(second)
        beat(tmp_path, second // 11)
        assert not presence.is_over(STRANGER)


def test_the_lease_that_counts_is_the_owners(tmp_path: Path) -> None:
    presence, clock = watcher(tmp_path, lease_s=3.0)
    beat(tmp_path, 1, lease_s=30.0)
    for second in range(30):
        clock.now = float(second)
        assert not presence.is_over(STRANGER)
    clock.now = 30.0
    assert presence.is_over(STRANGER)


def test_who_was_stopped_itself_concludes_nothing(tmp_path: Path) -> None:
    presence, clock = watcher(tmp_path)
    beat(tmp_path, 1)
    assert not presence.is_over(STRANGER)
    clock.now = 1000.0
    assert not presence.is_over(STRANGER), "one look after a long gap"
    clock.now = 1004.0
    assert not presence.is_over(STRANGER)
    clock.now = 1008.0
    assert presence.is_over(STRANGER), "three thirds of a lease"


def test_a_claim_whose_owner_shows_nothing_at_all_has_its_lease_too(tmp_path: Path) -> None:
    presence, clock = watcher(tmp_path)
    assert of(tmp_path, STRANGER).take("t")
    for second in range(12):
        clock.now = float(second)
        assert not presence.take("t")
    clock.now = 12.0
    assert presence.take("t")
    assert presence.claims.holder("t") == presence.owner


def test_a_claim_sealed_meanwhile_has_a_whole_lease_again(tmp_path: Path) -> None:
    presence, clock = watcher(tmp_path)
    other = of(tmp_path, STRANGER)
    assert other.take("t")
    for second in range(12):
        clock.now = float(second)
        assert not presence.take("t")
    assert other.seal("t")
    for second in range(12, 24):
        clock.now = float(second)
        assert not presence.take("t"), second
    clock.now = 24.0
    assert presence.take("t")


def test_a_process_of_this_machine_that_has_ended_is_gone_at_once(tmp_path: Path) -> None:
    code = "from bench.claims import new_owner; print(new_owner())"
    dead = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    ).stdout.strip()
    assert is_gone(dead)
    mine = new_owner()
    assert not is_gone(mine)
    host, pid, start, boot, token = mine.split(".")
    assert is_gone(".".join((host, pid, start + "1", boot, token))), "its number went to another process"
    assert not is_gone(".".join((host, pid, start + "1", "0" * 12, token))), "of another boot or container"
    assert not any(map(is_gone, ("", "x", "a.b.c.d.e", STRANGER, f"{mine}.more")))
    assert of(tmp_path, dead).take("t")
    presence, _ = watcher(tmp_path)
    assert presence.take("t"), "nobody waits for a lease of the dead"
    assert told(STRANGER) == "node9, process 4242"


def test_a_process_that_ended_and_was_not_asked_after_is_gone(tmp_path: Path) -> None:
    code = "import sys; from bench.claims import new_owner; print(new_owner(), flush=True)"
    child = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    assert child.stdout is not None
    owner = child.stdout.readline().strip()
    os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)  # a zombie: its parent has not looked
    assert is_gone(owner)
    child.communicate()


@pytest.mark.parametrize("lease", ["NaN", "9" * 400, "-1", '"x"'])
def test_a_lease_that_is_none_is_taken_to_be_ones_own(tmp_path: Path, lease: str) -> None:
    mine, clock = watcher(tmp_path, lease_s=12.0)
    (tmp_path / RUNNING).mkdir()
    (tmp_path / RUNNING / f"{STRANGER}.json").write_text(f'{{"lease_s": {lease}}}')
    mine.is_over(STRANGER)
    for second in range(1, 14):
        clock.now = float(second)
        over = mine.is_over(STRANGER)
    assert over


@pytest.mark.parametrize("target", ["nowhere", CLAIMS])
def test_a_link_to_nothing_in_place_of_the_folder_is_named(tmp_path: Path, target: str) -> None:
    (tmp_path / CLAIMS).symlink_to(tmp_path / target)
    with pytest.raises(UserError, match=r"\.claims is no folder"):
        of(tmp_path, "me").take("t")


# -- processes at work ---------------------------------------------------------------------------------------


def test_a_process_at_work_shows_that_it_lives_and_takes_its_sign_and_claims_away(tmp_path: Path) -> None:
    with Presence(tmp_path, lease_s=0.3) as presence:
        presence.tell(title="s")
        assert presence.claims.take("t")
        (shown,) = at_work(tmp_path)
        assert (shown["title"], shown["pid"], shown["owner"]) == ("s", os.getpid(), presence.owner)
        until = time.monotonic() + 30
        while at_work(tmp_path)[0]["beat"] < shown["beat"] + 2:
            assert time.monotonic() < until
            time.sleep(0.02)
        assert at_work(tmp_path)[0]["title"] == "s"
    assert at_work(tmp_path) == []
    assert presence.claims.holder("t") == ""


def test_a_full_disk_keeps_a_process_alive(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    presence, other = Presence(tmp_path), Presence(tmp_path)
    presence.tell()
    before = other._sign(presence.owner)

    def full(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(claims, "write_whole", full)
    time.sleep(0.01)
    presence.tell()
    assert other._sign(presence.owner) != before


def test_a_stopped_process_is_taken_over_and_a_woken_one_is_told(tmp_path: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from bench.claims import Presence\n"
        "with Presence(Path(sys.argv[1]), 0.6) as me:\n"
        "    print(me.take('t'), flush=True)\n"
        "    sys.stdin.readline()\n"
        "    print(me.claims.seal('t'), flush=True)\n"
    )
    child = subprocess.Popen(
        [sys.executable, "-c", code, str(tmp_path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert child.stdin is not None
    assert child.stdout is not None
    assert child.stdout.readline() == "True\n"
    with Presence(tmp_path, 0.6) as mine:
        until = time.monotonic() + 1.5
        while time.monotonic() < until:
            assert not mine.take("t"), "it lives"
            time.sleep(0.05)
        os.kill(child.pid, signal.SIGSTOP)
        with mine.hold("t"):
            os.kill(child.pid, signal.SIGCONT)
            assert child.communicate("go\n", timeout=30)[0] == "False\n"
            assert mine.claims.holds("t")


def test_files_of_the_dead_go_and_those_that_nobody_can_read_harm_nobody(tmp_path: Path) -> None:
    host, pid, start, boot, token = new_owner().split(".")
    dead = ".".join((host, pid, start + "1", boot, token))
    beat(tmp_path, 1, dead)
    (tmp_path / RUNNING / f"{STRANGER}.json").write_text("{")
    (tmp_path / RUNNING / "x.json").write_text("[]")
    (tmp_path / CLAIMS / f".t.{dead}").mkdir(parents=True)
    assert at_work(tmp_path) == []
    with Presence(tmp_path) as presence:
        assert not (tmp_path / RUNNING / f"{dead}.json").exists()
        assert list((tmp_path / CLAIMS).iterdir()) == []
        assert presence.others() == []


def test_what_the_dead_had_is_free_once_somebody_looks(tmp_path: Path) -> None:
    host, pid, start, boot, token = new_owner().split(".")
    dead = Claims(tmp_path, ".".join((host, pid, start + "1", boot, token)))
    alive = Claims(tmp_path, new_owner())
    assert dead.take("t")
    assert dead.seal("t")
    assert alive.take("u")
    with Presence(tmp_path) as presence:
        assert presence.claims.names() == {"u"}


def test_what_stands_in_place_of_a_claim_is_named_and_so_is_a_folder_that_goes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mine = Claims(tmp_path, new_owner())
    (tmp_path / CLAIMS).mkdir()
    (tmp_path / CLAIMS / "t").write_text("in the way")
    with pytest.raises(NotADirectoryError) as caught:
        mine.take("t")
    assert caught.value.filename == str(tmp_path / CLAIMS / "t")
    rename = os.rename

    def going(source: Any, target: Any) -> None:
        shutil.rmtree(tmp_path / CLAIMS)
        rename(source, target)

    monkeypatch.setattr(os, "rename", going)
    with pytest.raises(OSError, match="its folder was moved or deleted meanwhile"):
        mine.take("u")
    monkeypatch.setattr(os, "rename", rename)
    assert mine.take("u")


def test_who_wants_to_be_alone_waits_for_the_silent_and_names_the_living(tmp_path: Path) -> None:
    with Presence(tmp_path, 0.3) as presence:
        beat(tmp_path, 1, lease_s=0.2)
        assert presence.wait_until_alone() == ""
        with Presence(tmp_path) as other:
            assert presence.wait_until_alone() == told(other.owner)


def test_what_one_process_is_to_do_alone_the_others_wait_for(tmp_path: Path) -> None:
    entered: list[str] = []

    def second() -> None:
        with alone(tmp_path, "images"):
            entered.append("second")

    thread = threading.Thread(target=second)
    with alone(tmp_path, "images"):
        thread.start()
        time.sleep(0.1)
        assert entered == []
    thread.join(timeout=30)
    assert entered == ["second"]
