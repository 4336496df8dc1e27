"""Models: an architecture of our own, and every timm model behind our own head.

Importing the package fills the registry and imports no torch; ``build`` and ``check`` do.
"""

from __future__ import annotations

from bench.models import custom_cnn, elsewhere, pretrained
from bench.models.architecture import Architecture, Task, architecture_of, build, unfrozen
from bench.models.checks import check

__all__ = [
    "Architecture",
    "Task",
    "architecture_of",
    "build",
    "check",
    "custom_cnn",
    "elsewhere",
    "pretrained",
    "unfrozen",
]
