"""``--until decided``: comparisons looked at several times, each arm only as long as it is undecided.

Everything is told from records: look after look is gone through again, on the seeds each look had, whenever
the report or the next plan is made.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from bench import stats
from bench.judge.contrast import Contrast
from bench.judge.declared import Declared, read_declared
from bench.judge.evidence import Evidence
from bench.judge.factorial import arms_of
from bench.judge.family import Key, family_keys, mirror, pairs_of, wanted_scores
from bench.judge.findings import Effect
from bench.judge.measure import Measure
from bench.judge.outcomes import read_outcomes
from bench.judge.rulings import Rulings, settled, spelled_out
from bench.judge.sharing import moderated
from bench.planned import PlanFile
from bench.store import Store
from bench.study.read import Study

ENDED = ("done", "diverged", "failed")
Cut = tuple[str, float]
"""``zero``, ``delta``, ``minus`` or ``margin``, and a claim's margin as a fraction."""
CUTS: tuple[Cut, ...] = (("zero", 0.0), ("delta", 1.0), ("minus", -1.0))


@dataclass(eq=False)
class _Course:
    """One comparison through the looks."""

    key: Key
    seen: Evidence | None
    """What was there at the last look that it took part in."""
    contrast: Contrast
    member: stats.Hypothesis
    judgement: stats.Judgement
    sides: dict[Cut, int]
    stopped: int | None = None
    """Look at which it was decided."""
    last: int = 0
    """The last look that it took part in."""
    futile: bool = False
    """Further seeds would hardly decide it. It asks for none, and takes part again where there are some."""

    @property
    def goes_on(self) -> bool:
        """Whether it asks for further seeds."""
        return self.stopped is None and not self.futile


class SequentialRulings(Rulings):
    """Verdicts of a family that was looked at several times."""

    def __init__(
        self, study: Study, evidence: Evidence, looks: tuple[int, ...], declared: Declared | None = None
    ) -> None:
        """Go through the looks, as far as trials have ended."""
        self._declare(study, evidence, declared)
        self.looks, self.levels = looks, stats.levels(len(looks))
        self._margins = {
            (1 if key in self._places else -1) * claim.margin / 100
            for claim in study.claims
            for key in pairs_of(claim)
            if claim.margin
        }
        """Cuts of claims with a margin; below 0 where the claim is told from the other side."""
        self._courses = [self._course(key) for key in self.keys]
        self.wanted = {arm.label: looks[0] for arm in study.arms}
        """Arm → how many of its seeds are to be trained, as far as the looks have come."""
        self.looked = 0
        """Looks that are over."""
        while self.looked < len(looks) and self._all_ended():
            self._look()
        self._contrasts = [course.contrast for course in self._courses]
        self._members = [course.member for course in self._courses]
        self._judgements = [course.judgement for course in self._courses]
        self._levels = [self.levels[course.last] for course in self._courses]

    def _course(self, key: Key) -> _Course:
        nothing = Contrast(None, reason="not looked at yet")
        return _Course(key, None, nothing, self._member(key, nothing), stats.Judgement("inconclusive"), {})

    def _contrast(self, key: Key) -> Contrast:
        """As its comparison was last looked at."""
        course = self._courses[self._places.get(key, self._places.get(mirror(key), 0))]
        return self._seen(key, course.seen) if course.seen else course.contrast

    def _seen(self, key: Key, seen: Evidence) -> Contrast:
        return self._unknown(key) or self._measured(key, seen)

    def _all_ended(self) -> bool:
        return all(
            outcome.state in ENDED
            for label, wanted in self.wanted.items()
            for outcome in self.evidence.outcomes[label][:wanted]
        )

    def _look(self) -> None:
        seeds, level = self.looks[self.looked], self.levels[self.looked]
        seen = self.evidence.first(seeds)
        running = [course for course in self._courses if self._runs(course, seeds)]
        for course in running:
            course.seen, course.contrast, course.last = seen, self._seen(course.key, seen), self.looked
        # What stopped earlier still tells the others of noise; its own verdict stands as it was given.
        contrasts = moderated(self.keys, [course.contrast for course in self._courses], self._untold(seen))
        for course, contrast in zip(self._courses, contrasts, strict=True):
            if course in running:
                course.contrast, course.member = contrast, self._member(course.key, contrast)
        for cut in (*CUTS, *(("margin", margin) for margin in sorted(self._margins))):
            self._reject(cut, level, running)
        for course in running:
            course.judgement = self._judgement(course)
            if course.judgement.word != "inconclusive" or course.contrast.hopeless:
                course.stopped = self.looked
        for course in running:
            course.futile = course.stopped is None and self._hardly_decided(course)
        self.looked += 1
        if self.looked < len(self.looks):
            undecided = {label for c in self._courses if c.goes_on for label in self._arms(c.key)}
            self.wanted |= dict.fromkeys(undecided & set(self.wanted), self.looks[self.looked])

    def _runs(self, course: _Course, seeds: int) -> bool:
        """Whether it takes part in a look: undecided, and its seeds were asked for, or are there anyway."""
        trials = [self.evidence.outcomes.get(label, ())[:seeds] for label in self._arms(course.key)]
        there = all(len(arm) == seeds and all(o.state in ENDED for o in arm) for arm in trials)
        return course.stopped is None and (not course.futile or there)

    def _hardly_decided(self, course: _Course) -> bool:
        """Whether even the last look's seeds would hardly bring a verdict."""
        test, seeds = course.member.test, self.looks[-1]
        if not isinstance(test, stats.Interval) or course.contrast.reason or test.seeds >= seeds:
            return False
        rejected = sum(bool(other.sides.get(CUTS[0])) for other in self._courses)
        alpha = self.levels[-1] / max(1, len(self._courses) - rejected)
        return stats.chance_of_verdict(test, course.member.delta, seeds, alpha) < stats.FUTILE

    def _reject(self, cut: Cut, level: float, running: Sequence[_Course]) -> None:
        """Holm at one cut, over those that were not rejected there before."""
        before = [bool(course.sides.get(cut)) for course in self._courses]
        stopped = [course not in running for course in self._courses]
        where = [_place(course.member, cut) for course in self._courses]
        p = [course.member.p(at) for course, at in zip(self._courses, where, strict=True)]
        now = stats.rejected_now(p, before, stopped, level)
        for course, at, rejected in zip(self._courses, where, now, strict=True):
            if rejected and at is not None and course.member.test is not None:
                course.sides[cut] = 1 if course.member.test.mean > at else -1

    def _judgement(self, course: _Course) -> stats.Judgement:
        zero, delta, minus = (course.sides.get(cut, 0) for cut in CUTS)
        found = stats.Judgement(
            stats.word(zero, delta, minus), course.member.reason, zero=zero, delta=delta, minus_delta=minus
        )
        return settled(found, course.contrast)

    def _shrunk(self, key: Key, contrast: Contrast, metric: Measure) -> Effect | None:
        """Of a comparison that was told from 0 before the last look."""
        i = self._places.get(key, self._places.get(mirror(key), 0))
        course, test = self._courses[i], contrast.test
        early = course.stopped is not None and course.stopped + 1 < len(self.looks)
        if not (early and course.judgement.zero and isinstance(test, stats.Interval)):
            return None
        tests = (c.contrast.test for c in self._courses if c.key[2] == key[2] and not c.contrast.reason)
        every = [one for one in tests if isinstance(one, stats.Interval)]
        variances = [one.deciding.variance for one in every]
        mean = stats.shrunk(test.mean, test.deciding.variance, [one.mean for one in every], variances)
        return spelled_out(mean, mean, mean, metric)

    def progress(self) -> Race:
        """How far the looks have come."""
        stopped: dict[str, int | None] = {}
        for course in self._courses:
            for label in self._arms(course.key):
                before = stopped.get(label, 0)
                later = None if before is None or course.goes_on else max(before, course.last)
                stopped[label] = later
        stopped.pop(self.study.baseline, None)
        hopeless = [c for c in self._courses if c.stopped is not None and c.contrast.hopeless]
        given_up = {
            label for c in hopeless for label in self._arms(c.key)[: 1 if c.contrast.arms == 2 else None]
        }
        futile = {label for c in self._courses if c.futile for label in self._arms(c.key)}
        return Race(
            self.looks,
            self.wanted,
            self.looked,
            stopped,
            frozenset(given_up),
            frozenset(futile & set(stopped)),
        )

    def _sides(self, cut: float) -> Sequence[int]:
        return [course.sides.get(("margin", cut), 0) for course in self._courses]


def _place(member: stats.Hypothesis, cut: Cut) -> float | None:
    """Where a cut lies for one comparison."""
    name, value = cut
    if name == "zero":
        return 0.0
    if member.delta is None:
        return None
    return value if name == "margin" else value * member.delta


@dataclass(frozen=True)
class Race:
    """How far the looks have come."""

    looks: tuple[int, ...]
    wanted: Mapping[str, int]
    """Arm → how many of its seeds are to be trained by now."""
    looked: int
    """Looks that are over."""
    stopped: Mapping[str, int | None]
    """Arm, but for the baseline → look after which it needs no further seed; None: not yet."""
    hopeless: frozenset[str]
    """Arms that were stopped because no further seed would give a verdict."""
    futile: frozenset[str] = frozenset()
    """Arms with a comparison that further seeds would hardly decide; where it is the last, they stop."""

    def line(self, look: int) -> str:
        """``look 1 of 3 after 5 seeds: decided a, b; continue with c``; empty where nothing was left."""
        now = [arm for arm, at in self.stopped.items() if at == look]
        further = [arm for arm, at in self.stopped.items() if at is None or at > look]
        without = self.hopeless | self.futile
        parts = [
            ("decided ", [arm for arm in now if arm not in without]),
            ("no verdict is possible of ", [arm for arm in now if arm in self.hopeless]),
            (f"{self.looks[-1]} seeds would hardly decide ", [arm for arm in now if arm in self.futile]),
            ("continue with " if look + 1 < len(self.looks) else "undecided ", further),
        ]
        said = "; ".join(what + ", ".join(arms) for what, arms in parts if arms)
        return f"look {look + 1} of {len(self.looks)} after {self.looks[look]} seeds: {said}" if said else ""

    @property
    def end(self) -> str:
        """What came of it; empty while looks are ahead."""
        undecided = [arm for arm, at in self.stopped.items() if at is None]
        if undecided:
            over = self.looked == len(self.looks)
            return f"undecided after {self.looks[-1]} seeds: {', '.join(undecided)}" if over else ""
        without = [arm for arm in self.stopped if arm in self.hopeless | self.futile]
        return f"all decided but {', '.join(without)}" if without else "all decided" if self.stopped else ""


def progress(study: Study, plan: PlanFile, store: Store) -> Race:
    """How far the looks have come, as the records tell.

    study, plan   with as many seeds as the last look has
    """
    declared = read_declared(store.study_dir(study.name))
    wanted = wanted_scores(study, [metric for _, _, metric in declared.comparisons] if declared else ())
    evidence = Evidence(study, read_outcomes(study, plan, store), store, wanted)
    return SequentialRulings(study, evidence, plan.looks, declared).progress()


def scored_pairs(study: Study, plan: PlanFile, store: Store) -> list[tuple[str, str]]:
    """Declared comparisons whose two arms have both been scored with one of the study's seeds."""
    scored: dict[str, set[tuple[int, int | None]]] = {}
    for arm in plan.arms:
        records = {(t.seed, t.fold): store.brief(t.id) for t in arm.trials if t.seed in study.seeds}
        ended = {at for at, record in records.items() if record and record.status in ("done", "diverged")}
        scored[arm.label] = ended
    pairs = dict.fromkeys((arm, reference) for arm, reference, _ in family_keys(study))

    def both(pair: tuple[str, str]) -> bool:
        sides = [set().union(*(scored.get(arm, set()) for arm in arms)) for arms in arms_of(study, *pair)]
        return not sides[0].isdisjoint(sides[1])

    return list(filter(both, pairs))
