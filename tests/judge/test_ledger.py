from dataclasses import replace
from typing import Any

import pytest

from bench.judge.findings import Effect
from bench.judge.ledger import _order, _settled
from bench.judge.searched import TunedArm
from bench.planned import Candidate
from bench.tune.candidates import Standing


def search(*values: float | str) -> list[Standing]:
    """Candidates that finished with these values, or ended in these states."""
    found = []
    for number, value in enumerate(values):
        candidate = Candidate(number=number, values={"optimizer.lr": 10.0**-number}, trials=())
        if isinstance(value, str):
            found.append(Standing(candidate, value))  # type: ignore[arg-type]
        else:
            found.append(Standing(candidate, "done", value, (value,)))
    return found


def test_half_the_candidates_order_the_arms_otherwise():
    found = {"a": search(0.6, 0.5, 0.5, 0.5), "b": search(0.5, 0.4, 0.7, 0.5)}
    assert _order(found, "val.accuracy") == ("a", "b")
    assert not _settled(found, "val.accuracy")


def test_the_same_order_counts_only_where_other_candidates_could_have_changed_it():
    could = {"a": search(0.6, 0.5, 0.5), "b": search(0.5, 0.4, 0.3)}
    assert _settled(could, "val.accuracy")
    could_not = could | {"b": search(0.5, "diverged", "failed", "pruned")}
    assert not _settled(could_not, "val.accuracy")
    assert _order(could_not, "val.accuracy") is None
    twice = search(0.5, 0.5)
    twice[1] = replace(twice[1], candidate=twice[0].candidate.model_copy(update={"number": 1}))
    assert not _settled(could | {"b": twice}, "val.accuracy"), "it repeats the first"


@pytest.mark.parametrize(
    ("own", "shared", "turned"),
    [
        (Effect(2, 1, 3), Effect(1, -1, 3), True),
        (Effect(2, 1, 3), Effect(-2, -3, -1), True),
        (Effect(2, 1, 3), Effect(5, 4, 6), False),
        (Effect(0, -1, 1), Effect(1, -1, 3), False),
        (Effect(2, 1, 3), None, False),
    ],
)
def test_an_effect_that_another_choice_of_settings_turns_is_told(own: Any, shared: Any, turned: bool):
    fields: dict[str, Any] = dict.fromkeys(TunedArm.__dataclass_fields__) | {"own": own, "shared": shared}
    assert TunedArm(**fields).turned is turned
