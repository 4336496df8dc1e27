"""What a finding's sentence has to say."""

import numpy as np

from .columns import chance
from .comparisons import Comparison, difference
from .family import Verdict
from .formulas import Effect
from .outlook import new_runs
from .printed import Line, Text, text
from .records import LOCAL, Study


def finding(study: Study, found: Verdict, indent: str = "") -> Line:
    """A verdict in a sentence."""
    one = found.comparison
    dagger = "†" if found.dagger else ""
    start = f"{indent}- **{one.arm}: {found.word}**{dagger} on *{one.metric}* against {one.reference}"
    texts: list[Text | str] = []
    if one.effect is not None:
        texts += [_shown(one.metric, one.effect), text(", {} seeds", one.seeds)]
    if found.detail:
        texts.append(found.detail[0].upper() + found.detail[1:] if one.effect else found.detail[1:])
    if study.has("prediction"):
        texts += _new_runs(study, one)
    kind = one.metric.partition(".")[0]
    if kind in study.file.get("hidden", {}) and one.metric.endswith(".accuracy"):
        local = difference(study, one.arm, one.reference, LOCAL)
        if local is not None:
            texts.append(text("Locally {} [{}, {}]", *(100 * x for x in (local.mean, local.low, local.high))))
    return Line(start, texts)


def _new_runs(study: Study, one: Comparison) -> list[Text | str]:
    """What single runs would differ by, where that is told."""
    found = new_runs(study, one)
    if isinstance(found, str):
        return []
    half, mean, better = found
    ends = [100 * (mean - half), 100 * (mean + half)]
    if one.metric.startswith("cost."):
        ends = [float(np.exp(mean - half)), float(np.exp(mean + half))]
    likely = chance({"better": better})
    said_so = text(f"better with probability {likely} %") if isinstance(likely, str) else None
    return [
        text("One new run of each: [{}, {}]", *ends),
        said_so or text("better with probability {} %", 100 * better),
    ]


def _shown(metric: str, effect: Effect) -> Text:
    values = (effect.mean, effect.low, effect.high)
    if metric.startswith("cost."):
        return text("×{} [{}, {}]", *(float(np.exp(value)) for value in values))
    return text("**{}** [{}, {}] points", *(100 * value for value in values))
