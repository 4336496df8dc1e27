"""What the page on several data sets prints: its sentences and tables, from the rows of its CSV files."""

from pathlib import Path

from .check import Tally, check_csv
from .columns import interval, number, said, verdict
from .pooled import FEWEST, Pooled
from .printed import Cell, Columns, Line, Section, Table, Text, check_report, text
from .records import LOCAL, Row
from .report import CONSTANTS

OWN = (*CONSTANTS, "weights 1/(v + τ²)", "0 is no proof that they are alike")


def recompute(results: Path, name: str) -> list[Tally]:
    """Every number of a page on several data sets, checked."""
    page = Pooled(results, name)
    tables = {"pooled": page.pooled, "datasets": page.datasets, "parts": page.sets}
    found = [check_csv(results / name / "tables" / f"{key}.csv", rows) for key, rows in tables.items()]
    markdown = (results / name / "report.md").read_text(encoding="utf-8")
    return found + list(check_report(markdown, Page(page).sections(), OWN).values())


class Page:
    """The sections of its report.md."""

    def __init__(self, pooled: Pooled) -> None:
        self.pooled, self.baseline = pooled, pooled.first.baseline

    def sections(self) -> dict[str, Section]:
        found = [self.first_screen(), self.claims(), self.datasets(), self.parts(), self.methods()]
        return {section.title: section for section in found}

    def _label(self, key: str) -> Columns:
        return {
            "arm" if key == "arm" else "against": lambda row: (
                f"**{row[key]}** (baseline)" if row[key] == self.baseline else row[key]
            )
        }

    def first_screen(self) -> Section:
        pooled, rows = self.pooled, self.pooled.pooled()
        lines = [Line(pooled.file["question"])]
        lines += [self._line(row, new=True) for row in rows if row["metric"] == pooled.first.primary]
        columns = self._label("arm") | self._label("reference")
        columns |= {
            "metric": said("metric"),
            "mean Δ": lambda row: _shown(row, "effect", "low", "high"),
            "verdict": verdict,
            "Δ on a new data set": lambda row: _shown(row, "new_set", "new_set_low", "new_set_high"),
            "τ": number("between", 100),
            "I² %": number("inconsistency", 100),
            "data sets": said("sets"),
        }
        many = "comparison" + "s" * (len(pooled.names) != 1)
        deltas = [100 * pooled.first.delta(name) for name in (LOCAL, "")]
        rules = [text(f"Holm over {{}} {many} of means", len(pooled.names))]
        rules.append(text("δ = {} locally, {} on hidden sets", *deltas))
        lines.append(Line("Δ: arm minus reference", rules))
        return Section("", lines, [Table("pooled", rows, columns, "mean Δ")])

    def _line(self, row: Row, new: bool = False, indent: str = "") -> Line:
        """A mean in a sentence.

        new  with where the difference on a new data set would lie
        """
        dagger = "†" * (row["dagger"] == "yes")
        start = f"{indent}- **{row['arm']}: {row['verdict']}**{dagger} on *{row['metric']}* against"
        texts: list[Text | str] = [row["detail"][:1].upper() + row["detail"][1:]] if row["detail"] else []
        if row["effect"] is not None:
            ends, times = [row[key] for key in ("effect", "low", "high")], _times(row)
            shown = "×{} [{}, {}]" if row["unit"] == "ratio" else f"**{{}}** [{{}}, {{}}] {row['unit']}"
            texts.append(text(f": {shown}", *(times * end for end in ends)))
            texts.append(text(f", {{}} data set{'s' * (row['known'] != 1)}.", row["known"]))
        if row["effect"] is not None and new:
            between = "between ×{} and ×{}"
            if row["unit"] != "ratio":
                between = f"between {{}} and {{}} {row['unit']}"
            low, high = (_times(row) * row[key] for key in ("new_set_low", "new_set_high"))
            texts.append(text(f"On a new data set of this kind: {between}.", low, high))
        return Line(f"{start} {row['reference']}", texts)

    def claims(self) -> Section:
        lines = []
        for row in self.pooled.claims():
            head = f"- **{row['outcome']}** — {row['claim']} (expects *{row['expect']}* on *{row['metric']}*)"
            lines.append(Line(head))
            lines += [self._line(self.pooled.row(name), indent="  ") for name in row["names"]]
            if row["names"] and row["needs"] and self.pooled.example(row["names"][0]).delta is None:
                lines.append(Line("  - not judged: ", [f"needs a δ, and {row['metric']} is not in points"]))
            if not row["names"]:
                lines.append(Line("  - is about single arms: judged for each data set, in its own report"))
        return Section("Claims", lines)

    def datasets(self) -> Section:
        columns = self._label("arm") | self._label("reference")
        columns |= {
            "metric": said("metric"),
            "data set": said("dataset"),
            "Δ there": lambda row: _shown(row, "effect", "low", "high"),
            "verdict": verdict,
            "seeds": number("seeds"),
            "weight %": number("weight", 100),
            "why in no mean": said("why_not"),
        }
        rows = self.pooled.datasets()
        return Section("Every data set", tables=[Table("datasets", rows, columns, "Δ there")])

    def parts(self) -> Section:
        columns: Columns = {
            "data set": lambda row: f"[{row['name']}](../{row['study']}/report.md)",
            "study": said("study"),
            "source": said("source"),
            "trials ended": said("trials"),
            f"images of {self.pooled.first.primary_set}": said("images"),
        }
        return Section("Data sets", tables=[Table("parts", self.pooled.sets(), columns, "study")])

    def methods(self) -> Section:
        names = list(self.pooled.parts)
        many = "comparison" + "s" * (len(self.pooled.names) != 1)
        listed: list[Text | str] = [text(f"{{}} data sets ({', '.join(names)})", len(names))]
        if len(names) >= FEWEST:
            listed.append(text("t with {} degrees of freedom", len(names) - 1))
            listed.append(text(f"Holm over {{}} {many}", len(self.pooled.names)))
        else:
            listed.append("Their differences were not pooled")
        return Section("Methods, for a paper", [Line("The same arms were compared on each of ", listed)])


def _times(row: Row) -> int:
    return 100 if row["unit"] == "points" else 1


def _shown(row: Row, *keys: str) -> Cell:
    """A difference with its interval, in the unit of its row."""
    if row[keys[0]] is None or row["unit"] != "ratio":
        return interval(*keys, unit=row["unit"])(row)
    return text("×{} [{}, {}]", *(row[key] for key in keys))
