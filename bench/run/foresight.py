"""What ``bench plan`` refuses as ``bench run`` would: told by labels and names, and by what it reads anyway.

No torch. What was found sound is remembered with the images' fingerprints, so that a warm plan stays instant.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from typing import TYPE_CHECKING

from bench.corruptions.families import fitting, refuse_too_many
from bench.data.locator import DiskLocator
from bench.errors import UserError, did_you_mean, is_stop, line_of
from bench.judge.findings import LOCAL
from bench.metrics import score_of
from bench.plan import TEST, VAL_SHIFT, Run, ScoredSet, Trial
from bench.recipe import Corrupted, External
from bench.registry import metrics as scores
from bench.study.read import Study

if TYPE_CHECKING:
    from bench.data.images import Labels
    from bench.data.survey import Outline


def foresee(study: Study, runs: Sequence[Run], locator: DiskLocator) -> None:
    """Refuse what ``preflight.check`` would, as far as it can be told without decoding and without torch.

    Raises UserError that lists every problem.
    """
    if not runs:
        return
    trials = {(run.arm, run.trial.data_fingerprint, run.trial.role, run.trial.replicate.fold) for run in runs}
    recipes = {(run.arm, run.trial.recipe.batch_size, run.trial.recipe.balance) for run in runs}
    sets = {(scored.name, scored.key) for run in runs for scored in run.sets}
    of = [study.name, decisive(study), *(sorted(map(repr, each)) for each in (trials, recipes, sets))]
    refuse(study.name, locator.sound(of, lambda: dict.fromkeys(_problems(study, runs, locator))))


def refuse(name: str, problems: Collection[str]) -> None:
    """Raise UserError for a study of which something is wrong."""
    if problems:
        raise UserError(f"{name} cannot run:\n" + "\n".join(f"  {problem}" for problem in problems))


def decisive(study: Study) -> list[str]:
    """Scores on sets that are to decide something, and those that are asked for by the names of classes."""
    told = {f"{LOCAL}.{score}" for score in study.scores if not scores.needs_class(score)}
    return sorted({study.primary, *study.judged_by, *told})


def names_classes(study: Study) -> bool:
    """Whether any of its scores is of a class by name."""
    return any("(" in metric for metric in (*study.scores, *decisive(study)))


def unknown_classes(study: Study, classes: Sequence[str]) -> Iterator[str]:
    """Scores of the study that name a class it has not, in words.

    classes   the study's
    """
    named = dict.fromkeys([*study.scores, *(metric.partition(".")[2] for metric in decisive(study))])
    for score in (one for one in named if one in scores):
        for name in scores.positive(score):
            if name not in classes:
                yield f'{score}: "{name}" is no class of the study; {did_you_mean(name, classes)}'


def undefined(asked: Collection[str], scored: str, labels: Labels, classes: Sequence[str]) -> Iterator[str]:
    """Decisive scores of a set that its labels leave undefined, in words.

    scored   name of the set
    labels   (N,) of its images
    """
    import numpy as np

    name = LOCAL if scored == TEST else scored
    wanted = [score for of, _, score in (metric.partition(".") for metric in asked) if of == name]
    flat = np.full((len(labels), len(classes)), 1 / len(classes))
    found = len(np.unique(labels))
    many = "one class" if found == 1 else f"{found} classes"
    for score in (score for score in wanted if score in scores):
        # Right answers for one of the clinic, that it is not undefined for want of an image called positive.
        said = np.eye(len(classes))[labels] if scores[score].traits.get("asked") else flat
        try:
            undefined = np.isnan(score_of(score, said, labels, classes))
        except UserError as error:
            yield f"{name}.{score}: {error}"
            continue
        except BaseException as error:  # a metric of somebody else's may raise anything
            if is_stop(error):
                raise
            yield f"{name}.{score}: the metric raises {line_of(error)}"
            continue
        if undefined:
            present = ", ".join(f'"{classes[k]}"' for k in np.unique(labels))
            yield (
                f"{name}.{score} is undefined: this set has images of {many}, {present}; "
                "choose another score of it"
            )


def epoch(trial: Trial, labels: Labels, classes: int) -> int:
    """Images of an epoch; labels (N,) of the training split."""
    from bench.data import balance

    return len(balance.deal(trial.recipe.balance, labels, classes, trial.replicate.stream_seed))


def batch_problems(trial: Trial, labels: Labels, classes: int) -> list[str]:
    """A batch that is larger than an epoch would silently be a smaller one.

    labels   (N,) of the training split
    """
    if trial.recipe.command:
        return []
    recipe, images = trial.recipe, epoch(trial, labels, classes)
    if recipe.batch_size <= images:
        return []
    made = "" if recipe.balance == "none" else f' with balance = "{recipe.balance}"'
    return [f"batch_size = {recipe.batch_size}: an epoch has {images} images{made}; use at most {images}"]


def alone(source: str, classes: Sequence[str]) -> UserError:
    """The error for a source of one class."""
    found = f'one class, "{classes[0]}"'
    return UserError(f"{source} holds {found}; there is nothing to tell apart, two are needed")


def _problems(study: Study, runs: Sequence[Run], locator: DiskLocator) -> Iterator[str]:
    asked = decisive(study)
    outlines: dict[tuple[str, str, int | None], Outline | None] = {}
    for run in runs:
        trial = run.trial
        # Folds differ in who is left to train, candidates in what they are scored on; seeds draw alike.
        split = trial.data_fingerprint, trial.role, trial.replicate.fold
        if split not in outlines:
            sets = () if any(split[:2] == known[:2] for known in outlines) else run.sets
            outlines[split] = None
            try:
                outline = locator.outline(trial)
                if outline is not None and len(outline.reader.classes) < 2:
                    raise alone(trial.data.source, outline.reader.classes)
            except UserError as error:
                yield str(error)
                continue
            outlines[split] = outline
            if outline is not None:
                yield from _of_images(outline, trial, sets, asked)
        if (known := outlines[split]) is not None:
            found = batch_problems(trial, known.train, len(known.reader.classes))
            yield from (f"arm {run.arm}: {problem}" for problem in found)


def _of_images(
    outline: Outline, trial: Trial, sets: Sequence[ScoredSet], asked: Collection[str]
) -> Iterator[str]:
    """What is wrong with a trial's images, and with the sets that it is scored on."""
    classes = outline.reader.classes
    for scored in sets:
        try:
            labels = _labels(scored, outline, trial)
        except UserError as error:
            yield str(error)
            continue
        yield from undefined(asked, scored.name, labels, classes)


def _labels(scored: ScoredSet, outline: Outline, trial: Trial) -> Labels:
    """Labels (N,) of a set, of a made one those that it is made of. Raises UserError for what is wrong."""
    from bench.data import foreign

    of, test = scored.hidden, outline.test
    if isinstance(of, External):
        return foreign.undecoded(scored, of, outline.reader, trial.data)
    if isinstance(of, Corrupted):
        base = outline.val if scored.name == VAL_SHIFT else test
        where = "[val_shift]" if scored.name == VAL_SHIFT else f"[hidden.{scored.name}]"
        try:
            fitting(of, outline.reader.channels)
            refuse_too_many(of.images or 0, len(base))
        except UserError as error:
            raise UserError(f"{where} {error}") from None
    return test if len(test) else outline.val  # drawn ones have the classes of the local images
