"""One batch of a GAN's training: the updates of both networks, on the losses that are due."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import zip_longest

import torch
from torch import Tensor, nn

from kaogan.config.recipe import Recipe
from kaogan.core.distributed import ALONE, Processes
from kaogan.core.schema import Schema
from kaogan.losses import clip_weights
from kaogan.networks.cpu.grad_modes import cached_weight_casts, clear_weight_casts
from kaogan.training.failure_detector import SAMPLES_EVERY, add_sample_statistics
from kaogan.training.gan_loss import Fakes, GANLoss
from kaogan.training.phases import Network, build_phases
from kaogan.training.sampler import Batch, InfiniteSampler
from kaogan.training.shards import Shards
from kaogan.training.state import TrainState


class GANTrainer:
    """The updates of both networks under one recipe: ``step`` takes those that are due."""

    def __init__(
        self, recipe: Recipe, schema: Schema, state: TrainState, sampler: InfiniteSampler, device: torch.device,
        precision: str, processes: Processes = ALONE,
    ) -> None:  # fmt: skip
        self.recipe, self.state, self.sampler = recipe, state, sampler
        self.phases, self.shards = build_phases(recipe), Shards(recipe.training.shards, state, processes)
        self.loss = GANLoss(recipe, schema, state, sampler, self.shards, device, precision)
        self.meters = self.loss.meters

    def step(self) -> bool:
        """Update each network that is due after the batch at the state's clock; whether the generator was one."""
        training = self.recipe.training
        number = self.state.images_seen // training.batch_size
        batches = [self.sampler.at(self.state.images_seen, shard, self.shards.count) for shard in self.shards.mine]
        self.state.set_learning_rates(self.recipe)
        updates_generator = any(phase.network == "generator" and phase.is_due(number) for phase in self.phases)
        reuse = training.reuse_fakes and updates_generator
        fakes = self.discriminator_step(batches, reuse=reuse)
        if number % max(1, SAMPLES_EVERY // training.batch_size) == 0:
            add_sample_statistics(self.meters, real=batches[0].images, fake=fakes[0].images)
        if updates_generator:
            self.generator_step(batches, fakes if reuse else None)
        return updates_generator

    @cached_weight_casts()
    def discriminator_step(self, batches: Sequence[Batch], reuse: bool = False) -> list[Fakes]:
        """Show each shard's batch and as many fakes to the discriminator. With ``reuse`` the fakes keep their graph, so
        that the generator's step can use them again."""
        shown = [self.loss.show(batch, keep_graph=reuse) for batch in self.shards.each(batches)]
        for losses in self._due_losses("discriminator"):
            of_shards = (self.loss.discriminator(losses, *each) for each in self.shards.each(shown))
            self._optimize("discriminator", of_shards)
        self.shards.merge()
        if self.recipe.penalties.clip:
            learning = [weight for weight in self.state.discriminator.parameters() if weight.requires_grad]
            clip_weights(learning, self.recipe.penalties.clip)
        fakes = [generated for _, generated in shown]
        self._after_discriminator_step(fakes)
        return fakes

    def _after_discriminator_step(self, fakes: Sequence[Fakes]) -> None:
        context, extras, images = self.loss.context(), self.loss.extras.values(), fakes[0].images
        if any(extra.needs_fakes(context) for extra in extras):
            images = self.shards.gather([each.images.detach() for each in fakes])
        for extra in extras:
            for name, value in extra.after_discriminator_step(images, context).items():
                self.meters.add(name, torch.as_tensor(value))

    def generator_step(self, batches: Sequence[Batch], fakes: Sequence[Fakes] | None = None) -> None:
        """Update the generator on fresh fakes, or on those of the discriminator's step, with each shard's batch."""
        weights = [weight for weight in self.state.discriminator.parameters() if weight.requires_grad]
        set_requires_grad(weights, False)  # their gradients would be thrown away
        given = list(zip_longest(batches, fakes or []))
        for losses in self._due_losses("generator"):
            of_shards = (self.loss.generator(losses, *each) for each in self.shards.each(given))
            self._optimize("generator", of_shards)
        self.shards.merge()
        set_requires_grad(weights, True)

    def _due_losses(self, network: Network) -> list[list[str]]:
        """The losses of each optimiser step that ``network`` takes now."""
        number = self.state.images_seen // self.recipe.training.batch_size
        due = (phase.due_losses(number) for phase in self.phases if phase.network == network)
        return [losses for losses in due if losses]

    def _optimize(self, network: Network, losses: Iterable[Tensor | float]) -> None:
        """A step of the optimiser on the mean of ``losses``, one of each shard."""
        module: nn.Module = getattr(self.state, network)
        optimizer: torch.optim.Optimizer = getattr(self.state, f"{network}_optim")
        scaler: torch.amp.GradScaler = getattr(self.state, f"{network}_scaler")
        module.zero_grad(set_to_none=True)
        # Only these gradients: those at the images, where penalties are taken, would be thrown away.
        weights = [weight for weight in module.parameters() if weight.requires_grad]
        for loss in losses:
            scaler.scale(torch.as_tensor(loss)).backward(inputs=weights)
            self.shards.collect(weights)
        self.shards.average(weights)
        scaler.step(optimizer)
        scaler.update()
        clear_weight_casts()


def set_requires_grad(weights: list[nn.Parameter], wanted: bool) -> None:
    for weight in weights:
        weight.requires_grad_(wanted)
