"""What single cells of a table of predictions name, and what is wrong with them."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import TYPE_CHECKING

from bench.elsewhere.answers import LOCAL, SHOWN, Problem
from bench.elsewhere.files import P, Sheet
from bench.errors import MOST_LINE, cut, printable, shorten
from bench.recipe import HIDDEN_NAME
from bench.study.checks import NOT_SETS
from bench.study.file import REPLICATE_SEEDS
from bench.study.read import LOCAL_SET

if TYPE_CHECKING:
    from typing import Any

    import numpy as np
    from numpy.typing import NDArray

    from bench.elsewhere.answers import Chosen, Codes

    Index = NDArray[np.signedinteger[Any]]

TOLERANCE = 0.01
"""How far probabilities may be from adding up to 1: many classes are often written with few digits."""
ROUNDING = 1e-6
"""How far one may be outside 0 to 1."""
WHOLE = re.compile(r"\d{1,9}")
ENDS = ("", "done", "diverged")


class Cells:
    """The columns of a sheet as numbers, with every mistake of a single row."""

    def __init__(self, sheet: Sheet, local: str) -> None:
        """local: the set that is the local test set; ``local`` and ``test`` mean it too."""
        import numpy as np

        self.sheet, self.problems = sheet, list[Problem]()
        self.rows = len(sheet.number)
        self.text = {name: self._numbered(name) for name in sheet.cells}
        self.arms: tuple[str, ...] = tuple(filter(None, self.text["arm"][1]))
        """In the order in which they come."""
        self.notes: tuple[str, ...] = ()
        """What a person may not expect."""
        if sheet.unused:
            unused = cut(", ".join(map(printable, sheet.unused)), MOST_LINE)
            self.notes += (f"columns that are not used: {unused}",)
        self.ok = np.ones(self.rows, bool)
        """(N,) rows whose names can be used."""
        self.diverged = self._diverged()
        self._check_filled()
        self.seed, self.fold = self._whole("seed"), self._whole("fold")
        self.sets, self.set_of = self._sets(local)
        self.classes = sheet.classes or self._classes()
        self.labels = self._class_numbers("label")
        self.said = None if sheet.classes else self._class_numbers("pred")
        self._check_probabilities()

    def _numbered(self, name: str) -> tuple[Codes, list[str]]:
        """A column's codes (N,) and what they stand for, in the order in which it comes."""
        import pandas as pd

        codes, known = pd.factorize(self.sheet.cells[name])
        return codes.astype("int64"), [str(each) for each in known]

    def _add(self, what: str, rows: Chosen | Index, tell: Callable[[int], str] | None = None) -> None:
        """Keep what is wrong with rows, a mask (N,) or their numbers; tell: what stands behind the place."""
        import numpy as np

        array = np.asarray(rows)
        places = np.flatnonzero(array) if array.dtype == bool else array
        if len(places):
            told = [
                self.sheet.place(int(row)) + (f": {tell(k)}" if tell else "")
                for k, row in enumerate(places[:SHOWN])
            ]
            self.problems.append(Problem(what, tuple(told), len(places)))

    def _add_cells(self, what: str, name: str, rows: Chosen) -> None:
        """The same with what stands in a column."""
        import numpy as np

        cells = self.sheet.cells[name][rows]
        self._add(what, np.asarray(rows), lambda k: f"{name} = {shorten(cells[k])}")

    def _is(self, name: str, wanted: str) -> Chosen:
        """Rows (N,) whose cell is ``wanted``; where there is no such column all are empty."""
        import numpy as np

        if name not in self.text:
            return np.full(self.rows, wanted == "")
        codes, known = self.text[name]
        found: Chosen = codes == (known.index(wanted) if wanted in known else -1)
        return found

    def _diverged(self) -> Chosen:
        import numpy as np

        if "status" in self.text:
            codes, known = self.text["status"]
            odd = np.isin(codes, [k for k, word in enumerate(known) if word not in ENDS])
            self._add_cells('a status is "done" or "diverged"', "status", odd)
            self.ok &= ~odd
        return self._is("status", "diverged")

    def _check_filled(self) -> None:
        for name in ("arm", "seed", "image", "label", "set", "fold"):
            if name in self.text:
                empty = self._is(name, "") & ~(self.diverged & (name not in ("arm", "seed", "fold")))
                self._add(f"nothing stands in the column {name}", empty)
                self.ok &= ~empty

    def _whole(self, name: str) -> Codes:
        """Numbers (N,) of a column of whole numbers; 0 where there is none, or no number."""
        import numpy as np

        if name not in self.text:
            return np.zeros(self.rows, np.int64)
        codes, known = self.text[name]
        values = [int(cell) if WHOLE.fullmatch(cell) else -1 for cell in known]
        numbers = np.array(values, np.int64)[codes]
        odd = self.ok & ((numbers < 0) | (numbers >= REPLICATE_SEEDS))
        self._add_cells(f"a {name} is a whole number from 0 to {REPLICATE_SEEDS - 1}", name, odd)
        self.ok &= ~odd
        return np.where(self.ok, numbers, 0)

    def _sets(self, local: str) -> tuple[tuple[str, ...], Codes]:
        """Names of the sets, the local one first, and which of them each row is of."""
        import numpy as np

        if "set" not in self.text:
            return (LOCAL,), np.zeros(self.rows, np.int64)
        codes, known = self.text["set"]
        called = [LOCAL if name in (LOCAL, LOCAL_SET, local) else name for name in known]
        wrong = [
            bool(name) and name != LOCAL and (name in NOT_SETS or not re.fullmatch(HIDDEN_NAME, name))
            for name in called
        ]
        odd = np.array(wrong, bool)[codes] & self.ok & ~self.diverged
        what = f"a set's name is letters, digits, - and _, and none of {', '.join(NOT_SETS[2:])}"
        self._add_cells(what, "set", odd)
        self.ok &= ~odd
        sound = [name for name, bad in zip(called, wrong, strict=True) if name and not bad]
        names = tuple(sorted(dict.fromkeys(sound), key=lambda name: name != LOCAL))
        place = {name: k for k, name in enumerate(names)}
        return names, np.array([place.get(name, 0) for name in called], np.int64)[codes]

    # -- classes -------------------------------------------------------------------------------------------

    def _classes(self) -> tuple[str, ...]:
        """All labels and answers: whole numbers by value, others by the alphabet."""
        used = self.ok & ~self.diverged
        names = {cell for name in ("label", "pred") for cell in set(self.sheet.cells[name][used])} - {""}
        if len(names) < 2:
            what = f"every label and answer is {shorten(sorted(names))}: nothing can be told apart"
            self.problems.append(Problem(what))
        by_value = all(map(WHOLE.fullmatch, names))
        return tuple(sorted(names, key=(lambda name: (int(name), name)) if by_value else None))

    def _class_numbers(self, name: str) -> Codes:
        """Number (N,) of each row's class, −1 of none; cells that are numbers of classes count as these."""
        import numpy as np

        codes, known = self.text[name]
        place = {label: k for k, label in enumerate(self.classes)}
        numbers = {str(k): k for k in range(len(self.classes))}
        cells = {cell for cell in known if cell}
        if cells and not cells & set(place) and cells <= set(numbers):
            place = numbers
            order = ", ".join(f"{k} {cut(each)}" for k, each in enumerate(self.classes[:8]))
            self.notes += (f"labels are numbers of the columns of probabilities, from 0: {order}",)
        found = np.array([place.get(cell, -1) for cell in known], np.int64)[codes]
        odd = self.ok & ~self.diverged & (found < 0)
        self._add_cells(f"a {name} is one of the classes {shorten(list(self.classes), 200)}", name, odd)
        return found

    def _check_probabilities(self) -> None:
        import numpy as np

        if not self.sheet.classes:
            return
        said, used = self.sheet.said, ~self.diverged
        none = np.isnan(said) & used[:, None]
        rows, places = np.nonzero(none)
        called = [P + cut(name) for name in self.classes]
        self._add("a cell of a probability holds no number", rows, lambda k: called[places[k]])
        outside = (said < -ROUNDING) | (said > 1 + ROUNDING)  # no NaN is
        rows, at = np.nonzero(outside & used[:, None])
        self._add(
            "a probability lies outside 0 to 1: give softmax's output, not logits",
            rows,
            lambda k: f"{called[at[k]]} = {said[rows[k], at[k]]:.6g}",
        )
        sums = said.sum(axis=1)
        apart = np.flatnonzero(used & ~(none | outside).any(axis=1) & (abs(sums - 1) > TOLERANCE))
        self._add("probabilities of a row add up to 1", apart, lambda k: f"{sums[apart[k]]:.4g}")
        if "pred" in self.text:
            answers = self._class_numbers("pred")
            differ = int((used & (answers != np.nan_to_num(said, nan=-1.0).argmax(1))).sum())
            if differ:
                self.notes += (
                    f"pred is not looked at where there are probabilities; {differ:,} rows differ",
                )
