"""What a report's sentences and printed tables have to say, from the same rows as its CSV files."""

import numpy as np

from . import settings, tuning
from .columns import (
    COSTS,
    FACTORS,
    HIDDEN,
    NOISE,
    SETTINGS,
    chance,
    halved,
    interval,
    number,
    of_new_runs,
    said,
    spread,
)
from .family import Verdict
from .formulas import LEVEL
from .printed import Cell, Columns, Line, Section, Table, Text, text
from .records import LOCAL
from .rows import Row
from .sentences import finding
from .tables import SCORES, Tables

CONSTANTS = ("95 %", "below 40 finished candidates", "; 0 where they add up", "inside 95 times in 100")
"""Numbers of the method, not of this study."""

UNITS = {"nll": 1.0}
NOTICED = 1.02  # what differs by less is not worth a word


class Report:
    """The sections of a study's report.md."""

    def __init__(self, tables: Tables) -> None:
        self.tables = tables
        self.study = tables.study
        self.primary = self.study.primary_set

    def label(self, row: Row) -> Cell:
        arm = row["arm"]
        return f"**{arm}** (baseline)" if arm == self.study.baseline else arm

    def sections(self) -> dict[str, Section]:
        primary, searched = self.primary, bool(self.study.searches)
        found = [
            self.first_screen(),
            self.claims(),
            self.plain_table(
                "Factors",
                self.tables.factors(),
                FACTORS | {self._delta: interval("effect", "effect_low", "effect_high")},
            ),
            self.ensembles(),
            self.scores(),
            *self.corruptions(),
            self.plain_table(
                f"Classes on {primary}",
                self.tables.classes(),
                {"class": said("class"), "n": number("images")} | self._recalls(),
            ),
            self.tuned() if searched else Section("Tuning"),
            self.confounds(),
            self.costs(),
            self.plain_table("What each arm changed", self.tables.settings(), SETTINGS),
            self.fixed(),
            self.made(),
            *self.outlook(),
            self.plain_table("Noise", self.tables.noise(), NOISE),
            self.provenance(),
        ]
        return {section.title: section for section in found}

    @property
    def _delta(self) -> str:
        return f"Δ {self.study.primary}"

    def _recalls(self) -> Columns:
        return {arm: number(arm, 100) for arm in self.tables.order}

    def plain_table(self, title: str, rows: list[Row], columns: Columns) -> Section:
        return Section(title, tables=[Table(title, rows, columns, next(iter(columns)))])

    # -- sentences ---------------------------------------------------------------------------------

    def finding(self, found: Verdict, indent: str = "") -> Line:
        return finding(self.study, found, indent)

    def first_screen(self) -> Section:
        study, tables = self.study, self.tables
        findings = [tables.family.verdict((arm, study.baseline, study.primary)) for arm in tables.order[1:]]
        lines = [Line(study.file["question"])] + [self.finding(one) for one in findings]
        deltas = (100 * study.delta(LOCAL), 100 * study.delta(study.hidden or ""))
        texts: list[Text | str] = [
            text("Holm over {} declared comparisons", len(tables.family.members)),
            text("δ = {} points locally, {} on hidden sets", *deltas),
        ]
        lines.append(Line("Per cent. ± is half the 95 % interval", texts))
        columns: Columns = {"arm": self.label}
        for name in study.sets:
            columns[f"{name} %"] = halved(f"{name}_accuracy", f"{name}_low", f"{name}_high")
        columns |= {
            f"{self._delta} vs baseline": interval("effect", "low", "high"),
            "verdict": lambda row: (
                row["verdict"] and row["verdict"] + ("†" if row["dagger"] == "yes" else "")
            ),
            f"gap to {study.hidden}": halved("gap", "gap_low", "gap_high"),
            "worst class": self._worst,
            "its recall %": number("worst_recall", 100),
            "ECE": number("ece", 100),
            "seeds": said("seeds"),
            **COSTS,
        }
        return Section("", lines, [Table("arms", tables.arms(), columns, "arm")])

    def outlook(self) -> list[Section]:
        """New runs, and looks at hidden sets."""
        found = []
        if self.study.has("prediction"):
            columns: Columns = {
                "arm": self.label,
                "against": lambda row: self.label({"arm": row["reference"]}),
                "metric": said("metric"),
                "Δ of one new run of each": of_new_runs,
                "P(better), %": chance,
                "common seeds": number("seeds"),
                "why not": said("why_not"),
            }
            found.append(self.plain_table("Would it help again?", self.tables.prediction(), columns))
        if self.study.has("evidence"):
            rests: Columns = {
                "arm": self.label,
                "against": lambda row: self.label({"arm": row["reference"]}),
                "metric": said("metric"),
                "sd over seeds": number("sd", 100),
                "the sd that decides": number("deciding_sd", 100),
                "degrees of freedom": number("freedom"),
                "correlation of pairs": number("correlation"),
                "common seeds": number("seeds"),
            }
            found.append(self.plain_table("What verdicts rest on", self.tables.evidence(), rests))
        if self.study.has("hidden"):
            found.append(self.plain_table("Looks at hidden sets", self.tables.hidden(), HIDDEN))
        return found

    def _worst(self, row: Row) -> Cell:
        counted = self.study.has_column("arms", "worst_images")
        return (
            text(f"{row['worst_class']} (n = {{}})", row["worst_images"]) if counted else row["worst_class"]
        )

    def claims(self) -> Section:
        lines: list[Line] = []
        before = None
        for row in self.tables.claims():
            head = f"- **{row['outcome']}** — {row['claim']} (expects *{row['expect']}* on *{row['metric']}*)"
            if head != before:
                lines.append(Line(head))
            before = head
            if row["arm"] is None:
                lines.append(Line(f"  - {row['detail']}"))
            else:
                lines.append(
                    self.finding(
                        self.tables.family.verdict((row["arm"], row["reference"], row["metric"])), "  "
                    )
                )
        return Section("Claims", lines)

    def corruptions(self) -> list[Section]:
        found = []
        rows = self.tables.robustness()
        for name in dict.fromkeys(row["set"] for row in rows):
            own = [row for row in rows if row["set"] == name]
            lines = [Line("Each image has several of ", [text("{} families at once", own[0]["families"])])]
            for row in own:
                start, many = f"- {row['arm']}: trains with ", row["families"]
                listed = (row["seen"] or "").replace("; ", ", ")
                some = [text("{} of {} families: ", row["seen_families"], many), listed]
                lines.append(Line(start, some if listed else [text("none of {} families", many)]))
            found.append(Section(f"Corruptions of {name}", lines))
        return found

    def confounds(self) -> Section:
        """Where steps or parameters are not the baseline's."""
        base, lines = self._sizes(self.study.baseline), []
        for arm in self.tables.order[1:]:
            own = self._sizes(arm)
            texts = [
                text("{}× the " + name, own[name] / base[name]) for name in base if own[name] != base[name]
            ]
            shown = [one for one in texts if not 1 / NOTICED <= one.numbers[0] <= NOTICED]
            if shown:
                lines.append(Line(f"- {arm}: also changed ", shown))
        return Section("What else differed", lines)

    def _sizes(self, arm: str) -> dict[str, float]:
        trials = self.study.finished(arm)
        return {
            "training steps": float(np.mean([trial.steps for trial in trials])),
            "steps per epoch": float(np.mean([trial.steps / trial.epochs for trial in trials])),
            "parameters": trials[0].record["parameters"],
        }

    def fixed(self) -> Section:
        return Section(
            "Fixed in every arm", [Line(f"- {k} = {v}") for k, v in settings.fixed(self.study).items()]
        )

    def made(self) -> Section:
        seeds = [trial.seed for trial in self.study.arms[self.study.baseline]]
        count = min(len(trials) for trials in self.study.arms.values())
        rate = 100 * (1 - LEVEL ** (1 / count))
        lines = [
            Line(f"- Seeds, paired across arms: {', '.join(map(str, seeds))}. "),
            Line("- Where none of ", [text("{} diverged, up to {} % of all seeds", count, rate)]),
        ]
        return Section("How it was made", lines)

    def provenance(self) -> Section:
        study = self.study
        finals = [trial for trials in (*study.arms.values(), *study.shared.values()) for trial in trials]
        record, again = finals[0].record, sum(trial.record["attempts"] > 1 for trial in finals)
        lines = [Line(f"- Source: {record['source']}; data fingerprint {study.plan['data_fingerprint']}")]
        for name in study.sets:
            key = finals[0].keys[name]
            lines.append(Line(f"- Set {name}: ", [text("{} images", record["sizes"][key]), f"key {key}"]))
        libraries = sorted(
            {f"{name} {version}" for trial in finals for name, version in trial.record["libraries"].items()}
        )
        commits = sorted({trial.record["commit"] for trial in finals})
        machines = sorted({trial.record["machine"]["device_name"] for trial in finals})
        lines += [
            Line(f"- Classes: {', '.join(study.classes)}"),
            Line(f"- Libraries: {', '.join(libraries)}"),
            Line(f"- Commit: {', '.join(commits)}"),
            Line(f"- Machine: {', '.join(machines)}"),
            Line("- Trials that took more than one attempt: ", [text("{}", again)]),
        ]
        return Section("Provenance", lines)

    # -- tables ------------------------------------------------------------------------------------

    def scores(self) -> Section:
        columns: Columns = {"set": said("set"), "arm": self.label}
        for score in SCORES:
            unit = ", nats" if score in UNITS else ""
            columns[score.replace("_", " ") + unit] = spread(score, UNITS.get(score, 100.0))
        columns["accuracy, 95 % interval"] = halved("accuracy", "accuracy_low", "accuracy_high")
        columns["Δ accuracy vs baseline"] = interval("effect", "effect_low", "effect_high")
        return Section("Every set and score", tables=[Table("scores", self.tables.scores(), columns, "set")])

    def costs(self) -> Section:
        columns: Columns = {"arm": self.label, f"{self.primary} %": spread("accuracy")} | COSTS
        return Section("Costs", tables=[Table("costs", self.tables.costs(), columns, "arm")])

    def ensembles(self) -> Section:
        columns: Columns = {"ensemble": said("ensemble"), "arm": self.label, "seeds": number("seeds")}
        for place, name in enumerate(self.study.sets):
            columns[f"{name} %"] = number(name, 100)
            columns["alone %" + (f" {place + 1}" if place else "")] = number(f"{name}_alone", 100)
        return Section("Ensembles", tables=[Table("ensembles", self.tables.ensembles(), columns, "ensemble")])

    def _own(self, row: Row) -> Cell:
        """With ‡ where it tells another story than the baseline's values do."""
        mark = " ‡" if row["turned"] and self.study.has_column("tuning", "lead") else ""
        return text("{} [{}, {}]" + mark, *(100 * row[name] for name in ("own", "own_low", "own_high")))

    def tuned(self) -> Section:
        study, metric = self.study, tuning.metric(self.study)
        keys = list(dict.fromkeys(key for search in study.searches for key in search.candidates[0].values))
        most = max(len(search.candidates) for search in study.searches)
        runs = max(len(one.trials) for search in study.searches for one in search.candidates)
        texts: list[Text | str] = [
            text("Each got {} candidates", most),
            text("{} training run", runs),
            f"judged by {metric} alone",
        ]
        if study.has_column("tuning", "lead"):  # simulated (docs/method.md): no record tells it
            texts.append("15 to 24 % exclude zero in simulation (12 candidates, 5 seeds), where 5 % should")
        lines = [Line(f"{', '.join(keys)}: no question of this study", texts)]
        first = sorted(study.searches, key=lambda search: -tuning.half(study, search))
        full = sorted(self.tables.tuning(), key=lambda row: -row["best"])
        if [search.arm for search in first] == [row["arm"] for row in full]:
            lines.append(Line(f"- Half the candidates would order the arms by {metric} in the same way"))
        else:
            order = ", ".join(search.arm for search in first)
            lines.append(Line(f"- Half the candidates would order the arms otherwise by {metric}: {order}. "))
        columns: Columns = {
            "arm": self.label,
            "finished": said("finished"),
            "chosen": said("chosen"),
            f"{metric} %": number("best", 100),
            "expected best of k finished candidates %": said("curve"),
            "lead over the runner-up": said("lead"),
            "with half of them %": lambda row: (
                "the same" if row["best_of_half"] == row["best"] else text("{}", 100 * row["best_of_half"])
            ),
            "device min": number("device_minutes"),
        }
        tables = [Table("ledger", self.tables.tuning(), columns, "finished")]
        if study.shared:
            both: Columns = {
                "arm": said("arm"),
                f"{self._delta} with the baseline's values": interval("shared", "shared_low", "shared_high"),
                "Δ with its own": self._own,
            }
            tables.append(Table("shared", self.tables.shared(), both, "Δ with its own"))
        return Section("Tuning", lines, tables)
