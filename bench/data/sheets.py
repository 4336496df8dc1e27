"""Contact sheets: many small images on one picture, in strips, with captions."""

from __future__ import annotations

import functools
import io
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from bench.data.images import Pixels
from bench.files import hand_over

if TYPE_CHECKING:
    from PIL import Image, ImageDraw, ImageFont

TILE_PX = 96
"""Smallest side of a tile; smaller images are enlarged by a whole factor, so that pixels stay pixels."""
LARGEST_PX = 160
"""Larger images are reduced to this."""
COLUMNS = 16
GAP = 6
MARGIN = 14
TEXT_PX, HEAD_PX, TITLE_PX = 12, 14, 20
TEXT_LINE = TEXT_PX + 2
PAPER, INK, FAINT, RED, BLUE = "#ffffff", "#1a1a1a", "#6b6b6b", "#c62828", "#4a6fa5"
NARROWEST_PX = 480
MOST_TILES = 3000
"""On one sheet; what is left out is said at its end."""


@dataclass(frozen=True)
class Tile:
    """An image and what stands below it.

    pixels   (H, W, C) uint8, C 1 or 3
    caption  lines below it; long ones are broken
    marked   drawn with a red frame
    detail   more about it, for pages only: on a sheet there is no room
    """

    pixels: Pixels
    caption: str = ""
    marked: bool = False
    detail: str = ""


@dataclass(frozen=True)
class Strip:
    """Tiles that belong together, in rows under a heading."""

    heading: str
    tiles: tuple[Tile, ...]


def enlarged(pixels: Pixels) -> Image.Image:
    """An image (H, W, C) uint8 at the size of a tile, RGB."""
    from PIL import Image

    height, width, channels = pixels.shape
    image = Image.fromarray(pixels if channels == 3 else pixels[..., 0]).convert("RGB")
    side = max(height, width)
    if side > LARGEST_PX:
        factor = LARGEST_PX / side
        return image.resize(
            (max(1, round(width * factor)), max(1, round(height * factor))), Image.Resampling.LANCZOS
        )
    factor = -(-TILE_PX // side)
    return image.resize((width * factor, height * factor), Image.Resampling.NEAREST)


def draw(title: str, strips: Sequence[Strip], columns: int = COLUMNS) -> Image.Image:
    """One picture of all strips, at most ``columns`` tiles in a row; short strips stand side by side."""
    from PIL import Image, ImageDraw

    fitting, left_out = _fitting(strips)
    images = [[enlarged(tile.pixels) for tile in strip.tiles] for strip in fitting]
    every = [image.size for row in images for image in row]
    cell = tuple(max((size[axis] for size in every), default=TILE_PX) + GAP for axis in (0, 1))
    blocks = [
        _Block(strip, row, cell[0], cell[1], columns) for strip, row in zip(fitting, images, strict=True)
    ]
    wide = [block.size[0] for block in blocks] or [0]
    in_one_row = sum(wide) + 2 * GAP * (len(wide) - 1)
    width = max(NARROWEST_PX, max(wide), min(columns * cell[0], in_one_row))
    lines = _wrapped(title, TITLE_PX, width, most=3)
    head = 2 * MARGIN + len(lines) * (TITLE_PX + 6)
    places, bottom = _shelves([block.size for block in blocks], width, head)
    sheet = Image.new("RGB", (2 * MARGIN + width, bottom + 2 * MARGIN), PAPER)
    pen = ImageDraw.Draw(sheet)
    for number, line in enumerate(lines):
        pen.text((MARGIN, MARGIN + number * (TITLE_PX + 6)), line, INK, _font(TITLE_PX))
    for block, (x, y) in zip(blocks, places, strict=True):
        block.draw(sheet, pen, x, y)
    pen.text((MARGIN, bottom), left_out, FAINT, _font(HEAD_PX))
    return sheet


def _fitting(strips: Sequence[Strip]) -> tuple[list[Strip], str]:
    """The first strips that a sheet has room for, and a line about the others."""
    tiles = 0
    for number, strip in enumerate(strips):
        tiles += len(strip.tiles)
        if number and tiles > MOST_TILES:
            return list(strips[:number]), f"… and {len(strips) - number} more"
    return list(strips), ""


def _shelves(sizes: Sequence[tuple[int, int]], width: int, top: int) -> tuple[list[tuple[int, int]], int]:
    """Where blocks of ``sizes`` stand, left to right in rows of ``width``; and where the last row ends."""
    places: list[tuple[int, int]] = []
    x, tallest = 0, 0
    for wide, high in sizes:
        if x and x + wide > width:
            x, top, tallest = 0, top + tallest, 0
        places.append((MARGIN + x, top))
        x, tallest = x + wide + 2 * GAP, max(tallest, high)
    return places, top + tallest


@dataclass(frozen=True)
class _Block:
    """A strip ready to be drawn in cells of one size."""

    strip: Strip
    images: list[Image.Image]
    cell_w: int
    cell_h: int
    columns: int

    @functools.cached_property
    def captions(self) -> list[list[str]]:
        """Lines below each tile."""
        return [_wrapped(tile.caption, TEXT_PX, self.cell_w - GAP, most=4) for tile in self.strip.tiles]

    @property
    def step(self) -> int:
        """Height of a row."""
        return self.cell_h + max(map(len, self.captions), default=0) * TEXT_LINE + 4

    @property
    def size(self) -> tuple[int, int]:
        """Width and height."""
        heading = int(_font(HEAD_PX).getlength(_plain(self.strip.heading)))
        wide = min(self.columns, len(self.images)) * self.cell_w
        rows = -(-len(self.images) // self.columns)
        return max(wide, min(heading, NARROWEST_PX)), HEAD_PX + 10 + rows * self.step + 8

    def draw(self, sheet: Image.Image, pen: ImageDraw.ImageDraw, left: int, top: int) -> None:
        """Heading, tiles, captions."""
        pen.text((left, top), _fitted(self.strip.heading, HEAD_PX, self.size[0]), INK, _font(HEAD_PX))
        for number, (tile, image) in enumerate(zip(self.strip.tiles, self.images, strict=True)):
            row, column = divmod(number, self.columns)
            x, y = left + column * self.cell_w, top + HEAD_PX + 10 + row * self.step
            if tile.marked:
                pen.rectangle((x - 3, y - 3, x + image.width + 2, y + image.height + 2), fill=RED)
            sheet.paste(image, (x, y))
            for line, text in enumerate(self.captions[number]):
                place = (x, y + image.height + 4 + line * TEXT_LINE)
                pen.text(place, text, RED if tile.marked else INK, _font(TEXT_PX))


def draw_bars(title: str, groups: Sequence[tuple[str, Sequence[tuple[str, int]]]]) -> Image.Image:
    """Counts as bars: groups of (heading, [(name, count), …]), all on one scale."""
    from PIL import Image, ImageDraw

    longest, line = 500, TEXT_PX + 8
    names = [name for _, bars in groups for name, _ in bars]
    left = (
        MARGIN
        + 12
        + min(260, max((int(_font(TEXT_PX).getlength(_plain(name))) for name in names), default=0))
    )
    most = max((count for _, bars in groups for _, count in bars), default=0)
    lines = sum(len(bars) + 2 for _, bars in groups)
    height = 2 * MARGIN + TITLE_PX + 10 + lines * line
    sheet = Image.new("RGB", (left + longest + 90 + MARGIN, height), PAPER)
    pen = ImageDraw.Draw(sheet)
    pen.text((MARGIN, MARGIN), _fitted(title, TITLE_PX, sheet.width - 2 * MARGIN), INK, _font(TITLE_PX))
    top = MARGIN + TITLE_PX + 14
    for heading, bars in groups:
        pen.text((MARGIN, top), _fitted(heading, HEAD_PX, sheet.width - 2 * MARGIN), INK, _font(HEAD_PX))
        top += line
        for name, count in bars:
            pen.text((MARGIN, top), _fitted(name, TEXT_PX, left - MARGIN - 8), INK, _font(TEXT_PX))
            width = round(longest * count / most) if most else 0
            pen.rectangle((left, top + 1, left + width, top + TEXT_PX + 2), fill=BLUE)
            pen.text((left + width + 6, top), f"{count:,}", INK, _font(TEXT_PX))
            top += line
        top += line
    return sheet


def save(sheet: Image.Image, file: Path) -> Path:
    """Write a sheet as PNG, whole or not at all; makes the folder."""
    stored = io.BytesIO()
    sheet.save(stored, "PNG")
    return hand_over(file, stored.getvalue())


@functools.cache
def _font(size: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    from PIL import ImageFont

    return ImageFont.load_default(size)


SIGNS = str.maketrans({"×": "x", "–": "-", "−": "-", "→": ">", "≥": ">=", "≤": "<="})
"""Signs that Pillow's own font lacks."""


@functools.cache
def _drawable(sign: str) -> bool:
    """Whether the font has this sign; what it lacks it draws as the same box."""
    return sign == " " or bytes(_font(TEXT_PX).getmask(sign)) != bytes(_font(TEXT_PX).getmask("\uffff"))


def _plain(text: str) -> str:
    """On one line, with a question mark for what the font cannot draw."""
    return "".join(c if c.isprintable() and _drawable(c) else "?" for c in text.translate(SIGNS))


def _fitted(text: str, size: int, width: int) -> str:
    """``text`` cut in its middle until it is at most ``width`` pixels wide."""
    text, font = _plain(text), _font(size)
    if font.getlength(text) <= width:
        return text
    for keep in range(len(text) - 1, 1, -1):
        short = f"{text[: keep - keep // 3]}…{text[len(text) - keep // 3 :]}"
        if font.getlength(short) <= width:
            return short
    return "…"


def _wrapped(text: str, size: int, width: int, most: int) -> list[str]:
    """``text`` as at most ``most`` lines of ``width`` pixels, broken after blanks, hyphens, underscores."""
    lines, font = [], _font(size)
    for paragraph in text.split("\n"):
        lines.append("")
        for part in re.findall(r"[^\s_-]*[\s_-]?", _plain(paragraph)):
            if lines[-1] and len(lines) < most and font.getlength((lines[-1] + part).rstrip()) > width:
                lines.append("")
            lines[-1] += part
    return [_fitted(line.rstrip(), size, width) for line in lines[:most] if line]


def jpeg(pixels: Pixels) -> bytes:
    """An image (H, W, C) uint8 at the size of a tile, as JPEG for a page."""
    stored = io.BytesIO()
    enlarged(np.asarray(pixels)).save(stored, "JPEG", quality=90)
    return stored.getvalue()
