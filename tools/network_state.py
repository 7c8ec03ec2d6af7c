"""The state of a training of one network (face finder, tagger), as a checkpoint keeps it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from kaogan.core.checkpoint import load_module, load_optimizer, optimizer_tensors, part
from kaogan.core.ema import EMA
from kaogan.core.errors import UsageError


@dataclass
class NetworkState:
    network: nn.Module
    ema: EMA
    optimizer: torch.optim.Optimizer
    settings: dict[str, Any]
    """What must be the same to go on, as it comes back from JSON."""
    folder: Path
    images_seen: int = 0
    seconds: float = 0.0

    def networks(self) -> list[nn.Module]:
        return [self.network]

    def state_dict(self) -> tuple[dict[str, Tensor], dict[str, Any]]:
        tensors = {f"network/{key}": value for key, value in self.network.state_dict().items()}
        tensors |= {f"ema/{key}": value for key, value in self.ema.module.state_dict().items()}
        tensors |= optimizer_tensors("optim", self.network, self.optimizer)
        return tensors, {"clock": self.images_seen, "seconds": self.seconds, "settings": self.settings}

    def load_state_dict(self, tensors: dict[str, Tensor], numbers: dict[str, Any]) -> None:
        """The inverse. Raises UsageError for a training with other settings."""
        before = numbers["settings"]
        keys = [key for key in sorted({*before, *self.settings}) if before.get(key) != self.settings.get(key)]
        if keys:
            raise UsageError(
                f"{self.folder} holds a training with other settings ({', '.join(keys)}); choose another folder"
            )
        load_module("network", self.network, part(tensors, "network/"))
        load_module("ema", self.ema.module, part(tensors, "ema/"))
        load_optimizer("optim", self.network, self.optimizer, tensors)
        self.images_seen, self.seconds = int(numbers["clock"]), float(numbers["seconds"])
