"""Images that the augmentation tests share."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F


@pytest.fixture(scope="package")
def pictures() -> torch.Tensor:
    """(6, 3, 48, 48) smooth random pictures whose values are whole 8-bit levels."""
    coarse = torch.rand(6, 3, 8, 8, generator=torch.Generator().manual_seed(3)) * 1.3 - 0.15
    smooth = F.interpolate(coarse, size=(48, 48), mode="bicubic", align_corners=False).clamp(0, 1)
    return (smooth * 255).round() / 255


@pytest.fixture(scope="package")
def eight_bit(pictures: torch.Tensor) -> torch.Tensor:
    """The same pictures as uint8."""
    return (pictures * 255).round().to(torch.uint8)
