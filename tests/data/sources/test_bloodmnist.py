from __future__ import annotations

import hashlib
import io
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import numpy as np
import pytest
from samples import noise

from bench.data.sources import bloodmnist
from bench.data.sources.bloodmnist import CLASSES, FILES, PublishedFile, fetch, file_for
from bench.errors import UserError


def tiny_npz() -> bytes:
    buffer = io.BytesIO()
    parts = {f"{part}_images": noise(1, seed=k) for k, part in enumerate(("train", "val", "test"))}
    np.savez(buffer, **parts, **{f"{part}_labels": [[0]] for part in ("train", "val", "test")})
    return buffer.getvalue()


CONTENT = tiny_npz()


class Server(HTTPServer):
    """Serves ``content`` under any name; ``cut`` breaks the next answers after so many bytes."""

    content = CONTENT
    cut: list[int]
    asked: list[str | None]
    ranges = True
    status = 200


class Handler(BaseHTTPRequestHandler):
    server: Server

    def do_GET(self) -> None:
        wanted = self.headers.get("Range")
        self.server.asked.append(wanted)
        start = int(wanted.split("=")[1].rstrip("-")) if wanted and self.server.ranges else 0
        total = len(self.server.content)
        if self.server.status != 200:
            self.send_error(self.server.status)
            return
        if start and start >= total:
            self.send_response(416)
            self.send_header("Content-Range", f"bytes */{total}")
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        body = self.server.content[start:]
        self.send_response(206 if start else 200)
        self.send_header("Content-Length", str(len(body)))
        if start:
            self.send_header("Content-Range", f"bytes {start}-{total - 1}/{total}")
        self.end_headers()
        self.wfile.write(body[: self.server.cut.pop(0)] if self.server.cut else body)

    def log_message(self, *_: object) -> None:
        """Keep the tests' output clean."""


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    served = Server(("127.0.0.1", 0), Handler)
    served.cut, served.asked = [], []
    thread = threading.Thread(target=served.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    monkeypatch.setenv("BENCH_BLOODMNIST_URL", f"http://127.0.0.1:{served.server_port}/files")
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setattr(bloodmnist, "PAUSE_S", 0)
    monkeypatch.setattr(bloodmnist, "CHUNK", 100)
    md5 = hashlib.md5(CONTENT).hexdigest()
    monkeypatch.setattr(bloodmnist, "FILES", (PublishedFile(28, "bloodmnist.npz", md5),))
    yield served
    served.shutdown()
    thread.join()
    served.server_close()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "downloads/bloodmnist.npz"


def test_a_download_is_checked_kept_and_not_repeated(server: Server, path: Path) -> None:
    seen: list[tuple[int, int]] = []
    assert fetch(path, lambda done, total: seen.append((done, total))) == path
    assert path.read_bytes() == CONTENT
    assert seen[-1] == (len(CONTENT), len(CONTENT))
    fetch(path)
    assert len(server.asked) == 1


def test_a_broken_download_goes_on_where_it_broke(server: Server, path: Path) -> None:
    server.cut = [1000, 500]
    fetch(path)
    assert path.read_bytes() == CONTENT
    assert server.asked == [None, "bytes=1000-", "bytes=1500-"]


def test_an_abandoned_download_goes_on_at_the_next_call(server: Server, path: Path) -> None:
    server.cut = [100, 100, 100]
    with pytest.raises(UserError, match="no connection, or it broke"):
        fetch(path)
    assert not path.exists()
    fetch(path)
    assert path.read_bytes() == CONTENT
    assert server.asked[-1] == "bytes=300-"


def test_a_server_without_ranges_starts_again(server: Server, path: Path) -> None:
    server.cut, server.ranges = [1000], False
    fetch(path)
    assert path.read_bytes() == CONTENT


def test_a_part_that_is_already_whole_is_used(server: Server, path: Path) -> None:
    path.parent.mkdir()
    path.with_suffix(".part").write_bytes(CONTENT)
    fetch(path)
    assert path.read_bytes() == CONTENT


@pytest.mark.parametrize("junk", [b"x" * 700, b"x" * (len(CONTENT) + 10)])
def test_a_part_of_another_file_is_thrown_away(server: Server, path: Path, junk: bytes) -> None:
    path.parent.mkdir()
    path.with_suffix(".part").write_bytes(junk)
    fetch(path)
    assert path.read_bytes() == CONTENT


def test_a_wrong_checksum_is_an_error_and_nothing_is_kept(server: Server, path: Path) -> None:
    server.content = CONTENT[::-1]
    with pytest.raises(UserError, match="sent a file whose MD5 is not"):
        fetch(path)
    assert [file for file in path.parent.iterdir() if file.is_file()] == []
    assert len(server.asked) == 1


@pytest.mark.parametrize("how", ["refused", "missing"])
def test_an_unreachable_server_names_the_two_ways_out(
    server: Server, path: Path, how: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if how == "refused":
        monkeypatch.setenv("BENCH_BLOODMNIST_URL", "http://127.0.0.1:9/files")
    server.status = 404
    with pytest.raises(UserError) as error:
        fetch(path)
    text = str(error.value)
    assert ("HTTP status 404" if how == "missing" else "no connection") in text
    assert f"put bloodmnist.npz (Zenodo record 10519652) at {path} yourself" in text
    assert 'use another source: "synthetic"' in text


def test_a_file_put_there_by_hand_is_checked_too(server: Server, path: Path) -> None:
    path.parent.mkdir()
    path.write_bytes(b"something else")
    with pytest.raises(UserError, match=r"is not BloodMNIST: its MD5 is not"):
        fetch(path)
    path.write_bytes(CONTENT)
    assert fetch(path) == path
    assert server.asked == []


@pytest.mark.parametrize(
    ("size", "chosen"), [(16, 28), (28, 28), (64, 64), (65, 128), (224, 224), (300, 224)]
)
def test_the_smallest_published_size_that_is_large_enough_is_chosen(size: int, chosen: int) -> None:
    assert file_for(size).size_px == chosen


def test_eight_classes_and_four_files_are_published() -> None:
    assert len(CLASSES) == 8
    assert len({file.md5 for file in FILES}) == 4
    assert all(len(file.md5) == 32 for file in FILES)


def test_bloodmnist_opens_with_its_class_names_and_its_own_split(
    server: Server, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from bench.data.reader import open_source
    from bench.plan import Source
    from bench.recipe import Data

    monkeypatch.setattr(bloodmnist, "CLASSES", CLASSES[:1])
    reader = open_source(Data(source="bloodmnist"), Source("bloodmnist", path, "md5:x"))
    assert reader.classes == ("basophil",)
    assert reader.split is not None
    assert reader.split.tolist() == [0, 1, 2]
