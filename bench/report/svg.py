"""Drawing: marks on a plane as SVG text, without a plotting library, so that equal numbers make equal bytes.

Colours are classes: the page gives them a light and a dark form, a file of its own carries both.
Coordinates are pixels from the top left corner.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from html import escape

LETTER = 7.4
"""Widest usual letter of the 12 px font, px."""

COLOURS = {
    "ink": ("#1b1f24", "#e6e9ed"),
    "muted": ("#57606a", "#a3abb5"),
    "grid": ("#d8dde3", "#3a4048"),
    "paper": ("#ffffff", "#14171b"),
    "good": ("#0068a8", "#5cb8f0"),
    "bad": ("#b84a00", "#f0945c"),
    "plain": ("#57606a", "#a3abb5"),
    "base": ("#1b1f24", "#e6e9ed"),
}
"""Name → light, dark. Blue and vermilion stay apart for colour-blind eyes (after Okabe & Ito 2008)."""

STRONGEST = 0.5
"""Opacity of the strongest cell of a heat map: text on it keeps a contrast of 4.5 in both schemes."""

STYLE = (
    "text{fill:var(--ink);font:12px system-ui,sans-serif}"
    ".end{text-anchor:end}.middle{text-anchor:middle}.bold{font-weight:600}.small{font-size:11px}"
    "text.muted{fill:var(--muted)}"
    ".grid{stroke:var(--grid);fill:none}.axis{stroke:var(--muted);fill:none}"
    ".dash{stroke-dasharray:4 3}.band{fill:var(--muted);fill-opacity:.16}"
    ".good{fill:var(--good);stroke:var(--good)}.bad{fill:var(--bad);stroke:var(--bad)}"
    ".plain{fill:var(--plain);stroke:var(--plain)}.base{fill:var(--base);stroke:var(--base)}"
    ".line{fill:none;stroke-width:1.5}.thick{fill:none;stroke-width:2.5}.faint{fill:none;stroke-opacity:.45}"
    ".hollow{fill:var(--paper);stroke-width:1.5}.dot{fill-opacity:.6;stroke:none}"
    ".cell{stroke:var(--paper)}"
)

PAPER = "svg{background:var(--paper)}.paper{fill:var(--paper)}"
"""Of a file, which brings its own paper along. On none, the colours would follow the reader's system and the
paper the page around it: GitHub lets people choose its scheme apart from their system's, and ink would fall
on its like. The rectangle is for programs that know no CSS background, the background for a window's edge."""


def palette(scheme: int) -> str:
    """The colours as CSS variables: 0 light, 1 dark."""
    return "".join(f"--{name}:{pair[scheme]};" for name, pair in COLOURS.items())


@dataclass(frozen=True)
class Figure:
    """A finished drawing."""

    name: str
    """Of its file, without ending."""
    title: str
    alt: str
    """What it shows, for those who cannot see it."""
    note: str
    """How to read it."""
    width: float
    height: float
    body: str
    """SVG markup."""

    @property
    def kind(self) -> str:
        """``confusion``, ``search``, …: the first word of its name."""
        return self.name.partition("-")[0]

    def inline(self) -> str:
        """For a page that has the colours."""
        return f'<svg {self._size} role="img" aria-label="{escape(self.alt)}">{self.body}</svg>'

    def file(self) -> str:
        """A file of its own, light or dark as its reader's screen, light in print and outside of browsers."""
        dark = f"@media screen and (prefers-color-scheme:dark){{{_coloured(1)}}}"
        words = f"<title>{escape(self.title)}</title><desc>{escape(self.alt)}</desc>"
        paper = '<rect class="paper" width="100%" height="100%"/>'
        return (
            f'<svg xmlns="http://www.w3.org/2000/svg" {self._size} role="img">{words}'
            f"<style>{_coloured(0)}{dark}</style>{paper}{self.body}</svg>\n"
        )

    @property
    def _size(self) -> str:
        width, height = number(self.width), number(self.height)
        return f'viewBox="0 0 {width} {height}" width="{width}" height="{height}"'


def _coloured(scheme: int) -> str:
    """A file's rules: 0 light, 1 dark. Programs that draw SVG outside of browsers know no CSS variables.

    Inkscape 1.2 lets ``font`` win over the ``font-size`` of a later rule, so it stands in its parts.
    """
    rules = re.sub(r"font:(\w+) ([^}]+)", r"font-size:\1;font-family:\2", PAPER + STYLE)
    return re.sub(r"var\(--(\w+)\)", lambda name: COLOURS[name[1]][scheme], rules)


def number(value: float) -> str:
    """A coordinate, to a tenth of a pixel."""
    text = f"{value:.1f}".removesuffix(".0")
    return "0" if text == "-0" else text


def letters(text: str) -> float:
    """About how wide a text is, px; wide characters count twice."""
    return sum(LETTER if ord(c) < 0x2E80 else 2 * LETTER for c in text)


def cut(text: str, longest: int = 24) -> str:
    """A text that fits beside a drawing."""
    return text if len(text) <= longest else f"{text[: longest - 8]}…{text[-7:]}"


@dataclass
class Canvas:
    """Marks, one after the other; later ones lie above earlier ones."""

    parts: list[str] = field(default_factory=list)

    def mark(self, name: str, kind: str, tip: str = "", **numbers: float) -> None:
        """An SVG element of a class, with a text that appears under the pointer."""
        attributes = "".join(f' {key.replace("_", "-")}="{number(v)}"' for key, v in numbers.items())
        self._add(name, f' class="{kind}"{attributes}', tip)

    def _add(self, name: str, attributes: str, tip: str) -> None:
        title = f"<title>{escape(tip)}</title>" if tip else ""
        self.parts.append(f"<{name}{attributes}>{title}</{name}>" if title else f"<{name}{attributes}/>")

    def line(self, kind: str, x1: float, y1: float, x2: float, y2: float) -> None:
        """A straight line."""
        self.mark("line", kind, x1=x1, y1=y1, x2=x2, y2=y2)

    def area(self, kind: str, box: tuple[float, float, float, float], tip: str = "") -> None:
        """A rectangle: (x, y, width, height)."""
        x, y, width, height = box
        self.mark("rect", kind, tip, x=x, y=y, width=width, height=height)

    def path(self, kind: str, points: Iterable[tuple[float, float]], tip: str = "") -> None:
        """A line through points."""
        d = " ".join(f"{'L' if i else 'M'}{number(x)} {number(y)}" for i, (x, y) in enumerate(points))
        self._add("path", f' class="{kind}" d="{d}"', tip)

    def text(self, x: float, y: float, text: str, kind: str = "") -> None:
        """A text; y is the middle of its letters."""
        of = f' class="{kind}"' if kind else ""
        self.parts.append(f'<text{of} x="{number(x)}" y="{number(y + 4)}">{escape(text)}</text>')

    def cell(
        self,
        kind: str,
        box: tuple[float, float, float, float],
        strength: float,
        tip: str = "",
        most: float = STRONGEST,
    ) -> None:
        """A cell of a heat map: (x, y, width, height), strength 0 to 1; ``most``: opacity at 1."""
        x, y, width, height = (number(value) for value in box)
        opacity = f"{most * min(1.0, max(0.0, strength)):.2f}"
        size = f'x="{x}" y="{y}" width="{width}" height="{height}"'
        self._add("rect", f' class="cell {kind}" {size} fill-opacity="{opacity}"', tip)

    def point(self, kind: str, x: float, y: float, tip: str, shape: str = "circle") -> None:
        """A point: ``circle``, ``square``, ``up``, ``down`` or ``cross``; shape repeats what colour says."""
        if shape == "circle":
            self.mark("circle", kind, tip, cx=x, cy=y, r=4.5)
            return
        corners = {
            "square": ((-4, -4), (4, -4), (4, 4), (-4, 4)),
            "up": ((-5, 4), (0, -5), (5, 4)),
            "down": ((-5, -4), (0, 5), (5, -4)),
            "cross": ((-4, -4), (4, 4), (0, 0), (4, -4), (-4, 4)),
        }[shape]
        kind = f"{kind} line" if shape == "cross" else kind
        self.path(
            kind, [(x + dx, y + dy) for dx, dy in (*corners, corners[0])][: 5 + (shape != "cross")], tip
        )

    def figure(self, size: tuple[float, float], name: str, title: str, **words: str) -> Figure:
        """What was drawn; ``words`` are alt and note."""
        return Figure(name, title, words["alt"], words["note"], *size, "".join(self.parts))


@dataclass(frozen=True)
class Scale:
    """Values low … high along pixels start … end; ``log``: equal ratios are equally far apart."""

    low: float
    high: float
    start: float
    end: float
    log: bool = False

    def __call__(self, value: float) -> float:
        """Where a value lies, px; values outside lie at the nearer end."""
        value = min(max(value, self.low), self.high)
        if self.log:
            share = math.log(value / self.low) / math.log(self.high / self.low)
        else:
            share = (value - self.low) / (self.high - self.low)
        return self.start + share * (self.end - self.start)

    @classmethod
    def around(cls, values: Iterable[float], start: float, end: float, *, log: bool = False) -> Scale:
        """Wide enough for all values and a margin of 6 %; never of no width."""
        known = [value for value in values if math.isfinite(value) and (value > 0 or not log)]
        low, high = (min(known), max(known)) if known else (0.5, 1.0)
        if log:
            margin = max((high / low) ** 0.06, 1.05)
            return cls(low / margin, high * margin, start, end, True)
        margin = 0.06 * (high - low) or 0.05 * abs(high) or 0.5
        return cls(low - margin, high + margin, start, end)

    def ticks(self, most: int = 6) -> list[float]:
        """Round values in order, at most one more than ``most``; none for 0."""
        if not most:
            return []
        if self.log:
            return self._decades(most)
        power = 10 ** math.floor(math.log10((self.high - self.low) / most))
        for step in (power, 2 * power, 5 * power, 10 * power, 20 * power):
            first, last = math.ceil(self.low / step - 1e-9), math.floor(self.high / step + 1e-9)
            if last - first <= most:
                break
        return [round(i * step, 12) for i in range(first, last + 1)]

    def _decades(self, most: int) -> list[float]:
        low, high = math.floor(math.log10(self.low)), math.ceil(math.log10(self.high))
        for steps in ((1, 2, 3, 4, 5, 6, 7, 8, 9), (1, 2, 5), (1, 3), (1,)):
            found = [float(f"{m}e{e}") for e in range(low, high + 1) for m in steps]
            found = [value for value in found if self.low <= value <= self.high]
            if len(found) <= most:
                return found
        return found[:: math.ceil(len(found) / most)]


def spelled(value: float) -> str:
    """A tick's label: ``0``, ``12.5``, ``1e-05``."""
    return f"{value:.6g}".replace("-", "−", value < 0)


@dataclass(frozen=True)
class Axes:
    """A rectangle: its scales' pixels, x from left to right, y from bottom to top."""

    x: Scale
    y: Scale

    def draw(self, canvas: Canvas, *, across: str = "", up: str = "", most: tuple[int, int] = (6, 5)) -> None:
        """Grid, numbers and names of the axes."""
        for value in self.x.ticks(most[0]):
            at = self.x(value)
            canvas.line("grid", at, self.y.start, at, self.y.end)
            canvas.text(at, self.y.start + 11, spelled(value), "middle small muted")
        for value in self.y.ticks(most[1]):
            at = self.y(value)
            canvas.line("grid", self.x.start, at, self.x.end, at)
            canvas.text(self.x.start - 6, at, spelled(value), "end small muted")
        if across:
            canvas.text((self.x.start + self.x.end) / 2, self.y.start + 28, across, "middle muted")
        if up:
            canvas.text(self.x.start - 30, self.y.end - 14, up, "muted")


def labels(canvas: Canvas, points: Sequence[tuple[float, float, str]], right: float) -> None:
    """Names beside points, where they cover neither each other nor a point; the others are left out.

    right   px that no name may pass
    """
    taken = [(x - 6, y - 6, x + 6, y + 6) for x, y, _ in points]
    for x, y, name in points:
        width = letters(name)
        for dx, dy in ((9, 0), (-9 - width, 0), (9, -11), (9, 11), (-9 - width, -11), (-9 - width, 11)):
            box = (x + dx, y + dy - 6, x + dx + width, y + dy + 6)
            if box[2] <= right and box[0] >= 0 and not any(_overlap(box, other) for other in taken):
                taken.append(box)
                canvas.text(x + dx, y + dy, name, "small")
                break


def _overlap(a: Sequence[float], b: Sequence[float]) -> bool:
    return a[0] < b[2] and b[0] < a[2] and a[1] < b[3] and b[1] < a[3]
