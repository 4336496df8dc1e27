"""Made-up searches: two settings, four candidates per arm, one of them diverged and one not tried."""

from __future__ import annotations

from typing import Any

from bench.planned import Candidate, PlanFile, PlannedSearch, PlannedTrial
from bench.recipe import Choice
from bench.study.file import Range, Tune

TRIED = ((1e-3, "cosine"), (9e-3, "constant"), (2e-4, "constant"), (4e-3, "cosine"))
"""Candidate → learning rate, schedule. The second lies at its range's edge."""
SPACE = {
    "optimizer.lr": Range(low=1e-4, high=1e-2, log=True),
    "schedule.name": Range(choices=("constant", "cosine")),
}


def tuned(world: Any) -> PlanFile:
    """Give every arm of an empty world (tests/worlds.py) a search; returns the plan with them."""
    optimizer, schedule = Choice(name="adam", params={"lr": 1e-3}), Choice(name="constant")
    world.recipes = {
        label: recipe.model_copy(update={"optimizer": optimizer, "schedule": schedule, "augment": ()})
        for label, recipe in world.recipes.items()
    }
    world.extra |= {"tune": Tune(space=SPACE, candidates=len(TRIED))}
    searches = [_search(world, label, place) for place, label in enumerate(world.skills)]
    return world.plan.model_copy(update={"searches": tuple(searches)})


def _search(world: Any, label: str, place: int) -> PlannedSearch:
    candidates = []
    for number, (lr, schedule) in enumerate(TRIED):
        id = f"{place:08x}{number:08x}"
        if number < 3:
            status: dict[str, Any] = {"validation": {"accuracy": 0.5 + 0.1 * number, "nll": 1.0}}
            if number == 2:
                status = {"status": "diverged", "cause": "not finite", "message": "loss is nan"}
            record = world.record(label, 20000, role="tune", **status)
            world.store.write(record.model_copy(update={"id": id}), history=[], predictions={})
        values = {"optimizer.lr": lr, "schedule.name": schedule}
        trial = PlannedTrial(id=id, seed=20000, sets={})
        candidates.append(Candidate(number=number, values=values, trials=(trial,)))
    return PlannedSearch(arm=label, candidates=tuple(candidates), chosen=1)
