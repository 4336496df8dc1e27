"""What images are, everywhere: the keys made of their content and of how it is used.

No numpy and instant when warm, because ``bench plan`` needs it.
"""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from bench.corruptions import CORRUPTIONS_VERSION
from bench.corruptions.families import families_of, severities_of
from bench.data.content import Asked, by_content
from bench.errors import UserError, shorten
from bench.identity import identity, later
from bench.machine import Machine
from bench.plan import Replicate, Source, fingerprint
from bench.recipe import SOURCE_KEYS, Corrupted, Data, External, Hidden, Split
from bench.registry import Component, corruptions, sources

SPLIT_VERSION = 1
"""Raised when ``outliers`` or ``split`` would put an image elsewhere; part of every key below."""
PINNED = ("bloodmnist", "synthetic")
"""Sources whose images are known beforehand: no near-copies come in bursts there, so nothing need be read."""

NOT_WHICH: tuple[str, ...] = ("fit", "fill", "val_images")
"""Keys of ``[data]``, added since version 1, that leave open which images are test images."""


def locate(written: str, data: Data, machine: Machine, relative_to: Path) -> Source:
    """Where ``written`` (``folder:PATH``, ``npz:PATH``, ``bloodmnist`` …) is, and its fingerprint.

    data         whose keys the source may take; ``size_px`` chooses BloodMNIST's file
    relative_to  folder that a relative PATH starts from
    Raises UserError when PATH is missing, of the wrong kind, unreadable or no such source.
    """
    component, _ = sources.named(written)
    asked = Asked(written, component.traits.get("path"), data, machine, relative_to)
    try:
        found = component.traits.get("locate", by_content)(asked)
    except PermissionError as error:
        raise UserError(
            f"{shorten(written, 200)}: {error.filename} may not be read; change its rights"
        ) from None
    _check_signature(component, found.path)
    known_by = _known_by(component, found.content, data)
    counts = (found.images, found.classes)
    seen = found.seen
    if seen is not None:
        images = {name: count for name, count in seen.images.items() if name not in data.drop_classes}
        counts = sum(images.values()), len(images)
        nothing_lost = {} if data.fit == "crop" else {"cropped": 0.0, "oblong": 0}
        seen = seen.model_copy(update={"images": images, **nothing_lost})
    return Source(component.name, found.path, known_by, found.official, *counts, seen)


def _check_signature(component: Component, path: Path | None) -> None:
    """Raise UserError for a source with parameters that nothing can be put in."""
    allowed = ({"path"} if path else set()) | {"size_px", "groups", *SOURCE_KEYS}
    unknown = sorted(set(component.takes) - allowed)
    if unknown:
        raise UserError(
            f"the source {component.name} has the parameter {shorten(unknown[0])}\n"
            f'    it may have {", ".join(sorted(allowed))}; path goes with register(…, path = "file")'
        )


def _known_by(component: Component, content: str, data: Data) -> str:
    """``content`` alone, unless another version or a key that the source takes makes other images of it.

    ``classes``, ``size_px`` and ``groups`` are no part of it: they stand beside it in every key.
    """
    taken = [key for key in SOURCE_KEYS if key in component.takes and key != "classes"]
    keys = {key: value for key, value in identity(data).items() if key in (*taken, "drop_classes")}
    version = _version(component)
    if not content:
        return fingerprint({component.name: version, **keys})
    given = {key: value for key, value in keys.items() if value != Data.model_fields[key].default}
    if version == 1 and not given:
        return content
    return fingerprint({component.name: version, "content": content, **given})


def effective_split(source: Source, data: Data) -> Split | Literal["official"]:
    """The split a study means: what it says, else the source's own, else 80/10/10.

    Raises UserError for "official" where the source has no split of its own.
    """
    if isinstance(data.split, Split):
        return data.split
    if source.official:
        return "official"
    if data.split == "official":
        raise UserError(
            f'[data] split = "official": {shorten(data.source, 200)} has no split of its own\n'
            "    leave split out, or give shares: { train = 0.8, val = 0.1, test = 0.1 }"
        )
    return Split()


def data_fingerprint(source: Source, data: Data, *, in_bursts: bool = False) -> str:
    """Identity of the images an arm trains on, apart from its seed: part of every trial's id.

    in_bursts  near-copies make it matter that sides are filled by images; where not, they are as they were
    """
    split = effective_split(source, data)
    beside = {key: value for key, value in identity(data).items() if key not in SOURCE_KEYS}
    images = beside | {
        "classes": data.classes,
        "source": source.fingerprint,
        "split": split if isinstance(split, str) else identity(split),
        "version": SPLIT_VERSION,
    }
    return fingerprint(images | _filling(in_bursts))


def _filling(in_bursts: bool) -> dict[str, object]:
    """How sides are filled, where that is another way than version 1 had."""
    return {"filled by": "images"} if in_bursts else {}


def test_key(
    source: Source,
    data: Data,
    replicate: Replicate,
    *,
    in_bursts: bool = False,  # noqa: PT028 - not a test
) -> str:
    """Key of the local test set: it depends on what chooses test images and on nothing else.

    Outliers, limit, size, class names and the shares of training and validation do not: the images stay. Of a
    key added since, ``NOT_WHICH`` says so.
    """
    payload: dict[str, object] = {"set": "test", "source": source.fingerprint, "version": SPLIT_VERSION}
    payload |= {key: value for key, value in later(data).items() if key not in NOT_WHICH}
    payload |= _filling(in_bursts)
    split = effective_split(source, data)
    if replicate.fold is not None:
        payload |= {"fold": replicate.fold, "folds": replicate.folds, "split_seed": data.split_seed}
    elif isinstance(split, Split):
        payload |= {"test": split.test, "split_seed": data.split_seed}
    else:
        payload["test"] = "official"
    return fingerprint(payload)


test_key.__test__ = False  # type: ignore[attr-defined]  # pytest takes the name for a test's


def hidden_key(hidden: Hidden, source: Source | None, test_key: str) -> str:
    """Key of a hidden set: of its images (external), of test images and corruption, or of the drawing.

    source    where an external set is; not used for the other kinds
    test_key  key of the local test set that a corrupted set is made of
    """
    if isinstance(hidden, External):
        if source is None:
            raise ValueError(f"{hidden.source} is an external hidden set: it has a source")
        images = {"set": "external", "source": source.fingerprint, "classes": hidden.classes or {}}
        return fingerprint(images | later(hidden))
    if isinstance(hidden, Corrupted):
        return fingerprint(
            {
                "set": {k: v for k, v in identity(hidden).items() if k not in ("families", "severities")},
                "families": {family: _version(corruptions[family]) for family in families_of(hidden)},
                "severities": severities_of(hidden),
                "version": CORRUPTIONS_VERSION,
                "test": test_key,
            }
        )
    from bench.data.synthetic import draw as synthetic

    return fingerprint({"set": identity(hidden), "version": synthetic.VERSION})


def _version(component: Component) -> int | str:
    """What tells a component's behaviour apart from that of others of its name."""
    return f"{component.origin} {component.version}" if component.origin else component.version
