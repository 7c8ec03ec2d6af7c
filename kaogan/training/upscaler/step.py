"""One step of the upscaler and, where there is one, of its discriminator."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from kaogan.config.upscale_recipe import UpscaleRecipe
from kaogan.core.checkpoint import load_module, load_optimizer, optimizer_tensors, part
from kaogan.core.ema import EMA
from kaogan.core.meters import Meters
from kaogan.core.rng import torch_generator
from kaogan.losses import OBJECTIVES, discriminator_loss, draw_targets, generator_loss
from kaogan.training.upscaler.crops import CropPair
from kaogan.training.upscaler.discriminators import PatchDiscriminator, SRGANDiscriminator
from kaogan.training.upscaler.perceptual_loss import PerceptualDistance


@dataclass
class UpscalerState:
    """Everything that changes. ``images_seen`` counts the crops shown."""

    generator: nn.Module
    ema: EMA
    generator_optim: torch.optim.Optimizer
    discriminator: nn.Module | None = None
    discriminator_optim: torch.optim.Optimizer | None = None
    images_seen: int = 0
    seconds: float = 0.0

    def networks(self) -> list[nn.Module]:
        return [self.generator] if self.discriminator is None else [self.generator, self.discriminator]

    def state_dict(self) -> tuple[dict[str, Tensor], dict[str, Any]]:
        tensors: dict[str, Tensor] = {}
        for name, module, optimizer in self._parts():
            tensors |= {f"{name}/{key}": value for key, value in module.state_dict().items()}
            if optimizer is not None:
                tensors |= optimizer_tensors(f"{name}_optim", module, optimizer)
        return tensors, {"clock": self.images_seen, "seconds": self.seconds}

    def load_state_dict(self, tensors: dict[str, Tensor], numbers: dict[str, Any]) -> None:
        """The inverse, also for checkpoints that call the EMA "average". Raises ValueError for other networks."""
        tensors = {
            f"ema/{name.removeprefix('average/')}" if name.startswith("average/") else name: value
            for name, value in tensors.items()
        }
        for name, module, optimizer in self._parts():
            load_module(name, module, part(tensors, f"{name}/"))
            if optimizer is not None:
                load_optimizer(f"{name}_optim", module, optimizer, tensors)
        self.images_seen, self.seconds = int(numbers["clock"]), float(numbers["seconds"])

    def _parts(self) -> list[tuple[str, nn.Module, torch.optim.Optimizer | None]]:
        found: list[tuple[str, nn.Module, torch.optim.Optimizer | None]] = [
            ("generator", self.generator, self.generator_optim),
            ("ema", self.ema.module, None),
        ]
        if self.discriminator is not None:
            found.append(("discriminator", self.discriminator, self.discriminator_optim))
        return found


def build_discriminator(recipe: UpscaleRecipe) -> nn.Module | None:
    if not recipe.losses.adversarial:
        return None
    return SRGANDiscriminator() if recipe.losses.discriminator == "srgan" else PatchDiscriminator()


class UpscalerTrainer:
    """The losses and the updates of both networks on one batch of crops."""

    def __init__(self, recipe: UpscaleRecipe, state: UpscalerState, device: torch.device, precision: str) -> None:
        self.recipe, self.state, self.device = recipe, state, device
        self.autocast = torch.autocast(device.type, torch.bfloat16, enabled=precision == "bf16")
        self.distance = PerceptualDistance().to(device) if recipe.losses.perceptual else None
        self.objective = OBJECTIVES[recipe.losses.objective]
        self.meters = Meters()

    def step(self, pair: CropPair) -> None:
        recipe, state = self.recipe, self.state
        low, high = pair.low.to(self.device), pair.high.to(self.device)
        with self.autocast:
            made = state.generator(low, pair.scale)
        adversarial = state.discriminator is not None and state.images_seen >= recipe.losses.start
        if adversarial:
            self._discriminator_step(high, made.detach())
        loss = recipe.losses.pixel_weight * pixel_loss(made, high, recipe.losses.pixel, recipe.losses.epsilon)
        self.meters.add("pixel", loss)
        if self.distance is not None:
            with self.autocast:
                perceptual = self.distance(made, high).mean()
            self.meters.add("perceptual", perceptual)
            loss = loss + recipe.losses.perceptual * perceptual
        if adversarial:
            loss = loss + self._adversarial_loss(high, made)
        state.generator_optim.zero_grad(set_to_none=True)
        loss.backward()
        if recipe.optim.clip:
            nn.utils.clip_grad_norm_(state.generator.parameters(), recipe.optim.clip)
        state.generator_optim.step()
        self.meters.add("loss_g", loss)

    def _discriminator_step(self, real: Tensor, fake: Tensor) -> None:
        state, losses = self.state, self.recipe.losses
        assert state.discriminator is not None and state.discriminator_optim is not None
        state.discriminator.requires_grad_(True)
        with self.autocast:
            real_scores, fake_scores = state.discriminator(real).float(), state.discriminator(fake).float()
        targets = (self._draw_targets(side, scores) for side, scores in (("real", real_scores), ("fake", fake_scores)))
        loss = discriminator_loss(self.objective, real_scores.flatten(), fake_scores.flatten(), *targets)
        if losses.objective == "bce":
            loss = loss / 2  # one cross-entropy over both halves of the batch
        state.discriminator_optim.zero_grad(set_to_none=True)
        loss.backward()
        state.discriminator_optim.step()
        self.meters.add("loss_d", loss)

    def _adversarial_loss(self, real: Tensor, fake: Tensor) -> Tensor:
        discriminator = self.state.discriminator
        assert discriminator is not None
        discriminator.requires_grad_(False)
        with self.autocast:
            scores = discriminator(fake).float()
            with torch.no_grad():
                opponents = discriminator(real).float() if self.objective.paired else torch.zeros_like(scores)
        loss = generator_loss(self.objective, scores.flatten(), opponents.flatten())
        self.meters.add("adversarial", loss)
        return self.recipe.losses.adversarial * loss

    def _draw_targets(self, side: str, scores: Tensor) -> Tensor | float:
        """A label for each score, drawn picture by picture; a number when all are alike."""
        losses = self.recipe.losses
        span = losses.real_label if side == "real" else losses.fake_label
        rng = torch_generator(self.recipe.run.seed, f"upscale/labels/{side}", self.state.images_seen)
        targets = draw_targets(span, losses.flip, len(scores), rng)
        return targets if isinstance(targets, float) else targets.to(scores.device).repeat_interleave(scores[0].numel())


def pixel_loss(made: Tensor, wanted: Tensor, kind: str, epsilon: float) -> Tensor:
    """The mean over everything, of pictures in a range of 1 (half the difference of images in [-1, 1])."""
    error = (made - wanted) / 2
    if kind == "mse":
        return error.square().mean()
    if kind == "l1":
        return error.abs().mean()
    return (error.square() + epsilon**2).sqrt().mean()


def enlarge(images: Tensor, scale: int) -> Tensor:
    """Bicubic, as ``F.interpolate`` does it, in [-1, 1]: what training is measured against on the way."""
    return F.interpolate(images, scale_factor=scale, mode="bicubic", align_corners=False).clamp(-1, 1)
