"""Every table is declared once and stands in every format; a column is added in one place."""

import csv
import io
from dataclasses import replace

import pytest
from tuned import tuned

from bench.judge.findings import OPEN, Effect, Mean
from bench.judge.measure import parse
from bench.judge.results import Results, Row, Scored
from bench.judge.settings import Change
from bench.judge.tables import TABLES, arms, tables
from bench.judge.tables.ensembles import EnsembleRow
from bench.judge.tables.factors import FactorEffect, Ingredient, Rung
from bench.judge.tables.ordered import Trend
from bench.judge.tables.slices import SliceRow
from bench.judge.tables.table import ENDS, Column, Table
from bench.recipe import Corrupted
from bench.report import build, differs, files, present, write_report
from bench.report.cells import words
from bench.report.latex import tabular
from bench.report.spreadsheet import lines, results, spell
from bench.report.text import grid

FORMATS = ("md", "csv", "tex", "html")
THREE_OF_FIVE = Mean(0.912, 0.004, 3, 5, Effect(0.91, 0.90, 0.92))
NEAR_ALL = Mean(0.952, None, 5, 5, Effect(0.952, 0.843, 1.061, scale=(0.0, 1.0)))


def everything(make_world):
    """A document that has every table, and its made-up study."""
    w = make_world(seeds=(0, 1, 2, 3))
    w.arm("a", 1.0)
    w.arm("b", 1.5, ["flip"])
    plan = tuned(w)
    w.finish_all(but=[("b", 2)])
    w.diverge("b", 2)
    w.extra["scores"] = ("specificity(monocyte)",)
    w.extra["hidden"] = {"heavy": Corrupted(kind="corrupted", profile="micro-c", families=("jpeg",))}
    document = build(w.study, plan, w.store)
    finding, effect = document.findings[0], Effect(0.05, 0.01, 0.09)
    return (
        w,
        plan,
        replace(
            document,
            changes=(Change("b", "augment", "[]", "[flip]"),),
            tuning=replace(document.tuning, shared=True),
            factor_effects=(FactorEffect((("augment", "flip", "none"),), effect, 3, 4, 2),),
            trends=(Trend("lr", ("1", "2", "3"), effect, effect, "2", ("2", "3"), 4, 1),),
            ladder=(Rung("a", "", None, None), Rung("b", "augment + flip", finding, finding)),
            ingredients=(Ingredient("augment", "flip", finding, None),),
            slices=(SliceRow("scanner", "A", 30, document.asked[0]),),
            ensembles=(EnsembleRow("pair", "b", 2, (0.9, 0.8), (THREE_OF_FIVE, None)),),
        ),
    )


def test_a_column_added_to_a_table_stands_in_every_format(world, monkeypatch):
    joules = Column("joules", "energy, J", "number", lambda arm: len(arm.label) * 1000.0, digits=2)
    monkeypatch.setattr(arms, "SIZES", (*arms.SIZES, joules))
    made = files(world.study, world.plan, world.store, FORMATS)
    costs = list(csv.DictReader(io.StringIO(made["tables/costs.csv"])))
    assert {row["arm"]: float(row["joules"]) for row in costs}["randaugment"] == 11000
    line = next(text for text in made["tables/costs.tex"].splitlines() if text.startswith("randaugment"))
    assert line.endswith(r"& 11,000.00 \\")
    section = made["report.md"].partition("## Costs")[2].partition("\n## ")[0]
    assert "| energy, J |" in section
    assert next(row for row in section.splitlines() if row.startswith("| randa")).endswith("| 11,000.00 |")
    page = made["report.html"].partition('aria-label="Costs"')[2].partition("</table>")[0]
    assert '<th scope="col" class="n">energy, J</th>' in page
    assert '<td class="n" data-sort="11000">11,000.00</td>' in page


def test_every_table_stands_in_every_format_but_those_that_are_for_programs(make_world):
    w, plan, document = everything(make_world)
    found = tables(document)
    assert set(found) == set(TABLES)
    made = files(w.study, plan, w.store, FORMATS, document=document)
    assert {f"tables/{key}.csv" for key in found} <= set(made)
    printed = {key: table for key, table in found.items() if not table.only_file and table.shown.rows}
    assert set(found) - set(printed) == {"corruptions", "claims"}, "claims: this study has none"
    assert {name for name in made if name.endswith(".tex")} == {f"tables/{key}.tex" for key in printed}
    for key, table in printed.items():
        by = {row[0].name for row in table.rows} if table.by else {""}
        for part in by:
            shown = table.part(part) if part else table.shown
            assert grid(shown) in made["report.md"], key
            assert f'aria-label="{shown.title}"' in made["report.html"], key
            if (below := table.below) is not None:
                assert grid(below) in made["report.md"], key
                assert f'aria-label="{below.title}"' in made["report.html"], key


def test_a_table_that_is_no_longer_made_goes_and_those_of_others_stay(world):
    folder = write_report(world.study, world.plan, world.store, formats=("md", "csv", "tex")).parent
    for name in ("ensembles.csv", "factors.tex", "results.csv"):
        (folder / "tables" / name).write_text("of an earlier study file, or by somebody else")
    made = files(world.study, world.plan, world.store, present(folder))
    assert differs(folder, made)
    write_report(world.study, world.plan, world.store, formats=("md",))
    assert not differs(folder, made)
    assert not (folder / "tables" / "ensembles.csv").exists()
    assert not (folder / "tables" / "factors.tex").exists()
    assert (folder / "tables" / "results.csv").exists()


@pytest.mark.parametrize(
    ("kind", "value", "printed", "filed"),
    [
        ("text", "a word", "a word", {"x": "a word"}),
        ("text", None, "–", {"x": ""}),
        ("text", True, "True", {"x": "yes"}),
        ("count", 10002, "10002", {"x": "10002"}),
        ("number", -0.5, "−50.0", {"x": "-0.5"}),
        ("number", 41.5, "4,150.0", {"x": "41.5"}),
        ("average", THREE_OF_FIVE, "91.2 (3/5)", {"x": "0.912", "x_sd": "0.004", "x_seeds": "3"}),
        ("mean", THREE_OF_FIVE, "91.2 sd 0.4 (3/5)", {"x": "0.912", "x_sd": "0.004", "x_seeds": "3"}),
        ("mean", Mean(0.97, 0.004, 5, 5), "97.0 sd 0.4", {"x": "0.97", "x_sd": "0.004", "x_seeds": "5"}),
        ("mean", Mean(0.97, None, 1, 1), "97.0", {"x": "0.97", "x_sd": "", "x_seeds": "1"}),
        (
            "within",
            THREE_OF_FIVE,
            "91.0 ± 1.0 (3/5)",
            {"x": "0.912", "x_sd": "0.004", "x_seeds": "3", "x_low": "0.9", "x_high": "0.92"},
        ),
        (
            "within",
            Mean(0.97, None, 1, 1),
            "97.0",
            {"x": "0.97", "x_sd": "", "x_seeds": "1", "x_low": "", "x_high": ""},
        ),
        (
            "within",
            NEAR_ALL,
            "95.2 [84.3, 100.0]",
            {"x": "0.952", "x_sd": "", "x_seeds": "5", "x_low": "0.843", "x_high": "1.061"},
        ),
        ("effect", Effect(0.1, 0.0, 0.2), "+10.0 [0.0, 20.0]", {"x": "0.1", "x_low": "0", "x_high": "0.2"}),
    ],
)  # fmt: skip
def test_each_kind_of_cell_is_words_in_print_and_parts_in_a_file(kind, value, printed, filed):
    column = Column("x", "x", kind, lambda row: row, times=100)
    assert words(column, value) == printed
    (row,) = csv.DictReader(io.StringIO(spell(lines(Table("t", [column], [value])))))
    assert row == filed


def test_a_mean_over_fewer_seeds_is_marked_in_every_format_and_the_mark_explained(world):
    made = files(world.study, world.plan, world.store, FORMATS)
    said = "(n/m): a mean over n of the arm&#39;s m seeds."
    assert "| late | 95.2 ± 3.0 (3/5) | 77.0 ± 6.1 (3/5) |" in made["report.md"]
    assert r"late & 95.2 $\pm$ 3.0 (3/5) & " in made["tables/arms.tex"]
    assert ">95.2 ± 3.0 (3/5)</td>" in made["report.html"]
    late = next(row for row in csv.DictReader(io.StringIO(made["tables/arms.csv"])) if row["arm"] == "late")
    assert (late["local_seeds"], late["train_seconds_seeds"]) == ("3", "3")
    assert made["report.html"].count(said) == made["report.md"].count(said.replace("&#39;", "'")) == 4


def test_ends_in_place_of_half_an_interval_are_explained_where_they_stand():
    inside = replace(NEAR_ALL, interval=replace(NEAR_ALL.interval, high=0.99))
    notes = [
        Table("t", [Column("x", "x", kind, lambda row: row)], [value], "Per cent.").ready().note
        for kind, value in (("within", NEAR_ALL), ("within", inside), ("average", NEAR_ALL))
    ]
    assert [ENDS in note for note in notes] == [True, False, False]


@pytest.mark.parametrize(
    ("metric", "scale"),
    [
        ("local.accuracy", (0.0, 1.0)),
        ("hid.sensitivity(a)", (0.0, 1.0)),
        ("local.quadratic_kappa", (-1.0, 1.0)),
        ("gap.hid", (-1.0, 1.0)),
        ("local.nll", OPEN),
        ("cost.seconds", OPEN),
    ],
)
def test_a_score_has_the_scale_that_its_definition_gives_it(metric, scale):
    assert parse(metric, ["test", "hid"]).scale == scale


def test_where_no_seed_is_missing_no_mark_is_explained(make_world):
    w = make_world()
    w.arm("a", 1.0)
    w.finish_all()
    assert "(n/m)" not in files(w.study, w.plan, w.store, ["md"])["report.md"]


def test_columns_whose_names_would_be_the_same_in_a_file_are_told_apart():
    same = [Column(name, name, "average", lambda row: row) for name in ("a", "a_sd")]
    head = spell(lines(Table("t", same, []))).strip()
    assert head == "a,a_sd,a_seeds,a_sd (2),a_sd_sd,a_sd_seeds"


def test_a_row_that_begins_with_a_bracket_does_not_become_an_argument_in_latex():
    column = Column("x", "x", "name", str)
    assert r"{}[a] \\" in tabular(Table("t", [column], ["[a]", "b"]), "study").splitlines()


def test_a_name_stays_words_in_head_cell_and_part():
    column = Column("x", "a|b & <i>", "text", str, after=lambda row: "c|d")
    table = Table("t", [column], ["_e_|f"])
    assert grid(table).splitlines()[0] == r"| a\|b &amp; &lt;i&gt; |"
    assert grid(table).splitlines()[2] == r"| \_e\_\|f c\|d |"
    assert r"\_e\_\textbar{}f c\textbar{}d \\" in tabular(table, "study")


def test_the_first_table_has_eight_columns_at_most_and_what_decides_is_among_them(make_world):
    w = make_world()
    w.arm("none", 1.0)
    w.arm("flips", 1.6, ["flip"])
    w.extra = {"primary": "heavy.balanced_accuracy"}
    w.finish_all()
    document = build(w.study, w.plan, w.store)
    table = tables(document)["arms"]
    first, below = ([column.heading for column in part.columns] for part in (table.shown, table.below))
    assert len(first) <= 8
    assert {"arm", "local % (n = 200)", "heavy balanced accuracy % (n = 200)", "verdict", "seeds"} <= set(
        first
    )
    assert below[0] == "arm"
    assert {"worst class", "ECE", "parameters"} <= set(below)
    assert not set(first[1:]) & set(below[1:])
    by_arm = {arm.label: arm for arm in document.arms}
    mean = by_arm["flips"].primary.mean - by_arm["none"].primary.mean
    assert by_arm["flips"].finding.effect.mean == pytest.approx(mean), "its difference can be seen"


def test_plus_minus_is_half_an_interval_in_every_table(make_world):
    w, _, document = everything(make_world)
    for key, table in tables(document).items():
        spreads = {column.key for column in table.columns if column.kind == "within"}
        for row in table.shown.rows:
            for column in (column for column in table.columns if column.kind in ("mean", "within")):
                value = column.of(row)
                if isinstance(value, Mean):
                    said = words(column, value)
                    assert ("±" in said) <= (column.key in spreads and value.interval is not None), key
                    assert " ± " not in said or " sd " not in said
    assert w.study.primary == document.rules.primary


@pytest.mark.parametrize("cost", [True, False])
def test_rows_of_a_trial_are_spelled_as_any_other_row(cost: bool) -> None:
    scores = {"local": {"auc": 0.1 + 0.2}, 'a "b", c': {"accuracy": 1.0}, "=x": {}}
    heads = [("s", "a,b", 0, None, "final"), ("s", "=1+1", 3, 2, "tune")]
    tails = [("done", 1 / 3, "aa"), ("not run", None, "bb")]
    metrics = ["accuracy", "auc"]
    every = [Scored(head, scores, tail) for head, tail in zip(heads, tails, strict=True)]
    rows = [
        Row(*head, name, metric, of.get(metric), *tail)
        for head, _, tail in every
        for name, of in scores.items()
        for metric in metrics
    ]
    seconds = Row._fields.index("seconds")
    kept = [[cell for i, cell in enumerate(row) if cost or i != seconds] for row in (Row._fields, *rows)]
    assert results(Results(metrics, iter(every)), cost=cost) == spell(kept)
