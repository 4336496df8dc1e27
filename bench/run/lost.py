"""Trials of which a file was lost: computed from weights where that gives its bytes, or trained again.

And what is said in the end of files that were lost or edited while a run was at work.
"""

from __future__ import annotations

from bench.claims import Presence
from bench.errors import shorten
from bench.files import sweep
from bench.folders import cleared, shuts_out
from bench.machine import Machine
from bench.plan import Plan, Run
from bench.progress.terminal import Terminal
from bench.run.crew import device_of
from bench.run.planning import Planning
from bench.store import PREDICTIONS, RECORD, VALIDATION, Store


def mend_lost(plan: Plan, store: Store, machine: Machine, terminal: Terminal, presence: Presence) -> bool:
    """Whether records went, and with them a trial each that is to be trained again; said of each file.

    A verdict would quietly go without a seed whose history or predictions are gone or changed. What killed
    runs had begun to write goes too. Trials that another run has claimed are its business.
    """
    home, claimed = store.study_dir(plan.study.name), presence.claims.names()
    sweep(store.root, home, home / "tables", home / "figures")
    ahead = {*plan.file.ids, *(run.trial.id for run in plan.pending)} - set(claimed)
    sweep(*map(store.trial_dir, ahead))
    for id in sorted(id for id in ahead if cleared(store.trial_dir(id))):
        terminal.note(f"{store.trial_dir(id)} was no folder, and is removed; the trial is trained again")
    suspects = [id for id in sorted(plan.file.ids) if _lost(id, store)]
    for damage in store.damaged(id for id in sorted(ahead) if store.brief(id) is None):
        terminal.note(f"{store.trial_dir(damage.id) / RECORD} {damage.reason}; the trial is trained again")
    mine = [id for id in suspects if presence.take(id)]
    try:
        return _mend({id: part for id in mine if (part := _lost(id, store))}, plan, store, machine, terminal)
    finally:
        for id in mine:
            presence.claims.release(id)


def _lost(id: str, store: Store) -> str:
    """Which file of a trial is lost; "" for none."""
    record = store.brief(id)
    return "" if record is None else store.lost(record, whole=True)


def _mend(found: dict[str, str], plan: Plan, store: Store, machine: Machine, terminal: Terminal) -> bool:
    """found: trial → the file that it lost"""
    lost: dict[str, list[str]] = {}
    for id, part in found.items():
        lost.setdefault(part, []).append(id)
    restored = _restore(plan, lost.get(PREDICTIONS, []), store, machine, terminal)
    if restored:
        told = f"{PREDICTIONS} of {len(restored)} trials was gone or damaged; computed again from weights"
        terminal.note(f"{told}: {shorten(restored)}")
    forgotten: list[str] = []
    for part, ids in sorted(lost.items()):
        left = [id for id in ids if id not in restored and _forgotten(id, store, terminal)]
        forgotten += left
        if left:
            told = f"{part} of {len(left)} trials is gone or damaged; they are trained again"
            terminal.note(f"{told}: {shorten(left)}")
    return bool(forgotten)


def _forgotten(id: str, store: Store, terminal: Terminal) -> bool:
    """Take a damaged record away; False where its folder alone lets nothing go, which is said."""
    try:
        store.forget(id)
    except OSError as error:
        if not shuts_out(store.trial_dir(id), error):
            raise
        terminal.note(f"{error.filename} is damaged and cannot be removed: {error.strerror}")
        return False
    return True


def _restore(plan: Plan, ids: list[str], store: Store, machine: Machine, terminal: Terminal) -> list[str]:
    """Those of the trials whose predictions are there again, to the byte."""
    runs = {run.trial.id: run for run in plan.everything}
    records = {id: record for id in ids if (record := store.read(id))}
    able = [id for id, record in records.items() if id in runs and store.has_weights(record)]
    if not able:
        return []
    restored, device = [], device_of(machine)
    with terminal.counting(f"computing lost {PREDICTIONS} from weights", "trials") as count:
        for number, id in enumerate(able, 1):
            if records[id].machine.get("device") == device and _is_restored(runs[id], store, machine, device):
                restored.append(id)
            count(number, len(able))
    return restored


def _is_restored(run: Run, store: Store, machine: Machine, device: str) -> bool:
    """Score a trial's weights once more; whether that gave the bytes that its record speaks of."""
    from bench.trial import Surroundings, said_from_weights  # imports torch

    id, record = run.trial.id, store.read(run.trial.id)
    assert record is not None
    sets = {scored.key: scored for scored in run.sets}
    if not sets.keys() >= record.scores.keys():  # another study's, of which nothing is known here
        return False
    scored = [sets[key] for key in record.scores]  # in the order in which they were stored
    where = Surroundings(device, machine.cache, resident_bytes=machine.resident_bytes)
    try:
        said = said_from_weights(run.trial, scored, store.weights_path(id), where)
    except Exception:  # images that are gone, weights of other code: the checks of the run say what is wrong
        return False
    return store.restore(record, {VALIDATION: said.pop(VALIDATION), **said})


def edited(planning: Planning) -> str:
    """What is said of files that a study names and that were edited since its run began; "" of none."""
    names = ", ".join(planning.changed())
    told = "its trials are of what was there then, and the next run goes by what is there now"
    return f"{names} changed since this run began; {told}" if names else ""


def gone(count: int, planning: Planning) -> str:
    """What is said of trials that ended and are not there."""
    what = "1 trial has no record" if count == 1 else f"{count} trials have no record"
    names = ", ".join(planning.changed())
    why = f", or not trained since {names} changed" if names else ""
    return (
        f"{what} after all: moved or deleted from {planning.store.root} during the run{why}; "
        "the same command trains what is missing"
    )
