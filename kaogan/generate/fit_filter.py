"""Fitting of a model's latent filter: how bad its faces are, by their eyes or by real ones, and a perceptron for it."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from kaogan.aux_models.eye_judge.judge import EyeJudge
from kaogan.core.atomic_io import explain, write_text
from kaogan.core.errors import KaoganError, UsageError
from kaogan.core.images import Pictures, to_float
from kaogan.core.progress import Progress, no_progress
from kaogan.core.rng import draw_latents, numpy_generator, seed_for, torch_generator
from kaogan.core.weights_file import read_weights
from kaogan.data import PictureSet
from kaogan.generate.latent_filter import FILTER, LEVELS, LatentFilter, digest_of, write_filter
from kaogan.generate.model import Model
from kaogan.generate.model_card import with_filter
from kaogan.generate.model_io import CARD, WEIGHTS
from kaogan.metrics.stats.neighbors import nearest, points_of
from kaogan.networks.feature_networks import FeatureNetwork, FeatureNetworkSettings, build_feature_networks

NETWORKS = ("tagger", "mobilenet_v2")
COMPONENTS = 64  # principal components of the features
NEIGHBORS = 5  # real pictures that a distance is the mean of
LEAST_REFERENCES, LEAST_SAMPLES = 100, 100
HELD_OUT = 5  # one latent more for so many that are learnt from
WIDTH, EPOCHS, LEAST_STEPS, BATCH = 32, 10, 800, 100  # wider ones foretell little better (docs/results/kao-log.md)
FRESH = 10_000  # latents of the quantiles
WORST = 0.2  # of the faces, whose rejection is reported
LEAST_AGREEMENT = 0.3  # a choice: half the latents rejected are then two thirds of the worst fifth, by chance half
READ_AT_ONCE = 64
CPU = torch.device("cpu")


Measure = Callable[[Pictures], np.ndarray]
"""Faces uint8 (N, S, S, C) -> float (N,), how bad each is: lower is better."""


def fit_filter(
    model: Model, measure: Measure | None = None, *, samples: int = 20_000, seed: int = 0,
    progress: Progress = no_progress,
) -> LatentFilter:  # fmt: skip
    """A latent filter for ``model``, learnt from what ``measure`` says of ``samples`` of its faces: by default the
    ``EyeJudge``, which looks at their eyes. Another measure is taken for a distance to real pictures.

    Attributes are drawn from their priors. The ``report`` has, of latents that were not learnt from: ``correlation`` of
    what is foretold with what is, of the judge's chances their log odds; ``rejected``, the share of the truly worst
    fifth that the usual keep rejects; ``kept`` and ``drawn``, the means of what it keeps and of all; and ``eyes``, 1 if
    it was the judge, else 0. The same
    seed gives the same filter. Raises UsageError.
    """
    if samples < LEAST_SAMPLES:
        raise UsageError(f"a latent filter learns from {LEAST_SAMPLES} samples or more, not {samples}")
    judge = measure or EyeJudge(model.device)
    by_eyes = isinstance(judge, EyeJudge)
    count = samples + max(samples // HELD_OUT, 2)
    latents = _latents(model, count, seed, "filter/latents")
    scores = np.empty(0)
    progress(0, count, "drawing faces")
    for pictures in _pictures(model, latents, seed):
        scores = np.append(scores, judge(pictures))
        progress(len(scores), count, "drawing faces")
    # Chances are learnt as log odds, which are foretold better (docs/results/kao-log.md).
    targets = torch.logit(torch.from_numpy(scores).double(), 1e-3) if by_eyes else torch.from_numpy(scores)
    layers = _trained(latents[:samples], targets[:samples].float(), seed, progress)
    fresh = LatentFilter(layers, torch.empty(0))(_latents(model, FRESH, seed, "filter/quantiles"))
    kind = {"eyes": float(by_eyes)}
    fitted = LatentFilter(layers, fresh.quantile(torch.linspace(0, 1, LEVELS, dtype=torch.float64)), kind)
    report = _report(fitted, latents[samples:], scores[samples:], targets[samples:].numpy())
    return replace(fitted, report=report | kind)


def save_filter(model: Model, fitted: LatentFilter, folder: Path, *, anyway: bool = False) -> None:
    """Put a filter into the ``folder`` of its model, and what it changes onto the card and the preview there.

    Raises KaoganError, nothing written, when it foretells too little, unless ``anyway``, and when ``folder`` by now
    holds other weights than ``model``.
    """
    agreement = fitted.report["correlation"]
    if agreement < LEAST_AGREEMENT and not anyway:
        raise KaoganError(
            f"the filter foretells too little (r = {agreement:.2f} on latents that it has not seen, "
            f"{LEAST_AGREEMENT} is needed), so nothing was written; give more --samples, or --force it"
        )
    if digest_of(read_weights(folder / WEIGHTS)[0]) != digest_of(model.generator.state_dict()):
        raise KaoganError(
            f"the model in {folder} was changed meanwhile, by its training perhaps, so nothing was written; fit the "
            "filter again when that has ended"
        )
    card = folder / CARD
    try:
        text = card.read_text(encoding="utf-8") if card.is_file() else None
    except (OSError, UnicodeDecodeError) as error:
        raise (
            explain(error, card)
            if isinstance(error, OSError)
            else KaoganError(f"{card} is not text, so nothing was written; remove it or write it anew")
        ) from error
    Model(model.generator, model.attributes, model.config, device=model.device, latent_filter=fitted).save_preview(
        folder
    )
    if text is not None:
        write_text(card, with_filter(text, fitted))
    # Last: where there is one, all else is as it should be.
    write_filter(folder / FILTER, fitted, model.generator.state_dict())


class DistanceToReal:
    """The mean distance of a picture to the 5 nearest of ``references`` real ones, in the 64 whitened principal
    components of pooled features. Raises UsageError."""

    def __init__(
        self, real: PictureSet, references: int = 2_000, *, seed: int = 0, device: torch.device = CPU,
        progress: Progress = no_progress,
    ) -> None:  # fmt: skip
        if min(references, len(real)) < LEAST_REFERENCES:
            raise UsageError(
                f"a latent filter needs {LEAST_REFERENCES} real pictures or more: {real.source} has {len(real):,}, and "
                f"{references:,} are asked for"
            )
        rows = np.sort(numpy_generator(seed, "filter/references").permutation(len(real))[:references])
        self.features = PooledFeatures(device)
        parts: list[np.ndarray] = []
        for pictures in real.batches(READ_AT_ONCE, rows):
            parts.append(self.features(pictures))
            progress(sum(map(len, parts)), len(rows), "reading real pictures")
        self.space = WhitenedReals(np.concatenate(parts))

    def __call__(self, pictures: Pictures) -> np.ndarray:
        return self.space.distances(self.features(pictures))


class PooledFeatures:
    """Pictures -> the mean and the maximum over each map of trained networks, float32 (N, D)."""

    def __init__(self, device: torch.device) -> None:
        entries = [FeatureNetworkSettings(name=name) for name in NETWORKS]
        self.device = device
        self.networks: list[FeatureNetwork] = [
            network.eval().to(device) for network in build_feature_networks(entries, learn=False)
        ]

    @torch.inference_mode()
    def __call__(self, pictures: Pictures) -> np.ndarray:
        images = to_float(pictures).to(self.device)
        maps = [each for network in self.networks for each in network(network.resize(images))]
        pooled = torch.cat([part for each in maps for part in (each.mean((2, 3)), each.amax((2, 3)))], 1)
        return pooled.float().cpu().numpy()


class WhitenedReals:
    """Real features (N, D) in their first principal components, standardised before and whitened behind."""

    def __init__(self, features: np.ndarray) -> None:
        self.mean, self.deviation = features.mean(0), features.std(0) + 1e-6
        standard = self._standard(features)
        _, lengths, axes = np.linalg.svd(standard, full_matrices=False)
        used = min(COMPONENTS, len(features) - 1)
        self.projection = axes[:used].T / np.maximum(lengths[:used] / len(features) ** 0.5, 1e-6)
        self.references = standard @ self.projection

    def distances(self, features: np.ndarray) -> np.ndarray:
        """(N, D) -> (N,): the mean distance to the nearest real pictures."""
        real, fake = points_of(self.references, self._standard(features) @ self.projection)
        return nearest(fake, real, NEIGHBORS)[0].mean(1)

    def _standard(self, features: np.ndarray) -> np.ndarray:
        return ((features - self.mean) / self.deviation).astype(np.float64)


def _latents(model: Model, count: int, seed: int, purpose: str) -> Tensor:
    return draw_latents(
        count, model.latent_size, model.config["latent"]["distribution"], torch_generator(seed, purpose)
    )


def _pictures(model: Model, latents: Tensor, seed: int) -> Iterable[Pictures]:
    schema = model.attributes
    labels = torch_generator(seed, "filter/labels")
    conditions = schema.encode(schema.sample(len(latents), labels)) if schema else None
    for start in range(0, len(latents), model.batch_size):
        part = slice(start, start + model.batch_size)
        yield model.generate(latents[part], None if conditions is None else conditions[part])


def _trained(latents: Tensor, scores: Tensor, seed: int, progress: Progress) -> list[tuple[Tensor, Tensor]]:
    """The layers of a perceptron that foretells the scores: AdamW with one cycle of the learning rate."""
    sizes = (latents.shape[1], WIDTH, WIDTH, 1)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed_for(seed, "filter/network"))
        linear = [nn.Linear(before, after) for before, after in pairwise(sizes)]
    network = nn.Sequential(linear[0], nn.SiLU(), linear[1], nn.SiLU(), linear[2])
    mean, deviation = scores.mean(), scores.std().clamp(min=1e-6)
    targets = ((scores - mean) / deviation)[:, None]
    optimizer = torch.optim.AdamW(network.parameters(), 2e-3, weight_decay=0.1)
    steps = -(-len(latents) // BATCH)
    epochs = max(EPOCHS, -(-LEAST_STEPS // steps))
    total = epochs * steps
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 4e-3, total_steps=total)
    order = torch_generator(seed, "filter/order")
    done = 0
    for _ in range(epochs):
        for rows in torch.randperm(len(latents), generator=order).split(BATCH):
            loss = (network(latents[rows]) - targets[rows]).square().mean()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
            done += 1
            progress(done, total, "fitting")
    with torch.no_grad():
        linear[-1].weight.mul_(deviation)
        linear[-1].bias.mul_(deviation).add_(mean)
    return [(_rounded(each.weight.detach()), _rounded(each.bias.detach())) for each in linear]


def _rounded(numbers: Tensor) -> Tensor:
    """float64, to what a file of half the size can hold, where that is large enough."""
    half = numbers.half()
    return (half if torch.isfinite(half).all() else numbers).double()


def _report(fitted: LatentFilter, latents: Tensor, scores: np.ndarray, targets: np.ndarray) -> dict[str, float]:
    foretold = fitted(latents).numpy()
    kept = foretold <= fitted.threshold(fitted.usual_keep)
    worst = scores > np.quantile(scores, 1 - WORST)
    varied = foretold.std() > 0 and scores.std() > 0
    return {
        "correlation": float(np.corrcoef(foretold, targets)[0, 1]) if varied else 0.0,
        "rejected": float((~kept)[worst].mean()) if worst.any() else 0.0,
        "kept": float(scores[kept].mean()) if kept.any() else float("nan"),
        "drawn": float(scores.mean()),
    }
