"""Hidden sets: images scored beside the local test set, made or read only after training."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from bench.data.cache import CACHE_VERSION, open_images, open_reader
from bench.data.classes import counterparts
from bench.data.corrupted import corrupted_samples
from bench.data.images import Images, Labels, Samples
from bench.data.sources.synthetic import drawings
from bench.errors import UserError, did_you_mean, shorten
from bench.files import Count
from bench.plan import ScoredSet, fingerprint
from bench.recipe import Corrupted, Data, External, Shifted
from bench.registry import sources

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
    foreign = open_images(
        data.model_copy(update={"source": hidden.source, "classes": None}), scored.source, cache
    )
    numbered, at_home = sources.numbered(hidden.source), sources.numbered(data.source)
    same = counterparts(foreign.classes, local.classes, numbered=numbered, ours_numbered=at_home)
    labels = _translate(where, foreign, local.classes, same | (hidden.classes or {}))
    shared = np.flatnonzero(np.isin(foreign.ids, local.ids))
    if len(shared) and not hidden.allow_overlap:
        raise UserError(
            f"{where} {len(shared)} of its {len(foreign)} images are also in {shorten(data.source)}\n"
            "    (pixel by pixel), a model may have trained on them; remove them, or set allow_overlap = true"
        )
    images, channels = np.asarray(foreign.images), local.images.shape[3]
    if images.shape[3] != channels:
        if channels == 1:
            raise UserError(f"{where} holds colour images, {data.source} gray ones; convert them to gray")
        images = np.repeat(images, channels, axis=3)
    return Samples(images, labels, foreign.ids).take(np.arange(len(labels)))


def _translate(where: str, foreign: Images, classes: tuple[str, ...], names: dict[str, str]) -> Labels:
    """Labels (N,) of a foreign source in terms of a study's ``classes``; classes that it lacks are fine.

    names   foreign name → the study's
    """
    number = {name: k for k, name in enumerate(classes)}
    problems = [
        f'  classes: "{name}" is not one of its classes; {did_you_mean(name, foreign.classes)}'
        for name in names
        if name not in foreign.classes
    ]
    table = np.full(len(foreign.classes), -1, dtype=np.int64)
    for k in map(int, np.unique(foreign.labels)):
        name = foreign.classes[k]
        target = names.get(name, name)
        if target not in number:
            problems.append(f'  "{target}" is not a class of the study; {did_you_mean(target, classes)}')
        table[k] = number.get(target, -1)
    if problems:
        raise UserError(
            f"{where} classes do not fit the study\n" + "\n".join(problems) + "\n"
            f'    translate them: classes = {{ "THEIR NAME" = "{classes[0]}", … }}'
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
