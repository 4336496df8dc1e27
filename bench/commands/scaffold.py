"""``bench new`` and ``bench schema``: help to write a study file."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

from bench.errors import UserError
from bench.recipe import HIDDEN_NAME, Recipe
from bench.registry import SLOTS, Registry, augmentations, pruners, samplers
from bench.study.file import StudyFile
from bench.study.patch import UNSET
from bench.study.read import PATCHABLE_DATA, RESERVED

TEMPLATE = """\
# {name}: one question, one file. `bench plan` shows what it would train, `bench run` trains it.
# Every key: docs/study-format.md; every component: `bench list augmentations`, `bench list models`, …
question = "Does RandAugment help, on the local and on the hidden test set?"
baseline = "none"        # the arm that the others are measured against
seeds    = 3             # replicates of every arm, paired: seed 1 means the same split and order in each

[data]
source  = "synthetic"    # drawn on the spot; or "bloodmnist", "folder:PATH" (class folders), "npz:PATH"
size_px = 32

[hidden.other-lab]       # any number of hidden test sets, scored once, after training
kind = "synthetic"       # for your own images: kind = "external", source = "folder:PATH"

[recipe]                 # every arm starts from this; what is left out has a default
model      = "custom_cnn"
optimizer  = {{ name = "adam", lr = 1e-3 }}
batch_size = 64
stages     = [{{ train = "all", epochs = 6, patience = 3 }}]

[arms]                   # each arm says only what it changes
none        = {{ augment = [] }}
flips       = {{ augment = ["flip"] }}
randaugment = {{ augment = ["flip", "randaugment"] }}

[[claims]]               # judged in the report: supported, refuted or inconclusive
says   = "RandAugment helps on the other laboratory's images"
better = "randaugment"
than   = "none"
metric = "other-lab.accuracy"
"""

COMPONENT = '''\
"""An augmentation of our own. In a study of this folder:

    uses = ["{file}"]                         # above the first [table]

    [arms]
    {name} = {{ augment = ["flip", {{ name = "{name}", p = 0.5 }}] }}

`bench plan STUDY` checks it, `bench data preview STUDY` shows what it does to images, `bench run STUDY`
trains with it. When this file changes, trials that use it are trained anew. docs/add-a-component.md shows
the other kinds of component.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

import numpy as np
from annotated_types import Interval

from bench.augment.base import Augmentation, PerImage, Probability, Space, Step, chosen
from bench.registry import augmentations

if TYPE_CHECKING:
    import torch


# `does` says what it does to an image, in the words by which corruptions tell their like: a hidden set of
# corrupted images counts "occlusion" as seen by arms that hide something. Left out: what its name says.
@augmentations.register("{name}", does=("hide",))
def stripe(width: Annotated[float, Interval(gt=0, le=1)] = 0.1, p: Probability = 0.5) -> Augmentation:
    """Black out a horizontal stripe.

    width   share of the image's height, above 0, at most 1
    p       probability for each image, 0 to 1
    """
    return Stripe(width, p)  # the parameters above, with these types and bounds, are what a study may set


@dataclass(frozen=True)
class Stripe:
    """Prepared once for images of one size, then called for every batch."""

    width: float
    p: float

    def prepare(self, space: Space) -> Step:
        """Draw on the host, compute on the device; many batches may run at once."""
        size_px = space.size_px

        def draw(rng: np.random.Generator, count: int) -> list[np.ndarray]:
            """What is random, one row per image, from the trial's own generator and from nothing else."""
            width = round(self.width * size_px) * chosen(rng, self.p, count)
            return [rng.integers(0, size_px, count), width]

        def run(images: torch.Tensor, drawn: Sequence[np.ndarray]) -> torch.Tensor:
            """Images (B, C, H, W) float32 in [0, 1], on the device, and their rows → the same shape."""
            import torch

            from bench.augment.transfer import to_device

            top, width = (rows.view(-1, 1, 1, 1) for rows in to_device(drawn, images.device))
            row = torch.arange(size_px, device=images.device).view(1, 1, -1, 1)
            return images.masked_fill((row >= top) & (row < top + width), 0.0)

        return PerImage(draw, run)
'''

BY_INDEX = {"type": "object", "patternProperties": {r"^\d+": {}}, "additionalProperties": False}
"""``stages.1.train = …`` without quotes."""


def new(name: str, folder: Path, *, component: bool = False) -> Path:
    """Write ``ablations/<name>.toml`` under ``folder`` and return it. Never overwrites.

    component   write an augmentation of that name instead, ``ablations/<name>.py``
    """
    what, suffix, template = ("component", ".py", COMPONENT) if component else ("study", ".toml", TEMPLATE)
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
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(template.format(name=stem, file=file.name), "utf-8")
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
    definitions["Tune"]["properties"] |= {"sampler": _choice(samplers), "pruner": _choice(pruners)}
    for key in ("augment", "stages"):
        properties[key] = {"anyOf": [properties[key], BY_INDEX]}
    data = definitions["Data"]["properties"]
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
