"""A Document as Markdown."""

from __future__ import annotations

import functools
import math
import re
from typing import TYPE_CHECKING

from bench.judge.findings import Document, Effect, Mean, Seeds
from bench.registry import metrics

if TYPE_CHECKING:
    from jinja2 import Template

LONGEST_NAME = 60
MINUS, DASH = "−", "–"


def markdown(document: Document, *, cost: bool = True) -> str:
    """The report, always the same bytes. ``cost=False``: without what may differ between equals."""
    names = short_names([arm.label for arm in document.arms])
    text = _template().render(d=document, cost=cost, name=lambda label: md(names.get(label, label)))
    return re.sub(r"\n{3,}", "\n\n", text).strip() + "\n"


@functools.cache
def _template() -> Template:
    from jinja2 import Environment, PackageLoader, StrictUndefined

    # The filter md escapes value by value; HTML's autoescape would not see a pipe or a newline.
    environment = Environment(
        loader=PackageLoader("bench.report"), undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters |= {
        "md": md,
        "sentence": sentence,
        "long": functools.partial(md, longest=2000),
        "pct": percent,
        "mean": mean,
        "within": within,
        "score": score,
        "effect": effect,
        "ratio": ratio,
        "rho": rho,
        "width": width,
        "count": seeds,
        "thousands": thousands,
    }
    return environment.get_template("report.md.j2")


def md(text: object, longest: int = LONGEST_NAME * 4) -> str:
    """Any text as plain words on one line of Markdown: no markup, no HTML, no table cell of its own."""
    line = " ".join("".join(c if c.isprintable() else " " for c in str(text)).split())
    line = line if len(line) <= longest else line[: longest - 1] + "…"
    line = line.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    line = re.sub(r"([\\`*_\[\]|~$])", r"\\\1", line)
    return re.sub(r"^([#+-])|^(\d+)([.)])(?=\s)", lambda m: f"\\{m[1]}" if m[1] else f"{m[2]}\\{m[3]}", line)


def sentence(text: str) -> str:
    """Text with a capital and a full stop."""
    return md(text[:1].upper() + text[1:]) + "."


def short_names(labels: list[str]) -> dict[str, str]:
    """Each label, cut in its middle where it is too long for a table, still unlike every other."""
    names: dict[str, str] = {}
    for label in labels:
        name = label
        if len(label) > LONGEST_NAME:
            name = f"{label[: LONGEST_NAME - 20]}…{label[-19:]}"
        again = sum(taken == name or taken.startswith(f"{name} (") for taken in names.values())
        names[label] = f"{name} ({again + 1})" if again else name
    return names


def percent(value: float | None, digits: int = 1) -> str:
    """A fraction as per cent, without the sign."""
    return DASH if value is None else f"{100 * value:.{digits}f}"


def mean(value: Mean | None, digits: int = 1) -> str:
    """``97.0 ± 0.4``, the sd over seeds."""
    if value is None:
        return "not scored"
    spread = f" ± {100 * value.sd:.{digits}f}" if value.sd is not None else ""
    return f"{100 * value.mean:.{digits}f}{spread}"


def within(value: Mean | None, interval: Effect | None) -> str:
    """``97.0 ± 0.4``, half the 95 % interval; without one the mean alone."""
    if value is None:
        return "not scored"
    return percent(value.mean) if interval is None else width(interval)


def score(value: Mean | None, metric: str) -> str:
    """A cell of the table of scores: per cent where the score is a share."""
    if value is None:
        return DASH
    if metrics[metric].traits["unit"] == "share":
        return mean(value)
    return f"{value.mean:.3f}" + (f" ± {value.sd:.3f}" if value.sd is not None else "")


def effect(value: Effect | None, bold: bool = False) -> str:
    """``+12.1 [9.2, 15.0]`` points, ``×1.18 [1.10, 1.27]``; in another unit ``+0.121 [0.092, 0.150]``."""
    if value is None:
        return DASH
    if value.unit == "ratio":
        return f"×{value.mean:.2f} [{value.low:.2f}, {value.high:.2f}]"
    scale, digits = 1 if value.unit == "points" else 0.01, _digits(value)
    middle = _signed(scale * value.mean, digits, plus=True)
    middle = f"**{middle}**" if bold else middle
    return f"{middle} [{_signed(scale * value.low, digits)}, {_signed(scale * value.high, digits)}]"


def ratio(value: float | None) -> str:
    """``0.83``."""
    return DASH if value is None else _signed(value / 100, 2)


def rho(value: float) -> str:
    """A correlation: ``+0.62``."""
    return _signed(value / 100, 2, plus=True)


def width(value: Effect | None) -> str:
    """``47.9 ± 2.1``, half the 95 % interval."""
    if value is None:
        return DASH
    digits = _digits(value)
    return f"{_signed(value.mean, digits)} ± {50 * (value.high - value.low):.{digits}f}"


def _digits(value: Effect) -> int:
    """One decimal, two where the interval is narrower than two points; else two digits of its width."""
    width = value.high - value.low
    if value.unit != "points":
        return max(0, 1 - math.floor(math.log10(width))) if width > 0 else 3
    return 2 if 0 < width < 0.02 else 1


def _signed(fraction: float, digits: int, plus: bool = False) -> str:
    text = f"{abs(100 * fraction):.{digits}f}"
    if float(text) == 0:
        return text
    return f"{MINUS if fraction < 0 else '+' if plus else ''}{text}"


def seeds(value: Seeds) -> str:
    """``5/5``, ``4/5, 1 diverged``, ``2/5, 1 failed (oom), 2 not run``."""
    parts = [f"{value.done}/{value.planned}"]
    parts += [f"{value.diverged} diverged"] if value.diverged else []
    parts += [f"{number} failed ({cause})" for cause, number in value.failed]
    for number, word in ((value.stale, "stale"), (value.damaged, "damaged"), (value.not_run, "not run")):
        parts += [f"{number} {word}"] if number else []
    return ", ".join(parts)


def thousands(value: float | None) -> str:
    """``4,007,548``."""
    return DASH if value is None else f"{value:,.0f}"
