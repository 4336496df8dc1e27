"""The words that every report explains, and where the method says more of them."""

import re
from pathlib import Path

from bench.report import build, markdown
from bench.report.glossary import WORDS, words

METHOD = Path(__file__).resolve().parents[2] / "docs" / "method.md"


def anchors(page: str) -> set[str]:
    heads = re.findall(r"^#+ (.*)$", page, re.MULTILINE)
    return {re.sub(r"[^\w -]", "", head.lower()).replace(" ", "-") for head in heads}


def test_there_are_ten_and_the_method_has_a_section_for_each(world):
    assert len(WORDS) == 10
    assert {section for _, section, _ in WORDS} <= anchors(METHOD.read_text("utf-8"))
    text = markdown(build(world.study, world.plan, world.store))
    found = re.findall(
        r"^- \*\*(.+?)\*\*: .+ \(\[method\]\(\.\./\.\./docs/method\.md#[\w-]+\)\)$", text, re.MULTILINE
    )
    assert found == [word.word for word in words(build(world.study, world.plan, world.store))]


def test_a_folder_inside_another_one_links_one_folder_further_up(world, tmp_path):
    folder = tmp_path / "reference"
    world.store.root.rename(folder)
    world.store.root = folder
    document = build(world.study, world.plan, world.store)
    assert document.docs == "../../../docs"
    assert words(document)[0].page.startswith("../../../docs/method.md#")


def test_folds_are_no_seeds(make_world):
    w = make_world(seeds=(0,))
    w.folds = 3
    w.arm("none", 1.0)
    w.arm("flips", 1.5, ["flip"])
    w.finish_all()
    found = {one.word: one.means for one in words(build(w.study, w.plan, w.store))}
    assert "seed" not in found
    assert "one part of the images" in found["fold"]
