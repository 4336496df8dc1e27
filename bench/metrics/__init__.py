"""Class probabilities and labels → scores. Pure functions on arrays; NumPy is imported when one is called.

Everywhere: probabilities (N, K), rows sum to about 1 (what is stored is rounded to float16) · labels (N,)
whole numbers in [0, K). Classes that no label names are left out of means over classes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from bench.errors import is_stop, line_of
from bench.registry import UNREAD, Component, metrics

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from bench.metrics.clinic import Clinical
    from bench.stats.jackknife import Places
    from bench.store import Predictions

    Probabilities = NDArray[np.floating[Any]]
    Labels = NDArray[np.integer[Any]]

Score = Callable[["Probabilities", "Labels"], float]
"""Probabilities (N, K), labels (N,) → score; nan where it is undefined."""

ECE_BINS = 15
SMALLEST = 2.0**-24
"""Smallest positive float16: a stored 0 may have been as much, so no image costs more than −log of it."""


def versions() -> dict[str, int | str]:
    """Every metric that can be computed here, and the version of what it computes."""
    return {metric.name: _version(metric) for metric in metrics.stored() if metric.origin != UNREAD}


def _version(metric: Component) -> int | str:
    return f"{metric.version} {metric.origin}" if metric.origin else metric.version


def score_all(probabilities: Probabilities, labels: Labels) -> dict[str, float]:
    """Every metric that is stored, by name; one that is undefined here (AUC with one class) is left out.

    probabilities   (N, K)
    labels          (N,)
    """
    scores = {metric.name: _score_of(metric)(probabilities, labels) for metric in metrics.stored()}
    return {name: score for name, score in scores.items() if score == score}


class Told(NamedTuple):
    """What a record keeps of one scored set, as its fields have it."""

    scores: dict[str, float]
    recalls: dict[str, float]
    conditions: dict[str, dict[str, float]]


def told(said: Predictions, classes: Sequence[str]) -> Told:
    """Scores, recalls of the classes that there are, and accuracies of each condition of a corrupted set.

    classes   names of the K classes
    """
    shown = said.probabilities, said.labels
    per_class = zip(classes, recalls(*shown), strict=True)
    conditions = {}
    for number, name in enumerate(said.condition_names):
        mine = said.conditions == number
        some = said.probabilities[mine], said.labels[mine]
        conditions[name] = {
            "accuracy": accuracy()(*some),
            "balanced_accuracy": balanced_accuracy()(*some),
        }
    return Told(score_all(*shown), {name: float(r) for name, r in per_class if r == r}, conditions)


def _score_of(metric: Component) -> Score:
    """What computes it. One from outside gets copies, for it may write into them, and float64: sums of the
    stored float16 would lose digits. Raises whatever that raises, TypeError for what is no number."""
    score: Score = metric.build({})
    if not metric.origin:
        return score
    return lambda probabilities, labels: float(score(probabilities.astype("float64"), labels.copy()))


def problems(classes: int) -> Iterator[str]:
    """What is wrong with metrics from outside, tried on a few made-up answers before anything is trained.

    classes   K
    """
    import numpy as np

    labels = np.arange(6 * classes) % classes
    said = np.random.default_rng(0).dirichlet(np.ones(classes), len(labels)).astype(np.float16)
    for metric in (one for one in metrics if one.origin):
        try:
            score = _score_of(metric)(said, labels)
            wrong = f"gives {score}, no number" if np.isinf(score) else ""
        except BaseException as error:  # somebody else's may raise anything
            if is_stop(error):
                raise
            wrong = f"raises {line_of(error)}"
        if wrong:
            yield f"metric {metric.name}: of {len(labels)} images of {classes} classes it {wrong}"


def per_item(
    name: str, said: Predictions, classes: Sequence[str] = (), places: Places | None = None
) -> NDArray[np.float64] | None:
    """One value per item, (M,), that say how much a score hangs on it; None where it has no interval there.

    Items are images, copies together, or where they are known (``said.groups``) groups of images.

    classes   names of the K classes, which scores of the clinic are asked for by
    places    of images, where somebody has them: ``np.unique`` of the ids, (M,), and its inverse, (N,)

    Of bench's own metrics they are computed; of others taken from what was kept, for a report has no code.
    """
    metric = metrics[name]
    if metric.traits.get("asked"):
        one: Clinical = metric.build({})
        items = said.ids if said.groups is None else said.groups
        return one.items(one.answers(said.probabilities, said.labels, classes), items)
    return (
        said.per_item.get(f"{name} {_version(metric)}") if metric.origin else _computed(metric, said, places)
    )


def right_answers(name: str, said: Predictions, classes: Sequence[str]) -> NDArray[np.bool_] | None:
    """Which images (N,) do not count against a score of the clinic; None where that is as for accuracy."""
    metric = metrics[name]
    one: Clinical | None = metric.build({}) if metric.traits.get("asked") else None
    return (
        None
        if one is None or one.right is None
        else one.right(one.answers(said.probabilities, said.labels, classes))
    )


def score_of(name: str, probabilities: Probabilities, labels: Labels, classes: Sequence[str]) -> float:
    """One score, of the clinic too; nan where it is undefined. Raises UserError for a class there is not.

    probabilities   (N, K)
    labels          (N,)
    classes         names of the K classes
    """
    metric = metrics[name]
    if not metric.traits.get("asked"):
        return _score_of(metric)(probabilities, labels)
    one: Clinical = metric.build({})
    return one.score(one.answers(probabilities, labels, classes))


def kept_per_item(said: Predictions) -> dict[str, NDArray[np.float64]]:
    """The same of every metric from outside that has an interval here, by name and version."""
    every = {f"{one.name} {_version(one)}": _computed(one, said) for one in metrics if one.origin}
    return {name: values for name, values in every.items() if values is not None}


def _computed(
    metric: Component, said: Predictions, places: Places | None = None
) -> NDArray[np.float64] | None:
    from bench import stats
    from bench.stats import leave_out

    asked = said.probabilities, said.labels, said.ids if said.groups is None else said.groups
    if metric.name in stats.JACKKNIFE:
        return stats.pseudo_values(metric.name, *asked, places if said.groups is None else None)[1]
    if metric.traits["interval"] == "none":
        return None
    by_image = metric.traits["interval"] == "images"
    return (leave_out.of_images if by_image else leave_out.without_each)(_score_of(metric), *asked)


def recalls(probabilities: Probabilities, labels: Labels) -> NDArray[np.float64]:
    """Share of each class's images that are recognised, (K,) in [0, 1]; nan for a class without images."""
    import numpy as np

    classes = probabilities.shape[1]
    counts = np.bincount(labels, minlength=classes)
    hits = np.bincount(labels[probabilities.argmax(1) == labels], minlength=classes)
    return np.where(counts > 0, hits / np.maximum(counts, 1), np.nan)


@metrics.register("accuracy", interval="images")
def accuracy() -> Score:
    """Share of images whose most probable class is right, in [0, 1]."""
    return lambda probabilities, labels: float((probabilities.argmax(1) == labels).mean())


@metrics.register("balanced_accuracy")
def balanced_accuracy() -> Score:
    """Mean recall of the classes present, in [0, 1].

    Source: Brodersen et al. 2010.
    """
    import numpy as np

    return lambda probabilities, labels: float(np.nanmean(recalls(probabilities, labels)))


@metrics.register("worst_recall", interval="none")
def worst_recall() -> Score:
    """Recall of the class that is recognised worst, in [0, 1]."""
    import numpy as np

    return lambda probabilities, labels: float(np.nanmin(recalls(probabilities, labels)))


@metrics.register("macro_f1")
def macro_f1() -> Score:
    """Mean F1 of the classes present, in [0, 1]; a class never predicted counts 0."""
    return _macro_f1


@metrics.register("auc", chance=0.5, told_from="probabilities")
def auc() -> Score:
    """Mean area under the ROC curve, each class present against the rest, in [0, 1]; ties count one half.

    Source: Hand and Till 2001; one against rest as MedMNIST does.
    """
    return _auc


@metrics.register("ece", lower_is_better=True, interval="none", told_from="probabilities")
def ece() -> Score:
    """Expected calibration error, in [0, 1]: mean gap of confidence and accuracy over 15 equal-mass bins.

    Source: Guo et al. 2017; bins of equal mass, Nixon et al. 2019.
    """
    return _ece


@metrics.register("nll", unit="nats", lower_is_better=True, interval="images", told_from="probabilities")
def nll() -> Score:
    """Mean negative log probability of the right class, in nats; probabilities below 2⁻²⁴ count as that."""
    return _nll


def _macro_f1(probabilities: Probabilities, labels: Labels) -> float:
    import numpy as np

    classes = probabilities.shape[1]
    predicted = probabilities.argmax(1)
    actual = np.bincount(labels, minlength=classes)
    claimed = np.bincount(predicted, minlength=classes)
    hits = np.bincount(labels[predicted == labels], minlength=classes)
    present = actual > 0
    return float((2 * hits[present] / (actual + claimed)[present]).mean())


def _auc(probabilities: Probabilities, labels: Labels) -> float:
    """By ranks (Mann and Whitney), all classes at once; nan when fewer than two classes are present."""
    import numpy as np

    positives = np.bincount(labels, minlength=probabilities.shape[1])
    negatives = len(labels) - positives
    present = (positives > 0) & (negatives > 0)
    if not present.any() or not np.isfinite(probabilities).all():
        return float("nan")
    ranks = np.column_stack([_average_ranks(column) for column in probabilities.T])
    own = np.where(labels[:, None] == np.arange(probabilities.shape[1]), ranks, 0.0).sum(0)
    # Less the ranks that the positives have among themselves, 1 to n: what is left are pairs won.
    above = own - positives * (positives + 1) / 2
    return float((above[present] / (positives * negatives)[present]).mean())


def _average_ranks(values: NDArray[np.floating[Any]]) -> NDArray[np.float64]:
    """Ranks from 1 of values (N,), equal ones sharing the mean of theirs. SciPy's takes seconds to import."""
    import numpy as np

    ordered = np.sort(values)
    below = np.searchsorted(ordered, values, side="left")
    return (below + np.searchsorted(ordered, values, side="right") + 1) / 2


def _ece(probabilities: Probabilities, labels: Labels) -> float:
    import numpy as np

    confidence = probabilities.max(1).astype(np.float64)
    right = probabilities.argmax(1) == labels
    gaps = np.bincount(confidence_bins(confidence), weights=confidence - right, minlength=ECE_BINS)
    return float(np.abs(gaps).sum() / len(labels))


def confidence_bins(confidence: NDArray[np.float64]) -> NDArray[np.int64]:
    """Which of ``ECE_BINS`` bins of equal mass each image is in, (N,), by its highest probability (N,).

    Edges are quantiles, so that equal confidences share a bin in any order of images.
    """
    import numpy as np

    edges = np.quantile(confidence, np.arange(1, ECE_BINS) / ECE_BINS)
    return np.searchsorted(edges, confidence, side="right")


def _nll(probabilities: Probabilities, labels: Labels) -> float:
    import numpy as np

    of_label = probabilities[np.arange(len(labels)), labels].astype(np.float64)
    return float(-np.log(np.maximum(of_label, SMALLEST)).mean())
