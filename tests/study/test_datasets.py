"""Several data sets in one file."""

from __future__ import annotations

from pathlib import Path

import pytest
from studies import ARMS, DATA, HEAD, RECIPE, FakeLocator

from bench.errors import UserError
from bench.plan import make_plan
from bench.study import datasets
from bench.study.read import Reading, Study, load, parse
from bench.study.toml import find

SETS = """\
[datasets.blood]
source = "bloodmnist"
[datasets.blood.hidden.lab2]
kind = "external"
source = "folder:lab2"
[datasets.drawn]
size_px = 48
"""
HEAVY = """\
[hidden.heavy]
kind = "corrupted"
"""


def text(sets: str = SETS, *, data: str = DATA, rest: str = "") -> str:
    return "\n".join((HEAD, data, sets, HEAVY, rest, RECIPE, ARMS))


def read(name: str, whole: str) -> Study:
    return parse(whole, name=name, file="cells.toml")


def complaint(name: str, whole: str) -> str:
    with pytest.raises(UserError) as caught:
        read(name, whole)
    return str(caught.value)


def test_a_data_set_says_only_what_it_has_of_its_own():
    blood, drawn = read("cells@blood", text()), read("cells@drawn", text())
    assert (blood.data.source, blood.data.size_px) == ("bloodmnist", 32)
    assert (drawn.data.source, drawn.data.size_px) == ("synthetic", 48)
    assert list(blood.hidden) == ["heavy", "lab2"]
    assert list(drawn.hidden) == ["heavy"]
    assert blood.arms[1].recipe == drawn.arms[1].recipe


def test_its_trials_are_those_of_a_study_of_that_data_alone():
    alone = "\n".join((HEAD, DATA.replace("32", "48"), HEAVY, RECIPE, ARMS))
    mine, other = (make_plan(read(*one), FakeLocator()) for one in (("cells@drawn", text()), ("x", alone)))
    assert [run.trial.id for run in mine.runs] == [run.trial.id for run in other.runs]
    assert [run.sets for run in mine.runs] == [run.sets for run in other.runs]


def test_what_all_share_need_not_name_a_source():
    shared = "[data]\nsize_px = 32\n"
    assert read("cells@blood", text(data=shared)).data.size_px == 32
    assert "[data] source" in complaint("cells@drawn", text(data=shared))
    assert read("cells@blood", text(data="")).data.size_px == 96


def test_a_whole_file_is_no_study_and_says_which_it_is():
    assert complaint("cells", text()) == (
        "cells.toml: has several data sets, and this is about one of them\n"
        "    name it: cells@blood, cells@drawn"
    )
    assert 'did you mean "blood"?' in complaint("cells@bloood", text())
    assert "take another name" in complaint("cells@blood", "\n".join((HEAD, DATA, RECIPE, ARMS)))


@pytest.mark.parametrize(
    ("sets", "wrong"),
    [
        ("[datasets]", "must hold a table for each data set"),
        ("[datasets]\nblood = 3", "[datasets.blood] = 3"),
        ('[datasets."a@b"]\nsize_px = 32', "letters, digits, - and _ only"),
        ("[datasets.a]\n[datasets.A]", "but for capitals"),
        ("[datasets.a]\nhidden = 3", "[datasets.a] hidden = 3"),
        ('[datasets.a.hidden.heavy]\nkind = "corrupted"', "[datasets.a.hidden.heavy]"),
    ],
)
def test_what_is_wrong_with_tables_of_data_sets_is_said_of_them(sets: str, wrong: str):
    assert wrong in complaint("cells@a", text(sets))


def test_a_key_that_data_does_not_have_is_a_mistake_of_that_data_set():
    said = complaint("cells@drawn", text("[datasets.drawn]\nsiz_px = 48"))
    assert "siz_px" in said
    assert 'did you mean "size_px"' in said or "size_px" in said


@pytest.mark.parametrize(
    ("own", "shared", "where"),
    [
        ("size_px = 4", "", "[datasets.drawn] size_px = 4"),
        ("split = { train = 2 }", "", "[datasets.drawn] split"),
        ("", "limit = 0", "[data] limit = 0"),
        (
            '[datasets.drawn.hidden.there]\nkind = "corrupted"\nprofil = 1',
            "",
            "[datasets.drawn.hidden.there] profil",
        ),
    ],
)
def test_a_mistake_is_located_in_the_table_that_has_it(own: str, shared: str, where: str):
    written = text(f"[datasets.drawn]\n{own}").replace("[data]\n", f"[data]\n{shared}\n", 1)
    assert f"\n  {where}" in complaint("cells@drawn", written)


def test_mistakes_of_all_data_sets_are_told_together(tmp_path: Path):
    sets = "".join(f"[datasets.{name}]\nsize_px = {size}\n" for name, size in (("a", 4), ("b", 48), ("c", 5)))
    file = tmp_path / "cells.toml"
    file.write_text(text(sets))
    with pytest.raises(UserError) as refused:
        datasets.each_read(datasets.files(file), Reading(file))
    said = str(refused.value)
    assert "[datasets.a] size_px = 4" in said
    assert "[datasets.c] size_px = 5" in said
    assert "[datasets.b]" not in said


def test_a_near_miss_of_datasets_is_told_from_data():
    said = complaint("cells", text("[dataset.one]\nsize_px = 32"))
    assert "\n  dataset = " in said
    assert 'did you mean "datasets"?' in said


def test_a_file_stands_for_a_study_of_each_of_its_data_sets(tmp_path: Path):
    file, plain = tmp_path / "cells.toml", tmp_path / "plain.toml"
    file.write_text(text())
    plain.write_text("\n".join((HEAD, DATA, RECIPE, ARMS)))
    parts = datasets.files(file)
    assert [part.name for part in parts] == ["cells@blood.toml", "cells@drawn.toml"]
    assert datasets.files(parts[1]) == (parts[1],)
    assert datasets.files(plain) == (plain,)
    assert find(tmp_path / "cells@drawn") == parts[1]
    assert load(parts[1]).name == "cells@drawn"


def test_messages_name_the_file_that_is_there(tmp_path: Path):
    file = tmp_path / "cells.toml"
    file.write_text(text("[datasets.drawn]\nsize_px = 4"))
    with pytest.raises(UserError, match=r"cells\.toml \(data set drawn\) has a mistake"):
        load(tmp_path / "cells@drawn.toml")
