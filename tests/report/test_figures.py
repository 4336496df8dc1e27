"""The figures on arms: what is drawn where, and what is said of it."""

import re
import xml.etree.ElementTree as ElementTree
from dataclasses import replace

import pytest
from tuned import tuned

from bench.recipe import Corrupted
from bench.report import build
from bench.report.figures import figures
from bench.report.pictures import gather
from bench.report.svg import Figure


def drawn(w, plan=None, **options) -> dict[str, Figure]:
    plan = plan or w.plan
    document = build(w.study, plan, w.store)
    return {f.name: f for f in figures(document, gather(w.study, plan, w.store, document), **options)}


def elements(figure: Figure, name: str, kind: str = "") -> list[ElementTree.Element]:
    root = ElementTree.fromstring(f"<svg>{figure.body}</svg>")
    return [e for e in root.iter(name) if not kind or kind in e.get("class", "").split()]


def texts(figure: Figure) -> list[str]:
    return ["".join(e.itertext()) for e in elements(figure, "text")]


def tips(figure: Figure) -> list[str]:
    return ["".join(e.itertext()) for e in elements(figure, "title")]


def test_a_study_has_its_figures_and_each_is_well_formed(world):
    found = drawn(world)
    assert list(found)[:5] == ["effects", "seeds", "local-heavy", "cost", "recall"]
    assert sum(name.startswith("confusion-") for name in found) == 7
    for figure in found.values():
        root = ElementTree.fromstring(figure.file())
        assert root.get("role") == "img"
        assert len(root.get("aria-label")) > 20
        assert re.fullmatch(r"[\w-]+", figure.name)
        for text in root.iter("{http://www.w3.org/2000/svg}text"):
            assert -1 <= float(text.get("y")) <= figure.height, figure.name


def test_effects_are_drawn_at_their_numbers(world):
    document = build(world.study, world.plan, world.store)
    figure = drawn(world)["effects"]
    lines = elements(figure, "line", "thick")
    shown = [f for f in document.findings if f.effect]
    assert len(lines) == len(shown) == 5
    widths = [float(line.get("x2")) - float(line.get("x1")) for line in lines]
    spans = [f.effect.high - f.effect.low for f in shown]
    scale = widths[0] / spans[0]
    assert widths == pytest.approx([scale * span for span in spans], abs=0.2)
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
    assert "differ by luck alone" in figure.note


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


def test_recall_changes_are_points_against_the_baseline(world):
    document = build(world.study, world.plan, world.store)
    figure = drawn(world)["recall"]
    at = [arm.label for arm in document.arms].index("randaugment")
    row = document.classes[0]
    change = 100 * (row.recalls[at] - row.recalls[0])
    assert f"+{change:.0f}" in texts(figure)
    tip = f"randaugment, {row.name}: {100 * row.recalls[0]:.1f} → {100 * row.recalls[at]:.1f} %"
    assert tip in tips(figure)


def test_curves_have_a_panel_for_each_arm_and_the_baseline_behind(make_world):
    w = make_world(seeds=(0, 1))
    w.arm("a", 1.0)
    w.arm("b", 1.5, ["flip"])
    w.finish_all()
    for label in w.skills:
        for seed in w.seeds:
            lines = [
                f'{{"stage": {1 + e // 3}, "step": {10 * e}, "val_accuracy": 0.{e}}}' for e in range(1, 6)
            ]
            (w.store.trial_dir(w.id(label, seed)) / "history.jsonl").write_text("\n".join(lines))
    figure = drawn(w)["curves"]
    paths = [path.get("class") for path in elements(figure, "path")]
    assert paths.count("base line") == 2
    assert paths.count("good line") + paths.count("plain line") == 2
    assert paths.count("plain faint") == 2
    assert "a 50.0 %; b 50.0 %" in figure.alt


def test_searches_show_the_chosen_candidate_and_the_ends_of_its_range(make_world):
    w = make_world(seeds=(0, 1, 2))
    w.arm("a", 1.0)
    w.arm("b", 1.5, ["flip"])
    plan = tuned(w)
    w.finish_all()
    found = drawn(w, plan)
    assert [name for name in found if name.startswith("search")] == [
        "search-history",
        "search-slice-1",
        "search-slice-2",
        "search-best",
    ]
    history = found["search-history"]
    assert tips(history).count("candidate 1, chosen") == 2
    assert tips(history).count("candidate 2: diverged") == 2
    assert not any("candidate 3" in tip for tip in tips(history))
    assert history.alt.endswith("Chosen: a: candidate 1, 60.0 %; b: candidate 1, 60.0 %.")
    rates = found["search-slice-1"]
    assert "optimizer.lr" in rates.title
    bands = elements(rates, "rect", "band")
    ring = next(e for e in elements(rates, "circle") if e.get("r") == "7")
    low, high = float(bands[1].get("x")), float(bands[1].get("x")) + float(bands[1].get("width"))
    assert low < float(ring.get("cx")) < high  # 9e-3 lies in the outer tenth of 1e-4 … 1e-2
    assert "constant" in texts(found["search-slice-2"])
    assert "a 60.0 %; b 60.0 %" in found["search-best"].alt


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


def test_families_that_an_arm_trains_with_are_marked(make_world):
    w = make_world(seeds=(0, 1))
    w.arm("a", 1.0)
    w.arm("b", 1.5, ["randaugment"])
    w.finish_all()
    micro = Corrupted(kind="corrupted", profile="micro-c", families=("jpeg", "rotation"), severities=(1, 5))
    w.extra = {"hidden": {"heavy": micro}}
    conditions = {f"{f}/{s}": {"accuracy": 0.9 - 0.1 * s} for f in ("jpeg", "rotation") for s in (1, 5)}
    for label in w.skills:
        for seed in w.seeds:
            record = w.store.read(w.id(label, seed))
            said = w.store.predictions(record.id)
            record = record.model_copy(update={"conditions": {w.keys()["heavy"]: conditions}})
            w.store.write(record, history=[], predictions=said)
    document = build(w.study, w.plan, w.store)
    pictures = gather(w.study, w.plan, w.store, document)
    figure = next(f for f in figures(document, pictures) if f.name == "corruptions-heavy")
    cells = elements(figure, "rect", "cell")
    assert [cell.get("fill-opacity") for cell in cells] == ["0.80", "0.40", "0.80", "0.40"] * 2
    assert tips(figure).count("b trains with rotation") == 1
    assert "Lowest: 40.0 %" in figure.alt
    mixed = replace(document, corrupted=(replace(document.corrupted[0], by_family=False),))
    assert not any(f.name.startswith("corruptions") for f in figures(mixed, pictures))
