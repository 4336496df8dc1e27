"""The fair-tuning ledger: what each search came to, what no search would have found, every candidate."""

from __future__ import annotations

from bench.judge.findings import Document
from bench.judge.searched import TunedArm, Tuning
from bench.judge.settings import spell
from bench.judge.tables.table import PERCENT, Column, Table, arm_column, filed
from bench.tune.candidates import Standing

MANY = 10
"""Standard errors beyond which a lead's own size says nothing more."""
MOST_CANDIDATES = 30
"""Of those that diverged or failed, how many are printed."""


def table(d: Document, cost: bool) -> Table | None:
    """A row for each arm's search."""
    t = d.tuning
    if t is None:
        return None
    unit, times, digits = (" %", PERCENT, 1) if t.unit == "share" else ("", 1.0, 4)
    columns = (
        arm_column(d, lambda arm: arm.label),
        Column("finished", "finished", "text", lambda arm: _finished(arm, t)),
        Column("chosen", "chosen", "prose", _chosen),
        Column("best", f"{t.metric}{unit}", "number", lambda arm: arm.best, times, digits),
        Column("curve", f"expected best of k finished candidates{unit}", "prose", lambda arm: _curve(arm, t)),
        Column("half", f"with half of them{unit}", "text", lambda arm: _half(arm, t), where="print"),
        Column("lead", "lead over the runner-up", "text", lambda arm: _lead(arm, t)),
        filed("best_of_half", _best_of_half),
        Column("device_minutes", "device min", "number", lambda arm: arm.minutes, cost=True),
    )
    return Table("Tuning ledger", columns, t.arms)


def _finished(arm: TunedArm, t: Tuning) -> str:
    counted = (
        (arm.diverged, "diverged"),
        (arm.failed, "failed"),
        (arm.pruned, "cut short"),
        (arm.repeats, "repeat others"),
    )
    of = arm.tried if t.minutes else t.candidates
    return ", ".join([f"{arm.done}/{of}", *(f"{n} {word}" for n, word in counted if n)])


def _chosen(arm: TunedArm) -> str:
    chosen = (f"{c.setting} {c.value}" + f" ({c.edge} edge)" * (c.edge is not None) for c in arm.chosen)
    return ", ".join(chosen) or ("nothing" if arm.ended else "search goes on")


def _best_of_half(arm: TunedArm) -> float | None:
    return arm.curve[-1][1] if arm.half_settles else arm.at_half


def _lead(arm: TunedArm, t: Tuning) -> str | None:
    """``0.4 points (1.5 images, 0.8 standard errors) over candidate 3: a tie``."""
    ahead = arm.lead
    if ahead is None:
        return None
    by = f"{t.told(ahead.by)} points" if t.unit == "share" else t.told(ahead.by)
    counted = [f"{ahead.images:.1f} images"] if ahead.images is not None else []
    if ahead.errors is not None and ahead.errors < MANY:
        counted.append(f"{ahead.errors:.1f} standard errors")
    elif ahead.errors is not None:
        counted.append(f"over {MANY} standard errors")
    said = f"{by} ({', '.join(counted)})" if counted else by
    return f"{said} over candidate {ahead.over}" + ": a tie" * ahead.tie


def _curve(arm: TunedArm, t: Tuning) -> str | None:
    return " · ".join(f"{k}: {t.told(best)}" for k, best in arm.curve) or None


def _half(arm: TunedArm, t: Tuning) -> str:
    return "the same" if arm.half_settles else t.told(arm.at_half)


def shared(d: Document, cost: bool) -> Table | None:
    """Effects with the baseline's values and with each arm's own."""
    if d.tuning is None or not d.tuning.shared:
        return None
    columns = (
        arm_column(d, lambda arm: arm.label),
        Column(
            "shared",
            f"Δ {d.rules.primary} with the baseline's values",
            "effect",
            lambda arm: arm.shared,
            after=_lost,
        ),
        filed("shared_diverged", lambda arm: arm.shared_diverged[0]),
        Column("own", "Δ with its own", "effect", lambda arm: arm.own, after=lambda arm: "‡" * arm.turned),
    )
    note = (
        "Points against the baseline, finished pairs, pointwise, no verdict. The first column is what a "
        "comparison without tuning would have found."
    )
    if d.tuning.turned:
        note += (
            " ‡: one of the two intervals excludes zero and the other does not, or on the other side: what "
            "is found there hangs on how the settings were chosen."
        )
    rows = [arm for arm in d.tuning.arms if arm.label != d.baseline]
    return Table("Effects with shared and with own values", columns, rows, note)


def _lost(arm: TunedArm) -> str:
    diverged, of = arm.shared_diverged
    return f"({diverged} of {of} diverged)" if diverged else ""


def candidates(d: Document, cost: bool) -> Table | None:
    """Every candidate in files, printed the first that diverged or failed."""
    t = d.tuning
    if t is None:
        return None
    columns = (
        arm_column(d, lambda row: row[0]),
        Column("candidate", "candidate", "count", lambda row: row[1].candidate.number),
        Column("settings", "settings", "prose", _settings, where="print"),
        Column("state", "state", "text", lambda row: row[1].state),
        filed(t.metric, lambda row: row[1].value),
        *(_setting(key) for key in t.settings),
        Column("why", "why", "prose", lambda row: row[1].why or None),
        Column("trial", "trial", "code", lambda row: row[1].trial),
        filed("seconds", lambda row: row[1].seconds, cost=True),
    )
    bad = [row for row in t.rows if row[1].state in ("diverged", "failed")]
    more = len(bad) - MOST_CANDIDATES
    note = f"{more} more in tables/candidates.csv." if more > 0 else ""
    title = "Candidates that diverged or failed"
    return Table(title, columns, t.rows, note, printed=bad[:MOST_CANDIDATES])


def _settings(row: tuple[str, Standing]) -> str:
    return ", ".join(f"{key} {spell(value)}" for key, value in row[1].candidate.values.items())


def _setting(key: str) -> Column:
    def value(row: tuple[str, Standing]) -> str | None:
        return spell(row[1].candidate.values[key]) if key in row[1].candidate.values else None

    return filed(key, value)
