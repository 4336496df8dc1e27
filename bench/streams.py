"""Separate random streams, derived from (seed, purpose, counters) and nothing else.

A stream is named, never shared: an arm that draws more from one never shifts another, so the same seed in two
arms really is a pair. Draws are made on the host by NumPy's Philox, the same on every platform; a device
receives parameters, it never draws them.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np


def derive(seed: int, purpose: str, *counters: int) -> int:
    """A 63-bit seed for one purpose, for example ``derive(0, "order", epoch)``.

    63 bits, because torch's generators take a signed 64-bit integer.
    """
    text = "/".join([str(seed), purpose, *map(str, counters)])
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "big") >> 1


def stream(seed: int, purpose: str, *counters: int) -> np.random.Generator:
    """A fresh NumPy generator for one purpose; the same arguments give the same draws anywhere."""
    import numpy as np

    return np.random.Generator(np.random.Philox(key=derive(seed, purpose, *counters)))
