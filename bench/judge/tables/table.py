"""What a table is: columns that know what their cells mean, rows, a note. It spells nothing."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from bench.judge.findings import Document, Finding, Mean

Kind = Literal[
    "arm",  # a findings.Called: names its row
    "name",  # text that names its row
    "text",  # a word or a few
    "prose",  # a sentence or more
    "code",  # an id
    "link",  # (text, address)
    "verdict",  # of a findings.Finding
    "chance",  # a probability
    "count",  # a whole number, as it is
    "number",
    "average",  # a findings.Mean, the mean alone
    "mean",  # a findings.Mean with its standard deviation, which is called sd
    "within",  # a findings.Mean with half its interval, or its ends where one has left the scale
    "effect",  # a findings.Effect with its interval
]
TEXT = ("arm", "name", "text", "prose", "code", "link", "verdict")
"""Kinds that are words; all others are numbers, which sort by value and stand to the right."""
PERCENT = 100.0
"""What a share is multiplied with where it is printed."""
HOLM = (
    " † its interval alone excludes zero: its verdict does not, or Holm over the arms compared on the set "
    "would not, so nothing is said by it."
)
"""What a dagger behind a difference means that was not declared."""
FIRST_TABLE = 8
"""Columns that a person takes in at once."""
FEWER = "(n/m): a mean over n of the arm's m {}."
ENDS = "[ ] behind a single score: the ends of its interval, cut where ± would lead off the scale."


@dataclass(frozen=True)
class Column:
    """One column. ``of`` takes a row of its table to what ``kind`` says, or None."""

    key: str
    """Its name in files; of a value that is taken apart there, the first part's."""
    heading: str
    kind: Kind
    of: Callable[[Any], Any]
    times: float = 1
    """Numbers are multiplied with it where they are printed; files hold them as they are."""
    digits: int = 1
    missing: str = "–"
    """What is printed for None."""
    after: Callable[[Any], str] = lambda row: ""
    """Row → words that are printed behind the value."""
    stem: str | None = None
    """How names of further parts begin in files; None is ``KEY_``: ``KEY_sd``, ``KEY_seeds``, ``KEY_low``."""
    where: Literal["everywhere", "print", "file", "below"] = "everywhere"
    """``below``: printed in a second table under the first, which has no room for it."""
    cost: bool = False
    """A time, or what else equal results may differ in."""


@dataclass(frozen=True)
class Table:
    """A table of the report, in the order in which it is read."""

    title: str
    columns: Sequence[Column]
    rows: Sequence[Any]
    note: str = ""
    """What the columns mean; holds no name."""
    by: str = ""
    """Key of a column: on pages each of its values has a section, with a part of the table."""
    notes: Mapping[str, str] = field(default_factory=dict)
    """Part → its own note."""
    printed: Sequence[Any] | None = None
    """The rows that are printed, where files hold more."""
    only_file: bool = False
    """Too long to be read: for programs alone."""

    @property
    def shown(self) -> Table:
        """As it is printed, but for what stands below."""
        columns = [column for column in self.columns if column.where not in ("file", "below")]
        return replace(self, columns=columns, rows=self.rows if self.printed is None else self.printed)

    @property
    def below(self) -> Table | None:
        """What the same rows have beside, named by the first column again; None where all has room."""
        further = [replace(column, where="print") for column in self.columns if column.where == "below"]
        if not further:
            return None
        return replace(self.shown, title=f"{self.title}: more", columns=[self.columns[0], *further], note="")

    @property
    def filed(self) -> Table:
        """As a file for programs holds it."""
        return replace(self, columns=[column for column in self.columns if column.where != "print"])

    def part(self, value: str) -> Table:
        """What is printed of one value of ``by``, without its column."""
        (by,) = (column for column in self.columns if column.key == self.by)
        rows = [row for row in self.shown.rows if by.of(row) == value]
        columns = [column for column in self.columns if column is not by]
        note = self.notes.get(value, self.note)
        return replace(self, columns=columns, rows=rows, note=note, printed=None)

    def ready(self, *, cost: bool = True, over: str = "seeds") -> Table:
        """Without what equal results may differ in, unless ``cost``; what only some cells have explained."""
        table = replace(self, columns=[column for column in self.columns if cost or not column.cost])
        printed = [column for column in table.columns if column.where != "file"]
        values = [(column.kind, column.of(row)) for column in printed for row in table.shown.rows]
        means = [(kind, value) for kind, value in values if isinstance(value, Mean)]
        cut = any(kind == "within" and mean.interval and mean.interval.ends for kind, mean in means)
        fewer = any(mean.seeds < mean.planned for _, mean in means)
        marks = " ".join([*[ENDS] * cut, *[FEWER.format(over)] * fewer])
        notes = {part: f"{note} {marks}".strip() for part, note in table.notes.items()}
        return replace(table, note=f"{table.note} {marks}".strip(), notes=notes)


def filed(key: str, of: Callable[[Any], Any], **more: Any) -> Column:
    """A column for programs alone, in one part."""
    return Column(key, "", "text", of, where="file", **more)


def first_of(columns: Sequence[Column], order: Sequence[str], most: int = FIRST_TABLE) -> list[Column]:
    """The same columns, of which only so many are printed in the first table.

    order   keys by how much they are needed there; what is not named never is
    """
    printed = [column.key for column in columns if column.where == "everywhere"]
    kept = [key for key in order if key in printed][:most]
    return [replace(c, where="below") if c.key in printed and c.key not in kept else c for c in columns]


def arm_column(document: Document, of: Callable[[Any], str] = lambda row: row.arm) -> Column:
    """The arm a row is about, called as everywhere."""
    return Column("arm", "arm", "arm", lambda row: document.called(of(row)))


def finding_columns(
    heading: str,
    of: Callable[[Any], Finding | None],
    stem: str = "",
    mark: Callable[[Any], str] = lambda row: "",
) -> tuple[Column, Column, Column]:
    """Effect, verdict and detail of a finding.

    stem  how their names begin in files
    mark  what stands behind an effect
    """

    def part(name: str) -> Callable[[Any], Any]:
        return lambda row: getattr(of(row), name, None)

    def after(row: Any) -> str:
        words = "if it converges" if part("if_converges")(row) else ""
        return " ".join(filter(None, (mark(row) if part("effect")(row) else "", words)))

    return (
        Column(f"{stem}effect", heading, "effect", part("effect"), after=after, stem=stem),
        Column(f"{stem}verdict", "verdict", "verdict", of, stem=stem),
        filed(f"{stem}detail", part("detail")),
    )
