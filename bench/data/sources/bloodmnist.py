"""BloodMNIST, the public stand-in for the contest's images: which file, where from, fetched once and checked.

Source: Yang et al. 2023, "MedMNIST v2", with the larger sizes of Zenodo record 10519652, CC BY 4.0. Sizes,
checksums and class names are those of the ``medmnist`` package 3.0.2. Importing this needs the standard
library only.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from bench.claims import alone
from bench.data.content import Asked, Located
from bench.data.reader import Reader
from bench.data.sources.npz import npz
from bench.errors import UserError
from bench.files import Count
from bench.registry import sources

if TYPE_CHECKING:
    import requests

RECORD = "https://zenodo.org/records/10519652/files"
ATTEMPTS = 3
"""Times a broken connection is taken up again, each from where it broke."""
PAUSE_S = 1.0
CHUNK = 1 << 16
"""Bytes written at a time: what a broken connection loses at most."""

CLASSES = (
    "basophil",
    "eosinophil",
    "erythroblast",
    "immature granulocytes(myelocytes, metamyelocytes and promyelocytes)",
    "lymphocyte",
    "monocyte",
    "neutrophil",
    "platelet",
)


@dataclass(frozen=True)
class PublishedFile:
    """One of the sizes that BloodMNIST is published in."""

    size_px: int
    name: str
    md5: str


FILES = (
    PublishedFile(28, "bloodmnist.npz", "7053d0359d879ad8a5505303e11de1dc"),
    PublishedFile(64, "bloodmnist_64.npz", "2b94928a2ae4916078ca51e05b6b800b"),
    PublishedFile(128, "bloodmnist_128.npz", "adace1e0ed228fccda1f39692059dd4c"),
    PublishedFile(224, "bloodmnist_224.npz", "b718ff6835fcbdb22ba9eacccd7b2601"),
)


def file_for(size_px: int) -> PublishedFile:
    """The smallest published file that has at least ``size_px`` pixels a side, else the largest."""
    return next((file for file in FILES if file.size_px >= size_px), FILES[-1])


def fetch(path: Path, progress: Count | None = None) -> Path:
    """Download the published file named like ``path`` to ``path``, unless it is there; checked by MD5.

    progress  called with (bytes done, bytes in all); default: a bar on stderr when that is a terminal
    A broken download is taken up where it broke, also by the next call. ``BENCH_BLOODMNIST_URL`` replaces the
    address. Raises UserError, with the ways out, when the server cannot be reached or sends something else.
    """
    import pooch

    file = next(file for file in FILES if file.name == path.name)
    url = f"{os.environ.get('BENCH_BLOODMNIST_URL', RECORD).rstrip('/')}/{file.name}"
    path.parent.mkdir(parents=True, exist_ok=True)
    with alone(path.parent, f"download-{path.stem}"):
        if path.exists():
            if pooch.file_hash(str(path), alg="md5") != file.md5:
                raise UserError(
                    f"{path} is not BloodMNIST: its MD5 is not {file.md5}\n    delete it and run again"
                )
            return path
        _download(url, file, path, progress)
    return path


def locate(asked: Asked) -> Located:
    """In the cache, where it may not be yet; known by its published checksum."""
    file = file_for(asked.data.size_px)
    return Located(asked.machine.cache / "downloads" / file.name, f"md5:{file.md5}", official=True)


@sources.register("bloodmnist", locate=locate, fetch=fetch)
def bloodmnist(path: Path, classes: tuple[str, ...] | None = None) -> Reader:
    """BloodMNIST, 17,092 real cells, 8 classes; downloaded once into the cache.

    path     found by bench: the smallest published file that has at least ``size_px`` pixels a side
    classes  other names for the classes, in label order

    Source: Yang et al. 2023, MedMNIST v2, CC BY 4.0.
    """
    return npz(fetch(path), classes or CLASSES)


def _download(url: str, file: PublishedFile, path: Path, progress: Count | None) -> None:
    import pooch
    import requests

    part = path.with_suffix(".part")

    pooch.get_logger().setLevel("WARNING")

    def transfer(url: str, output_file: str, _pooch: object) -> None:
        _resume(url, part, progress)
        os.replace(part, output_file)

    for attempt in range(ATTEMPTS):
        resumed = part.exists()
        try:
            pooch.retrieve(
                url,
                f"md5:{file.md5}",
                fname=path.name,
                path=path.parent,
                downloader=transfer,
                progressbar=False,
            )
            return
        except (requests.RequestException, OSError) as error:
            problem = f"cannot be reached ({_reason(error)})"
        except ValueError:
            problem = f"sent a file whose MD5 is not {file.md5}"
            if not resumed:
                break  # the file itself is another one, a second download would bring it again
        if attempt < ATTEMPTS - 1:
            time.sleep(PAUSE_S)
    raise UserError(
        f"{url} {problem}\n"
        f"    either put {file.name} (Zenodo record 10519652) at {path} yourself,\n"
        '    or use another source: "synthetic", "folder:PATH" or "npz:PATH"'
    )


def _reason(error: Exception) -> str:
    import requests

    if isinstance(error, requests.HTTPError) and error.response is not None:
        return f"HTTP status {error.response.status_code}"
    if isinstance(error, requests.Timeout):
        return "no answer in time"
    if isinstance(error, requests.ConnectionError | requests.exceptions.ChunkedEncodingError):
        return "no connection, or it broke"
    return f"{type(error).__name__}: {error}"


def _resume(url: str, part: Path, progress: Count | None) -> None:
    """Bring ``part`` to its full length, asking only for the bytes that are missing (HTTP Range)."""
    import requests

    have = part.stat().st_size if part.exists() else 0
    headers = {"Accept-Encoding": "identity"} | ({"Range": f"bytes={have}-"} if have else {})
    with requests.get(url, headers=headers, stream=True, timeout=(10, 60)) as response:
        if response.status_code == requests.codes.requested_range_not_satisfiable:
            _end_of_range(response, part, have)
            return
        response.raise_for_status()
        if response.status_code != requests.codes.partial_content:
            have = 0  # the server knows no ranges and starts again
        total = have + int(response.headers.get("Content-Length", 0))
        _write(response.iter_content(CHUNK), part, (have, total), progress)


def _end_of_range(response: requests.Response, part: Path, have: int) -> None:
    """Nothing lies beyond what is here: it is all of the file, or the start of another one."""
    import requests

    if response.headers.get("Content-Range") != f"bytes */{have}":
        part.unlink()
        raise requests.ConnectionError(f"{have} bytes downloaded before are not part of this file")


def _write(chunks: Iterable[bytes], part: Path, extent: tuple[int, int], progress: Count | None) -> None:
    """Append ``chunks`` at byte ``extent[0]`` of ``part``; the whole has ``extent[1]`` bytes, 0: unknown."""
    from tqdm import tqdm

    done, total = extent
    bar = tqdm(total=total or None, initial=done, unit="B", unit_scale=True, desc=part.stem, disable=None)
    with bar, part.open("r+b" if done else "wb") as out:
        out.seek(done)
        for chunk in chunks:
            out.write(chunk)
            done += len(chunk)
            bar.update(len(chunk))
            if progress:
                progress(done, max(done, total))
