"""What a report's sentences and printed tables have to say, from the same rows as its CSV files."""

from collections.abc import Callable

import numpy as np

from . import corrupted, looks, making, methods, screens, searched
from .columns import (
    COSTS,
    FACTORS,
    HIDDEN,
    NOISE,
    SETTINGS,
    behind,
    chance,
    halved,
    interval,
    marked,
    number,
    number_marked,
    of_new_runs,
    of_seeds,
    said,
    spread,
    verdict,
    within,
)
from .comparisons import UNITS
from .family import Verdict
from .parts import FEWEST, whole_and_slice
from .printed import Cell, Columns, Line, Section, Table, Text, text
from .records import LOCAL, Row
from .replicates import FEW, items
from .sentences import finding
from .tables import SCORES, Tables

CONSTANTS = (
    "95 %",
    "below 40 finished candidates",
    "; 0 where they add up",
    "at least 1 point",
    "below 1 is better",
    "its interval is at 1 − the level",
    "(Nadeau & Bengio 2003)",
    "(Nadeau and Bengio 2003)",
    "(Holm 1979)",
    "(Smyth 2004)",
    "at 0 and at the difference called relevant",
    "within this of 0, 95 times in 100",
    "in at least 95 of 100 such studies",
)
"""Numbers of the method, not of this study."""


def _within(key: str, times: float) -> Callable[[Row], Cell]:
    """A mean ± half its interval, where it has one."""

    def cell(row: Row) -> Cell:
        if row[f"{key}_low"] is None:
            return text("{}" + of_seeds(row, key), times * row[key])
        ends = row[f"{key}_low"], row[f"{key}_high"]
        return within(times, row[key], *ends, 0.0, of_seeds(row, key))

    return cell


class Report:
    """The sections of a study's report.md."""

    def __init__(self, tables: Tables) -> None:
        self.tables = tables
        self.study = tables.study
        self.primary = self.study.primary_set
        self.over = "folds" if self.study.folds else "seeds"
        self.unit = UNITS.get(self.study.primary.partition(".")[2], "points")

    def label(self, row: Row) -> Cell:
        arm = row["arm"]
        return f"**{arm}** (baseline)" if arm == self.study.baseline else arm

    def sections(self) -> dict[str, Section]:
        primary, study = self.primary, self.study
        found = [
            self.first_screen(),
            self.claims(),
            self.factors(),
            self.ladder(),
            self.ordered(),
            self.ensembles(),
            self.scores(),
            self.slices(),
            *self.corruptions(),
            self.plain_table(
                f"Classes on {primary}",
                self.tables.classes(),
                {"class": said("class"), "n": number("images")} | self._recalls(),
            ),
            searched.section(self) if study.searches else Section("Tuning"),
            *self.trained(),
            making.made(study),
            methods.section(self.tables),
            *self.outlook(),
            self.plain_table(
                "Trials without a plain result",
                self.tables.trials(),
                {"arm": self.label}
                | {key: said(key) for key in ("state", "why", "trial")}
                | {"seed": number("seed"), "fold": number("fold")},
            ),
            *([] if study.folds else [self.plain_table("Noise", self.tables.noise(), NOISE)]),
            making.provenance(study),
        ]
        return {section.title: section for section in found}

    def factors(self) -> Section:
        """Main effects and interactions; of a screen what its trials save."""
        columns = FACTORS | {self._delta: interval("effect", "effect_low", "effect_high", self.unit)}
        found = self.plain_table("Factors", self.tables.factors(), columns)
        if self.study.file.get("design") == "screen" and not self.study.folds:
            arms, seeds = len(self.study.arms), len(self.study.finished(self.study.baseline))
            alone = arms * seeds // 2
            texts: list[Text | str] = [
                text("would take {} seeds, {} trials", alone, alone * (len(screens.factors(self.study)) + 1)),
                text("these {} trials", arms * seeds),
            ]
            found.lines.append(Line("A single level: ", texts))
        return found

    def ladder(self) -> Section:
        """Rung by rung."""
        columns: Columns = {"rung": self.label, "adds": said("adds")}
        headings = ("Δ against the rung below", "verdict"), (f"Δ against {self.study.baseline}", "verdict 2")
        for stem, (apart, word) in zip(("step", "whole"), headings, strict=True):
            ends = interval(f"{stem}_effect", f"{stem}_low", f"{stem}_high", self.unit)
            columns |= {apart: ends, word: said(f"{stem}_verdict")}
        return self.plain_table("Ladder", self.tables.ladder(), columns)

    @property
    def _delta(self) -> str:
        return f"Δ {self.study.primary}"

    def _recalls(self) -> Columns:
        return {arm: number(arm, 100) for arm in self.tables.order} | {
            called: number("groups") for name in self.study.sets if (called := self.study.grouped(name))
        }

    def counted(self, name: str) -> str:
        """How large a set is, copies counted once, and of how many groups it is."""
        every = [trial for trials in self.study.arms.values() for trial in trials if trial.done]
        keys = {trial.keys[name]: trial for trial in every}
        answers = [trial.answers(key) for key, trial in keys.items()]
        said_of = f"n = {sum(len(np.unique(one.ids)) for one in answers):,}"
        if called := self.study.grouped(name):
            said_of += f" of {sum(len(np.unique(one.groups)) for one in answers):,} {called}"
        return f"({said_of})"

    def plain_table(self, title: str, rows: list[Row], columns: Columns) -> Section:
        return Section(title, tables=[Table(title, rows, columns, next(iter(columns)))])

    # -- sentences ---------------------------------------------------------------------------------

    def finding(self, found: Verdict, indent: str = "") -> Line:
        return finding(self.study, self.tables.beside, found, indent)

    def first_screen(self) -> Section:
        study, tables = self.study, self.tables
        pairs = screens.told(study, tables.order)
        if study.file.get("design") == "ladder" and len(tables.order) > 2:
            pairs = pairs[: len(tables.order)]  # every step, and the whole way
        findings = [tables.family.verdict((*pair, study.primary)) for pair in pairs]
        lines = [Line(study.file["question"])] + [self.finding(one) for one in findings]
        if study.file.get("design") == "screen":
            lines.append(Line("Each is told from ", [text("all {} arms", len(study.arms))]))
        deltas = (100 * study.delta(LOCAL), 100 * study.delta(study.hidden or ""))
        family = len(tables.family.members)
        texts: list[Text | str] = [
            text(f"Holm over {{}} declared comparison{'s' * (family != 1)}", family),
            text("δ = {} points locally, {} on hidden sets", *deltas),
        ]
        if study.looks:
            listed = ("{}, " * len(study.looks))[:-2]
            texts.append(text(f"Looked at after {listed} seeds", *study.looks))
            texts.append(text(f"at levels {listed}:", *looks.levels(len(study.looks))))
        texts += self._coarse()
        if study.mark:  # simulated (docs/method.md): no record tells it
            luck = "11 to 14" if any(search.finalists for search in study.searches) else "15 to 24"
            texts.append(
                f"of equal arms tuned like these {luck} % exclude zero in simulation, where 5 % should"
            )
        lines.append(Line("Per cent. ± is half the 95 % interval", texts))
        columns: Columns = {"arm": self.label}
        for name in study.sets:
            columns[f"{name} % {self.counted(name)}"] = halved(
                f"{name}_accuracy", f"{name}_low", f"{name}_high"
            )
        score = study.primary.partition(".")[2]
        times = 1 if score in UNITS else 100
        sign = "" if score in UNITS else " %"
        decides = f"{study.primary_set} {score.replace('_', ' ')}{sign} {self.counted(study.primary_set)}"
        columns[decides] = _within("primary", times)
        columns |= {
            f"{self._delta} vs baseline": lambda row: self._apart(
                interval("effect", "low", "high", self.unit)(row), row["arm"]
            ),
            "verdict": verdict,
            f"gap to {study.gap_set}": halved("gap", "gap_low", "gap_high", one_sided=False),
            "worst class": self._worst,
            "its recall %": number("worst_class_recall", 100),
            "ECE": number("ece", 100),
            self.over: said("seeds"),
            **COSTS,
        }
        below = "ECE"  # a table of its own under the first one, which has eight columns at most
        rows = tables.arms()
        return Section("", lines, [Table("arms", rows, columns, below), Table("arms", rows, columns, "arm")])

    def _apart(self, cell: Cell, arm: str) -> Cell:
        """The effect of a comparison, marked where both arms were tuned, each apart."""
        apart = self.study.mark and arm != self.study.repeated
        return marked(cell, f" {self.study.mark}") if cell and apart else cell

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
                f"common {self.over}": number("seeds"),
                "why not": said("why_not"),
            }
            found.append(self.plain_table("Would it help again?", self.tables.prediction(), columns))
        if self.study.has("evidence"):
            rests: Columns = {
                "arm": self.label,
                "against": lambda row: self.label({"arm": row["reference"]}),
                "metric": said("metric"),
                f"sd over {self.over}": number("sd", 100),
                "the sd that decides": number("deciding_sd", 100),
                "degrees of freedom": number("freedom"),
                "correlation of pairs": number("correlation"),
                f"common {self.over}": number("seeds"),
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

    def _coarse(self) -> list[Text | str]:
        """Sets of which one item makes more than the δ that decides there."""
        found: list[Text | str] = []
        metrics = [metric for _, _, metric in self.tables.family.members if not whole_and_slice(metric)[1]]
        split = [metric.partition(".") for metric in metrics]
        names = dict.fromkeys(name for name, _, score in split if score not in UNITS)
        for name in (name for name in names if name in self.study.sets):
            every = [trial for trials in self.study.arms.values() for trial in trials if trial.done]
            n = items(every, name)
            if n * self.study.delta(name) < 1:
                found.append(
                    text(f"On {name} δ is less than one of its {{}} items makes, {{}} points", n, 100 / n)
                )
        return found

    def _by_family(self, name: str, own: list[Row]) -> Section:
        """Of a set with one corruption in each copy."""
        taken = corrupted.Taken(self.study, name)
        severities = "{}, " * len(taken.severities)
        note: list[Text | str] = [text(severities[:-2], *taken.severities), self.counted(name)[1:-1]]
        counts = (own[0]["relative_be_families"], len(taken.families))
        note += [text("({} of {})", *counts)]
        new = "effect_unseen_dagger"
        columns: Columns = {
            "arm": self.label,
            "clean %": spread("clean"),
            "all families %": spread("all"),
            "Δ vs baseline": interval("effect", "effect_low", "effect_high", dagger="effect_dagger"),
            "unseen families %": lambda row: behind(
                spread("unseen")(row) if row["unseen"] is not None else None,
                len(taken.families) - len(taken.seen(row["arm"])),
            ),
            "Δ unseen vs baseline": lambda row: behind(
                interval(*(f"effect_unseen{end}" for end in ("", "_low", "_high")), dagger=new)(row),
                row["unseen_by_both"],
            ),
            "BE": number("be"),
            "relative BE": number("relative_be"),
        }
        by_arm: Columns = {"kind": said("kind"), "family": said("family")}
        by_arm |= {arm: number_marked(arm) for arm in self.tables.order}
        rows = [row for row in self.tables.families() if row["set"] == name]
        tables = [Table("robustness", own, columns, "clean %"), Table("families", rows, by_arm, "family")]
        many = "severity" if len(taken.severities) == 1 else "severities"
        start = f"Accuracy in per cent, one corruption at a time, mean over {many} "
        return Section(f"Corruptions of {name}", [Line(start, note)], tables)

    def corruptions(self) -> list[Section]:
        found = []
        rows = self.tables.robustness()
        for name in dict.fromkeys(row["set"] for row in rows):
            own = [row for row in rows if row["set"] == name]
            if corrupted.alone(self.study, name):
                found.append(self._by_family(name, own))
                continue
            lines = [Line("Each image has several of ", [text("{} families at once", own[0]["families"])])]
            for row in own:
                start, many = f"- {row['arm']}: trains with ", row["families"]
                listed = (row["seen"] or "").replace("; ", ", ")
                some = [text("{} of {} families: ", row["seen_families"], many), listed]
                lines.append(Line(start, some if listed else [text("none of {} families", many)]))
            found.append(Section(f"Corruptions of {name}", lines))
        return found

    def trained(self) -> list[Section]:
        """What is told of how arms were trained; nothing of those that were not trained here."""
        if self.study.elsewhere:
            return []
        changed = self.plain_table("What each arm changed", self.tables.settings(), SETTINGS)
        return [making.confounds(self.tables), self.costs(), changed, making.fixed(self.study)]

    # -- tables ------------------------------------------------------------------------------------

    def scores(self) -> Section:
        columns: Columns = {
            "set": said("set"),
            "n": lambda row: self.counted(row["set"]).removeprefix("(n = ").removesuffix(")"),
            "arm": self.label,
        }
        for score in SCORES:
            unit = f", {UNITS[score]}" if score in UNITS else ""
            columns[score.replace("_", " ") + unit] = spread(score, 1.0 if unit else 100.0)
        columns["accuracy"] = halved("accuracy", "accuracy_low", "accuracy_high")
        columns["Δ accuracy vs baseline"] = interval(
            "effect", "effect_low", "effect_high", dagger="effect_dagger"
        )
        return Section("Every set and score", tables=[Table("scores", self.tables.scores(), columns, "set")])

    def slices(self) -> Section:
        columns: Columns = {
            "set": said("set"),
            "slice": lambda row: f"{row['column']}: {row['value']}",
            "n": number("images"),
            "arm": self.label,
            "score": said("score"),
            "%": lambda row: halved("mean", "low", "high")(row) if row["mean"] is not None else "undefined",
            "Δ vs baseline": interval("effect", "effect_low", "effect_high"),
            "worst slice": lambda row: row["worst"] or "",
        }
        found = self.plain_table("Slices", self.tables.slices(), columns)
        if found.tables[0].rows:
            wanted = ("neither under {} images", "nor where under {} count", "with at least {} images")
            note = [text(one, count) for one, count in zip(wanted, (FEWEST, FEW, FEWEST), strict=True)]
            found.lines.append(Line("Exploratory: verdicts are on slices that a claim declared", note))
        return found

    def costs(self) -> Section:
        accuracy = halved("accuracy", "accuracy_low", "accuracy_high")
        columns: Columns = {"arm": self.label, f"{self.primary} % {self.counted(self.primary)}": accuracy}
        columns |= COSTS
        return Section("Costs", tables=[Table("costs", self.tables.costs(), columns, "arm")])

    def ordered(self) -> Section:
        columns: Columns = {
            "ordered": said("factor"),
            "levels": said("levels"),
            "line, first to last": interval("line", "line_low", "line_high", self.unit),
            "bend": interval("bend", "bend_low", "bend_high", self.unit),
            "best seen": said("best"),
            "not told from the best": said("among"),
            "settings of the others": number("blocks"),
            self.over: number("seeds"),
        }
        return Section("Ordered levels", tables=[Table("ordered", self.tables.ordered(), columns, "ordered")])

    def ensembles(self) -> Section:
        columns: Columns = {"ensemble": said("ensemble"), "arm": self.label, "seeds": number("seeds")}
        for place, name in enumerate(self.study.sets):
            columns[f"{name} % {self.counted(name)}"] = number(name, 100)
            columns["alone %" + (f" {place + 1}" if place else "")] = number(f"{name}_alone", 100)
        return Section("Ensembles", tables=[Table("ensembles", self.tables.ensembles(), columns, "ensemble")])
