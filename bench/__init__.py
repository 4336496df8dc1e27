"""Benchmark and ablation suite for image classification.

Importing the package fills the registries by listing the modules that register components. None of them
imports torch, timm, kornia or numpy before something is built, so ``bench --help`` stays instant.
"""

from typing import TYPE_CHECKING, Any

from bench import augment, corruptions, execute, metrics, models, train, tune
from bench.data import sources
from bench.metrics import clinic

if TYPE_CHECKING:
    from bench.frame import results

__all__ = [
    "__version__", "augment", "clinic", "corruptions", "execute", "metrics", "models", "results", "sources",
    "train", "tune",
]  # fmt: skip
__version__ = "0.1.0"


def __getattr__(name: str) -> Any:
    """``bench.results``, when it is asked for: it brings pandas."""
    if name != "results":
        raise AttributeError(f"module 'bench' has no attribute {name!r}")
    import bench.frame

    return bench.frame.results
