"""Which comparisons of a study tell each other of their noise: those of one metric that can be tested."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from types import MappingProxyType

from bench import stats
from bench.judge.contrast import Contrast
from bench.judge.family import Key


def moderated(
    keys: Sequence[Key],
    contrasts: Sequence[Contrast],
    others: Mapping[str, Sequence[Contrast]] = MappingProxyType({}),
) -> list[Contrast]:
    """The same contrasts, each with the seed variance that it is decided by.

    keys    of the family, in the same order; comparisons on one metric share, those of two arms with one
            another, effects that are averaged over arms with one another
    others  by metric, further contrasts of a screen, which tell of noise alone: no two of these and of the
            declared effects share an arm's luck, as effects of other designs do
    """
    found = list(contrasts)
    for metric in dict.fromkeys(metric for _, _, metric in keys):
        mine = [i for i, key in enumerate(keys) if key[2] == metric]
        pairs, effects = ([i for i in mine if (contrasts[i].arms > 2) == many] for many in (False, True))
        tests = [_telling(contrasts[i]) for i in pairs]
        arms = {label for i, test in zip(pairs, tests, strict=True) if test for label in keys[i][:2]}
        for i, test in zip(pairs, stats.moderate(tests, len(arms) - 1), strict=True):
            if test is not None:
                found[i] = replace(contrasts[i], test=test)
        further = others.get(metric, ()) if effects else ()
        telling = [_of_one_arm(one) for one in (*(contrasts[i] for i in effects), *further)]
        shared = stats.moderate(telling, orthogonal=metric in others)
        for i, test in zip(effects, shared, strict=False):
            found[i] = _lend(contrasts[i], test)
    return found


def _of_one_arm(contrast: Contrast) -> stats.Interval | None:
    """With the variances of a single arm that a sum of arms has: weighed alike, contrasts are alike."""
    test = _telling(contrast)
    if test is None:
        return None
    parts = ("seed_variance", "item_variance", "interaction")
    return replace(test, **{part: getattr(test, part) / contrast.scale for part in parts})


def _lend(contrast: Contrast, by: stats.Interval | None) -> Contrast:
    if by is None or by.shared is None or not isinstance(contrast.test, stats.Interval):
        return contrast
    shared = replace(by.shared, variance=by.shared.variance * contrast.scale)
    return replace(contrast, test=replace(contrast.test, shared=shared))


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
