"""A results folder as one tidy pandas table. Exposed as ``bench.results``."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from bench.commands.status import planned, read_plan
from bench.errors import UserError
from bench.judge import whole
from bench.judge.results import Row, rows
from bench.judge.used import as_used
from bench.store import Store

if TYPE_CHECKING:
    import pandas as pd


def results(path: str | os.PathLike[str] = "results", study: str | None = None) -> pd.DataFrame:
    """Every score of every planned trial, a row for each trial, scored set and metric.

    path    a results folder: ``results``, ``results/reference``, ``results/smoke-runs``
    study   one study of it by name; without it all of them. Of one with several data sets all of them,
            each the study ``NAME@DATASET``

    Columns: ``study, arm, seed, fold, role, set, metric, value, status, seconds, trial``, described in
    docs/results-in-pandas.md. Trials that diverged, failed or have not run have their rows too, with NaN as
    ``value``. Made from records alone, as is ``tables/results.csv`` beside each report, which says the same.

    Raises UserError where there is no such folder or study, or its plan is damaged.
    """
    import pandas as pd

    store = Store(Path(path))
    names = planned(store) if study is None else whole.parts(study, store) or [study]
    if not names:
        raise UserError(f"{store.root} holds no study; bench run STUDY makes one, --results names its folder")
    found = [row for name in names for row in _rows(name, store)]
    types = {"seed": "Int64", "fold": "Int64", "value": "float64", "seconds": "float64"}
    return pd.DataFrame(found, columns=list(Row._fields)).astype(types)


def _rows(name: str, store: Store) -> list[Row]:
    plan = read_plan(name, store)
    study = as_used(plan, store)
    return list(rows(study, plan, store))
