"""The losses of both networks on one batch, and the fakes that they are taken on."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from contextlib import nullcontext
from dataclasses import dataclass

import torch
from torch import Tensor

from kaogan.config.recipe import Recipe
from kaogan.core.device import to_device
from kaogan.core.meters import Meters
from kaogan.core.rng import draw_latents, randn, torch_generator
from kaogan.core.schema import Schema
from kaogan.losses import (
    OBJECTIVES,
    LabelledImages,
    attribute_accuracy,
    attribute_loss,
    discriminator_loss,
    draw_targets,
    due_gradient_penalties,
    extra_fakes_loss,
    generator_loss,
    path_length_penalty,
    path_lengths,
)
from kaogan.losses.attribute import count_known
from kaogan.losses.extras import StepContext
from kaogan.networks.base import DiscriminatorOutput
from kaogan.networks.spectral_norm import normalised_once
from kaogan.networks.stylegan import is_style_generator
from kaogan.training.sampler import Batch, InfiniteSampler
from kaogan.training.shards import Shards
from kaogan.training.state import TrainState, compilable


@dataclass
class Fakes:
    """Generated images, as they are and as extras process them, and the attributes they were drawn for."""

    images: Tensor
    processed: Tensor
    labels: Tensor
    conditions: Tensor | None
    seen: Seen | None = None
    """What the discriminator's step saw of them, where the generator's uses it again."""


@dataclass
class Seen:
    """Pictures as the discriminator is shown them, and the maps of its frozen networks, with the graph behind."""

    images: Tensor
    maps: list[Tensor]


class GANLoss:
    """What both networks minimise under one recipe: the objective, attributes, penalties and extras.

    Every method reads the clock and the networks from ``state``, and draws for the shard at work.
    """

    def __init__(
        self, recipe: Recipe, schema: Schema, state: TrainState, sampler: InfiniteSampler, shards: Shards,
        device: torch.device, precision: str,
    ) -> None:  # fmt: skip
        self.recipe, self.schema, self.state = recipe, schema, state
        self.sampler, self.shards, self.device = sampler, shards, device
        self.objective = OBJECTIVES[recipe.objective.name]
        self.extras = {name: extra for name, extra in state.extras.items() if extra.active}
        self.generator_needs_reals = self.objective.paired or any(extra.needs_reals for extra in self.extras.values())
        dtype = {"bf16": torch.bfloat16, "fp16": torch.float16}.get(precision)
        self.autocast = torch.autocast(device.type, dtype or torch.bfloat16, enabled=dtype is not None)
        # Gradients of gradients would underflow in fp16.
        self.autocast_penalties = torch.autocast(device.type, torch.bfloat16, enabled=dtype is torch.bfloat16)
        # PyTorch's spectral norm takes some 25 launches a layer and pass: on a card all are done together, once a loss.
        # A compiler does that by itself.
        compiled = recipe.run.compile and "discriminator" in compilable(recipe, state.generator)
        alone = device.type == "cpu" or compiled
        self.normalised_weights = nullcontext if alone else normalised_once
        self.reuse_features = recipe.training.reuse_features and state.discriminator.has_frozen_maps
        self.meters = Meters()

    def show(self, batch: Batch, keep_graph: bool) -> tuple[LabelledImages, Fakes]:
        """The reals as the discriminator is shown them, and as many fakes, with or without the graph behind them."""
        real = LabelledImages(to_device(batch.images, self.device), batch.labels)
        with self.autocast, torch.set_grad_enabled(keep_graph):
            fakes = self.generate("discriminator", len(real.images))
        real = self._with_pseudo_reals(real, fakes)
        return real._replace(images=self.on_images(real.images, "real")), fakes

    def _with_pseudo_reals(self, real: LabelledImages, fakes: Fakes) -> LabelledImages:
        """The reals, some of which give way to fakes with their labels, as extras want it. Such a label is what a fake
        was asked for, which teaches classification only where that of fakes does, too."""
        for extra in self.extras.values():
            chosen = extra.pseudo_reals(len(real.images), self.context())
            if chosen is None:
                continue
            chosen = to_device(chosen, self.device)[:, None]
            # Moved by one place: no fake meets itself where an objective compares reals and fakes in pairs.
            images, labels = fakes.images.detach().roll(1, 0), fakes.labels.roll(1, 0)
            known = to_device(real.labels if real.told is None else real.told, self.device)
            real = LabelledImages(
                torch.where(chosen[..., None, None], images.to(real.images.dtype), real.images),
                torch.where(chosen, labels, to_device(real.labels, self.device)),
                torch.where(chosen, labels if self.recipe.attributes.on_fakes else -1, known),
            )
        return real

    def discriminator(self, losses: Collection[str], real: LabelledImages, fakes: Fakes) -> Tensor | float:
        """The sum of those ``losses`` of a phase that concern the discriminator, a scalar. What it saw of the fakes is
        kept with them where the generator's step uses it again."""
        fake = LabelledImages(fakes.processed.detach(), fakes.labels)
        if self.reuse_features and fakes.processed.requires_grad and "main" in losses:
            fakes.seen = self._see(fakes.processed)
        with self.normalised_weights(self.state.discriminator):
            main = self._discriminator_loss(real, fake, fakes.seen) if "main" in losses else 0.0
            loss = total([main, self._gradient_penalties(losses, real, fake)])
        if "main" in losses:
            self.meters.add("loss_d", torch.as_tensor(loss))
        return loss

    def _see(self, images: Tensor) -> Seen:
        with self.autocast:
            shown = self._as_shown(images, "fake")
            return Seen(shown, self.state.discriminator.frozen_maps(shown, *self.crop_places("fake", len(shown))))

    def _discriminator_loss(
        self, real: LabelledImages, fake: LabelledImages, seen: Seen | None = None
    ) -> Tensor | float:
        """The adversarial loss, that of extra fakes, that of extras, and classification."""
        settings, meters = self.recipe.objective, self.meters
        with self.autocast:
            real_output = self.discriminate(real.images, "real", real.labels, real=True)
            if seen is None:
                fake_output = self.discriminate(fake.images, "fake", fake.labels)
            else:
                detached = Seen(seen.images.detach(), [x.detach() for x in seen.maps])
                fake_output = self._score(detached, fake.labels)
        loss = settings.discriminator_weight * discriminator_loss(
            self.objective,
            real_output.scores,
            fake_output.scores,
            self.draw_targets("real", settings.real_label, len(real.images)),
            self.draw_targets("fake", settings.fake_label, len(fake.images)),
        )
        meters.add("adversarial_d", loss)
        for name, scores in (("real_score", real_output.scores), ("fake_score", fake_output.scores)):
            meters.add(name, (scores.sigmoid() if self.objective.logistic else scores).mean())
        terms = [
            loss,
            self._extra_fakes_loss(real_output.scores.detach()),
            self._extra_losses(real, fake, real_output.scores, fake_output.scores),
        ]
        if real_output.logits is None or fake_output.logits is None:
            return total(terms)
        labels = to_device(real.labels if real.told is None else real.told, self.device)
        attributes = self._attribute_loss("attributes_d", real_output.logits, labels)
        if self.recipe.attributes.on_fakes:
            attributes = attributes + self._attribute_loss("attributes_fake", fake_output.logits, fake.labels)
        accuracy = attribute_accuracy(real_output.logits, labels, self.schema.slices)
        meters.add("accuracy", accuracy, (count_known(labels) > 0).sum())
        return total([*terms, self.recipe.attributes.discriminator_weight * attributes])

    def _extra_fakes_loss(self, real_scores: Tensor) -> Tensor | float:
        """Of blurred and replayed pictures, each kind a batch of its own."""
        loss: Tensor | float = 0.0
        for name, extra in self.extras.items():
            images = extra.extra_fakes(len(real_scores), self.context())
            if images is None:
                continue
            purpose = extra.fakes_purpose
            with self.autocast:
                scores = self.discriminate(self.on_images(to_device(images, self.device), purpose), purpose).scores
            term = extra.fakes_weight * extra_fakes_loss(self.objective, scores, real_scores)
            self.meters.add(name, term)
            loss = loss + term
        return loss

    def _extra_losses(
        self, real: LabelledImages, fake: LabelledImages, real_scores: Tensor, fake_scores: Tensor
    ) -> Tensor | float:
        """What further terms extras add to the discriminator's loss."""

        def discriminate(images: Tensor, purpose: str) -> Tensor:
            return self.discriminate(images, purpose, fake.labels if purpose.startswith("fake") else real.labels).scores

        loss: Tensor | float = 0.0
        for name, extra in self.extras.items():
            with self.autocast:
                of_images = extra.discriminator_loss(real.images, fake.images, discriminate, self.context())
            for term in (of_images, extra.score_loss(real_scores, fake_scores, self.context())):
                if term is not None:
                    self.meters.add(name, term)
                    loss = loss + term
        return loss

    def _gradient_penalties(self, due: Collection[str], real: LabelledImages, fake: LabelledImages) -> Tensor | float:
        def share() -> Tensor:
            return to_device(torch.rand(len(real.images), generator=self._rng("penalty")), self.device)

        def scores(purpose: str, images: Tensor, labels: Tensor) -> Tensor:
            return self.discriminate(images, purpose, labels, real=purpose == "r1").scores

        with self.autocast_penalties:
            terms = due_gradient_penalties(self.recipe, due, self.state.images_seen, scores, real, fake, share)
        for name, term in terms.items():
            self.meters.add(name, term)
        return total(terms.values())

    def generator(self, losses: Collection[str], batch: Batch, fakes: Fakes | None) -> Tensor | float:
        """The sum of a phase's ``losses``, a scalar, on given fakes or on fresh ones."""
        main = self._generator_loss(batch, fakes) if "main" in losses else 0.0
        loss = total([main, self._path_length(len(batch.images)) if "path_length" in losses else 0.0])
        if "main" in losses:
            self.meters.add("loss_g", torch.as_tensor(loss))
        return loss

    def _generator_loss(self, batch: Batch, fakes: Fakes | None) -> Tensor:
        """The adversarial loss, classification, and that of extras."""
        with self.autocast:
            fakes = fakes or self.generate("generator", len(batch.images))
            with self.normalised_weights(self.state.discriminator):
                if fakes.seen is None:
                    output = self.discriminate(fakes.processed, "generator", fakes.labels)
                else:
                    output = self._score(fakes.seen, fakes.labels)
        real, real_scores = fakes.processed, output.scores  # placeholders, for losses that ask for no reals
        if self.generator_needs_reals:
            real = self.on_images(to_device(batch.images, self.device), "real")
        if self.objective.paired:
            with self.autocast, torch.no_grad():
                real_scores = self.discriminate(real, "generator/real", batch.labels).scores
        label = self.draw_targets("generator", self.recipe.objective.generator_label, len(fakes.processed))
        loss = generator_loss(self.objective, output.scores, real_scores, label)
        self.meters.add("adversarial_g", loss)
        if output.logits is not None:
            attributes = self._attribute_loss("attributes_g", output.logits, fakes.labels)
            loss = loss + self.recipe.attributes.generator_weight * attributes
        for name, extra in self.extras.items():
            term = extra.generator_loss(real, fakes.processed, self.context())
            if term is not None:
                self.meters.add(name, term)
                loss = loss + term
        return loss

    def _path_length(self, batch_size: int) -> Tensor:
        """Of fresh styles, a part of the batch (Karras et al. 2020, section 3.2)."""
        settings, state = self.recipe.penalties.path_length, self.state
        with self.autocast_penalties:
            latents, _, conditions = self.draw_inputs("path", max(1, batch_size // settings.shrink))
            rng = self._rng("synthesis/path")
            styles = self.styles(latents, conditions, rng)
            assert is_style_generator(state.generator)
            images = state.generator.synthesis(styles, random=rng)
            noise = randn(images.shape, rng, images.device)
            lengths = path_lengths(images, styles, noise)
            penalty, state.path_mean = path_length_penalty(lengths, state.path_mean, settings.decay)
        term = settings.weight * settings.every * penalty
        self.meters.add("path_length", state.path_mean)
        self.meters.add("path_penalty", term)
        return term

    def generate(self, purpose: str, count: int) -> Fakes:
        latents, labels, conditions = self.draw_inputs(purpose, count)
        generator = self.state.generator
        if is_style_generator(generator):
            rng, update_emas = self._rng(f"synthesis/{purpose}"), purpose == "discriminator"
            styles = self.styles(latents, conditions, rng, update_emas)
            images = generator.synthesis(styles, random=rng, update_emas=update_emas)
        else:
            images = generator(latents, conditions)
        return Fakes(images, self.on_images(images, f"fake/{purpose}"), to_device(labels, self.device), conditions)

    def draw_inputs(self, purpose: str, count: int) -> tuple[Tensor, Tensor, Tensor | None]:
        """Latents, labels (count, K) and conditions (count, A) for the generator."""
        recipe, rng = self.recipe, self._rng(f"latents/{purpose}")
        latents = draw_latents(count, recipe.latent.size, recipe.latent.distribution, rng)
        labels = self.schema.sample(count, rng, uniform=recipe.attributes.uniform)
        conditions = to_device(self.schema.encode(labels), self.device) if self.schema else None
        return to_device(latents, self.device), labels, conditions

    def styles(
        self, latents: Tensor, conditions: Tensor | None, rng: torch.Generator, update_emas: bool = False
    ) -> Tensor:
        """Styles (N, num_ws, w_dim) of latents (N, Z), changed as extras want it."""
        generator, latent = self.state.generator, self.recipe.latent
        assert is_style_generator(generator)

        def of_other_latents() -> Tensor:
            others = draw_latents(len(latents), latent.size, latent.distribution, rng)
            return generator.styles(to_device(others, latents.device), conditions)

        styles = generator.styles(latents, conditions, update_emas=update_emas)
        for extra in self.extras.values():
            styles = extra.on_styles(styles, of_other_latents, rng)
        return styles

    def discriminate(
        self, images: Tensor, purpose: str, labels: Tensor | None = None, *, real: bool = False
    ) -> DiscriminatorOutput:
        """The discriminator's output for images, seen as extras want it, with scores in float32."""
        images = self._as_shown(images, purpose)
        output = self.state.discriminator(images, self._codes(labels), *self.crop_places(purpose, len(images)))
        scores = output.scores.float()
        if real:
            for extra in self.extras.values():
                extra.on_real_scores(scores)
        return DiscriminatorOutput(scores, output.logits)

    def _score(self, seen: Seen, labels: Tensor) -> DiscriminatorOutput:
        output = self.state.discriminator(seen.images, self._codes(labels), maps=seen.maps)
        return DiscriminatorOutput(output.scores.float(), output.logits)

    def _codes(self, labels: Tensor | None) -> Tensor | None:
        """Labels as the networks are given them."""
        return to_device(self.schema.encode(labels), self.device) if self.schema and labels is not None else None

    def _as_shown(self, images: Tensor, purpose: str) -> Tensor:
        """Images augmented and noised, as extras want the discriminator to see them."""
        context = self.context()
        for extra in self.extras.values():
            images = extra.on_discriminator_input(images, purpose, context)
        return images

    def crop_places(self, purpose: str, count: int) -> tuple[Tensor, ...]:
        """Where the discriminator looks at crops of ``count`` pictures, if it does."""
        crops = self.state.discriminator.crops if self.state.generator.grown else 0
        return (torch.rand(count, crops, 2, generator=self._rng(f"crops/{purpose}")),) if crops else ()

    def on_images(self, images: Tensor, purpose: str) -> Tensor:
        """Images as extras show them to the discriminator, before augmentation."""
        context = self.context()
        for extra in self.extras.values():
            images = extra.on_images(images, purpose, context)
        return images

    def draw_targets(self, side: str, span: tuple[float, float], count: int) -> Tensor | float:
        """Labels of real (1) and fake (0): one number when all are alike, else (count,)."""
        flip = 0.0 if side == "generator" else self.recipe.objective.label_flip
        targets = draw_targets(span, flip, count, self._rng(f"labels/{side}"))
        return targets if isinstance(targets, float) else to_device(targets, self.device)

    def _attribute_loss(self, name: str, logits: Tensor, labels: Tensor) -> Tensor:
        losses = attribute_loss(logits, labels, self.schema.slices, self.recipe.attributes.loss)
        for attribute, loss, known in zip(self.schema.names, losses, count_known(labels), strict=True):
            self.meters.add(f"{name}/{attribute}", loss, known)
        return torch.stack(losses).mean()

    def context(self) -> StepContext:
        clock = self.state.images_seen
        of_shard = self.shards.purpose
        return StepContext(
            self.recipe, clock, self.device,
            lambda purpose, count: self.sampler.extra(of_shard(purpose), clock, count), of_shard,
        )  # fmt: skip

    def _rng(self, purpose: str) -> torch.Generator:
        return torch_generator(self.recipe.run.seed, self.shards.purpose(purpose), self.state.images_seen)


def total(terms: Iterable[Tensor | float]) -> Tensor | float:
    """The sum of the tensors among ``terms``: a zero that stands for no term would be a launch."""
    tensors = [term for term in terms if isinstance(term, Tensor)]
    return sum(tensors[1:], tensors[0]) if tensors else 0.0
