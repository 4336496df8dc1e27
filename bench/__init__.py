"""Benchmark and ablation suite for image classification.

Importing the package fills the registries by listing the modules that register components. None of them
imports torch, timm, kornia or numpy before something is built, so ``bench --help`` stays instant.
"""

from bench import augment, corruptions, metrics, models, train
from bench.data import sources

__all__ = ["__version__", "augment", "corruptions", "metrics", "models", "sources", "train"]
__version__ = "0.1.0"
