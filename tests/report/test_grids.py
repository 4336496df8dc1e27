"""Panels for each arm, cells for each number."""

from dataclasses import replace

import pytest
from drawn import drawn, elements, texts, tips

from bench.judge.findings import Mean
from bench.judge.pictures import gather
from bench.recipe import Corrupted
from bench.report import build
from bench.report.figures import figures


def test_recall_changes_are_points_against_the_baseline(world):
    document = build(world.study, world.plan, world.store)
    figure = drawn(world)["recall"]
    at = [arm.label for arm in document.arms].index("randaugment")
    name = document.classes[0]
    before, after = (document.arms[i].recalls[name].mean for i in (0, at))
    change = 100 * (after - before)
    assert f"+{change:.0f}" in texts(figure)
    tip = f"randaugment, {name}: {100 * before:.1f} → {100 * after:.1f} %"
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
            (w.before_checksums(label, seed) / "history.jsonl").write_text("\n".join(lines))
    figure = drawn(w)["curves"]
    paths = [path.get("class") for path in elements(figure, "path")]
    assert paths.count("base line") == 2
    assert paths.count("good line") + paths.count("plain line") == 2
    assert paths.count("plain faint") == 2
    assert "a 50.0 %; b 50.0 %" in figure.alt


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


def test_confusions_have_a_cell_for_each_pair_of_classes(make_world):
    w = make_world(seeds=(0, 1))
    w.arm("a", 1.0)
    w.arm("b", 1.5, ["flip"])
    w.finish_all()
    found = drawn(w)
    figure = found["confusion-01-a"]
    assert len(elements(figure, "rect", "cell")) == 9
    assert len(elements(figure, "rect", "good")) == 3  # the diagonal
    confusion = gather(w.study, w.plan, w.store, build(w.study, w.plan, w.store)).confusions[0]
    share = confusion.shares[0][1]
    assert f"basophil taken for monocyte: {100 * share:.1f} %" in tips(figure)
    true, said, most = confusion.worst()
    assert figure.alt.endswith(f"Most frequent error: {true} taken for {said}, {100 * most:.1f} %.")


@pytest.mark.parametrize(("change", "cell"), [(-0.25, "bad"), (0.125, "good")])
def test_the_colour_of_a_change_is_its_sign_and_its_strength_its_size(make_world, change, cell):
    w = make_world(seeds=(0, 1))
    w.arm("a", 1.0)
    w.arm("b", 1.5, ["flip"])
    w.finish_all()
    document = build(w.study, w.plan, w.store)
    arms = (
        replace(arm, recalls=dict.fromkeys(document.classes, Mean(recall, None, 2, 2)))
        for arm, recall in zip(document.arms, (0.5, 0.5 + change), strict=True)
    )
    document = replace(document, arms=tuple(arms))
    pictures = gather(w.study, w.plan, w.store, document)
    figure = next(f for f in figures(document, pictures) if f.name == "recall")
    cells = elements(figure, "rect", cell)
    assert len(cells) == 3
    assert cells[0].get("fill-opacity") == f"{0.5 * abs(change) / 0.25:.2f}"
