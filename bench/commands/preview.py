"""``bench data preview``: contact sheets of what a study shows its models, by the same doors a trial uses."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING, get_args

import numpy as np

from bench.commands.preview_parts import DRAWS, balanced, draws, framed, longest, mixture, spread, written
from bench.data.reader import open_source
from bench.data.reading import square
from bench.machine import Machine
from bench.plan import Plan, Run, ScoredSet
from bench.progress.terminal import Terminal
from bench.recipe import Corrupted, Data
from bench.run.planning import prepare, store_of

if TYPE_CHECKING:
    from PIL.Image import Image

    from bench.data.images import Development, Index, Pixels, Samples
    from bench.data.sheets import Strip

SHOWN = 32
"""Images of a side or a hidden set."""
AUGMENTED = 16
LONGEST = 8
"""Images that show how they become square."""
BASES = 2
"""Base images on which every corruption and severity is shown."""
MOST_SHEETS = 64
"""Sheets of augmentations; a grid may have hundreds of arms."""

Sheet = tuple[str, Callable[[], "Image"]]
"""A file's stem, and what draws it."""


def preview(path: Path, machine: Machine, terminal: Terminal, out: Path | None = None) -> list[Path]:
    """Write the contact sheets of the study at ``path``; return the files. Raises UserError."""
    from bench.data import sheets

    plan = prepare(path, machine)
    folder = out or store_of(machine).study_dir(plan.study.name) / "preview"
    show = _Show(plan, machine.cache, terminal)
    planned = _unlike(
        [*show.splits(), *show.fits(), *show.balances(), *show.augmentations(), *show.hidden_sets()]
    )
    files = []
    with terminal.counting("drawing sheets") as count:
        for done, (stem, draw) in enumerate(planned):
            count(done, len(planned))
            files.append(sheets.save(draw(), folder / f"{stem}.png"))
        count(len(planned), len(planned))
    return files


def _unlike(planned: Sequence[Sheet]) -> list[Sheet]:
    """The sheets with file names that differ even where case does not count."""
    taken: set[str] = set()
    named = []
    for stem, draw in planned:
        name, number = stem, 1
        while name.lower() in taken:
            number += 1
            name = f"{stem}-{number}"
        taken.add(name.lower())
        named.append((name, draw))
    return named


def slug(text: str) -> str:
    """A label as part of a file name: letters, digits, - and _ only."""
    return re.sub(r"[^A-Za-z0-9_-]+", "-", text).strip("-")[:60] or "unnamed"


@dataclass(frozen=True)
class _Show:
    """A study whose images are looked at: those of the baseline's first replicate."""

    plan: Plan
    cache: Path
    terminal: Terminal

    @cached_property
    def runs(self) -> dict[str, Run]:
        """The first replicate of each arm."""
        first: dict[str, Run] = {}
        for run in self.plan.runs:
            first.setdefault(run.arm, run)
        return first

    @property
    def baseline(self) -> Run:
        """The baseline's first replicate."""
        return self.runs[self.plan.study.baseline]

    @cached_property
    def development(self) -> Development:
        """What the baseline trains and selects on."""
        return self._development(self.baseline)

    def _development(self, run: Run) -> Development:
        from bench.data import provide

        with self.terminal.counting("decoding images") as count:
            return provide.development(run.trial, self.cache, count)

    def _held_out(self, scored: ScoredSet) -> Samples:
        from bench.data import provide

        return provide.held_out(self.baseline.trial, scored, self.cache)

    @cached_property
    def test(self) -> Samples:
        """The baseline's local test set."""
        return self._held_out(self.baseline.sets[0])

    def splits(self) -> Iterator[Sheet]:
        """Some images of each class from the three sides."""

        def draw() -> Image:
            made = self.development
            sides = {"train": made.train, "validation": made.val, "test": self.test}
            return self._sheet(
                f"splits, {self._replicate()}",
                [self._some(name, samples) for name, samples in sides.items()],
            )

        yield "splits", draw

    def fits(self) -> Iterator[Sheet]:
        """The longest images, and what each way to make them square shows of them."""
        trial = self.baseline.trial
        natives = longest(open_source(trial.data, trial.source), LONGEST)
        if natives:
            yield "fit", partial(self._fitted, natives)

    def _fitted(self, natives: Sequence[Pixels]) -> Image:
        from bench.data.sheets import Strip, Tile

        data = self.baseline.trial.data
        strips = [
            Strip("as they are; framed: the central square", tuple(Tile(framed(each)) for each in natives))
        ]
        for how in get_args(Data.model_fields["fit"].annotation):
            fill = data.fill if how == data.fit else "black"
            heading = (
                how
                + (f", {fill}" if how == "pad" else "")
                + (", as the study has it" if how == data.fit else "")
            )
            tiles = (Tile(square(each, data.size_px, how, fill)) for each in natives)
            strips.append(Strip(heading, tuple(tiles)))
        return self._sheet("how the longest of some images become square", strips)

    def _replicate(self) -> str:
        replicate = self.baseline.trial.replicate
        return f"seed {replicate.seed}" + (f", fold {replicate.fold}" if replicate.fold is not None else "")

    def _sheet(self, what: str, strips: Sequence[Strip], columns: int = AUGMENTED) -> Image:
        from bench.data import sheets

        return sheets.draw(f"{self.plan.study.name}: {what}", strips, columns)

    def _some(self, name: str, samples: Samples, count: int = SHOWN) -> Strip:
        index = spread(samples.labels, count)
        classes = len(np.unique(samples.labels))
        return self._strip(f"{name}: {len(samples):,} images of {classes} classes", samples, index)

    def _strip(self, heading: str, samples: Samples, index: Index, captions: Sequence[str] = ()) -> Strip:
        from bench.data.sheets import Strip, Tile

        names = captions or [self.development.classes[label] for label in samples.labels[index]]
        pixels = (np.asarray(samples.images[position]) for position in index)
        return Strip(heading, tuple(map(Tile, pixels, names)))

    def balances(self) -> Iterator[Sheet]:
        """Class counts before and after every kind of balance that an arm has."""
        from bench.data import sheets

        def draw() -> Image:
            train, names = self.development.train, self.development.classes
            counts = np.bincount(train.labels, minlength=len(names))
            groups = [("training split", list(zip(names, counts.tolist(), strict=True)))]
            for balance in dict.fromkeys(run.trial.recipe.balance for run in self.runs.values()):
                if balance != "none":
                    about, seen = balanced(balance, train.labels, len(names), self._seed())
                    groups.append((f"{balance}: {about}", list(zip(names, seen.tolist(), strict=True))))
            return sheets.draw_bars(f"{self.plan.study.name}: images of each class in an epoch", groups)

        yield "balance", draw

    def _seed(self) -> int:
        return self.baseline.trial.replicate.seed

    def augmentations(self) -> Iterator[Sheet]:
        """The same training images through every list of augmentations that an arm has."""
        arms: dict[str, list[Run]] = {}
        for run in self.runs.values():
            recipe = run.trial.recipe
            if recipe.augment:
                content = recipe.model_dump(mode="json", include={"augment", "augment_mode"})
                seen = run.trial.data.model_dump(include={"size_px", "fit", "fill"})
                arms.setdefault(json.dumps([content, seen]), []).append(run)
        if len(arms) > MOST_SHEETS:
            self.terminal.note(f"  {len(arms)} lists of augmentations, the first {MOST_SHEETS} are drawn")
        for alike in list(arms.values())[:MOST_SHEETS]:
            yield f"augment-{slug(alike[0].arm)}", partial(self._augmented, alike)

    def _augmented(self, alike: Sequence[Run]) -> Image:
        run = alike[0]
        base = self.development.train
        base_ids = base.ids[spread(base.labels, AUGMENTED)]
        same_data = run.trial.data == self.baseline.trial.data
        train = base if same_data else self._development(run).train
        position = {int(i): place for place, i in enumerate(train.ids)}
        index = np.array([position[int(i)] for i in base_ids if int(i) in position], dtype=np.int64)
        recipe = run.trial.recipe
        strips = [self._strip("as they are", train, index)]
        drawn = list(draws(recipe, train, index, self.development.classes, self._seed()))
        views = len(drawn) // DRAWS
        for number, (samples, captions) in enumerate(drawn):
            heading = f"draw {number // views + 1}"
            strips.append(self._strip(heading, samples, np.arange(len(index)), captions))
        arms = ", ".join(each.arm for each in alike[:3]) + (", …" if len(alike) > 3 else "")
        once = " (static: drawn once, before training)" if recipe.augment_mode == "static" else ""
        return self._sheet(f"{arms}{once}: {' · '.join(map(written, recipe.augment))}", strips)

    def hidden_sets(self) -> Iterator[Sheet]:
        """Images of every hidden set; of a corrupted one also every family at every severity."""
        for scored in self.baseline.sets[1:]:
            name = f"hidden-{slug(scored.name)}"
            if isinstance(scored.hidden, Corrupted):
                yield from self._corrupted(name, scored.name, scored.hidden, lambda: self.test)
            else:
                yield name, partial(self._whole, scored)
        shift = self.plan.study.val_shift
        if isinstance(shift, Corrupted):
            yield from self._corrupted("val_shift", "val_shift", shift, lambda: self.development.val)

    def _whole(self, scored: ScoredSet) -> Image:
        samples = self._held_out(scored)
        return self._sheet(f"hidden set {scored.name}", [self._some(scored.name, samples, 2 * SHOWN)])

    def _corrupted(
        self, stem: str, name: str, hidden: Corrupted, base: Callable[[], Samples]
    ) -> Iterator[Sheet]:
        yield stem, lambda: self._copies(name, hidden, base())
        yield f"{stem}-severities", lambda: self._severities(name, hidden, base())

    def _copies(self, name: str, hidden: Corrupted, base: Samples) -> Image:
        """Base images above their corrupted copies."""
        from bench.data.corrupted import corrupted_samples

        few = min(AUGMENTED, len(base), hidden.images or AUGMENTED)
        smaller = hidden.model_copy(update={"images": few})
        made = corrupted_samples(smaller, base, self.cache)
        first = {int(i): place for place, i in reversed(list(enumerate(base.ids)))}
        ids = list(dict.fromkeys(map(int, made.ids)))
        strips = [self._strip("as they are", base, np.array([first[i] for i in ids]))]
        if made.conditions is None:
            captions = [mixture(smaller, int(i), made.images.shape[3]) for i in made.ids]
            strips.append(self._strip("heavy-mix", made, np.arange(len(made)), captions))
        else:
            # One condition per base image, all over the list: the other sheet has every one.
            number = np.arange(len(ids)) * len(made.condition_names) // len(ids)
            index = number * len(ids) + np.arange(len(ids))
            captions = [made.condition_names[made.conditions[i]] for i in index]
            strips.append(self._strip("some of the conditions", made, index, captions))
        return self._sheet(f"hidden set {name}, {hidden.profile}", strips)

    def _severities(self, name: str, hidden: Corrupted, base: Samples) -> Image:
        """Every family at every severity, on the same few images."""
        from bench.corruptions.families import severities_of
        from bench.data.corrupted import corrupted_samples
        from bench.registry import corruptions

        few = min(BASES, len(base), hidden.images or BASES)
        grid = {"profile": "micro-c", "images": few, "severities": severities_of(hidden)}
        made = corrupted_samples(hidden.model_copy(update=grid), base, self.cache)
        assert made.conditions is not None
        by_family: dict[str, list[tuple[int, str]]] = {}
        for place, condition in enumerate(made.conditions):
            family, _, severity = made.condition_names[condition].partition("/")
            by_family.setdefault(family, []).append((place, severity))
        position = {int(i): place for place, i in enumerate(base.ids)}
        shown = dict.fromkeys(position[int(i)] for i in made.ids)
        strips = [self._strip("as they are", base, np.array(list(shown)))]
        for family, members in by_family.items():
            members.sort(key=lambda member: int(made.ids[member[0]]))
            index = np.array([place for place, _ in members])
            captions = [f"severity {severity}" for _, severity in members]
            heading = f"{family}: {corruptions[family].summary}"
            strips.append(self._strip(heading, made, index, captions))
        columns = 2 * few * len(severities_of(hidden)) + 1  # two families side by side
        return self._sheet(f"hidden set {name}, every corruption and severity", strips, columns)
