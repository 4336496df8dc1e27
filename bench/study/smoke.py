"""Any study in its smallest form: every arm once, anywhere, in seconds. Proves only that it runs."""

from __future__ import annotations

from bench.errors import UserError
from bench.recipe import Choice, Corrupted, Data, External, Hidden, Recipe, Shifted, Stage
from bench.study.file import Tune
from bench.study.metric import apart
from bench.study.read import Arm, Study

SIZE_PX = 32
IMAGES = 160
BATCH = 16
STEPS = 2
TUNE = {"candidates": 1, "seeds": 1, "epochs": None, "minutes": None, "pruner": Choice(name="none")}


def smoke(study: Study) -> Study:
    """The same arms on tiny synthetic images: random weights, two steps a stage, one seed.

    Cross-validation keeps two folds, tuning one candidate of one seed. Arms that differ only in what a smoke
    run takes away (image size, pretraining) stay arms of their own: they become the same trial, run once.
    """
    data = _data(study.data)
    arms = tuple(
        Arm(label=arm.label, recipe=_recipe(arm.recipe), data=_data(arm.data), levels=arm.levels)
        for arm in study.arms
    )
    changes = {
        "arms": arms,
        "recipe": _recipe(study.recipe),
        "data": data,
        "hidden": {name: _hidden(hidden) for name, hidden in study.hidden.items()},
        "val_shift": study.val_shift and _hidden(study.val_shift),
        "seeds": study.seeds[:1],
        "further_seeds": (),
        "folds": study.folds and study.folds.model_copy(update={"k": 2}),
        "tune": study.tune and _tune(study.tune),
        "primary": _metric(study.primary),
        "scores": tuple(score for score in study.scores if "(" not in score),
        "gates": (),
        "slices": {},
        "claims": tuple(one.model_copy(update={"metric": _metric(one.metric)}) for one in study.claims),
    }
    return study.model_copy(update=changes)


def _metric(metric: str) -> str:
    """Accuracy for a score that names classes, all images for a slice: those drawn have neither."""
    metric, _ = apart(metric)
    of, _, score = metric.partition(".")
    return f"{of}.accuracy" if "(" in score else metric


def _tune(tune: Tune) -> Tune | None:
    """One candidate; what stages it tunes is left out, for a smoke run counts steps."""
    space = {key: scale for key, scale in tune.space.items() if not key.startswith("stages.")}
    arms = {
        arm: {key: scale for key, scale in own.items() if not key.startswith("stages.")}
        for arm, own in tune.arms.items()
    }
    return (
        tune.model_copy(update={**TUNE, "space": space, "arms": arms})
        if space or any(arms.values())
        else None
    )


def _data(data: Data) -> Data:
    limit = None if data.limit is None else min(data.limit, IMAGES)
    return Data(
        source="synthetic",
        size_px=SIZE_PX,
        outliers=data.outliers,
        n_images=IMAGES,
        limit=limit,
        classes=data.classes and tuple(name for name in data.classes if name not in data.drop_classes),
    )


def _hidden(hidden: Hidden) -> Hidden:
    if isinstance(hidden, Corrupted):
        return hidden.model_copy(update={"images": 8})
    if isinstance(hidden, External | Shifted):
        return Shifted(kind="synthetic", images=64)
    raise UserError(f"a hidden set of kind {hidden.kind} has no smoke form")


def _recipe(recipe: Recipe) -> Recipe:
    params = {k: v for k, v in recipe.model.params.items() if k not in ("pretrained", "weights")}
    for key, off in (("pretrained", False), ("weights", None)):
        if key in recipe.model.params:
            params[key] = off
    stages = tuple(
        stage
        if stage.train == "none"
        else Stage(
            train=stage.train,
            steps=STEPS,
            eval_every=STEPS,
            lr_scale=stage.lr_scale,
            layer_decay=stage.layer_decay,
        )
        for stage in recipe.stages
    )
    return recipe.model_copy(
        update={
            "model": Choice(name=recipe.model.name, params=params),
            "batch_size": min(recipe.batch_size, BATCH),
            "stages": stages,
            "compile": False,  # takes longer than all else
            "graph": False,  # two steps are over before one is recorded
            "precision": "fp32",  # slower in less on a CPU
        }
    )
