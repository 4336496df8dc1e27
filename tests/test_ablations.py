"""Every study of ``ablations/``, whole."""

from __future__ import annotations

import functools
import json
import tomllib
from dataclasses import replace
from pathlib import Path

import jsonschema
import pytest
from studies import FakeLocator

from bench.commands import scaffold
from bench.data import fingerprint
from bench.plan import Replicate, Run, Source, make_plan
from bench.recipe import Data, Hidden
from bench.study import datasets, read
from bench.study.smoke import smoke
from bench.tune import search

ROOT = Path(__file__).resolve().parent.parent
FILES = sorted((ROOT / "ablations").glob("*.toml"))
STUDIES = [study for file in FILES for study in datasets.files(file)]
"""Of a file with several data sets a study for each."""
of_each = pytest.mark.parametrize("study", STUDIES, ids=lambda path: path.stem)
of_each_file = pytest.mark.parametrize("file", FILES, ids=lambda path: path.stem)
load = functools.cache(read.load)
GOLDEN = ROOT / "tests" / "golden" / "ids.txt"


@of_each_file
def test_a_study_opens_with_its_question_and_cost(file: Path):
    head = file.read_text("utf-8")
    assert head.startswith("# Question")
    assert "# Cost" in head


@of_each
def test_a_study_loads_and_its_baseline_is_one_of_its_arms(study: Path):
    assert load(study).arm(load(study).baseline).recipe == load(study).recipe


@of_each
def test_a_study_has_a_smoke_form_with_the_same_arms(study: Path):
    whole, small = load(study), smoke(load(study))
    assert [arm.label for arm in small.arms] == [arm.label for arm in whole.arms]
    replicates = 2 if whole.folds else 1
    assert len(make_plan(small, FakeLocator()).runs) == len(whole.arms) * replicates


@functools.cache
def schema() -> jsonschema.Draft202012Validator:
    return jsonschema.Draft202012Validator(json.loads(scaffold.schema()))


@of_each_file
def test_the_schema_accepts_a_study(file: Path):
    errors = schema().iter_errors(tomllib.loads(file.read_text("utf-8")))
    assert [error.message for error in errors] == []


# -- ids -----------------------------------------------------------------------------------------------------


class Sourceless(FakeLocator):
    """Makes every key as the disk's locator does; only what a source holds is made up."""

    def source(self, written: str, data: Data) -> Source:
        """One with a split of its own where there is such a source, or the study goes by it."""
        made = super().source(written, data)
        return replace(made, official=made.kind == "bloodmnist" or data.split == "official")

    def data_fingerprint(self, source: Source, data: Data, *, folds: bool = False) -> str:
        """The real one."""
        return fingerprint.data_fingerprint(source, data)

    def test_key(self, source: Source, data: Data, replicate: Replicate) -> str:
        """The real one."""
        return fingerprint.test_key(source, data, replicate)

    def hidden_key(self, hidden: Hidden, source: Source | None, test_key: str) -> str:
        """The real one."""
        return fingerprint.hidden_key(hidden, source, test_key)


def identities(study: Path) -> list[str]:
    """A line per arm with its first trial's id (of a tuned arm its first candidate's), and one for it all."""
    plan = search.plan(load(study), Sourceless(), lambda id: None, lambda id: [])
    runs = [*plan.everything, *plan.pending]
    first: dict[str, Run] = {}
    for run in runs:
        first.setdefault(run.arm, run)
    everything = [[run.trial.id, [[scored.name, scored.key] for scored in run.sets]] for run in runs]
    lines = [f"{study.stem}  {run.trial.id}  {arm}" for arm, run in first.items()]
    return [*lines, f"{study.stem}  {fingerprint.fingerprint(everything)[:20]}  = {len(runs)} trials"]


def test_no_trial_of_any_study_loses_its_id():
    # Where a version is raised on purpose, put the new lines into the file: CHANGELOG says what goes stale.
    lines = [line for study in STUDIES for line in identities(study)]
    assert lines == GOLDEN.read_text("utf-8").splitlines()
