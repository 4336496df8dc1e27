"""The stand-in for what was not trained here."""

from __future__ import annotations

from typing import Literal

from bench.errors import UserError
from bench.models.architecture import Architecture
from bench.registry import models


@models.register("elsewhere", elsewhere=True)
def elsewhere(arm: str = "", answers: Literal["probabilities", "classes"] = "probabilities") -> Architecture:
    """What was trained elsewhere: ``bench judge`` names it in the studies that it writes; nobody builds it.

    arm      what its predictions call it
    answers  whether these are probabilities, or the most probable class alone
    """
    raise UserError(
        f'model = "elsewhere" is what bench judge calls {arm}, which was trained elsewhere: it cannot be '
        "trained here\n    bench judge PREDICTIONS judges it; bench list models has those that can be trained"
    )
