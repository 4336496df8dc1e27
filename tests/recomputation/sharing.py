"""The seed variance that comparisons on one metric lend each other (docs/method.md, "Shared variance")."""

import math
from collections.abc import Mapping
from dataclasses import replace

import numpy as np
from scipy import optimize, special

from .comparisons import Comparison
from .formulas import Effect

Name = tuple[str, str, str]


def shared(members: Mapping[Name, Comparison]) -> dict[Name, Comparison]:
    """The same comparisons, with what decides those that are quieter than the others."""
    found = dict(members)
    for metric in {name[2] for name in members}:
        told = {
            name: one.effect
            for name, one in members.items()
            if name[2] == metric and one.effect and not one.reason and not any(one.diverged)
        }
        arms = {arm for name in told for arm in name[:2]}
        for name, effect in lend(told, len(arms) - 1).items():
            found[name] = replace(members[name], effect=effect)
    return found


def lend(effects: Mapping[Name, Effect], independent: int, orthogonal: bool = False) -> dict[Name, Effect]:
    """Smyth's moments of log s², each with its own degrees of freedom.

    orthogonal  no two share an arm, as in a screen: all of them are lent to, without a second limit
    """
    logs, noise, freedoms = [], [], []
    for one in effects.values():
        if one.v_seed:
            d = one.seeds - 1 + one.lent
            logs.append(math.log(one.v_seed * one.seeds) - float(special.psi(d / 2)) + math.log(d / 2))
            noise.append(_trigamma(d / 2))
            freedoms.append(d)
    K = len(logs)
    if K < 2:
        return {}
    middle = float(np.mean(logs))
    more = float(np.var(logs, ddof=1)) - float(np.mean(noise))
    most = (min(K, independent) - 1) * float(np.mean(freedoms)) / 2
    if not orthogonal:
        most = min(most, float(np.mean(freedoms)) + 1)
    freedom, variance = most, math.exp(middle)
    if more > 0:
        free = math.exp(optimize.brentq(lambda x: math.log(_trigamma(math.exp(x)) / more), -30.0, 30.0))
        freedom = min(most, 2 * free)
        variance = math.exp(middle + float(special.psi(free)) - math.log(free))
    found = {}
    for name, one in effects.items():
        d, s2 = one.seeds - 1 + one.lent, one.v_seed * one.seeds
        common = replace(one, v_seed=variance / one.seeds)
        counts = freedom * (1.0 if orthogonal else (common.v_seed / common.variance) ** 2)
        posterior = (counts * variance + d * s2) / (counts + d)
        if counts > 0 and s2 < posterior:
            by = replace(one, v_seed=posterior / one.seeds, lent=one.lent + counts)
            found[name] = replace(one, by=by)
    return found


def _trigamma(x: float) -> float:
    return float(special.zeta(2, x))
