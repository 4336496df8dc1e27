"""What a study's folder and its trials hold, as docs/results-format.md describes it."""

import json
import re
import tomllib
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

Row = dict[str, Any]
"""A line of a table, by the names of its columns."""
LOCAL = "local"
AGAIN = 10_000
"""What the seed of a baseline's A/A run is above that of the replicate it repeats."""


@dataclass(frozen=True)
class Answers:
    """One trial's answers to one scored set."""

    probabilities: np.ndarray
    """(N, K) float64, of the stored float16."""
    labels: np.ndarray
    """(N,) integers."""
    ids: np.ndarray
    """(N,) the images' hashes: copies of an image share one."""
    groups: np.ndarray | None
    """(N,) the number of each image's patient, slide or donor, where known."""
    conditions: np.ndarray | None = None
    """(N,) what was done to each image of a corrupted set, `family/severity`, where that is known."""

    @property
    def items(self) -> np.ndarray:
        """(N,) what intervals are over: the images, or their groups where these are known."""
        return self.ids if self.groups is None else self.groups

    def of(self, chosen: np.ndarray) -> "Answers":
        """Those of the images that are chosen (N,)."""
        groups, conditions = (None if x is None else x[chosen] for x in (self.groups, self.conditions))
        return Answers(self.probabilities[chosen], self.labels[chosen], self.ids[chosen], groups, conditions)


class Trial:
    """A replicate or a candidate's training run: its record, history and predictions."""

    def __init__(self, trials: Path, planned: dict[str, Any]) -> None:
        self.id: str = planned["id"]
        self.seed: int = planned["seed"]
        self.fold: int | None = planned["fold"]
        self.folder = trials / self.id
        self.keys = {LOCAL if name == "test" else name: key for name, key in planned["sets"].items()}
        self._answers: dict[str, Answers] = {}
        self.rows: dict[tuple[str, str], np.ndarray | None] = {}
        """What has been worked out of it: key of a set, score → a number for each item."""
        self.parts: dict[Any, Trial] = {}
        """The trial as it looks on some images alone, by which these are."""

    @cached_property
    def record(self) -> dict[str, Any]:
        """record.json; empty where there is none."""
        try:
            return dict(json.loads((self.folder / "record.json").read_text()))
        except FileNotFoundError:
            return {}

    @cached_property
    def history(self) -> list[dict[str, Any]]:
        """history.jsonl: an entry for each evaluation."""
        return [json.loads(line) for line in (self.folder / "history.jsonl").read_text().splitlines()]

    @property
    def done(self) -> bool:
        return self.record.get("status") == "done"

    @property
    def diverged(self) -> bool:
        return self.record.get("status") == "diverged"

    @property
    def little(self) -> bool:
        """Done, and marked: little was learned."""
        return self.done and bool(self.record.get("little_learned"))

    @property
    def replicate(self) -> tuple[int, int | None]:
        """What makes a pair of it and another arm's; of an A/A run what it repeats."""
        return self.seed % AGAIN, self.fold

    @property
    def steps(self) -> int:
        return sum(stage["steps"] for stage in self.record["training"])

    @property
    def epochs(self) -> float:
        return float(sum(stage["epochs"] for stage in self.record["training"]))

    @cached_property
    def _stored(self) -> Any:
        return np.load(self.folder / "predictions.npz", allow_pickle=False)

    def answers(self, key: str) -> Answers:
        """Of the set with this key, or of `val`."""
        if key not in self._answers:
            stored, names = self._stored, self._stored.files
            images = str(stored[f"{key}/images_of"]) if f"{key}/images_of" in names else key
            self._answers[key] = Answers(
                stored[f"{key}/probabilities"].astype(np.float64),
                stored[f"{images}/labels"],
                stored[f"{images}/ids"],
                stored[f"{images}/groups"] if f"{images}/groups" in names else None,
                stored[f"{key}/condition_names"][stored[f"{key}/conditions"]]
                if f"{key}/conditions" in names
                else None,
            )
        return self._answers[key]


@dataclass(frozen=True)
class Candidate:
    """One point of an arm's search."""

    number: int
    values: dict[str, Any]
    trials: list[Trial]


@dataclass(frozen=True)
class Search:
    """An arm's search, with the number of the candidate that was chosen."""

    arm: str
    candidates: list[Candidate]
    chosen: int
    pruned: list[int]
    finalists: list[Candidate]
    """The best of them, trained again with fresh seeds, which alone chose; none in older searches."""


class Study:
    """A study's folder: the file as used, the plan, and the trials of its arms."""

    def __init__(self, results: Path, name: str) -> None:
        self.name = name
        self.folder = results / name
        self.file: dict[str, Any] = tomllib.loads((self.folder / "study.toml").read_text())
        if "@" in name:  # one of the data sets of a file
            own = self.file["datasets"][name.partition("@")[2]]
            parts = {"data": own, "hidden": own.get("hidden", {})}
            self.file |= {key: self.file.get(key, {}) | part for key, part in parts.items()}
        self.plan: dict[str, Any] = json.loads((self.folder / "plan.json").read_text())
        trials = results / "trials"
        self.arms = self._arms(trials, "arms")
        self.shared = self._arms(trials, "shared")
        self.baseline: str = self.plan["baseline"]
        again = self.plan.get("again") or {"trials": []}
        self.again = [Trial(trials, planned) for planned in again["trials"]]
        self.searches = [
            Search(
                search["arm"],
                _candidates(trials, search["candidates"]),
                search["chosen"],
                search["pruned"],
                _candidates(trials, search.get("finalists", [])),
            )
            for search in self.plan.get("searches", [])
        ]

        self._refuse()

    def _refuse(self) -> None:
        """What no definition here is for yet."""
        finals = [trial for trials in self.arms.values() for trial in trials]
        beside = [trial for trials in (*self.shared.values(), self.again) for trial in trials]
        odd = any(not trial.done or trial.little for trial in (*finals, *beside))
        reasons = {
            "trials that failed or are missing": not all(one.done or one.diverged for one in finals),
            "trials beside the arms' that are not done": not all(trial.done for trial in beside),
            "screens with trials that are no plain result": self.file.get("design") == "screen" and odd,
            "arms that a program trains": any(
                trial.record.get("recipe", {}).get("command") for trial in (*finals, *beside)
            ),
            "searches that go on": not all(one["ended"] for one in self.plan.get("searches", [])),
        }
        if found := [reason for reason, there in reasons.items() if there]:
            raise NotImplementedError(f"{self.name}: {', '.join(found)}")

    def _arms(self, trials: Path, part: str) -> dict[str, list[Trial]]:
        return {
            arm["label"]: [Trial(trials, planned) for planned in arm["trials"]]
            for arm in self.plan.get(part) or []
        }

    def grouped(self, name: str) -> str:
        """What the groups of a set are called; empty where its images count."""
        trial = next(trial for trials in self.arms.values() for trial in trials if trial.done)
        if trial.answers(trial.keys[name]).groups is None:
            return ""
        hidden = self.file.get("hidden", {}).get(name, {})
        own = hidden if hidden.get("kind") == "external" else self.file["data"]
        column = own.get("groups")
        plain = isinstance(column, str) and column != "folder" and re.fullmatch(r"[a-z]+(?<!s)", column)
        return f"{column}s" if plain else "groups"

    @property
    def mark(self) -> str:
        """What stands behind the effect of arms that were tuned apart."""
        return "§" if sum(search.chosen is not None for search in self.searches) > 1 else ""

    def has(self, table: str) -> bool:
        """Whether the report has a table: reports that are older than it lack its sentences too."""
        return (self.folder / "tables" / f"{table}.csv").exists()

    def has_column(self, table: str, column: str) -> bool:
        """Whether a table has a column that older reports lack."""
        with (self.folder / "tables" / f"{table}.csv").open(encoding="utf-8") as file:
            return column in file.readline().rstrip("\n").split(",")

    @cached_property
    def declared(self) -> dict[str, Any]:
        """declared.json; empty in studies that are older than it."""
        try:
            return dict(json.loads((self.folder / "declared.json").read_text(encoding="utf-8")))
        except FileNotFoundError:
            return {}

    @cached_property
    def slices(self) -> dict[str, dict[str, dict[str, np.ndarray]]]:
        """slices.npz: set → column → value → ids (M,) of the images that have it, in the file's order."""
        found: dict[str, dict[str, dict[str, np.ndarray]]] = {}
        if not self.file.get("slices"):
            return found
        with np.load(self.folder / "slices.npz", allow_pickle=False) as stored:
            for name, columns in self.file["slices"].items():
                found[name] = {}
                for column in columns:
                    codes = stored[f"{name}/codes of {column}"]
                    values = enumerate(stored[f"{name}/names of {column}"])
                    ids = stored[f"{name}/ids"]
                    found[name][column] = {str(value): ids[codes == k] for k, value in values}
        return found

    @cached_property
    def mirrored_once(self) -> bool:
        """Whether a comparison told from both sides is one hypothesis: so in all but old reports."""
        return "declared.json" in (self.folder / "report.md").read_text(encoding="utf-8")

    @cached_property
    def shares(self) -> bool:
        """Whether comparisons lend each other the variance of their seeds: so in all but old reports."""
        return self.has("evidence")

    @property
    def folds(self) -> int | None:
        """k of a cross-validation."""
        return self.file.get("replicates", {}).get("k")

    @property
    def looks(self) -> list[int]:
        """Numbers of seeds after which the comparisons were judged; none where they were judged once."""
        return list(self.plan.get("looks") or [])

    @property
    def sets(self) -> list[str]:
        """The scored sets: the local one, then the hidden ones in the order of the file."""
        return [LOCAL, *self.file.get("hidden", {})]

    @cached_property
    def elsewhere(self) -> bool:
        """Whether predictions were handed in: nothing was trained here."""
        return bool(self.finished(self.baseline)[0].record["recipe"]["model"]["name"] == "elsewhere")

    @property
    def hidden(self) -> str | None:
        """The first hidden set."""
        return self.sets[1] if len(self.sets) > 1 else None

    @property
    def gap_set(self) -> str:
        """The hidden set that gaps are taken to: the primary metric's, else the first; empty: none."""
        return self.primary_set if self.primary_set in self.sets[1:] else self.hidden or ""

    @property
    def primary(self) -> str:
        return str(self.file.get("primary", f"{self.hidden or LOCAL}.accuracy"))

    @property
    def primary_set(self) -> str:
        return self.primary.split(".")[0]

    def delta(self, name: str) -> float:
        """The difference that matters on a set, a fraction."""
        given = {"local": 0.5, "hidden": 1.0} | self.file.get("delta", {})
        return float(given["local" if name == LOCAL else "hidden"]) / 100

    @cached_property
    def further(self) -> list[Trial]:
        """Of the baseline those with seeds that no other arm has; looks give it what its arms need."""
        if not self.file.get("baseline_seeds") or self.looks:
            return []
        others = {trial.replicate for arm in self.arms for trial in self.arms[arm] if arm != self.baseline}
        return [trial for trial in self.arms[self.baseline] if trial.replicate not in others]

    @property
    def repeated(self) -> str:
        """What the baseline that was trained again is called; empty where it was not."""
        return f"{self.baseline} again (A/A)" if self.again else ""

    def trials(self, arm: str) -> list[Trial]:
        """All replicates of an arm, or of the baseline that was trained again."""
        return self.again if arm == self.repeated else self.arms[arm]

    def finished(self, arm: str) -> list[Trial]:
        return [trial for trial in self.trials(arm) if trial.done]

    @cached_property
    def classes(self) -> list[str]:
        return list(self.finished(self.baseline)[0].record["classes"])


def _candidates(trials: Path, planned: list[dict[str, Any]]) -> list[Candidate]:
    return [
        Candidate(one["number"], one["values"], [Trial(trials, each) for each in one["trials"]])
        for one in planned
    ]
