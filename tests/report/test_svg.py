"""Drawing: scales, ticks, marks, and colours that can be told apart and read."""

import math
import re
import xml.etree.ElementTree as ElementTree

import pytest

from bench.report.svg import COLOURS, STRONGEST, Axes, Canvas, Scale, cut, labels, number, spelled


def test_a_scale_puts_its_ends_at_its_ends():
    scale = Scale(10, 30, 100, 500)
    assert [scale(v) for v in (10, 20, 30)] == [100, 300, 500]
    assert [scale(v) for v in (-5, 99)] == [100, 500]  # what lies outside is drawn at the edge
    assert Scale(0, 1, 200, 20)(0.25) == 155  # upward


def test_a_logarithmic_scale_puts_equal_ratios_equally_far_apart():
    scale = Scale(1e-4, 1e-2, 0, 100, log=True)
    assert scale(1e-3) == pytest.approx(50)
    assert scale.ticks() == [1e-4, 3e-4, 1e-3, 3e-3, 1e-2]
    assert Scale(0.9, 1e6, 0, 100, log=True).ticks(3) == [1, 1e3, 1e6]
    assert Scale(2.1, 8, 0, 100, log=True).ticks() == [3, 4, 5, 6, 7, 8]


@pytest.mark.parametrize(
    ("low", "high", "most", "ticks"),
    [
        (0, 10, 5, [0, 2, 4, 6, 8, 10]),
        (-2.3, 2.3, 5, [-2, -1, 0, 1, 2]),
        (91.02, 91.98, 4, [91.2, 91.4, 91.6, 91.8]),
        (0, 100, 2, [0, 50, 100]),
        (0, 1, 0, []),
    ],
)
def test_ticks_are_round_and_few(low, high, most, ticks):
    assert Scale(low, high, 0, 1).ticks(most) == ticks


def test_a_scale_around_values_is_never_of_no_width():
    for values in ([], [3.0], [0.0, 0.0], [math.nan, 2.0]):
        scale = Scale.around(values, 0, 100)
        assert scale.low < scale.high
        assert all(0 <= scale(v) <= 100 for v in values if math.isfinite(v))
    assert Scale.around([0, 100], 0, 1).low == -6
    assert Scale.around([5.0], 0, 1, log=True).low < 5 < Scale.around([5.0], 0, 1, log=True).high
    assert Scale.around([-1, 0], 0, 1, log=True).low > 0


def test_marks_are_well_formed_whatever_the_text():
    canvas = Canvas()
    canvas.text(1, 2, "<b> & \"x\" 'y' ]]>", "bold")
    canvas.point("good", 5, 5, "</title><script>", "up")
    for shape in ("circle", "square", "down", "cross"):
        canvas.point("bad", 5, 5, "", shape)
    canvas.cell("good", (0, 0, 10, 10), 7.0, "a < b")
    Axes(Scale(0, 1, 40, 100), Scale(0, 1, 80, 10)).draw(canvas, across="x & y", up="<z>")
    figure = canvas.figure((100, 50), "f", "t <", alt='say "hi" & <bye>', note="n")
    root = ElementTree.fromstring(figure.file())
    assert root.get("role") == "img"
    inline = ElementTree.fromstring(figure.inline())
    assert inline.get("aria-label") == 'say "hi" & <bye>'
    assert "var(" not in figure.inline()
    cell = next(e for e in root.iter() if "cell" in e.get("class", ""))
    assert cell.get("fill-opacity") == f"{STRONGEST:.2f}"


def test_a_file_brings_its_words_size_and_colours_along_and_nothing_from_elsewhere():
    canvas = Canvas()
    canvas.point("good", 5, 5, "tip", "up")
    file = canvas.figure((100, 50.26), "f", "t <", alt='say "hi" & <bye>', note="n").file()
    root, svg = ElementTree.fromstring(file), "{http://www.w3.org/2000/svg}"
    assert root.tag == f"{svg}svg"
    assert [root.get(key) for key in ("width", "height", "viewBox")] == ["100", "50.3", "0 0 100 50.3"]
    assert [child.tag for child in root][:4] == [
        f"{svg}{name}" for name in ("title", "desc", "style", "rect")
    ]
    assert (root.findtext(f"{svg}title"), root.findtext(f"{svg}desc")) == ("t <", 'say "hi" & <bye>')
    light, _, dark = root.findtext(f"{svg}style").partition("@media screen and (prefers-color-scheme:dark)")
    for scheme, rules in enumerate((light, dark)):
        for name in ("ink", "muted", "grid", "paper", "good", "bad"):
            assert COLOURS[name][scheme] in rules, name
        assert f".paper{{fill:{COLOURS['paper'][scheme]}}}" in rules
        assert "font-size:12px;font-family:system-ui,sans-serif}" in rules
    assert not re.search(r"var\(|url\(|@import|href|<script|font:", file)


def test_names_beside_points_never_cover_one_another():
    canvas = Canvas()
    labels(canvas, [(50, 50, "first"), (52, 51, "second"), (51, 49, "third"), (51, 50, "fourth")], 300)
    texts = [ElementTree.fromstring(part) for part in canvas.parts]
    places = [(t.get("x"), t.get("y")) for t in texts]
    assert len(set(places)) == len(places)
    assert len(texts) >= 2
    crowded = Canvas()
    labels(crowded, [(50, 50, f"name {i}") for i in range(30)], 300)
    assert len(crowded.parts) < 10  # the rest is left to the pointer


def test_coordinates_are_short():
    assert [number(v) for v in (3.0, 3.14159, -0.01, 12.96)] == ["3", "3.1", "0", "13"]
    assert [spelled(v) for v in (0, -2.5, 1e-05, 12000)] == ["0", "−2.5", "1e-05", "12000"]
    assert cut("short") == "short"
    assert cut("abcdefghijklmnopqrstuvwxyz0123") == "abcdefghijklmnop…xyz0123"


def _luminance(colour: str) -> float:
    parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4 for p in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def _contrast(a: str, b: str) -> float:
    """WCAG 2: 1 to 21."""
    bright, dark = sorted((_luminance(a), _luminance(b)), reverse=True)
    return (bright + 0.05) / (dark + 0.05)


def _over(colour: str, paper: str, opacity: float) -> str:
    mix = (
        round(int(colour[i : i + 2], 16) * opacity + int(paper[i : i + 2], 16) * (1 - opacity))
        for i in (1, 3, 5)
    )
    return "#" + "".join(f"{part:02x}" for part in mix)


@pytest.mark.parametrize("scheme", [0, 1], ids=["light", "dark"])
def test_text_can_be_read_in_both_schemes(scheme):
    colour = {name: pair[scheme] for name, pair in COLOURS.items()}
    for name in ("ink", "muted", "good", "bad", "plain"):
        assert _contrast(colour[name], colour["paper"]) >= 4.5, name
    for name in ("good", "bad"):
        strongest = _over(colour[name], colour["paper"], STRONGEST)
        assert _contrast(colour["ink"], strongest) >= 4.5, name
