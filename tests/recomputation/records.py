"""What a study's folder and its trials hold, as docs/results-format.md describes it."""

import json
import tomllib
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

LOCAL = "local"


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


class Trial:
    """A replicate or a candidate's training run: its record, history and predictions."""

    def __init__(self, trials: Path, planned: dict[str, Any]) -> None:
        self.id: str = planned["id"]
        self.seed: int = planned["seed"]
        self.fold: int | None = planned["fold"]
        self.folder = trials / self.id
        self.keys = {LOCAL if name == "test" else name: key for name, key in planned["sets"].items()}
        self._answers: dict[str, Answers] = {}

    @cached_property
    def record(self) -> dict[str, Any]:
        """record.json; empty where there is none."""
        try:
            return dict(json.loads((self.folder / "record.json").read_text()))
        except FileNotFoundError:
            return {}

    @property
    def done(self) -> bool:
        return self.record.get("status") == "done"

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


class Study:
    """A study's folder: the file as used, the plan, and the trials of its arms."""

    def __init__(self, results: Path, name: str) -> None:
        self.name = name
        self.folder = results / name
        self.file: dict[str, Any] = tomllib.loads((self.folder / "study.toml").read_text())
        self.plan: dict[str, Any] = json.loads((self.folder / "plan.json").read_text())
        trials = results / "trials"
        self.arms = self._arms(trials, "arms")
        self.shared = self._arms(trials, "shared")
        self.baseline: str = self.plan["baseline"]
        self.searches = [
            Search(
                search["arm"],
                [
                    Candidate(
                        one["number"], one["values"], [Trial(trials, planned) for planned in one["trials"]]
                    )
                    for one in search["candidates"]
                ],
                search["chosen"],
                search["pruned"],
            )
            for search in self.plan.get("searches", [])
        ]

        self._refuse()

    def _refuse(self) -> None:
        """What no definition here is for yet."""
        finals = [trial for part in (self.arms, self.shared) for trials in part.values() for trial in trials]
        candidates = [trial for search in self.searches for one in search.candidates for trial in one.trials]
        reasons = {
            "folds": any(trial.fold is not None for trial in finals),
            "further seeds of the baseline": bool(self.file.get("baseline_seeds")),
            "several looks": bool(self.plan.get("looks")),
            "the baseline trained again": bool(self.plan.get("again")),
            "trials that are not done": not all(trial.done for trial in finals + candidates),
            "trials that learned little": any(trial.record.get("little_learned") for trial in finals),
            "finalists": any(search.get("finalists") for search in self.plan.get("searches", [])),
            "candidates cut short": any(search.pruned for search in self.searches),
        }
        if found := [reason for reason, there in reasons.items() if there]:
            raise NotImplementedError(f"{self.name}: {', '.join(found)}")

    def _arms(self, trials: Path, part: str) -> dict[str, list[Trial]]:
        return {
            arm["label"]: [Trial(trials, planned) for planned in arm["trials"]]
            for arm in self.plan.get(part) or []
        }

    def has(self, table: str) -> bool:
        """Whether the report has a table: reports that are older than it lack its sentences too."""
        return (self.folder / "tables" / f"{table}.csv").exists()

    def has_column(self, table: str, column: str) -> bool:
        """Whether a table has a column that older reports lack."""
        with (self.folder / "tables" / f"{table}.csv").open(encoding="utf-8") as file:
            return column in file.readline().rstrip("\n").split(",")

    @cached_property
    def mirrored_once(self) -> bool:
        """Whether a comparison told from both sides is one hypothesis: so in all but old reports."""
        return "declared.json" in (self.folder / "report.md").read_text(encoding="utf-8")

    @cached_property
    def shares(self) -> bool:
        """Whether comparisons lend each other the variance of their seeds: so in all but old reports."""
        return self.has("evidence")

    @property
    def sets(self) -> list[str]:
        """The scored sets: the local one, then the hidden ones in the order of the file."""
        return [LOCAL, *self.file.get("hidden", {})]

    @property
    def hidden(self) -> str | None:
        """The first hidden set."""
        return self.sets[1] if len(self.sets) > 1 else None

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

    def finished(self, arm: str) -> list[Trial]:
        return [trial for trial in self.arms[arm] if trial.done]

    @cached_property
    def classes(self) -> list[str]:
        return list(self.finished(self.baseline)[0].record["classes"])
