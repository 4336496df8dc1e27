"""``bench.results``: every score of a results folder as one table, the same as each study's CSV."""

from __future__ import annotations

import contextlib
import io
import re
from pathlib import Path

import pandas as pd
import pytest
from tiny import HIDDEN, machine_in, write_study

import bench
from bench.errors import UserError
from bench.progress.terminal import Terminal
from bench.run.conductor import Options, run_study

ROOT = Path(__file__).resolve().parent.parent
TUNED = """\
[tune]
finalists = 0
candidates = 2
shared = true
[tune.space]
"optimizer.lr" = { low = 1e-4, high = 1e-2, log = true }
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A results folder with a tuned study that also repeats its baseline, and a second, plain one."""
    home = tmp_path_factory.mktemp("home")
    study = write_study(home, seeds=2, hidden=HIDDEN)
    study.write_text("aa = true\n" + study.read_text() + TUNED)
    for file in (study, write_study(home, name="second")):
        run_study(file, machine_in(home), Options(), Terminal(quiet=True))
    return home / "results"


def test_every_role_has_its_rows(folder: Path) -> None:
    found = bench.results(folder, "tiny")
    trials = found.groupby(["role", "arm"])["trial"].nunique()
    assert trials.to_dict() == {
        ("final", "none"): 2, ("final", "flips"): 2, ("again", "none"): 2, ("shared", "flips"): 2,
        ("tune", "none"): 2, ("tune", "flips"): 2,
    }  # fmt: skip
    sets = found.groupby("role")["set"].unique().map(sorted).to_dict()
    assert sets.pop("tune") == ["val"]
    assert sets == {role: ["local", "other-lab", "val"] for role in ("final", "again", "shared")}
    assert set(found.loc[found.role == "again", "seed"]) == {10000, 10001}
    assert set(found.status) == {"done"}
    assert found.fold.isna().all()
    assert (found.seconds > 0).all()


def test_without_a_study_all_of_the_folder_are_read(folder: Path) -> None:
    every = bench.results(folder)
    assert list(dict.fromkeys(every.study)) == ["second", "tiny"]
    apart = pd.concat([bench.results(folder, name) for name in ("second", "tiny")], ignore_index=True)
    pd.testing.assert_frame_equal(every, apart)


@pytest.mark.parametrize("name", ["tiny", "second"])
def test_the_csv_beside_the_report_is_the_same_table(folder: Path, name: str) -> None:
    frame = bench.results(folder, name)
    read = pd.read_csv(folder / name / "tables" / "results.csv", dtype=frame.dtypes.to_dict())
    pd.testing.assert_frame_equal(frame, read, rtol=1e-9)


def test_a_folder_or_study_that_is_not_there_is_said(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"nowhere holds no study; bench run STUDY makes one"):
        bench.results(tmp_path / "nowhere")
    with pytest.raises(UserError, match="holds no study 'other'"):
        bench.results(folder, "other")


def test_bench_has_no_attribute_that_it_does_not_know() -> None:
    with pytest.raises(AttributeError, match="module 'bench' has no attribute 'result'"):
        _ = bench.result


@pytest.fixture
def at_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A working folder with the committed results, in which files may be written."""
    (tmp_path / "results").symlink_to(ROOT / "results")
    monkeypatch.chdir(tmp_path)


@pytest.mark.usefixtures("at_home")
def test_the_page_on_pandas_prints_what_it_says() -> None:
    page = (ROOT / "docs" / "results-in-pandas.md").read_text("utf-8")
    names: dict[str, object] = {}
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        for block in re.findall(r"```python\n(.*?)```", page, re.DOTALL):
            exec(block, names)
    said = "\n".join(re.findall(r"```text\n(.*?)```", page, re.DOTALL))
    assert printed.getvalue().split() == said.split()
    assert Path("heavy.svg").is_file()
    arms = pd.read_csv("results/reference/augmentation_cpu/tables/arms.csv", index_col="arm")
    effect = arms.loc["randaugment-augmix", "effect"]
    assert names["difference"].mean() == pytest.approx(100 * effect)  # type: ignore[attr-defined]
