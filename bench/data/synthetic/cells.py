"""What a synthetic picture shows: the anatomy of each class, and a cell's shape, place and neighbours.

A cell is a handful of ellipses (body, nucleus lobes, red cells). Each is kept as the six coefficients of its
quadratic form (x², xy, y², x, y, 1), quick to evaluate at every pixel (``paint``).
Lengths are in half-widths of the picture, so the same cell can be drawn at any resolution.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, TypeVar

import numpy as np
from scipy.special import ndtri

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Doubles = NDArray[np.float64]
    Floats = NDArray[np.float32]
    Traits = dict[str, Doubles]

Dataclass = TypeVar("Dataclass")

COUNTS: tuple[int, ...] = (1218, 3117, 1551, 2895, 1214, 1420, 3329, 2348)
"""Images of each class in the Barcelona set; labels follow these shares."""
N_DRAWS = 160
"""Random numbers per picture, at least as many as are used; raising it changes no picture."""
LOBES, RED_CELLS = 5, 8
"""Most of each that one picture has."""
TEXELS = 256
"""Side of a texture; it spans the picture once at magnification 1."""
_SMALLER = 0.85
"""Magnification at scale = 1, as a factor."""
_NOWHERE = (0, 0, 0, 0, 0, 1e3)
"""The form of an ellipse that is not there: far outside at every pixel."""

_ANATOMY = """
                basophil   eosinophil erythrobl. immature   lymphocyte monocyte   neutrophil platelet
radius          .50  .66   .58  .74   .36  .54   .54  .80   .38  .55   .62  .84   .54  .70   .13  .28
stretch         .00  .22   .00  .18   .00  .25   .00  .30   .00  .18   .05  .40   .00  .20   .00  .35
ragged          .02  .06   .01  .03   .01  .06   .01  .04   .02  .06   .02  .08   .01  .04   .05  .16
bulge           .00  .35   .00  .20   .00  .60   .00  .40   .00  .20   .10  .75   .00  .25   .00  .30
azure           .08  .25   .02  .08   .00  .06   .03  .18   .02  .10   .03  .12   .02  .08   .05  .22
eosin           .02  .14   .25  .50   .00  .22   .04  .18   .00  .08   .00  .12   .06  .22   .00  .10
blue            .00  .40   .00  .20   .10  .95   .05  .60   .25  1.0   .40  .90   .00  .20   .10  .50
hemoglobin      .00  .00   .00  .00   .00  .80   .00  .00   .00  .00   .00  .00   .00  .00   .00  .00
coarse          .70  1.4   .20  .60   .00  .00   .00  .25   .00  .04   .00  .06   .00  .15   .05  .35
fine            .00  .30   .15  .45   .00  .06   .12  .55   .00  .06   .00  .18   .04  .30   .20  .60
over            .70  1.0   .00  .20   .00  .00   .00  .30   .00  .00   .00  .00   .00  .05   .00  .00
holes           .00  .15   .00  .20   .00  .10   .00  .30   .00  .05   .00  .90   .00  .20   .00  .00
azure granules  .70  1.0   .08  .20   .50  .50   .40  .70   .50  .60   .40  .50   .25  .45   .70  1.0
eosin granules  .05  .20   .60  1.0   .20  .20   .10  .30   .05  .20   .10  .30   .20  .50   .10  .30
lobes           2.0  3.9   2.0  3.4   1.0  1.1   3.0  3.9   1.0  1.4   3.0  4.9   2.6  5.9   .00  .00
arc             .15  .40   .36  .48   .00  .00   .06  .42   .05  .10   .14  .46   .34  .50   .00  .00
span            1.5  3.5   1.7  3.4   .00  .00   .60  2.8   .20  .40   1.0  3.2   2.2  5.2   .00  .00
lobe            .56  .46   .46  .34   .62  .44   .68  .38   .94  .80   .56  .36   .36  .26   .30  .30
oval            1.0  1.3   1.0  1.6   1.0  1.1   1.0  1.3   1.0  1.1   1.0  1.4   1.0  1.6   1.0  1.0
off             .00  .15   .05  .25   .00  .30   .00  .25   .00  .12   .00  .15   .00  .15   .00  .00
blend           2.0  2.5   2.5  4.0   4.0  4.0   2.0  3.0   3.0  3.0   2.0  3.0   3.0  5.0   3.0  3.0
density         .55  .80   .70  .95   .80  1.2   .66  .92   .75  1.1   .64  .90   .75  1.0   .00  .00
chromatin       .15  .25   .14  .24   .20  .10   .14  .26   .12  .22   .16  .28   .12  .22   .00  .00
"""
"""From and to of each quantity (a row) in each class (two columns), read off the Barcelona set's pictures.

Radii are in half-widths of the picture, lengths of the nucleus in radii of the body, angles in radians, dyes
in units of ``paint.DYES``; ``over`` is the share of the granules that lie over the nucleus.
Rows from ``lobes`` on go from the first number to the second as a cell matures: a round nucleus turns into a
kidney, a band, segments."""


@dataclass(frozen=True)
class Knobs:
    """How far a picture is from the training laboratory, each 0 to 3 (see ``synthetic.draw``)."""

    stain: float = 0.0
    illumination: float = 0.0
    scale: float = 0.0
    focus: float = 0.0


class Draws:
    """Random numbers (B, D) in [0, 1), handed out column by column in the order of asking."""

    def __init__(self, numbers: Doubles) -> None:
        self._numbers = numbers
        self._next = 0

    def uniform(self, low: float, high: float, n: int | None = None) -> Doubles:
        """(B,) or (B, n) numbers in [low, high)."""
        first, self._next = self._next, self._next + (n or 1)
        if self._next > self._numbers.shape[1]:
            raise IndexError(f"an image draws more than {self._numbers.shape[1]} numbers; raise N_DRAWS")
        numbers = low + (high - low) * self._numbers[:, first : self._next]
        return numbers if n else numbers[:, 0]

    def normal(self, sd: float, n: int | None = None) -> Doubles:
        """(B,) or (B, n) numbers with mean 0 and this standard deviation, cut at three of them."""
        scores: Doubles = ndtri(self.uniform(0.00135, 0.99865, n))
        return sd * scores


@dataclass(frozen=True)
class Cells:
    """Geometry and contents of B pictures."""

    traits: Traits
    """Quantities of ``_ANATOMY``, each (B,), the radius magnified."""
    crisp: Doubles
    """(B,) contrast of the textures, 0.4 to 1: focus varies within the training laboratory too."""
    forms: Floats
    """(B, 16, 6) coefficients of x², xy, y², x, y, 1: body and bulge, then lobes, red cells, a speck."""
    mapping: Floats
    """(B, 2, 6) coefficients of the two texture coordinates, in texels."""
    softness: Doubles
    """(B,) width of an outline in half-widths of the picture."""

    def groups(self) -> list[Floats]:
        """Forms (B, 2 | 5 | 8 | 1, 6) of the body, its lobes, the red cells, the speck."""
        return np.split(self.forms, [2, 2 + LOBES, 2 + LOBES + RED_CELLS], axis=1)


def rows(record: Dataclass, part: slice) -> Dataclass:
    """The same record of some of its pictures: every array cut along B."""
    cut = {
        name: {k: v[part] for k, v in x.items()} if isinstance(x, dict) else x[part]
        for name, x in vars(record).items()
    }
    return replace(record, **cut)  # type: ignore[type-var]


def choose(labels: NDArray[np.int64], draws: Draws, shift: Knobs) -> Cells:
    """Choose size, place, nucleus and neighbours of each cell."""
    traits = _quantities(labels, draws)
    magnification = np.exp(draws.normal(0.06 + 0.03 * shift.scale) + np.log(_SMALLER) * shift.scale)
    traits["radius"] *= magnification
    crisp = draws.uniform(0.4, 1.0)
    place = draws.normal(0.05, 2)
    turn = draws.uniform(0, 2 * np.pi)
    forms = [
        *_outline(traits, place, draws),
        *_lobes(traits, place, draws),
        *_neighbours(traits["radius"], place, magnification, draws),
    ]
    step = TEXELS / 2 / magnification / draws.uniform(0.85, 1.2)
    corner = draws.uniform(1024, 1024 + TEXELS, 2)  # far enough that coordinates are never negative
    mapping = np.zeros((len(labels), 2, 6))
    mapping[:, 0, 3] = mapping[:, 1, 4] = step * np.cos(turn)
    mapping[:, 1, 3] = step * np.sin(turn)
    # A rotation: the other sine has the other sign.
    mapping[:, 0, 4] = -mapping[:, 1, 3]
    mapping[:, :, 5] = corner
    softness = draws.uniform(0.02, 0.06)
    stacked = np.concatenate(forms, axis=1).astype(np.float32)
    return Cells(traits, crisp, stacked, mapping.astype(np.float32), softness)


@functools.cache
def _anatomy() -> dict[str, Doubles]:
    """``_ANATOMY`` as an array (8, 2) for each quantity."""
    rows = [line.split() for line in _ANATOMY.strip().splitlines()[1:]]
    width = 2 * len(COUNTS)
    return {" ".join(row[:-width]): np.array(row[-width:], dtype=float).reshape(-1, 2) for row in rows}


def _quantities(labels: NDArray[np.int64], draws: Draws) -> Traits:
    """Each quantity (B,) of ``_ANATOMY``, between the bounds of each picture's class."""
    maturity = draws.uniform(0, 1)
    follows = 0.0
    chosen = {}
    for name, ranges in _anatomy().items():
        if name == "lobes":
            follows = 0.75
        low, high = ranges[labels].T
        chosen[name] = low + (high - low) * (follows * maturity + (1 - follows) * draws.uniform(0, 1))
    return chosen


def _ellipse(x: Doubles, y: Doubles, along: Doubles, across: Doubles, angle: Doubles) -> Doubles:
    """Coefficients (…, 6) of x², xy, y², x, y, 1 of the form that is 1 on an ellipse and less inside.

    x, y are its centre, ``along`` and ``across`` its radii, ``angle`` the way of the first, all (…).
    """
    cos, sin = np.cos(angle), np.sin(angle)
    a, b = along**-2, across**-2
    xx, xy, yy = cos**2 * a + sin**2 * b, 2 * cos * sin * (a - b), sin**2 * a + cos**2 * b
    constant = xx * x**2 + xy * x * y + yy * y**2
    return np.stack([xx, xy, yy, -2 * xx * x - xy * y, -2 * yy * y - xy * x, constant], axis=-1)


def _outline(traits: Traits, place: Doubles, draws: Draws) -> list[Doubles]:
    """Forms (B, 1, 6) of the body and of the bulge at its side."""
    radius, stretch = traits["radius"], 1 + traits["stretch"] / 2
    turn, side = draws.uniform(0, 2 * np.pi), draws.uniform(0, 2 * np.pi)
    main = _ellipse(place[:, 0], place[:, 1], radius * stretch, radius / stretch, turn)
    out, size = radius * traits["bulge"], radius * draws.uniform(0.6, 0.8)
    bulge = _ellipse(place[:, 0] + out * np.cos(side), place[:, 1] + out * np.sin(side), size, size, side)
    return [main[:, None], bulge[:, None]]


def _lobes(traits: Traits, place: Doubles, draws: Draws) -> list[Doubles]:
    """Forms (B, 1, 6) of up to five nucleus lobes along an arc; missing ones are far away everywhere."""
    radius, count = traits["radius"], np.floor(traits["lobes"])
    turn, away = draws.uniform(0, 2 * np.pi), draws.uniform(0, 2 * np.pi)
    wobble, depth, size = draws.normal(0.12, LOBES), draws.normal(0.08, LOBES), draws.normal(0.08, LOBES)
    # Not all the way to the arc's centroid: real nuclei lie a little off the middle.
    middle = 0.7 * traits["arc"] * np.sinc(traits["span"] / 2 / np.pi)
    forms = []
    for lobe in range(LOBES):
        angle = turn + traits["span"] * (lobe / np.maximum(count - 1, 1) - 0.5) + wobble[:, lobe]
        arc = traits["arc"] * (1 + depth[:, lobe])
        x = arc * np.cos(angle) - middle * np.cos(turn) + traits["off"] * np.cos(away)
        y = arc * np.sin(angle) - middle * np.sin(turn) + traits["off"] * np.sin(away)
        own = radius * traits["lobe"] * np.exp(size[:, lobe])
        form = _ellipse(
            place[:, 0] + radius * x,
            place[:, 1] + radius * y,
            own * traits["oval"] ** 0.5,
            own / traits["oval"] ** 0.5,
            angle + np.pi / 2,
        )
        form[lobe >= count] = _NOWHERE
        forms.append(form[:, None])
    return forms


def _neighbours(radius: Doubles, place: Doubles, magnification: Doubles, draws: Draws) -> list[Doubles]:
    """Forms (B, 8, 6) of red cells around the body and (B, 1, 6) of a speck (a platelet) in some pictures."""
    n = RED_CELLS
    size = (draws.uniform(0.31, 0.37) * magnification)[:, None] * np.exp(draws.normal(0.06, n))
    turn = draws.uniform(0, 2 * np.pi)[:, None]
    angle = turn + 2 * np.pi / n * (np.arange(n) + draws.uniform(-0.45, 0.45, n))
    away = radius[:, None] + size * (0.85 + 2.2 * draws.uniform(0, 1, n) ** 2) + 0.02
    stretch = 1 + draws.uniform(0, 0.12, n)
    x, y = place[:, :1] + away * np.cos(angle), place[:, 1:] + away * np.sin(angle)
    red = _ellipse(x, y, size * stretch, size / stretch, draws.uniform(0, np.pi, n))
    red[draws.uniform(0, 1, n) > draws.uniform(0.5, 1.0)[:, None]] = _NOWHERE
    way, reach = draws.uniform(0, 2 * np.pi), radius + draws.uniform(0.15, 0.4)
    small = draws.uniform(0.06, 0.13) * magnification
    speck = _ellipse(place[:, 0] + reach * np.cos(way), place[:, 1] + reach * np.sin(way), small, small, way)
    speck[draws.uniform(0, 1) > 0.2] = _NOWHERE
    return [red, speck[:, None]]
