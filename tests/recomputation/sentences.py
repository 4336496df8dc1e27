"""What a finding's sentence has to say."""

import numpy as np

from . import corrupted, screens
from .beside import Beside
from .columns import chance
from .comparisons import Comparison, difference
from .family import Verdict
from .outlook import new_runs
from .printed import Line, Text, text
from .records import LOCAL, Study


def finding(study: Study, beside: Beside, found: Verdict, indent: str = "") -> Line:
    """A verdict in a sentence."""
    one = found.comparison
    dagger = "†" if found.dagger else ""
    start = f"{indent}- **{one.arm}: {found.word}**{dagger} on *{one.metric}* against {one.reference}"
    texts: list[Text | str] = ["if it converges, "] if found.if_converges else []
    over = "fold" if study.folds else "seed"
    if one.effect is not None:
        texts += [_shown(found, study.mark), text(f", {{}} {over}{'s' * (one.seeds != 1)}", one.seeds)]
    if found.detail:
        texts.append(found.detail[0].upper() + found.detail[1:])
    if found.shrunk is not None:
        early = "Decided at an early look, where effects seem larger than they are: "
        ratio = one.unit == "ratio"
        unit = " points" if one.unit == "points" else ""
        value = float(np.exp(found.shrunk)) if ratio else found.shrunk * (100 if unit else 1)
        texts.append(text(f"{early}{'×' * ratio}{{}}{unit} when drawn back", value))
    if study.has("prediction"):
        texts += _new_runs(study, found, beside.family.comparison((one.arm, one.reference, one.metric)))
    kind = one.metric.partition(".")[0]
    if kind in study.file.get("hidden", {}) and not one.withheld:
        pair = (one.arm, one.reference, f"{LOCAL}.accuracy")
        local = screens.compare(study, pair) or difference(study, one.arm, one.reference, LOCAL)
        if not any(local.diverged):
            texts += _clause("Locally ", local, beside.dagger((one.arm, one.reference), LOCAL, local))
        if not any(one.diverged) and one.metric.endswith(".accuracy"):
            texts += _unseen(study, beside, one)
    return Line(start, texts)


def _clause(start: str, one: Comparison, dagger: bool) -> list[Text | str]:
    """A further difference in accuracy that a sentence tells."""
    if one.effect is None:
        return []
    if one.few:
        return [text(start + "{} (too few errors)", 100 * one.effect.mean)]
    ends = (one.effect.mean, *one.effect.ends())
    return [text(start + "{} [{}, {}]" + "†" * dagger + ".", *(100 * end for end in ends))]


def _unseen(study: Study, beside: Beside, one: Comparison) -> list[Text | str]:
    """What is left of a difference on the families of corruption that neither arm trains with."""
    name = one.metric.partition(".")[0]
    found = corrupted.unseen(study, one.arm, one.reference, name)
    if found is None:
        return []
    families, of, rest = found
    if not families:
        return [text("At least one of the two trains with something like each of its {} families", of)]
    counted = text("On the {} of {} families that neither trains with", families, of)
    dagger = beside.dagger((one.arm, one.reference), name, rest, new=True)
    return [counted, *_clause(": ", rest, dagger)] if rest else [counted]


def _new_runs(study: Study, verdict: Verdict, one: Comparison) -> list[Text | str]:
    """What single runs would differ by, where that is told."""
    found = new_runs(study, one, verdict.look)
    if isinstance(found, str):
        return []
    half, mean, better = found
    times = 100 if one.unit == "points" else 1
    ends = [times * (mean - half), times * (mean + half)]
    if one.metric.startswith("cost."):
        ends = [float(np.exp(mean - half)), float(np.exp(mean + half))]
    likely = chance({"better": better})
    said_so = text(f"better with probability {likely} %") if isinstance(likely, str) else None
    return [
        text("One new run of each: [{}, {}]", *ends),
        said_so or text("better with probability {} %", 100 * better),
    ]


def _shown(found: Verdict, mark: str) -> Text:
    one = found.comparison
    assert one.effect is not None
    times = 100 if one.unit == "points" else 1
    if one.few:
        return text(f"**{{}}** (too few errors) {one.unit}{mark}", times * one.effect.mean)
    values = (one.effect.mean, *one.effect.ends(found.level))
    if one.unit == "ratio":
        return text("×{} [{}, {}]" + mark, *(float(np.exp(value)) for value in values))
    return text(f"**{{}}** [{{}}, {{}}] {one.unit}{mark}", *(times * value for value in values))
