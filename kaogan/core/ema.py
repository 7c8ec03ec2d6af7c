"""The moving average (EMA) of a network's weights: what is sampled, saved and shared."""

from __future__ import annotations

import copy
from collections.abc import Iterable

import torch
from torch import Tensor, nn

CALIBRATION_BATCHES = 4
CALIBRATION_BATCH = 64


class EMA:
    """An averaged copy of ``source``, in ``module``; half-life in images shown.

    Only weights are averaged, unless ``buffers`` are too. Statistics of batch normalisation belong to the weights that
    they were measured with, so ``snapshot`` measures them anew for the averaged ones and copies all other buffers.
    """

    def __init__(self, source: nn.Module, halflife: float = 0.0, rampup: float = 0.0, *, buffers: bool = False) -> None:
        self.source, self.halflife, self.rampup, self.buffers = source, halflife, rampup, buffers
        self.module = copy.deepcopy(source).eval().requires_grad_(False)

    def update(self, images_seen: int, images: int) -> None:
        """After a step that ends at ``images_seen``, ``images`` after the one before."""
        halflife = min(self.halflife, self.rampup * images_seen) if self.rampup else self.halflife
        self.lerp(0.5 ** (images / halflife) if halflife > 0 else 0.0)

    @torch.no_grad()
    def lerp(self, keep: float) -> None:
        """Keep this share of the average; the rest comes from the weights of now."""
        torch._foreach_lerp_(self._averaged(self.module), self._averaged(self.source), 1 - keep)

    @torch.no_grad()
    def snapshot(self, calibration: Iterable[tuple[Tensor, ...]]) -> nn.Module:
        """The averaged network, ready to sample: the same module each time, in eval mode, where its weights lie.

        ``calibration`` are inputs of the network, a batch at a time, drawn like those of training.
        """
        norms = [m for m in self.module.modules() if isinstance(m, nn.modules.batchnorm._BatchNorm)]
        own = {id(buffer) for norm in norms for buffer in norm.buffers(recurse=False)}
        for average, buffer in zip(self.module.buffers(), self.source.buffers(), strict=True):
            if id(average) not in own:
                average.copy_(buffer)
        if norms:
            self._measure(norms, calibration)
        return self.module

    def _measure(self, norms: list[nn.modules.batchnorm._BatchNorm], calibration: Iterable[tuple[Tensor, ...]]) -> None:
        momenta = [norm.momentum for norm in norms]
        for norm in norms:
            norm.reset_running_stats()
            norm.momentum = None  # a plain mean over the batches
            norm.train()
        for inputs in calibration:
            self.module(*inputs)
        for norm, momentum in zip(norms, momenta, strict=True):
            norm.momentum = momentum
            norm.eval()

    def _averaged(self, module: nn.Module) -> list[Tensor]:
        if self.buffers:
            return [value for value in module.state_dict().values() if value.is_floating_point()]
        return list(module.parameters())
