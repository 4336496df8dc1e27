"""What became of the images, in words: the same in ``plan``, ``run`` and the report."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from bench.data.image_files import READ, SYSTEM_FILES
from bench.planned import Account, Seen

MOST = 8
"""Classes that a line names."""


def lines(account: Account) -> Iterator[str]:
    """One line for the counts, and one for each thing that a person may not expect."""
    seen = account.seen
    skipped = _skipped(seen) if seen else {}
    dropped = {why: sum(counts.values()) for why, counts in account.dropped.items()}
    left = sum(account.images.values())
    passed_over = skipped.pop(SYSTEM_FILES, {})
    found = left + sum(dropped.values()) + sum(sum(counts.values()) for counts in skipped.values())
    yield f"{account.set}: {found:,} files or images found, {left:,} used"
    for kind, counts in skipped.items():
        yield f"{account.set}: not read, {_counted(kind, counts)}; {READ} in class folders are"
    if passed_over:
        yield f"{account.set}: passed over, {_counted(SYSTEM_FILES, passed_over)}"
    for why, counts in account.dropped.items():
        yield f"{account.set}: left out, {_counted(why, counts)}"
    for ours, counts in account.named.items():
        yield f"{account.set}: counted as {ours}, " + ", ".join(f"{name} {n:,}" for name, n in counts.items())
    if seen and seen.oblong:
        yield f"{account.set}: {crop(seen.oblong, seen.cropped)}"
    if seen and seen.transparent:
        yield f"{account.set}: {_images(seen.transparent)} with transparent pixels, laid on white"
    if seen and seen.deep:
        yield f"{account.set}: {_images(seen.deep)} of 16 bits, scaled by [data] bit_range"


def crop(oblong: int, share: float) -> str:
    """What the central square cuts off.

    share   of an image, on average, 0 to 1
    """
    return (
        f"{_images(oblong)} of which the central square leaves out more than a tenth ({100 * share:.0f} % on "
        "average over all): what lies at their sides is not seen"
    )


def _images(count: int) -> str:
    return f"{count:,} image{'' if count == 1 else 's'}"


def notable(account: Account) -> list[str]:
    """The same without the counts, where they are all there is to say."""
    return list(lines(account))[1:]


def _skipped(seen: Seen) -> dict[str, dict[str, int]]:
    """Kind of file → class → how many."""
    kinds: dict[str, dict[str, int]] = {}
    for name, others in seen.skipped.items():
        for kind, count in others.items():
            kinds.setdefault(kind, {})[name] = count
    return kinds


def _counted(what: str, counts: Mapping[str, int]) -> str:
    """``40 .webp files (basophil 20, monocyte 20)``."""
    some = [f"{name} {count:,}" for name, count in list(counts.items())[:MOST] if name]
    more = ", …" if len(counts) > MOST else ""
    return f"{sum(counts.values()):,} {what}" + (f" ({', '.join(some)}{more})" if some else "")
