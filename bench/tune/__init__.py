"""The fair search: every arm gets the same number of candidates, at the same points of the unit cube.

Importing this fills the registries of samplers and pruners. ``propose`` and ``database`` are the only files
that know Optuna.
"""

from bench.tune import pruners, samplers

__all__ = ["pruners", "samplers"]
