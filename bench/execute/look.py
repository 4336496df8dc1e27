"""``python -m bench.execute.look``: the GPUs that torch sees, as JSON, told by a process that ends at once.

To ask for free memory opens a context. The conductor's would hold memory on every GPU for the whole run, and
in exclusive-process mode would keep every worker out.
"""

from __future__ import annotations

import ctypes
import json
import os
import subprocess
import sys
from dataclasses import asdict, dataclass

from bench.errors import UserError

COMPUTE_MODE, EXCLUSIVE_PROCESS = 20, 3
"""An attribute of cuda.h, and its value that lets one process in."""


@dataclass(frozen=True)
class Gpu:
    """A device that torch sees."""

    name: str
    """As CUDA_VISIBLE_DEVICES knows it: an index or a UUID."""
    free_mb: float
    exclusive: bool = False
    """Only one process may use it at a time."""


def gpus() -> list[Gpu]:
    """Every GPU that workers may use. Raises UserError for one that cannot be opened."""
    command = [sys.executable, "-m", "bench.execute.look"]
    path = os.pathsep.join(filter(None, sys.path))  # bench may be there by the caller's doing
    done = subprocess.run(command, capture_output=True, text=True, env=os.environ | {"PYTHONPATH": path})
    if done.returncode:
        why = (done.stderr.strip().splitlines() or ["no message"])[-1]
        raise UserError(f"a GPU cannot be opened: {why}\n    does another process hold it? see nvidia-smi")
    return [Gpu(**each) for each in json.loads(done.stdout)]


def names() -> list[str]:
    """What workers may use, as CUDA_VISIBLE_DEVICES knows it; to count opens nothing."""
    import torch

    count = torch.cuda.device_count()
    named = [name for name in os.environ.get("CUDA_VISIBLE_DEVICES", "").split(",") if name]
    return named[:count] if len(named) >= count else [str(i) for i in range(count)]


def mps() -> bool:
    """Whether NVIDIA's Multi-Process Service seems to run: its daemon listens in a folder of that name."""
    return os.path.exists(
        os.path.join(os.environ.get("CUDA_MPS_PIPE_DIRECTORY", "/tmp/nvidia-mps"), "control")
    )


def seen() -> list[Gpu]:
    """The same, told by this process, which opens a context on each."""
    import torch

    return [Gpu(name, torch.cuda.mem_get_info(i)[0] / 1e6, _exclusive(i)) for i, name in enumerate(names())]


def _exclusive(index: int) -> bool:
    """Whether a second process would be kept out; not where MPS brings all processes in as one."""
    if mps():
        return False
    try:
        driver = ctypes.CDLL("libcuda.so.1")
    except OSError:
        return False
    mode = ctypes.c_int(0)
    driver.cuDeviceGetAttribute(ctypes.byref(mode), COMPUTE_MODE, index)
    return mode.value == EXCLUSIVE_PROCESS


if __name__ == "__main__":
    print(json.dumps([asdict(gpu) for gpu in seen()]))
