"""How the device computes: threads, precision and determinism, for the time of one trial."""

from __future__ import annotations

import contextlib
import ctypes
import errno
import functools
import os
from collections.abc import Iterator
from dataclasses import dataclass

import torch

from bench.errors import words_of
from bench.recipe import Recipe

TOO_LITTLE_MEMORY = (
    "out of memory",  # CUDA error: … (torch.AcceleratorError), NVRTC, NCCL, the driver's own text
    "allocate memory",  # DefaultCPUAllocator: can't …, Cannot … (ENOMEM)
    "_ALLOC_FAILED",  # CUBLAS_STATUS_…, CUDNN_STATUS_…, CUSOLVER_STATUS_…, CUFFT_…
    "ALLOCATION_FAILED",  # CUDNN_STATUS_INTERNAL_ERROR_HOST_ALLOCATION_FAILED, …_DEVICE_ALLOCATION_FAILED
    "unable to find an engine",  # cuDNN's frontend, when no kernel's workspace fits
    "unable to find a valid cudnn algorithm",  # the same of its older interface
    "bad_alloc",  # C++, of the host
)
"""How libraries say that memory did not suffice, where the class of the error does not; in any case."""


HOST_ROOM = 512 * 2**20
"""Bytes of images that a worker on a CPU keeps in its own memory."""
FEATURES_ROOM = 2**31
"""Bytes at most that a GPU keeps from trial to trial of features, some 400,000 images' of an EfficientNet."""
DEVICE_SHARE = 0.5
"""Of a GPU's free memory, what images may take."""

M_TRIM_THRESHOLD, M_TOP_PAD, M_MMAP_THRESHOLD = -1, -2, -3
"""Names of glibc's malloc.h."""


@dataclass(frozen=True)
class Settings:
    """What torch keeps once per process, as a value."""

    threads: int
    conv_tf32: bool
    matmul_tf32: bool
    benchmark: bool
    """cuDNN tries its kernels and takes the fastest."""
    deterministic: bool
    dtype: torch.dtype = torch.float32
    """Of tensors of which nobody says it."""
    gradients: bool = True

    @classmethod
    def present(cls) -> Settings:
        """As they are now."""
        return cls(
            torch.get_num_threads(),
            torch.backends.cudnn.allow_tf32,
            torch.backends.cuda.matmul.allow_tf32,
            torch.backends.cudnn.benchmark,
            torch.are_deterministic_algorithms_enabled(),
            torch.get_default_dtype(),
            torch.is_grad_enabled(),
        )

    @classmethod
    def of(cls, recipe: Recipe, device: str) -> Settings:
        """As ``recipe`` wants them on ``device``; what it does not say stays as it is.

        float32 and gradients in any case: whatever other code of this process has set.
        fp32 means fp32: torch lets cuDNN use TF32 unless told otherwise.
        """
        now, tf32 = cls.present(), recipe.precision == "tf32"
        exact = recipe.deterministic and device != "cpu"
        if device == "cpu":
            keep_freed_memory()
        elif exact:
            prepare_cublas()
        return cls(
            recipe.cpu_threads if device == "cpu" else now.threads,
            tf32,
            tf32,
            not recipe.deterministic,
            exact or now.deterministic,
        )

    def apply(self) -> None:
        """Make torch heed them."""
        if self.threads != torch.get_num_threads():  # a change may build its pool of threads anew
            torch.set_num_threads(self.threads)
        torch.backends.cudnn.allow_tf32 = self.conv_tf32
        torch.backends.cuda.matmul.allow_tf32 = self.matmul_tf32
        torch.backends.cudnn.benchmark = self.benchmark
        torch.set_default_dtype(self.dtype)
        torch.set_grad_enabled(self.gradients)
        if self.deterministic != torch.are_deterministic_algorithms_enabled():  # a change may import inductor
            torch.use_deterministic_algorithms(self.deterministic)


@contextlib.contextmanager
def computing(recipe: Recipe, device: str) -> Iterator[None]:
    """Set what the recipe says and put everything back afterwards."""
    before = Settings.present()
    Settings.of(recipe, device).apply()
    try:
        yield
    finally:
        before.apply()


def prepare_cublas() -> None:
    """Give cuBLAS workspaces with which it repeats its sums, unless the environment has a say.

    Heeded by the first product of a process only: so a worker does this before its first trial on a GPU,
    whether that trial asks for ``deterministic`` or a later one will.
    """
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")


def is_out_of_memory(error: BaseException) -> bool:
    """Whether ``error``, or what it was raised from, says that memory of device or host did not suffice."""
    if isinstance(error, (MemoryError, torch.OutOfMemoryError)):
        return True
    if isinstance(error, OSError):
        return error.errno == errno.ENOMEM
    text = words_of(error).lower()
    if isinstance(error, RuntimeError) and any(form.lower() in text for form in TOO_LITTLE_MEMORY):
        return True
    return error.__cause__ is not None and is_out_of_memory(error.__cause__)


@functools.cache
def keep_freed_memory() -> bool:
    """Tell glibc to keep freed activations for the next step; whether it listened.

    By default every large tensor is mapped and unmapped, and the kernel clears its pages each time: a step of
    the small CNN at 96 px takes up to 1.65 times as long.
    """
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError):
        return False  # not glibc; only slower
    # Map nothing below 1 GB, give nothing back below 1 GB, grow by 64 MB.
    gigabyte = 1 << 30
    settings = ((M_MMAP_THRESHOLD, gigabyte), (M_TRIM_THRESHOLD, gigabyte), (M_TOP_PAD, gigabyte >> 4))
    heard = [bool(mallopt(name, value)) for name, value in settings]
    return all(heard)


def room_for_images(device: str) -> int:
    """Bytes of images that ``device`` may keep for a trial where nobody says how many.

    Of a GPU half of what is free now, since a step needs room too. On a CPU a little: all workers share one
    memory map of the images, and to read from it costs next to nothing (docs/performance.md).
    """
    if torch.device(device).type != "cuda":
        return HOST_ROOM
    free, _ = torch.cuda.mem_get_info(device)
    ours = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
    return int(DEVICE_SHARE * (free + ours))


def room_for_features(device: str, given: int, taken: int = 0) -> int:
    """Bytes that a process on ``device`` may keep of what frozen trunks said of images.

    given   what somebody allows for images and this, 0: nobody says
    taken   what images have of that
    """
    return max(given - taken, 0) if given else min(room_for_images(device), FEATURES_ROOM)


def reset_peak_memory(device: str) -> None:
    """Start counting anew, so that a worker's second trial does not report its first one's memory."""
    if torch.device(device).type == "cuda":
        torch.cuda.empty_cache()  # else the next trial would count as its own what the one before reserved
        torch.cuda.reset_peak_memory_stats(device)
        return
    with contextlib.suppress(OSError), open("/proc/self/clear_refs", "w") as file:
        file.write("5")  # Linux: resets the high-water mark read below


def memory_mb(device: str) -> dict[str, float]:
    """What a record holds of memory, in MB: ``peak_mb``; on a GPU also ``reserved_mb``.

    Reserved is what the allocator took from the device: tensors, the gaps between them, pools of recordings.
    """
    found = {"peak_mb": peak_memory_mb(device)}
    if torch.device(device).type == "cuda":
        found["reserved_mb"] = torch.cuda.max_memory_reserved(device) / 1e6
    return found


def peak_memory_mb(device: str) -> float:
    """Most memory held at once, in MB: of the device, or on a CPU of the process."""
    if torch.device(device).type == "cuda":
        return torch.cuda.max_memory_allocated(device) / 1e6
    with contextlib.suppress(OSError), open("/proc/self/status") as file:
        for line in file:
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024 / 1e6
    import resource
    import sys

    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 1e6
