"""What the methods paragraph has to say: sizes, settings and counts, straight from records, plan and file."""

from collections.abc import Callable, Sequence
from typing import Any

from .printed import Line, Section, Text, text
from .records import LOCAL, Trial
from .tables import Tables

TITLE = "Methods, for a paper"
KORNIAS = {"saturation", "hue", "rotation", "zoom", "shift", "crop", "gamma"}
KORNIAS |= {f"{what}-{way}" for what in ("brightness", "contrast") for way in ("up", "down")}
"""Families of corruption that Kornia's functions make."""
MOST = 8
"""Arms and classes that are named."""


def section(tables: Tables) -> Section:
    """Empty of a report that is older than the paragraph."""
    study = tables.study
    if f"## {TITLE}" not in (study.folder / "report.md").read_text(encoding="utf-8"):
        return Section(TITLE)
    others = tables.order[1:]
    many = "One arm was" if len(others) == 1 else f"{len(others)} arms were"
    named = f": {_and(others)}" if len(others) <= MOST else ""
    finals = [trial for trials in study.arms.values() for trial in trials]
    texts: list[Text | str] = [
        *_images(tables),
        *_sets(tables),
        *(_handed_in(tables) if study.elsewhere else _training(finals)),
        *_tuning(tables),
        *_judging(tables),
        *_ends(finals),
        *([] if study.elsewhere else [f"on {_and(_libraries(tables, finals))}."]),
    ]
    return Section(TITLE, [Line(f"{many} compared with {study.baseline}{named}.", texts)])


def _ends(finals: Sequence[Trial]) -> list[Text | str]:
    counts = (len(finals), sum(trial.done for trial in finals), sum(trial.diverged for trial in finals))
    if counts[2]:
        return [text("Of {} trials {} finished and {} diverged.", *counts)]
    return [text("Of {} trials {} finished.", *counts[:2])]


def _images(tables: Tables) -> list[Text | str]:
    study = tables.study
    account = next((one for one in study.plan.get("accounts") or [] if one["set"] == LOCAL), None)
    found: list[Text | str] = [text("of {} classes", len(study.classes))]
    if len(study.classes) <= MOST:
        found.append(f"({', '.join(study.classes)})")
    if study.elsewhere:
        return found
    if account and account["images"]:
        found.append(text("held {} images", sum(account["images"].values())))
        lost = sum(sum(by.values()) for by in account["dropped"].values())
        if lost:
            found.append(text("{} outliers and copies had been left out", lost))
    if study.folds:
        return [*found, text("In {}-fold cross-validation", study.folds)]
    first = study.finished(study.baseline)[0]
    found.append(text("local test set of {} images", first.record["sizes"][first.keys[LOCAL]]))
    every = len(study.arms[study.baseline])
    seeds = study.looks[-1] if study.looks else every - len(study.further)
    found.append(text("for each of {} random seeds", seeds))
    if study.further:
        found.append(text("and {} more of " + study.baseline + " alone", len(study.further)))
    if shares := study.plan.get("shares"):
        sides = shares["sides"]
        found.append(text("{} training and {} validation images", sides["train"], sides["val"]))
    return found


def _sets(tables: Tables) -> list[Text | str]:
    study = tables.study
    found: list[Text | str] = []
    trials = study.finished(study.baseline)
    for name, hidden in study.file.get("hidden", {}).items():
        size = trials[-1].record["sizes"][trials[-1].keys[name]]
        what = {
            "external": "images" if study.elsewhere else "images of another source",
            "synthetic": "drawn images",
        }
        profile = f"corrupted copies of test images, profile {hidden.get('profile', 'heavy-mix')}"
        found.append(text(f"{name} ({{}} {what.get(hidden['kind'], profile)})", size))
    return found


def _handed_in(tables: Tables) -> list[Text | str]:
    """Of predictions: their numbers."""
    study = tables.study
    trials = {
        trial.keys[name]: (name, trial) for name in study.sets for trial in study.finished(study.baseline)
    }
    found = [text(f"{{}} images of {name}", t.record["sizes"][key]) for key, (name, t) in trials.items()]
    seeds = len({trial.seed for trial in study.arms[study.baseline]})
    return [text(f"with {{}} {'folds' if study.folds else 'seeds'}", study.folds or seeds), *found]


def _training(finals: Sequence[Trial]) -> list[Text | str]:
    """Settings that all trials share."""

    def shared(of: Callable[[dict[str, Any]], Any], part: str = "recipe") -> Any:
        values = [of(trial.record[part]) for trial in finals]
        return values[0] if all(value == values[0] for value in values) else None

    found: list[Text | str] = []
    if size := shared(lambda data: data["size_px"], "data"):
        found.append(text("images of {} px", size))
    if rate := shared(lambda recipe: recipe["optimizer"].get("lr")):
        found.append(text("at a learning rate of {}", rate))
    if batch := shared(lambda recipe: recipe["batch_size"]):
        found.append(text("batches of {}", batch))
    if model := shared(lambda recipe: recipe["model"]):
        ready = " (pretrained)" if model.get("pretrained") else ""
        found.append(f"{model['name']}{' (from a file of weights)' if model.get('weights') else ready}")
    stages = shared(lambda recipe: recipe["stages"])
    return found + [_stage(stage) for stage in stages or []]


def _stage(stage: dict[str, Any]) -> Text:
    numbers: list[float] = []
    part = {"all": "all layers", "head": "the head", "none": "nothing"}.get(stage["train"], "")
    if stage["train"].startswith("top:"):
        part, numbers = "the head and the last {} blocks", [int(stage["train"][4:])]
    elif stage["train"].startswith("fraction:"):
        part, numbers = "the last {} % of the blocks", [100 * float(stage["train"][9:])]
    length = stage.get("epochs") or stage.get("steps") or 0
    unit = "steps" if stage.get("steps") else "epoch" if length == 1 else "epochs"
    rate, decay, patience = stage.get("lr_scale", 1), stage.get("layer_decay", 1), stage.get("patience")
    ends = " at {} times that learning rate" if rate != 1 else ""
    ends += ", each block at {} times the rate of the next" if decay != 1 else ""
    ends += ", stopped after {} evaluations without a gain" if patience else ""
    more = [number for number, told in ((rate, rate != 1), (decay, decay != 1), (patience, patience)) if told]
    return text(f"{part} for {'up to ' * bool(patience)}{{}} {unit}{ends}", *numbers, length, *more)


def _tuning(tables: Tables) -> list[Text | str]:
    study = tables.study
    if not study.searches:
        return []
    tune = study.file["tune"]
    found: list[Text | str] = [text("tuned with {} candidates", tune.get("candidates", 12))]
    keys = [tune["space"], *tune.get("arms", {}).values()]
    found += list(dict.fromkeys(key for ranges in keys for key in ranges))
    if finalists := study.searches[0].finalists:
        best = "the best {} were trained again with {} fresh seeds"
        found.append(text(best, len(finalists), len(finalists[0].trials)))
    return found


def _judging(tables: Tables) -> list[Text | str]:
    study, family = tables.study, len(tables.family.members)
    corrected = text("corrected for {} comparisons", family)
    deltas = 100 * study.delta(LOCAL), 100 * study.delta(study.hidden or "")
    return [
        "corrected for one comparison" if family == 1 else corrected,
        text("{} points locally and {} on held-out sets", *deltas),
        f"What decides is {study.primary}",
    ]


def _libraries(tables: Tables, finals: Sequence[Trial]) -> list[str]:
    """Versions of what took part: of timm, Optuna and Kornia only where something of theirs did."""
    study = tables.study
    recipes = [trial.record["recipe"] for trial in finals]
    shifted = [*study.file.get("hidden", {}).values(), study.file.get("val_shift", {})]
    corrupted = [one for one in shifted if one.get("kind") == "corrupted" or "profile" in one]
    used = {
        "timm": any(recipe["model"]["name"] != "custom_cnn" for recipe in recipes),
        "optuna": bool(study.searches),
        "kornia": any("'kornia" in str(recipe["augment"]) for recipe in recipes)
        or any(not one.get("families") or set(one["families"]) & KORNIAS for one in corrupted),
        "lion-pytorch": False,  # only what bench's own Lion is compared with
        "torchvision": False,
    }
    versions: dict[str, set[str]] = {}
    for trial in finals:
        for name, version in trial.record["libraries"].items():
            if not used.get(name, True):
                continue
            versions.setdefault(name, set()).add(version)
    return [f"{name} {', '.join(sorted(found))}" for name, found in sorted(versions.items())]


def _and(parts: Sequence[str]) -> str:
    return parts[0] if len(parts) == 1 else f"{', '.join(parts[:-1])} and {parts[-1]}"
