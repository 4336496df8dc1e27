"""From the row of a table to what a printed cell of it has to say."""

from collections.abc import Callable

from .comparisons import UNITS
from .parts import whole_and_slice
from .printed import NOTHING, Cell, Columns, Text, text
from .records import Row


def number(key: str, times: float = 1.0) -> Callable[[Row], Cell]:
    return lambda row: None if row[key] is None else text("{}" + of_seeds(row, key), times * row[key])


def spread(key: str, times: float = 100.0) -> Callable[[Row], Cell]:
    """A mean and its standard deviation."""
    return lambda row: text("{} sd {}" + of_seeds(row, key), times * row[key], times * row[f"{key}_sd"])


def of_seeds(row: Row, key: str, seeds: str | None = None) -> str:
    """Of how many of the planned seeds a mean is, where some did not finish."""
    planned = row.get(f"{key}_planned", row.get("planned"))
    there = row.get(seeds or f"{key}_seeds")
    return f" ({there}/{planned})" if planned and there and there < planned else ""


def halved(
    key: str, low: str, high: str, one_sided: bool = True, times: float = 100.0
) -> Callable[[Row], Cell]:
    """A mean ± half its interval, or with its one-sided bound, which has 1 above it; alone without either.

    With the ends of its interval where they leave the scale, 0 to 1 but for a gap, which has no such bound.
    """
    least = 0.0 if one_sided else -1.0

    def cell(row: Row) -> Cell:
        of = of_seeds(row, key, low.removesuffix("low") + "seeds")
        if one_sided and row[high] == 1.0:
            return text("{} (≥ {})" + of, times * row[key], times * row[low])
        if row[low] is None:
            return text("{}" + of, times * row[key])
        return within(times, row[key], row[low], row[high], least, of)

    return cell


def within(times: float, middle: float, low: float, high: float, least: float, of: str = "") -> Text:
    """± half an interval; of a share, told in per cent, its ends where they leave `least` to 1."""
    if times != 1 and (low < least or high > 1):
        return text("{} [{}, {}]" + of, *(times * value for value in (middle, max(low, least), min(high, 1))))
    return text("{} ± {}" + of, times * middle, times / 2 * (high - low))


def interval(key: str, low: str, high: str, unit: str = "points", dagger: str = "") -> Callable[[Row], Cell]:
    """A difference, with its interval where there is one.

    dagger  column that says whether † stands behind it
    """
    times = 100 if unit == "points" else 1

    def cell(row: Row) -> Cell:
        if row[key] is None:
            return None
        if row[low] is None:
            return text("{} (too few errors)", times * row[key])
        mark = "†" * (row.get(dagger) == "yes")
        if row.get("if_converges") == "yes":
            mark += " if it converges"
        return text("{} [{}, {}]" + mark, *(times * row[name] for name in (key, low, high)))

    return cell


def marked(cell: Cell, mark: str) -> Cell:
    """A cell with more behind it."""
    if isinstance(cell, Text):
        return Text(cell.template + mark, cell.numbers)
    return f"{cell or NOTHING}{mark}"


def behind(cell: Cell, count: int | None) -> Cell:
    """A cell with a number in brackets behind it."""
    return cell if count is None else marked(cell, f" ({count})")


def number_marked(key: str) -> Callable[[Row], Cell]:
    """A share in per cent, ‡ behind it where the row says so."""
    plain = number(key, 100)
    return lambda row: marked(plain(row), " ‡" * row[f"{key} ‡"])


def said(key: str) -> Callable[[Row], Cell]:
    return lambda row: row[key]


def _over(row: Row) -> Cell:
    settings_of = (
        "{} setting of the others, {} arms" if row["blocks"] == 1 else "{} settings of the others, {} arms"
    )
    return text(settings_of, row["blocks"], row["cells"])


COSTS: Columns = {
    "parameters": number("parameters"),
    "of them trained": number("trained_parameters"),
    "GFLOPs per image": number("flops", 1e-9),
    "epochs": number("epochs"),
    "train s": number("train_seconds"),
    "× baseline's": number("time_ratio"),
    "images/s": number("images_per_s"),
    "peak memory MB": number("peak_memory_mb"),
}


def verdict(row: Row) -> Cell:
    """With † where there is one."""
    return row.get("verdict") and row["verdict"] + "†" * (row["dagger"] == "yes")


FACTORS: Columns = {
    "effect": said("effect_of"),
    "verdict": verdict,
    "over": _over,
    "also holds": lambda row: row.get("aliases"),
    "seeds": number("seeds"),
    "folds": number("seeds"),
}
SETTINGS: Columns = {
    "setting": said("setting"),
    "arm": said("arm"),
    "baseline": said("baseline"),
    "here": said("here"),
}


def of_new_runs(row: Row) -> Cell:
    """The difference of two new runs, of a cost their ratio."""
    if row["new_runs"] is None:
        return None
    ends = [row[name] for name in ("new_runs", "new_runs_low", "new_runs_high")]
    if row["metric"].startswith("cost."):
        return text("×{} [{}, {}]", *ends)
    times = 1 if whole_and_slice(row["metric"])[0].partition(".")[2] in UNITS else 100
    return text("{} [{}, {}]", *(times * end for end in ends))


def chance(row: Row) -> Cell:
    """A probability, never as certain."""
    share = row["better"]
    if share is None or 0.005 <= share < 0.995:
        return None if share is None else text("{}", 100 * share)
    return "over 99" if share > 0.5 else "under 1"


HIDDEN: Columns = {
    "hidden set": said("set"),
    "content": lambda row: row["key"][:12],
    "arms": number("arms"),
    "trials scored": number("trials"),
    "declared comparisons": number("comparisons"),
}
NOISE: Columns = {
    "σ, points": number("sigma", 100),
    "set": said("set"),
    "metric": said("metric"),
    "f": number("f"),
    "largest by luck, points": number("luck", 100),
    "seeds": number("seeds"),
    "images": number("images"),
}
