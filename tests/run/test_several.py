"""A study of several data sets, through the whole house: run, the page on all of them, commands."""

from __future__ import annotations

import csv
import json
import random
import re
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from recomputation.__main__ import recompute as of_study
from recomputation.check import Tally
from recomputation.pooled import Pooled
from recomputation.printed import check_report
from recomputation.whole import OWN, Page, recompute
from scipy.special import softmax
from tiny import machine_in
from typer.testing import CliRunner

from bench import cli, frame, report
from bench.commands import compare, status
from bench.commands.report import Wanted, reports
from bench.errors import UserError
from bench.judge import whole
from bench.machine import Machine
from bench.metrics import recalls, score_all
from bench.progress.terminal import Terminal
from bench.report import pooled
from bench.run import conductor, several
from bench.run.conductor import Options
from bench.store import Store
from bench.streams import stream
from bench.study import datasets

CELLS = """\
question = "Does a flip help?"
seeds = 3

[data]
source = "synthetic"
size_px = 16
n_images = 200
split = { train = 0.3, val = 0.1, test = 0.6 }

[datasets.one]
[datasets.two]
n_images = 160
[datasets.three]
n_images = 240
split_seed = 1

[recipe]
model = { name = "custom_cnn", widths = [4], dense = 8 }
batch_size = 32
stages = [{ train = "all", steps = 2 }]

[arms]
none = {}
flips = { augment = ["flip"] }
turned = { augment = [{ name = "rotate", degrees = 180 }] }

[[claims]]
says = "A flip helps"
better = "flips"
than = "none"

[[claims]]
says = "It converges"
better = "flips"
expect = "does not converge"
"""
MORE = (
    CELLS.replace("seeds = 3", 'seeds = 3\nprimary = "local.accuracy"')
    + """
[[claims]]
says = "Nothing is better than turning"
better = "none"
than = "turned"
metric = "local.accuracy"
expect = "no gain"

[[claims]]
says = "Both help elsewhere"
better = ["flips", "turned"]
than = "none"
metric = "lab.accuracy"
margin = 1.5

[[claims]]
says = "Flips close the gap"
better = "flips"
than = "none"
metric = "gap.lab"

[[claims]]
says = "They are as sure"
better = "flips"
than = "none"
metric = "local.nll"

[[claims]]
says = "And no surer"
better = "turned"
than = "none"
metric = "local.nll"
expect = "no gain"

[[claims]]
says = "They take no more epochs"
better = "flips"
than = "none"
metric = "cost.epochs"

[[claims]]
says = "As fast"
better = "turned"
than = "none"
metric = "cost.seconds"

[hidden.lab]
kind = "synthetic"
images = 90
"""
)
PARTS = ["cells@one", "cells@two", "cells@three"]


def go(folder: Path, text: str = CELLS, **options: bool) -> list[tuple[Path, conductor.Ending]]:
    file = folder / "cells.toml"
    file.write_text(text)
    return list(several.run_each(file, machine_in(folder), Options(**options), Terminal(quiet=True)))


def teach(store: Store) -> None:
    """Two steps teach nobody: trials answer as if an arm had a skill, images being hard for all alike."""
    for record in list(store.records()):
        name = next((choice["name"] for choice in record.recipe["augment"]), "")
        said = {}
        every = store.predictions(record.id)
        for key in record.scores:
            was, images, noise = every[key], stream(0, key), stream(record.seed, f"{key}/{name}")
            skill = {"": 1.0, "flip": 1.8, "rotate": 1.1}[name] + 0.1 * noise.normal()
            logits = noise.normal(0, 0.5, was.probabilities.shape)
            logits[np.arange(len(was.labels)), was.labels] += skill - images.normal(0, 1, len(was.labels))
            said[key] = replace(was, probabilities=softmax(logits, axis=1).astype(np.float16))
        scores = {key: score_all(one.probabilities, one.labels) for key, one in said.items()}
        each = {key: recalls(one.probabilities, one.labels) for key, one in said.items()}
        of = {key: dict(zip(record.classes, map(float, one), strict=True)) for key, one in each.items()}
        taught = record.model_copy(update={"scores": scores, "recalls": of, "little_learned": ""})
        store.write(taught, history=store.history(record.id), predictions=every | said)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("several")
    endings = go(folder)
    assert [path.stem for path, _ in endings] == [*PARTS, "cells"]
    assert endings[-1][1].counts == {"done": 27}
    assert len(endings[-1][1].verdicts) == 2
    teach(Store(folder / "results"))
    go(folder)
    return folder


@pytest.fixture
def copied(run: Path, tmp_path: Path) -> Path:
    shutil.copytree(run, tmp_path, dirs_exist_ok=True)
    return tmp_path


def machine(folder: Path) -> Machine:
    return machine_in(folder)


def table(folder: Path, name: str) -> list[dict[str, str]]:
    with (folder / "results" / "cells" / "tables" / f"{name}.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def test_each_data_set_is_a_study_of_its_own_and_all_have_one_page(run: Path):
    folders = {path.name for path in (run / "results").glob("[!.]*") if path.is_dir()}
    assert folders == {*PARTS, "cells", "trials"}
    page = (run / "results" / "cells" / "report.md").read_text()
    assert "against none: **" in page
    assert "On a new data set of this kind: between " in page
    assert "[one](../cells@one/report.md)" in page
    assert "Paired differences were pooled by a random-effects model" in page
    html = (run / "results" / "cells" / "report.html").read_text()
    assert '<figure id="figure-forest">' in html
    assert "On a new data set of this kind: between " in html
    assert "[cells](cells/report.md)" in (run / "results" / "index.md").read_text()


def test_all_data_sets_are_run_from_the_text_that_the_run_began_with(tmp_path: Path):
    file = tmp_path / "cells.toml"
    file.write_text(CELLS)
    of = (machine(tmp_path), Options(smoke=True), Terminal(quiet=True))
    for _, ending in several.run_each(file, *of):
        assert ending.exit_code == 0
        file.write_text("not TOML [")
    kept = (tmp_path / "results" / "smoke-runs").glob("cells*/study.toml")
    assert {text.read_text() for text in kept} == {CELLS}


def wrong(found: list[Tally]) -> list[str]:
    """What is not as the records say, or not known of."""
    return [line for tally in found for line in (*tally.mismatched, *tally.uncovered)]


@pytest.fixture(scope="module")
def more(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Claims on another set, a gap, losses and costs too."""
    folder = tmp_path_factory.mktemp("more")
    go(folder, MORE)
    teach(Store(folder / "results"))
    go(folder, MORE)
    return folder


@pytest.mark.parametrize("which", ["run", "more"])
def test_every_number_of_the_page_follows_from_the_records_by_formulas_of_others(
    which: str, request: pytest.FixtureRequest
):
    found = recompute(request.getfixturevalue(which) / "results", "cells")
    assert wrong(found) == []
    assert {tally.name for tally in found} >= {"tables/pooled.csv", "report.md, first screen"}
    assert sum(tally.covered for tally in found) > 200


def test_the_report_on_a_data_set_follows_from_its_records_too(more: Path):
    assert wrong(of_study(more / "results", PARTS[1])) == []


def test_seeds_that_diverged_leave_no_verdict_and_every_number_still_follows(copied: Path):
    store = Store(copied / "results")
    plan = json.loads((store.study_dir("cells@two") / "plan.json").read_text())
    for arm, seed in (("flips", 0), ("none", 1)):
        trials = next(one["trials"] for one in plan["arms"] if one["label"] == arm)
        lost = {"status": "diverged", "cause": "not finite", "message": "its loss is nan", "scores": {}}
        record = store.read(trials[seed]["id"])
        assert record is not None
        store.write(record.model_copy(update=lost | {"recalls": {}}), history=[], predictions={})
    reports(["cells"], machine(copied), Wanted(("md", "csv")), reference=False)
    page = (copied / "results" / "cells" / "report.md").read_text()
    assert "**flips: unstable (1 diverged, of the reference 1)**" in page
    assert "if it converges" in page
    assert wrong(recompute(copied / "results", "cells")) == []


def test_every_altered_number_of_the_page_is_found(more: Path):
    markdown = (more / "results" / "cells" / "report.md").read_text("utf-8")
    sections = Page(Pooled(more / "results", "cells")).sections()
    places = [found.start() for found in re.finditer(r"\d", markdown)]
    for place in random.Random(0).sample(places, 60):
        digit = str((int(markdown[place]) + 5) % 10)
        tallies = check_report(markdown[:place] + digit + markdown[place + 1 :], sections, OWN)
        around = markdown[max(0, place - 30) : place + 30]
        assert any(tally.mismatched or tally.uncovered for tally in tallies.values()), around


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("- **flips: ", "- **flips: no gain, "),
        ("- **inconclusive** — ", "- **supported** — "),
        ("more seeds hardly", "more seeds too"),
    ],
)
def test_other_words_on_the_page_are_found(copied: Path, before: str, after: str):
    file = copied / "results" / "cells" / "report.md"
    markdown = file.read_text("utf-8")
    assert before in markdown
    file.write_text(markdown.replace(before, after, 1))
    found = [tally for tally in recompute(copied / "results", "cells") if tally.mismatched]
    assert [tally.name.partition(",")[0] for tally in found] == ["report.md"]


def test_a_second_run_has_nothing_to_do_and_changes_nothing(run: Path):
    before = {path: path.read_bytes() for path in (run / "results" / "cells").rglob("*.*")}
    page = run / "results" / "cells" / "report.md"
    written = page.stat().st_mtime_ns
    assert [ending.ran for _, ending in go(run)] == [0, 0, 0, 0]
    assert {path: path.read_bytes() for path in (run / "results" / "cells").rglob("*.*")} == before
    assert page.stat().st_mtime_ns == written, "not even written"


def test_a_missing_cell_is_shown_and_its_arm_has_no_mean(copied: Path):
    store = Store(copied / "results")
    plan = json.loads((store.study_dir("cells@two") / "plan.json").read_text())
    flips = next(arm for arm in plan["arms"] if arm["label"] == "flips")
    for trial in flips["trials"][:2]:
        shutil.rmtree(store.trial_dir(trial["id"]))
    reports(["cells"], machine(copied), Wanted(("md", "csv", "svg")), reference=False)
    drawn = (copied / "results" / "cells" / "figures" / "forest.svg").read_text()
    assert "missing: 1 common seed, 3 needed" in drawn
    assert drawn.count("on a new data set") == 1, "of the arm that has a mean"
    rows = {row["arm"]: row for row in table(copied, "pooled") if row["metric"] == "local.accuracy"}
    assert (rows["flips"]["effect"], rows["flips"]["new_set"]) == ("", "")
    assert (rows["flips"]["verdict"], rows["flips"]["sets"]) == ("no mean", "2 of 3")
    assert rows["flips"]["detail"] == "2 of 3 data sets; two: 1 common seed, 3 needed"
    assert rows["turned"]["sets"] == "3 of 3"
    assert float(rows["turned"]["effect"]) == pytest.approx(float(table(copied, "pooled")[0]["effect"] or 0))
    cells = {row["dataset"]: row for row in table(copied, "datasets") if row["arm"] == "flips"}
    assert cells["two"]["why_not"] == "1 common seed, 3 needed"
    assert cells["one"]["why_not"] == ""
    assert {row["weight"] for row in cells.values()} == {""}


def test_two_data_sets_have_no_mean_and_are_told_why(tmp_path: Path):
    two = CELLS.replace("[datasets.three]\nn_images = 240\nsplit_seed = 1\n", "")
    go(tmp_path, two)
    teach(Store(tmp_path / "results"))
    go(tmp_path, two)
    page = (tmp_path / "results" / "cells" / "report.md").read_text()
    assert "**flips: no mean**" in page
    assert "2 data sets, 3 needed: fewer say nothing of how data sets differ" in page
    assert wrong(recompute(tmp_path / "results", "cells")) == []


def test_a_plan_adds_the_data_sets_up_and_says_where_they_are_too_few(run: Path):
    file = run / "cells.toml"
    asked = ["plan", str(file), "--results", str(run / "results")]
    planned = CliRunner().invoke(cli.app, asked)
    assert planned.output.endswith("\ncells: 3 data sets, 27 trials · done 27\n")
    two = CELLS.replace("[datasets.three]\nn_images = 240\nsplit_seed = 1\n", "")
    (run / "pair.toml").write_text(two)
    planned = CliRunner().invoke(cli.app, ["plan", str(run / "pair.toml"), *asked[2:]])
    assert planned.output.endswith(
        "\npair: 2 data sets, 18 trials · done 18; a mean over data sets takes 3\n"
    )


def test_hours_are_a_number_with_an_example():
    said = CliRunner().invoke(cli.app, ["plan", "x.toml", "--hours", "soon"])
    assert said.exit_code == 2
    assert '"soon" is no number of hours; give 8, or 0.5' in said.output


def test_a_data_set_that_is_dropped_after_scores_takes_the_verdicts_with_it(copied: Path):
    more = CELLS.replace("[datasets.three]", "[datasets.four]\nn_images = 180\n[datasets.five]")
    go(copied, more)
    teach(Store(copied / "results"))
    go(copied, more)
    rows = table(copied, "pooled")
    assert {row["verdict"] for row in rows} == {"declared after scores"}
    assert all(row["effect"] for row in rows)
    page = (copied / "results" / "cells" / "report.md").read_text()
    for name, what in (("three", "is no longer in the study"), ("four", "came after the first score")):
        assert any(name in line and what in line for line in page.splitlines())


def test_before_a_score_data_sets_may_still_change(tmp_path: Path):
    store = Store(tmp_path / "results")
    whole.promise("cells", CELLS, store)
    whole.promise("cells", CELLS.replace("[datasets.one]", "[datasets.zero]"), store)
    promised = whole.read_promised("cells", store)
    assert promised is not None
    assert list(promised.data) == ["zero", "two", "three"]
    assert not promised.later
    (store.study_dir("cells") / "declared.json").write_text("{")
    with pytest.raises(UserError, match="cannot be made again"):
        whole.read_promised("cells", store)


def test_reports_are_checked_made_in_every_format_and_printed_without_costs(
    copied: Path, capsys: pytest.CaptureFixture[str]
):
    here = machine(copied)
    assert reports([], here, Wanted(check=True), reference=False) == 0
    assert "4 reports" in capsys.readouterr().err
    reports(["cells"], here, Wanted(("md", "csv", "tex", "html", "svg")), reference=False)
    folder = copied / "results" / "cells"
    assert (folder / "tables" / "pooled.tex").read_text().startswith("% cells")
    assert (folder / "figures" / "forest.svg").read_text().startswith("<svg")
    assert reports(["cells"], here, Wanted(check=True), reference=False) == 0
    (folder / "report.md").write_text("no")
    assert reports(["cells"], here, Wanted(check=True), reference=False) == 1
    capsys.readouterr()
    reports(["cells@one", "cells"], here, Wanted(no_cost=True), reference=False)
    assert "# cells\n" in capsys.readouterr().out


def test_commands_about_one_study_say_which_there_are(run: Path):
    here = machine(run)
    with pytest.raises(
        UserError, match="cells has several data sets, and this is about one: cells@one, cells@two"
    ):
        compare.side_by_side("cells", "cells@one", here, as_json=False)
    told = status.status([Path("cells.toml")], here, as_json=True)
    assert list(json.loads(told)["studies"]) == PARTS
    results = frame.results(run / "results", "cells")
    assert set(results["study"]) == set(PARTS)


def test_data_sets_that_would_be_judged_by_different_metrics_are_refused(tmp_path: Path):
    lab = '[datasets.one.hidden.lab]\nkind = "synthetic"\nimages = 40\n'
    with pytest.raises(UserError, match=r"primary\n.*by different metrics, lab\.accuracy of cells@one"):
        go(tmp_path, CELLS.replace("[datasets.one]\n", f"[datasets.one]\n{lab}"))
    assert not (tmp_path / "results").exists()
    planned = CliRunner().invoke(cli.app, ["plan", str(tmp_path / "cells.toml")])
    assert "by different metrics" in str(planned.exception)
    assert planned.output == "", "before any of its plans"


def test_looks_are_for_one_data_set(tmp_path: Path):
    with pytest.raises(UserError, match="bench run cells@one --until decided"):
        go(tmp_path, until_decided=True)


def test_a_folder_of_an_ordinary_study_is_not_taken(copied: Path):
    store = Store(copied / "results")
    shutil.copy(store.study_dir("cells@one") / "plan.json", store.study_dir("cells") / "plan.json")
    with pytest.raises(UserError, match="before it had several data sets"):
        whole.promise("cells", CELLS, store)


def test_nothing_run_is_nothing_to_pool(tmp_path: Path):
    store = Store(tmp_path / "results")
    whole.promise("cells", CELLS, store)
    assert whole.parts("cells", store) == tuple(PARTS)
    with pytest.raises(UserError, match="no run of any data set"):
        pooled.build("cells", store)
    assert datasets.whole_and_part("cells@one") == ("cells", "one")
    assert report.POOLED == ("pooled", "datasets", "parts")


def test_claims_are_judged_on_means_and_convergence_for_each_by_itself(run: Path):
    document = pooled.build("cells", Store(run / "results"))
    flips, converges = document.claims
    assert (
        flips.pairs[0].effect
        == document.rows[[r.finding.arm for r in document.rows].index("flips")].finding.effect
    )
    assert converges.outcome == "not judged"
    assert Pooled(run / "results", "cells").parts
