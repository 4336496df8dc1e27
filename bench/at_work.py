"""What a process at work says of itself in a file that others read, and how much of that can be believed."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

LONGEST_LEASE_S = 86400
"""A lease beyond a day is a slip of the pen."""
MOST = 1e15
"""Of seconds and counts: beyond any clock, and still to be computed with."""

Finite = Annotated[float, Field(ge=-MOST, le=MOST, allow_inf_nan=False)]
Seconds = Annotated[float, Field(ge=0, le=MOST, allow_inf_nan=False)]
Count = Annotated[int, Field(ge=0, le=MOST)]
Place = Annotated[int, Field(ge=1, le=MOST)]
Share = Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)]


class TrialAtWork(BaseModel):
    """A trial that runs: what ``Board.as_data`` says of it."""

    model_config = ConfigDict(strict=True, extra="ignore")
    trial: str
    arm: str
    replicate: str
    seconds: Seconds
    text: str = ""
    stage: Place | None = None
    """This and the next six: since its first evaluation, as ``Progress`` says."""
    stages: Place | None = None
    epoch: Place | None = None
    epochs: Place | None = None
    loss: float | None = None
    val_accuracy: float | None = None
    images_per_s: float | None = None
    memory_mb: float | None = None
    curve: tuple[Share, ...] = ()

    @model_validator(mode="after")
    def _all_or_none(self) -> TrialAtWork:
        told = (self.stage, self.stages, self.epoch, self.epochs, self.loss, self.val_accuracy)
        if len({each is None for each in (*told, self.images_per_s)}) > 1:
            raise ValueError("says only in part how far it is")
        return self


class AtWork(BaseModel):
    """A process at work, its file's content; what a later version adds is left out."""

    model_config = ConfigDict(strict=True, extra="ignore")
    pid: Count = 0
    host: str = ""
    at: Finite = 0.0
    """Seconds since 1970, by its own clock."""
    beat: Count = 0
    lease_s: Annotated[float, Field(gt=0, le=LONGEST_LEASE_S, allow_inf_nan=False)]
    study: str | None = None
    asked: str | None = None
    """Hash of the text of the study that it runs, and of its looks."""
    title: str | None = None
    """This and the next seven: of its batch of trials, as ``Board.as_data`` says; None before the first."""
    total: Count = 0
    ended: Count = 0
    workers: Count = 1
    seconds: Seconds = 0.0
    left_s: Seconds | None = None
    running: tuple[TrialAtWork, ...] = ()
    waits: str = ""


def said(content: bytes) -> AtWork | None:
    """What such a file says; None where that is nothing to go by."""
    try:
        return AtWork.model_validate_json(content)
    except ValidationError:
        return None
