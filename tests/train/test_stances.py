"""What torch keeps once per process stays apart for trials that take turns in it."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch.nn import functional as F

from bench.recipe import Recipe
from bench.train import turns as module
from bench.train.device import Settings
from bench.train.stances import Stances
from bench.train.turns import Clock, Turns, finish, together

Make = Callable[..., Recipe]


def drawing(seed: int, times: int) -> Turns[list[float]]:
    torch.manual_seed(seed)
    found = []
    for _ in range(times):
        found.append(F.dropout(torch.rand(8), 0.5).sum().item())
        yield
    return found


def test_each_draws_as_if_alone_and_the_process_goes_on_where_it_was(recipe: Make) -> None:
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    stances = Stances("cpu")
    shared = together([stances.steps(recipe(), drawing(seed, 3 + seed)) for seed in range(3)])
    assert torch.equal(torch.rand(3), expected)
    assert shared == [finish(drawing(seed, 3 + seed)) for seed in range(3)]


def test_each_has_its_own_settings_and_the_process_gets_back_what_it_had(recipe: Make) -> None:
    def looking() -> Turns[list[Settings]]:
        found = []
        for _ in range(2):
            found.append(Settings.present())
            yield
        return found

    before, stances = Settings.present(), Stances("cpu")
    recipes = [recipe(cpu_threads=2), recipe(cpu_threads=1, precision="tf32", deterministic=True)]
    found = together([stances.steps(one, looking()) for one in recipes])
    assert Settings.present() == before
    assert [[s.threads for s in one] for one in found] == [[2, 2], [1, 1]]
    assert [one[0].conv_tf32 for one in found] == [False, True]
    assert [one[0].benchmark for one in found] == [True, False]


@pytest.mark.parametrize("closed", [False, True])
def test_one_that_breaks_or_is_given_up_gives_back_what_the_process_had(closed: bool, recipe: Make) -> None:
    ended: list[bool] = []

    def broken() -> Turns[None]:
        try:
            yield
            raise KeyError
        finally:
            ended.append(True)

    before, stances = Settings.present(), Stances("cpu")
    turns = stances.steps(recipe(cpu_threads=before.threads + 1), broken())
    next(turns)
    assert Settings.present().threads == before.threads + 1, "alone, it stays where it is"
    if closed:
        turns.close()
    else:
        with pytest.raises(KeyError):
            next(turns)
    assert (Settings.present(), ended) == (before, [True])


class Generator:
    """Torch's, of a GPU: what it refers to can be changed for another state, and copied."""

    def __init__(self, state: list[str]) -> None:
        self.state = state

    def graphsafe_get_state(self) -> Generator:
        return Generator(self.state)

    def graphsafe_set_state(self, other: Generator) -> None:
        self.state = other.state

    def clone_state(self) -> Generator:
        return Generator([*self.state, "copy"])


@pytest.mark.parametrize("beside", [False, True])
def test_on_a_gpu_each_has_a_generator_and_beside_others_a_stream(
    beside: bool, recipe: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    default, made = Generator(["process"]), iter("abc")
    stream = ["process's"]
    monkeypatch.setattr(torch.cuda, "default_generators", [default])
    monkeypatch.setattr(torch.cuda, "current_stream", lambda device: stream[0])
    monkeypatch.setattr(torch.cuda, "Stream", lambda device: next(made))
    monkeypatch.setattr(torch.cuda, "set_stream", lambda wanted: stream.__setitem__(0, wanted))

    def looking() -> Turns[list[tuple[str, list[str]]]]:
        found = []
        for _ in range(2):
            found.append((stream[0], default.state))
            yield
        return found

    stances = Stances("cuda", beside=beside)
    one, other = together([stances.steps(recipe(), looking()) for _ in range(2)])
    assert one[0][1] is one[1][1], "the state that a recording moves on is never copied"
    assert one[0][1] is not other[0][1]
    assert [seen[0] for seen in (*one, *other)] == (list("aabb") if beside else ["process's"] * 4)
    assert (stream, default.state) == (["process's"], ["process"])
    (third,) = together([stances.steps(recipe(), looking())])
    assert third[0][0] in ("a", "b", "process's"), "a free stream is taken again"


def test_the_seconds_of_members_add_up_to_what_passed(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [0.0]
    monkeypatch.setattr(module.time, "perf_counter", lambda: now[0])

    def working(seconds: float, times: int) -> Turns[float]:
        clock = Clock()
        begun = clock.now()
        for _ in range(times):
            now[0] += seconds
            yield from clock.pause()
        now[0] += seconds
        return clock.now() - begun

    assert together([working(1.0, 2), working(10.0, 4)]) == [3.0, 50.0]
    assert now[0] == 53.0
