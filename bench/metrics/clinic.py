"""Metrics of the clinic: one class, or several, against the rest. Told where a study asks, stored nowhere.

A study asks as in ``sensitivity(melanoma, specificity = 0.9)``. What a registered function returns is a
``Clinical``: it becomes a score once the names of the classes are known.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any

from annotated_types import Interval, MinLen

from bench.errors import UserError, did_you_mean
from bench.registry import metrics

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from bench.stats.jackknife import Doubles

Classes = Annotated[list[str], MinLen(1)]
Rate = Annotated[float, Interval(gt=0, lt=1)]


@dataclass(frozen=True)
class Answers:
    """What a trial said of N images, one class or several against the rest.

    truth    (N,) bool: is one of the classes
    said     (N,) bool: its most probable class is one of them
    score    (N,) float64: their probability
    labels   (N,) and answers (N,): the classes themselves, 0 to K−1
    """

    truth: NDArray[np.bool_]
    said: NDArray[np.bool_]
    score: NDArray[np.float64]
    labels: NDArray[np.int64]
    answers: NDArray[np.int64]


@dataclass(frozen=True)
class Clinical:
    """A score of the clinic.

    positive   names of the classes that are positive; empty: it needs none
    score      answers → its value; nan where it is undefined
    items      answers, item of each image (N,) → pseudo-values (M,), or None
    right      answers → (N,) bool, wrong where an image counts against it; None: as for accuracy
    """

    positive: tuple[str, ...]
    score: Callable[[Answers], float]
    items: Callable[[Answers, NDArray[Any]], Doubles | None]
    right: Callable[[Answers], NDArray[np.bool_]] | None

    def answers(
        self,
        probabilities: NDArray[np.floating[Any]],
        labels: NDArray[np.integer[Any]],
        classes: Sequence[str],
    ) -> Answers:
        """What was said, as its functions take it.

        probabilities  (N, K)
        labels         (N,)
        classes        names of the K classes

        Raises UserError for a positive class that is none of them, and where all of them are positive.
        """
        import numpy as np

        for name in self.positive:
            if name not in classes:
                raise UserError(f'"{name}" is no class of the study; {did_you_mean(name, classes)}')
        index = [k for k, name in enumerate(classes) if name in self.positive]
        if len(index) == len(classes):
            raise UserError(f"all {len(classes)} classes are positive; there is nothing to tell them from")
        said = probabilities.argmax(1)
        score = probabilities[:, index].sum(1, dtype=np.float64)
        return Answers(np.isin(labels, index), np.isin(said, index), score, labels.astype(np.int64), said)


@metrics.register(
    "sensitivity",
    asked=True,
    chance=lambda given, classes: (
        1 - given["specificity"] if given["specificity"] else len(given["positive"]) / classes
    ),
)
def sensitivity(positive: Classes, specificity: Rate | None = None) -> Clinical:
    """Share of the positive images that are called positive, in [0, 1]; recall, true-positive rate.

    positive      the class that is positive, or several
    specificity   at the threshold on their probability that this share of the others stays below; without
                  it an image is called what is most probable. The threshold is read off the same images
    """
    from bench.stats import binary

    if specificity is None:
        return Clinical(
            tuple(positive),
            lambda a: binary.rate(a.truth, a.said),
            lambda a, items: binary.rate_by_item(a.truth, a.said, items),
            lambda a: a.said | ~a.truth,
        )
    return Clinical(
        tuple(positive),
        lambda a: binary.sensitivity_at(a.score, a.truth, specificity),
        lambda a, items: binary.sensitivity_at_by_item(a.score, a.truth, specificity, items),
        lambda a: (a.score > binary.cut(a.score, a.truth, specificity)) == a.truth,
    )


@metrics.register(
    "specificity",
    asked=True,
    chance=lambda given, classes: (
        1 - given["sensitivity"] if given["sensitivity"] else 1 - len(given["positive"]) / classes
    ),
)
def specificity(positive: Classes, sensitivity: Rate | None = None) -> Clinical:
    """Share of the other images that are not called positive, in [0, 1]; true-negative rate.

    positive      the class that is positive, or several
    sensitivity   at the threshold on their probability that finds this share of the positive; without it an
                  image is called what is most probable. The threshold is read off the same images
    """
    from bench.stats import binary

    if sensitivity is None:
        return Clinical(
            tuple(positive),
            lambda a: binary.rate(~a.truth, ~a.said),
            lambda a, items: binary.rate_by_item(~a.truth, ~a.said, items),
            lambda a: ~a.said | a.truth,
        )
    return Clinical(
        tuple(positive),
        lambda a: binary.sensitivity_at(-a.score, ~a.truth, sensitivity),
        lambda a, items: binary.sensitivity_at_by_item(-a.score, ~a.truth, sensitivity, items),
        lambda a: (-a.score > binary.cut(-a.score, ~a.truth, sensitivity)) == ~a.truth,
    )


@metrics.register("ppv", asked=True, chance=lambda given, classes: given["prevalence"])
def ppv(positive: Classes, prevalence: Rate | None = None) -> Clinical:
    """Positive predictive value, in [0, 1]: share of the images called positive that are; precision.

    positive     the class that is positive, or several
    prevalence   share of the positive among those who will be tested; without it that of the scored images

    Source: Altman and Bland 1994.
    """
    from bench.stats import binary

    return Clinical(
        tuple(positive),
        lambda a: binary.predictive(a.truth, a.said, prevalence),
        lambda a, items: binary.predictive_by_item(a.truth, a.said, prevalence, items),
        lambda a: a.said == a.truth,
    )


@metrics.register(
    "npv", asked=True, chance=lambda given, classes: 1 - given["prevalence"] if given["prevalence"] else None
)
def npv(positive: Classes, prevalence: Rate | None = None) -> Clinical:
    """Negative predictive value, in [0, 1]: share of the images not called positive that are not.

    positive     the class that is positive, or several
    prevalence   share of the positive among those who will be tested; without it that of the scored images

    Source: Altman and Bland 1994.
    """
    from bench.stats import binary

    rest = None if prevalence is None else 1 - prevalence
    return Clinical(
        tuple(positive),
        lambda a: binary.predictive(~a.truth, ~a.said, rest),
        lambda a, items: binary.predictive_by_item(~a.truth, ~a.said, rest, items),
        lambda a: a.said == a.truth,
    )


@metrics.register("roc_auc", asked=True, chance=0.5, told_from="probabilities")
def roc_auc(positive: Classes) -> Clinical:
    """Area under the ROC curve of the positive images against the others, in [0, 1]; ties count one half.

    positive     the class that is positive, or several
    """
    import numpy as np

    from bench import stats

    def both(a: Answers) -> tuple[Any, Any]:
        return np.column_stack([-a.score, a.score]), a.truth.astype(np.int64)

    return Clinical(
        tuple(positive),
        lambda a: stats.pseudo_values("auc", *both(a), np.arange(len(a.truth)))[0],
        lambda a, items: stats.pseudo_values("auc", *both(a), items)[1],
        None,
    )


@metrics.register("quadratic_kappa", asked=True, chance=0.0)
def quadratic_kappa() -> Clinical:
    """Agreement of answers and labels beyond chance, errors weighed by their squared distance, at most 1.

    For grades: the classes count in the order of the labels.

    Source: Cohen 1968.
    """
    from bench.stats import binary

    return Clinical(
        (),
        lambda a: binary.quadratic_kappa(a.labels, a.answers),
        lambda a, items: binary.quadratic_kappa_by_item(a.labels, a.answers, items),
        None,
    )
