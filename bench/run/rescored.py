"""Metrics that a finished trial was not scored with: computed from what it kept, without training."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace

from bench import metrics
from bench.claims import Presence
from bench.errors import is_stop, line_of
from bench.progress.terminal import Terminal
from bench.run.planning import lacks
from bench.store import UNREADABLE, VALIDATION, Predictions, Record, Store


@dataclass
class Rescored:
    """What became of the records that lacked a metric."""

    written: int = 0
    without: int = 0
    """Replicates that kept no predictions to compute it from."""
    failures: list[str] = field(default_factory=list)


def add_metrics(ids: Iterable[str], store: Store, terminal: Terminal, presence: Presence) -> Rescored:
    """Rewrite the scores of these trials, each record whole, where a metric is new or computes otherwise now.

    The numbers are those that a fresh trial would store: its scores too are of the stored probabilities.
    Trials that another run has claimed are its business.
    """
    now = metrics.versions()
    lacking = [id for id in sorted(ids) if (brief := store.brief(id)) and lacks(brief, now)]
    behind = [record for id in lacking if (record := store.read(id))]
    found = Rescored()
    if not behind:
        return found
    names = ", ".join(sorted({name for record in behind for name in lacks(record)}))
    with terminal.counting(f"computing {names} from kept predictions", "trials") as count:
        for number, record in enumerate(behind, 1):
            if presence.take(record.id):
                _add(record.id, store, found)
                presence.claims.release(record.id)
            count(number, len(behind))
    if found.without:
        kept = "kept no predictions that can be read"
        terminal.note(f"{found.without} trials lack {names} and {kept}; --rescore trains them again")
    return found


def _add(id: str, store: Store, found: Rescored) -> None:
    record = store.read(id)
    if record is None or not lacks(record):  # another run has done it
        return
    try:
        said = store.predictions(record.id)
    except UNREADABLE:
        said = {}
    wanted = {*record.scores, VALIDATION} if record.role == "tune" else {*record.scores}
    if not wanted <= said.keys():
        found.without += record.role == "final"
        return
    try:
        held = {key: replace(one, per_item=metrics.kept_per_item(one)) for key, one in said.items()}
        changed = any(held[key].per_item for key in record.scores)
        store.rewrite(_scored(record, said), held if changed else None)
    except BaseException as error:  # a metric of somebody else's may raise anything
        if is_stop(error):
            raise
        found.failures.append(f"{', '.join(lacks(record))} of trial {record.id}: {line_of(error)}")
    else:
        found.written += 1


def _scored(record: Record, said: dict[str, Predictions]) -> Record:
    """The record with every registered metric; what it holds of others stays."""
    now, fields = metrics.versions(), record.model_dump()

    def anew(scores: dict[str, float], key: str) -> dict[str, float]:
        if key not in said:  # the validation images of an older record
            return scores
        others = {name: value for name, value in scores.items() if name not in now}
        return others | metrics.score_all(said[key].probabilities, said[key].labels)

    fields["validation"] = anew(record.validation, VALIDATION)
    fields["scores"] = {key: anew(scores, key) for key, scores in record.scores.items()}
    fields["metrics"] = record.scored_with | now
    return Record.model_validate(fields)
