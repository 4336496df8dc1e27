"""What a design says beside its single arms: effects of factors, what is missed, steps of a ladder."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from bench.judge import factorial
from bench.judge.evidence import Evidence
from bench.judge.findings import Document, Effect, Finding, Screen
from bench.judge.measure import parse
from bench.judge.rulings import Rulings
from bench.judge.tables.table import Column, Table, filed, finding_columns
from bench.study import effects
from bench.study.effects import Levels
from bench.study.read import Study


@dataclass(frozen=True)
class FactorEffect:
    """A main effect (one level) or a two-way interaction (two) of a grid or screen, on the primary metric."""

    levels: Levels
    effect: Effect | None
    """Pointwise; of a declared one as its finding has it."""
    seeds: int
    """That the effect rests on: of an undeclared one those that finished in all cells."""
    cells: int
    blocks: int
    """Settings of the other factors that it is averaged over."""
    aliases: effects.Aliases = ()
    """What the same number also holds."""
    finding: Finding | None = None
    """Its verdict, where it was declared."""


def find_effects(study: Study, evidence: Evidence, rulings: Rulings) -> tuple[FactorEffect, ...]:
    """Main effects, then two-way interactions, of a grid or a screen on the primary metric.

    A main effect is the mean of a level's cells minus the mean of the same cells at the baseline's level; an
    interaction is the effect of one level in the presence of another minus its effect without, averaged over
    the other factors. Of interactions that a screen cannot tell apart the first; none that it cannot tell
    from a main effect.
    """
    metric = parse(study.primary, study.sets)
    told: set[Levels] = set()
    found = []
    for one in factorial.effects_of(study):
        interaction = len(one.levels) > 1
        if (
            not one.weights
            or one.levels in told
            or (interaction and any(len(a) == 1 for _, a in one.aliases))
        ):
            continue
        told.update(alias for _, alias in one.aliases if interaction)
        contrast = evidence.weighed(one.weights, metric)
        interval = contrast.of_finished
        finding = rulings.found((*effects.sides(one.levels), study.primary))
        effect = finding.effect if finding else Effect.of(interval, metric.unit, few=contrast.few)
        seeds = finding.seeds if finding else interval.seeds if interval else contrast.seeds
        cells = len(one.weights), one.blocks
        found.append(FactorEffect(one.levels, effect, seeds, *cells, one.aliases, finding))
    return tuple(found)


def find_screen(study: Study, rulings: Rulings) -> Screen | None:
    """What the effects of a screen are, and are not; None of other designs."""
    if study.design != "screen":
        return None
    findings = [rulings.finding((*sides, study.primary)) for sides in factorial.main_effects(study)]
    every = list(factorial.effects_of(study))
    shares = {abs(share) for one in every for share, _ in one.aliases}
    single = [one for one in every if len(one.levels) == 1]
    return Screen(
        findings=tuple(sorted(findings, key=_largest_first)),
        factors=len(findings),
        arms=len(study.arms),
        seeds=study.folds.k if study.folds else len(study.seeds),
        clear=not any(one.aliases for one in single),
        separate=not shares,
        partial=bool(shares - {0.5, 1.0, 2.0}),
    )


def _largest_first(finding: Finding) -> tuple[bool, float]:
    return finding.effect is None, -abs(finding.effect.mean) if finding.effect else 0.0


def table(d: Document, cost: bool) -> Table | None:
    """Main effects, then interactions."""
    judged = any(e.finding for e in d.factor_effects)
    verdict = finding_columns("", lambda e: e.finding)[1:] if judged else ()
    aliases = Column("aliases", "also holds", "prose", lambda e: effects.told(e.aliases) or None)
    columns = (
        Column("effect_of", "effect", "name", lambda e: " × ".join(map(_against, e.levels))),
        Column("effect", f"Δ {d.rules.primary}", "effect", lambda e: e.effect),
        *verdict,
        Column("over", "over", "text", _over, where="print"),
        *((aliases,) if d.screen and not d.screen.separate else ()),
        filed("blocks", lambda e: e.blocks),
        filed("cells", lambda e: e.cells),
        Column("seeds", d.over, "count", lambda e: e.seeds),
    )
    return Table("Factors", columns, d.factor_effects, _note(d, judged)) if d.factor_effects else None


def _note(d: Document, judged: bool) -> str:
    alone = "pointwise; only what was declared has a verdict." if judged else "pointwise, no verdict."
    if d.screen is None:
        return (
            "A single level: the mean of its arms minus the mean of the same arms at the baseline's "
            "level. Two joined by ×, an interaction: what the first does in the presence of the second "
            f"minus what it does without; 0 where they add up. {d.unit.capitalize()}, on {d.over} finished "
            f"in all of these arms; {alone}"
        )
    saved = ""
    if not d.rules.folds:
        seeds, trials = d.screen.one_at_a_time
        saved = (
            f" As far as the luck of seeds goes, changing one factor at a time would take {seeds} seeds, "
            f"{trials} trials, for intervals as narrow as these {d.screen.trials} trials give."
        )
    return (
        "A single level: the mean of the half of all arms that have it minus the mean of the other half, "
        "so an effect averaged over the other factors, not the one at the baseline. Two joined by ×, an "
        "interaction: what the first does in the presence of the second minus what it does without; 0 "
        f"where they add up. {_told_apart(d.screen)} {d.unit.capitalize()}, on {d.over} finished in all "
        f"arms; {alone}{saved}"
    )


def _told_apart(screen: Screen) -> str:
    """What the screen can tell from what."""
    if screen.separate:
        return "Main effects and interactions of two are all told apart."
    if screen.clear:
        return (
            "Main effects are clear of interactions of two; these are aliased with one another: where "
            "several are named, the number is their sum, and no data of this screen can tell them apart."
        )
    how = "a part of interactions" if screen.partial else "interactions"
    return (
        f"A main effect also holds {how} of two others, as named: where those are not 0, the number is not "
        "the factor's own, and no data of this screen can tell."
    )


def _against(level: tuple[str, str, str]) -> str:
    return "{} {} against {}".format(*level)


def _over(effect: FactorEffect) -> str:
    return f"{effect.blocks} setting{'s' * (effect.blocks != 1)} of the others, {effect.cells} arms"


@dataclass(frozen=True)
class Ingredient:
    """One level of an add-and-remove study: added to the baseline, and removed from the full recipe."""

    factor: str
    level: str
    added: Finding | None
    removed: Finding | None
    """The arm without it against the full recipe; None for levels that the full recipe has not."""


def ingredients(d: Document, cost: bool) -> Table | None:
    """What helps alone, and what is missed."""
    columns = (
        Column("ingredient", "ingredient", "name", lambda i: f"{i.factor} {i.level}"),
        *finding_columns("added to the baseline", lambda i: i.added, "added_"),
        *finding_columns("removed from the full recipe", lambda i: i.removed, "removed_"),
    )
    note = (
        f"{d.unit.capitalize()} of the primary metric. What helps when it is added and is not missed when "
        "it is removed, something else in the full recipe does as well. Additions and removals are one "
        "family."
    )
    return Table("Added and removed", columns, d.ingredients, note) if d.ingredients else None


def find_ingredients(study: Study, rulings: Rulings) -> tuple[Ingredient, ...]:
    """What each ingredient of an add-and-remove study does alone, and what its absence does."""
    full = factorial.full_arm(study)
    if full is None:
        return ()
    added = {level: label for label, level in factorial.additions(study).items()}
    removed = {level: label for label, level in factorial.removals(study).items()}
    return tuple(
        Ingredient(
            *level,
            rulings.finding((added[level], study.baseline, study.primary)) if level in added else None,
            rulings.finding((removed[level], full.label, study.primary)) if level in removed else None,
        )
        for level in dict.fromkeys([*added, *removed])
    )


@dataclass(frozen=True)
class Rung:
    """One arm of a ladder."""

    arm: str
    adds: str
    """What it has and the rung below has not."""
    step: Finding | None
    """Against the rung below; None of the first."""
    whole: Finding | None
    """Against the first."""


def ladder(d: Document, cost: bool) -> Table | None:
    """Step by step."""
    columns = (
        Column("arm", "rung", "arm", lambda rung: d.called(rung.arm)),
        Column("adds", "adds", "prose", lambda rung: rung.adds or None),
        *finding_columns("Δ against the rung below", lambda rung: rung.step, "step_"),
        *finding_columns(f"Δ against {d.called(d.baseline).name}", lambda rung: rung.whole, "whole_"),
    )
    note = (
        f"{d.unit.capitalize()} of {d.rules.primary}. Each rung keeps what the ones below it have and adds "
        "one thing. A step is what that adds there: put in another order, the same ingredient may do "
        "more, or less. The steps' means add up to the last rung's difference to the first; their "
        "intervals do not, and neighbouring steps share an arm, whose luck one gains and the next loses. "
        "Steps and differences to the first rung are one family."
    )
    return Table("Ladder", columns, d.ladder, note) if d.ladder else None


def find_rungs(study: Study, rulings: Rulings, adds: Sequence[str]) -> tuple[Rung, ...]:
    """The arms of a ladder, with what each does; none of other designs.

    adds   of every arm, what it has and the one before has not
    """
    below = dict(factorial.steps(study))
    if not below:
        return ()

    def finding(arm: str, reference: str | None) -> Finding | None:
        return rulings.finding((arm, reference, study.primary)) if reference not in (None, arm) else None

    labels = [arm.label for arm in study.arms]
    return tuple(
        Rung(label, added, finding(label, below.get(label)), finding(label, labels[0]))
        for label, added in zip(labels, adds, strict=True)
    )
