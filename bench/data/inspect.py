"""What a source holds, looked at before anything is trained: counts, sizes, copies, suspects, what is left.

Finding suspects and native sizes takes a while, so both are remembered under ``<cache>/inspected/``, by the
source's content. Near-duplicates are remembered by whoever looks first: a plan, a trial or this.
"""

from __future__ import annotations

import contextlib
import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np

from bench.data import outliers, split, suspects
from bench.data.cache import open_images
from bench.data.images import Images, Index
from bench.data.outliers import Cluster, Findings
from bench.data.reader import Reader, Size, open_source
from bench.data.reading import NOTICED
from bench.data.survey import SIDES, asked_of, filled_of, shares_of
from bench.data.suspects import Suspect
from bench.errors import UserError
from bench.files import Count, Counting, hand_over, json_of
from bench.plan import Replicate, Source, fingerprint
from bench.recipe import Data

TOLD = 256
VERSION = 1
"""Raised when native sizes would be read differently; suspects have a version of their own."""


@dataclass(frozen=True)
class Inspection:
    """A source, looked at. N images of K classes, in the source's order.

    names     what each image is called
    sizes     native (width, height) → images; empty for drawings
    sides     per class (K,) int64: how many ``outliers = "drop"`` leaves for train, validation and test
    problem   why a study could not split what is left; empty when it can
    missed    what is to be said of sides that are not as large as asked for
    """

    data: Data
    source: Source
    images: Images
    findings: Findings
    suspects: tuple[Suspect, ...]
    names: Sequence[str]
    sizes: Counter[Size]
    sides: dict[str, Index]
    problem: str = ""
    missed: tuple[str, ...] = ()
    hidden: bool = False
    """One set that is only scored: nothing of it is split, or dropped."""

    @property
    def counts(self) -> Index:
        """Images of each class, (K,) int64."""
        return self._per_class(self.images.labels)

    @property
    def outliers(self) -> Index:
        """Images of each class that ``outliers = "drop"`` removes, (K,) int64."""
        return self._per_class(self.images.labels[self.findings.outlier])

    @property
    def group_sizes(self) -> Index | None:
        """Images of each group, (G,) int64, where groups are known."""
        groups = self.images.groups
        return None if groups is None else np.bincount(groups).astype(np.int64)

    @property
    def imbalance(self) -> float:
        """Images of the largest class over those of the smallest that has any."""
        some = self.counts[self.counts > 0]
        return float(some.max() / some.min()) if len(some) else 1.0

    @property
    def oblong(self) -> tuple[float, int]:
        """Mean share outside the central square, 0 to 1; images of which it is more than a tenth.

        So much is cropped, or is bars in a padded square, or is pressed out of the longer side.
        """
        lost = {size: 1 - min(size) / max(size) for size in self.sizes}
        mean = sum(lost[size] * n for size, n in self.sizes.items()) / max(1, self.sizes.total())
        return mean, sum(n for size, n in self.sizes.items() if lost[size] > NOTICED)

    def label(self, position: int) -> str:
        """Class name of an image."""
        return self.images.classes[int(self.images.labels[position])]

    def label_counts(self, cluster: Cluster) -> dict[str, int]:
        """Copies of a cluster by class name, in the order of the classes."""
        counts = Counter(int(self.images.labels[member]) for member in cluster.members)
        return {self.images.classes[k]: counts[k] for k in cluster.labels}

    def _per_class(self, labels: Index) -> Index:
        return np.bincount(labels, minlength=len(self.images.classes)).astype(np.int64)


def inspect(
    data: Data, source: Source, cache: Path, counting: Counting, replicate: Replicate | None
) -> Inspection:
    """Look at a source as the ``[data]`` table of a study means it.

    counting   opens a progress counter
    replicate  whose split is counted; None: of a hidden set
    Raises UserError for what cannot be read; classes too small to split are not an error here.
    """
    with counting("decoding images") as count:
        images = open_images(data, source, cache, count)
    with counting("looking for near-duplicates") as count:
        findings = outliers.find(images, cache, count)
    reader = open_source(data, source)
    sizes, far = _remembered(data, source, images, reader, cache, counting)
    names = reader.names or [f"image {position}" for position in range(len(images))]
    if replicate is None:
        findings = _kept(findings)
        return Inspection(data, source, images, findings, far, names, sizes, {}, hidden=True)
    sides, problem, missed = _sides(images, data, replicate, findings, asked_of(source, data, replicate))
    return Inspection(data, source, images, findings, far, names, sizes, sides, problem, missed)


def _kept(findings: Findings) -> Findings:
    """The same copies, none of them dropped."""
    exact = tuple(replace(cluster, dropped=()) for cluster in findings.exact)
    return replace(findings, exact=exact, outlier=np.zeros_like(findings.outlier))


def _sides(
    images: Images, data: Data, replicate: Replicate, findings: Findings, asked: dict[str, float]
) -> tuple[dict[str, Index], str, tuple[str, ...]]:
    """How many images of each class the sides of a split get, or why there is no split; which were missed."""
    dropping = data.model_copy(update={"outliers": "drop"})
    classes = len(images.classes)
    try:
        made = split.sides(images, dropping, replicate, findings)
    except UserError as error:
        return {}, str(error), ()
    shares = shares_of(made, int((~findings.outlier).sum()), images, asked, filled_of(data))
    labels = {side: images.labels[index] for side, index in zip(SIDES, made, strict=True)}
    counts = {side: np.bincount(of, minlength=classes).astype(np.int64) for side, of in labels.items()}
    return counts, "", shares.missed


def _remembered(
    data: Data, source: Source, images: Images, reader: Reader, cache: Path, counting: Counting
) -> tuple[Counter[Size], tuple[Suspect, ...]]:
    """Native sizes and suspects, from the cache where they were found before."""
    fit = [] if data.fit == "crop" else [data.fit, data.fill]
    content = [source.kind, source.fingerprint, data.size_px, VERSION, suspects.VERSION, *fit]
    file = cache / "inspected" / f"{fingerprint(content)[:32]}.json"
    known = _read(file, len(images))
    if known is not None:
        return known
    with counting("native sizes") as count:
        sizes = native_sizes(images, reader, count)
    with counting("looking for suspects") as count:
        found = suspects.find(images, count)
    stored = {
        "sizes": [[*size, number] for size, number in sizes.items()],
        "suspects": [asdict(suspect) for suspect in found],
    }
    with contextlib.suppress(UserError):  # a cache that cannot be written costs time, never a result
        hand_over(file, json.dumps(stored).encode())
    return sizes, found


def native_sizes(images: Images, reader: Reader, progress: Count | None = None) -> Counter[Size]:
    """How many images have which native size; empty for drawings, which have none.

    Noted when they were decoded; a cache of before that was so is made up for from the images' headers.

    progress  called with (images done, images in all)
    """
    if images.sizes is not None:
        found, counts = np.unique(images.sizes, axis=0, return_counts=True)
        return Counter(
            {(width, height): n for (width, height), n in zip(found.tolist(), counts.tolist(), strict=True)}
        )
    count = 0 if reader.drawn else len(reader.labels)
    sizes: Counter[Size] = Counter()
    for done in range(1, count + 1):
        sizes[reader.size(done - 1) if reader.size else reader.native(done - 1).shape[1::-1]] += 1
        if progress and (done % TOLD == 0 or done == count):
            progress(done, count)
    return sizes


def _read(file: Path, count: int) -> tuple[Counter[Size], tuple[Suspect, ...]] | None:
    """What the cache holds, or None when it holds nothing or is damaged."""
    try:
        stored = json_of(file)
        sizes = Counter({(int(width), int(height)): int(n) for width, height, n in stored["sizes"]})
        found = tuple(
            Suspect(int(one["position"]), float(one["distance"]), float(one["z"]))
            for one in stored["suspects"]
        )
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return (sizes, found) if all(0 <= one.position < count for one in found) else None
