"""The made-up studies that these tests read."""

from worlds import fast_disk, make_world, world

__all__ = ["fast_disk", "make_world", "world"]
