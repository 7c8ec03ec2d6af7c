"""Upscalers of a few hundred weights, and pictures of a few pixels."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from kaogan.aux_models.upscaler.model import Upscaler
from kaogan.aux_models.upscaler.networks import KaoSR
from tests.small import TINY_UPSCALER


@pytest.fixture
def upscaler() -> Upscaler:
    """One whose details are far from nothing, so that a wrong border or order shows."""
    torch.manual_seed(0)
    network = KaoSR(TINY_UPSCALER)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    return Upscaler(network, TINY_UPSCALER, precision="fp32")


@pytest.fixture
def pictures() -> np.ndarray:
    return np.random.default_rng(1).integers(0, 256, (3, 12, 16, 3), np.uint8)
