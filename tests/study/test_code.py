"""Code from outside: what may be named, what running it may do wrong, and what it is known by."""

from __future__ import annotations

import hashlib
import os
import sys
from importlib.metadata import EntryPoint
from pathlib import Path

import pytest
from studies import ARMS, FakeLocator, text

from bench import registry
from bench.errors import UserError
from bench.plan import make_plan
from bench.planned import PlanFile
from bench.registry import augmentations, corruptions, metrics
from bench.study import code
from bench.study.code import Code, components, unread_in
from bench.study.read import Study, load, parse
from bench.study.told import told

SHADE = """\
from typing import Literal

from bench.registry import augmentations, metrics


@augmentations.register("shade", version=3, does=lambda given: ["hide"] if given["by"] > 0.5 else [])
def shade(by: float = 0.5, where: Literal["top", "bottom"] = "top", of: list[float] | None = None):
    \"\"\"Darken half of an image.\"\"\"


@metrics.register("top2", unit="share", interval="images")
def top2():
    \"\"\"Share of images whose class is among the two most probable.\"\"\"
"""
USES = 'uses = ["shade.py"]\n'
SHADED = """\
[arms]
none = {}
shaded = { augment = [{ name = "shade", by = 1 }] }
nested = { augment = [{ name = "chain", steps = ["flip", { name = "shade", by = 0.25 }] }] }
"""


def write(folder: Path, content: str = SHADE, name: str = "shade.py") -> Path:
    (folder / name).write_text(content, "utf-8")
    return folder / name


def study(folder: Path, rest: str = SHADED, top: str = USES) -> Study:
    (folder / "mine.toml").write_text(text(rest, top=top), "utf-8")
    return load(folder / "mine.toml")


def refusal(folder: Path, **parts: str) -> str:
    with pytest.raises(UserError) as caught:
        study(folder, **parts)
    return str(caught.value)


# -- what a study may name -----------------------------------------------------------------------------------


def test_a_study_names_a_file_beside_it_and_its_components(tmp_path: Path) -> None:
    write(tmp_path)
    shaded = study(tmp_path).arm("shaded").recipe.augment[0]
    assert shaded.params == {"by": 1.0, "where": "top", "of": None}
    assert augmentations["shade"].origin == f"sha256:{hashlib.sha256(SHADE.encode()).hexdigest()}"
    assert "top2" in metrics


def test_what_one_study_names_is_not_there_for_the_next(tmp_path: Path) -> None:
    write(tmp_path)
    study(tmp_path)
    parse(text(ARMS), name="other", file="other.toml")
    assert "shade" not in augmentations
    assert registry.foreign() == []


def test_two_studies_name_one_file_and_two_files_may_use_one_name(tmp_path: Path) -> None:
    for folder in ("a", "b", "c"):
        (tmp_path / folder).mkdir()
    write(tmp_path / "a")
    write(tmp_path / "b")
    write(tmp_path / "c", SHADE.replace("version=3", "version=4"))
    a, b, c = (make_plan(study(tmp_path / folder), FakeLocator()) for folder in "abc")
    assert [run.trial.id for run in a.runs] == [run.trial.id for run in b.runs]
    assert augmentations["shade"].version == 4
    changed = {run.arm for run, other in zip(a.runs, c.runs, strict=True) if run.trial.id != other.trial.id}
    assert changed == {"shaded", "nested"}


def test_parameters_are_checked_against_the_signature(tmp_path: Path) -> None:
    write(tmp_path)
    rest = '[arms]\nnone = {}\nwrong = { augment = [{ name = "shade", bye = 1, where = "left" }] }\n'
    said = refusal(tmp_path, rest=rest)
    assert 'augment[0].bye = 1\n    unknown key; did you mean "by"?' in said
    assert 'where = "left"\n    must be one of "top", "bottom"' in said


@pytest.mark.parametrize(
    ("uses", "problem"),
    [
        ('["missing.py"]', "missing.py cannot be read: No such file or directory"),
        ('["shade.txt"]', '"shade.txt" is not a .py file'),
        ('["../shade.py"]', '"../shade.py" leaves the study\'s folder; copy the file beside the study'),
        ('["/etc/shade.py"]', "leaves the study's folder"),
        ('["inside.py"]', "leaves the study's folder"),
        ('"shade.py"', "must be a list, in [ ]"),
        ("[3]", "uses[0] = 3\n    must be text, in quotes"),
    ],
)
def test_a_path_that_is_no_file_of_the_folder_is_a_mistake(tmp_path: Path, uses: str, problem: str) -> None:
    folder = tmp_path / "studies"
    folder.mkdir()
    write(folder)
    write(tmp_path, name="outside.py")
    (folder / "inside.py").symlink_to(tmp_path / "outside.py")
    assert problem in refusal(folder, rest=ARMS, top=f"uses = {uses}\n")


def test_a_file_may_lie_in_a_folder_below(tmp_path: Path) -> None:
    (tmp_path / "own").mkdir()
    write(tmp_path / "own")
    assert study(tmp_path, top='uses = ["own/shade.py"]\n').arm("shaded")


# -- what running it may do wrong ----------------------------------------------------------------------------

REGISTER = "from bench.registry import augmentations\n"


@pytest.mark.parametrize(
    ("content", "line", "problem"),
    [
        ("import bench\nbench.nothing()\n", 2, "AttributeError: module 'bench' has no attribute 'nothing'"),
        ("def broken(:\n", 1, "SyntaxError: invalid syntax"),
        ("import sys\n\nsys.exit(3)\n", 3, "SystemExit: 3"),
        ("\n\nimport no_such_package\n", 3, "ModuleNotFoundError: No module named 'no_such_package'"),
        (
            REGISTER + "def make(): ...\n\naugmentations.register('flip')(make)\n",
            4,
            "ValueError: augmentation 'flip' is registered twice",
        ),
        (
            REGISTER + "\naugmentations.register('x', dose=('hide',))\n(lambda: None)\n",
            3,
            "no trait 'dose'; did you mean \"does\"?",
        ),
    ],
)  # fmt: skip
def test_an_error_in_a_file_is_told_with_its_line(
    tmp_path: Path, content: str, line: int, problem: str
) -> None:
    file = write(tmp_path, content.replace("\n(lambda", "(lambda"))
    said = refusal(tmp_path, rest=ARMS)
    assert f'uses = ["shade.py"]\n    {file}, line {line}: ' in said
    assert problem in said


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        ("x = 1\n", "shade.py does not register a component; docs/add-a-component.md shows how"),
        (REGISTER + "@augmentations.register('x')\ndef x(by=1.0): ...\n", "by=1.0 is no parameter"),
        (REGISTER + "@augmentations.register('x')\ndef x(**by: float): ...\n", "**by: float is no parameter"),
        (REGISTER + "@augmentations.register('x')\ndef x(name: str = 'x'): ...\n", "none is called name"),
        (
            REGISTER + "@augmentations.register('x')\ndef x(by: Missing = 1): ...\n",
            "'Missing' is not defined",
        ),
        (REGISTER + "@augmentations.register('x')\ndef x(by: int = 1.5): ...\n", "cannot be checked"),
        (REGISTER + "for _ in 'ab':\n    augmentations.register('x')(lambda: None)\n", 'x" is registered by'),
    ],
)
def test_what_no_study_could_set_is_a_mistake_of_the_file(tmp_path: Path, content: str, problem: str) -> None:
    future = "from __future__ import annotations\n" if "Missing" in content else ""
    write(tmp_path, future + content)
    assert problem in refusal(tmp_path, rest=ARMS)


def test_two_files_that_register_one_name_are_both_named(tmp_path: Path) -> None:
    write(tmp_path)
    write(tmp_path, SHADE + "\n", name="again.py")
    said = refusal(tmp_path, top='uses = ["shade.py", "again.py"]\n')
    assert 'augmentation "shade" is registered by again.py and by shade.py; rename one of the two' in said


def test_a_file_runs_as_a_module_of_its_own_and_once(tmp_path: Path) -> None:
    (tmp_path / "json.py").write_text(
        "from dataclasses import dataclass\nimport json\n" + SHADE + "\njson.dumps([])\n"
        "@dataclass\nclass Kept:\n    by: float\n"
    )
    first = study(tmp_path, top='uses = ["json.py"]\n')
    factory = augmentations["shade"].factory
    assert factory.__module__.startswith("bench_uses_json_")
    assert sys.modules[factory.__module__].__file__ == str(tmp_path / "json.py")
    study(tmp_path, top='uses = ["json.py"]\n')
    assert augmentations["shade"].factory is factory
    assert next(iter(components(first.code))).factory is factory


def test_what_is_sent_to_a_worker_is_what_was_read(tmp_path: Path) -> None:
    write(tmp_path)
    planned = make_plan(study(tmp_path), FakeLocator()).runs[0].trial
    write(tmp_path, "raise SystemError\n")
    assert [one.content for one in planned.code] == [SHADE.encode()]
    assert {c.id for c in components(planned.code)} == {"augmentation:shade", "metric:top2"}


# -- what it is known by -------------------------------------------------------------------------------------


def ids(folder: Path) -> dict[str, str]:
    plan = make_plan(study(folder), FakeLocator())
    return {run.arm: run.trial.id for run in plan.runs if run.trial.replicate.seed == 0}


def test_a_files_content_is_in_the_id_of_trials_that_train_with_it_and_of_no_other(tmp_path: Path) -> None:
    write(tmp_path)
    before = ids(tmp_path)
    write(tmp_path, SHADE + "# another comment\n")
    after = ids(tmp_path)
    assert (
        before["none"]
        == after["none"]
        == make_plan(parse(text(ARMS), name="x", file="x.toml"), FakeLocator()).runs[0].trial.id
    )
    assert {arm for arm in before if before[arm] != after[arm]} == {"shaded", "nested"}


def test_a_changed_file_makes_old_trials_stale_not_unknown(tmp_path: Path) -> None:
    write(tmp_path)
    old = make_plan(study(tmp_path), FakeLocator()).runs
    write(tmp_path, SHADE + "\n")
    new = make_plan(study(tmp_path), FakeLocator()).runs
    assert [run.trial.key for run in old] == [run.trial.key for run in new]


def test_where_a_file_lies_and_what_it_is_called_is_no_part_of_it(tmp_path: Path) -> None:
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
    write(tmp_path / "a")
    write(tmp_path / "b", name="other.py")
    first = ids(tmp_path / "a")
    (tmp_path / "b" / "mine.toml").write_text(text(SHADED, top='uses = ["other.py"]\n'))
    plan = make_plan(load(tmp_path / "b" / "mine.toml"), FakeLocator())
    assert first["shaded"] == next(run.trial.id for run in plan.runs if run.arm == "shaded")


# -- without the code ----------------------------------------------------------------------------------------


def test_what_the_plan_tells_stands_in_for_the_code(tmp_path: Path) -> None:
    write(tmp_path)
    here = study(tmp_path)
    done = {arm.label: here.arm(arm.label).recipe for arm in here.arms}
    from bench.corruptions.families import seen

    before = {label: seen(recipe) for label, recipe in done.items()}
    file = PlanFile.model_validate_json(make_plan(here, FakeLocator()).file.model_dump_json())
    shade = augmentations["shade"]

    there = parse(text(SHADED, top=USES), name="mine", file="mine.toml", outside=told(file.components))
    assert augmentations["shade"] is not shade
    assert there.arms == here.arms
    assert {label: seen(there.arm(label).recipe) for label in done} == before == {
        "none": set(), "shaded": {"occlusion"}, "nested": set(),
    }  # fmt: skip
    assert metrics["top2"].traits == {"unit": "share", "lower_is_better": False, "interval": "images"}
    assert metrics["top2"].summary == "Share of images whose class is among the two most probable."
    with pytest.raises(UserError, match="was not run here"):
        augmentations["shade"].build({"by": 0.5})


def test_a_value_is_read_the_same_with_and_without_the_code(tmp_path: Path) -> None:
    write(tmp_path)
    rest = '[arms]\nnone = {}\nshaded = { augment = [{ name = "shade", by = 100000, of = [1, 2] }] }\n'
    here = study(tmp_path, rest=rest)
    known = make_plan(here, FakeLocator()).file.components
    there = parse(text(rest, top=USES), name="mine", file="mine.toml", outside=told(known))
    assert repr(there.arm("shaded").recipe) == repr(here.arm("shaded").recipe)


def test_without_code_nothing_of_it_runs_and_its_names_are_taken_on_trust(tmp_path: Path) -> None:
    write(tmp_path, SHADE + "\nraise SystemError\n")
    (tmp_path / "mine.toml").write_text(text(SHADED, top=USES + 'primary = "local.top2"\n'))
    plan = make_plan(load(tmp_path / "mine.toml", unread_in), FakeLocator())
    assert [c.id for c in registry.foreign()] == ["augmentation:shade", "metric:top2"]
    origins = {run.arm: dict(run.trial.origins) for run in plan.runs}
    assert origins == {
        "none": {},
        "shaded": {"augmentation:shade": "unread"},
        "nested": {"augmentation:shade": "unread"},
    }


def test_without_code_other_mistakes_are_still_mistakes(tmp_path: Path) -> None:
    write(tmp_path)
    (tmp_path / "mine.toml").write_text(text('[arms]\nnone = {}\nx = { augment = ["shad"] }\n', top=USES))
    with pytest.raises(UserError, match='did you mean "shade"'):
        load(tmp_path / "mine.toml", unread_in)


def test_a_set_that_names_no_families_has_benchs_own_alone(tmp_path: Path) -> None:
    from bench.corruptions.families import families_of
    from bench.recipe import Corrupted

    write(tmp_path, "from bench.registry import corruptions\ncorruptions.register('dust')(lambda: None)\n")
    study(tmp_path, rest=ARMS)
    assert "dust" in corruptions
    assert len(families_of(Corrupted(kind="corrupted"))) == 21


# -- installed packages --------------------------------------------------------------------------------------


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A package that offers ``shade`` and ``top2``, as if it were installed."""
    module = f"offers_{hashlib.sha256(str(tmp_path).encode()).hexdigest()[:8]}"
    write(tmp_path, SHADE + "\nprint('imported')\n", name=f"{module}.py")
    monkeypatch.syspath_prepend(str(tmp_path))
    offered = [EntryPoint(name, module, code.GROUP) for name in ("shade", "top2")]
    monkeypatch.setattr(code, "entry_points", lambda group: offered if group == code.GROUP else [])
    return tmp_path


def test_a_package_is_imported_where_a_study_says_a_name_of_its_own(
    package: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    study(package, rest=ARMS, top="")
    assert capsys.readouterr().out == ""
    shaded = study(package, top="")
    assert capsys.readouterr().out == "imported\n"
    assert [one.name for one in shaded.code] == ["shade"]
    assert "top2" not in metrics
    study(package, top='primary = "local.top2"\n', rest=ARMS)
    assert [c.id for c in registry.foreign()] == ["metric:top2"]


def test_the_package_and_the_version_are_what_a_packaged_component_is_known_by(package: Path) -> None:
    plan = make_plan(study(package, top=""), FakeLocator())
    shaded = next(run.trial for run in plan.runs if run.arm == "shaded")
    assert shaded.origins["augmentation:shade"].startswith("package:offers_")
    assert shaded.versions["augmentation:shade"] == 3


def test_a_package_that_does_not_register_what_it_offers_is_named(
    package: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    offered = [EntryPoint("flash", "json", code.GROUP)]
    monkeypatch.setattr(code, "entry_points", lambda group: offered)
    rest = '[arms]\nnone = {}\nx = { augment = ["flash"] }\n'
    assert 'json does not register "flash"' in refusal(package, rest=rest, top="")


def test_code_is_equal_where_name_and_content_are() -> None:
    assert Code("a.py", "/x/a.py", b"1").origin == Code("b.py", "/y/b.py", b"1").origin
    assert Code("a.py", "/x/a.py", b"1").origin != Code("a.py", "/x/a.py", b"2").origin


@pytest.mark.parametrize("made", ["pipe", "link", "null"])
def test_what_uses_cannot_open_is_a_mistake_and_nothing_to_wait_for(tmp_path: Path, made: str) -> None:
    if made == "pipe":
        os.mkfifo(tmp_path / "shade.py")
    if made == "link":
        (tmp_path / "shade.py").symlink_to("shade.py")
    top = 'uses = ["sha\\u0000de.py"]\n' if made == "null" else USES
    assert "de.py" in refusal(tmp_path, top=top)
