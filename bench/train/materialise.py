"""Images changed once, before training, instead of anew on every batch.

One image at a time, on the host, in one thread: a picture is then a function of its own pixels, the seed and
its copy number, whatever else is in the training split and wherever it trains. RandAugment takes 0.5 ms an
image at 96 px, AugMix 1.3 ms.
"""

from __future__ import annotations

import contextlib
import math
import os
import tempfile
from collections.abc import Callable, Iterator, Sequence

import numpy as np
import torch

from bench.augment import pipeline
from bench.data.balance import Deck
from bench.data.images import COPIED_BYTES, Index, Mask, Pixels, Samples, read_into
from bench.data.resident import BLOCK
from bench.errors import UserError
from bench.recipe import COPIED_BY, Choice, Recipe
from bench.streams import stream


def materialise(samples: Samples, deck: Deck, recipe: Recipe, seed: int) -> tuple[Samples, Index]:
    """What to hold on the device, and where in it each of the deck's M images is: positions (M,).

    samples   the training split, images (N, H, W, C) uint8 → itself where nothing is static, else M images:
              with ``upsample-static`` the copies turned, mirrored and zoomed, and with ``augment_mode =
              "static"`` every image augmented, in this order
    random    streams (copy, image id, copy number) and (static, image id, copy number). Images that agree in
              every pixel have one id, and get the same draws

    Raises UserError for an augmentation that mixes images, which has no static form.
    """
    copies = recipe.balance == "upsample-static"
    static = recipe.augment_mode == "static" and bool(recipe.augment)
    if not copies and not static:
        return samples, deck.index
    pixels = room_for((len(deck), *samples.images.shape[1:]))
    for start in range(0, len(deck), BLOCK):
        read_into(samples.images, deck.index[start : start + BLOCK], pixels[start : start + BLOCK])
    made = Samples(pixels, samples.labels[deck.index], samples.ids[deck.index])

    def draws(purpose: str) -> Callable[[int], np.random.Generator]:
        return lambda i: stream(seed, purpose, int(made.ids[i]), int(deck.copy[i]))

    with _one_thread():
        if copies:
            _draw(pixels, deck.copy > 0, COPIED_BY, draws("copy"))
        if static:
            _draw(pixels, deck.copy >= 0, recipe.augment, draws("static"))
    return made, np.arange(len(deck))


def room_for(shape: tuple[int, ...]) -> Pixels:
    """An array (M, H, W, C) uint8 to be written: in memory, or if it is large in a file without a name.

    That file lies in the folder for temporary files (``TMPDIR``) and is gone with the array.
    """
    if math.prod(shape) <= COPIED_BYTES:
        return np.empty(shape, np.uint8)
    with tempfile.TemporaryFile() as file:
        if hasattr(os, "posix_fallocate"):  # a full disk is an error here, later it would end the process
            os.posix_fallocate(file.fileno(), 0, math.prod(shape))
        return np.memmap(file, np.uint8, "w+", shape=shape)


@contextlib.contextmanager
def _one_thread() -> Iterator[None]:
    """Sums round alike, however many threads this machine gives a trial."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


def _draw(
    images: Pixels, chosen: Mask, choices: Sequence[Choice], draws: Callable[[int], np.random.Generator]
) -> None:
    """Augment the chosen images in place.

    images  (M, H, W, C) uint8
    chosen  (M,) bool
    draws   position of an image → its stream
    """
    _, size_px, _, channels = images.shape
    augment = pipeline.build(choices, size_px=size_px, channels=channels)
    if augment.mixes_images:
        raise UserError(
            f'augment_mode = "static": {", ".join(choice.name for choice in choices)} mixes images anew on '
            'every batch; leave the mixing out, or use "dynamic"'
        )
    target = torch.ones(1, 1)
    for i in np.flatnonzero(chosen):
        image = torch.from_numpy(images[i]).permute(2, 0, 1)[None].float().div_(255)
        changed, _ = augment(image, target, draws(int(i)))
        images[i] = changed[0].mul(255).round_().clamp_(0, 255).to(torch.uint8).permute(1, 2, 0).numpy()
