"""One image file → pixels, and pixels → what a network sees. A submission carries this file with it.

Standard library, NumPy and Pillow; imagecodecs and tifffile for colours of 16 bits, which Pillow cuts to 8.
Letters: H W pixels, C channels, S side of the square.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from io import BytesIO
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from PIL import Image, PngImagePlugin, UnidentifiedImageError

Pixels = npt.NDArray[np.uint8]
FORMATS = ("JPEG", "PNG", "TIFF", "BMP", "WEBP", "GIF")
KNOWN = "JPEG, PNG, TIFF, BMP, WebP or GIF image"
MAX_PIXELS = 64_000_000
"""Larger images are refused before they are decoded: a small file may hold gigabytes of pixels."""
NOTICED = 0.1
"""Share of an image outside its central square from which the crop may lose what it shows."""
BACKGROUND = 255
"""White: what is behind transparent pixels, as on a page, on a slide and in a browser."""
EXIF_ORIENTATION = 0x0112
LYING = range(5, 9)
"""EXIF orientations that swap width and height."""
PNG_DEPTH_AT = 24
"""Byte of a PNG that says how many bits a channel has."""
TIFF_BITS, TIFF_PHOTOMETRIC, TIFF_EXTRA = 258, 262, 338
UNASSOCIATED = 2
"""An extra channel of a TIFF that is alpha, and that the colours were not multiplied by."""


warnings.filterwarnings("ignore", module="PIL")  # odd tags beside a picture do not matter


class UnreadableError(Exception):
    """An image that cannot be read; the text says why."""


class Header(NamedTuple):
    """What a file says of its image; decoded only where there is an alpha channel or a transparent colour."""

    width: int
    """Upright, as ``height``."""
    height: int
    bits: int
    """Of a channel."""
    transparent: bool
    """Some pixel is not opaque."""

    @property
    def cropped(self) -> float:
        """Share of the image outside its central square, 0 to 1."""
        return 1 - min(self.width, self.height) / max(self.width, self.height)


def read(content: bytes, bit_range: tuple[int, int] | None = None) -> Pixels:
    """An image file as (H, W, 3) uint8 RGB, turned upright as its EXIF orientation says.

    content     of a JPEG, PNG, TIFF, BMP, WebP or GIF; of one that moves the first picture
    bit_range   of images of more than 8 bits: the values that become 0 and 255; None: 0 and 65535
    Transparent pixels are laid on white. Raises UnreadableError for whatever cannot be read.
    """
    try:
        with _open(content) as image:
            _refuse(content, image)
            image.verify()
        with _open(content) as image:
            bits = _bits(content, image)
            values = _deep(content, image) if bits > 8 else _plain(image)
            return np.ascontiguousarray(_turned(_flat(values, bit_range), _orientation(image)))
    except UnidentifiedImageError:
        raise UnreadableError(f"not a {KNOWN}" if content else "empty file") from None
    except (UnreadableError, MemoryError):
        raise
    except Exception as error:  # what a damaged file makes of a decoder is in no list
        raise UnreadableError(f"{error or type(error).__name__}") from None


def header(content: bytes) -> Header:
    """The header of an image file. Raises UnreadableError."""
    try:
        with _open(content) as image:
            width, height = image.size
            if _orientation(image) in LYING:
                width, height = height, width
            clear = image.has_transparency_data and width * height <= MAX_PIXELS
            transparent = clear and int(np.asarray(image.convert("RGBA"))[..., 3].min()) < 255
            return Header(width, height, _bits(content, image), transparent)
    except MemoryError:
        raise
    except Exception as error:
        raise UnreadableError(f"{error or type(error).__name__}") from None


def square(native: Pixels, size_px: int, fit: str = "crop", fill: str = "black") -> Pixels:
    """An image (H, W, C) uint8 as (S, S, C), resized by Pillow, bicubic.

    fit    ``crop``: its largest central square; ``pad``: all of it, with bars at its shorter sides;
           ``squash``: all of it, the longer side pressed together
    fill   what the bars show: ``black``, ``white``, ``edge`` (its outermost pixels), ``reflect`` (mirrored)
    """
    height, width, _ = native.shape
    if fit == "squash":
        return _resized(native, size_px, size_px)
    if fit == "pad":
        longer = max(height, width)
        high, wide = (max(1, round(side * size_px / longer)) for side in (height, width))
        return _padded(_resized(native, high, wide), size_px, fill)
    side = min(height, width)
    top, left = (height - side) // 2, (width - side) // 2
    return _resized(native[top : top + side, left : left + side], size_px, size_px)


def _resized(pixels: Pixels, height: int, width: int) -> Pixels:
    if pixels.shape[:2] == (height, width):
        return pixels
    channels = pixels.shape[2]
    image = Image.fromarray(pixels if channels == 3 else pixels[..., 0])
    resized = np.asarray(image.resize((width, height), Image.Resampling.BICUBIC))
    return resized.reshape(height, width, channels)


def _padded(pixels: Pixels, size_px: int, fill: str) -> Pixels:
    """An image (H, W, C), H and W at most S, in the middle of (S, S, C)."""
    missing = [size_px - side for side in pixels.shape[:2]]
    bars = [*((bar // 2, bar - bar // 2) for bar in missing), (0, 0)]
    if fill in ("edge", "reflect"):
        mode: Any = fill
        return np.pad(pixels, bars, mode=mode)
    return np.pad(pixels, bars, constant_values=255 if fill == "white" else 0)


def _open(content: bytes) -> Image.Image:
    # Text beside the picture does not matter; Pillow allows 64 MB of it in all, but one only of 1 MB.
    PngImagePlugin.MAX_TEXT_CHUNK = PngImagePlugin.MAX_TEXT_MEMORY
    return Image.open(BytesIO(content), formats=FORMATS)


def _refuse(content: bytes, image: Image.Image) -> None:
    """Raise UnreadableError for what would be read, but as something else than it is."""
    width, height = image.size
    if width * height > MAX_PIXELS:
        raise UnreadableError(f"{width} × {height} pixels, at most {MAX_PIXELS:,} are read")
    if image.format == "TIFF" and getattr(image, "n_frames", 1) > 1:
        raise UnreadableError(f"holds {image.n_frames} pictures, a file of one is read")  # type: ignore[attr-defined]
    bits = _bits(content, image)
    if bits > 16 or image.mode in ("I", "F") or (bits > 8 and image.mode == "CMYK"):
        raise UnreadableError(f"{bits}-bit {image.mode} pixels; 8 and 16 bits per channel are read")
    if bits > 8 and ("transparency" in image.info or _tag(image, TIFF_EXTRA, (0,))[0] == 1):
        raise UnreadableError("16 bits with one transparent colour or premultiplied alpha; save it as RGBA")


def _bits(content: bytes, image: Image.Image) -> int:
    """Bits of a channel; a palette's colours have 8."""
    if image.format == "PNG":
        return max(8, content[PNG_DEPTH_AT])
    return max(8, *_tag(image, TIFF_BITS, (8,)))


def _tag(image: Image.Image, tag: int, default: tuple[int, ...]) -> tuple[int, ...]:
    """A tag of a TIFF, the default of any other image."""
    if image.format != "TIFF":
        return default
    found = image.tag_v2.get(tag, default)  # type: ignore[attr-defined]
    return found if isinstance(found, tuple) else (found,)


def _plain(image: Image.Image) -> Pixels:
    """(H, W, 3) or, with alpha, (H, W, 4) uint8."""
    return np.asarray(image.convert("RGBA" if image.has_transparency_data else "RGB"))


def _deep(content: bytes, image: Image.Image) -> npt.NDArray[np.uint16]:
    """(H, W, C) uint16: gray, colour, either with alpha."""
    if image.format == "PNG":
        import imagecodecs

        values: npt.NDArray[np.uint16] = imagecodecs.png_decode(content)
        return values[..., None] if values.ndim == 2 else values
    if image.mode.startswith("I;16"):
        gray: npt.NDArray[np.uint16] = np.asarray(image).astype(np.uint16)[..., None]
        return 65535 - gray if _tag(image, TIFF_PHOTOMETRIC, (1,))[0] == 0 else gray
    import tifffile

    with tifffile.TiffFile(BytesIO(content)) as file:
        page: Any = file.pages[0]
        colour: npt.NDArray[np.uint16] = page.asarray()
        if page.axes == "SYX":
            colour = np.moveaxis(colour, 0, 2)
    return colour if _tag(image, TIFF_EXTRA, (0,))[0] == UNASSOCIATED else colour[..., :3]


def _flat(values: npt.NDArray[Any], bit_range: Sequence[int] | None) -> Pixels:
    """Gray, colour, either with alpha, (H, W, 1 to 4) uint8 or uint16 → (H, W, 3) uint8 without alpha."""
    if values.dtype == np.uint8 and values.shape[2] == 3:
        return values
    most = np.iinfo(values.dtype).max
    low, high = (0, most) if bit_range is None or most == 255 else bit_range
    with_alpha = values.shape[2] in (2, 4)
    colour = (values[..., :-1] if with_alpha else values).astype(np.float64)
    colour = np.clip((colour - low) / (high - low), 0, 1) * 255
    if with_alpha:
        alpha = values[..., -1:] / most
        colour = colour * alpha + BACKGROUND * (1 - alpha)
    return np.rint(np.broadcast_to(colour, (*values.shape[:2], 3))).astype(np.uint8)


def _orientation(image: Image.Image) -> int:
    """EXIF orientation, 1 to 8. Viewers show a photo whose EXIF block is damaged as it lies, and so do we."""
    try:
        found = image.getexif().get(EXIF_ORIENTATION, 1)
    except MemoryError:
        raise
    except Exception:  # a fuzzed block raises whatever its parser meets
        return 1
    return found if found in range(1, 9) else 1


def _turned(pixels: Pixels, orientation: int) -> Pixels:
    """(H, W, 3) as EXIF says that it is to be shown."""
    if orientation in LYING:
        pixels = pixels.swapaxes(0, 1)
    if orientation in (3, 4, 7, 8):
        pixels = pixels[::-1]
    return pixels[:, ::-1] if orientation in (2, 3, 6, 7) else pixels
