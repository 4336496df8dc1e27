"""What a plan must know of images that only reading them tells: how they split. Remembered by their content.

Standard library only where it is remembered, so that a warm ``bench plan`` is instant; else the images are
decoded, into the cache where a trial would look for them next.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench.data.fingerprint import PINNED, effective_split
from bench.errors import UserError
from bench.files import Counting, hand_over
from bench.plan import Replicate, Shares, Source, fingerprint
from bench.recipe import Data, Split
from bench.registry import UNREAD, sources

if TYPE_CHECKING:
    from bench.data.images import Images, Index
    from bench.data.outliers import Findings

SIDES = ("train", "val", "test")
VERSION = 1
"""Raised when the same images would be surveyed otherwise."""


class Surveyor:
    """Reads what must be read, at most once for each source."""

    def __init__(self, cache: Path, counting: Counting) -> None:
        self.cache, self.counting = cache, counting

    def in_bursts(self, source: Source, data: Data, *, folds: bool) -> bool:
        """Whether near-copies make it matter that sides are filled by images (``split.bursts``).

        folds  the source's own split, which nothing fills, is not used

        Never where groups are known: then sides are filled by images anyway.
        """
        if data.groups is not None or _told_unread(source, data, folds):
            return False
        return bool(self._remembered(["bursts", source.fingerprint], lambda: self._bursts(source, data)))

    def shares(self, source: Source, data: Data, replicate: Replicate, identity: str) -> Shares | None:
        """How a replicate's images are split; None where that is known unread, or there is no such split.

        identity  data fingerprint
        """
        if not _readable(source) or (
            data.groups is None and _told_unread(source, data, replicate.fold is not None)
        ):
            return None
        of = [identity, replicate.split_seed, replicate.fold, replicate.folds]
        found = self._remembered(["shares", *of], lambda: self._shares(source, data, replicate))
        return None if found is None else Shares.model_validate(found)

    def _remembered(self, of: list[Any], compute: Callable[[], Any]) -> Any:
        file = self.cache / "surveys" / f"{fingerprint([*of, VERSION])[:32]}.json"
        with contextlib.suppress(OSError, ValueError):
            return json.loads(file.read_text("utf-8"))
        found = compute()
        with contextlib.suppress(UserError):  # a cache that cannot be written costs time, never a result
            hand_over(file, json.dumps(found).encode())
        return found

    def _opened(self, source: Source, data: Data) -> tuple[Images, Findings]:
        from bench.data.cache import open_images
        from bench.data.outliers import find

        with self.counting(f"reading {data.source} at {data.size_px} px") as count:
            images = open_images(data, source, self.cache, count)
        with self.counting(f"near-duplicates in {data.source}") as count:
            return images, find(images, self.cache, count)

    def _bursts(self, source: Source, data: Data) -> bool:
        from bench.data.split import bursts

        return bursts(*self._opened(source, data))

    def _shares(self, source: Source, data: Data, replicate: Replicate) -> dict[str, Any] | None:
        from bench.data.split import sides

        images, findings = self._opened(source, data)
        try:
            made = sides(images, data, replicate, findings)
        except UserError:
            return None  # told with everything else that is wrong, before the first trial
        usable = len(images) if data.outliers == "keep" else int((~findings.outlier).sum())
        return shares_of(made, usable, images, asked_of(source, data, replicate)).model_dump(mode="json")


def _readable(source: Source) -> bool:
    """Whether the code that opens it is there: that of a study, where nothing of it is run, is not."""
    return sources[source.kind].origin != UNREAD


def _told_unread(source: Source, data: Data, folds: bool) -> bool:
    """Whether no image need be read to know that none comes in bursts, or that it would change nothing."""
    own = not folds and effective_split(source, data) == "official"
    return data.source in PINNED or own or not _readable(source)


def shares_of(made: Sequence[Index], usable: int, images: Images, asked: Mapping[str, float]) -> Shares:
    """What a split has come to.

    made    positions of the training, validation and test images
    usable  images that there were to split
    """
    named, groups = dict(zip(SIDES, made, strict=True)), images.groups
    return Shares(
        images=usable,
        sides={side: len(index) for side, index in named.items()},
        groups={}
        if groups is None
        else {side: len(set(groups[index].tolist())) for side, index in named.items()},
        asked=dict(asked),
    )


def asked_of(source: Source, data: Data, replicate: Replicate) -> dict[str, float]:
    """The shares of validation and test that a study asks for; empty where the source's own split holds."""
    split = effective_split(source, data)
    if split == "official" and replicate.folds is None:
        return {}
    shares = split if isinstance(split, Split) else Split()
    test = shares.test if replicate.folds is None else 1 / replicate.folds
    return {"val": (1 - test) * shares.val / (shares.train + shares.val), "test": test}
