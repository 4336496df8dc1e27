"""Gates of the command line: about what a study declares, so that nobody looks for one that holds."""

from __future__ import annotations

from bench.errors import UserError, shorten
from bench.judge.family import family_keys, mirror
from bench.judge.findings import LOCAL
from bench.plan import TEST
from bench.study.gates import Gate, Known, parse
from bench.study.metric import metric_problem
from bench.study.read import Study


def further_gate(text: str, study: Study) -> Gate:
    """A gate that is not in the study's file.

    Raises UserError for what it cannot mean, and for a comparison that the study does not declare.
    """
    labels = [arm.label for arm in study.arms]
    sets = [LOCAL if name == TEST else name for name in study.sets]
    known = Known(labels, study.baseline, study.primary, lambda metric: metric_problem(metric, sets))
    try:
        gate = parse(text, known)
    except ValueError as error:
        raise UserError(f"--gate {shorten(text, 200)}: {error}") from None
    keys = family_keys(study)
    if gate.key in keys:
        return gate
    other = "  (the other way round is: name the other arm)" if mirror(gate.key) in keys else ""
    raise UserError(
        f"--gate {shorten(text, 200)}: {study.name} does not declare {gate.arm} against {gate.reference} on "
        f"{gate.metric}{other}\n"
        f"    write it into the study before the first score: gates = [{shorten(text, 200)}]"
    )
