"""Which comparisons of a study tell each other of their noise: those of one metric that can be tested."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from bench import stats
from bench.judge.evidence import Contrast
from bench.judge.family import Key


def moderated(keys: Sequence[Key], contrasts: Sequence[Contrast]) -> list[Contrast]:
    """The same contrasts, each with the seed variance that it is decided by.

    keys  of the family, in the same order; comparisons on one metric share
    """
    found = list(contrasts)
    for metric in dict.fromkeys(metric for _, _, metric in keys):
        places = [i for i, key in enumerate(keys) if key[2] == metric]
        tests = [_telling(contrasts[i]) for i in places]
        arms = {label for i, test in zip(places, tests, strict=True) if test for label in keys[i][:2]}
        for i, test in zip(places, stats.moderate(tests, len(arms) - 1), strict=True):
            if test is not None:
                found[i] = replace(contrasts[i], test=test)
    return found


def _telling(contrast: Contrast) -> stats.Interval | None:
    """What a comparison says of noise: nothing where it cannot be tested, or seeds diverged.

    A diverged seed is an outcome of its arm; how far it throws the mean is no luck that others may share.
    """
    told = isinstance(contrast.test, stats.Interval) and not contrast.reason
    sound = told and not contrast.diverged and not contrast.diverged_reference
    return contrast.test if sound and isinstance(contrast.test, stats.Interval) else None


def lent(contrast: Contrast, by: Contrast) -> Contrast:
    """A contrast with the seed variance that decides the same one, told from the other side."""
    if not isinstance(contrast.test, stats.Interval) or not isinstance(by.test, stats.Interval):
        return contrast
    return replace(contrast, test=replace(contrast.test, shared=by.test.shared))
