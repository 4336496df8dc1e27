"""``bench show``: one trial, whole."""

from __future__ import annotations

from bench.errors import UserError
from bench.machine import Machine
from bench.screen import duration
from bench.store import Record, Store


def trial(wanted: str, machine: Machine, *, as_json: bool) -> str:
    """The record of the trial whose id starts with ``wanted``. Raises UserError for none or several."""
    store = Store(machine.results)
    record = find(wanted, store)
    return record.model_dump_json(indent=1) if as_json else _text(record, store)


def find(wanted: str, store: Store) -> Record:
    """The record of the one trial whose id starts with ``wanted``. Raises UserError."""
    found = [known for known in store.ids() if known.startswith(wanted)]
    if len(found) != 1:
        what = "no trial" if not found else f"{len(found)} trials"
        raise UserError(
            f"{what} of {store.root} have an id that starts with {wanted!r}; bench plan STUDY lists ids"
        )
    record = store.read(found[0])
    if record is None:
        raise UserError(
            f"the record of {found[0]} is damaged; delete {store.trial_dir(found[0])} and run again"
        )
    return record


def _text(record: Record, store: Store) -> str:
    replicate = f"seed {record.seed}" + (f", fold {record.fold}" if record.fold is not None else "")
    lines = [
        f"{record.id}  {record.status}  {replicate}  on {record.source}",
        *([f"cause     {record.cause}: {record.message}"] if record.message else []),
        "",
        "recipe",
        *(f"  {key:<14}{_short(value)}" for key, value in record.recipe.items()),
        "",
        *_curve(store.history(record.id)),
        *_scores(record),
        f"parameters  {record.parameters or 0:,}, {record.trainable_parameters or 0:,} of them trained",
        "time        " + "  ".join(_times(record)),
        "machine     " + "  ".join(f"{key} {value}" for key, value in record.machine.items()),
        "libraries   " + "  ".join(f"{key} {value}" for key, value in record.libraries.items()),
        f"commit      {record.commit or 'unknown'}   attempts {record.attempts}",
    ]
    if record.traceback:
        lines += ["", record.traceback.rstrip()]
    return "\n".join(lines)


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
        for c in ("stage", "epoch", "step", "train_loss", "val_loss", "val_accuracy", "lr")
        if c in history[0]
    ]
    lines = ["  ".join(f"{column:>12}" for column in columns)]
    lines += ["  ".join(f"{_number(row.get(column)):>12}" for column in columns) for row in history]
    return [*lines, ""]


def _number(value: object) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _scores(record: Record) -> list[str]:
    """Scores of every set, sets by the first digits of their key; validation first."""
    tables = {"validation": record.validation} | {key[:12]: scores for key, scores in record.scores.items()}
    metrics = list(dict.fromkeys(metric for scores in tables.values() for metric in scores))
    if not metrics:
        return []
    lines = [" " * 12 + "  ".join(f"{metric:>18}" for metric in metrics)]
    for name, scores in tables.items():
        cells = (f"{scores[metric]:>18.4f}" if metric in scores else f"{'–':>18}" for metric in metrics)
        lines.append(f"{name:<12}" + "  ".join(cells))
    return [*lines, ""]
