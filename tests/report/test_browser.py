"""The page in a real browser: no complaint, tables that sort, light and dark, phone and paper."""

import re
import xml.etree.ElementTree as ElementTree
from collections.abc import Iterator
from pathlib import Path

import pytest
from browser import Browser, browser, find
from tuned import tuned

from bench.report import write_report

CHROMIUM = find()
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="needs a Chromium: apt-get install chromium")

ENTER, TAB = 13, 9


@pytest.fixture(scope="module")
def chromium(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    assert CHROMIUM is not None
    with browser(CHROMIUM, tmp_path_factory.mktemp("chromium")) as found:
        yield found


@pytest.fixture
def page(make_world) -> Path:
    w = make_world()
    for label, skill in (("none", 1.0), ("randaugment", 1.9), ("flip", 1.05), ("blur", 0.3), ("huge", 1.6)):
        w.arm(label, skill)
    plan = tuned(w)
    w.finish_all(but=[("huge", 1)])
    w.fail("huge", 1, "oom", "CUDA out of memory")
    return write_report(w.study, plan, w.store, formats=("html",))


def first_column(chromium: Browser, table: int = 0) -> list[str]:
    rows = f"Array.from(document.querySelectorAll('table.sort')[{table}].tBodies[0].rows)"
    return chromium.run(f"{rows}.map(row => row.cells[0].textContent)")


def click(chromium: Browser, head: str) -> str | None:
    """Click a head of the first table; what it then says of its order."""
    chromium.run(
        f"var head = Array.from(document.querySelector('table.sort').tHead.rows[0].cells)"
        f".find(cell => cell.textContent === {head!r}); head.querySelector('button').click()"
    )
    return chromium.run("head.getAttribute('aria-sort')")


def test_the_page_loads_without_a_complaint_and_asks_for_nothing(chromium, page):
    chromium.open(page)
    assert chromium.complaints() == []
    assert chromium.run("performance.getEntriesByType('resource').length") == 0
    assert chromium.run("document.querySelectorAll('figure svg').length") > 8
    assert chromium.run("getComputedStyle(document.body).maxWidth") != "none"  # the style was let through


def test_tables_sort_by_value_both_ways_and_say_so(chromium, page):
    chromium.open(page)
    before = first_column(chromium)
    assert before[:2] == ["none (baseline)", "randaugment"]
    assert click(chromium, "heavy % (n\u00a0=\u00a0200)") == "descending"
    assert first_column(chromium)[0] == "randaugment"
    assert first_column(chromium)[-1] == "blur"
    assert click(chromium, "heavy % (n\u00a0=\u00a0200)") == "ascending"
    assert first_column(chromium)[0] == "blur"
    assert click(chromium, "arm") == "ascending"
    assert first_column(chromium) == sorted(before)
    assert chromium.run("document.querySelectorAll('[aria-sort]').length") == 1


def test_what_has_no_value_stays_at_the_end(chromium, page):
    chromium.open(page)
    for order in ("descending", "ascending"):
        assert click(chromium, "Δ heavy.accuracy vs baseline") == order
        assert set(first_column(chromium)[-2:]) == {"none (baseline)", "huge"}


def test_tables_sort_from_the_keyboard(chromium, page):
    chromium.open(page)
    chromium.run("document.querySelector('table.sort th button').focus()")
    chromium.press("Tab", TAB)
    assert chromium.run("document.activeElement.textContent") == "local % (n\u00a0=\u00a0200)"
    chromium.press("Enter", ENTER)
    assert chromium.run("document.activeElement.parentNode.getAttribute('aria-sort')") == "descending"
    assert first_column(chromium)[0] == "randaugment"


def test_a_screen_reader_is_told_of_every_figure_and_table(chromium, page):
    chromium.open(page)
    nodes = chromium.call("Accessibility.getFullAXTree")["nodes"]
    names = {}
    for node in nodes:
        if not node.get("ignored"):
            role = node.get("role", {}).get("value")
            names.setdefault(role, []).append(node.get("name", {}).get("value", ""))
    drawings = names.get("image", []) + names.get("img", [])
    shown = chromium.run("document.querySelectorAll('main > section > figure svg, .pair svg').length")
    assert len(drawings) >= shown > 5
    assert all(len(name) > 20 for name in drawings)
    assert {"Arms, best effect first", "Every set and score", "Costs"} <= set(names["region"])
    assert names["main"]
    assert names["columnheader"].count("verdict") >= 1
    assert names["rowheader"].count("randaugment") >= 3


@pytest.mark.parametrize(("dark", "paper", "ink"), [(False, 255, 27), (True, 20, 230)])
def test_light_and_dark_follow_the_system(chromium, page, dark, paper, ink):
    chromium.open(page, dark=dark)
    colours = chromium.run(
        "[getComputedStyle(document.body).backgroundColor, getComputedStyle(document.body).color,"
        " getComputedStyle(document.querySelector('figure svg text:not(.muted)')).fill]"
    )
    found = [int(re.findall(r"\d+", colour)[0]) for colour in colours]
    assert found == [paper, ink, ink]


def test_a_phone_shows_the_page_without_scrolling_sideways(chromium, page):
    chromium.open(page, width=390)
    assert chromium.run("document.documentElement.scrollWidth") == 390
    sizes = chromium.run("[document.querySelector('ul.findings').getBoundingClientRect().width, innerWidth]")
    assert sizes[0] <= sizes[1] == 390


def test_a_phone_shows_every_interval_of_the_first_figure(chromium, make_world):
    w = make_world()
    for label, skill in (
        ("none", 1.0),
        ("randaugment-cutmix-mixup", 1.9),
        ("randaugment-with-cutmix", 0.4),
    ):
        w.arm(label, skill)
    w.finish_all()
    chromium.open(write_report(w.study, w.plan, w.store, formats=("html",)), width=390)
    numbers = chromium.run(
        "Array.from(document.querySelectorAll('#figure-effects svg text.small')).map(text =>"
        " [text.textContent, text.getBoundingClientRect().right,"
        " text.ownerSVGElement.parentNode.getBoundingClientRect().right])"
    )
    assert len([text for text, _, _ in numbers if "[" in text]) == 2
    assert [text for text, right, end in numbers if right > end] == []
    names = chromium.run(
        "Array.from(document.querySelectorAll('#figure-effects svg text:not([class])')).map(text =>"
        " [text.getBoundingClientRect().left - text.ownerSVGElement.getBoundingClientRect().left,"
        " text.getBoundingClientRect().height])"
    )
    assert len(names) == 2
    assert min(left for left, _ in names) >= 0
    assert min(height for _, height in names) >= 10, "letters that can be read"


def test_what_scrolls_sideways_has_a_shade_at_its_end(chromium, page):
    chromium.open(page, width=390)
    wide = "Array.from(document.querySelectorAll('.scroll')).find(t => t.scrollWidth > t.clientWidth)"
    assert chromium.run(f"getComputedStyle({wide}).backgroundAttachment") == "local, local, scroll, scroll"
    chromium.open(page)
    assert chromium.run("getComputedStyle(document.querySelector('.scroll')).backgroundImage") == "none"


def test_paper_is_white_and_opens_what_is_folded(chromium, page):
    chromium.open(page, dark=True, print_=True)
    assert chromium.run("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
    assert chromium.run("document.querySelectorAll('details:not([open])').length") > 0
    printed = chromium.pdf()
    assert printed.startswith(b"%PDF")
    folded = chromium.run("document.querySelectorAll('details:not([open])').length")
    assert folded > 0  # closed again on the screen
    chromium.run("dispatchEvent(new Event('beforeprint'))")
    assert chromium.run("document.querySelectorAll('details:not([open])').length") == 0


def test_the_page_reads_well_without_its_script(chromium, page, tmp_path):
    bare = tmp_path / "bare.html"
    bare.write_text(re.sub(r"<script>.*?</script>", "", page.read_text("utf-8"), flags=re.S), "utf-8")
    chromium.open(bare)
    assert chromium.complaints() == []
    assert chromium.run("document.querySelectorAll('th button').length") == 0
    assert first_column(chromium)[1] == "randaugment"


def test_no_text_of_a_figure_is_cut_off(chromium, page):
    chromium.open(page)
    chromium.run("document.querySelectorAll('details').forEach(details => details.open = true)")
    cut = chromium.run(
        """Array.from(document.querySelectorAll('figure svg text')).filter(text => {
            const box = text.getBoundingClientRect();
            const paper = text.ownerSVGElement.getBoundingClientRect();
            return box.left < paper.left - 2 || box.right > paper.right + 2
                || box.top < paper.top - 2 || box.bottom > paper.bottom + 2;
        }).map(text => text.ownerSVGElement.closest('figure').id + ': ' + text.textContent)"""
    )
    assert cut == []


@pytest.mark.parametrize(
    ("how", "ink", "paper"),
    [
        ({}, "rgb(27, 31, 36)", "rgb(255, 255, 255)"),
        ({"dark": True}, "rgb(230, 233, 237)", "rgb(20, 23, 27)"),
        ({"dark": True, "print_": True}, "rgb(27, 31, 36)", "rgb(255, 255, 255)"),
    ],
    ids=["light", "dark", "printed"],
)
def test_a_figure_stands_on_its_own_on_its_own_paper(chromium, page, how, ink, paper):
    chromium.open(page.parent / "figures" / "effects.svg", **how)
    assert chromium.complaints() == []
    fill = "getComputedStyle(document.querySelector({!r})).fill"
    assert chromium.run(fill.format("text:not(.muted)")) == ink
    assert chromium.run(fill.format("rect.paper")) == paper


def test_a_screen_reader_is_told_title_and_content_of_a_figure_s_file(chromium, page):
    file = page.parent / "figures" / "effects.svg"
    chromium.open(file)
    nodes = chromium.call("Accessibility.getFullAXTree")["nodes"]
    shown = next(node for node in nodes if node["role"]["value"] in ("image", "img") and not node["ignored"])
    root = ElementTree.parse(file).getroot()
    words = [root.findtext(f"{{http://www.w3.org/2000/svg}}{name}") for name in ("title", "desc")]
    assert [shown["name"]["value"], shown["description"]["value"]] == words


@pytest.mark.parametrize(("width", "under_the_name"), [(390, True), (1200, False)])
def test_a_verdict_is_seen_without_scrolling_in_its_column_or_under_its_arm(
    chromium, page, width, under_the_name
):
    chromium.open(page, width=width)
    row = "document.querySelector('table.sort').tBodies[0].rows[1]"
    said = chromium.run(f"{row}.querySelector('td.told').textContent")
    assert said.startswith("▲")
    under = chromium.run(f"getComputedStyle({row}.cells[0], '::after').content")
    column = chromium.run(f"getComputedStyle({row}.querySelector('td.told')).display")
    assert (under == f'"{said}"', column == "none") == (under_the_name, under_the_name)
    where = f"{row}.cells[0]" if under_the_name else f"{row}.querySelector('td.told')"
    right = chromium.run(f"{where}.getBoundingClientRect().right")
    assert right <= width
