"""``bench show``: one trial, whole."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from bench.commands.status import planned, read_plan
from bench.errors import UserError
from bench.judge.findings import LOCAL
from bench.machine import Machine
from bench.plan import TEST
from bench.progress.screen import duration
from bench.store import Record, Store
from bench.study.command import named
from bench.study.patch import look_up


def trial(wanted: str, machine: Machine, *, as_json: bool) -> str:
    """The record of the trial whose id starts with ``wanted``. Raises UserError for none or several."""
    store = Store(machine.results)
    record = find(wanted, store)
    return record.model_dump_json(indent=1) if as_json else _text(record, store, set_names(record, store))


def set_names(record: Record, store: Store) -> dict[str, str]:
    """What the folder's studies call the sets that a trial was scored on: key → ``local``, ``second-lab``.

    A study that planned the trial says so before any other; where studies of one sort differ, each is said.
    """
    mine: dict[str, set[str]] = {}
    others: dict[str, set[str]] = {}
    for study in planned(store):
        try:
            plan = read_plan(study, store)
        except UserError:  # damaged: it has no say
            continue
        names = mine if record.id in plan.ids else others
        arms = [*plan.arms, *plan.shared, *([plan.again] if plan.again else [])]
        trials = [trial for arm in arms for trial in arm.trials]
        trials += [trial for s in plan.searches for one in s.tried for trial in one.trials]
        for name, key in {item for trial in trials for item in trial.sets.items()}:
            if key in record.scores:
                names.setdefault(key, set()).add(LOCAL if name == TEST else name)
    return {key: " / ".join(sorted(names)) for key, names in (others | mine).items()}


def find(wanted: str, store: Store) -> Record:
    """The record of the one trial whose id starts with ``wanted``. Raises UserError."""
    found = [known for known in store.ids() if known.startswith(wanted)]
    if len(found) != 1:
        where = f"of {store.root}"
        what = f"{len(found)} trials {where} have" if found else f"no trial {where} has"
        raise UserError(f"{what} an id that starts with {wanted!r}; bench plan STUDY lists ids")
    for damage in store.damaged(found):
        raise UserError(
            f"the record of {found[0]} cannot be used: it {damage.reason}\n"
            f"    delete {store.trial_dir(found[0])} and run again"
        )
    record = store.read(found[0])
    assert record is not None, "it is there and sound"
    return record


def _text(record: Record, store: Store, names: Mapping[str, str]) -> str:
    replicate = f"seed {record.seed}" + (f", fold {record.fold}" if record.fold is not None else "")
    lines = [
        f"{record.id}  {record.status}  {replicate}  on {record.source}",
        *([f"cause     {record.cause}: {record.message}"] if record.message else []),
        *([f"learned   little: {record.little_learned}"] if record.little_learned else []),
        "",
        "recipe",
        *(f"  {key:<14}{_short(value)}" for key, value in _recipe(record)),
        "",
        *_curve(store.history(record.id)),
        *_scores(record, names),
        f"parameters  {_parameters(record)}",
        "time        " + ("  ".join(_times(record)) or "unknown"),
        "machine     " + ("  ".join(f"{key} {value}" for key, value in record.machine.items()) or "unknown"),
        "libraries   " + ("  ".join(f"{key} {v}" for key, v in record.libraries.items()) or "unknown"),
        *(
            [f"origins     {'  '.join(f'{k} {v[:19]}' for k, v in record.origins.items())}"]
            if record.origins
            else []
        ),
        f"commit      {record.commit or 'unknown'}   attempts {record.attempts}",
    ]
    if record.traceback:
        lines += ["", record.traceback.rstrip()]
    return "\n".join(lines)


def _parameters(record: Record) -> str:
    """Of the network, and how many were trained; unknown of what was not trained by bench."""
    if record.parameters is None:
        return "unknown"
    return f"{record.parameters:,}, {record.trainable_parameters or 0:,} of them trained"


def _recipe(record: Record) -> Iterator[tuple[str, Any]]:
    """What of a recipe trained: all but the command's keys; of a command it and what is filled in."""
    if record.recipe.get("command"):
        keys = ["command", *named(record.recipe["command"])]
        yield from ((key, look_up(record.recipe, key)) for key in keys)
    else:
        yield from ((key, value) for key, value in record.recipe.items() if value not in ("", {}))


def _times(record: Record) -> list[str]:
    speed = record.timings.get("images_per_s")
    times = [f"{phase} {duration(seconds)}" for phase, seconds in record.seconds.items()]
    return times + ([] if speed is None else [f"{speed:.0f} img/s in training"])


def _short(value: object) -> str:
    if isinstance(value, dict) and "name" in value:
        rest = ", ".join(f"{k}={v}" for k, v in value.items() if k != "name" and v is not None)
        return f"{value['name']} ({rest})" if rest else str(value["name"])
    if isinstance(value, list):
        return "; ".join(_short(item) for item in value) or "none"
    if isinstance(value, dict):
        return ", ".join(f"{k}={v}" for k, v in value.items() if v is not None)
    return str(value)


def _curve(history: list[dict[str, object]]) -> list[str]:
    """The learning curve, one line per evaluation."""
    if not history:
        return []
    columns = [
        c
        for c in ("stage", "epoch", "step", "train_loss", "train_accuracy", "val_loss", "val_accuracy", "lr")
        if c in history[0]
    ]
    lines = ["  ".join(f"{column:>12}" for column in columns)]
    lines += ["  ".join(f"{_number(row.get(column)):>12}" for column in columns) for row in history]
    return [*lines, ""]


def _number(value: object) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _scores(record: Record, names: Mapping[str, str]) -> list[str]:
    """Scores of every set, one that no study names by the first digits of its key; validation first."""
    rows = [("validation", record.validation)]
    rows += [(names.get(key, key[:12]), scores) for key, scores in record.scores.items()]
    metrics = list(dict.fromkeys(metric for _, scores in rows for metric in scores))
    if not metrics:
        return []
    width = max(12, *(len(name) for name, _ in rows))
    lines = [" " * width + "  ".join(f"{metric:>18}" for metric in metrics)]
    for name, scores in rows:
        cells = (f"{scores[metric]:>18.4f}" if metric in scores else f"{'–':>18}" for metric in metrics)
        lines.append(f"{name:<{width}}" + "  ".join(cells))
    return [*lines, ""]
