"""The page of ``bench explain``: one file with everything in it, no script, nothing from the network."""

from __future__ import annotations

import base64
import io
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from bench.commands.explain_tables import Matrix, Table, matrices, recall_table, reliability_figure
from bench.commands.preview import slug
from bench.data.images import Pixels, Samples
from bench.explain.pair import Pair, Side, images_of, spelled
from bench.judge.findings import LOCAL
from bench.progress.terminal import Terminal

if TYPE_CHECKING:
    from bench.explain.comparison import Kind, Which
    from bench.models.network import Network
    from bench.report.svg import Figure

FLIPS = 24
"""Images that a kind of flip shows at most."""
ERRORS = 16
"""Confident errors of each arm."""
BATCH = 16
DIM = 0.25
"""Brightness that Grad-CAM leaves to what does not speak for the answer."""
ABOUT: Mapping[Kind, tuple[str, str]] = {
    "gained": ("Mended", "{reference} was wrong, {arm} is right"),
    "lost": ("Broken", "{reference} was right, {arm} is wrong"),
    "moved": ("Wrong in another way", "both are wrong, with different answers"),
}


@dataclass(frozen=True)
class Picture:
    """One picture of a card."""

    alt: str
    png: str
    """Base64."""
    label: str = ""


@dataclass(frozen=True)
class Card:
    """One image, what each arm sees in it, and words below."""

    pictures: tuple[Picture, ...]
    lines: tuple[str, ...]


@dataclass(frozen=True)
class Group:
    """Cards under a heading."""

    heading: str
    about: str
    cards: tuple[Card, ...]


@dataclass(frozen=True)
class Page:
    """All that the page says."""

    pair: Pair
    title: str
    facts: tuple[tuple[str, str], ...]
    cautions: tuple[str, ...]
    groups: tuple[Group, ...]
    recalls: Table
    confusions: tuple[Matrix, ...]
    reliabilities: tuple[Figure, ...]
    others: tuple[str, ...] = field(default=())


def write(pair: Pair, folder: Path, cache: Path, terminal: Terminal) -> Path:
    """Draw the page and write it into ``folder``; returns its file."""
    from bench.files import hand_over

    replicate = spelled(pair.shown).replace(", ", "-").replace(" ", "")
    name = "-".join(map(slug, (pair.arm.label, "vs", pair.reference.label, pair.set, replicate)))
    return hand_over(folder / f"{name}.html", render(build(pair, cache, terminal)).encode())


def build(pair: Pair, cache: Path, terminal: Terminal) -> Page:
    """Everything on the page. Raises UserError when its images cannot be had."""
    album = _Album(pair, cache, terminal)
    groups = [album.flips(kind) for kind in ABOUT]
    groups += [album.errors(which) for which in ("reference", "arm")]
    where = "the local test set" if pair.set == LOCAL else pair.set
    return Page(
        pair,
        f"{pair.arm.label} against {pair.reference.label}, on {where}",
        tuple(_facts(pair, album)),
        tuple(_cautions(pair)),
        tuple(groups),
        recall_table(pair),
        matrices(pair),
        tuple(reliability_figure(pair, which) for which in ("reference", "arm")),
        pair.others,
    )


def _facts(pair: Pair, album: _Album) -> Iterable[tuple[str, str]]:
    c, s = pair.comparison, pair.comparison.shown
    counts = {kind: int(c.flipped(kind)[s].sum()) for kind in ABOUT}
    always = {kind: int(c.flipped(kind).all(0).sum()) for kind in ABOUT}
    images = len(np.unique(c.ids))
    of = f" of {images:,} base images" if images < len(c.labels) else ""
    yield "question", pair.question
    yield "images", f"{len(c.labels):,}{of}; {spelled(pair.shown)}"
    for which, side in (("reference", pair.reference), ("arm", pair.arm)):
        right = int(c.right(which)[s].sum())  # type: ignore[arg-type]
        yield side.label, f"{right:,} right, {100 * right / len(c.labels):.1f} % · trial {side.record.id}"
    yield (
        "flips",
        f"{counts['gained']:,} mended, {counts['lost']:,} broken, {counts['moved']:,} wrong in another way",
    )
    if len(pair.replicates) > 1:
        n = len(pair.replicates)
        yield (
            f"in all {n} seeds",
            f"{always['gained']:,} mended, {always['lost']:,} broken; only these repeat",
        )
        yield (
            "by luck",
            (f"two seeds of {pair.reference.label} alone differ on {c.churn():.0f} images (mean over pairs)"),
        )
    for label, told in album.maps.items():
        yield f"Grad-CAM, {label}", told


def _cautions(pair: Pair) -> Iterable[str]:
    if pair.set != LOCAL:
        yield (
            f"{pair.set} is a hidden set, and to look at its images is a look: whoever chooses or changes an "
            "arm by what this page shows needs another hidden set to judge the choice by."
        )
    else:
        yield "These are test images: what this page suggests must be judged on images that it does not show."
    if len(pair.replicates) == 1:
        yield "One seed: another seed of one arm flips images too; this page cannot tell which flips repeat."


class _Album:
    """Pictures of the common images, and of what the networks look at."""

    def __init__(self, pair: Pair, cache: Path, terminal: Terminal) -> None:
        self.pair, self.terminal = pair, terminal
        self.sides: dict[Which, Side] = {"reference": pair.reference, "arm": pair.arm}
        self.samples: dict[Which, Samples] = {
            which: images_of(side, cache, terminal) for which, side in self.sides.items()
        }
        self.maps: dict[str, str] = {}
        """Arm → what Grad-CAM can tell of it."""
        self._networks = {which: self._network(side) for which, side in self.sides.items()}
        self._heat = self._heats()

    def _network(self, side: Side) -> Network | None:
        """The side's network, if its weights were kept and it is one that Grad-CAM can explain."""
        from bench.explain.gradcam import places_of
        from bench.models.stored import stored_network

        trial = side.run.trial
        if side.weights is None:
            self.maps[side.label] = "none: its weights were not kept, or are damaged"
            return None
        network = stored_network(trial.recipe.model, trial.data.size_px, side.weights, trial.id).eval()
        places = places_of(network, trial.data.size_px)
        if places is None:
            self.maps[side.label] = f"none: {trial.recipe.model.name} has no feature maps; it is no CNN"
            return None
        self.maps[side.label] = f"{places[0]} × {places[1]} places in an image, nothing finer"
        return network

    def _wanted(self, which: Which) -> list[int]:
        """Positions whose Grad-CAM of one side is shown."""
        c = self.pair.comparison
        flips = [flip.position for kind in ABOUT for flip in c.flips(kind)[:FLIPS]]
        return list(dict.fromkeys([*flips, *c.confident_errors(which)[:ERRORS]]))

    def _heats(self) -> dict[tuple[Which, int], NDArray[np.float32]]:
        """Grad-CAM (H, W) of each side's own answer, for the images that are shown."""
        wanted = [(which, at) for which, n in self._networks.items() if n for at in self._wanted(which)]
        heats: dict[tuple[Which, int], NDArray[np.float32]] = {}
        with self.terminal.counting("Grad-CAM") as count:
            for which, network in self._networks.items():
                places = [at for side, at in wanted if side == which]
                for start in range(0, len(places), BATCH):
                    some = places[start : start + BATCH]
                    for at, heat in zip(some, self._heats_of(which, network, some), strict=True):
                        heats[which, at] = heat
                    count(len(heats), len(wanted))
        return heats

    def _heats_of(self, which: Which, network: Any, places: Sequence[int]) -> NDArray[np.float32]:
        import torch

        from bench.explain.gradcam import gradcam

        pixels = np.stack([self._pixels(which, at) for at in places])
        images = torch.from_numpy(pixels).permute(0, 3, 1, 2).float().div(255)
        said = self.pair.comparison.said(which)[self.pair.comparison.shown][list(places)]
        found: NDArray[np.float32] = gradcam(network, images, torch.from_numpy(said)).numpy()
        return found

    def _pixels(self, which: Which, at: int) -> Pixels:
        """The image (H, W, C) as that side sees it."""
        found: Pixels = self.samples[which].images[self.sides[which].index[at]]
        return found

    def flips(self, kind: Kind) -> Group:
        """The images of one kind of flip."""
        found = self.pair.comparison.flips(kind)
        heading, about = ABOUT[kind]
        about = about.format(reference=self.pair.reference.label, arm=self.pair.arm.label)
        seeds = len(self.pair.replicates)
        cards = []
        for flip in found[:FLIPS]:
            repeats = f"in {flip.replicates} of {seeds} seeds" if seeds > 1 else ""
            cards.append(self._card(flip.position, ("reference", "arm"), repeats))
        return Group(f"{heading}: {len(found):,}", about + _of(len(found), FLIPS), tuple(cards))

    def errors(self, which: Which) -> Group:
        """One arm's surest wrong answers."""
        found = self.pair.comparison.confident_errors(which)
        cards = [self._card(at, (which,), "") for at in found[:ERRORS]]
        label = self.sides[which].label
        about = "wrong answers, the surest first" + _of(len(found), ERRORS)
        return Group(f"Confident errors of {label}: {len(found):,} wrong", about, tuple(cards))

    def _card(self, at: int, shown: Sequence[Which], more: str) -> Card:
        c, names = self.pair.comparison, self.pair.classes
        true = names[c.labels[at]]
        pixels = self._pixels(shown[-1], at)
        condition = self._condition(shown[-1], at)
        lines = [f"is {true}", *([condition] if condition else [])]
        pictures = [Picture(f"{true} {condition}".strip(), _png(pixels))]
        for which in shown:
            row, label = c.probabilities[which][c.shown, at], self.sides[which].label
            lines.append(f"{label}: {names[int(row.argmax())]} {100 * float(row.max()):.0f} %")
            if (which, at) in self._heat:
                lit = _spotlight(self._pixels(which, at), self._heat[which, at])
                alt = f"what speaks for {names[int(row.argmax())]} to {label}"
                pictures.append(Picture(alt, _png(lit), label))
        return Card(tuple(pictures), (*lines, more) if more else tuple(lines))

    def _condition(self, which: Which, at: int) -> str:
        samples, place = self.samples[which], self.sides[which].index[at]
        return "" if samples.conditions is None else samples.condition_names[samples.conditions[place]]


def _of(found: int, most: int) -> str:
    return f"; the first {most}" if found > most else ""


def _spotlight(pixels: Pixels, heat: NDArray[np.float32]) -> Pixels:
    """The image (H, W, C), bright where ``heat`` (H, W) is 1 and dim where it is 0: its own colours stay."""
    lit = pixels * (DIM + (1 - DIM) * heat[..., None])
    return np.rint(lit).astype(np.uint8)


def _png(pixels: Pixels) -> str:
    """An image (H, W, C) uint8 as base64; large ones are reduced, small ones are enlarged by the page."""
    from PIL import Image

    from bench.data.sheets import LARGEST_PX

    image = Image.fromarray(pixels if pixels.shape[2] == 3 else pixels[..., 0])
    image.thumbnail((LARGEST_PX, LARGEST_PX), Image.Resampling.LANCZOS)
    stored = io.BytesIO()
    image.save(stored, "PNG", optimize=True)
    return base64.b64encode(stored.getvalue()).decode()


def render(page: Page) -> str:
    """The page as HTML; every text in it is escaped."""
    from bench.report.svg import STYLE, palette
    from bench.report.templating import environment

    pages = environment("bench.commands")
    template = pages.get_template("explain.html.j2")
    return template.render(page=page, light=palette(0), dark=palette(1), drawing=STYLE)
