"""The methods of a study as a paper tells them, with its numbers: sentences to paste and to edit."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from bench import stats
from bench.corruptions.families import families_of
from bench.judge.findings import LOCAL, Document
from bench.planned import PlanFile
from bench.recipe import Corrupted, External, Split, Stage
from bench.registry import corruptions, models
from bench.study.read import Arm, Study

MOST_NAMED = 8
"""Arms and classes that are named; of more their number alone."""
OPTIONAL = frozenset({"kornia", "lion-pytorch", "optuna", "timm", "torchvision"})
"""Libraries that records know the versions of and that many studies make no use of; of Lion and what is
torchvision's bench has its own arithmetic."""
KORNIA = re.compile(r'"kornia[:"]')
"""A class of Kornia's, or its table of operations, among augmentations as JSON."""
PART = {"all": "all layers", "head": "the head", "none": "nothing"}


def sentences(study: Study, plan: PlanFile, document: Document) -> tuple[str, ...]:
    """What was compared, on which images, how trained, tuned and judged, and how the trials ended.

    study   with what its searches chose

    Settings in which arms differ are left out: the report has them in a table.
    """
    trained = (_training(study), _tuning(document))
    parts = (
        _arms(document),
        _images(study, plan, document),
        _hidden(study, document),
        *((_handed_in(study, document),) if document.elsewhere else trained),
        _judging(study, document),
        _ends(study, document),
    )
    return tuple(sentence for part in parts for sentence in part)


def _arms(d: Document) -> Iterator[str]:
    others = [arm.label for arm in d.arms if not arm.is_baseline]
    named = f": {_and(others)}" if 0 < len(others) <= MOST_NAMED else ""
    many = "one arm was" if len(others) == 1 else f"{len(others)} arms were"
    yield f"{many[0].upper()}{many[1:]} compared with {d.baseline}{named}."


def _images(study: Study, plan: PlanFile, d: Document) -> Iterator[str]:
    account = next((one for one in plan.accounts if one.set == LOCAL), None)
    classes = d.provenance.classes
    of = f" of {len(classes)} classes" if classes else ""
    named = f" ({', '.join(classes)})" if 0 < len(classes) <= MOST_NAMED else ""
    if account and account.images:
        lost = sum(sum(by.values()) for by in account.dropped.values())
        left = f"; {lost:,} outliers and copies had been left out" if lost else ""
        yield f"The data set held {sum(account.images.values()):,} images{of}{named}{left}."
    elif of:
        yield f"The images were{of}{named}."
    if not d.elsewhere:
        yield from _split(study, plan, d)


def _split(study: Study, plan: PlanFile, d: Document) -> Iterator[str]:
    seeds, shares = len(d.rules.seeds), plan.shares
    groups = "; images of one group were kept on one side" if study.data.groups is not None else ""
    if study.folds:
        yield (
            f"In {study.folds.k}-fold cross-validation each fold was the test set once, and validation "
            f"images were drawn from the rest{groups}."
        )
        return
    sizes = {name: size for name, _, size, _ in d.provenance.sets}
    test = f"The local test set of {sizes[LOCAL]:,} images" if sizes.get(LOCAL) else "No local test set"
    test = f"{test} was {'the same in all trials' if sizes.get(LOCAL) else 'set aside'}"
    own = not isinstance(study.data.split, Split) and not (shares and shares.asked)
    if shares:
        drawn = f"{shares.sides['train']:,} training and {shares.sides['val']:,} validation images"
        drawn = f"{'with' if own else 'the rest was split anew into'} {drawn}"
    else:
        drawn = "training and validation images were drawn from the rest, unless the split came with them"
    more = len(d.rules.further_seeds)
    alone = f" and {more} more of {study.baseline} alone" if more else ""
    yield (
        f"{test}; for each of {seeds} random seeds, the same in every arm{alone}, {drawn}{groups}, and "
        "initialisation, order and augmentation were drawn anew."
    )


def _hidden(study: Study, d: Document) -> Iterator[str]:
    sizes = {name.partition(", fold ")[0]: size for name, _, size, _ in d.provenance.sets}

    def told(name: str) -> str:
        hidden, many = study.hidden[name], f"{sizes[name]:,} " if sizes.get(name) else ""
        if isinstance(hidden, External):
            if d.elsewhere:
                return f"{name} ({many}images)"
            return f"{name} ({many}images of another source)"
        if isinstance(hidden, Corrupted):
            return f"{name} ({many}corrupted copies of test images, profile {hidden.profile})"
        return f"{name} ({many}drawn images)"

    if study.hidden:
        sets = [told(name) for name in study.hidden]
        yield f"The held-out test set{' was' if len(sets) == 1 else 's were'} {_and(sets)}."


def _handed_in(study: Study, d: Document) -> Iterator[str]:
    """Of predictions: what is known, and what has to be told by whoever made them."""
    sizes = [f"{size:,} images of {name}" for name, _, size, _ in d.provenance.sets if size]
    over = f"{study.folds.k} folds" if study.folds else f"{len(d.rules.seeds)} seeds, paired across arms"
    yield f"Each arm was trained with {over}, and answered for {_and(sizes)}."
    yield "[How arms were trained and tuned, and how images were split, is not known to bench: say it here.]"


def _training(study: Study) -> Iterator[str]:
    ours = [arm for arm in study.arms if not arm.recipe.command]
    theirs = [arm.label for arm in study.arms if arm.recipe.command]
    if theirs:
        were = "was" if len(theirs) == 1 else "were"
        yield f"{_and(theirs)} {were} trained by a program of the study's own."
    if not ours:
        return
    shared = _shared(ours)
    model = shared(lambda arm: arm.recipe.model)
    told = [f"images of {size} px" if (size := shared(lambda arm: arm.data.size_px)) else ""]
    if model is not None:
        given = model.params
        start = " (pretrained)" if given.get("pretrained") else ""
        told.insert(0, f"{model.name}{' (from a file of weights)' if given.get('weights') else start}")
    optimizer = shared(lambda arm: arm.recipe.optimizer.name)
    rate = shared(lambda arm: arm.recipe.optimizer.params.get("lr"))
    if optimizer is not None:
        told.append(optimizer + (f" at a learning rate of {rate:g}" if rate else ""))
    schedule = shared(lambda arm: arm.recipe.schedule)
    told.append(f"a {schedule.name} schedule" if schedule else "")
    batch = shared(lambda arm: arm.recipe.batch_size)
    told.append(f"batches of {batch}" if batch else "")
    loss = shared(lambda arm: arm.recipe.loss)
    told.append(f"{loss.name} loss" if loss else "")
    known = [each for each in told if each]
    every = "Every other arm" if theirs else "Every arm"
    yield f"{every} was trained with {_and(known)}."
    stages = shared(lambda arm: arm.recipe.stages)
    if stages:
        yield f"Training updated {', then '.join(map(_stage, stages))}."
    yield (
        "The weights with the best validation accuracy were scored on each test set, once, after training."
    )


def _stage(stage: Stage) -> str:
    part = PART.get(stage.train, stage.train)
    if stage.train.startswith("top:"):
        part = f"the head and the last {stage.train[4:]} blocks"
    elif stage.train.startswith("fraction:"):
        part = f"the last {100 * float(stage.train[9:]):g} % of the blocks"
    length = f"{stage.epochs} epochs" if stage.epochs else f"{stage.steps} steps"
    length = "1 epoch" if stage.epochs == 1 else length
    scaled = f" at {stage.lr_scale:g} times that learning rate" if stage.lr_scale != 1 else ""
    decay = stage.layer_decay
    layered = f", each block at {decay:g} times the rate of the next" if decay != 1 else ""
    stopped = f", stopped after {stage.patience} evaluations without a gain" if stage.patience else ""
    return f"{part} for {'up to ' if stage.patience else ''}{length}{scaled}{layered}{stopped}"


def _tuning(d: Document) -> Iterator[str]:
    tuning = d.tuning
    if tuning is None:
        return
    final = ""
    if tuning.finalists:
        best = f"the best {tuning.finalists} were trained again"
        final = f"; {best} with {tuning.final_seeds} fresh seeds, which chose"
    yield (
        f"For each arm {_and(tuning.settings)} {'was' if len(tuning.settings) == 1 else 'were'} tuned with "
        f"{tuning.candidates} candidates ({tuning.sampler}) by {tuning.metric}, on seeds of their own{final}."
    )


def _judging(study: Study, d: Document) -> Iterator[str]:
    rules, over = d.rules, "folds" if study.folds else "seeds"
    grouped = [name for name, _ in d.provenance.grouped]
    items = f"images (groups of them in {_and(grouped)})" if grouped else "images"
    known = d.promise.known and not d.promise.later and not d.elsewhere
    yield f"What decides is {rules.primary}{', declared before the first score' if known else ''}."
    if study.folds:
        how = "with the variance corrected for overlapping training sets (Nadeau and Bengio 2003)"
    else:
        how = "from the variance components of seeds and images with Cochran and Cox's degrees of freedom"
    yield f"Differences are paired; their 95 % intervals are over new {over} and new {items}, {how}."
    if rules.family > 1:
        yield (
            f"Comparisons on one metric share their variance over {over} (Smyth 2004), which decides where a "
            "comparison's own is smaller."
        )
    many = "one comparison" if rules.family == 1 else f"{rules.family} comparisons"
    yield (
        f"Verdicts are corrected for {many} (Holm 1979), at 0 and at the difference called relevant, "
        f"{rules.delta_local:g} points locally and {rules.delta_hidden:g} on held-out sets."
    )


def _ends(study: Study, d: Document) -> Iterator[str]:
    planned, done = (sum(getattr(arm.seeds, what) for arm in d.arms) for what in ("planned", "done"))
    diverged = sum(arm.seeds.diverged for arm in d.arms)
    failed = sum(n for arm in d.arms for _, n in arm.seeds.failed)
    lost = [f"{n} {word}" for n, word in ((diverged, "diverged"), (failed, "failed")) if n]
    yield f"Of {planned} trials {_and([f'{done} finished', *lost])}."
    if d.rules.nights and not d.rules.reported:
        yield f"The number of {d.over} was limited by computing time, fixed beforehand, and by no result."
    elif d.rules.nights:
        reports = _and([str(n) for n in d.rules.reported])
        yield f"Results could be seen after {reports} {d.over}, before the others were trained."
    idle = OPTIONAL - set(_uses(study, d))
    libraries = [f"{name} {version}" for name, version in d.provenance.libraries if name not in idle]
    if d.elsewhere:
        yield "Judged with bench from the arms' predictions."
    elif libraries:
        yield f"Trained and judged with bench, on {_and(libraries)}."


def _uses(study: Study, d: Document) -> Iterator[str]:
    """Those of ``OPTIONAL`` that took part in a study."""
    recipes = [arm.recipe for arm in study.arms if not arm.recipe.command]
    if any(models[recipe.model.name].name == "timm" for recipe in recipes):
        yield "timm"
    if d.tuning is not None:
        yield "optuna"
    augmented = (json.dumps([one.model_dump() for one in recipe.augment]) for recipe in recipes)
    sets = [one for one in (*study.hidden.values(), study.val_shift) if isinstance(one, Corrupted)]
    families = (corruptions[name] for one in sets for name in families_of(one))
    if any(KORNIA.search(text) for text in augmented) or any(f.traits.get("library") for f in families):
        yield "kornia"


def _shared(arms: Sequence[Arm]) -> Callable[[Callable[[Arm], Any]], Any]:
    """What all arms have in common; None where they differ."""

    def shared(of: Callable[[Arm], Any]) -> Any:
        first = of(arms[0])
        return first if all(of(arm) == first for arm in arms) else None

    return shared


def _and(parts: Sequence[str]) -> str:
    """``a``, ``a and b``, ``a, b and c``."""
    return parts[0] if len(parts) == 1 else f"{', '.join(parts[:-1])} and {parts[-1]}" if parts else ""


def pooled(names: Sequence[str], family: int) -> Iterator[str]:
    """How differences on several data sets became one.

    names    of the data sets
    family   comparisons of means
    """
    K = len(names)
    yield f"The same arms were compared on each of {K} data sets ({', '.join(names)}) by a study of its own."
    if K < stats.FEWEST_SETS:
        yield "Their differences were not pooled."
        return
    yield (
        "Paired differences were pooled by a random-effects model with weights 1/(v + τ²): v is the variance "
        "of a data set's difference over seeds and images, τ² the value at which Cochran's Q is the median "
        "of its χ² distribution."
    )
    yield (
        "95 % intervals are Hartung and Knapp's, modified not to be narrowed by their factor, and 95 % "
        "prediction intervals are of the true difference on a new data set, both on t with "
        f"{K - 1} degrees of freedom."
    )
    yield "A comparison that one of the data sets did not tell was not pooled."
    yield (
        f"Verdicts on means were corrected after Holm over {family} comparison{'s' * (family != 1)}, "
        "declared before the first score."
    )
