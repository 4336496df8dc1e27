"""A GPU that is there and that torch cannot use: an old driver, or torch without CUDA."""

from __future__ import annotations

import os
import warnings
from pathlib import Path

DRIVER = Path("/proc/driver/nvidia/gpus")
"""Where NVIDIA's kernel module lists the GPUs of a machine, a folder each."""


def unused_gpu() -> str:
    """Why torch uses none of the machine's GPUs; empty where it has none, hides them, or torch uses them."""
    import torch

    if os.environ.get("CUDA_VISIBLE_DEVICES") in ("", "-1") or not _there():
        return ""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it warns of what is returned here
        if torch.cuda.is_available():
            return ""
    if torch.version.cuda is None:
        return f"torch {torch.__version__} was built without CUDA"
    try:
        torch.cuda.init()  # type: ignore[no-untyped-call]
    except (RuntimeError, AssertionError) as error:
        return str(error).partition("\n")[0]
    return "torch sees no device"


def _there() -> bool:
    try:
        return any(DRIVER.iterdir())
    except OSError:
        return False
