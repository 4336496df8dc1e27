"""``bench new`` and ``bench schema``: help to write a study file."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.errors import UserError
from bench.machine import Machine
from bench.recipe import HIDDEN_NAME, Recipe
from bench.registry import SLOTS, Registry, augmentations, pruners, samplers
from bench.study.file import StudyFile
from bench.study.patch import UNSET
from bench.study.read import PATCHABLE_DATA, RESERVED

TEMPLATES = Path(__file__).parent / "templates"
"""What ``new`` writes, with NAME where the name stands."""
BY_INDEX = {"type": "object", "patternProperties": {r"^\d+": {}}, "additionalProperties": False}
"""``stages.1.train = …`` without quotes."""


def new(name: str, folder: Path, *, component: bool = False) -> Path:
    """Write ``ablations/<name>.toml`` under ``folder`` and return it. Never overwrites.

    component   write an augmentation of that name instead, ``ablations/<name>.py``
    """
    file = _file(name, folder, component=component)
    template = TEMPLATES / ("augmentation.py.txt" if component else "study.toml")
    return _written(file, template.read_text("utf-8").replace("NAME", file.stem), folder)


def suited(name: str, folder: Path, wanted: Wanted, machine: Machine, note: Callable[[str], None]) -> Path:
    """Write a study that suits images, after a look at them. Never overwrites.

    note   told what was seen

    Raises UserError for what is wrong with a source.
    """
    from bench.commands import suited as looking
    from bench.commands import suiting, weights_near

    file = _file(name, folder)
    home = looking.look(wanted.source, machine, file.parent)
    if home.present < 2:
        raise UserError(f"{wanted.source} holds one class; there is nothing to tell apart, two are needed")
    note(f"local: {home}")
    sets: dict[str, looking.Look] = {}
    for written in wanted.hidden:
        called = looking.set_name(written, list(sets))
        sets[called] = looking.look(written, machine, file.parent, external=True)
        note(f"{called}: {sets[called]}")
    note("looking for weights, in [paths] of bench.toml and on the hub")
    device = _device(machine)
    start = weights_near.start(machine, home.channels, device)
    note(f"model: {start.name}, {start.why}")
    suit = suiting.Suit(home, sets, start, device, wanted.upright)
    return _written(file, suiting.text(file.stem, suit), folder)


@dataclass(frozen=True)
class Wanted:
    """What ``bench new --from`` was asked for."""

    source: str
    hidden: Sequence[str] = ()
    upright: bool = False
    """The images have an up."""


def _device(machine: Machine) -> str:
    """``cpu`` or ``cuda``, which trials will run on."""
    import torch

    return "cuda" if machine.device != "cpu" and torch.cuda.is_available() else "cpu"


def _file(name: str, folder: Path, *, component: bool = False) -> Path:
    """Where it goes. Raises UserError for a name that none can have, and where a file is already."""
    what, suffix = ("component", ".py") if component else ("study", ".toml")
    stem = name.removesuffix(suffix)
    if component and stem in augmentations:
        raise UserError(f'"{stem}" is an augmentation already; choose another name')
    if not re.fullmatch(HIDDEN_NAME, stem) or stem.lower() in RESERVED:
        raise UserError(
            f'"{name}" cannot name a {what}; use letters, digits, - and _, and none of {", ".join(RESERVED)}'
        )
    file = folder / "ablations" / f"{stem}{suffix}"
    if file.exists():
        raise UserError(f"{file} is there already; choose another name")
    return file


def _written(file: Path, text: str, folder: Path) -> Path:
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text, "utf-8")
    except OSError as error:
        raise UserError(f"{file} cannot be written: {error.strerror}") from None
    return file.relative_to(folder)


def schema() -> str:
    """JSON Schema (draft 2020-12) of a study file, every component and its parameters included."""
    root = StudyFile.model_json_schema()
    recipe = Recipe.model_json_schema()
    definitions = root["$defs"] | recipe.pop("$defs")
    properties = recipe["properties"]
    for slot, registry in SLOTS.items():
        properties[slot] = _choice(registry)
    definitions["Choice"] = _choice(augmentations)  # also where an augmentation is made of others
    properties["augment"] = {"type": "array", "items": {"$ref": "#/$defs/Choice"}}
    definitions["ClaimTable"]["anyOf"] = [{"required": ["better"]}, {"required": ["effect"]}]
    definitions["Tune"]["properties"] |= {"sampler": _choice(samplers), "pruner": _choice(pruners)}
    for key in ("augment", "stages"):
        properties[key] = {"anyOf": [properties[key], BY_INDEX]}
    data = definitions["Data"]["properties"]
    _several(root, definitions)
    arm = dict(properties) | {"data": _closed({key: data[key] for key in PATCHABLE_DATA})}
    arm[UNSET] = {"type": "array", "items": {"type": "string"}, "description": "Keys back at their defaults."}
    dotted: dict[str, Any] = {r"^[a-z_]+\.": {}}
    definitions["RecipePatch"] = _closed(arm) | {
        "description": 'What an arm changes; dotted keys reach inside, as in "stages.1.train".',
        "patternProperties": dotted,
    }
    definitions["RecipeTable"] = _closed(dict(properties)) | {"patternProperties": dotted}
    root["$defs"] = definitions
    root["properties"]["recipe"] = {"$ref": "#/$defs/RecipeTable"}
    root["properties"]["arms"] = {"type": "object", "additionalProperties": {"$ref": "#/$defs/RecipePatch"}}
    root["properties"]["factors"] = {"type": "object"}
    root |= {"$schema": "https://json-schema.org/draft/2020-12/schema", "title": "bench study"}
    return json.dumps(root, indent=1)


def _several(root: dict[str, Any], definitions: dict[str, Any]) -> None:
    """``[data]`` with a source, or ``[datasets.NAME]`` tables that say what it does not."""
    data = definitions["Data"]
    hidden = {"hidden": root["properties"]["hidden"]}
    blocks = {
        "type": "object",
        "minProperties": 1,
        "additionalProperties": _closed(data["properties"] | hidden),
    }
    root["properties"]["datasets"] = blocks
    alone = {"required": ["data"], "properties": {"data": {"required": data.pop("required")}}}
    root["required"].remove("data")
    root["anyOf"] = [alone, {"required": ["datasets"]}]


def _closed(properties: dict[str, Any]) -> dict[str, Any]:
    return {"type": "object", "additionalProperties": False, "properties": properties}


def _choice(registry: Registry) -> dict[str, Any]:
    """A component of one kind: its name, or a table with its name and parameters."""
    options: list[dict[str, Any]] = [{"enum": registry.names()}]
    for component in registry:
        parameters = component.schema.model_json_schema()
        properties = {"name": {"const": component.name, "description": component.summary}} | parameters[
            "properties"
        ]
        options.append(_closed(properties))
    if registry.families:
        name = {"type": "string", "pattern": rf"^({'|'.join(registry.families)}):\w+$"}
        options += [name, {"type": "object", "properties": {"name": name}, "required": ["name"]}]
    if registry.fallback:  # any other name is one of the fallback's
        options[0] = {"type": "string"}
        named = registry[registry.fallback].schema.model_json_schema()["properties"]
        others = {"name": {"type": "string", "not": {"enum": registry.names()}}}
        options.append(_closed(others | named))
    # `{ lr = 1e-4 }` without a name keeps the recipe's component
    tables = [option["properties"] for option in options if "properties" in option]
    anything = {key: value for table in tables for key, value in table.items() if key != "name"}
    return {"anyOf": [*options, _closed(anything)]}
