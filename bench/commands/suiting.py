"""What was seen of images → the text of a study that suits them; each line says why it is as it is."""

from __future__ import annotations

import json
import math
import textwrap
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from bench.commands.suited import Look, translated
from bench.commands.weights_near import Start
from bench.data.sides import TEST, TRAIN
from bench.recipe import NamePattern
from bench.study.file import Delta

FEW, SMALL = 250, 2000
"""Images: below the first cross-validation, below the second a larger test set."""
FOLDS, SEEDS, ARMS = 5, 5, 4
SHARES = {"train": 0.6, "val": 0.1, "test": 0.3}
STEPS = 20
"""Least steps of an epoch."""
BATCHES = (64, 32, 16, 8, 4)
SIZES_PX = (224, 192, 160, 128, 96, 64, 48, 32)
UNEQUAL = 3.0
"""Largest class over smallest from which accuracy says too little."""
SHOWN = {"cpu": (4000, 3, 12), "cuda": (40000, 5, 20)}
"""Training images shown to a network in all, fewest and most epochs."""
FROM_SCRATCH = 2
"""Times as many epochs where there are no weights to start from; the network is smaller then."""
LIMIT = 4000
"""Training and validation images that a CPU gets through."""
WIDTH = 34
"""Column at which comments begin, where what stands before is shorter."""


@dataclass(frozen=True)
class Suit:
    """All that a study is chosen by."""

    home: Look
    hidden: Mapping[str, Look]
    start: Start
    device: str
    """``cpu`` or ``cuda``."""
    upright: bool = False
    """The images have an up."""

    @property
    def folds(self) -> bool:
        """Whether there are so few images that each should be a test image once."""
        return self.home.split is None and self.home.images < FEW

    @property
    def train(self) -> int:
        """About how many images an arm trains on."""
        if self.home.split is not None:
            return int((self.home.split == TRAIN).sum())
        if self.folds:
            return round(self.home.images * (1 - 1 / FOLDS) * 8 / 9)
        share = SHARES["train"] if self.home.images < SMALL else 0.8
        train = round(self.home.images * share)
        return min(train, round(LIMIT * 8 / 9)) if self.limited else train

    @property
    def limited(self) -> bool:
        """Whether a CPU would be busy for hours with all of them."""
        return self.device == "cpu" and self.home.images > 2 * LIMIT

    @property
    def decides(self) -> Look:
        """Whose images decide: the first hidden set's, else the local ones."""
        return next(iter(self.hidden.values()), self.home)

    @property
    def imbalance(self) -> float:
        """Largest class over smallest, at home or where it is decided."""
        return max(self.home.imbalance, self.decides.imbalance)

    @property
    def score(self) -> str:
        """What decides."""
        if self.imbalance < UNEQUAL or self.decides.smallest < 2 or self.decides.present < 2:
            return "accuracy"
        return "auc" if len(self.home.classes) == 2 else "balanced_accuracy"

    @property
    def test_counts(self) -> Any:
        """(K,) test images of each class, about."""
        home = self.home
        if home.split is not None:
            return home.counts * float((home.split == TEST).mean())
        return home.counts * (1.0 if self.folds else SHARES["test"] if home.images < SMALL else 0.1)

    def one_image(self, counts: Any) -> float:
        """Points that the deciding score moves by with one image of a set with these (K,) of each class."""
        if self.score == "accuracy":
            return float(100 / max(1, counts.sum()))
        some = counts[counts > 0]
        return float(100 / max(1, len(some) * some.min()))

    @property
    def deltas(self) -> tuple[float, float]:
        """Points locally and on hidden sets: the defaults, or what one image makes where that is more."""
        there = max((self.one_image(look.counts) for look in self.hidden.values()), default=0.0)
        usual = Delta()
        here = max(usual.local, _up(self.one_image(self.test_counts)))
        return here, max(usual.hidden, _up(there))

    @property
    def size_px(self) -> int:
        """The largest usual size that the images have, and the device gets through."""
        most = 224 if self.device == "cuda" else 96 if self.start.pretrained and self.train < SMALL else 64
        native = self.home.side_px or 64
        return next((size for size in SIZES_PX if size <= min(most, native)), max(16, native))

    @property
    def batch_size(self) -> int:
        """The largest with which an epoch still has ``STEPS`` steps."""
        return next((size for size in BATCHES if self.train >= STEPS * size), BATCHES[-1])

    @property
    def epochs(self) -> int:
        """Of the stage that trains everything."""
        shown, fewest, most = SHOWN[self.device]
        return int(np.clip(round(shown / max(1, self.train)), fewest, most))


def _up(points: float) -> float:
    """To the next tenth above."""
    return math.ceil(10 * points - 1e-9) / 10


def text(name: str, suit: Suit) -> str:
    """The study file."""
    blocks = [_head(name, suit), _data(suit)]
    blocks += [_hidden(called, look, suit.home) for called, look in suit.hidden.items()]
    blocks += [_slices(suit)] * bool(_sliced(suit))
    blocks += [_recipe(suit), _arms(suit)]
    return "\n\n".join("\n".join(block) for block in blocks) + "\n"


def _line(key: str, value: Any, why: str = "", pad: int = 0) -> str:
    """A key and its reason behind it, or above where that would be too far to the right."""
    code = f"{key:<{pad}} = {_toml(value)}"
    if not why:
        return code
    return f"{code:<{WIDTH}} # {why}" if len(code) <= WIDTH else f"# {why}\n{code}"


def _toml(value: Any) -> str:
    if isinstance(value, dict):
        return "{ " + ", ".join(f"{_key(key)} = {_toml(item)}" for key, item in value.items()) + " }"
    if isinstance(value, NamePattern):
        return f"{{ pattern = '{value.pattern}' }}"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(map(_toml, value)) + "]"
    if isinstance(value, float):
        return f"{value:g}" if value >= 0.01 else f"{value:.0e}".replace("e-0", "e-")
    return json.dumps(value, ensure_ascii=False)


def _key(name: str) -> str:
    bare = name.isascii() and all(c.isalnum() or c in "-_" for c in name)
    return name if bare else json.dumps(name, ensure_ascii=False)


def _head(name: str, suit: Suit) -> Iterator[str]:
    home, (here, there) = suit.home, suit.deltas
    where = next(iter(suit.hidden), "local")
    place = "at home" if where == "local" else f"on the images of {where}"
    seen = f"{home.images:,} images of {len(home.classes)} classes"
    yield f"# {name}: {seen} were looked at; each line says why it is so."
    trials = ARMS * (FOLDS if suit.folds else SEEDS)
    yield f"# `bench plan FILE --probe` tries some steps of each arm and tells how long its {trials} trials"
    yield "# would take, `bench run FILE` trains them. Every key: docs/study-format.md"
    yield _line("question", f"Which augmentation helps, {place}?")
    yield _line("baseline", "none", "the arm that the others are measured against", 8)
    if suit.folds:
        why = f"{home.images} images are few: each is a test image once"
        yield _line("replicates", {"kind": "folds", "k": FOLDS}, why)
    else:
        yield _line(
            "seeds", SEEDS, "replicates of every arm, paired: one run cannot tell an arm from luck", 8
        )
    unequal = f"({suit.imbalance:.1f} : 1)"
    why = {
        "accuracy": f"classes are of like size {unequal}",
        "balanced_accuracy": f"classes are unequal {unequal}, and each counts the same",
        "auc": f"two unequal classes {unequal}: how well they are ranked, at any threshold",
    }[suit.score]
    if suit.score == "accuracy" and suit.imbalance >= UNEQUAL:
        why = "a class of one image, or one class alone: no other score has an interval there"
    yield _line("primary", f"{where}.{suit.score}", f"decides; {why}", 8)
    yield _line("delta", {"local": here, "hidden": there}, "points that matter: at least one image's", 8)


def _data(suit: Suit) -> Iterator[str]:
    home = suit.home
    yield "[data]"
    yield _line("source", home.written, "", 7)
    what = "as drawn" if not home.side_px else f"the images have about {home.side_px} px"
    fast = "; more takes longer on this CPU" if suit.device == "cpu" and home.side_px > suit.size_px else ""
    yield _line("size_px", suit.size_px, f"{what}{fast}", 7)
    if home.split is not None:
        counts = [int((home.split == side).sum()) for side in (TRAIN, TEST)]
        yield f"# split: its own is used, {counts[0]:,} images to train and {counts[1]:,} to test"
    elif suit.folds:
        yield "# split: by folds, see replicates above"
    elif home.images < SMALL:
        n = round(SHARES["test"] * home.images)
        yield _line("split", SHARES, f"few images: {n} to test, so that a difference can be seen", 7)
    else:
        yield "# split: 80 % to train, 10 % to validate, 10 % to test"
    if suit.limited:
        yield _line("limit", LIMIT, f"of {home.images:,}: what a CPU gets through; leave it out on a GPU", 7)
    if home.groups is not None:
        yield _line("groups", home.groups, f"{home.grouped} groups, none of them on two sides", 7)
    else:
        yield _line("# groups", "…", "say which images are of one patient, or intervals are too narrow", 9)
    if home.oblong > 0.1:
        yield _line(
            "# fit", "pad", f"without it the central square is used, and {home.oblong:.0%} is cut off", 9
        )


def _hidden(name: str, look: Look, home: Look) -> Iterator[str]:
    same, others = translated(look, home)
    missing = [each for each in home.classes if each not in {*look.classes, *same.values()}]
    yield f"[hidden.{name}]"
    yield _line("kind", "external", "never trained on; scored once per trial, in the end", 6)
    yield _line("source", look.written, f"{look.images:,} images", 6)
    if same:
        yield _line("classes", same, "theirs = ours")
    if others:
        yield _line("drop_classes", others, "no class of this study: left out")
    if missing:
        yield f"# it has no images of {', '.join(missing)}"
    if look.groups is not None:
        yield _line("groups", look.groups, f"{look.grouped} groups", 6)


def _sliced(suit: Suit) -> dict[str, tuple[str, ...]]:
    """Set → columns by which its scores can be told apart."""
    looks = {"local": suit.home, **suit.hidden}
    return {name: look.slices for name, look in looks.items() if look.slices}


def _slices(suit: Suit) -> Iterator[str]:
    yield "[slices]                           # scores by these columns too; exploratory, in no trial's id"
    for name, columns in _sliced(suit).items():
        yield f"{name} = {_toml(columns)}"


def _recipe(suit: Suit) -> Iterator[str]:
    steps, start = suit.train // suit.batch_size, suit.start
    yield "[recipe]"
    yield from (f"# {line}" for line in textwrap.wrap(start.why, 100))
    if start.pretrained:
        if "weights" in start.params and "mean" not in start.params:
            yield "# Pixels are scaled as timm does for this model. Were these weights trained with others,"
            yield "# add their mean = [r, g, b] and std = [r, g, b] to the model."
        yield f"model      = {_toml({'name': start.name, **start.params})}"
        yield _line(
            "optimizer", {"name": "adam", "lr": 1e-3}, "the head's rate; the rest's is a third of it", 10
        )
    else:
        yield _line("model", start.name, "", 10)
        yield _line("optimizer", {"name": "adam", "lr": 1e-3}, "", 10)
    yield _line("schedule", "cosine", "ends at a rate of 0: no luck of the last steps", 10)
    if steps >= STEPS:
        why = f"{steps} steps an epoch, at least {STEPS}"
    else:
        why = f"{steps} steps an epoch: {suit.train} images to train on are few"
    yield _line("batch_size", suit.batch_size, why, 10)
    if suit.home.imbalance >= UNEQUAL:
        yield _line("balance", "class-weights", "small classes count as much in the loss as large ones", 10)
    epochs = suit.epochs if start.pretrained else FROM_SCRATCH * suit.epochs
    shown = f"{epochs * suit.train:,} images"
    yield f"# about {shown} are shown to a trial; patience ends what no longer improves"
    if start.pretrained:
        yield f"stages     = [{_toml({'train': 'head', 'epochs': 2})},"
        last = {"train": "all", "epochs": epochs, "patience": 4, "lr_scale": 0.3}
        yield f"              {_toml(last)}]"
    else:
        yield f"stages     = [{_toml({'train': 'all', 'epochs': epochs, 'patience': 5})}]"


def _arms(suit: Suit) -> Iterator[str]:
    flips: list[Any]
    moved: dict[str, Any]
    if suit.upright:
        yield "# These images have an up, as was said (--upright): mirrored left to right, not turned."
        name, flips = "flip", ["flip"]
        more, moved = "zoom", {"name": "zoom", "fill": "reflect"}
    else:
        yield "# Assumed: nothing in these images has an up, as under a microscope, so they may be mirrored"
        yield "# both ways and turned. Where there is one (radiographs, faces, scenes): write with --upright."
        name, flips = "flips", [{"name": "flip", "vertical_p": 0.5}]
        more, moved = "rotate", {"name": "rotate", "degrees": 180.0, "fill": "reflect"}
    yield "[arms]"
    arms = {"none": [], name: flips, f"{name}-{more}": [*flips, moved]}
    arms |= {f"{name}-randaugment": [*flips, "randaugment"]}
    for arm, augment in arms.items():
        yield f"{arm:<17} = {_toml({'augment': augment})}"
