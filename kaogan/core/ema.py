"""The moving average of the generator's weights: what is sampled, saved and shared."""

from __future__ import annotations

import copy

import torch
from torch import nn

from kaogan.config.recipe import Recipe
from kaogan.core.rng import draw_latents, torch_generator

CALIBRATION_BATCHES = 4
CALIBRATION_BATCH = 64


class MovingAverage:
    """Half-life in images shown. Only weights are averaged. Statistics of batch normalisation belong to the weights
    they were measured with, so ``snapshot`` measures them anew for the averaged ones; everything else is copied."""

    def __init__(self, generator: nn.Module, halflife: float, rampup: float) -> None:
        self.source, self.halflife, self.rampup = generator, halflife, rampup
        self.module = copy.deepcopy(generator).eval().requires_grad_(False)

    @torch.no_grad()
    def update(self, clock: int, images: int) -> None:
        """After a generator step that ends at ``clock``, ``images`` after the one before."""
        halflife = min(self.halflife, self.rampup * clock) if self.rampup else self.halflife
        keep = 0.5 ** (images / halflife) if halflife > 0 else 0.0
        averages: list[torch.Tensor] = list(self.module.parameters())
        torch._foreach_lerp_(averages, list[torch.Tensor](self.source.parameters()), 1 - keep)

    @torch.no_grad()
    def snapshot(self, recipe: Recipe, attribute_codes: torch.Tensor | None) -> nn.Module:
        """The averaged generator, ready to sample: the same module each time, in eval mode.

        ``attribute_codes`` (CALIBRATION_BATCHES * CALIBRATION_BATCH, A) are drawn like those of training.
        """
        norms = [m for m in self.module.modules() if isinstance(m, nn.modules.batchnorm._BatchNorm)]
        own = {id(buffer) for norm in norms for buffer in norm.buffers(recurse=False)}
        for average, buffer in zip(self.module.buffers(), self.source.buffers(), strict=True):
            if id(average) not in own:
                average.copy_(buffer)
        if norms:
            self._measure(norms, recipe, attribute_codes)
        return self.module

    def _measure(
        self, norms: list[nn.modules.batchnorm._BatchNorm], recipe: Recipe, codes: torch.Tensor | None
    ) -> None:
        momenta = [norm.momentum for norm in norms]
        for norm in norms:
            norm.reset_running_stats()
            norm.momentum = None  # a plain mean over the batches
            norm.train()
        device = next(self.module.parameters()).device
        total = CALIBRATION_BATCHES * CALIBRATION_BATCH
        latents = draw_latents(
            total, recipe.latent.size, recipe.latent.distribution, torch_generator(recipe.run.seed, "calibrate")
        )
        for start in range(0, total, CALIBRATION_BATCH):
            part = slice(start, start + CALIBRATION_BATCH)
            self.module(latents[part].to(device), None if codes is None else codes[part].to(device))
        for norm, momentum in zip(norms, momenta, strict=True):
            norm.momentum = momentum
            norm.eval()
