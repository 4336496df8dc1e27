"""Hidden sets: images scored beside the local test set, made or read only after training."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np

from bench.data import outliers
from bench.data.cache import CACHE_VERSION, open_images, open_reader
from bench.data.corrupted import corrupted_samples
from bench.data.foreign import DROPPED, as_written, labels_of, refuse_colour
from bench.data.images import Images, Samples
from bench.data.reader import open_source
from bench.data.sources.synthetic import drawings
from bench.errors import UserError, shorten
from bench.files import Count
from bench.plan import ScoredSet, fingerprint
from bench.recipe import Corrupted, Data, External, Shifted

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
    labels = labels_of(scored.name, hidden, foreign, local, data)
    refuse_colour(scored.name, foreign.images.shape[3], local.images.shape[3], data)
    shared = outliers.seen_in(foreign, local)
    if len(shared) and not hidden.allow_overlap:
        called = open_source(here, scored.source).names
        some = ", ".join([called[place] if called else f"image {place}" for place in shared[:3]])
        raise UserError(
            f"{where} {len(shared)} of its {len(foreign)} images are also in {shorten(data.source)}\n"
            f"    (the same pictures or nearly: {some}{', …' if len(shared) > 3 else ''}), a model may have "
            "trained on them; remove them, or set allow_overlap = true"
        )
    kept = np.flatnonzero(labels != DROPPED)
    taken = Samples(foreign.images, labels, foreign.ids, groups=foreign.groups).take(kept)
    channels = local.images.shape[3]
    if taken.images.shape[3] == channels:
        return taken
    return replace(taken, images=np.repeat(taken.images[:], channels, axis=3))


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
