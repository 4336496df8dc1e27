"""The HTML page: whole, safe, the same every time, and saying what the Markdown says."""

import base64
import hashlib
import html
import itertools
import re
from collections import Counter
from dataclasses import replace
from html.parser import HTMLParser

import pytest
from tuned import tuned

from bench.corruptions.families import families_of
from bench.errors import UserError
from bench.judge.findings import Effect, Mean
from bench.judge.tables.ensembles import EnsembleRow
from bench.judge.tables.factors import FactorEffect, Ingredient
from bench.recipe import Corrupted
from bench.report import build, differs, files, markdown, ours, parse_formats, present, write_report
from bench.report.page import page as spell
from bench.store import Store

VOID = {"meta", "link", "br", "img", "input", "hr"}


class Reader(HTMLParser):
    """Reads a page; complains where tags do not close in order."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.words: list[str] = []
        self.feed(page)
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        assert self.open.pop() == tag, self.getpos()

    def handle_data(self, data):
        if not {"style", "script"} & set(self.open):
            self.words.append(data)

    @property
    def text(self) -> str:
        return " ".join("".join(self.words).split())

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.tags if name == tag]


def page(w, plan=None, **options) -> str:
    return files(w.study, plan or w.plan, w.store, ["html"], **options)["report.html"]


def rows(page: str, caption: str) -> list[list[str]]:
    """Cells of the table in the region of that name."""
    table = page.partition(f'aria-label="{caption}"')[2].partition("</table>")[0]
    found = re.findall(r"<tr[^>]*>(.*?)</tr>", table, flags=re.S)
    clean = [re.findall(r"<t[hd][^>]*>(.*?)</t[hd]>", row, flags=re.S) for row in found]
    return [[" ".join(html.unescape(re.sub("<[^>]+>", "", cell)).split()) for cell in row] for row in clean]


def _plain(text: str) -> str:
    """Words of Markdown or of a page, without marks."""
    text = re.sub(r"\\(.)|[*>]|<[^>]+>", r"\1", text)
    text = html.unescape(text).replace("▲\u00a0", "").replace("▼\u00a0", "").replace(" = ", " ")
    return " ".join(text.split())


def test_the_page_is_well_formed_and_needs_nothing_else(world):
    text = page(world)
    reader = Reader(text)
    assert text.startswith("<!DOCTYPE html>")
    assert not reader.all("link") + reader.all("img") + reader.all("iframe")
    assert not re.search(r"""(src|href)=["'](?!#|\.\./\.\./docs/method\.md#)|url\(|@import""", text)
    ids = Counter(attributes["id"] for _, attributes in reader.tags if "id" in attributes)
    assert max(ids.values()) == 1
    links = [attributes["href"] for attributes in reader.all("a")]
    targets = {link[1:] for link in links if link.startswith("#")}
    assert targets <= set(ids)
    assert not [name for _, attributes in reader.tags for name in attributes if name.startswith("on")]


def test_only_the_page_s_own_script_and_style_may_run(world):
    text = page(world)
    policy = next(a["content"] for a in Reader(text).all("meta") if a.get("http-equiv"))
    assert policy.startswith("default-src 'none'")
    for tag in ("script", "style"):
        (content,) = re.findall(f"<{tag}>(.*?)</{tag}>", text, flags=re.S)
        found = base64.b64encode(hashlib.sha256(content.encode()).digest()).decode()
        assert f"{tag}-src 'sha256-{found}'" in policy
    assert "style=" not in text


def test_a_screen_reader_finds_its_way(world):
    text = page(world)
    reader = Reader(text)
    assert reader.all("html")[0]["lang"] == "en"
    assert all(attributes.get("scope") in ("col", "row") for attributes in reader.all("th"))
    assert all(a.get("role") == "img" and a.get("aria-label") for a in reader.all("svg"))
    levels = [int(tag[1]) for tag, _ in reader.tags if re.fullmatch(r"h[1-6]", tag)]
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert all(after - before <= 1 for before, after in itertools.pairwise(levels))
    regions = [a for a in reader.all("div") if a.get("role") == "region"]
    assert all(a.get("aria-label") and a.get("tabindex") == "0" for a in regions)
    assert len(reader.all("main")) == 1


def test_every_table_has_as_many_cells_in_each_row(world):
    for table in re.findall(r"<table.*?</table>", page(world), flags=re.S):
        counts = {len(re.findall("<t[hd][ >]", row)) for row in re.findall("<tr.*?</tr>", table, flags=re.S)}
        assert len(counts) == 1, table[:300]


def test_the_first_screen_says_what_helped_how_much_how_sure_and_at_what_cost(make_world):
    w = make_world()
    w.arm("base", 1.0)
    w.arm("good", 1.9, ["flip"])
    for seed in w.seeds:
        w.finish("base", seed, timings={"train": 20.0})
        w.finish("good", seed, timings={"train": 25.0})
    text = page(w)
    effect = build(w.study, w.plan, w.store).findings[0].effect
    first = _plain(text.partition('<ul class="findings">')[2].partition("</ul>")[0])
    assert first.startswith(f"good: helps, by more than 1 point: +{100 * effect.mean:.1f} [")
    assert "points on heavy.accuracy against base, 5 seeds." in first
    told = "In these runs (5 and 5) training took 1.25 times as long as the baseline's: told, not tested."
    assert first.endswith(told)
    assert text.index('id="figure-effects"') < text.index("<h2>Every set")


def _agree(document) -> None:
    """Every line, cell and heading of the Markdown stands on the page."""
    said = _plain(Reader(spell(document, [])).text)
    for line in markdown(document).splitlines():
        if line.startswith("|"):
            cells = [_plain(cell).replace("\\", "") for cell in re.split(r"(?<!\\)\|", line)[1:-1]]
            cells = [cell.removesuffix(" vs baseline") for cell in cells]
            assert not [cell for cell in cells if cell.strip(":-") and cell not in said], line
        elif line.startswith("#"):
            assert _plain(line.lstrip("# ")) in said
        elif line:
            for part in _plain(line.lstrip("- ")).split(". "):
                assert part.partition(": ")[0].rstrip(".") in said, line


def test_the_page_says_what_the_markdown_says(world):
    document = build(world.study, world.plan, world.store)
    _agree(document)
    effect, finding = Effect(0.05, 0.01, 0.09), document.findings[0]
    again = replace(document.arms[1], finding=replace(finding, arm="none (A/A)", verdict="noise floor"))
    odd = replace(document.arms[1], finding=replace(finding, reference="blur"))
    _agree(
        replace(
            document,
            again=again,
            rules=replace(document.rules, looks=((5, 0.01), (8, 0.015))),
            factor_effects=(
                FactorEffect((("augment", "flip", "none"), ("mix", "on", "off")), effect, 5, 4, 2),
            ),
            ingredients=(Ingredient("augment", "flip", finding, None),),
            ensembles=(EnsembleRow("five", "blur", 5, (0.9, 0.8), (Mean(0.85, 0.01, 4, 5), None)),),
            arms=(document.arms[0], odd, *document.arms[2:]),
            confounds=(("blur", "3.1× the training steps"),),
            cost_confounds=("trials ran on different kinds of device: A, B",),
            not_judged=("main effects",),
        )
    )


def test_a_tuned_page_says_what_the_markdown_says(make_world):
    w = make_world(seeds=(0, 1, 2))
    w.arm("a", 1.0)
    w.arm("b", 1.5)
    plan = tuned(w)
    w.finish_all()
    document = build(w.study, plan, w.store)
    _agree(document)
    arms = (
        replace(document.tuning.arms[0], ended=True, chosen=(), correlations=(("optimizer.lr", 0.62),)),
        replace(document.tuning.arms[1], own=Effect(0.1, 0.05, 0.15), shared=Effect(0.08, 0.0, 0.16)),
    )
    _agree(replace(document, tuning=replace(document.tuning, shared=True, order=("b", "a"), arms=arms)))


def test_a_page_of_folds_says_what_the_markdown_says(make_world):
    w = make_world(folds=3, seeds=(0,))
    w.arm("a", 1.0)
    w.arm("b", 1.5, ["flip"])
    w.finish_all()
    document = build(w.study, w.plan, w.store)
    assert document.rules.folds == 3
    _agree(document)


@pytest.mark.parametrize("profile", ["micro-c", "heavy-mix"])
def test_a_page_on_corruptions_says_what_the_markdown_says(make_world, profile):
    w = make_world(seeds=(0, 1, 2))
    w.arm("a", 1.0)
    w.arm("b", 1.5, ["randaugment"])
    w.finish_all()
    w.extra = {"hidden": {"heavy": Corrupted(kind="corrupted", profile=profile)}}
    document = build(w.study, w.plan, w.store)
    assert document.corrupted[0].by_family == (profile == "micro-c")
    _agree(document)


def test_numbers_sort_by_value_and_missing_ones_are_marked(world):
    text = page(world)
    table = text.partition('aria-label="Arms, best effect first"')[2].partition("</table>")[0]
    values = re.findall(r'<td class="n" data-sort="([^"]*)">([^<]*)</td>', table)
    assert ("", "–") in values
    shares = [(float(value), shown) for value, shown in values if value and "±" in shown]
    assert len(shares) > 10
    for value, shown in shares:
        assert 100 * value == pytest.approx(float(shown.partition(" ")[0].replace("−", "-")), abs=0.051)


def test_made_twice_the_files_are_the_same_to_the_byte(world):
    formats = ("md", "csv", "tex", "html")
    folder = write_report(world.study, world.plan, world.store, formats=formats).parent
    before = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    write_report(world.study, world.plan, Store(world.store.root), formats=formats)
    assert before == {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    assert {"report.md", "report.html"} <= {path.name for path in before}
    assert sum(path.suffix == ".svg" for path in before) >= 12


def test_without_costs_equal_results_make_equal_files(make_world):
    made = []
    for factor in (1.0, 3.0):
        w = make_world()
        w.arm("a", 1.0)
        w.arm("b", 1.9, ["flip"])
        plan = tuned(w)
        for label in ("a", "b"):
            for seed in w.seeds:
                w.finish(
                    label,
                    seed,
                    timings={
                        "train": (factor if label == "b" else 1) * (10.0 + seed % 2),
                        "images_per_s": factor,
                    },
                    memory={"peak_mb": 100 * factor},
                    machine={"device_name": f"CPU {factor}"},
                    commit=f"{factor}",
                    attempts=int(factor),
                )
        formats = ("md", "csv", "tex", "html")
        made.append([files(w.study, plan, w.store, formats, cost=cost) for cost in (True, False)])
    assert made[0][0] != made[1][0]
    assert made[0][1] == made[1][1]
    assert not re.search("train s|Machine|Commit|CPU|memory|device min", made[0][1]["report.html"])


def test_hostile_names_stay_names(make_world):
    hostile = [
        "<script>alert(1)</script>",
        '"><img src=x onerror=alert(1)>',
        "a|b & c",
        "x" * 300,
        "new\nline\x00\x1b[31m",
        "{{ 7 * 7 }}{% raw %}",
        "../../etc/passwd",
        "🧪",
        "</style></script><b>",
    ]
    w = make_world()
    w.arm("base", 1.0)
    for i, label in enumerate(hostile):
        w.arm(label, 1.1 + 0.1 * i, ["flip"])
    w.extra = {"question": "Is <b>this</b> a 'question'?"}
    w.finish_all()
    w.fail(hostile[0], 0, "error", "</td><img src=x onerror=y>")
    made = files(w.study, w.plan, w.store, ["html", "tex"])
    reader = Reader(made["report.html"])
    assert {"script": 1, "style": 1}.items() <= Counter(tag for tag, _ in reader.tags).items()
    assert not reader.all("img") + reader.all("b")
    assert not [name for _, attributes in reader.tags for name in attributes if name.startswith("on")]
    assert "Is <b>this</b> a 'question'?" in reader.text
    assert "{{ 7 * 7 }}{% raw %}" in reader.text
    assert "🧪" in reader.text
    assert all(re.fullmatch(r"report\.html|(tables|figures)/[\w-]+\.(tex|svg)", name) for name in made)
    assert "\x1b" not in made["report.html"]


def test_smoke_and_synthetic_results_are_called_what_they_are(world):
    text = Reader(page(world, world.plan.model_copy(update={"smoke": True}))).text
    assert "Smoke run." in text
    assert "Synthetic data." in text
    assert "Smoke run." not in Reader(page(world)).text


def test_a_study_that_has_not_run_and_one_of_a_single_arm_have_pages_too(make_world):
    w = make_world()
    w.arm("a", 1.0)
    assert "One arm only: nothing is compared." in Reader(page(w)).text
    w.arm("b", 1.0, ["flip"])
    assert "0/5, 5 not run" in Reader(page(w)).text
    w.finish_all()
    assert "<figure" in page(w)


def test_tuning_stands_on_the_page_with_its_figures(make_world):
    w = make_world(seeds=(0, 1, 2))
    w.arm("a", 1.0)
    w.arm("b", 1.5, ["flip"])
    plan = tuned(w)
    w.finish_all()
    text = page(w, plan)
    ledger = rows(text, "Tuning ledger")
    assert ledger[1][0] == "a (baseline)"
    assert "optimizer.lr 0.009 (high edge)" in ledger[1][2]
    assert "widen the range" in Reader(text).text
    assert text.count('<figure id="figure-search-') == 4


def test_a_page_of_twelve_arms_and_eight_seeds_is_small(make_world):
    w = make_world(seeds=tuple(range(8)), images=60)
    micro = Corrupted(kind="corrupted", profile="micro-c")
    names = [f"{family}/{severity}" for family in families_of(micro) for severity in range(1, 6)]
    for i in range(12):
        w.arm(f"an arm with quite a long name {i}", 1 + 0.1 * i, ["flip", "randaugment"][: 1 + i % 2])
    w.finish_all()
    w.extra = {"hidden": {"heavy": micro}}
    lines = [{"stage": 1, "step": 100 * e, "val_accuracy": 0.5 + 0.004 * e} for e in range(100)]
    for label in w.skills:
        for seed in w.seeds:
            record = w.store.read(w.id(label, seed))
            said = w.store.predictions(record.id)
            scores = {name: {"accuracy": 0.5, "balanced_accuracy": 0.5} for name in names}
            record = record.model_copy(update={"conditions": {w.keys()["heavy"]: scores}})
            w.store.write(record, history=lines, predictions=said)
    text = page(w)
    assert text.count('class="cell good"') >= 12 * len(names)
    assert len(text.encode()) < 1_000_000


def test_what_an_earlier_report_left_is_kept_up_to_date(world):
    folder = write_report(world.study, world.plan, world.store, formats=("md", "html", "tex")).parent
    assert present(folder) == ["md", "tex", "html", "svg"]
    for name in ("report.html", "tables/arms.tex"):
        (folder / name).write_text("stale")
    (folder / "figures" / "search-history.svg").write_text("of an earlier study file")
    (folder / "figures" / "mine.svg").write_text("put there by a person")
    path = write_report(world.study, world.plan, world.store, formats=("md",))
    assert path == folder / "report.md"
    assert "stale" not in (
        (folder / "report.html").read_text("utf-8")[:99],
        (folder / "tables/arms.tex").read_text(),
    )
    assert not (folder / "figures" / "search-history.svg").exists()
    assert (folder / "figures" / "mine.svg").read_text() == "put there by a person"
    assert not list(folder.glob("tables/*.csv"))


def test_figures_alone_are_those_of_the_page_and_nothing_else(world):
    of_page = files(world.study, world.plan, world.store, ["html"])
    alone = files(world.study, world.plan, world.store, ["svg"])
    assert alone == {name: text for name, text in of_page.items() if name != "report.html"}
    ids = {a["id"] for tag, a in Reader(of_page["report.html"]).tags if tag == "figure"}
    assert {f"figures/{id.removeprefix('figure-')}.svg" for id in ids} == set(alone)
    folder = write_report(world.study, world.plan, world.store, formats=("svg",)).parent
    assert present(folder) == ["svg"]
    assert ours(folder) == set(alone)


def test_a_figure_that_is_changed_missing_or_of_an_earlier_report_is_noticed(world):
    folder = write_report(world.study, world.plan, world.store, formats=("md", "svg")).parent
    made = files(world.study, world.plan, world.store, present(folder))
    file = folder / "figures" / "effects.svg"
    before = file.read_text("utf-8")
    assert not differs(folder, made)
    file.write_text(before.replace("helps", "harms"), "utf-8")
    assert differs(folder, made)
    file.unlink()
    assert differs(folder, made)
    file.write_text(before, "utf-8")
    (folder / "figures" / "mine.svg").write_text("put there by a person")
    assert not differs(folder, made)
    (folder / "figures" / "search-history.svg").write_text("of an earlier study file")
    assert differs(folder, made)
    for file in (folder / "figures").iterdir():
        file.unlink()
    assert not differs(folder, made)  # as tables: those that nobody committed are not missed


def test_figures_of_a_person_are_no_format_that_is_there(tmp_path):
    (tmp_path / "figures").mkdir()
    (tmp_path / "figures" / "mine.svg").write_text("<svg/>")
    assert present(tmp_path) == []


def test_sets_whose_names_begin_alike_or_differ_in_case_have_files_of_their_own(make_world):
    names = ["heavy", "Heavy", "x" * 61 + "1", "x" * 61 + "2"]
    w = make_world()
    w.arm("a", 1.0)
    w.arm("b", 1.9, ["flip"])
    w.keys = lambda fold=None: {"test": "a" * 64} | {name: str(i) * 64 for i, name in enumerate(names)}
    w.extra = {"hidden": dict.fromkeys(names, w.study.hidden["heavy"])}
    w.finish_all()
    made = files(w.study, w.plan, w.store, ["svg"])
    local = sorted(name for name in made if name.startswith("figures/local-"))
    x = "x" * 60
    assert local == sorted(f"figures/local-{n}.svg" for n in ("heavy", "Heavy-2", x, f"{x}-2"))
    assert f"Local against {names[3]}" in made[f"figures/local-{x}-2.svg"]


def test_formats_are_named_with_commas_and_a_wrong_one_is_told():
    assert parse_formats("md") == ("md", "csv")
    assert parse_formats("html, tex") == ("html", "tex")
    assert parse_formats("svg") == ("svg",)
    for wrong, said in (("htm", '\n    did you mean "html"\\?\n'), ("", "known: csv, html, md, svg, tex")):
        with pytest.raises(UserError, match=said):
            parse_formats(wrong)
