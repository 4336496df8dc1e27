"""Everything that is wrong with predictions is told at once, each with where it stands."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from elsewhere.tables import answered, predicted, write

from bench.elsewhere import check as room
from bench.elsewhere.check import Check
from bench.elsewhere.files import read


def checked(table: pd.DataFrame, folder: Path) -> Check:
    check = Check(read([write(table, folder / "a.csv")]))
    assert (check.answers() is None) == bool(check.problems)
    return check


def problems(table: pd.DataFrame, folder: Path) -> str:
    return "\n".join(map(str, checked(table, folder).problems))


def put(
    column: str, value: object, rows: slice | list[int] = slice(3, 4)
) -> Callable[[pd.DataFrame], pd.DataFrame]:
    """What makes a table wrong: a value in some rows of a column."""

    def changed(table: pd.DataFrame) -> pd.DataFrame:
        table = table.astype({column: object})
        table.loc[table.index[rows], column] = value
        return table

    return changed


# ruff: noqa: E501  (a table)
WRONG: dict[str, tuple[Callable[[pd.DataFrame], pd.DataFrame], list[str]]] = {
    "an empty cell": (put("image", ""), ["nothing stands in the column image (1)", "line 5"]),
    "a seed": (put("seed", "one"), ["a seed is a whole number from 0 to 9999 (1)", 'line 5: seed = "one"']),
    "a label": (put("label", "cow"), ['a label is one of the classes ["cat", "dog", "owl"] (1)', 'line 5: label = "cow"']),
    "no number": (put("p_dog", ""), ["a cell of a probability holds no number (1)", "line 5: p_dog"]),
    "NaN": (put("p_dog", float("nan")), ["a cell of a probability holds no number (1)", "line 5: p_dog"]),
    "logits": (put("p_dog", 3.5), ["outside 0 to 1: give softmax's output, not logits (1)", "line 5: p_dog = 3.5"]),
    "a sum": (
        lambda table: put("p_dog", 0.25)(put("p_cat", 0.25)(put("p_owl", 0.25)(table))),
        ["probabilities of a row add up to 1 (1)", "line 5: 0.75"],
    ),
    "two labels": (
        put("label", "dog", [60]),
        ['an image of a set has one label (1)', 'line 62: image local-000.png of local has the label "dog", but "cat" in line 2'],
    ),
    "a row twice": (
        lambda table: pd.concat([table, table[5:6]]),
        ["a trial says each image once", "line 362: arm plain, seed 0, image local-005.png, of local"],
    ),
    "a missing image": (
        lambda table: table.drop(index=[61, 62]),
        ["images are missing that other trials have", "2 in all (1)", "arm plain, seed 1: local-001.png, local-002.png, 2 of 60 images of local"],
    ),
    "a missing seed": (
        lambda table: table[~((table.arm == "mixup") & (table.seed == 2))],
        ["trials are missing that other arms have", "arm mixup, seed 2"],
    ),
    "a set's name": (put("set", "val"), ["a set's name is letters, digits, - and _", 'line 5: set = "val"']),
    "a status": (lambda table: put("status", "lost")(table.assign(status="")), ['a status is "done" or "diverged" (1)']),
    "some groups": (
        lambda table: table.assign(group=[f"p{i % 60 // 4}" if i % 60 else "" for i in range(len(table))]),
        ["some images of local have a group and these have none (6)"],
    ),
    "two groups": (
        lambda table: put("group", "other", [60])(table.assign(group=[f"p{i % 60 // 4}" for i in range(len(table))])),
        ['has the group "other", but "p0" in line 2'],
    ),
    "folds": (lambda table: table.assign(fold=table.seed + 1), ["folds are numbered from 0", "these are seeds [0, 1, 2]"]),
}  # fmt: skip


@pytest.mark.parametrize("kind", WRONG)
def test_each_mistake_is_told_with_its_row(tmp_path: Path, kind: str) -> None:
    spoil, says = WRONG[kind]
    found = problems(spoil(predicted()), tmp_path)
    for text in says:
        assert text in found


def test_a_row_whose_class_is_wrong_is_there_all_the_same(tmp_path: Path) -> None:
    for column, value in (("label", "cow"), ("p_dog", "")):
        assert len(checked(put(column, value)(predicted()), tmp_path).problems) == 1


def test_all_mistakes_are_told_together_and_only_they(tmp_path: Path) -> None:
    assert problems(predicted(), tmp_path) == ""
    table = put("label", "cow", slice(7, 8))(put("seed", "x", slice(9, 10))(predicted()))
    table = table.drop(index=[70]).astype({"p_cat": object})
    table.loc[80, "p_cat"] = 7.0
    kinds = [str(problem).partition("(")[0].strip() for problem in checked(table, tmp_path).problems]
    assert len(kinds) == 4
    assert [word for word in ("seed", "label", "probability", "missing") if any(word in k for k in kinds)] == [
        "seed", "label", "probability", "missing",
    ]  # fmt: skip


def test_of_very_many_mistakes_ten_are_shown_and_all_are_counted(tmp_path: Path) -> None:
    table = predicted()
    table[["p_cat", "p_dog", "p_owl"]] *= 3
    outside = int((table[["p_cat", "p_dog", "p_owl"]].to_numpy() > 1).sum())
    found = problems(table, tmp_path)
    assert found.count("line ") == 10
    assert f"({outside})" in found
    assert f"… and {outside - 10} more" in found


def test_the_order_of_rows_says_nothing(tmp_path: Path) -> None:
    table = predicted(sets={"local": 30, "lab": 20})
    first = checked(table, tmp_path).answers()
    shuffled = pd.concat([table[:1], table[1:].sample(frac=1, random_state=0)], ignore_index=True)
    second = checked(shuffled, tmp_path).answers()
    assert first
    assert second
    for one, other in zip(first.trials, second.trials, strict=True):
        assert one == other
        assert (first.sheet.cells["image"][one.rows] == second.sheet.cells["image"][other.rows]).all()
        assert (first.sheet.said[one.rows] == second.sheet.said[other.rows]).all()


def test_labels_may_be_numbers_of_the_columns(tmp_path: Path) -> None:
    table = predicted()
    named = checked(table, tmp_path).answers()
    table["label"] = table.label.map({"cat": 0, "dog": 1, "owl": 2})
    check = checked(table, tmp_path)
    numbered = check.answers()
    assert named
    assert numbered
    assert (named.labels == numbered.labels).all()
    assert any("from 0: 0 cat, 1 dog, 2 owl" in note for note in check.notes)


def test_answers_without_probabilities_and_numbers_as_classes_come_by_value(tmp_path: Path) -> None:
    table = answered(predicted())
    for name in ("label", "pred"):
        table[name] = table[name].map({"cat": 10, "dog": 9, "owl": 1})
    answers = checked(table, tmp_path).answers()
    assert answers
    assert answers.answers is not None
    assert answers.classes == ("1", "9", "10")
    assert ((answers.answers == answers.labels) == (table.label == table.pred).to_numpy()).all()


def test_a_run_that_diverged_needs_no_images(tmp_path: Path) -> None:
    table = predicted()
    lost = (table.arm == "mixup") & (table.seed == 1)
    told = pd.DataFrame({"arm": ["mixup"], "seed": [1], "status": ["diverged"]})
    answers = checked(pd.concat([table[~lost], told]), tmp_path).answers()
    assert answers
    assert [(t.arm, t.seed) for t in answers.trials if t.diverged] == [("mixup", 1)]
    empty = dict.fromkeys(("image", "label", "p_x", "p_y"), "")
    every = pd.DataFrame({"arm": ["a", "b"], "seed": 0, **empty, "status": "diverged"})
    assert "all diverged" in problems(every, tmp_path)


def test_pred_beside_probabilities_is_not_looked_at_and_that_is_said(tmp_path: Path) -> None:
    table = predicted().assign(pred="cat")
    check = checked(table, tmp_path)
    differ = int((table[["p_cat", "p_dog", "p_owl"]].to_numpy().argmax(1) != 0).sum())
    assert any(f"{differ:,} rows differ" in note for note in check.notes)
    assert np.array_equal(check.labels, checked(predicted(), tmp_path).labels)


def test_long_names_are_cut_wherever_they_are_told(tmp_path: Path) -> None:
    table = predicted()
    table["image"] += "x" * 100_000
    table["arm"] += "y" * 100_000
    table = pd.concat([table.drop(index=[3, 70, 71]), table[5:6]])
    table.loc[9, "label"] = "dog" if table.label[9] != "dog" else "cat"
    told = problems(table, tmp_path)
    assert "images are missing" in told
    assert "1 of 60 images of local" in told
    assert len(told) < 4000


def test_an_unclosed_quote_is_told_in_few_words(tmp_path: Path) -> None:
    file = write(predicted(), tmp_path / "a.csv")
    file.write_text(file.read_text().replace("local-001.png", '"local-001.png'))
    told = "\n".join(map(str, Check(read([file])).problems))
    assert len(told) < 4000


def test_more_conditions_than_can_be_numbered_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(room, "MOST_CONDITIONS", 59)
    table = predicted()
    table["condition"] = table.image
    assert "local has 60 different conditions; at most 59 can be" in problems(table, tmp_path)
    monkeypatch.setattr(room, "MOST_CONDITIONS", 60)
    assert not problems(table, tmp_path)
