"""A recipe tree → a Recipe with every default filled in, or everything that is wrong with it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from pydantic import ValidationError

from bench.errors import did_you_mean, shorten
from bench.recipe import Choice, Recipe
from bench.registry import SLOTS, Registry, augmentations
from bench.study import command
from bench.study.patch import DEFAULTS, Tree, apply, normalise
from bench.study.wording import Problem, problems_of


def base_tree(recipe: Mapping[str, Any]) -> Tree:
    """``[recipe]`` over the defaults, so that arms can patch what it leaves out. Raises PatchError."""
    return apply(DEFAULTS, recipe)


def resolve(tree: Mapping[str, Any]) -> tuple[Recipe | None, list[Problem]]:
    """The checked recipe, or None and all its problems, located inside the tree."""
    filled = normalise(tree)
    problems: list[Problem] = []
    if filled.get("command"):
        filled.setdefault("model", {"name": "elsewhere"})  # whatever it trains
    for slot, registry in SLOTS.items():
        if slot in filled:
            filled[slot] = _component(registry, filled[slot], (slot,), problems)
    if isinstance(filled.get("augment"), list):
        items = enumerate(filled["augment"])
        filled["augment"] = [_component(augmentations, item, ("augment", i), problems) for i, item in items]
    recipe: Recipe | None = None
    try:
        recipe = Recipe.model_validate(filled)
    except ValidationError as error:
        known = {problem.location for problem in problems}
        problems += [p for p in problems_of(error, filled, Recipe) if p.location not in known]
    if recipe is not None:
        problems += _rules(recipe)
    return (None if problems else recipe), problems


_STAND_IN = {"name": "-"}
"""Takes a broken component's place, so that the rest of the recipe is still checked."""


def _component(registry: Registry, value: Any, where: tuple[str | int, ...], problems: list[Problem]) -> Any:
    """``value`` with its parameters' defaults filled in; what is wrong goes to ``problems``."""
    if not isinstance(value, dict) or not isinstance(value.get("name"), str):
        problem = f"must be the name of {_a(registry.kind)} or a table with a name"
        problems.append(Problem(where, shorten(value), problem))
        return _STAND_IN
    name = value["name"]
    if name not in registry:
        hint = f"{did_you_mean(name, registry.names())}   (bench list {registry.kind}s)"
        problems.append(Problem(where, shorten(name), f"no {registry.kind} of that name; {hint}"))
        return _STAND_IN
    given = {key: item for key, item in value.items() if key != "name"}
    component = registry[name]
    try:
        return {"name": name, **component.parameters(given)}
    except ValidationError as error:
        problems += [p.under(*where) for p in problems_of(error, given, component.schema)]
        return _STAND_IN


def _a(word: str) -> str:
    return f"an {word}" if word[0] in "aeio" else f"a {word}"


def _rules(recipe: Recipe) -> list[Problem]:
    """What is wrong between fields that are each right."""
    problems = list(_commanded(recipe))
    if recipe.augment_mode == "static":
        for i, choice in enumerate(recipe.augment):
            mixing = [part.name for part in with_parts([choice]) if _mixes_images(part)]
            if mixing:
                text = "mixes images anew on every batch, so it cannot be static; leave it out or use dynamic"
                problems.append(Problem(("augment", i), shorten(mixing[0]), text))
    problems += _views(recipe)
    if all(stage.train == "none" for stage in recipe.stages):
        problems.append(Problem(("stages",), "", 'every stage is "none": nothing would be trained'))
    return problems


def _commanded(recipe: Recipe) -> Iterator[Problem]:
    """What is wrong with the command that trains, and with what only goes with one."""
    if recipe.command:
        texts = command.problems(recipe.command, recipe.model_dump(mode="json"))
        yield from (Problem(("command",), shorten(recipe.command), text) for text in texts)
    elif recipe.settings:
        text = "is what a command alone knows; leave it out, or give a command"
        yield Problem(("settings",), shorten(recipe.settings), text)


def _views(recipe: Recipe) -> Iterator[Problem]:
    """What does not go together with several views of each image, compared by the loss."""
    for i, choice in enumerate(recipe.augment):
        for part in with_parts([choice]):
            key = _views_key(part)
            if key is None:
                continue
            mixing = [p.name for p in with_parts(recipe.augment) if _mixes_images(p)]
            text = "compares views of one image with each other, "
            if mixing:
                text += f"which {mixing[0]} would mix with others; leave one of the two out"
            elif recipe.augment_mode == "static":
                text += "drawn anew on every batch, so it cannot be static; use dynamic"
            elif part is not choice:
                text += f"so it cannot stand inside {choice.name}; give it last in augment"
            elif i < len(recipe.augment) - 1:
                text += f"so it must be last in augment; {recipe.augment[i + 1].name} comes after it"
            else:
                continue
            yield Problem(("augment", i, key) if part is choice else ("augment", i), "true", text)


def _views_key(choice: Choice) -> str | None:
    """The parameter that makes ``choice`` give several views of each image, if it is on."""
    keys = _trait(choice, "views") or {}
    return next((key for key in keys if choice.params.get(key)), None)


def _mixes_images(choice: Choice) -> bool:
    return bool(_trait(choice, "mixes_images"))


def _trait(choice: Choice, name: str) -> Any:
    """A trait of the augmentation; None also for the stand-in of a broken one."""
    return augmentations[choice.name].traits.get(name) if choice.name in augmentations else None


def with_parts(choices: Iterable[Choice]) -> Iterator[Choice]:
    """Augmentations and those that they are made of (``chain``, ``one-of``)."""
    for choice in choices:
        yield choice
        lists = (value for value in choice.params.values() if isinstance(value, list))
        parts = (item for items in lists for item in items if isinstance(item, str | dict))
        yield from with_parts(Choice.model_validate(part) for part in parts if _names_augmentation(part))


def _names_augmentation(part: str | dict[str, Any]) -> bool:
    return (part if isinstance(part, str) else part.get("name")) in augmentations
