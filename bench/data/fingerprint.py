"""What images are, everywhere: content fingerprints and the keys made of them.

Standard library only and instant when warm, because ``bench plan`` needs it: what was hashed once is
remembered in the cache folder together with the size and time of every file behind it.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Literal

from bench.corruptions import CORRUPTIONS_VERSION
from bench.corruptions.families import families_of, severities_of
from bench.data import bloodmnist
from bench.data.listing import ImageFile, list_images
from bench.errors import UserError, shorten
from bench.files import write_whole
from bench.machine import Machine
from bench.plan import Replicate, Source, fingerprint
from bench.recipe import Corrupted, Data, External, Hidden, Split
from bench.registry import corruptions

SPLIT_VERSION = 1
"""Raised when ``outliers`` or ``split`` would put an image elsewhere; part of every key below."""

BLOCK = 1 << 20


def locate(source: str, data: Data, machine: Machine, relative_to: Path) -> Source:
    """Where ``source`` (``folder:PATH``, ``npz:PATH``, ``bloodmnist`` …) is, and its fingerprint.

    data         its ``size_px`` chooses BloodMNIST's file, its ``n_images`` sizes the synthetic set
    relative_to  folder that a relative PATH starts from
    Raises UserError when PATH is missing, of the wrong kind, unreadable or no such source.
    """
    kind, _, written = source.partition(":")
    if kind == "synthetic":
        from bench.data.synthetic import draw as synthetic

        return Source(
            "synthetic", None, fingerprint({"synthetic": synthetic.VERSION, "n_images": data.n_images})
        )
    if kind == "bloodmnist":
        file = bloodmnist.file_for(data.size_px)
        return Source("bloodmnist", machine.cache / "downloads" / file.name, f"md5:{file.md5}")
    path = machine.resolve(written, relative_to, kind="folder" if kind == "folder" else "file")
    _check_path(source, kind, path)
    try:
        if kind == "folder":
            return Source("folder", path, _folder_sha256(path, machine.cache))
        located = Source("npz", path, file_sha256(path, machine.cache))
    except PermissionError as error:
        raise UserError(
            f"{shorten(source, 200)}: {error.filename} may not be read; change its rights"
        ) from None
    return located


def _check_path(source: str, kind: str, path: Path) -> None:
    wanted = "folder" if kind == "folder" else "file"
    if not path.exists():
        near = next((parent for parent in path.parents if parent.is_dir()), path)
        raise UserError(
            f"{shorten(source, 200)}: there is no {path}\n"
            f"    the nearest folder that exists is {near}; a path starts from the study file's folder"
        )
    if path.is_dir() != (kind == "folder"):
        raise UserError(
            f"{shorten(source, 200)}: {path} is not a {wanted}; {kind}: takes the path of a {wanted}"
        )


def has_own_split(source: Source) -> bool:
    """Whether the source says which of its images are for training, validation and test."""
    if source.kind != "npz" or source.path is None:
        return source.kind == "bloodmnist"
    try:
        with zipfile.ZipFile(source.path) as archive:
            names = set(archive.namelist())
    except (zipfile.BadZipFile, OSError) as error:
        raise UserError(
            f"{source.path} is not a readable npz: {error}; save it with numpy.savez, or copy it again"
        ) from None
    return {"train_images.npy", "val_images.npy", "test_images.npy"} <= names


def effective_split(source: Source, data: Data) -> Split | Literal["official"]:
    """The split a study means: what it says, else the source's own, else 80/10/10.

    Raises UserError for "official" where the source has no split of its own.
    """
    if isinstance(data.split, Split):
        return data.split
    if has_own_split(source):
        return "official"
    if data.split == "official":
        raise UserError(
            f'[data] split = "official": {shorten(data.source, 200)} has no split of its own\n'
            "    leave split out, or give shares: { train = 0.8, val = 0.1, test = 0.1 }"
        )
    return Split()


def data_fingerprint(source: Source, data: Data) -> str:
    """Identity of the images an arm trains on, apart from its seed: part of every trial's id."""
    split = effective_split(source, data)
    return fingerprint(
        {
            "source": source.fingerprint,
            "size_px": data.size_px,
            "outliers": data.outliers,
            "split": split if isinstance(split, str) else split.model_dump(mode="json"),
            "split_seed": data.split_seed,
            "limit": data.limit,
            "classes": data.classes,
            "version": SPLIT_VERSION,
        }
    )


def test_key(source: Source, data: Data, replicate: Replicate) -> str:
    """Key of the local test set: it depends on what chooses test images and on nothing else.

    Outliers, limit, size, class names and the shares of training and validation do not: the images stay.
    """
    payload: dict[str, object] = {"set": "test", "source": source.fingerprint, "version": SPLIT_VERSION}
    split = effective_split(source, data)
    if replicate.fold is not None:
        payload |= {"fold": replicate.fold, "folds": replicate.folds, "split_seed": data.split_seed}
    elif isinstance(split, Split):
        payload |= {"test": split.test, "split_seed": data.split_seed}
    else:
        payload["test"] = "official"
    return fingerprint(payload)


test_key.__test__ = False  # type: ignore[attr-defined]  # pytest takes the name for a test's


def hidden_key(hidden: Hidden, source: Source | None, test_key: str) -> str:
    """Key of a hidden set: of its images (external), of test images and corruption, or of the drawing.

    source    where an external set is; not used for the other kinds
    test_key  key of the local test set that a corrupted set is made of
    """
    if isinstance(hidden, External):
        if source is None:
            raise ValueError("an external hidden set has a source")
        return fingerprint({"set": "external", "source": source.fingerprint, "classes": hidden.classes or {}})
    if isinstance(hidden, Corrupted):
        return fingerprint(
            {
                "set": hidden.model_dump(mode="json", exclude={"families", "severities"}),
                "families": {family: corruptions[family].version for family in families_of(hidden)},
                "severities": severities_of(hidden),
                "version": CORRUPTIONS_VERSION,
                "test": test_key,
            }
        )
    from bench.data.synthetic import draw as synthetic

    return fingerprint({"set": hidden.model_dump(mode="json"), "version": synthetic.VERSION})


def file_sha256(path: Path, memo: Path) -> str:
    """SHA-256 hex of a file's bytes, remembered under the folder ``memo`` by path, size and time."""
    stat = path.stat()
    return _remembered(memo, path, f"{stat.st_size} {stat.st_mtime_ns}", lambda: _hash_file(path))


def _hash_file(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _folder_sha256(folder: Path, memo: Path) -> str:
    """SHA-256 hex over (relative path, bytes) of the images of a folder, remembered like a file's."""
    files = list_images(folder)
    lines = "\n".join(f"{file.relative}\t{file.size}\t{file.mtime_ns}" for file in files)
    stamp = hashlib.sha256(os.fsencode(lines)).hexdigest()
    return _remembered(memo, folder, stamp, lambda: _hash_folder(folder, files))


def _hash_folder(folder: Path, files: list[ImageFile]) -> str:
    digest = hashlib.sha256()
    for file in files:
        content = (folder / file.class_name / file.name).read_bytes()
        digest.update(os.fsencode(f"{file.relative}\0{len(content)}\0"))
        digest.update(content)
    return digest.hexdigest()


def _remembered(memo: Path, path: Path, stamp: str, compute: Callable[[], str]) -> str:
    """``compute()``, or what it gave when ``path`` last had this stamp."""
    file = memo / "fingerprints" / f"{hashlib.sha256(os.fsencode(path)).hexdigest()[:32]}.json"
    try:
        known = json.loads(file.read_text("utf-8"))
        if known["stamp"] == stamp and known["path"] == str(path):
            return str(known["sha256"])
    except (OSError, ValueError, KeyError, TypeError):
        pass  # not hashed before, or a damaged memo: hash it
    sha256 = compute()
    with contextlib.suppress(OSError):  # a read-only cache costs time, never a result
        write_whole(
            file, json.dumps({"path": str(path), "stamp": stamp, "sha256": sha256}).encode(), safe=False
        )
    return sha256
