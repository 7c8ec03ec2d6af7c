"""One step of the network that enlarges and, when there is one, of its judge."""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from kaogan.aux_models.upscaler.networks import PatchDiscriminator, SRGANDiscriminator
from kaogan.aux_models.upscaler.perceptual_loss import PerceptualDistance
from kaogan.config.upscale_recipe import UpscaleRecipe
from kaogan.core.meters import Meters
from kaogan.core.rng import torch_generator
from kaogan.losses import OBJECTIVES, discriminator_loss, generator_loss
from kaogan.training.upscaler.crops import Pair


@dataclass
class Learner:
    """Everything that changes. ``clock`` counts the pictures shown."""

    generator: nn.Module
    average: nn.Module
    optimiser: torch.optim.Optimizer
    discriminator: nn.Module | None = None
    discriminator_optimiser: torch.optim.Optimizer | None = None
    clock: int = 0
    seconds: float = 0.0


def build_discriminator(recipe: UpscaleRecipe) -> nn.Module | None:
    if not recipe.losses.adversarial:
        return None
    return SRGANDiscriminator() if recipe.losses.discriminator == "srgan" else PatchDiscriminator()


class Steps:
    def __init__(self, recipe: UpscaleRecipe, learner: Learner, device: torch.device, precision: str) -> None:
        self.recipe, self.learner, self.device = recipe, learner, device
        self.autocast = torch.autocast(device.type, torch.bfloat16, enabled=precision == "bf16")
        self.distance = PerceptualDistance().to(device) if recipe.losses.perceptual else None
        self.objective = OBJECTIVES[recipe.losses.objective]
        self.meters = Meters()

    def step(self, pair: Pair) -> None:
        recipe, learner = self.recipe, self.learner
        low, high = pair.low.to(self.device), pair.high.to(self.device)
        with self.autocast:
            made = learner.generator(low, pair.scale)
        judging = learner.discriminator is not None and learner.clock >= recipe.losses.start
        if judging:
            self._judge(high, made.detach())
        loss = recipe.losses.pixel_weight * pixel_loss(made, high, recipe.losses.pixel, recipe.losses.epsilon)
        self.meters.add("pixel", loss)
        if self.distance is not None:
            with self.autocast:
                felt = self.distance(made, high).mean()
            self.meters.add("perceptual", felt)
            loss = loss + recipe.losses.perceptual * felt
        if judging:
            loss = loss + self._please(high, made)
        learner.optimiser.zero_grad(set_to_none=True)
        loss.backward()
        if recipe.optim.clip:
            nn.utils.clip_grad_norm_(learner.generator.parameters(), recipe.optim.clip)
        learner.optimiser.step()
        self.meters.add("loss_g", loss)

    def _judge(self, real: Tensor, fake: Tensor) -> None:
        learner, losses = self.learner, self.recipe.losses
        assert learner.discriminator is not None and learner.discriminator_optimiser is not None
        learner.discriminator.requires_grad_(True)
        with self.autocast:
            real_scores, fake_scores = learner.discriminator(real).float(), learner.discriminator(fake).float()
        targets = (self._targets(side, scores) for side, scores in (("real", real_scores), ("fake", fake_scores)))
        loss = discriminator_loss(self.objective, real_scores.flatten(), fake_scores.flatten(), *targets)
        if losses.objective == "bce":
            loss = loss / 2  # one cross-entropy over both halves of the batch
        learner.discriminator_optimiser.zero_grad(set_to_none=True)
        loss.backward()
        learner.discriminator_optimiser.step()
        self.meters.add("loss_d", loss)

    def _please(self, real: Tensor, fake: Tensor) -> Tensor:
        discriminator = self.learner.discriminator
        assert discriminator is not None
        discriminator.requires_grad_(False)
        with self.autocast:
            scores = discriminator(fake).float()
            with torch.no_grad():
                opponents = discriminator(real).float() if self.objective.paired else torch.zeros_like(scores)
        loss = generator_loss(self.objective, scores.flatten(), opponents.flatten())
        self.meters.add("adversarial", loss)
        return self.recipe.losses.adversarial * loss

    def _targets(self, side: str, scores: Tensor) -> Tensor | float:
        """A label for each score, drawn picture by picture; a number when all are alike."""
        losses = self.recipe.losses
        low, high = losses.real_label if side == "real" else losses.fake_label
        if low == high and not losses.flip:
            return low
        random = torch_generator(self.recipe.run.seed, f"upscale/labels/{side}", self.learner.clock)
        labels = low + (high - low) * torch.rand(len(scores), generator=random)
        labels = torch.where(torch.rand(len(scores), generator=random) < losses.flip, 1 - labels, labels)
        return labels.to(scores.device).repeat_interleave(scores[0].numel())


def pixel_loss(made: Tensor, wanted: Tensor, kind: str, epsilon: float) -> Tensor:
    """The mean over everything, of pictures in a range of 1 (half the difference of images in [-1, 1])."""
    error = (made - wanted) / 2
    if kind == "mse":
        return error.square().mean()
    if kind == "l1":
        return error.abs().mean()
    return (error.square() + epsilon**2).sqrt().mean()


@torch.no_grad()
def average(learner: Learner, halflife: float, rampup: float, shown: int) -> None:
    """Move the averaged weights; statistics of norms go along with them."""
    halflife = min(halflife, rampup * learner.clock) if rampup else halflife
    keep = 0.5 ** (shown / halflife) if halflife > 0 else 0.0
    source, target = learner.generator.state_dict(), learner.average.state_dict()
    floats = [name for name, value in target.items() if value.is_floating_point()]
    torch._foreach_lerp_([target[n] for n in floats], [source[n] for n in floats], 1 - keep)


def enlarge(images: Tensor, scale: int) -> Tensor:
    """Bicubic, as ``F.interpolate`` does it, in [-1, 1]: what training is measured against on the way."""
    return F.interpolate(images, scale_factor=scale, mode="bicubic", align_corners=False).clamp(-1, 1)
