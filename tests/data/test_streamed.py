from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from samples import noise

from bench.data import streamed
from bench.data.images import Mapped, Samples
from bench.data.resident import Resident, Rows, statistics
from bench.data.streamed import BUFFERS, HostLane, Streamed, placed


def in_file(folder: Path, count: int = 20, size: int = 16) -> np.memmap:
    """Images (count, size, size, 3), mapped as the cache maps them."""
    np.save(folder / "images.npy", noise(count, size=size))
    return np.load(folder / "images.npy", mmap_mode="r")


def as_samples(images: np.ndarray | Mapped) -> Samples:
    count = len(images)
    return Samples(images, np.arange(count) % 3, np.arange(count, dtype=np.uint64))


def rows(*places: list[int]) -> Iterator[Rows]:
    return (Rows(np.array(each), torch.tensor(each)) for each in places)


PLACES = [3, 1, 3], [0], [7, 6, 5, 4, 3, 2, 1, 0], [2, 2], [9], [8, 1, 4]


def test_a_streamed_split_gives_the_same_batches_as_a_resident_one(tmp_path: Path) -> None:
    images = in_file(tmp_path)
    some = np.array([11, 4, 19, 0, 3, 2, 17, 8, 9, 1])
    here = Resident(as_samples(np.asarray(images)[some]), "cpu")
    for kept in (Mapped(images, some), np.asarray(images)[some]):
        away = Streamed(as_samples(kept), "cpu")
        assert torch.equal(away.labels, here.labels)
        pairs = list(zip(away.batches(rows(*PLACES)), here.batches(rows(*PLACES)), strict=True))
        assert len(pairs) == len(PLACES)
        for (asked, one), (same, other) in pairs:
            assert np.array_equal(asked.places, same.places)
            assert torch.equal(one, other)
            assert one.is_contiguous(memory_format=torch.channels_last)


def test_what_does_not_fit_its_room_is_streamed() -> None:
    samples = as_samples(noise(4))
    assert type(placed(samples, "cpu", samples.images.nbytes)) is Resident
    assert type(placed(samples, "cpu", samples.images.nbytes - 1)) is Streamed


class Slow(HostLane):
    """A device that tells what it is asked, and whose copies have left their buffer when they are taken."""

    def __init__(self) -> None:
        super().__init__()
        self.told: list[str] = []
        self.busy: set[int] = set()
        self.sent = 0

    def buffer(self, turn: int, shape: tuple[int, ...]) -> torch.Tensor:
        assert turn not in self.busy, "it would overwrite what is still on its way"
        return super().buffer(turn, shape)

    def send(self, turn: int, pixels: torch.Tensor) -> streamed.Arrival:
        number, self.sent = self.sent, self.sent + 1
        self.told.append(f"send {number}")
        self.busy.add(turn)

        def arrival() -> torch.Tensor:
            self.busy.discard(turn)
            return pixels

        return arrival


def test_a_block_is_on_its_way_before_the_one_ahead_of_it_is_used(monkeypatch: pytest.MonkeyPatch) -> None:
    lane, taken = Slow(), []
    monkeypatch.setattr(streamed, "lane_to", lambda device: lane)

    def wanted() -> Iterator[Rows]:
        for number, each in enumerate(rows(*([k] for k in range(6)))):
            taken.append(number)
            yield each

    for number, (_, images) in enumerate(Streamed(as_samples(noise(6)), "cpu").batches(wanted())):
        lane.told.append(f"use {number}")
        assert len(taken) == min(6, number + BUFFERS)
        assert len(images) == 1
    order = ["send 0", *(f"{what}" for k in range(5) for what in (f"send {k + 1}", f"use {k}")), "use 5"]
    assert lane.told == order


def test_what_goes_wrong_while_images_are_read_is_told_to_who_waits_for_them() -> None:
    with pytest.raises(IndexError):
        list(Streamed(as_samples(Mapped(noise(4), np.arange(4))), "cpu").batches(rows([0], [4])))


def test_statistics_are_the_same_wherever_images_are(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    images = in_file(tmp_path)
    monkeypatch.setattr("bench.data.resident.BLOCK", 7)
    found = [statistics(kept) for kept in (np.array(images), Mapped(images, np.arange(20)))]
    assert all(torch.equal(one, other) for one, other in zip(*found, strict=True))


GROWN = """
import sys
from pathlib import Path
import numpy as np, torch
from bench.data.images import Samples
from bench.data.resident import Rows
from bench.data.streamed import placed

def own_memory():
    text = Path("/proc/self/status").read_text()
    return 1024 * int(text.partition("RssAnon:")[2].split()[0])

images = np.load(sys.argv[1], mmap_mode="r")
samples = Samples(images, np.zeros(9600, np.int64), np.arange(9600, dtype=np.uint64))
for most in (4 << 20, 1 << 30):
    before, peak = own_memory(), 0
    split = placed(samples.take(np.arange(9600), most), "cpu", most)
    for _ in split.batches(Rows(np.arange(k, k + 32), torch.arange(k, k + 32)) for k in range(0, 9600, 32)):
        peak = max(peak, own_memory())
    print(type(split).__name__, peak - before)
    del split
"""


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="Linux tells what memory is a file's")
def test_memory_does_not_grow_with_a_split_that_is_streamed(tmp_path: Path) -> None:
    """265 MB of images: resident they are all in the process's own memory, streamed three blocks of them.

    In a process of its own, for one that has trained keeps freed memory and would use that. A system that
    swaps meanwhile gives and takes some 30 MB: much less than a third of them.
    """
    images = np.lib.format.open_memmap(tmp_path / "images.npy", "w+", np.uint8, (9600, 96, 96, 3))
    images.flush()
    command = [sys.executable, "-c", GROWN, str(tmp_path / "images.npy")]
    told = subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()
    assert told[::2] == ["Streamed", "Resident"]
    assert int(told[1]) < images.nbytes / 3 < images.nbytes * 0.9 < int(told[3])
