"""The comparisons of several data sets, pooled: one mean and one verdict for each, or why there is none."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace

from bench import stats
from bench.errors import UserError
from bench.judge import assemble, claims, methods, whole
from bench.judge.basis import Size
from bench.judge.contrast import Contrast
from bench.judge.declared import LATE
from bench.judge.family import Key, family_keys, hypotheses, mirror, references
from bench.judge.findings import Called, ClaimRow, Effect, Finding, short_names
from bench.judge.looks import SequentialRulings
from bench.judge.measure import parse
from bench.judge.rulings import Ruling, Rulings, matters, settled, spelled_out, told
from bench.judge.used import as_used
from bench.plan import TEST
from bench.planned import PlanFile, read_plan_file
from bench.store import Store
from bench.study.datasets import whole_and_part
from bench.study.read import Claim

MOST_WITHIN = 0.5
"""Share of the mean's variance from which on the noise within data sets is what keeps it wide."""


@dataclass(frozen=True)
class Part:
    """The study of one data set, as far as it was run."""

    study: str
    """Its name."""
    plan: PlanFile | None
    rulings: Rulings | None

    @property
    def name(self) -> str:
        """Of the data set."""
        return whole_and_part(self.study)[1]

    @property
    def source(self) -> str:
        """Where its images are, as the file says."""
        return self.rulings.study.data.source if self.rulings else ""

    @property
    def trials(self) -> str:
        """``14/15``: those that ended, of those planned."""
        if self.rulings is None:
            return "not run"
        every = [o for trials in self.rulings.evidence.outcomes.values() for o in trials]
        return f"{sum(o.state in ('done', 'diverged') for o in every)}/{len(every)}"

    def size(self, metric: str) -> Size | None:
        """Of the set that a metric is of; None where no trial was scored on it."""
        if self.rulings is None:
            return None
        measure = parse(metric, self.rulings.sets)
        every = [o for trials in self.rulings.evidence.outcomes.values() for o in trials]
        images, groups = self.rulings.evidence.rows.size(every, measure.set or TEST)
        return Size(images, groups) if images else None


@dataclass(frozen=True)
class Cell:
    """One comparison on one data set."""

    part: Part
    finding: Finding | None = None
    """As its own report tells it; None where it was not compared there."""
    contrast: Contrast | None = None
    late: bool = False
    reason: str = ""
    """Why it is in no mean."""
    weight: float | None = None
    """Its share of the mean, 0 to 1."""

    @property
    def told(self) -> tuple[float, float] | None:
        """Its difference, and the variance of that: the one by which its own verdict is found."""
        test = self.contrast.test if self.contrast and not self.reason else None
        return (test.mean, test.deciding.variance) if isinstance(test, stats.Interval) else None


@dataclass(frozen=True)
class PooledRow:
    """One comparison over all data sets."""

    finding: Finding
    """Its effect is the mean; its seeds are data sets."""
    cells: tuple[Cell, ...]
    mean: stats.Pooled | None
    new_set: Effect | None
    """Mean and 95 % prediction interval of the true difference on a data set that was not looked at."""

    @property
    def known(self) -> str:
        """``2 of 3``: data sets that tell its difference."""
        return f"{sum(cell.told is not None for cell in self.cells)} of {len(self.cells)}"

    @property
    def missing(self) -> tuple[Cell, ...]:
        """Data sets that do not."""
        return tuple(cell for cell in self.cells if cell.told is None)


@dataclass(frozen=True)
class Together:
    """The page on all data sets of a study."""

    study: str
    question: str
    baseline: str
    smoke: bool
    primary: str
    family: int
    delta_local: float
    """Points."""
    delta_hidden: float
    parts: tuple[Part, ...]
    rows: tuple[PooledRow, ...]
    """On the primary metric by their effect, best first, those without a mean last; then as declared."""
    claims: tuple[ClaimRow, ...]
    changes: tuple[str, ...]
    """What was not declared before the first score, a line each."""
    known: bool
    """It is known which data sets were meant then."""
    names: dict[str, str] = field(default_factory=dict)
    """Label of each arm → how tables call it."""
    docs: str = "../../docs"
    over: str = "data sets"
    """What means are over."""
    tuned_apart: bool = False
    """That searches chose apart is said where their luck is: in each data set's own report."""

    @property
    def first(self) -> tuple[PooledRow, ...]:
        """The rows on the primary metric."""
        return tuple(row for row in self.rows if row.finding.metric == self.primary)

    @property
    def findings(self) -> tuple[Finding, ...]:
        """The means on the primary metric."""
        return tuple(row.finding for row in self.first)

    @property
    def synthetic(self) -> bool:
        """Whether every data set is drawn by a generator."""
        return all(part.source == "synthetic" for part in self.parts)

    @property
    def methods(self) -> tuple[str, ...]:
        """Sentences for the methods of a paper; none where what was declared when is no plain matter."""
        if self.changes or self.smoke or not self.known:
            return ()
        return tuple(methods.pooled([part.name for part in self.parts], self.family))

    def called(self, label: str) -> Called:
        """An arm as a cell of a table."""
        return Called(label, self.names.get(label, label), label == self.baseline)


def together(name: str, store: Store) -> Together:
    """A study of several data sets, of its studies' records alone. Raises UserError where none was run."""
    parts = [_part(one, store) for one in whole.parts(name, store)]
    if not (run := [part for part in parts if part.rulings]):
        raise UserError(f"{store.root} holds no run of any data set of {name}; bench run {name} makes one")
    promised, now = whole.read_promised(name, store), whole.data_of(whole.table(name, store) or {}, name)
    smoke = any(part.plan.smoke for part in parts if part.plan)
    changes = tuple(whole.changes(promised, now)) if promised else ()
    rulings = [part.rulings for part in run if part.rulings]
    pool = _Pool(parts, rulings, late=bool(changes) and not smoke)
    study = pool.study
    labels = [arm.label for one in rulings for arm in one.study.arms]
    return Together(
        study=name,
        question=study.question,
        baseline=study.baseline,
        smoke=smoke,
        primary=study.primary,
        family=pool.family,
        delta_local=rulings[0].delta.local,
        delta_hidden=rulings[0].delta.hidden,
        parts=tuple(parts),
        rows=tuple(pool.rows()),
        claims=tuple(map(pool.claim, study.claims)),
        changes=changes,
        known=promised is not None and not promised.later,
        names=short_names(dict.fromkeys(labels)),
        docs="../../../docs" if store.root.name == assemble.REFERENCE else "../../docs",
    )


def _part(name: str, store: Store) -> Part:
    file = store.study_dir(name) / "plan.json"
    if not file.is_file():
        return Part(name, None, None)
    plan = read_plan_file(file)
    return Part(name, plan, assemble.judged(as_used(plan, store), plan, store))


class _Pool:
    """All comparisons, and Holm over them: what ``claims`` asks of rulings, of means over data sets."""

    def __init__(self, parts: Sequence[Part], rulings: Sequence[Rulings], *, late: bool) -> None:
        """rulings: of the parts that were run, at least one; late: the data sets are not those declared."""
        self.parts, self.late, self.study, self.sets = parts, late, rulings[0].study, rulings[0].sets
        self._delta = rulings[0].delta
        every = [key for one in rulings for key in (*one.keys, *family_keys(one.study))]
        self.keys = hypotheses(every)
        self._cells = {key: self._of(key) for key in self.keys}
        self._means = {key: _mean(cells) for key, cells in self._cells.items()}
        self._members = [self._member(key) for key in self.keys]
        self._judgements = [
            settled(judgement, self._diverged(key))
            for key, judgement in zip(self.keys, stats.judge(self._members), strict=True)
        ]

    @property
    def family(self) -> int:
        """How many comparisons Holm corrects for."""
        return sum(not member.never for member in self._members)

    def rows(self) -> Iterator[PooledRow]:
        """Every comparison; on the primary metric as the study tells it, whichever side was declared."""
        asked = {(*pair, self.study.primary) for pair in references(self.study)}
        keys = [mirror(key) if mirror(key) in asked else key for key in self.keys]
        sign = 1 if not parse(self.study.primary, self.sets).lower_is_better else -1

        def rank(row: PooledRow) -> tuple[bool, bool, float]:
            effect = row.finding.effect
            if row.finding.metric != self.study.primary:  # what is told in other units has no order
                return True, False, 0.0
            return False, effect is None, -sign * (effect.mean if effect else 0)

        yield from sorted(map(self._row, keys), key=rank)

    def _row(self, key: Key) -> PooledRow:
        cells, mean, new = self._told(key), self._mean_of(key), None
        if mean:
            new = spelled_out(mean.mean, *mean.new_set, parse(key[2], self.sets))
            cells = tuple(
                replace(cell, weight=share) for cell, share in zip(cells, _shares(cells, mean), strict=True)
            )
        return PooledRow(self.finding(key), cells, mean, new)

    def claim(self, claim: Claim) -> ClaimRow:
        """A claim of the study, on the means."""
        if claim.expect != "does not converge":
            return claims.by_pairs(self, claim)
        why = "is about single arms: judged for each data set, in its own report"
        return ClaimRow(claim.says, claim.expect, claim.metric, "not judged", (), (why,))

    def came_late(self, claim: Claim) -> bool:
        """Whether it, or a data set, was declared after scores."""
        return self.late or any(part.rulings.came_late(claim) for part in self.parts if part.rulings)

    def ruling(self, key: Key) -> Ruling:
        """Of a comparison, told from the side that ``key`` does."""
        turned = key not in self._means
        i = self.keys.index(mirror(key) if turned else key)
        judgement = self._judgements[i].mirrored() if turned else self._judgements[i]
        contrast = Contrast(None, reason=self._reason(key))
        return Ruling(contrast, self._members[i], judgement, late=self._came_late(key))

    def side(self, key: Key, cut: float) -> int:
        """On which side of a cut a mean is seen to be: 1 above, −1 below, 0 unknown."""
        turned = key not in self._means
        at = -cut if turned else cut
        found = stats.sides(self._members, [None if one.delta is None else at for one in self._members])[0]
        return -found[self.keys.index(mirror(key))] if turned else found[self.keys.index(key)]

    def finding(self, key: Key) -> Finding:
        """A mean in words."""
        ruling, mean, metric = self.ruling(key), self._mean_of(key), parse(key[2], self.sets)
        judgement, reason = ruling.judgement, ruling.contrast.reason
        cells = self._told(key)
        effect = spelled_out(mean.mean, mean.low, mean.high, metric) if mean else None
        detail, verdict = reason, "no mean"
        if ruling.late:
            verdict = str(LATE)
        elif judgement.word == "unstable":
            lost = self._diverged(key)
            verdict = f"unstable ({lost.diverged} diverged, of the reference {lost.diverged_reference})"
        elif not reason:
            verdict = told(judgement, metric, matters(metric, self._delta))
            detail = _settles(cells, mean) if judgement.word == "inconclusive" and mean else ""
        return Finding(
            *key, verdict=verdict, detail=detail, effect=effect, if_converges=False, dagger=judgement.dagger,
            seeds=sum(cell.told is not None for cell in cells), bolder=judgement.bolder,
        )  # fmt: skip

    def _of(self, key: Key) -> tuple[Cell, ...]:
        return tuple(self._cell(part, key) for part in self.parts)

    def _told(self, key: Key) -> tuple[Cell, ...]:
        """The cells of a comparison, from the side that ``key`` tells it."""
        return self._cells[key] if key in self._cells else self._of(key)

    def _mean_of(self, key: Key) -> stats.Pooled | None:
        if key in self._means:
            return self._means[key]
        other = self._means[mirror(key)]
        return other and replace(other, mean=-other.mean)

    def _cell(self, part: Part, key: Key) -> Cell:
        rulings = part.rulings
        if rulings is None:
            return Cell(part, reason="not run yet")
        finding = rulings.found(key) if parse(key[2], rulings.sets).kind != "unknown" else None
        if finding is None:
            return Cell(part, reason=f"has no comparison on {key[2]}")
        ruling = rulings.ruling(key)
        contrast = ruling.contrast
        reason = contrast.reason
        if isinstance(rulings, SequentialRulings):
            reason = "was run until its own verdict was decided, where effects seem larger than they are"
        elif not reason and not isinstance(contrast.test, stats.Interval):
            reason = "has no standard error"
        return Cell(part, finding, contrast, ruling.late, reason)

    def _member(self, key: Key) -> stats.Hypothesis:
        metric, mean = parse(key[2], self.sets), self._means[key]
        if mean is not None and metric.lower_is_better:
            mean = replace(mean, mean=-mean.mean)
        own = key[2] == "cost.seconds"
        late = self._came_late(key)
        return stats.Hypothesis(mean, matters(metric, self._delta), self._reason(key), own=own, never=late)

    def _reason(self, key: Key) -> str:
        """Why a comparison has no mean; empty where it has."""
        cells = self._told(key)
        lost = [cell for cell in cells if cell.told is None]
        if lost:
            why = "; ".join(f"{cell.part.name}: {cell.reason}" for cell in lost)
            return f"{len(cells) - len(lost)} of {len(cells)} data sets; {why}"
        if len(cells) < stats.FEWEST_SETS:
            sets = "1 data set" if len(cells) == 1 else f"{len(cells)} data sets"
            return f"{sets}, {stats.FEWEST_SETS} needed: fewer say nothing of how data sets differ"
        return ""

    def _came_late(self, key: Key) -> bool:
        return self.late or any(cell.late for cell in self._told(key))

    def _diverged(self, key: Key) -> Contrast:
        """How many seeds diverged on all data sets together."""
        told = [cell.contrast for cell in self._told(key) if cell.contrast and cell.told]
        here, there = (sum(getattr(one, side) for one in told) for side in ("diverged", "diverged_reference"))
        return Contrast(None, diverged=here, diverged_reference=there)


def _mean(cells: Sequence[Cell]) -> stats.Pooled | None:
    known = [cell.told for cell in cells if cell.told is not None]
    if len(known) < len(cells) or len(cells) < stats.FEWEST_SETS:
        return None
    y, v = zip(*known, strict=True)
    return stats.pooled(y, v)


def _shares(cells: Sequence[Cell], mean: stats.Pooled) -> list[float]:
    weights = [1 / (cell.told[1] + mean.between**2) for cell in cells if cell.told]
    return [weight / sum(weights) for weight in weights]


def _settles(cells: Sequence[Cell], mean: stats.Pooled) -> str:
    """What would make a mean's interval narrower."""
    within = 1 / sum(1 / cell.told[1] for cell in cells if cell.told)
    if within / mean.error**2 >= MOST_WITHIN:
        return "most of its width is noise within data sets: more seeds, or images, would narrow it"
    return "most of its width is how data sets differ: more of them would narrow it, more seeds hardly"
