"""Images of another laboratory in a study's classes: what their labels and names tell, decoded or not."""

from __future__ import annotations

import numpy as np

from bench.data.classes import FROM_ONE, counterparts
from bench.data.groups import groups_of
from bench.data.images import Labelled, Labels
from bench.data.reader import Reader, open_source
from bench.errors import UserError, did_you_mean, shorten
from bench.plan import ScoredSet
from bench.recipe import Data, External
from bench.registry import sources

DROPPED = -1
"""Label of an image of a class that is left out."""
TRANSLATE = (
    '    translate them: classes = { "THEIR NAME" = "OUR NAME" }, or leave them out: '
    'drop_classes = ["THEIR NAME"]'
)


def undecoded(scored: ScoredSet, hidden: External, local: Reader, data: Data) -> Labels:
    """Labels (N,) that an external set will be scored with, told without decoding an image of it.

    local   the local source
    Raises UserError for all that is wrong with the set but broken images and images that are local.
    """
    if scored.source is None:
        raise ValueError(f"the external set {scored.name} has a source")
    foreign = open_source(as_written(hidden, data), scored.source)
    if hidden.groups is not None:
        groups_of(foreign, hidden.groups, hidden.source)
    labels = labels_of(scored.name, hidden, foreign, local, data)
    refuse_colour(scored.name, foreign.channels, local.channels, data)
    kept: Labels = labels[labels != DROPPED]
    return kept


def labels_of(name: str, hidden: External, foreign: Labelled, local: Labelled, data: Data) -> Labels:
    """Labels (N,) of a foreign source in terms of the study's classes, ``DROPPED`` for what is left out."""
    where = f"[hidden.{name}]"
    from_one = sources.numbered(hidden.source) and int(foreign.labels.min()) == 1
    advice = f"    {FROM_ONE}" if from_one else TRANSLATE
    names = counterparts_of(hidden, foreign, local, data)
    labels = _translate(where, foreign, local.classes, names, advice)
    if (labels == DROPPED).all():
        raise UserError(f"{where} has no image left: drop_classes names all of its classes; leave some")
    return labels


def refuse_colour(name: str, channels: int, ours: int, data: Data) -> None:
    """Raise UserError for colour images where the study has gray ones; the other way round is fine."""
    if channels > ours:
        raise UserError(
            f"[hidden.{name}] holds colour images, {shorten(data.source)} gray ones; convert them to gray"
        )


def as_written(hidden: External, data: Data) -> Data:
    """How a foreign source is opened: as the local one, but with its own classes, all of them."""
    changed = {"source": hidden.source, "classes": None, "drop_classes": (), "groups": hidden.groups}
    return data.model_copy(update=changed)


def counterparts_of(
    hidden: External, foreign: Labelled, local: Labelled, data: Data
) -> dict[str, str | None]:
    """Foreign class name → the study's, None for one that is dropped; one without counterpart is missing."""
    numbered, at_home = sources.numbered(hidden.source), sources.numbered(data.source)
    same = counterparts(foreign.classes, local.classes, numbered=numbered, ours_numbered=at_home)
    return {**same, **(hidden.classes or {}), **dict.fromkeys(hidden.drop_classes)}


def _translate(
    where: str, foreign: Labelled, classes: tuple[str, ...], names: dict[str, str | None], advice: str
) -> Labels:
    """Labels (N,) of a foreign source in terms of a study's ``classes``; classes that it lacks are fine.

    names   as ``counterparts_of`` gives them
    advice  what to do where they do not fit
    """
    number = {name: k for k, name in enumerate(classes)}
    problems = [
        f'  "{name}" is not one of its classes; {did_you_mean(name, foreign.classes)}'
        for name in names
        if name not in foreign.classes
    ]
    table = np.full(len(foreign.classes), DROPPED, dtype=np.int64)
    # What both have is taken: another class is no misspelling of it.
    free = [name for name in classes if name not in names.values()]
    for k in map(int, np.unique(foreign.labels)):
        target = names.get(foreign.classes[k], foreign.classes[k])
        if target is None or target in number:
            table[k] = DROPPED if target is None else number[target]
            continue
        hint = did_you_mean(target, free) if free else "the study has none that these lack"
        problems.append(f'  "{target}" is not a class of the study; {hint}')
    if problems:
        raise UserError(
            f"{where} classes do not fit the study, which has {shorten(list(classes), 200)}\n"
            + "\n".join([*problems, advice])
        )
    return table[foreign.labels]
