"""What the tables of a study have to say, one function per file of `tables/`.

Rows go from the names of docs/results-format.md to values: fractions, seconds, megabytes, text, None.
"""

from dataclasses import replace
from functools import cached_property

import numpy as np

from . import corrupted, designs, ordered, outlook, screens, settings, slices, tuning
from .beside import Beside
from .claims import claims
from .comparisons import Comparison, compare, difference
from .family import Family, Verdict, clopper_pearson
from .looks import LookedFamily
from .records import LOCAL, Row, Study, Trial
from .replicates import FEW, gap_effect, items, wrong
from .replicates import effect as effect_of
from .replicates import rows as rows_of
from .rows import effect, mean, verdict
from .scores import all_scores, recalls

SCORES = ("accuracy", "balanced_accuracy", "macro_f1", "auc", "worst_recall", "ece", "nll")


class Tables:
    """All of a study's tables."""

    def __init__(self, study: Study) -> None:
        self.study = study
        self.family = LookedFamily(study) if study.looks else Family(study)
        self.beside = Beside(self.family)
        self._scores: dict[tuple[str, str], dict[str, float]] = {}

    def scored(self, trial: Trial, name: str) -> dict[str, float]:
        """A trial's scores on a set, from its predictions."""
        key = (trial.id, trial.keys[name])
        if key not in self._scores:
            self._scores[key] = all_scores(trial.answers(trial.keys[name]))
        return self._scores[key]

    def values(self, arm: str, name: str, score: str) -> list[float]:
        """Of each finished seed."""
        return [self.scored(trial, name)[score] for trial in self.study.finished(arm)]

    @cached_property
    def order(self) -> list[str]:
        """The baseline, then the others, best effect first."""
        study = self.study
        others = [arm for arm in study.arms if arm != study.baseline]
        by_effect = self._seen if study.file.get("design") == "screen" else lambda arm: self.main(arm).benefit
        if study.file.get("design") == "ladder":
            return [study.baseline, *others]
        return [study.baseline, *sorted(others, key=lambda arm: (-by_effect(arm), arm))]

    def _seen(self, arm: str) -> float:
        """By which the arms of a screen are ordered, for none is judged."""
        return screens.seen(self.study, arm)

    def main(self, arm: str) -> Comparison:
        """The arm's comparison with the baseline on the primary metric, as it is told."""
        return self.family.verdict((arm, self.study.baseline, self.study.primary)).comparison

    def interval(self, arm: str, name: str, stem: str) -> Row:
        """Both ends of an arm's accuracy on a set; where few items were ever wrong a lower bound and 1."""
        trials = self.study.finished(arm)
        found = effect_of(self.study, trials, rows_of(trials, name), name)
        ends: tuple[float | None, float | None] = found.ends() if found else (None, None)
        if found and wrong(trials, name) < FEW:
            N = items(trials, name)
            ends = 1 - clopper_pearson(N * (1 - found.mean), N)[1], 1.0
        return dict(zip((f"{stem}low", f"{stem}high"), ends, strict=True))

    def arms(self) -> list[Row]:
        study, rows = self.study, []
        for arm in [*self.order, *filter(None, [study.repeated])]:
            base = arm == study.baseline
            row: Row = {"arm": arm, "baseline": "yes" if base else "no"}
            for name in study.sets:
                one = mean(f"{name}_accuracy", self.values(arm, name, "accuracy"))
                row |= {k.replace("_accuracy_", "_"): v for k, v in one.items()}
                row |= self.interval(arm, name, f"{name}_")
            row |= self._primary(arm)
            alone = base or (study.file.get("design") == "screen" and arm != study.repeated)
            found = None if alone else self._found(arm)
            row |= effect("effect", found and found.comparison, found.level if found else 0.05, stem="")
            row |= verdict(found)
            row |= {"reference": None if alone else study.baseline}
            row |= self._gap(arm)
            row |= self._worst(arm)
            row |= mean("ece", self.values(arm, study.primary_set, "ece"))
            row |= {"seeds": self._ended(arm), "planned": len(study.trials(arm))}
            rows.append(row | self.costs_of(arm))
        return rows

    def _found(self, arm: str) -> Verdict:
        """On the primary metric against the baseline; the baseline again shows noise, outside the family."""
        name = (arm, self.study.baseline, self.study.primary)
        if arm != self.study.repeated:
            return self.family.verdict(name)
        one = compare(self.study, *name)
        return Verdict(replace(one, effect=one.of_finished), "noise floor", dagger=False, detail="")

    def _ended(self, arm: str) -> str:
        """How an arm's trials ended, counted."""
        trials = self.study.trials(arm)
        counts = ((sum(trial.little for trial in trials), "little learned"),)
        counts += ((sum(trial.diverged for trial in trials), "diverged"),)
        rest = [f"{count} {what}" for count, what in counts if count]
        return ", ".join([f"{sum(trial.done for trial in trials)}/{len(trials)}", *rest])

    def _primary(self, arm: str) -> Row:
        """The deciding score, where it is no accuracy: by the rows that its difference is of."""
        name, _, score = self.study.primary.partition(".")
        if name not in self.study.sets or score == "accuracy":
            return {}
        trials = self.study.finished(arm)
        few = wrong(trials, name) < FEW
        found = None if few else effect_of(self.study, trials, rows_of(trials, name, score), name)
        low, high = found.ends() if found else (None, None)
        means = mean("primary", self.values(arm, name, score))
        return means | {"primary_low": low, "primary_high": high}

    def _gap(self, arm: str) -> Row:
        trials, hidden = self.study.finished(arm), self.study.gap_set
        if not hidden:
            return dict.fromkeys(("gap", "gap_sd", "gap_seeds", "gap_low", "gap_high"))
        found = gap_effect(self.study, trials, rows_of(trials, LOCAL), rows_of(trials, hidden), hidden)
        ends = found.ends() if found else (None, None)
        values = [
            self.scored(trial, LOCAL)["accuracy"] - self.scored(trial, hidden)["accuracy"] for trial in trials
        ]
        return mean("gap", values) | {"gap_low": ends[0], "gap_high": ends[1]}

    def recalled(self, arm: str) -> dict[str, list[float]]:
        """Class → share recognised on the primary metric's set, of each seed."""
        trials = self.study.finished(arm)
        each = [recalls(trial.answers(trial.keys[self.study.primary_set])) for trial in trials]
        return {self.study.classes[k]: [one[k] for one in each] for k in each[0]}

    def sizes(self, arm: str) -> dict[str, int]:
        """Class → images of the primary metric's set that an arm's finished trials saw."""
        trials = self.study.finished(arm)
        found: dict[str, int] = {}
        for trial in {trial.keys[self.study.primary_set]: trial for trial in trials}.values():
            answers = trial.answers(trial.keys[self.study.primary_set])
            _, first = np.unique(answers.ids, return_index=True)  # copies count once
            for k in answers.labels[first]:
                label = self.study.classes[k]
                found[label] = found.get(label, 0) + 1
        return found

    def _worst(self, arm: str) -> Row:
        sizes = self.sizes(arm)
        found = {name: values for name, values in self.recalled(arm).items() if sizes[name] > 1}
        worst = min(found, key=lambda name: (float(np.mean(found[name])), name))
        return {"worst_class": worst, "worst_images": sizes[worst]} | mean("worst_class_recall", found[worst])

    def costs_of(self, arm: str) -> Row:
        """Sizes of an arm's network, and means over its finished seeds."""
        trials = self.study.finished(arm)
        records = [trial.record for trial in trials]
        row: Row = {
            "parameters": records[0]["parameters"],
            "trained_parameters": records[0]["trainable_parameters"],
            "flops": records[0]["flops"],
        }
        if self.study.elsewhere:
            means = ("epochs", "train_seconds", "images_per_s")
            alone: Row = dict.fromkeys(("time_ratio", "peak_memory_mb"))
            parts = (f"{name}{part}" for name in means for part in ("", "_sd", "_seeds"))
            return row | alone | dict.fromkeys(parts)
        seconds = [record["timings"]["train"] for record in records]
        base = [trial.record["timings"]["train"] for trial in self.study.finished(self.study.baseline)]
        ratio = None if arm == self.study.baseline else float(np.mean(seconds) / np.mean(base))
        return (
            row
            | mean("epochs", [trial.epochs for trial in trials])
            | mean("train_seconds", seconds)
            | {"time_ratio": ratio}
            | mean("images_per_s", [record["timings"]["images_per_s"] for record in records])
            | {"peak_memory_mb": max(record["memory"]["peak_mb"] for record in records)}
        )

    def slices(self) -> list[Row]:
        return slices.rows(self.study, self.order)

    def costs(self) -> list[Row]:
        name = self.study.primary_set
        return [
            {"arm": arm, "planned": len(self.study.arms[arm])}
            | mean("accuracy", self.values(arm, name, "accuracy"))
            | self.interval(arm, name, "accuracy_")
            | self.costs_of(arm)
            for arm in self.order
        ]

    def scores(self) -> list[Row]:
        rows = []
        for name in self.study.sets:
            for arm in self.order:
                row: Row = {"set": name, "arm": arm, "planned": len(self.study.arms[arm])}
                for score in SCORES:
                    row |= mean(score, self.values(arm, name, score))
                row |= self.interval(arm, name, "accuracy_")
                base = self.study.baseline
                one = None if arm == base else difference(self.study, arm, base, name)
                row |= {"effect_dagger": _yes(one, self.beside.dagger((arm, base), name, one))}
                rows.append(row | effect("effect", one))
        return rows

    def classes(self) -> list[Row]:
        found = {arm: self.recalled(arm) for arm in self.order}
        rows = []
        for name in found[self.study.baseline]:
            row: Row = {"class": name, "images": self.sizes(self.study.baseline)[name]} | self._groups(name)
            for arm in self.order:
                row |= mean(arm, found[arm][name]) | {f"{arm}_planned": len(self.study.arms[arm])}
            rows.append(row)
        return rows

    def _groups(self, name: str) -> Row:
        """Of a class, where the set has groups."""
        if not self.study.grouped(self.study.primary_set):
            return {}
        found = {}
        for trial in self.study.finished(self.study.baseline):
            answers = trial.answers(trial.keys[self.study.primary_set])
            mine = answers.labels == self.study.classes.index(name)
            found[trial.keys[self.study.primary_set]] = len(np.unique(answers.groups[mine]))
        return {"groups": sum(found.values())}

    def claims(self) -> list[Row]:
        return claims(self.study, self.family)

    def factors(self) -> list[Row]:
        rows = designs.factor_rows(self.study, self.family)
        return rows or designs.main_effects(self.study)

    def ladder(self) -> list[Row]:
        return designs.ladder_rows(self.study, self.family)

    def ordered(self) -> list[Row]:
        return ordered.rows(self.study)

    def ensembles(self) -> list[Row]:
        rows = []
        for label, wanted in self.study.file.get("ensembles", {}).items():
            arm = wanted["arm"]
            trials = self.study.finished(arm)
            row: Row = {"ensemble": label, "arm": arm, "seeds": len(trials)}
            for name in self.study.sets:
                answers = [trial.answers(trial.keys[name]) for trial in trials]
                together = np.mean([one.probabilities for one in answers], axis=0)
                row[name] = float(np.mean(together.argmax(axis=1) == answers[0].labels))
                row |= mean(f"{name}_alone", self.values(arm, name, "accuracy"))
            rows.append(row)
        return rows

    def noise(self) -> list[Row]:
        """Of accuracy on each set, then of the primary metric where it is another; none with folds."""
        study, base = self.study, self.study.baseline
        metrics = [f"{name}.accuracy" for name in study.sets]
        scored = study.primary.partition(".")[0] in study.sets
        return [
            self._noise(metric)
            for metric in dict.fromkeys([*metrics, *([study.primary] if scored else [])])
            if not study.folds and len(study.finished(base)) >= 3
        ]

    def _noise(self, metric: str) -> Row:
        study, base = self.study, self.study.baseline
        name, _, score = metric.partition(".")
        found = [compare(study, arm, base, metric).of_pairs for arm in self.order[1:]]
        kept = [one for one in found if one is not None and one.seeds >= 3]
        single = [max(0.0, one.v_item - one.v_both) * one.items[0] for one in kept]
        return {
            "set": name,
            "metric": score,
            "key": study.finished(base)[0].keys[name],
            "sigma": float(np.sqrt(np.mean([one.v_seed * one.seeds for one in kept]))),
            "f": float(np.mean(single)),
            "luck": outlook.largest_by_luck([np.array(self.values(arm, name, score)) for arm in self.order]),
            "seeds": min(one.seeds for one in kept),
            "images": kept[0].items[0],
        }

    def prediction(self) -> list[Row]:
        return outlook.prediction(self.study, self.family, self.order)

    def evidence(self) -> list[Row]:
        return outlook.evidence(self.study, self.family, self.order)

    def hidden(self) -> list[Row]:
        return outlook.looks(self.study, self.order)

    def trials(self) -> list[Row]:
        """Those that are no plain result: what diverged, then what learned little."""
        every = [(arm, trial) for arm in self.order for trial in self.study.arms[arm]]
        found = [(*one, "diverged", one[1].record["message"]) for one in every if one[1].diverged]
        marked = [one for one in every if one[1].little]
        found += [(*one, "done, little learned", one[1].record["little_learned"]) for one in marked]
        return [
            {
                "arm": arm,
                "seed": trial.seed,
                "fold": trial.fold,
                "state": state,
                "why": why,
                "trial": trial.id,
            }
            for arm, trial, state, why in found
        ]

    def robustness(self) -> list[Row]:
        rows, base = corrupted.robustness(self.study, self.order), self.study.baseline
        for row in rows:
            pair, name = (row["arm"], base), row["set"]
            against, new = (None, None) if row["effect"] is None else corrupted.both(self.study, *pair, name)
            row["effect_dagger"] = _yes(against, self.beside.dagger(pair, name, against))
            row["effect_unseen_dagger"] = _yes(new, self.beside.dagger(pair, name, new, new=True))
        return rows

    def families(self) -> list[Row]:
        return corrupted.families(self.study, self.order)

    def corruptions(self) -> list[Row]:
        return corrupted.conditions(self.study, self.order)

    def settings(self) -> list[Row]:
        return settings.changed(self.study, self.order)

    def tuning(self) -> list[Row]:
        return tuning.ledger(self.study)

    def candidates(self) -> list[Row]:
        return tuning.candidates(self.study)

    def shared(self) -> list[Row]:
        return tuning.shared(self.study)

    def results(self) -> list[Row]:
        return tuning.results(self.study, self.scored)


def _yes(one: Comparison | None, dagger: bool) -> str | None:
    """Of a difference that there is."""
    return None if one is None or one.effect is None else "yes" if dagger else "no"
