"""Make an npz like the contest's training set: cells of a folder, and copies of two foreign pictures.

The contest (AN2DL 2024) gave 13,759 images: 11,951 clean ones, 1,600 copies of one picture spread evenly over
all classes, so that its labels conflict, 200 of another in one class, and 8 exact duplicates. Here the
foreign pictures are drawn. ``python scripts/contest_like.py CELLS OUT.npz --clean 4500`` keeps proportions.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

Pixels = NDArray[np.uint8]
CLEAN, SPREAD, IN_ONE, TWICE = 11_951, 1_600, 200, 8
ENDINGS = {".jpg", ".jpeg", ".png"}


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("cells", type=Path, help="a folder with one folder of images per class")
    parser.add_argument("target", type=Path, help="npz to write: images (N, S, S, 3) uint8, labels (N, 1)")
    parser.add_argument(
        "--clean", type=int, default=CLEAN, help=f"clean images, any of the folder's ({CLEAN})"
    )
    parser.add_argument("--size", type=int, default=96, help="pixels of a side (96)")
    parser.add_argument("--seed", type=int, default=0, help="of which images, and of their order (0)")
    told = parser.parse_args(arguments)
    classes = sorted(folder for folder in told.cells.iterdir() if folder.is_dir())
    rng = np.random.default_rng(told.seed)
    files, labels = chosen(classes, told.clean, rng)
    images = np.stack([read(file, told.size) for file in files])
    images, labels = with_copies(images, labels, len(classes), told.clean / CLEAN)
    order = rng.permutation(len(images))
    np.savez_compressed(told.target, images=images[order], labels=labels[order, None])
    print(f"{told.target}: {len(files):,} cells, {len(images) - len(files):,} copies, {len(classes)} classes")
    return 0


def chosen(classes: list[Path], clean: int, rng: np.random.Generator) -> tuple[list[Path], NDArray[np.int64]]:
    """``clean`` files without replacement, classes in proportion, and the label of each."""
    found = [
        (file, k) for k, c in enumerate(classes) for file in sorted(c.iterdir()) if file.suffix in ENDINGS
    ]
    if clean > len(found):
        raise SystemExit(f"--clean {clean} is more than the {len(found):,} images there are")
    kept = [found[i] for i in sorted(rng.permutation(len(found))[:clean])]
    return [file for file, _ in kept], np.array([k for _, k in kept])


def read(file: Path, size: int) -> Pixels:
    with Image.open(file) as image:
        return np.asarray(image.convert("RGB").resize((size, size), Image.Resampling.BICUBIC))


def with_copies(
    images: Pixels, labels: NDArray[np.int64], n_classes: int, share: float
) -> tuple[Pixels, NDArray[np.int64]]:
    """Images (N, S, S, 3) and labels (N,) with the contest's copies, ``share`` times as many of them."""
    spread, in_one, twice = (max(2, round(n * share)) for n in (SPREAD, IN_ONE, TWICE))
    size = images.shape[1]
    copies = [np.repeat(foreign(size, stripes=True)[None], spread, axis=0)]
    copies += [np.repeat(foreign(size, stripes=False)[None], in_one, axis=0), images[:twice]]
    said = [np.arange(spread) % n_classes, np.full(in_one, n_classes - 1), labels[:twice]]
    return np.concatenate([images, *copies]), np.concatenate([labels, *said])


def foreign(size: int, *, stripes: bool) -> Pixels:
    """A picture (S, S, 3) of nothing that is seen through a microscope: stripes, or a sun over a meadow."""
    y, x = np.mgrid[0:size, 0:size] / size
    if stripes:
        planes = [((x + y) * 8 % 1 > 0.5) * 255, (x * 255), ((x - y) * 4 % 1 > 0.5) * 200]
    else:
        sun, meadow = (x - 0.7) ** 2 + (y - 0.25) ** 2 < 0.02, y > 0.65
        planes = [
            np.where(sun, 255, 90),
            np.where(sun, 230, np.where(meadow, 160, 170)),
            np.where(meadow, 40, 250),
        ]
        planes = [np.where(meadow & ~sun, dark, p) for dark, p in zip((60, 160, 40), planes, strict=True)]
    return np.stack(planes, axis=-1).astype(np.uint8)


if __name__ == "__main__":
    raise SystemExit(main())
