"""Ten words of every report, each in a sentence, and where the method says more of it."""

from __future__ import annotations

from dataclasses import dataclass

from bench.judge.findings import Document

REPEATED = {
    "seed": "a number that starts every random draw of a training run; every arm is trained with the same "
    "few, since a single run does not tell a better recipe from luck",
    "fold": "one part of the images, tested on by a network that was trained on the others; every arm gets "
    "the same, since a single run does not tell a better recipe from luck",
}
WORDS = (
    ("arm", "training-and-scoring", "a recipe that is compared; the baseline is the arm that others are "
     "measured against"),
    ("{one}", "statistics", "{repeated}"),
    ("local, hidden", "hidden-sets", "the test images of the study's own data; any other set scored beside "
     "them, as of another laboratory, and never trained on"),
    ("Δ", "statistics", "an arm's score minus the baseline's, {one} by {one} and image by image; of scores "
     "in per cent, in points"),
    ("95 % interval", "statistics", "where a value may lie with other {many} and other {items} of the same "
     "kind, one time in twenty outside; ± is half of it, [ ] are its ends, also where ± would lead off the "
     "scale"),
    ("sd", "statistics", "standard deviation: how far single {many} lie apart; more of them do not make it "
     "smaller"),
    ("δ", "what-was-declared-when", "the difference that was called relevant beforehand"),
    ("verdict", "statistics", "helps: above zero; harmful: below zero; no gain: below δ; each corrected for "
     "how many comparisons were declared (Holm)"),
    ("inconclusive", "statistics", "none of these: the arm may help or harm, and this study is too small to "
     "tell; no proof that nothing changes"),
    ("gap", "hidden-sets", "local minus hidden accuracy: what is lost on the other set"),
)  # fmt: skip
"""Word, section of docs/method.md, meaning."""


@dataclass(frozen=True)
class Word:
    """One of them."""

    word: str
    means: str
    page: str
    """Where the method says more, from the folder of the report."""


def words(document: Document) -> list[Word]:
    """As this study means them, in the order in which a report needs them."""
    one = document.over[:-1]
    known = {"one": one, "many": document.over, "items": document.items, "repeated": REPEATED[one]}
    return [
        Word(word.format(**known), means.format(**known), f"{document.docs}/method.md#{section}")
        for word, section, means in WORDS
    ]
