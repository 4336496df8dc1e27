"""What a plan must know of images that only reading them tells: how they split. Remembered by their content.

Standard library only where it is remembered, so that a warm ``bench plan`` is instant; else the images are
decoded, into the cache where a trial would look for them next.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from bench.data.fingerprint import PINNED, effective_split
from bench.errors import UserError
from bench.files import Counting, hand_over, json_of
from bench.plan import Replicate, Run, Source, Trial, fingerprint
from bench.planned import Account, Shares
from bench.recipe import Data, Split
from bench.registry import UNREAD, sources

if TYPE_CHECKING:
    from bench.data.images import Images, Index, Labels
    from bench.data.outliers import Findings
    from bench.data.reader import Reader


@dataclass(frozen=True)
class Outline:
    """What is known of a trial's images before they are asked for."""

    reader: Reader
    train: Labels
    """Labels (N,) of its training images, as ``val`` and ``test`` of the others."""
    val: Labels
    test: Labels
    tested: Index
    """Positions (M,) of its test images in the source."""


T = TypeVar("T")
SIDES = ("train", "val", "test")
VERSION = 2
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
        of = ["bursts", source.fingerprint]
        return self._remembered(of, lambda: self._bursts(source, data), _truth)

    def shares(self, source: Source, data: Data, replicate: Replicate, identity: str) -> Shares | None:
        """How a replicate's images are split; None where that is known unread, or there is no such split.

        identity  data fingerprint
        """
        if not _readable(source) or (
            data.groups is None and _told_unread(source, data, replicate.fold is not None)
        ):
            return None
        of = [identity, replicate.split_seed, replicate.fold, replicate.folds]
        return self._remembered(["shares", *of], lambda: self._shares(source, data, replicate), _shares_told)

    def outline(self, trial: Trial) -> Outline | None:
        """A trial's images by label and side; None where nothing can be said before it runs.

        Images that a plan reads anyway are told apart from their copies; others all count.
        Raises UserError for what is wrong with them.
        """
        from bench.data import split
        from bench.data.reader import open_source

        data, source, replicate = trial.data, trial.source, trial.replicate
        if not _readable(source) or (source.path and not source.path.exists()):  # to be downloaded
            return None
        reader = open_source(data, source)
        opened = _undecoded(reader, data) if self._unread(trial) else self._opened(source, data)
        sides = split.sides(opened[0], data, replicate, opened[1])
        train, val, test = (opened[0].labels[index] for index in sides)
        return Outline(reader, train, val, test, sides[2])

    def accounts(self, run: Run) -> tuple[Account, ...]:
        """What became of a run's images; what their files tell alone, where no image is read to plan."""
        trial = run.trial
        if self._unread(trial) or not _readable(trial.source):
            seen = trial.source.seen
            return () if seen is None else (Account(set="local", images=seen.images, seen=seen),)
        found = [trial.source.seen, *(scored.source.seen for scored in run.sets if scored.source)]
        files = [seen and seen.model_dump(mode="json") for seen in found]
        of = [trial.data_fingerprint, vars(trial.replicate), [(s.name, s.key) for s in run.sets], files]
        return self._remembered(["accounts", *of], lambda: self._accounts(run), _accounts_told)

    def _accounts(self, run: Run) -> list[Any]:
        from bench.data.accounts import of_run

        return [account.model_dump(mode="json") for account in of_run(run, self.cache)]

    def _unread(self, trial: Trial) -> bool:
        """Whether a plan is made without reading a trial's images."""
        folds = trial.replicate.fold is not None
        return trial.data.groups is None and _told_unread(trial.source, trial.data, folds)

    def sound(self, of: list[Any], problems: Callable[[], Iterable[str]]) -> list[str]:
        """``problems()``; where it found none of the same (``of``) before, none."""
        return self._remembered(["sound", *of], lambda: list(problems()), _sound, lambda found: not found)

    def _remembered(
        self,
        of: list[Any],
        compute: Callable[[], Any],
        told: Callable[[Any], T],
        lasting: Callable[[Any], bool] = lambda found: True,
    ) -> T:
        """``told(compute())``, or of what that gave for the same.

        told      makes it of JSON; raises ValueError or TypeError for what no ``compute`` gives
        lasting   says whether it is to be kept
        """
        file = self.cache / "surveys" / f"{fingerprint([*of, VERSION])[:32]}.json"
        with contextlib.suppress(OSError, ValueError, TypeError):
            return told(json_of(file, object))
        found = compute()
        if not lasting(found):
            return told(found)
        with contextlib.suppress(UserError):  # a cache that cannot be written costs time, never a result
            hand_over(file, json.dumps(found).encode())
        return told(found)

    def _opened(self, source: Source, data: Data) -> tuple[Images, Findings]:
        from bench.data import provide

        with self.counting(f"reading {data.source} at {data.size_px} px") as count:
            return provide.opened(data, source, self.cache, count)

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
        found = shares_of(made, usable, images, asked_of(source, data, replicate), filled_of(data))
        return found.model_dump(mode="json")


def _truth(found: Any) -> bool:
    if not isinstance(found, bool):
        raise TypeError(f"{found} is neither true nor false")
    return found


def _shares_told(found: Any) -> Shares | None:
    return None if found is None else Shares.model_validate(found)


def _accounts_told(found: Any) -> tuple[Account, ...]:
    if not isinstance(found, list) or not found:
        raise TypeError("no accounts")
    return tuple(map(Account.model_validate, found))


def _sound(found: Any) -> list[str]:
    if not isinstance(found, list):
        raise TypeError("no list of problems")
    return found


def _readable(source: Source) -> bool:
    """Whether the code that opens it is there: that of a study, where nothing of it is run, is not."""
    return sources[source.kind].origin != UNREAD


def _told_unread(source: Source, data: Data, folds: bool) -> bool:
    """Whether no image need be read to know that none comes in bursts, or that it would change nothing."""
    own = not folds and effective_split(source, data) == "official"
    return data.source in PINNED or own or not _readable(source)


def _undecoded(reader: Reader, data: Data) -> tuple[Images, Findings]:
    """A source's labels, groups and own split, with empty pictures of which no two are alike."""
    import numpy as np

    from bench.data.groups import groups_of
    from bench.data.images import Images
    from bench.data.outliers import Findings

    count = len(reader.labels)
    each = np.arange(count)
    images = Images(
        np.broadcast_to(np.uint8(0), (count, 1, 1, reader.channels)),
        reader.labels,
        each.astype(np.uint64),
        classes=reader.classes,
        split=reader.split,
        phash=each.astype(np.uint64),
        groups=None if data.groups is None else groups_of(reader, data.groups, data.source),
    )
    return images, Findings(np.zeros(count, bool), each, each, (), (), ())


def shares_of(
    made: Sequence[Index],
    usable: int,
    images: Images,
    asked: Mapping[str, float],
    filled: int | None = None,
) -> Shares:
    """What a split has come to.

    made    positions of the training, validation and test images
    usable  images that there were to split
    asked   of ``asked_of``
    filled  of ``filled_of``
    """
    named, groups = dict(zip(SIDES, made, strict=True)), images.groups
    train, val, test = map(len, made)
    return Shares(
        images=usable,
        sides={"train": train, "val": val, "test": test},
        groups={}
        if groups is None
        else {side: len(set(groups[index].tolist())) for side, index in named.items()},
        asked=dict(asked),
        filled=filled,
    )


def asked_of(source: Source, data: Data, replicate: Replicate) -> dict[str, float]:
    """The shares of validation and test that a study asks for; empty where the source's own split holds.

    Of a validation that is filled up by request none: it is to have as many images as ``filled_of`` says.
    """
    split = effective_split(source, data)
    if split == "official" and replicate.folds is None:
        return {}
    shares = split if isinstance(split, Split) else Split()
    test = shares.test if replicate.folds is None else 1 / replicate.folds
    val = {} if filled_of(data) else {"val": (1 - test) * shares.val / (shares.train + shares.val)}
    return val | {"test": test}


def filled_of(data: Data) -> int | None:
    """Images that validation is to be filled up to; None where it keeps its share."""
    return data.val_images if data.limit is not None else None
