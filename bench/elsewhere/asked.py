"""What is asked of predictions, and the study that this makes of them: ordinary, but for what was trained."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.elsewhere.answers import LOCAL
from bench.errors import Mistake, did_you_mean, mistakes_error, shorten
from bench.registry import metrics
from bench.study.patch import Tree
from bench.study.read import Study, parse
from bench.study.toml import table_of, text_of

KEYS = (
    "question", "baseline", "primary", "local", "delta", "scores", "claims", "gates", "ensembles", "ordered",
)  # fmt: skip
"""What the file beside predictions may hold; all of it as in a study, but for ``local``."""
BASELINE = "baseline"
"""The arm of that name is it, where nobody says which."""
NOT_TOLD = ("cost.", "converged")
"""Metrics that predictions say nothing of."""
BARE = re.compile(r"[A-Za-z0-9_-]+")


@dataclass(frozen=True)
class Found:
    """What a table of predictions holds, as far as a study must know."""

    name: str
    """Of the study."""
    files: str
    """What is judged, as a person calls it."""
    arms: tuple[str, ...]
    seeds: tuple[int, ...]
    folds: int | None
    sets: tuple[str, ...]
    grouped: tuple[str, ...]
    """Sets of which the groups of images are known."""
    probabilities: bool


def beside(files: Sequence[Path], given: Path | None) -> Path | None:
    """The TOML file that says what is asked: the one given, or that of the same name beside one file."""
    if given is not None or len(files) != 1:
        return given
    near = files[0].with_suffix(".toml") if files[0].suffix else files[0].with_name(f"{files[0].name}.toml")
    return near if near.is_file() else None


def read_asked(file: Path | None) -> Tree:
    """Its table. Raises UserError for keys that mean nothing here."""
    if file is None:
        return {}
    table = table_of(text_of(file), str(file))
    mistakes = [
        Mistake(key, "", f"means nothing of predictions; {did_you_mean(key, KEYS)}")
        for key in table
        if key not in KEYS
    ]
    if "local" in table and not isinstance(table["local"], str):
        mistakes.append(Mistake("local", shorten(table["local"]), "must be the name of a set"))
    if mistakes:
        raise mistakes_error(str(file), mistakes)
    return table


def default_baseline(arms: Sequence[str]) -> str:
    """The arm that is called so, else the first."""
    return BASELINE if BASELINE in arms else arms[0]


def study_of(asked: Tree, found: Found, file: str) -> tuple[str, Study]:
    """The study's text, and the study. Raises UserError that lists all that is wrong with what is asked.

    file   what messages call it
    """
    text = toml(_table(asked, found))
    study = parse(text, name=found.name, file=file)
    if mistakes := list(_untold(study, found)):
        raise mistakes_error(file, mistakes)
    return text, study


def _table(asked: Tree, found: Found) -> Tree:
    source = f"predictions:{found.files}"
    data: Tree = {"source": source}
    if LOCAL not in found.sets:
        data["split"] = {"train": 0.9, "val": 0.1, "test": 0.0}
    if LOCAL in found.grouped:
        data["groups"] = "group"
    hidden = {
        name: {"kind": "external", "source": source} | ({"groups": "group"} if name in found.grouped else {})
        for name in found.sets
        if name != LOCAL
    }
    model = {"name": "elsewhere"} | ({} if found.probabilities else {"answers": "classes"})
    replicates: Tree = {"seeds": list(found.seeds)}
    if found.folds is not None:
        replicates = {"replicates": {"kind": "folds", "k": found.folds}}
    return {
        "question": f"How do the arms of {found.files} compare?",
        "baseline": default_baseline(found.arms),
        **{key: value for key, value in asked.items() if key != "local"},
        **replicates,
        "data": data,
        **({"hidden": hidden} if hidden else {}),
        "recipe": {"model": model},
        "arms": {label: {"model": {"arm": label}} for label in found.arms},
    }


def _untold(study: Study, found: Found) -> Iterator[Mistake]:
    """What is asked for and cannot be told from predictions."""
    claims = {f"[[claims]] number {n} metric": claim.metric for n, claim in enumerate(study.claims, 1)}
    gates = {f"gates number {n}": gate.metric for n, gate in enumerate(study.gates, 1)}
    for where, metric in (claims | gates).items():
        if metric.startswith(NOT_TOLD):
            problem = "predictions do not say what training cost, nor how it went; leave it out"
            yield Mistake(where, shorten(metric), problem)
    asked = {"primary": study.primary} | claims | gates
    scores = {where: metric.partition(".")[2] for where, metric in asked.items()}
    scores |= {f"scores number {n}": score for n, score in enumerate(study.scores, 1)}
    for where, score in scores.items():
        if not found.probabilities and score in metrics and metrics.needs_probabilities(score):
            yield Mistake(
                where, shorten(score), "needs probabilities: give columns p_<class>, not pred alone"
            )


def toml(table: Mapping[str, Any]) -> str:
    """A table as TOML: values first, then a block for each table."""
    lines, blocks = [], []
    for key, value in table.items():
        listed = isinstance(value, list) and value and all(isinstance(item, dict) for item in value)
        if not listed and not isinstance(value, dict):
            lines.append(f"{_key(key)} = {_value(value)}")
            continue
        head = f"[[{_key(key)}]]" if listed else f"[{_key(key)}]"
        for item in value if listed else [value]:
            blocks += ["", head, *(f"{_key(k)} = {_value(v)}" for k, v in item.items())]
    return "\n".join([*lines, *blocks]) + "\n"


def _key(key: str) -> str:
    return key if BARE.fullmatch(key) else _value(key)


def _value(value: Any) -> str:
    if isinstance(value, dict):
        return "{ " + ", ".join(f"{_key(k)} = {_value(v)}" for k, v in value.items()) + " }"
    if isinstance(value, list):
        return "[" + ", ".join(map(_value, value)) + "]"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str):
        return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
    return repr(value) if isinstance(value, int | float) else str(value)  # a date, which no key takes
