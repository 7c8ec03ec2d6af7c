"""Failures of a GAN's training, recognised from its running statistics.

``find_failure`` is a function of the last lines of stats.jsonl and of a few facts about the run: it costs nothing and
changes nothing. The distances between samples, which it needs, are measured on a few thinned pictures of a batch.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from kaogan.config.recipe import Recipe
from kaogan.core.meters import Meters
from kaogan.data import PictureSet
from kaogan.losses import OBJECTIVES

SAMPLES_EVERY = 256  # images between two looks at the pictures of a batch
COMPARED = 32  # pictures of a batch
SIDE = 16  # px to which they are thinned

LINES = 8  # that find_failure looks at, at most
WINDOW = 2  # of them that must agree
EARLIEST = 1_500  # images before which a generator may still draw one grey blob
LABELS_LEARNT = 2_000  # images after which some attribute should be told better than by chance
EACH_LABEL_LEARNT = 50_000  # and each of them
WON = 0.005  # of the discriminator's loss at chance: what is left of it when every picture is told apart
LIMIT = 100.0  # a loss or score, of objectives whose values are a few units
ALIKE = 0.05  # of the distance between real pictures
SATURATED = 0.5  # of all values of generated pictures, beyond the share that real ones have
RETURNING = 0.95  # of that share a line before: a StyleGAN of 256 px begins with 0.7 and comes back by itself
SAME = 0.01  # distance of real pictures, of a range of 2
AT_CHANCE = 0.99  # of the loss of who only knows how often each value occurs
WORSE = 1.005  # times the discriminator's loss when it tells nothing apart
FEW = 1_000  # pictures, and with augmentation
FEW_AUGMENTED = 200
EPOCHS = 3  # after which a small set is said to be small


@dataclass(frozen=True)
class Failure:
    """One sight, in three plain sentences."""

    name: str
    seen: str
    means: str
    remedy: str

    def __str__(self) -> str:
        return f"{self.seen}: {self.means}. Try {self.remedy}"


@dataclass(frozen=True)
class RunFacts:
    """What the statistics are to be read with."""

    objective: str = "bce"
    weight: float = 1.0
    """Of the adversarial part of the discriminator's loss."""
    labels: tuple[float, float] = (1.0, 0.0)
    """What the discriminator scores real and generated pictures, on average."""
    image_size: int = 64
    pictures: int = 10_000
    augmented: bool = False
    adapted: bool = False
    """Whether it began with a trained model, for which few pictures are enough."""
    limited: bool = True
    """Whether a penalty, clipping or spectral norm limits the discriminator's slope."""
    chance: Mapping[str, float] = field(default_factory=dict)
    """Attribute -> the classification loss of who only knows how often each value occurs."""

    @classmethod
    def of(cls, recipe: Recipe, pictures: PictureSet) -> RunFacts:
        objective, flip, penalties = recipe.objective, recipe.objective.label_flip, recipe.penalties
        real, fake = (sum(span) / 2 for span in (objective.real_label, objective.fake_label))
        priors = {each.name: each.priors for each in pictures.schema.attributes}
        entropy = _binary_entropy if recipe.attributes.loss == "sigmoid" else _entropy
        return cls(
            objective.name,
            objective.discriminator_weight,
            (real + flip * (1 - 2 * real), fake + flip * (1 - 2 * fake)),
            recipe.image_size,
            len(pictures.images),
            recipe.extras.augment.name != "none",
            bool(recipe.training.start_from),
            any(part.weight for part in (penalties.gradient_penalty, penalties.r1, penalties.r2))
            or bool(penalties.clip or getattr(recipe.discriminator, "spectral", False)),
            {name: entropy(values) for name, values in priors.items()},
        )


# Objective -> the discriminator's loss when all scores are alike; the Wasserstein distance has none.
CHANCE = {"bce": 2 * math.log(2), "softplus": 2 * math.log(2), "lsgan": 0.25, "hinge": 2.0, "relativistic": math.log(2)}


def find_failure(lines: Sequence[Mapping[str, Any]], facts: RunFacts) -> Failure | None:
    """What is wrong with the run whose statistics end with ``lines``, the gravest first; None for a healthy one."""
    recent = [line for line in lines if "loss_d" in line][-WINDOW:]
    if not recent:
        return None
    for check in (_runaway, _same_reals, _saturated, _won, _blind, _no_variety, _labels, _small_set):
        if found := check(recent, facts):
            return found
    return None


def _runaway(recent: Sequence[Mapping[str, Any]], facts: RunFacts) -> Failure | None:
    if facts.objective == "wasserstein":
        gaps = [line["real_score"] - line["fake_score"] for line in recent]
        # A critic of slope 1 cannot tell two pictures apart by more than their distance: the cube's diagonal.
        free = not facts.limited and len(gaps) == WINDOW and gaps[-1] > 1.5 * abs(gaps[0])
        seen = f"the critic's difference is {gaps[-1]:.3g}" + (" and grows, and nothing limits its slope" * free)
        found = free or abs(gaps[-1]) > 2 * math.sqrt(3) * facts.image_size
    else:
        names = {"adversarial_d": "the discriminator's loss", "adversarial_g": "the generator's loss"}
        key = max(names, key=lambda key: abs(recent[-1].get(key, 0.0)))
        seen = f"{names[key]} is {recent[-1].get(key, 0.0):.3g}"
        found = abs(recent[-1].get(key, 0.0)) > LIMIT
    if not found:
        return None
    return Failure(
        "runaway",
        seen,
        "the networks run away from each other, and pictures do not get better",
        "a lower --optim.lr, or a penalty on the discriminator's slope (--penalties.r1.weight auto, for a critic "
        "--penalties.gradient_penalty.weight 10)",
    )


def _same_reals(recent: Sequence[Mapping[str, Any]], facts: RunFacts) -> Failure | None:
    distances = [line["real_distance"] for line in recent if "real_distance" in line]
    if len(distances) < WINDOW or max(distances) > SAME:
        return None
    return Failure(
        "same-pictures", "the pictures of the set are all alike", "there is nothing to learn but one picture",
        "another set, or 'kaogan prepare', which drops copies",
    )  # fmt: skip


def _won(recent: Sequence[Mapping[str, Any]], facts: RunFacts) -> Failure | None:
    left = [_left_to_tell(line, facts) for line in recent]
    if len(recent) < WINDOW or any(share is None or share > WON for share in left):
        return None
    last = recent[-1]
    return Failure(
        "discriminator-won",
        f"the discriminator tells every picture (loss {last['adversarial_d']:.2g}, D(x) {last['real_score']:.2f}, "
        f"D(G(z)) {last['fake_score']:.2f})",
        "the generator gets no slope to learn from",
        "a lower --optim.discriminator.lr, a smaller discriminator, --penalties.r1.weight auto, or "
        "--extras.instance_noise.amount 0.1",
    )  # fmt: skip


def _blind(recent: Sequence[Mapping[str, Any]], facts: RunFacts) -> Failure | None:
    if len(recent) < WINDOW or recent[-1]["clock"] < EARLIEST or facts.objective not in CHANCE:
        return None
    losses = [line.get("adversarial_d", 0.0) / (facts.weight or 1) for line in recent]
    if min(losses) <= WORSE * CHANCE[facts.objective]:
        return None
    last = recent[-1]
    return Failure(
        "discriminator-blind",
        f"the discriminator is worse than chance (loss {losses[-1]:.3g}, D(x) {last['real_score']:.2f}, D(G(z)) "
        f"{last['fake_score']:.2f})",
        "it learns nothing, so that the generator cannot either",
        "a lower --optim.discriminator.lr, a smaller penalty, or fewer flipped labels",
    )


def _saturated(recent: Sequence[Mapping[str, Any]], facts: RunFacts) -> Failure | None:
    shares = [(line["fake_saturated"], line["real_saturated"]) for line in recent if "fake_saturated" in line]
    if len(shares) < WINDOW or any(fake <= SATURATED + (1 - SATURATED) * real for fake, real in shares):
        return None
    if shares[-1][0] < RETURNING * shares[0][0]:
        return None
    return Failure(
        "saturated",
        f"{shares[-1][0]:.0%} of the values of generated pictures are black or white",
        "the generator's weights ran away to where it has no slope any more",
        "a lower --optim.generator.lr, and begin anew",
    )


def _no_variety(recent: Sequence[Mapping[str, Any]], facts: RunFacts) -> Failure | None:
    shares = [
        line["fake_distance"] / line["real_distance"]
        for line in recent
        if line["clock"] >= EARLIEST and line.get("real_distance")
    ]
    if len(shares) < WINDOW or max(shares) > ALIKE:
        return None
    return Failure(
        "no-variety",
        f"generated pictures differ {shares[-1]:.0%} as much as real ones",
        "the generator draws the same picture for every latent (mode collapse)",
        "a lower --optim.lr, a penalty (--penalties.r1.weight auto), a larger batch, or an earlier checkpoint",
    )  # fmt: skip


def _labels(recent: Sequence[Mapping[str, Any]], facts: RunFacts) -> Failure | None:
    clock = recent[-1]["clock"]
    losses = {name: [line.get(f"attributes_d/{name}", 0.0) for line in recent] for name in facts.chance}
    at_chance = [
        name for name, values in losses.items() if facts.chance[name] and min(values) > AT_CHANCE * facts.chance[name]
    ]
    all_of_them = len(at_chance) == len(facts.chance)
    if not at_chance or clock < (LABELS_LEARNT if all_of_them else EACH_LABEL_LEARNT):
        return None
    return Failure(
        "labels-at-chance",
        f"{', '.join(at_chance)} {'is' if len(at_chance) == 1 else 'are'} told no better than by chance so far",
        "the labels do not fit the pictures, or are hard to see at this size",
        "to look at labels.csv beside the pictures, a larger --image-size, or fewer --attributes.names",
    )  # fmt: skip


def _small_set(recent: Sequence[Mapping[str, Any]], facts: RunFacts) -> Failure | None:
    few = FEW_AUGMENTED if facts.augmented else FEW
    if facts.adapted or facts.pictures >= few or recent[-1]["clock"] < EPOCHS * facts.pictures:
        return None
    return Failure(
        "small-set",
        f"the set has {facts.pictures:,} pictures, fewer than {few:,}",
        "the discriminator learns them by heart, and the generator copies them",
        "more pictures, or --extras.augment.name ada" if not facts.augmented else "more pictures",
    )  # fmt: skip


def _left_to_tell(line: Mapping[str, Any], facts: RunFacts) -> float | None:
    """The discriminator's loss on a scale from 0, every picture told apart, to 1, none; None where there is no such."""
    if facts.objective not in CHANCE or "adversarial_d" not in line:
        return None
    least = sum(_binary_entropy_of(label) for label in facts.labels) if OBJECTIVES[facts.objective].logistic else 0.0
    if least > 0.9 * CHANCE[facts.objective]:  # the labels themselves tell next to nothing
        return None
    return float((line["adversarial_d"] / (facts.weight or 1) - least) / (CHANCE[facts.objective] - least))


def _entropy(priors: Sequence[float]) -> float:
    return -sum(p * math.log(p) for p in priors if p)


def _binary_entropy(priors: Sequence[float]) -> float:
    return sum(map(_binary_entropy_of, priors)) / len(priors)


def _binary_entropy_of(p: float) -> float:
    return _entropy((p, 1 - p))


def add_sample_statistics(meters: Meters, **samples: Tensor) -> None:
    """Note ``sample_statistics`` of each kind of images under its name."""
    for name, images in samples.items():
        distance, saturated = sample_statistics(images)
        meters.add(f"{name}_distance", distance)
        meters.add(f"{name}_saturated", saturated)


@torch.no_grad()
def sample_statistics(images: Tensor) -> tuple[Tensor, Tensor]:
    """Images (N, C, H, W) in [-1, 1] -> two scalars about the first 32 of them, thinned: how far, root mean square over
    values, each is from the nearest other one, on average; and the share of values that are black or white."""
    stride = max(1, images.shape[-1] // SIDE)
    values = images.detach()[:COMPARED, :, ::stride, ::stride].float().flatten(1)
    saturated = (values.abs() > 0.99).float().mean()
    if len(values) < 2:
        return values.new_zeros(()), saturated
    # Not by a matrix product, in which equal pictures are not quite at 0.
    distances = torch.cdist(values, values, compute_mode="donot_use_mm_for_euclid_dist")
    distances.fill_diagonal_(float("inf"))
    return distances.min(1).values.mean() / values.shape[1] ** 0.5, saturated
