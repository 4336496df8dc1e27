"""Fake CUDA tensors that tell what ran on them, so that what a GPU would wait for is known without one."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest
import torch
from torch._subclasses.fake_tensor import FakeTensor, FakeTensorMode
from torch.utils import _pytree as pytree
from torch.utils._python_dispatch import TorchDispatchMode


class Watch(TorchDispatchMode):
    """Runs operations on fake CUDA tensors and notes kernels and copies to the device."""

    def __init__(self, fake: FakeTensorMode) -> None:
        super().__init__()
        self.fake = fake
        self.kernels: Counter[str] = Counter()
        self.copies: Counter[str] = Counter()
        self.read_back: Counter[str] = Counter()

    @classmethod
    def without_a_gpu(cls, monkeypatch: pytest.MonkeyPatch) -> Watch:
        """A watch for the time of one test, in which torch does not look for a driver."""
        monkeypatch.setattr(torch.cuda, "_lazy_init", lambda: None)
        monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
        return cls(FakeTensorMode(allow_non_fake_inputs=True))

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        name = func._schema.name.removeprefix("aten::")
        given = [a for a in pytree.tree_leaves((args, kwargs)) if isinstance(a, torch.Tensor)]
        device = kwargs.get("device")
        to_cuda = device is not None and torch.device(device).type == "cuda"
        if to_cuda or any(isinstance(a, FakeTensor) for a in given):
            with self.fake:
                out = func(*args, **kwargs)
        else:
            return func(*args, **kwargs)
        made = [a for a in pytree.tree_leaves(out) if isinstance(a, torch.Tensor)]
        if any(a.device.type == "cuda" for a in given) and any(a.device.type == "cpu" for a in made):
            self.read_back[name] += 1
        elif to_cuda and any(a.device.type == "cpu" for a in given):
            self.copies["waits" if not kwargs.get("non_blocking") else "does not wait"] += 1
        else:
            self.kernels[name] += 1
        return out
