"""Class names: which are the same, in which order they come, and which number stands for each.

A place in a list is no identity: class ``10`` is the eleventh of 0 to 11, and the third in the alphabet.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Sequence

FROM_ONE = "the labels start at 1, and they are counted from 0: subtract 1 from each"
WHOLE = re.compile(r"-?[0-9]{1,18}")


def one_form(name: str) -> str:
    """A name in Unicode's composed form (NFC): some file systems spell é as two characters."""
    return unicodedata.normalize("NFC", name)


def in_order(names: Iterable[str]) -> tuple[str, ...]:
    """Distinct class names: by value where all are whole numbers, else in the order of the alphabet."""
    distinct = sorted({one_form(name) for name in names})
    return tuple(sorted(distinct, key=int) if _whole(distinct) else distinct)


def numbers(classes: Sequence[str], *, numbered: bool) -> list[int]:
    """The number that stands for each class outside: in the labels of an npz, in what a submission answers.

    numbered   the classes are an npz's labels, whatever their names: 0, 1, 2, …
    Else whole numbers stand for themselves, and other names are counted from 0.
    """
    return [int(name) for name in classes] if not numbered and _whole(classes) else list(range(len(classes)))


def counterparts(
    foreign: Sequence[str], ours: Sequence[str], *, numbered: bool, ours_numbered: bool
) -> dict[str, str]:
    """Foreign class name → the study's class of the same name, or else of the same number.

    numbered   the foreign classes are an npz's labels, which have no names; ``ours_numbered``: so are the
               study's
    """
    found = {} if numbered else {name: name for name in foreign if name in ours}
    if numbered or (_whole(foreign) and (_whole(ours) or ours_numbered)):
        by_number = dict(zip(numbers(ours, numbered=ours_numbered), ours, strict=True))
        theirs = zip(foreign, numbers(foreign, numbered=numbered), strict=True)
        found = {name: by_number[k] for name, k in theirs if k in by_number} | found
    return found


def _whole(names: Sequence[str]) -> bool:
    """Whether all names are whole numbers, no two of them equal."""
    values = {int(name) for name in names if WHOLE.fullmatch(name)}
    return len(values) == len(names)
