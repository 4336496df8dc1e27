"""The figures on arms: what is drawn where, and what is said of it."""

import re
import xml.etree.ElementTree as ElementTree

import pytest
from drawn import drawn, elements, texts, tips

from bench.report import build


def test_a_study_has_its_figures_and_each_is_well_formed(world):
    found = drawn(world)
    assert list(found)[:5] == ["effects", "seeds", "local-heavy", "cost", "recall"]
    assert sum(name.startswith("confusion-") for name in found) == 7
    for figure in found.values():
        root = ElementTree.fromstring(figure.file())
        assert root.get("role") == "img"
        assert len(root.findtext("{http://www.w3.org/2000/svg}desc")) > 20
        assert re.fullmatch(r"[\w-]+", figure.name)
        for text in root.iter("{http://www.w3.org/2000/svg}text"):
            assert -1 <= float(text.get("y")) <= figure.height, figure.name


def test_effects_are_drawn_at_their_numbers(world):
    document = build(world.study, world.plan, world.store)
    figure = drawn(world)["effects"]
    lines = elements(figure, "line", "thick")
    shown = [f for f in document.findings if f.effect]
    assert len(lines) == len(shown) == 5
    ticks = {t.text: float(t.get("x")) for t in elements(figure, "text", "middle") if "−" not in t.text}
    zero, point = ticks["0"], (ticks["20"] - ticks["0"]) / 20
    for line, finding in zip(lines, shown, strict=True):
        ends = [zero + point * 100 * value for value in (finding.effect.low, finding.effect.high)]
        assert [float(line.get("x1")), float(line.get("x2"))] == pytest.approx(ends, abs=0.3)
    assert ["good" in line.get("class") for line in lines] == [f.verdict.startswith("helps") for f in shown]
    assert "bad" in lines[-1].get("class")  # blur
    assert "randaugment: +31.0 [26.2, 35.8], helps, by more than 1 point" in figure.alt
    assert "huge" not in texts(figure)  # no verdict, no effect


def test_the_noise_band_lies_around_zero(world):
    figure = drawn(world)["effects"]
    (band,) = elements(figure, "rect", "band")
    zero = next(e for e in elements(figure, "line", "axis") if "dash" not in e.get("class"))
    middle = float(band.get("x")) + float(band.get("width")) / 2
    assert middle == pytest.approx(float(zero.get("x1")), abs=0.2)
    assert "the largest of 6 equal arms' differences" in figure.note


def test_every_seed_is_a_dot(world):
    figure = drawn(world)["seeds"]
    done = 5 + 5 + 4 + 5 + 4 + 4 + 3
    assert len(elements(figure, "circle", "dot")) == 2 * done
    assert len(elements(figure, "line", "thick")) == 2 * 7
    assert any(tip.startswith("randaugment, seed 3: ") for tip in tips(figure))


def test_without_costs_no_figure_tells_a_time(world):
    found = drawn(world, cost=False)
    assert "cost" not in found  # every arm has the same operations
    assert not any("second" in f.alt + f.note + f.body for f in found.values())


def test_without_costs_arms_of_different_size_are_told_by_operations(make_world):
    w = make_world()
    w.arm("a", 1.0)
    w.arm("b", 1.5, ["flip"])
    for seed in w.seeds:
        w.finish("a", seed)
        w.finish("b", seed, flops=9 * 45678900)
    assert "GFLOPs per image" in " ".join(texts(drawn(w, cost=False)["cost"]))


def test_hostile_names_are_text_in_every_figure(make_world):
    w = make_world()
    w.arm("base", 1.0)
    for i, name in enumerate(("</svg><script>x</script>", '"&<', "y" * 300, "a\x00b\x1b[31m", "🧪 $x_1$")):
        w.arm(name, 1.2 + 0.2 * i, ["flip"])
    w.finish_all()
    for figure in drawn(w).values():
        root = ElementTree.fromstring(figure.file())
        assert not list(root.iter("{http://www.w3.org/2000/svg}script"))
        assert "y" * 40 not in figure.file()


def test_a_study_without_results_has_no_figure(make_world):
    w = make_world()
    w.arm("a", 1.0)
    w.arm("b", 1.5, ["flip"])
    assert drawn(w) == {}
