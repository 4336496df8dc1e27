"""Every study of ``ablations/``, whole."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from studies import FakeLocator

from bench import tune
from bench.data import fingerprint
from bench.plan import Replicate, Run, Source
from bench.recipe import Data, Hidden
from bench.study.read import load

ROOT = Path(__file__).resolve().parent.parent
STUDIES = sorted((ROOT / "ablations").glob("*.toml"))
GOLDEN = ROOT / "tests" / "golden" / "ids.txt"


class Sourceless(FakeLocator):
    """Makes every key as the disk's locator does; only what a source holds is made up."""

    def source(self, written: str, data: Data) -> Source:
        """One with a split of its own where there is such a source, or the study goes by it."""
        made = super().source(written, data)
        return replace(made, official=made.kind == "bloodmnist" or data.split == "official")

    def data_fingerprint(self, source: Source, data: Data) -> str:
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
    plan = tune.plan(load(study), Sourceless(), lambda id: None, lambda id: [])
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
