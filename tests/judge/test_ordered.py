"""A report tells of ordered levels what their records say."""

from __future__ import annotations

from pathlib import Path

import pytest
from pretended import NAME, Pretended
from recomputation.__main__ import recompute

from bench import report
from bench.judge.used import as_used
from bench.planned import read_plan_file
from bench.report.trends import trends

HEAD = """\
question = "How strong?"
seeds = {seeds}
{top}
[data]
source = "synthetic"
size_px = 32
[hidden.other]
kind = "external"
source = "folder:lab"
[recipe]
model = "custom_cnn"
stages = [{{ train = "all", epochs = 2 }}]
{arms}
"""
ARMS = """\
[arms]
none = {}
blur = { augment = ["blur"] }
flip = { augment = ["flip"] }
randaugment = { augment = ["randaugment"] }
"""
GRID = """\
[factors]
"optimizer.lr" = [1e-3, 1e-5, 1e-4, 1e-2]
[factors.strength]
weak = { augment = ["blur"] }
middle = { augment = [] }
strong = { augment = ["randaugment"] }
"""
SOME = """\
[factors]
batch_size = [32, 8, 16]
[factors.strength]
weak = { augment = ["blur"] }
middle = { augment = [] }
strong = { augment = ["randaugment"] }
"""
EXCLUDE = """
[[exclude]]
batch_size = "batch_size=32"
strength = "middle"
[[exclude]]
batch_size = "batch_size=32"
strength = "strong"
"""


CLAIMS = """
[[claims]]
says = "Strength helps, and by much"
expect = "rises"
over = "strength"
margin = 2.0
[[claims]]
says = "The batch does not matter"
expect = "flat"
over = "batch_size"
[[claims]]
says = "Small batches are better there"
expect = "falls"
over = "batch_size"
metric = "other.nll"
"""


def made(folder: Path, arms: str, ordered: str, seeds: int = 4) -> Pretended:
    text = HEAD.format(seeds=seeds, top=f"ordered = {ordered}", arms=arms)
    study = Pretended(folder, text, images={"test": 150, "other": 300})
    study.finish()
    return study


@pytest.mark.parametrize(
    ("arms", "ordered"),
    [
        (ARMS, '[["blur", "none", "flip", "randaugment"], ["none", "randaugment", "flip"]]'),
        (SOME + EXCLUDE, '["batch_size", "strength"]'),
        (SOME + EXCLUDE + CLAIMS, '["batch_size", "strength"]'),
    ],
)
def test_every_number_is_what_the_records_say(tmp_path: Path, arms: str, ordered: str) -> None:
    study = made(tmp_path, arms, ordered)
    found = recompute(study.results, NAME)
    assert [line for tally in found for line in tally.mismatched] == []
    assert [f"{tally.name}: {line}" for tally in found for line in tally.uncovered] == []
    assert "## Ordered levels" in (study.results / NAME / "report.md").read_text()


def test_a_peak_bends_and_a_slope_rises(tmp_path: Path) -> None:
    study = made(tmp_path, GRID, '["optimizer.lr", "strength"]', seeds=5)
    plan = read_plan_file(study.results / NAME / "plan.json")
    rate, strength = report.build(as_used(plan, study.store), plan, study.store).trends
    assert rate.line
    assert rate.bend
    assert strength.line
    assert rate.best in rate.among
    assert rate.best in ("lr=0.001", "lr=0.0001", "lr=0.01")  # made best at 1e-3
    assert "lr=1e-05" not in rate.among
    assert rate.bend.low > 0
    assert strength.line.low > 0
    assert strength.best == "strong"
    assert (rate.blocks, strength.blocks) == (3, 4)


def test_a_level_whose_seeds_diverged_has_no_best_among(tmp_path: Path) -> None:
    text = HEAD.format(seeds=4, top='ordered = [["blur", "none", "flip"]]', arms=ARMS)
    ends = lambda run: "diverged" if (run.arm, run.trial.replicate.seed) == ("flip", 1) else ""  # noqa: E731
    study = Pretended(tmp_path, text, ends=ends, images={"test": 60, "other": 60})
    study.finish()
    plan = read_plan_file(study.results / NAME / "plan.json")
    (one,) = report.build(as_used(plan, study.store), plan, study.store).trends
    assert (one.best, one.among) == (None, ())
    assert one.line
    assert one.seeds == 3


def test_claims_over_levels_are_judged_by_the_line_through_them(tmp_path: Path) -> None:
    claims = [
        f'[[claims]]\nsays = "{expect}"\nexpect = "{expect}"\nover = "{over}"\n{more}'
        for expect, over, more in (
            ("rises", "strength", ""),
            ("falls", "strength", ""),
            ("rises", "strength", "margin = 90"),
            ("flat", "strength", ""),
        )
    ]
    study = made(tmp_path, GRID + "\n".join(claims), '["optimizer.lr", "strength"]', seeds=6)
    plan = read_plan_file(study.results / NAME / "plan.json")
    document = report.build(as_used(plan, study.store), plan, study.store)
    strength = document.trends[1]
    assert [claim.outcome for claim in document.claims] == ["supported", "refuted", "refuted", "refuted"]
    (pair,) = document.claims[0].pairs
    assert (pair.arm, pair.reference) == ("strength, end of its line", "strength, start of its line")
    assert pair.effect
    assert strength.line
    assert pair.effect.mean == pytest.approx(strength.line.mean)
    assert document.rules.family == 12, "eleven arms against the baseline, and the line, once"


def test_levels_in_an_order_are_drawn_in_it(tmp_path: Path) -> None:
    study = made(tmp_path, GRID, '["optimizer.lr", "strength"]', seeds=5)
    plan = read_plan_file(study.results / NAME / "plan.json")
    document = report.build(as_used(plan, study.store), plan, study.store)
    rate, strength = trends(document)
    assert (rate.name, strength.name) == ("trend-optimizer_lr", "trend-strength")
    places = [strength.body.index(f">{level}</text>") for level in ("weak", "middle", "strong")]
    assert places == sorted(places)
    assert strength.body.count('class="band"') == len(document.trends[1].among)
    assert "strong: the first level" not in strength.body
    assert "Not told from the best: strong." in strength.alt
