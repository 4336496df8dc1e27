"""Corruption families by name: what a table means by leaving them out, its mistakes, what an arm has seen.

Reads the registries only, so that the study file, keys and reports can ask without images.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

from bench.errors import Mistake, UserError, did_you_mean, shorten
from bench.registry import augmentations, corruptions

if TYPE_CHECKING:
    from bench.recipe import Corrupted, Hidden, Recipe

FEWEST_KINDS = 3
"""Kinds of corruption that ``heavy-mix`` must be able to draw from (docs/method.md)."""
SHOWN = 6
UPSAMPLED = frozenset({"rotate", "zoom"})
"""What upsampling does to the copies that it adds."""


def families_of(corrupted: Corrupted) -> tuple[str, ...]:
    """Families of a corrupted set, sorted: those it names, else all that are bench's own."""
    own = (component.name for component in corruptions if not component.origin)
    return tuple(sorted(set(corrupted.families or own)))


def severities_of(corrupted: Corrupted) -> tuple[int, ...]:
    """Severities of a corrupted set, rising: those it names, else 1 to 5, and 2 to 5 for ``heavy-mix``."""
    default = (1, 2, 3, 4, 5) if corrupted.profile == "micro-c" else (2, 3, 4, 5)
    return tuple(sorted(set(corrupted.severities or default)))


def kinds_of(families: Iterable[str]) -> dict[str, tuple[str, ...]]:
    """Kind of corruption (blur, tone, …) → those of ``families`` that are of it, both sorted."""
    kinds: dict[str, list[str]] = {}
    for family in sorted(families):
        kinds.setdefault(corruptions[family].traits.get("group", family), []).append(family)
    return {kind: tuple(kinds[kind]) for kind in sorted(kinds)}


def problems(hidden: Mapping[str, Hidden], val_shift: Corrupted | None) -> list[Mistake]:
    """What is wrong with the corrupted sets of a study file.

    Families that nobody knows, too few kinds for ``heavy-mix``, and families of ``val_shift`` that a hidden
    set has too: what selects settings may not resemble what judges them.
    """
    tables = {f"[hidden.{name}]": h for name, h in hidden.items() if h.kind == "corrupted"}
    every = tables | ({"[val_shift]": val_shift} if val_shift else {})
    found = [mistake for table, corrupted in every.items() for mistake in _unknown(table, corrupted)]
    if found:
        return found
    found = [mistake for table, corrupted in every.items() for mistake in _too_alike(table, corrupted)]
    if val_shift is not None:
        mine = set(families_of(val_shift))
        for table, corrupted in tables.items():
            if both := sorted(mine & set(families_of(corrupted))):
                shown = ", ".join(both[:SHOWN]) + (", …" if len(both) > SHOWN else "")
                problem = f"{len(both)} of them are in {table} too ({shown}); name others in one of the two"
                written = "" if val_shift.families is None else shorten(list(val_shift.families))
                found.append(Mistake("[val_shift] families", written, problem))
    return found


def _unknown(table: str, corrupted: Corrupted) -> Iterator[Mistake]:
    for number, family in enumerate(corrupted.families or ()):
        if family not in corruptions:
            hint = did_you_mean(family, corruptions.names())
            yield Mistake(f"{table} families[{number}]", shorten(family), f"is not a corruption; {hint}")


def _too_alike(table: str, corrupted: Corrupted) -> Iterator[Mistake]:
    kinds = kinds_of(families_of(corrupted))
    if corrupted.profile == "heavy-mix" and len(kinds) < FEWEST_KINDS:
        every = ", ".join(kinds_of(corruptions.names()))
        problem = f"heavy-mix needs families of at least {FEWEST_KINDS} kinds, these are {', '.join(kinds)}"
        yield Mistake(f"{table} families", shorten(list(corrupted.families or ())), f"{problem} (of {every})")


def fitting(hidden: Corrupted, channels: int) -> tuple[str, ...]:
    """Families that fit the images: gray ones leave out what needs colour.

    channels   1 gray, 3 colour

    Raises UserError where the table names what does not fit.
    """
    families = families_of(hidden)
    colour = [family for family in families if corruptions[family].traits.get("colour")]
    if channels == 3 or not colour:
        return families
    if hidden.families is not None:
        raise UserError(
            f"families: {', '.join(colour)} change colour, these images have one channel; leave them out"
        )
    return tuple(family for family in families if family not in colour)


def refuse_too_many(wanted: int, count: int) -> None:
    """Raise UserError where more images are to be corrupted than there are."""
    if wanted > count:
        raise UserError(f"images = {wanted}: there are {count} to corrupt; give at most as many, or none")


def seen(recipe: Recipe) -> set[str]:
    """Corruption families that an arm also trains with.

    A family is seen when an augmentation does something like it, at whatever strength: rather one family too
    many than a robustness that was only similarity (Mintun et al. 2021).
    """
    done = done_by([choice.model_dump() for choice in recipe.augment])
    if recipe.balance.startswith("upsample"):
        done |= UPSAMPLED
    return {c.name for c in corruptions if done & set(c.traits.get("kin", (c.name,)))}


def done_by(choices: Iterable[str | Mapping[str, Any]]) -> set[str]:
    """What a list of augmentations does to images, in the words of a corruption's ``kin``.

    An augmentation says so where it registers, ``does=("rotate", "hide")`` or a function of its parameters;
    else it does what its name says. One that never happens, ``p = 0``, does nothing.
    """
    done: set[str] = set()
    for choice in choices:
        table = {"name": choice} if isinstance(choice, str) else dict(choice)
        component = augmentations[table.pop("name")]
        given = component.defaults | table
        does = component.traits.get("does", (component.name,))
        words = (does(given) if callable(does) else does) or ()
        if given.get("p") != 0:
            done |= {words} if isinstance(words, str) else set(words)
    return done
