"""Docs, studies and help agree with the code."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from typer.main import get_command

from bench.cli import app
from bench.commands.reference import markdown
from bench.recipe import Corrupted, Data, External, Recipe, Shifted, Stage
from bench.registry import REGISTRIES
from bench.store import Record
from bench.study.code import run_in
from bench.study.file import ClaimTable, StudyFile, Tune
from bench.study.read import parse

ROOT = Path(__file__).resolve().parent.parent
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]


@pytest.mark.parametrize(
    "model", [StudyFile, Data, Recipe, Stage, External, Shifted, Corrupted, ClaimTable, Tune]
)
def test_every_key_of_a_study_is_described(model: type) -> None:
    page = (ROOT / "docs" / "study-format.md").read_text()
    words = set(re.findall(r"[a-z_]+", page))
    assert sorted(set(model.model_fields) - words) == []  # type: ignore[attr-defined]


def test_every_field_of_a_record_is_described() -> None:
    page = (ROOT / "docs" / "results-format.md").read_text()
    assert [name for name in Record.model_fields if f"`{name}`" not in page] == []


def test_the_reference_of_components_is_what_the_docstrings_say() -> None:
    page = (ROOT / "docs" / "components.md").read_text()
    assert page == markdown(), "stale: run  uv run just docs"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_between_pages_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)#]+)\)", page.read_text()):
        if "://" not in target:
            assert (page.parent / target).exists(), target


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_whole_studies_in_the_docs_are_studies(page: Path, tmp_path: Path) -> None:
    for text in python_of(page):  # files that a study there may name
        if name := re.match(r"# ablations/(\w+\.py)\n", text):
            (tmp_path / name[1]).write_text(text, "utf-8")
    for block in re.findall(r"```toml\n(.*?)```", page.read_text(), re.DOTALL):
        if "question" in block:
            assert parse(block, name="example", file=page.name, outside=run_in(tmp_path)).arms


EXECUTED_BY = {
    "add-a-component.md": "contracts/test_own_components.py",
    "explain-and-export.md": "models/test_stored.py",
    "judge.md": "elsewhere/test_loops.py",
    "results-in-pandas.md": "test_frame.py",
    "tutorial.md": "test_tutorial.py",
}
"""Page with Python → the tests that run all of it."""


def python_of(page: Path) -> list[str]:
    """Its blocks of Python."""
    return re.findall(r"^```python\n(.*?)^```", page.read_text(), re.DOTALL | re.MULTILINE)


def test_all_python_of_the_docs_is_executed() -> None:
    shown = {page.name for page in PAGES if python_of(page)}
    assert shown == set(EXECUTED_BY)
    for page, test in EXECUTED_BY.items():
        assert page in (ROOT / "tests" / test).read_text("utf-8"), f"{test} does not read {page}"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_commands_named_in_the_docs_exist(page: Path) -> None:
    known = get_command(app).commands  # type: ignore[attr-defined]
    for command in re.findall(r"`(?:uv run )?bench ([a-z]+)", page.read_text()):
        assert command in known


@pytest.mark.parametrize("kind", REGISTRIES)
def test_every_component_has_a_docstring(kind: str) -> None:
    for component in REGISTRIES[kind]:
        assert component.summary.endswith("."), component.name


def test_the_readme_opens_with_the_two_commands() -> None:
    lines = (ROOT / "README.md").read_text().split("```")[1].split("\n")
    assert lines[1].startswith("uv run bench run ablations/quickstart.toml")
    assert lines[2].startswith("uv run pytest")
    assert "uv run pytest" in (ROOT / ".ci" / "run").read_text()
