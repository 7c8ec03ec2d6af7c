"""One step of each player. Every extra is a few lines in its one obvious place."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from kaogan.config.recipe import Recipe
from kaogan.core.images import to_float
from kaogan.core.meters import Meters
from kaogan.core.rng import draw_latents, numpy_generator, torch_generator
from kaogan.core.schema import Schema
from kaogan.data.edge_blur import blur_edges
from kaogan.losses import (
    OBJECTIVES,
    attribute_accuracy,
    attribute_loss,
    clip_weights,
    discriminator_loss,
    generator_loss,
    negatives_loss,
)
from kaogan.networks.base import DiscriminatorOutput
from kaogan.networks.cpu.grad_modes import weights_moved, weights_stay
from kaogan.networks.stylegan import is_style_generator
from kaogan.training.augmentation import Views
from kaogan.training.penalties import Point, slope_penalties
from kaogan.training.sampler import Batch, Batches
from kaogan.training.state import Players
from kaogan.training.style_regularization import draw_styles, path_penalty


@dataclass
class Fakes:
    """Generated pictures, as they are and as the discriminator sees them, and the attributes that were asked for."""

    images: Tensor
    seen: Tensor
    labels: Tensor
    codes: Tensor | None


class Steps:
    """The steps of both players under one recipe."""

    def __init__(
        self, recipe: Recipe, schema: Schema, players: Players, batches: Batches, device: torch.device, precision: str
    ) -> None:
        self.recipe, self.schema, self.players, self.batches = recipe, schema, players, batches
        self.device, self.objective = device, OBJECTIVES[recipe.objective.name]
        dtype = {"bf16": torch.bfloat16, "fp16": torch.float16}.get(precision)
        # Weights are cast once for each step, where they are used; fp16 gradients of gradients would underflow.
        self.autocast = torch.autocast(device.type, dtype or torch.bfloat16, enabled=dtype is not None)
        self.autocast_penalties = torch.autocast(device.type, torch.bfloat16, enabled=dtype is torch.bfloat16)
        self.meters = Meters()
        self.views = Views(recipe, players.adaptive)

    # The discriminator

    @weights_stay()
    def discriminator(self, batch: Batch, reuse: bool = False) -> Fakes:
        """Show ``batch`` and as many fakes to the discriminator. With ``reuse`` the fakes keep their graph, so that the
        generator's step can use them again."""
        recipe, players, meters = self.recipe, self.players, self.meters
        real = self._seen(batch.images.to(self.device), "real")
        with self.autocast, torch.set_grad_enabled(reuse):
            fakes = self._generate("discriminator", len(real))
        fake = fakes.seen.detach()

        with self.autocast:
            real_verdict = self._judge(real, "real", batch.labels)
            fake_verdict = self._judge(fake, "fake", fakes.labels)
        labels = recipe.objective
        loss = labels.discriminator_weight * discriminator_loss(
            self.objective,
            real_verdict.scores,
            fake_verdict.scores,
            self._targets("real", labels.real_label, len(real)),
            self._targets("fake", labels.fake_label, len(fake)),
        )
        meters.add("adversarial_d", loss)
        loss = loss + self._further_fakes(real_verdict.scores.detach())
        loss = loss + self._classify(real_verdict, batch.labels, fake_verdict, fakes.labels)
        points = Point(real, batch.labels), Point(fake, fakes.labels)
        player = (players.discriminator, players.discriminator_optim, players.discriminator_scaler)
        if not recipe.penalties.own_step:
            loss = loss + self._penalties(*points)
        self._descend(loss, *player)
        if recipe.penalties.own_step:
            self._descend(self._penalties(*points), *player)
        if recipe.penalties.clip:
            clip_weights(players.discriminator.parameters(), recipe.penalties.clip)

        self._remember(fakes.images)
        self._adapt()
        meters.add("loss_d", loss)
        for name, scores in (("real_score", real_verdict.scores), ("fake_score", fake_verdict.scores)):
            meters.add(name, (scores.sigmoid() if self.objective.logistic else scores).mean())
        return fakes

    def _further_fakes(self, real_scores: Tensor) -> Tensor | float:
        """Blurred and remembered pictures, each a batch of its own."""
        extras = self.recipe.extras
        loss: Tensor | float = 0.0
        for name, images, weight in (
            ("blur", self._blurred(len(real_scores)), extras.blur.weight),
            ("memory", self._remembered(len(real_scores)), extras.memory.weight),
        ):
            if images is None:
                continue
            with self.autocast:
                scores = self._judge(self._seen(images.to(self.device), name), name).scores
            term = weight * negatives_loss(self.objective, scores, real_scores)
            self.meters.add(name, term)
            loss = loss + term
        return loss

    def _blurred(self, batch_size: int) -> Tensor | None:
        blur = self.recipe.extras.blur
        if not blur.ratio:
            return None
        pictures = self.batches.extra("blur", self.players.clock, max(1, round(blur.ratio * batch_size)))
        return to_float(
            blur_edges(
                pictures, low=blur.low, high=blur.high, dilation=blur.dilation, kernel=blur.kernel, variant=blur.variant
            )
        )

    def _remembered(self, batch_size: int) -> Tensor | None:
        settings, clock = self.recipe.extras.memory, self.players.clock
        if not settings.fraction or clock < settings.start or not len(self.players.memory):
            return None
        count = max(1, round(settings.fraction * batch_size))
        return self.players.memory.draw(count, numpy_generator(self.recipe.run.seed, "memory/draw", clock))

    def _remember(self, fakes: Tensor) -> None:
        settings, clock = self.recipe.extras.memory, self.players.clock
        due = clock // settings.every != (clock - len(fakes)) // settings.every
        if settings.fraction and due and clock >= settings.start - settings.lead:
            count = max(1, round(settings.fraction * len(fakes)))
            self.players.memory.offer(fakes[:count], numpy_generator(self.recipe.run.seed, "memory/offer", clock))

    def _classify(
        self, real: DiscriminatorOutput, real_labels: Tensor, fake: DiscriminatorOutput, fake_labels: Tensor
    ) -> Tensor | float:
        settings = self.recipe.attributes
        if real.logits is None or fake.logits is None:
            return 0.0
        real_labels = real_labels.to(self.device)
        losses = self._attribute_losses("attributes_d", real.logits, real_labels)
        if settings.on_fakes:
            losses = losses + self._attribute_losses("attributes_fake", fake.logits, fake_labels)
        self.meters.add("accuracy", attribute_accuracy(real.logits, real_labels, self.schema.slices))
        return settings.discriminator_weight * losses

    def _penalties(self, real: Point, fake: Point) -> Tensor | float:
        def share() -> Tensor:
            return torch.rand(len(real.images), generator=self._random("penalty")).to(self.device)

        def scores(purpose: str, images: Tensor, labels: Tensor) -> Tensor:
            return self._judge(images, purpose, labels).scores

        with self.autocast_penalties:
            terms = slope_penalties(self.recipe, self.players.clock, scores, real, fake, share)
        for name, term in terms.items():
            self.meters.add(name, term)
        return sum(terms.values(), 0.0)

    # The generator

    def generator(self, batch: Batch, fakes: Fakes | None = None) -> None:
        """One step of the generator, on fresh fakes or on those of the discriminator's step."""
        recipe, players, meters = self.recipe, self.players, self.meters
        held = [weight for weight in players.discriminator.parameters() if weight.requires_grad]
        set_gradients(held, False)  # they would be thrown away
        with self.autocast:
            if fakes is None:
                fakes = self._generate("generator", len(batch.images))
            verdict = self._judge(fakes.seen, "generator", fakes.labels)
        real, real_scores = None, verdict.scores
        if self.objective.paired or recipe.extras.pull.weight:
            real = self._seen(batch.images.to(self.device), "real")
        if self.objective.paired and real is not None:
            with self.autocast, torch.no_grad():
                real_scores = self._judge(real, "generator/real", batch.labels).scores
        label = self._targets("generator", recipe.objective.generator_label, len(fakes.seen))
        loss = generator_loss(self.objective, verdict.scores, real_scores, label)
        meters.add("adversarial_g", loss)
        if verdict.logits is not None:
            loss = loss + recipe.attributes.generator_weight * self._attribute_losses(
                "attributes_g", verdict.logits, fakes.labels
            )
        if recipe.extras.pull.weight and real is not None:
            distance = (fakes.seen.float() - real).abs() ** recipe.extras.pull.power
            pull = recipe.extras.pull.weight * distance.mean()
            meters.add("pull", pull)
            loss = loss + pull
        player = (players.generator, players.generator_optim, players.generator_scaler)
        if not recipe.penalties.own_step:
            loss = loss + self._path_length(len(fakes.seen))
        self._descend(loss, *player)
        if recipe.penalties.own_step:
            self._descend(self._path_length(len(fakes.seen)), *player)
        set_gradients(held, True)
        meters.add("loss_g", loss)

    def _path_length(self, batch_size: int) -> Tensor | float:
        settings, players = self.recipe.penalties.path_length, self.players
        step = players.clock // (self.recipe.training.batch_size * self.recipe.training.n_critic)
        generator = players.generator
        if not settings.weight or step % settings.every or not is_style_generator(generator):
            return 0.0
        with self.autocast_penalties:
            latents, _, codes = self._ask("path", max(1, batch_size // settings.shrink))
            random = self._random("synthesis/path")
            styles = draw_styles(generator, latents, codes, self.recipe, random)
            penalty, players.path_mean = path_penalty(generator, styles, players.path_mean, settings.decay, random)
        term = settings.weight * settings.every * penalty
        self.meters.add("path_length", players.path_mean)
        self.meters.add("path_penalty", term)
        return term

    # What both need

    def _generate(self, purpose: str, count: int) -> Fakes:
        latents, labels, codes = self._ask(purpose, count)
        generator = self.players.generator
        if is_style_generator(generator):
            random, average = self._random(f"synthesis/{purpose}"), purpose == "discriminator"
            styles = draw_styles(generator, latents, codes, self.recipe, random, update_emas=average)
            images = generator.synthesis(styles, random=random, update_emas=average)
        else:
            images = generator(latents, codes)
        return Fakes(images, self._seen(images, f"fake/{purpose}"), labels.to(self.device), codes)

    def _ask(self, purpose: str, count: int) -> tuple[Tensor, Tensor, Tensor | None]:
        """Latents (count, Z), labels (count, K) and their codes (count, A), if any, for a purpose of this step."""
        recipe, random = self.recipe, self._random(f"latents/{purpose}")
        latents = draw_latents(count, recipe.latent.size, recipe.latent.distribution, random).to(self.device)
        labels = self.schema.sample(count, random, uniform=recipe.attributes.uniform)
        return latents, labels, self.schema.encode(labels).to(self.device) if self.schema else None

    def _judge(self, images: Tensor, purpose: str, labels: Tensor | None = None) -> DiscriminatorOutput:
        """The discriminator's verdict on its view of the pictures, its scores in float32."""
        codes = self.schema.encode(labels).to(self.device) if self.schema and labels is not None else None
        verdict = self.players.discriminator(self.views(images, purpose, self.players.clock), codes)
        scores = verdict.scores.float()
        if purpose in ("real", "r1"):
            self.views.note(scores)
        return DiscriminatorOutput(scores, verdict.logits)

    def _adapt(self) -> None:
        clock = self.players.clock
        if self.recipe.extras.augment.name == "ada":
            self.meters.add("augment_p", torch.tensor(self.views.p(clock)))
        self.views.adapt(clock, self.recipe.training.batch_size)

    def _seen(self, images: Tensor, purpose: str) -> Tensor:
        """Instance noise (Sønderby et al. 2017): (1 - a) x + a n, fading along the clock if so set."""
        settings, clock = self.recipe.extras.noise, self.players.clock
        amount = settings.amount * (max(0.0, 1 - clock / settings.end) if settings.end else 1.0)
        if not amount:
            return images
        noise = torch.empty_like(images, device="cpu", dtype=torch.float32)
        noise = noise.normal_(generator=self._random(f"noise/{purpose}")).to(self.device)
        return (1 - amount) * images.float() + amount * noise

    def _targets(self, side: str, span: tuple[float, float], count: int) -> Tensor | float:
        """Labels: one number when all are alike, else (count,)."""
        (low, high), flip = span, 0.0 if side == "generator" else self.recipe.objective.label_flip
        if low == high and not flip:
            return low
        random = self._random(f"labels/{side}")
        labels = low + (high - low) * torch.rand(count, generator=random)
        swapped = torch.rand(count, generator=random) < flip
        return torch.where(swapped, 1 - labels, labels).to(self.device)

    def _attribute_losses(self, name: str, logits: Tensor, labels: Tensor) -> Tensor:
        losses = attribute_loss(logits, labels, self.schema.slices, self.recipe.attributes.loss)
        for attribute, loss in zip(self.schema.names, losses, strict=True):
            self.meters.add(f"{name}/{attribute}", loss)
        return torch.stack(losses).mean()

    def _random(self, purpose: str) -> torch.Generator:
        return torch_generator(self.recipe.run.seed, purpose, self.players.clock)

    @staticmethod
    def _descend(
        loss: Tensor | float, module: torch.nn.Module, optimiser: torch.optim.Optimizer, scaler: torch.amp.GradScaler
    ) -> None:
        if not isinstance(loss, Tensor):
            return  # nothing is due
        module.zero_grad(set_to_none=True)
        # Only these gradients: those at the pictures, where penalties are taken, would be thrown away.
        scaler.scale(loss).backward(inputs=[weight for weight in module.parameters() if weight.requires_grad])
        scaler.step(optimiser)
        scaler.update()
        weights_moved()


def set_gradients(weights: list[torch.nn.Parameter], wanted: bool) -> None:
    for weight in weights:
        weight.requires_grad_(wanted)
