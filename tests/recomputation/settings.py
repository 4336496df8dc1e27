"""Settings of recipes and data as a report writes them, and which corruptions they are like."""

from typing import Any

from .records import Study

NOTHING = "–"

KINDS = {
    "blur": ("defocus", "motion"),
    "colour": ("hue", "saturation", "stain"),
    "digital": ("jpeg", "pixelate"),
    "geometry": ("crop", "rotation", "shift", "zoom"),
    "marks": ("bubbles", "occlusion", "stain-deposit"),
    "noise": ("noise",),
    "tone": ("brightness-down", "brightness-up", "contrast-down", "contrast-up", "gamma", "vignette"),
}
TONES = ("brightness-down", "brightness-up", "contrast-down", "contrast-up", "gamma")
STANDARD = (*TONES, "saturation", "stain", "crop", "rotation", "shift")
ALIKE = {
    "randaugment": STANDARD,
    "trivialaugment": STANDARD,
    "augmix": ("contrast-down", "contrast-up", "crop", "gamma", "rotation", "shift"),
    "colour-jitter": (*TONES, "hue", "saturation", "stain"),
    "blur": ("defocus", "motion"),
    "noise": ("noise",),
    "rotate": ("rotation",),
    "shift": ("crop", "shift"),
    "zoom": ("crop", "zoom"),
    **dict.fromkeys(("cutmix", "cutout", "erase", "grid-mask"), ("occlusion",)),
    **dict.fromkeys(("flip", "mixup", "shear"), ()),
}
"""Families that resemble an augmentation: the table in docs/method.md, "Seen and unseen"."""
DRAWN = ("data.n_images",)
"""Keys of the synthetic source alone."""
LATER = {"command": "", "data.fit": "crop", "data.fill": "black", "data.drop_classes": []}
"""Keys that the first version did not know, and their defaults: told only where they leave these."""
COPIES = ("rotation", "zoom", "crop")
"""What the images have seen that upsampling adds."""


def families(corrupted: dict[str, Any]) -> list[str]:
    """Of a corrupted set, kind by kind."""
    wanted = corrupted.get("families")
    return [name for kind in KINDS.values() for name in kind if wanted is None or name in wanted]


def seen(recipe: dict[str, Any], corrupted: dict[str, Any]) -> list[str]:
    """The families of a set that a recipe's augmentations resemble."""
    found = {name for choice in recipe["augment"] if choice.get("p") != 0 for name in ALIKE[choice["name"]]}
    if recipe["balance"].startswith("upsample"):
        found |= set(COPIES)
    return [name for name in families(corrupted) if name in found]


def written(value: Any) -> str:
    """A setting as it is printed."""
    if value is None:
        return NOTHING
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, int | float):
        return f"{value:.4g}" if isinstance(value, float) else str(value)
    if isinstance(value, list):
        return f"[{', '.join(_part(one) for one in value)}]"
    return str(value)


def _part(value: Any) -> str:
    if not isinstance(value, dict):
        return written(value)
    pairs = {key: one for key, one in value.items() if one is not None}
    name = pairs.pop("name", None)
    inner = ", ".join(f"{key} = {written(one)}" for key, one in pairs.items())
    if name is None:
        return f"{{{inner}}}"
    return f"{name}({inner})" if inner else str(name)


def flat(table: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested tables with dotted keys, what is not set left out."""
    found: dict[str, Any] = {}
    for key, value in table.items():
        if isinstance(value, dict):
            found |= flat(value, f"{prefix}{key}.")
        elif value is not None:
            found[prefix + key] = value
    return found


def _weights(study: Study, arm: str) -> str | None:
    """How the study file names an arm's weights."""
    own = study.file.get("arms", {}).get(arm, {})
    model = own.get("model", {})
    if "model.weights" in own:
        return str(own["model.weights"])
    if isinstance(model, dict) and "weights" in model:
        return str(model["weights"])
    base = study.file["recipe"].get("model", {})
    return base.get("weights") if isinstance(base, dict) else None


def of_arm(study: Study, arm: str) -> dict[str, Any]:
    """Every setting of an arm, key → value; records of before LATER lack some, so defaults of these go."""
    record = study.finished(arm)[0].record
    found = flat(record["recipe"]) | flat(record["data"], "data.")
    if record["data"]["source"] != "synthetic":
        found = {key: value for key, value in found.items() if key not in DRAWN}
    if "model.weights" in found:
        found["model.weights"] = _weights(study, arm)
    return {key: value for key, value in found.items() if not (key in LATER and LATER[key] == value)}


def changed(study: Study, order: list[str]) -> list[dict[str, str]]:
    """A row for each setting in which an arm differs from the baseline."""
    if study.elsewhere:
        return []
    base, rows = of_arm(study, study.baseline), []
    for arm in order[1:]:
        own = of_arm(study, arm)
        for key in dict.fromkeys([*base, *own]):
            if base.get(key) != own.get(key):
                row = {"arm": arm, "setting": key}
                rows.append(row | {"baseline": written(base.get(key)), "here": written(own.get(key))})
    return rows


def added(study: Study, lower: str, upper: str) -> str:
    """What a rung has and the one below has not; augmentations that only came in as the file writes them."""
    was, now = of_arm(study, lower), of_arm(study, upper)
    texts = []
    for key in dict.fromkeys([*was, *now]):
        if was.get(key) == now.get(key):
            continue
        old, new = was.get(key), now.get(key)
        text = f"{key} = {written(new)}"
        if key == "augment" and [one for one in new if one in old] == old:
            names = [one["name"] for one in new if one not in old]
            told = [one for one in study.file["arms"][upper]["augment"] if _name(one) in names]
            text = f"augment + {', '.join(_part(one) for one in told)}"
        texts.append(text)
    return ", ".join(texts)


def _name(choice: Any) -> str:
    return str(choice["name"] if isinstance(choice, dict) else choice)


def fixed(study: Study) -> dict[str, str]:
    """Settings that are the same in every arm."""
    every = [of_arm(study, arm) for arm in study.arms]
    base = of_arm(study, study.baseline)
    return {
        key: written(value)
        for key, value in base.items()
        if all(key in one and one[key] == value for one in every)
        and not (key == "model.pretrained" and base.get("model.weights"))
    }
