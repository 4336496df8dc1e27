"""What a report says of its searches."""

from typing import TYPE_CHECKING

from . import searches, settings
from .columns import interval, marked, number, said
from .printed import Cell, Columns, Line, Section, Table, Text, text
from .records import Row, Study

if TYPE_CHECKING:
    from .report import Report


def _own(report: "Report", row: Row) -> Cell:
    """With ‡ where it tells another story than the baseline's values do."""
    mark = " ‡" if row["turned"] and report.study.has_column("tuning", "lead") else ""
    return marked(interval("own", "own_low", "own_high", report.unit)(row), mark)


def section(report: "Report") -> Section:
    study, metric = report.study, searches.metric(report.study)
    keys = list(dict.fromkeys(key for search in study.searches for key in search.candidates[0].values))
    most = study.file["tune"]["candidates"]
    runs = max(len(one.trials) for search in study.searches for one in search.candidates)
    finalists = max(len(search.finalists) for search in study.searches)
    texts: list[Text | str] = [
        text("Each got {} candidate", most),
        text("{} training run", runs),
        f"judged by {metric} alone",
    ]
    if epochs := study.file["tune"].get("epochs"):
        texts.append(text("each of at most {} epoch", epochs))
    if finalists:
        seeds = max(len(one.trials) for search in study.searches for one in search.finalists)
        texts.append(text("The best {} of an arm were trained again with {} fresh seed", finalists, seeds))
    if study.has_column("tuning", "lead"):  # simulated (docs/method.md): no record tells it
        luck = "11 to 14" if finalists else "15 to 24"
        texts.append(f"{luck} % exclude zero in simulation (12 candidates, 5 seeds), where 5 % should")
    lines = [Line(f"{', '.join(keys)}: no question of this study", texts), *_lines(study)]
    per_cent = " %" if searches.in_points(study) else ""
    times = 100 if per_cent else 1
    columns: Columns = {
        "arm": report.label,
        "finished": said("finished"),
        "chosen": said("chosen"),
        f"{metric}{per_cent}": number("best", times),
        f"expected best of k finished candidates{per_cent}": said("curve"),
        "lead over the runner-up": said("lead"),
        f"with half of them{per_cent}": lambda row: (
            "the same"
            if row["settled"]
            else None
            if row["best_of_half"] is None
            else text("{}", times * row["best_of_half"])
        ),
        "device min": number("device_minutes"),
    }
    tables = [Table("ledger", report.tables.tuning(), columns, "finished")]
    if study.shared:
        both: Columns = {
            "arm": said("arm"),
            f"{report._delta} with the baseline's values": interval(
                "shared", "shared_low", "shared_high", report.unit
            ),
            "Δ with its own": lambda row: _own(report, row),
        }
        tables.append(Table("shared", report.tables.shared(), both, "Δ with its own"))
    lost = [row for row in report.tables.candidates() if row["state"] in ("diverged", "failed")]
    names = ("candidate", "settings", "state", "why", "trial")
    bad: Columns = {"arm": report.label} | {name: said(name) for name in names}
    bad["candidate"] = number("candidate")
    tables.append(Table("lost candidates", lost[:30], bad, "settings"))
    return Section("Tuning", lines, tables)


def _lines(study: Study) -> list[Line]:
    """What is to be said of the searches below their table."""
    metric = searches.metric(study)
    lines, ties = [], []
    for search in study.searches:
        chosen, ahead = searches.best(study, search), searches.lead(study, search)
        for key, one in chosen.values.items() if chosen else ():
            if where := searches.edge(study, search.arm, key, one):
                start = f"- **{search.arm}**: {key} = {settings.written(one)} lies at the {where} edge"
                lines.append(Line(start, [_range(study, search.arm, key)]))
        ties += [search.arm] if ahead and ahead.tie else []
    if ties:
        lines.append(Line(f"- A tie: {', '.join(ties)}. "))
    first, full = searches.order(study, 0.5), searches.order(study, 1.0)
    if first is not None and first != full:
        start = f"- Half the candidates would order the arms otherwise by {metric}: "
        lines.append(Line(f"{start}{', '.join(first)}. "))
    elif first is not None and len(first) > 1:
        lines.append(Line(f"- Half the candidates would order the arms by {metric} in the same way"))
    return lines


def _range(study: Study, arm: str, key: str) -> Text:
    """The range of a tuned number, as it is printed."""
    wanted = searches.space(study, arm)[key]
    if "choices" in wanted:
        return text(" | ".join("{}" for _ in wanted["choices"]), *wanted["choices"])
    low, high = searches.ends(study, arm, key) or (None, None)  # where there is an edge there are ends
    return text("({} to {}" + (", log)" if wanted.get("log") else ")"), low, high)
