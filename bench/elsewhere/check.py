"""A table of predictions, checked as a whole: whether its rows agree, and whether every trial is complete."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cached_property
from typing import TYPE_CHECKING

from bench.elsewhere.answers import LOCAL, SHOWN, Answers, Problem, Trial
from bench.elsewhere.cells import Cells
from bench.elsewhere.files import Sheet
from bench.errors import cut, shorten
from bench.study.file import REPLICATE_SEEDS

if TYPE_CHECKING:
    from bench.elsewhere.answers import Chosen, Codes

NAMED = 3
"""Images that a missing cell names."""
MOST_FOLDS = 20
MOST_CONDITIONS = 2**15
"""Of a set: as many as ``Predictions.conditions`` numbers."""
At = tuple[int, int, int]
"""Code of an arm, seed, fold (0 without folds)."""


class Check(Cells):
    """One pass over a sheet that collects every mistake before it gives up."""

    def __init__(self, sheet: Sheet, local: str = LOCAL) -> None:
        """local: as in ``Cells``."""
        super().__init__(sheet, local)
        self.seeds = tuple(sorted(set(self.seed[self.ok].tolist())))
        self.folds = len(set(self.fold[self.ok].tolist())) if "fold" in self.text else None

    def answers(self) -> Answers | None:
        """What the sheet says; None where something is wrong, which ``problems`` has then."""
        used = self.ok & ~self.diverged
        self._check_twice(used)
        self._check_agreement("label", self.labels, used & (self.labels >= 0))
        self._check_groups(used)
        self._check_conditions(used)
        if self.folds is not None:
            self._check_folds(used)
        self._check_complete(used)
        if self.problems:
            return None
        trials = tuple(self._trials())
        return Answers(
            self.sheet, self.sets, self.classes, trials, self.labels, self.said, self.set_of, self.by_fold
        )

    @property
    def grouped(self) -> tuple[str, ...]:
        """Sets of which the groups of images are known."""
        known = self.ok & ~self.diverged & ~self._is("group", "")
        return tuple(name for k, name in enumerate(self.sets) if known[self.set_of == k].any())

    @cached_property
    def by_fold(self) -> frozenset[str]:
        """Sets of which no two folds have an image in common: the local one, and what is made of it."""
        if self.folds is None:
            return frozenset()
        of = {LOCAL}
        for place, name in enumerate(self.sets):
            rows = self.ok & ~self.diverged & (self.set_of == place)
            items = set(self._item[rows].tolist())
            pairs = set(zip(self._item[rows].tolist(), self.fold[rows].tolist(), strict=True))
            of |= {name} if len(pairs) == len(items) else set()
        return frozenset(of)

    # -- rows of one image ---------------------------------------------------------------------------------

    @cached_property
    def _item(self) -> Codes:
        """Number (N,) of each row's image within its set; copies of an image share it."""
        images = self.text["image"][0]
        items: Codes = self.set_of * (images.max(initial=0) + 1) + images
        return items

    @cached_property
    def _copy(self) -> Codes:
        """The same (N,) of each copy of an image by itself."""
        if "condition" not in self.text:
            return self._item
        conditions = self.text["condition"][0]
        copies: Codes = self._item * (conditions.max(initial=0) + 1) + conditions
        return copies

    @cached_property
    def _trial(self) -> tuple[Codes, list[At]]:
        """Number (N,) of each row's trial; and what each is."""
        import numpy as np

        most = REPLICATE_SEEDS
        of = (self.text["arm"][0] * most + self.seed) * most + self.fold
        known, numbers = np.unique(of, return_inverse=True)
        return numbers, [(at // most**2, at // most % most, at % most) for at in known.tolist()]

    def _check_twice(self, used: Chosen) -> None:
        import numpy as np
        import pandas as pd

        rows = np.flatnonzero(used)
        mine = pd.DataFrame({"trial": self._trial[0][rows], "copy": self._copy[rows]})
        again = rows[mine.duplicated().to_numpy()]
        cells = self.sheet.cells
        self._add(
            "a trial says each image once; copies of one are told apart by a column condition",
            again,
            lambda k: (
                ", ".join(f"{name} {cut(cells[name][again[k]])}" for name in ("arm", "seed", "image"))
                + f", of {self.sets[self.set_of[again[k]]]}"
            ),
        )

    def _check_agreement(self, name: str, values: Codes, used: Chosen) -> None:
        """That all rows of an image of a set say the same of it."""
        import numpy as np

        rows = np.flatnonzero(used)
        _, first, place = np.unique(self._item[rows], return_index=True, return_inverse=True)
        before = rows[first[place]]
        differ = values[rows] != values[before]
        late, early, cells = rows[differ], before[differ], self.sheet.cells
        self._add(
            f"an image of a set has one {name}",
            late,
            lambda k: (
                f"image {cut(cells['image'][late[k]])} of {self.sets[self.set_of[late[k]]]} has the {name} "
                f"{shorten(cells[name][late[k]])}, but {shorten(cells[name][early[k]])} in "
                f"{self.sheet.place(int(early[k]))}"
            ),
        )

    def _check_groups(self, used: Chosen) -> None:
        if "group" not in self.text:
            return
        empty, codes = self._is("group", ""), self.text["group"][0]
        for name in self.grouped:
            mine = used & (self.set_of == self.sets.index(name))
            self._add(f"some images of {name} have a group and these have none", mine & empty)
        self._check_agreement("group", codes, used & ~empty)

    def _check_conditions(self, used: Chosen) -> None:
        import numpy as np

        codes = self.text["condition"][0] if "condition" in self.text else np.zeros(self.rows, np.int64)
        for place, name in enumerate(self.sets):
            count = len(np.unique(codes[used & (self.set_of == place)]))
            if count > MOST_CONDITIONS:
                what = f"{name} has {count:,} different conditions; at most {MOST_CONDITIONS:,} can be"
                self.problems.append(Problem(what))

    def _check_folds(self, used: Chosen) -> None:
        folds = sorted(set(self.fold[self.ok].tolist()))
        if folds != list(range(len(folds))) or not 2 <= len(folds) <= MOST_FOLDS:
            what = f"folds are numbered from 0, 2 to {MOST_FOLDS} of them; these are {shorten(folds)}"
            self.problems.append(Problem(what))
        if len(self.seeds) > 1:
            what = f"folds are the replicates, of one seed; these are seeds {shorten(self.seeds)}"
            self.problems.append(Problem(what))
        if LOCAL in self.sets:
            self._check_agreement("fold", self.fold, used & (self.set_of == 0))
        else:
            what = "with folds each local image is a test image of one fold; no set is called local"
            self.problems.append(Problem(what))

    # -- whole trials --------------------------------------------------------------------------------------

    def _check_complete(self, used: Chosen) -> None:
        """That every arm has every seed (and fold), and every trial every image of every set."""
        number, known = self._trial
        sound = sorted(set(number[self.ok].tolist()))
        self._check_replicates({known[k] for k in sound})
        ended = {k: set(self.diverged[number == k].tolist()) for k in sound}
        mixed = [self._called(known[k]) for k, kinds in ended.items() if len(kinds) > 1]
        self._lines("a trial that diverged has one row, without an image", mixed)
        trained = [k for k, kinds in ended.items() if False in kinds]
        replicates = {known[k][1:] for k in sound} if self.folds is not None else {(0, 0)}
        if len({known[k][1:] for k in trained} if self.folds is not None else trained[:1]) < len(replicates):
            self.problems.append(Problem("of some replicate no trial says anything: all diverged"))
        lines, cells = [], 0
        for place, name in enumerate(self.sets):
            mine = used & (self.set_of == place)
            for line, count in self._lacking(mine, trained, by_fold=name in self.by_fold):
                lines.append(f"{line} of {name}")
                cells += count
        what = "images are missing that other trials have; test images that each seed draws anew cannot be "
        self._lines(f"{what}paired: fix them, or use fold; {cells:,} in all", lines)

    def _check_replicates(self, there: set[At]) -> None:
        replicates = sorted({at[1:] for at in there})
        every = [(arm, *at) for arm in sorted({arm for arm, *_ in there}) for at in replicates]
        missing = [self._called(at) for at in every if at not in there]
        self._lines("trials are missing that other arms have; give every arm the same seeds", missing)

    def _lines(self, what: str, lines: Sequence[str]) -> None:
        if lines:
            self.problems.append(Problem(what, tuple(lines[:SHOWN]), len(lines)))

    def _lacking(self, mine: Chosen, trials: Sequence[int], *, by_fold: bool) -> Iterator[tuple[str, int]]:
        """A line for each trial that lacks images of a set, and how many.

        mine      rows (N,) of the set
        by_fold   of which each fold has its own images
        """
        import numpy as np

        number, known = self._trial
        rows = np.flatnonzero(mine)
        items, first, item = np.unique(self._copy[rows], return_index=True, return_inverse=True)
        place = np.full(len(known), -1)
        place[list(trials)] = np.arange(len(trials))
        there = np.zeros((len(trials), len(items)), bool)
        there[place[number[rows]], item] = True
        folds = self.fold[rows[first]]
        for k, trial in enumerate(trials):
            wanted = folds == known[trial][2] if by_fold else np.ones(len(items), bool)
            lacking = np.flatnonzero(wanted & ~there[k])
            if len(lacking):
                named = [cut(str(self.sheet.cells["image"][rows[first[i]]])) for i in lacking[:NAMED]]
                more = ", …" if len(lacking) > NAMED else ""
                count = f"{len(lacking):,} of {int(wanted.sum()):,} images"
                yield f"{self._called(known[trial])}: {', '.join(named)}{more}, {count}", len(lacking)

    def _called(self, at: At) -> str:
        fold = f", fold {at[2]}" if self.folds is not None else ""
        return f"arm {cut(self.text['arm'][1][at[0]])}, seed {at[1]}{fold}"

    def _trials(self) -> Iterator[Trial]:
        """Arm by arm, by seed and fold; each with its rows by set, image and condition."""
        import numpy as np

        number, known = self._trial
        keys = []
        for name in ("condition", "image"):
            if name in self.text:
                codes, names = self.text[name]
                keys.append(np.argsort(np.argsort(np.array(names)))[codes])
        order = np.lexsort((*keys, self.set_of, number))
        bounds = np.searchsorted(number[order], np.arange(len(known) + 1))
        for k, at in enumerate(known):
            rows = order[bounds[k] : bounds[k + 1]]
            diverged = bool(self.diverged[rows].any())
            arm, fold = self.text["arm"][1][at[0]], at[2] if self.folds is not None else None
            yield Trial(arm, at[1], fold, rows[:0] if diverged else rows, diverged)
