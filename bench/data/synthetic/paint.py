"""Pixels of a synthetic picture: what covers them, which dyes that holds, the light, the camera.

Shapes and textures become amounts of four dyes at each pixel; dyes absorb light by the Beer-Lambert law
(intensity = light × exp(-amount × absorbance); for stains see Ruifrok and Johnston 2001); a camera adds blur,
noise and rounding. Everything is vectorised over a chunk of pictures: B pictures, P pixels each.
"""

from __future__ import annotations

import functools
import itertools
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from bench.data.synthetic.cells import TEXELS, Cells, Draws, Knobs, choose, rows
from bench.streams import stream

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Doubles = NDArray[np.float64]
    Floats = NDArray[np.float32]

DYES = {
    "azure": (1.19, 1.85, 0.48),
    "eosin": (0.26, 0.82, 0.58),
    "blue": (0.55, 0.55, 0.06),
    "hemoglobin": (0.23, 0.33, 0.19),
}
"""Absorbance of one unit of dye for red, green and blue light."""

_CHUNK_PIXELS = 40_000
"""Pixels painted at once: intermediate arrays stay in a core's second-level cache."""
_BLUR = 0.018
"""Mean standard deviation of the blur at focus = 1, in half-widths of the picture."""
_OTHER_STRENGTH = (-0.10, 0.12, 0.05, 0.15)
_OTHER_HUE = ((-0.14, 0.02, 0.08), (-0.1, 0.03, -0.15), (-0.1, 0.05, 0.4), (-0.12, 0.05, 0.0))
"""What another laboratory (stain = 1) adds to the logarithm of each dye's strength and of its absorbances."""


@dataclass(frozen=True)
class Raster:
    """The pixels that are painted; ``fine`` × ``fine`` of them are averaged to one of the picture."""

    size_px: int
    fine: int
    axis: Floats
    """(S,): x, or y, of the centres of a row's pixels, between -1 and 1."""

    @property
    def side(self) -> int:
        """Pixels painted in a row, S."""
        return self.size_px * self.fine


def canvas_of(size_px: int) -> Raster:
    """The canvas for pictures of this size."""
    fine = -(-64 // size_px)  # granules need 64 px; below that, paint finer and average
    side = size_px * fine
    return Raster(size_px, fine, ((np.arange(side) * 2 + 1) / side - 1).astype(np.float32))


@dataclass(frozen=True)
class Optics:
    """How B pictures are stained, lit and recorded."""

    stains: Floats
    """(B, 3, 5) absorbance of each layer for red, green and blue light."""
    light: Floats
    """(B, 3, 6) coefficients of x², xy, y², x, y, 1: minus the logarithm of the light on each pixel."""
    blur: Doubles
    """(B,) standard deviation in half-widths of the picture; 0 is none."""
    contrast: Floats
    """(B,) what stray light leaves of it."""
    grain: Floats
    """(B,) standard deviation of the sensor noise, of 255."""
    grain_start: Doubles
    """(B,) where in the noise store a picture's noise begins, 0 to 1."""


def pictures(labels: NDArray[np.int64], draws: Draws, canvas: Raster, shift: Knobs) -> NDArray[np.uint8]:
    """Images (B, H, W, 3) uint8 of the given labels (B,); chosen together, painted a few at a time."""
    cells = choose(labels, draws, shift)
    optics = _optics(cells, draws, shift)
    radius = _blur_radius(shift.focus, canvas.size_px)
    images = np.empty((len(labels), canvas.size_px, canvas.size_px, 3), np.uint8)
    step = max(1, _CHUNK_PIXELS // canvas.side**2)
    for start in range(0, len(labels), step):
        part = slice(start, start + step)
        images[part] = _picture(rows(cells, part), rows(optics, part), canvas, radius)
    return images


def _picture(cells: Cells, optics: Optics, canvas: Raster, radius: int) -> NDArray[np.uint8]:
    """Images (B, H, W, 3) uint8 of a few cells."""
    layers = _layers(cells, canvas)
    absorbed = _evaluate(optics.light, canvas)
    for colour in range(3):
        for layer in range(layers.shape[1]):
            absorbed[:, colour] += optics.stains[:, colour, layer, None] * layers[:, layer]
    return _expose(absorbed, optics, canvas, radius)


def _evaluate(forms: Floats, canvas: Raster) -> Floats:
    """Coefficients (B, E, 6) of x², xy, y², x, y, 1 → values (B, E, P) at every pixel.

    Written out, not a matrix product: BLAS rounds differently with another number of threads.
    """
    axis = canvas.axis
    xx, xy, yy, x, y, constant = (forms[:, :, k, None] for k in range(6))
    slope = xy * axis + x
    offset = (yy * axis + y) * axis + constant
    values: Floats = (xx * axis)[:, :, None, :] + slope[:, :, :, None]
    values *= axis
    values += offset[:, :, :, None]
    return values.reshape(*forms.shape[:2], -1)


def _layers(cells: Cells, canvas: Raster) -> Floats:
    """How much covers each pixel, (B, 5, P): of red cells, cytoplasm, nucleus, granules, specks."""
    traits = {name: value.astype(np.float32)[:, None] for name, value in cells.traits.items()}
    width = np.maximum(cells.softness, 2 / canvas.side).astype(np.float32)[:, None]
    body, lobes, red, speck = (_evaluate(forms, canvas) for forms in cells.groups())
    smooth, chromatin, coarse, fine, holes = _textures(cells, canvas)

    outline = _union(body, np.float32(4.0))
    outline += traits["ragged"] * smooth
    inside = _cover(outline, traits["radius"] / width)
    core = _union(lobes, traits["blend"])
    core -= (np.float32(0.10) / traits["blend"]) * smooth
    nucleus = _cover(core, traits["lobe"] * traits["radius"] / width)
    nucleus *= inside

    layers = np.empty((len(body), 5, body.shape[2]), np.float32)
    layers[:, 0] = _red_cells(red, width) * (1 - inside)
    cytoplasm = inside - nucleus
    layers[:, 1] = cytoplasm * (1 + np.float32(0.15) * chromatin) * (1 - traits["holes"] * holes)
    layers[:, 2] = nucleus * (1 + traits["chromatin"] * chromatin)
    cytoplasm += traits["over"] * nucleus
    layers[:, 3] = cytoplasm * (traits["coarse"] * coarse + traits["fine"] * fine)
    layers[:, 4] = _cover(speck[:, 0], np.float32(0.1) / width) * (1 - inside)
    layers[:, 4] *= 1 + np.float32(0.3) * chromatin
    return layers


def _union(forms: Floats, blend: Floats | np.float32) -> Floats:
    """Forms (B, E, P) → (B, P) of their union: 1 on its outline, with necks where they nearly touch."""
    blend = np.asarray(blend)
    near: Floats = np.exp(forms * -blend[..., None]).sum(axis=1)
    np.maximum(near, np.float32(1e-30), out=near)
    np.log(near, out=near)
    near /= -blend
    return near


def _cover(form: Floats, sharpness: Floats) -> Floats:
    """Form (B, P) → share (B, P) of the pixel inside, 0 to 1.

    sharpness (B, 1): radius of the form divided by the width of its outline.
    """
    distance = np.sqrt(np.maximum(form, 0))
    distance -= 1
    distance *= -sharpness
    distance += np.float32(0.5)
    return np.clip(distance, 0, 1, out=distance)


def _red_cells(forms: Floats, width: Floats) -> Floats:
    """Amount of hemoglobin (B, P) in red cells (B, R, P): pale in the middle, double where two overlap."""
    first = forms[:, 0].copy()
    second = np.full_like(first, 1e3)
    for other in range(1, forms.shape[1]):
        np.minimum(second, np.maximum(first, forms[:, other]), out=second)
        np.minimum(first, forms[:, other], out=first)
    sharpness = np.float32(0.34) / width
    amount = _cover(first, sharpness)
    amount *= 1 - np.float32(0.75) * np.clip(1 - 2.5 * first, 0, 1)
    amount += np.float32(0.7) * _cover(second, sharpness)
    return amount


def _textures(cells: Cells, canvas: Raster) -> list[Floats]:
    """Outline, chromatin, coarse and fine granules, holes, each (B, P), placed as the cells' mapping says."""
    u, v = _evaluate(cells.mapping, canvas).astype(np.int32).swapaxes(0, 1)
    u &= TEXELS - 1
    v &= TEXELS - 1
    v *= TEXELS
    v += u
    smooth, chromatin, coarse, fine, holes = (np.take(tile, v, mode="clip") for tile in _tiles())
    crisp = cells.crisp.astype(np.float32)[:, None]
    chromatin *= crisp
    for granules in (coarse, fine):  # a soft picture shows their mean
        granules *= crisp
        granules += np.float32(0.4) * (1 - crisp)
    return [smooth, chromatin, coarse, fine, holes]


@functools.cache
def _tiles() -> tuple[Floats, ...]:
    """The five textures, each (65536,) float32: a square that repeats without a seam, drawn once per process.

    Outline and chromatin have mean 0 and standard deviation 1; granules and holes lie in [0, 1].
    """

    def waves(purpose: str, shortest: float, longest: float) -> Doubles:
        white = np.fft.fft2(stream(0, f"synthetic {purpose}").standard_normal((TEXELS, TEXELS)))
        cycles = np.hypot(*np.meshgrid(*[np.fft.fftfreq(TEXELS) * TEXELS] * 2)) / 2  # per half-width
        band: Doubles = np.real(np.fft.ifft2(white * ((cycles >= 1 / longest) & (cycles <= 1 / shortest))))
        band /= band.std()
        return band.ravel()

    def dots(field: Doubles, level: float, edge: float) -> Doubles:
        return np.clip((field - level) / edge + 0.5, 0, 1)

    tiles = (
        waves("outline", 0.25, 0.9),
        waves("chromatin", 0.05, 0.16),
        dots(waves("coarse", 0.07, 0.12), 0.1, 1.2),
        dots(waves("fine", 0.045, 0.065), 0.3, 0.8),
        dots(waves("holes", 0.16, 0.28), 1.5, 0.3),
    )
    return tuple(tile.astype(np.float32) for tile in tiles)


def _stains(cells: Cells, draws: Draws, shift: Knobs) -> Floats:
    """Absorbance (B, 3, 5) of each layer for red, green, blue: the picture's dyes × what the layer holds."""
    spread = 0.105 + 0.04 * shift.stain
    strength = np.array(_OTHER_STRENGTH) * shift.stain
    hue = np.array(_OTHER_HUE) * shift.stain
    batch = len(cells.crisp)
    amounts = strength + draws.normal(spread, 4) + draws.normal(spread)[:, None]
    tints = hue + draws.normal(0.5 * spread, 12).reshape(batch, 4, 3)
    dyes = np.array(list(DYES.values())) * np.exp(tints + amounts[:, :, None])

    traits, none = cells.traits, np.zeros(batch)
    granule = [traits["azure granules"], traits["eosin granules"], 0.1 + none, none]
    holds = np.stack(
        [
            np.stack([none, none, none, draws.uniform(0.85, 1.35)], axis=1),
            np.stack([traits["azure"], traits["eosin"], traits["blue"], traits["hemoglobin"]], axis=1),
            np.stack([traits["density"], none, 0.1 + none, none], axis=1),
            np.stack(granule, axis=1),
            np.stack([0.5 + none, none, 0.2 + none, none], axis=1),
        ],
        axis=2,
    )
    absorbance: Floats = (dyes[:, :, :, None] * holds[:, :, None, :]).sum(axis=1).astype(np.float32)
    return absorbance


def _light(draws: Draws, shift: Knobs) -> Floats:
    """Coefficients (B, 3, 6) of x², xy, y², x, y, 1 of minus the logarithm of the light on each pixel."""
    plasma = -np.log(np.array([0.985, 0.890, 0.790]))
    other_camera = draws.uniform(0, 1) < 0.07  # a bluish, darker minority, as in the Barcelona set
    cool = np.where(other_camera, 1.0, 0.0) + draws.normal(0.10) + 0.28 * shift.illumination
    coefficients = np.zeros((len(cool), 3, 6))
    coefficients[:, :, 5] = plasma + cool[:, None] * np.array([0.14, 0.04, -0.12]) + draws.normal(0.02, 3)
    coefficients[:, :, 5] += (np.abs(draws.normal(0.03)) + 0.06 * shift.illumination)[:, None]
    coefficients[:, :, 3:5] = draws.normal(0.015 + 0.03 * shift.illumination, 2)[:, None, :]
    corners = np.abs(draws.normal(0.015)) + 0.07 * shift.illumination
    coefficients[:, :, 0] = coefficients[:, :, 2] = corners[:, None]
    return coefficients.astype(np.float32)


def _optics(cells: Cells, draws: Draws, shift: Knobs) -> Optics:
    """Choose dyes, light and camera of each picture."""
    stains, light = _stains(cells, draws, shift), _light(draws, shift)
    blur = draws.uniform(0.6, 1.4) * _BLUR * shift.focus
    grain = draws.uniform(1.0, 4.0) + 1.5 * shift.focus * draws.uniform(0.5, 1.5)
    contrast = np.full(len(blur), 1 - 0.06 * shift.illumination, np.float32)
    return Optics(stains, light, blur, contrast, grain.astype(np.float32), draws.uniform(0, 1))


def _expose(absorbed: Floats, optics: Optics, canvas: Raster, radius: int) -> NDArray[np.uint8]:
    """Absorbance (B, 3, P) → images (B, H, W, 3) uint8 as the camera records them.

    radius: how many pixels away the blur ends; 0 for none.
    """
    size, fine = canvas.size_px, canvas.fine
    np.negative(absorbed, out=absorbed)
    light = np.exp(absorbed, out=absorbed).reshape(-1, 3, canvas.side, canvas.side)
    pixels = light[:, :, ::fine, ::fine].copy()
    for i, j in list(itertools.product(range(fine), repeat=2))[1:]:
        pixels += light[:, :, i::fine, j::fine]
    if radius > 0:
        pixels = _blur(pixels, optics.blur * size / 2, radius)
    contrast = optics.contrast[:, None, None, None]
    pixels *= np.float32(255 / fine**2) * contrast
    pixels += np.float32(255 * 0.75) * (1 - contrast) + np.float32(0.5)
    for image, grain, start in zip(pixels, optics.grain, optics.grain_start, strict=True):
        image += grain * _noise(image.size, start).reshape(image.shape)
    np.clip(pixels, 0, 255.49, out=pixels)
    return pixels.astype(np.uint8).transpose(0, 2, 3, 1)


def _blur(pixels: Floats, sigma_px: Doubles, radius: int) -> Floats:
    """Images (B, 3, H, W) averaged with Gaussian weights up to ``radius`` pixels away; borders are repeated.

    sigma_px (B,): standard deviation, above 0. The radius is the same for all, whatever else is in the chunk.
    """
    weights = np.exp(-0.5 * (np.arange(radius + 1) / sigma_px[:, None]) ** 2)
    weights /= 2 * weights.sum(axis=1, keepdims=True) - weights[:, :1]
    near = weights.astype(np.float32)[:, :, None, None, None]
    for _ in range(2):  # rows, then columns: turned after each
        side = pixels.shape[3]
        wide = np.pad(pixels, ((0, 0), (0, 0), (0, 0), (radius, radius)), mode="edge")
        blurred = near[:, 0] * pixels
        for away in range(1, radius + 1):
            left, right = radius - away, radius + away
            blurred += near[:, away] * (wide[..., left : left + side] + wide[..., right : right + side])
        pixels = np.ascontiguousarray(blurred.swapaxes(2, 3))
    return pixels


def _blur_radius(focus: float, size_px: int) -> int:
    """Three standard deviations of the strongest blur, in whole pixels; 0 without blur."""
    return math.ceil(3 * 1.4 * _BLUR * focus * size_px / 2)


def _noise(n: int, where: float) -> Floats:
    """White noise (n,), standard deviation 1: a part of a fixed store from a share of its length on."""
    store = _noise_store()
    start = int(where * len(store))
    if start + n <= len(store):
        return store[start : start + n]
    return np.take(store, np.arange(start, start + n) % len(store))


@functools.cache
def _noise_store() -> Floats:
    """White noise (1048573,) float32; a prime length, so rows of a large picture do not repeat in step."""
    return stream(0, "synthetic noise").standard_normal(1048573, dtype=np.float32)
