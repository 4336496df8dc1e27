"""What became of a study's images: how many are left, which were dropped and why, what they were called."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from pathlib import Path

import numpy as np

from bench.data import provide, split
from bench.data.foreign import as_written, counterparts_of
from bench.data.images import Labels
from bench.data.reader import open_source
from bench.plan import Run, ScoredSet, Trial
from bench.planned import Account
from bench.recipe import External

WHY = {
    "labels disagree": 'copies whose labels disagree (outliers = "keep" keeps them)',
    "3 or more copies": '3 or more copies of one image (outliers = "keep" keeps them)',
    "copy": 'second copies (outliers = "keep" keeps them)',
}
NEAR = "near-copies of images on another side"
LIMITED = "more than [data] limit"
LEFT_OUT = "drop_classes"


def of_run(run: Run, cache: Path) -> tuple[Account, ...]:
    """Of the images that a run trains and is tested on, and of its external hidden sets."""
    external = [(scored, scored.hidden) for scored in run.sets if isinstance(scored.hidden, External)]
    foreign = (of_external(scored, of, run.trial, cache) for scored, of in external)
    return of_local(run.trial, cache), *foreign


def of_local(trial: Trial, cache: Path) -> Account:
    """Of the images that a trial trains, validates and is tested on."""
    images, findings = provide.opened(trial.data, trial.source, cache, None)
    dropped: dict[str, Counter[str]] = {}
    if trial.data.drop_classes:
        whole = open_source(trial.data.model_copy(update={"drop_classes": ()}), trial.source)
        every = _by_class(whole.classes, whole.labels)
        dropped[LEFT_OUT] = Counter({name: every.get(name, 0) for name in trial.data.drop_classes})
    if trial.data.outliers == "drop":
        for cluster in findings.exact:
            gone = images.labels[list(cluster.dropped)]
            dropped.setdefault(WHY[cluster.reason], Counter()).update(_by_class(images.classes, gone))
    sides = split.sides(images, trial.data, trial.replicate, findings)
    used = _by_class(images.classes, images.labels[np.concatenate(sides)])
    kept = _by_class(images.classes, images.labels) - sum(
        (counts for why, counts in dropped.items() if why != LEFT_OUT), Counter()
    )
    if rest := kept - used:
        dropped[LIMITED if trial.data.limit else NEAR] = rest
    told = {why: dict(counts) for why, counts in dropped.items()}
    return Account(set="local", images=used, dropped=told, seen=trial.source.seen)


def of_external(scored: ScoredSet, hidden: External, trial: Trial, cache: Path) -> Account:
    """Of an external hidden set, in the classes of a trial's own images."""
    assert scored.source is not None
    local, _ = provide.opened(trial.data, trial.source, cache, None)
    foreign = open_source(as_written(hidden, trial.data), scored.source)
    names = counterparts_of(hidden, foreign, local, trial.data)
    images: Counter[str] = Counter()
    dropped: Counter[str] = Counter()
    named: dict[str, dict[str, int]] = {}
    for name, count in _by_class(foreign.classes, foreign.labels).items():
        ours = names.get(name)
        (dropped if ours is None else images).update({ours or name: count})
        if ours is not None and ours != name:
            named.setdefault(ours, {})[name] = count
    return Account(
        set=scored.name,
        images=images,
        dropped={LEFT_OUT: dropped} if dropped else {},
        named=named,
        seen=scored.source.seen,
    )


def _by_class(classes: Iterable[str], labels: Labels) -> Counter[str]:
    """Images of each class that has some; labels (N,)."""
    counts = np.bincount(labels, minlength=len(tuple(classes))).tolist()
    return Counter({name: count for name, count in zip(classes, counts, strict=True) if count})
