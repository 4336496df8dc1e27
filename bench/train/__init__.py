"""Training: optimizers, schedules, losses, stages and the loop.

Importing the package fills the registries and imports no torch.
"""

from __future__ import annotations

from bench.train import losses, optimizers, schedules

__all__ = ["losses", "optimizers", "schedules"]
