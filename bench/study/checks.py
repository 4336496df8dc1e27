"""What is wrong between a study's tables, each of which is right by itself: one check a function."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Any

from bench.corruptions import families
from bench.errors import Mistake, did_you_mean, shorten
from bench.recipe import HIDDEN_NAME, SOURCE_KEYS, Data, Split, repeated
from bench.registry import Component, sources
from bench.study.arms import Arms
from bench.study.file import REPLICATE_SEEDS, StudyFile
from bench.study.patch import Tree

NOT_SETS = ("local", "test", "val", "val_shift", "gap", "cost")
"""Names that already mean something in a metric, so no hidden set can have them."""


def wrong(path: str, found: Any, problem: str) -> Mistake:
    """A mistake at a place of the file; ``found`` None: of the place itself, not of a value there."""
    return Mistake(path, "" if found is None else shorten(found), problem)


def has_local(data: Data) -> bool:
    """Whether a split leaves test images of its own; ``test = 0`` does not."""
    return not isinstance(data.split, Split) or data.split.test > 0


def of_sources(table: Tree, hidden: Sequence[str]) -> Iterator[Mistake]:
    """That sources are registered and take the keys given with them, whatever else is wrong."""
    tables = {"[data]": table.get("data"), **{f"[hidden.{name}]": table["hidden"][name] for name in hidden}}
    for where, given in tables.items():
        source = given.get("source") if isinstance(given, dict) else None
        external = where != "[data]"
        if not isinstance(source, str) or (external and given.get("kind") != "external"):
            continue  # said elsewhere
        if problem := sources.problem(source, external=external):
            yield wrong(f"{where} source", source, problem)
        elif not external:
            yield from _of_keys(given, sources.named(source)[0])


def _of_keys(data: Tree, source: Component) -> Iterator[Mistake]:
    for key in SOURCE_KEYS:
        if key in data and key not in source.takes:
            takers = ", ".join(each.name for each in sources if key in each.takes)
            problem = f"{source.name} takes no {key}; leave it out (it goes with {takers})"
            yield wrong(f"[data] {key}", data[key], problem)


def of_seeds(written: StudyFile, seeds: Sequence[int], further: Sequence[int]) -> Iterator[Mistake]:
    """That the baseline has more seeds where it is given some, and that all are seeds of replicates."""
    if written.baseline_seeds is None:
        return
    if written.baseline_seeds <= len(seeds):
        problem = f"must be more than the {len(seeds)} seeds of every arm, or left out"
        yield wrong("baseline_seeds", written.baseline_seeds, problem)
    elif further[-1] >= REPLICATE_SEEDS:
        problem = f"goes up to seed {further[-1]}; seeds of replicates are 0 to {REPLICATE_SEEDS - 1}"
        yield wrong("baseline_seeds", written.baseline_seeds, problem)


def of_fill(data: Tree, built: Arms) -> Iterator[Mistake]:
    """``fill`` is of bars that ``fit = "pad"`` alone draws."""
    pads = any(arm.data.fit == "pad" for arm in built.arms)
    if built.arms and not pads and "fill" in data:
        yield wrong("[data] fill", data["fill"], 'goes with fit = "pad", which no arm has; leave it out')


def of_spare(written: StudyFile, built: Arms) -> Iterator[Mistake]:
    """``val_images`` takes from what a limit leaves over."""
    if not built.arms or any(arm.data.limit is not None for arm in built.arms):
        return
    asked = {"[data]": written.data.val_images, "[tune]": written.tune and written.tune.val_images}
    for table, count in asked.items():
        if count is not None:
            problem = "is filled up with what [data] limit leaves over, and no arm has a limit; leave it out"
            yield wrong(f"{table} val_images", count, problem)


def of_hidden(written: StudyFile, names: Sequence[str]) -> Iterator[Mistake]:
    """Names of sets that mean nothing else, families that exist, drawings for who draws."""
    for name in names:
        if name in NOT_SETS or not re.fullmatch(HIDDEN_NAME, name):
            problem = f"use letters, digits, - and _, and none of {', '.join(NOT_SETS)}"
            yield wrong(f"[hidden.{name}]", None, problem)
    yield from families.problems(written.hidden, written.val_shift)
    for name, hidden in written.hidden.items() if written.data.source != "synthetic" else ():
        if hidden.kind == "synthetic":
            problem = 'goes with source = "synthetic"; use corrupted or external'
            yield wrong(f"[hidden.{name}] kind", "synthetic", problem)


def of_slices(written: StudyFile) -> Iterator[Mistake]:
    """They are of sets that a source with columns gives; corrupted sets have those of the local one."""
    known = ["local"] * has_local(written.data)
    known += [name for name, hidden in written.hidden.items() if hidden.kind == "external"]
    for name, columns in written.slices.items():
        if name not in known:
            made = name in written.hidden
            problem = "has the slices of local, of which it is made" if made else "no set of that name"
            yield wrong(f"[slices] {name}", None, f"{problem}; {did_you_mean(name, known)}")
        elif double := repeated(columns):
            yield wrong(f"[slices] {name}", list(columns), f"names the column {double} twice")


def of_local(written: StudyFile, names: Sequence[str]) -> Iterator[Mistake]:
    """``test = 0`` leaves no local test image: hidden sets of other images must decide."""
    if has_local(written.data):
        return
    where = "[data] split"
    if not names:
        problem = "test = 0 leaves nothing to decide; add a hidden set of other images, or give test a share"
        yield wrong(where, None, problem)
    if written.replicates is not None:
        problem = "test = 0, but in cross-validation every image is a test image of some fold"
        yield wrong(where, None, problem)
    for name, hidden in written.hidden.items():
        if hidden.kind == "corrupted":
            problem = "is made of local test images, and [data] split has test = 0; give test a share"
            yield wrong(f"[hidden.{name}] kind", "corrupted", problem)


def of_ensembles(written: StudyFile, built: Arms) -> Iterator[Mistake]:
    """They average an arm that there is, under a name that no arm has."""
    if (labels := built.labels) is None:
        return
    for name, ensemble in written.ensembles.items():
        if ensemble.arm not in labels:
            hint = did_you_mean(ensemble.arm, labels)
            yield wrong(f"[ensembles.{name}] arm", ensemble.arm, f"no such arm; {hint}")
        if name in labels:
            yield wrong(f"[ensembles.{name}]", None, "an arm has this name already; choose another")
