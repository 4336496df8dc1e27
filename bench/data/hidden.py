"""Hidden sets: images scored beside the local test set, made or read only after training."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from bench.data import outliers
from bench.data.cache import CACHE_VERSION, open_images, open_reader
from bench.data.classes import counterparts
from bench.data.corrupted import corrupted_samples
from bench.data.images import Images, Labels, Samples
from bench.data.reader import open_source
from bench.data.sources.synthetic import drawings
from bench.errors import UserError, did_you_mean, shorten
from bench.files import Count
from bench.plan import ScoredSet, fingerprint
from bench.recipe import Corrupted, Data, External, Shifted
from bench.registry import sources

DROPPED = -1
"""Label of an image of a class that is left out."""
SHIFTED_SEED = 1
"""Another than the local drawings' (``synthetic.LOCAL_SEED``): other cells, not the same ones shifted."""


def hidden_samples(
    scored: ScoredSet,
    local: Images,
    test: Samples,
    data: Data,
    cache: Path,
    progress: Count | None = None,
) -> Samples:
    """Images of a hidden set, in the classes of the study.

    local     the whole local source: its class names, and its images, which an external set may not contain
    test      the local test set, which a corrupted set is made of
    progress  called with (images done, images in all) while a corrupted set is made for the first time
    Raises UserError that lists all foreign classes without a counterpart, or counts images that are local.
    """
    hidden = scored.hidden
    if isinstance(hidden, External):
        return _external(scored, hidden, local, data, cache)
    if isinstance(hidden, Shifted):
        return _shifted(scored.name, hidden, local, data, cache)
    if isinstance(hidden, Corrupted):
        try:
            return corrupted_samples(hidden, test, cache, progress=progress)
        except UserError as error:
            raise UserError(f"[hidden.{scored.name}] {error}") from None
    raise ValueError(f"{scored.name} is not a hidden set")


def _external(scored: ScoredSet, hidden: External, local: Images, data: Data, cache: Path) -> Samples:
    """A foreign source, labelled with the study's classes."""
    if scored.source is None:
        raise ValueError(f"the external set {scored.name} has a source")
    where = f"[hidden.{scored.name}]"
    here = as_written(hidden, data)
    foreign = open_images(here, scored.source, cache)
    labels = _translate(where, foreign, local.classes, counterparts_of(hidden, foreign, local, data))
    shared = outliers.seen_in(foreign, local)
    if len(shared) and not hidden.allow_overlap:
        called = open_source(here, scored.source).names
        some = ", ".join([called[place] if called else f"image {place}" for place in shared[:3]])
        raise UserError(
            f"{where} {len(shared)} of its {len(foreign)} images are also in {shorten(data.source)}\n"
            f"    (the same pictures or nearly: {some}{', …' if len(shared) > 3 else ''}), a model may have "
            "trained on them; remove them, or set allow_overlap = true"
        )
    images, channels = np.asarray(foreign.images), local.images.shape[3]
    if images.shape[3] != channels:
        if channels == 1:
            raise UserError(f"{where} holds colour images, {data.source} gray ones; convert them to gray")
        images = np.repeat(images, channels, axis=3)
    kept = np.flatnonzero(labels != DROPPED)
    return Samples(images, labels, foreign.ids, groups=foreign.groups).take(kept)


def as_written(hidden: External, data: Data) -> Data:
    """How a foreign source is opened: as the local one, but with its own classes, all of them."""
    changed = {"source": hidden.source, "classes": None, "drop_classes": (), "groups": hidden.groups}
    return data.model_copy(update=changed)


def counterparts_of(hidden: External, foreign: Images, local: Images, data: Data) -> dict[str, str | None]:
    """Foreign class name → the study's, None for one that is dropped; one without counterpart is missing."""
    numbered, at_home = sources.numbered(hidden.source), sources.numbered(data.source)
    same = counterparts(foreign.classes, local.classes, numbered=numbered, ours_numbered=at_home)
    return {**same, **(hidden.classes or {}), **dict.fromkeys(hidden.drop_classes)}


def _translate(where: str, foreign: Images, classes: tuple[str, ...], names: dict[str, str | None]) -> Labels:
    """Labels (N,) of a foreign source in terms of a study's ``classes``; classes that it lacks are fine.

    names   as ``counterparts_of`` gives them
    """
    number = {name: k for k, name in enumerate(classes)}
    problems = [
        f'  "{name}" is not one of its classes; {did_you_mean(name, foreign.classes)}'
        for name in names
        if name not in foreign.classes
    ]
    table = np.full(len(foreign.classes), DROPPED, dtype=np.int64)
    # What both have is taken: another class is no misspelling of it.
    free = [name for name in classes if name not in names.values()]
    for k in map(int, np.unique(foreign.labels)):
        target = names.get(foreign.classes[k], foreign.classes[k])
        if target is None or target in number:
            table[k] = DROPPED if target is None else number[target]
            continue
        hint = did_you_mean(target, free) if free else "the study has none that these lack"
        problems.append(f'  "{target}" is not a class of the study; {hint}')
    if problems:
        raise UserError(
            f"{where} classes do not fit the study, which has {shorten(list(classes), 200)}\n"
            + "\n".join(problems)
            + '\n    translate them: classes = { "THEIR NAME" = "OUR NAME" }, or leave them out: '
            'drop_classes = ["THEIR NAME"]'
        )
    return table[foreign.labels]


def _shifted(name: str, hidden: Shifted, local: Images, data: Data, cache: Path) -> Samples:
    """Drawings from another laboratory; they have the classes of drawings, as must the local source."""
    from bench.data.synthetic import draw as synthetic

    if data.source != "synthetic":
        raise UserError(
            f'[hidden.{name}] kind = "synthetic" draws other cells than {shorten(data.source)} holds\n'
            '    it goes with [data] source = "synthetic"; use "corrupted" or "external" with real images'
        )
    shift = hidden.model_dump(include={"stain", "illumination", "scale", "focus"})
    drawing = [
        synthetic.VERSION,
        hidden.images,
        SHIFTED_SEED,
        shift,
        data.size_px,
        local.classes,
        CACHE_VERSION,
    ]
    drawn = open_reader(
        fingerprint(["shifted", *drawing]),
        lambda: drawings(hidden.images, data.size_px, SHIFTED_SEED, local.classes, shift),
        data.size_px,
        cache,
    )
    return Samples(drawn.images, drawn.labels, drawn.ids).take(np.arange(len(drawn)))
