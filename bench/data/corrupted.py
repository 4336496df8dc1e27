"""Corrupted sets: damaged copies of test or validation images, made once and memory-mapped afterwards.

Layout of ``<cache>/corrupted/<hash>/``: ``images.npy`` (N, S, S, C) uint8 and ``manifest.json``, which says
what they are and what they hash to. The folder's name is a hash of everything the images depend on, base
images included. It appears whole or not at all; a damaged one is made again.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from bench.claims import alone
from bench.corruptions.base import CORRUPTIONS_VERSION, one_thread
from bench.corruptions.families import fitting, refuse_too_many, severities_of
from bench.corruptions.profiles import Operation, draws, heavy_mix, micro_c
from bench.data.cache import mapped
from bench.data.images import Conditions, Index, Pixels, Samples, npy_header
from bench.files import CACHE_SETTING, Count, filling, json_of
from bench.plan import fingerprint
from bench.recipe import Corrupted
from bench.registry import corruptions
from bench.streams import derive

if TYPE_CHECKING:
    import torch

BLOCK = 256
"""Copies that leave the device, and enter the file, together."""


def corrupted_samples(
    hidden: Corrupted, base: Samples, cache: Path, device: str = "cpu", progress: Count | None = None
) -> Samples:
    """Corrupted copies of ``base``; each has the label and the id of its base image.

    base      (N, S, S, C): test images, or validation images for ``val_shift``
    device    where to compute; the same on every CPU thread count, but a GPU rounds differently
    progress  called with (copies done, copies in all) while they are made for the first time
    returns   ``micro-c``: condition by condition, with ``conditions``; ``heavy-mix``: one copy per image.
              Images are mapped into memory, not read

    Raises UserError for more images than there are, and for families that need colour where there is none.
    """
    work = _Work.of(hidden, base)
    folder = cache / "corrupted" / fingerprint([work.parameters, work.base_hash(), device])[:32]
    try:
        return _load(folder, work)
    except _DamagedError:
        pass  # not there yet, or not whole: a claim decides who makes it
    with filling(cache, CACHE_SETTING):
        folder.parent.mkdir(parents=True, exist_ok=True)
        with alone(cache, f"corrupted-{folder.name}"):
            try:
                return _load(folder, work)
            except _DamagedError:
                _build(folder, work, device, progress)
    return _load(folder, work)


def chosen(base: Samples, count: int, seed: int) -> Index:
    """Positions (count,) of ``count`` images, classes in proportion, decided by a hash of (seed, id).

    A larger choice contains every smaller one. Raises UserError for more than there are.
    """
    refuse_too_many(count, len(base))
    key = derive(seed, "corruption/images").to_bytes(8, "big")
    place = [hashlib.blake2b(int(i).to_bytes(8, "big"), digest_size=8, key=key).hexdigest() for i in base.ids]
    order = np.argsort(np.array(place), kind="stable")
    share = np.empty(len(base))
    for label in np.unique(base.labels):
        mine = order[base.labels[order] == label]
        share[mine] = (np.arange(len(mine)) + 0.5) / len(mine)
    return np.sort(order[np.argsort(share[order], kind="stable")][:count])


class _DamagedError(Exception):
    """A cache folder that is not what its manifest says."""


@dataclass(frozen=True)
class _Work:
    """What to make: copy k is image ``index[k]`` of ``base`` after ``operations[k]``. N copies."""

    base: Samples
    index: Index
    operations: Sequence[tuple[Operation, ...]]
    conditions: Conditions | None
    names: tuple[str, ...]
    seed: int
    parameters: dict[str, Any]

    @classmethod
    def of(cls, hidden: Corrupted, base: Samples) -> _Work:
        """Every copy that a table asks for."""
        families, severities = fitting(hidden, channels=base.images.shape[3]), severities_of(hidden)
        if hidden.images is not None:
            base = base.take(chosen(base, hidden.images, hidden.seed))
        count = len(base)
        parameters = {
            "version": CORRUPTIONS_VERSION,
            "profile": hidden.profile,
            "families": {family: corruptions[family].version for family in families},
            "severities": severities,
            "seed": hidden.seed,
            "base images": count,
        }
        if hidden.profile == "heavy-mix":
            mixes = [heavy_mix(hidden.seed, int(i), families, severities) for i in base.ids]
            return cls(base, np.arange(count), mixes, None, (), hidden.seed, parameters)
        every = micro_c(families, severities)
        conditions = np.repeat(np.arange(len(every), dtype=np.int16), count)
        operations = [(operation,) for operation in every for _ in range(count)]
        names = tuple(map(str, every))
        index = np.tile(np.arange(count), len(every))
        return cls(base, index, operations, conditions, names, hidden.seed, parameters)

    def __len__(self) -> int:
        return len(self.index)

    @property
    def shape(self) -> tuple[int, ...]:
        """(N, S, S, C)."""
        return (len(self), *self.base.images.shape[1:])

    def base_hash(self) -> str:
        """SHA-256 hex of all that is taken over from the base images."""
        digest = hashlib.sha256(repr(self.base.images.shape).encode())
        for start in range(0, len(self.base), BLOCK):  # a base that is not in memory need not be
            digest.update(np.ascontiguousarray(self.base.images[start : start + BLOCK]).data)
        for array in (self.base.labels, self.base.ids):
            digest.update(np.ascontiguousarray(array).data)
        return digest.hexdigest()

    def conditions_hash(self) -> str:
        """SHA-256 hex of every copy's image, label and operations."""
        digest = hashlib.sha256(repr(self.names).encode())
        for array in (self.base.ids[self.index], self.base.labels[self.index]):
            digest.update(array.data)
        digest.update("\n".join(" ".join(map(str, chain)) for chain in self.operations).encode())
        return digest.hexdigest()

    def samples(self, images: Pixels) -> Samples:
        """``images`` (N, S, S, C) with what belongs to them."""
        return Samples(
            images,
            self.base.labels[self.index],
            self.base.ids[self.index],
            conditions=self.conditions,
            condition_names=self.names,
            groups=None if self.base.groups is None else self.base.groups[self.index],
        )


def _load(folder: Path, work: _Work) -> Samples:
    """Raises _DamagedError when anything is missing or not as described."""
    file = folder / "images.npy"
    try:
        manifest = json_of(folder / "manifest.json")
        if manifest["conditions_sha256"] != work.conditions_hash():
            raise _DamagedError(f"{folder} holds other conditions")
        # Private pages: what is written into them by mistake reaches neither the file nor another process.
        images = mapped(file, manifest["images_sha256"], "c")
        if images.shape != work.shape or images.dtype != np.uint8:
            raise _DamagedError(f"{file} has shape {images.shape}")
        return work.samples(images)
    except (OSError, ValueError, KeyError, TypeError, EOFError) as error:
        raise _DamagedError(f"{folder}: {error}") from error


def _build(folder: Path, work: _Work, device: str, progress: Count | None) -> None:
    """Make all copies in a temporary folder beside ``folder``, then rename: whole or not at all."""
    temporary = Path(tempfile.mkdtemp(dir=folder.parent, prefix=".building-"))
    try:
        manifest = {
            "parameters": work.parameters,
            "device": device,
            "shape": work.shape,
            "images_sha256": _write_images(temporary / "images.npy", work, device, progress),
            "conditions_sha256": work.conditions_hash(),
            "conditions": work.names,
        }
        (temporary / "manifest.json").write_text(json.dumps(manifest, indent=1), "utf-8")
        if folder.exists():
            shutil.rmtree(folder)
        temporary.rename(folder)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _write_images(path: Path, work: _Work, device: str, progress: Count | None) -> str:
    """Write the file block by block, so that a set larger than memory can be made; its SHA-256 hex."""
    header = npy_header(work.shape)
    digest = hashlib.sha256(header)
    with path.open("wb") as file:
        file.write(header)
        for start in range(0, len(work), BLOCK):
            stop = min(start + BLOCK, len(work))
            block = _corrupt(work, slice(start, stop), device)
            digest.update(block.data)
            file.write(block.data)
            if progress:
                progress(stop, len(work))
    return digest.hexdigest()


def _corrupt(work: _Work, part: slice, device: str) -> Pixels:
    """The copies of ``part``, (B, S, S, C) uint8; between operations values stay float32."""
    import torch

    index = work.index[part]
    pixels = torch.from_numpy(np.ascontiguousarray(work.base.images[index])).to(device)
    images = pixels.permute(0, 3, 1, 2).float().div_(255)
    built = {op.family: corruptions[op.family].build({}) for chain in work.operations[part] for op in chain}
    with one_thread():
        for k, chain in enumerate(work.operations[part]):
            one = images[k : k + 1]
            for op in chain:
                rng = draws(work.seed, op, int(work.base.ids[index[k]]))
                one = built[op.family].apply(one, op.severity, [rng])
            images[k] = one[0]
    return _bytes(images)


def _bytes(images: torch.Tensor) -> Pixels:
    """(B, C, H, W) in [0, 1] → (B, H, W, C) uint8, rounded."""
    import torch

    levels = images.mul(255).round_().to(torch.uint8)
    pixels: Pixels = levels.permute(0, 2, 3, 1).contiguous().cpu().numpy()
    return pixels
