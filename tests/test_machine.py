from pathlib import Path

import pytest

from bench import machine
from bench.errors import UserError
from bench.machine import Machine


@pytest.fixture(autouse=True)
def _bare(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("BENCH_CACHE", raising=False)
    monkeypatch.chdir(tmp_path)


def settings(folder: Path, text: str) -> None:
    (folder / "bench.toml").write_text(text, "utf-8")


def message(folder: Path) -> str:
    with pytest.raises(UserError) as caught:
        machine.load(folder)
    return str(caught.value)


def test_without_settings_there_are_defaults(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    assert machine.load(tmp_path) == Machine(
        results=tmp_path / "results",
        cache=tmp_path / "xdg" / "bench",
        device="auto",
        executor="local",
        workers=0,
        paths={},
    )


def test_the_command_line_wins_over_the_environment_over_the_file_over_the_default(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    assert machine.load(tmp_path).workers == 0
    settings(tmp_path, "workers = 1")
    assert machine.load(tmp_path).workers == 1
    monkeypatch.setenv("BENCH_WORKERS", "2")
    assert machine.load(tmp_path).workers == 2
    assert machine.load(tmp_path, {"workers": 3}).workers == 3
    assert machine.load(tmp_path, {"workers": None}).workers == 2


@pytest.mark.parametrize(
    ("key", "of_file", "of_environment", "of_command_line"),
    [
        ("device", "cpu", "cuda", "auto"),
        ("executor", "inline", "ray", "local"),
        ("results", "a", "b", "c"),
        ("cache", "a", "b", "c"),
    ],
)
def test_every_setting_has_the_same_precedence(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    key: str,
    of_file: str,
    of_environment: str,
    of_command_line: str,
):
    def value(overrides: dict[str, str] | None = None) -> str:
        found = getattr(machine.load(tmp_path, overrides), key)
        return found.name if isinstance(found, Path) else found

    settings(tmp_path, f'{key} = "{of_file}"')
    assert value() == of_file
    monkeypatch.setenv(f"BENCH_{key.upper()}", of_environment)
    assert value() == of_environment
    assert value({key: of_command_line}) == of_command_line


def test_the_nearest_settings_above_a_folder_count(tmp_path: Path):
    deep = tmp_path / "a" / "b"
    deep.mkdir(parents=True)
    settings(tmp_path, "workers = 1")
    assert machine.find_settings(deep) == tmp_path / "bench.toml"
    settings(deep.parent, "workers = 2")
    assert machine.load(deep).workers == 2
    (deep / "bench.toml").mkdir()
    assert machine.load(deep).workers == 2, "a folder of that name is no settings file"


def test_folders_in_the_file_are_relative_to_it_and_those_of_the_environment_to_where_one_stands(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    (tmp_path / "a").mkdir()
    settings(tmp_path, 'results = "out"\n[paths]\ncells = "data/cells"')
    monkeypatch.chdir(tmp_path / "a")
    found = machine.load(tmp_path / "a")
    assert found.results == tmp_path / "out"
    assert found.paths == {"cells": tmp_path / "data" / "cells"}
    monkeypatch.setenv("BENCH_RESULTS", "elsewhere")
    monkeypatch.setenv("BENCH_PATHS_CELLS", "here")
    found = machine.load(tmp_path / "a")
    assert found.results == tmp_path / "a" / "elsewhere"
    assert found.paths == {"cells": tmp_path / "a" / "here"}


def test_the_room_for_images_is_a_number_of_gigabytes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert machine.load(tmp_path).resident_gb == 0
    settings(tmp_path, "resident_gb = 2")
    assert machine.load(tmp_path).resident_gb == 2
    monkeypatch.setenv("BENCH_RESIDENT_GB", "0.25")
    assert machine.load(tmp_path).resident_gb == 0.25
    for wrong in ("-1", "nan", "inf", "much"):
        monkeypatch.setenv("BENCH_RESIDENT_GB", wrong)
        with pytest.raises(UserError, match=r"BENCH_RESIDENT_GB = .*: must be a number of gigabytes"):
            machine.load(tmp_path)


def test_the_environment_can_name_a_folder_the_file_does_not(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    settings(tmp_path, '[paths]\nother-lab = "x"')
    monkeypatch.setenv("BENCH_PATHS_OTHER_LAB", str(tmp_path / "y"))
    monkeypatch.setenv("BENCH_PATHS_NEW", str(tmp_path / "z"))
    assert machine.load(tmp_path).paths == {"other-lab": tmp_path / "y", "new": tmp_path / "z"}


def test_all_mistakes_of_the_file_are_reported_together(tmp_path: Path):
    settings(tmp_path, 'device = "gpu"\nworkers = -1\nexecuter = "ray"\nresults = 5\n[paths]\na = 1')
    text = message(tmp_path)
    assert text.startswith(f"{tmp_path / 'bench.toml'} has 5 mistakes")
    for part in (
        'device = "gpu"\n    must be one of auto, cpu, cuda',
        "workers = -1\n    must be a whole number, 0",
        'executer = "ray"\n    unknown key; did you mean "executor"?',
        "results = 5\n    must be a folder, as text",
        "paths = { a = 1 }\n    must be a table of folders",
    ):
        assert part in text


def test_a_cluster_is_named_in_the_file_or_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    settings(tmp_path, 'executor = "ray"\naddress = "head:6379"')
    assert machine.load(tmp_path).address == "head:6379"
    monkeypatch.setenv("BENCH_ADDRESS", "auto")
    assert machine.load(tmp_path).address == "auto"
    settings(tmp_path, "address = 6379")
    assert 'address = 6379\n    must be text, for example "auto"' in message(tmp_path)


@pytest.mark.parametrize("value", ["true", "1.5", '"2"', "[]"])
def test_workers_are_a_whole_number(tmp_path: Path, value: str):
    settings(tmp_path, f"workers = {value}")
    assert "workers" in message(tmp_path)


@pytest.mark.parametrize("content", [b"a = ", b"\xff\xfe", b"a = " + b"9" * 5000, b"a = " + b"[" * 5000])
def test_a_file_that_is_no_toml_is_named(tmp_path: Path, content: bytes):
    (tmp_path / "bench.toml").write_bytes(content)
    assert message(tmp_path).startswith(f"{tmp_path / 'bench.toml'} is not valid TOML: ")


@pytest.mark.parametrize(
    ("variable", "text"),
    [
        ("BENCH_WORKERS", "many"),
        ("BENCH_WORKERS", "²"),
        ("BENCH_WORKERS", "-1"),
        ("BENCH_WORKERS", "9" * 5000),
        ("BENCH_DEVICE", "gpu"),
        ("BENCH_EXECUTOR", "slurm"),
        ("BENCH_RESULTS", ""),
    ],
)
def test_a_bad_variable_is_named_with_what_is_allowed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, variable: str, text: str
):
    monkeypatch.setenv(variable, text)
    assert f"environment variable {variable} = " in message(tmp_path)
    assert "must be" in message(tmp_path)


@pytest.mark.parametrize("text", ["~nobody-of-that-name/x"])
def test_a_path_that_cannot_be_is_the_persons_mistake(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str
):
    settings(tmp_path, f'results = "{text}"')
    assert f'results = "{text}"\n    "{text}" is no path' in message(tmp_path)
    settings(tmp_path, 'cache = "a\\u0000b"')
    assert "is no path" in message(tmp_path)
    settings(tmp_path, "")
    monkeypatch.setenv("BENCH_PATHS_X", text)
    assert "is no path" in message(tmp_path)


def test_a_study_names_folders_by_at_or_relative_to_itself(tmp_path: Path):
    here = Machine(paths={"cells": tmp_path / "data" / "cells"})
    assert here.resolve("@cells", tmp_path / "ablations") == tmp_path / "data" / "cells"
    assert here.resolve("@cells/train", tmp_path / "ablations") == tmp_path / "data" / "cells" / "train"
    assert here.resolve("../x", tmp_path / "ablations") == tmp_path / "x"
    assert here.resolve(str(tmp_path / "abs"), tmp_path / "ablations") == tmp_path / "abs"
    assert here.resolve("~/x", tmp_path) == Path.home() / "x"


@pytest.mark.parametrize(
    ("paths", "hint"), [({"pbc96": Path("/x")}, 'did you mean "pbc96"?'), ({}, "it names none yet")]
)
def test_an_unknown_name_says_how_to_add_it(tmp_path: Path, paths: dict[str, Path], hint: str):
    with pytest.raises(UserError) as caught:
        Machine(paths=paths).resolve("@pbc-96", tmp_path)
    assert str(caught.value) == (
        f'"@pbc-96" is not in [paths] of bench.toml; {hint}\n'
        '    add  pbc-96 = "FOLDER"  under [paths], or set BENCH_PATHS_PBC_96=FOLDER'
    )


@pytest.mark.parametrize(("written", "what"), [("@mobilenet", "FILE"), ("@weights/mobilenet.pth", "FOLDER")])
def test_an_unknown_name_of_a_file_asks_for_a_file(tmp_path: Path, written: str, what: str):
    with pytest.raises(UserError, match=f' = "{what}"  under .*={what}$'):
        Machine().resolve(written, tmp_path, kind="file")


def test_a_hostile_path_in_a_study_is_the_persons_mistake(tmp_path: Path):
    for written in ("a\0b", "~nobody-of-that-name", "@cells/a\0b"):
        with pytest.raises(UserError, match="is no path"):
            Machine(paths={"cells": tmp_path}).resolve(written, tmp_path)
