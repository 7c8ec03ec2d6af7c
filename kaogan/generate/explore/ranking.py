"""Best-of-N selection of faces: by discriminator score, by realism against real pictures, or by tagger quality."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from kaogan.aux_models.tagger import load_tagger
from kaogan.config import recipes
from kaogan.core import checkpoint
from kaogan.core.errors import KaoganError, UsageError, nearest
from kaogan.core.images import Pictures, to_float
from kaogan.core.progress import Progress, no_progress
from kaogan.data import PictureSet
from kaogan.generate.attribute_requests import AttributeRequest, AttributeRequests, merge_requests
from kaogan.generate.explore.latent_point import LatentPoint, check_count, points, render, stack_conditions
from kaogan.generate.model import Model
from kaogan.metrics.stats.manifold import Manifold
from kaogan.metrics.stats.neighbors import Points, blocks
from kaogan.networks import build_discriminator

Scorer = Callable[[Pictures, Tensor | None], np.ndarray]
"""Pictures uint8 (N, H, W, C) and conditions (N, A) -> scores (N,), higher is better."""

SCORERS = ("discriminator", "precision", "quality")
MAX_RANKED = 1_000_000
NEIGHBORS = 3  # k of the k-nearest-neighbour radii, as in the metric precision


@dataclass(frozen=True)
class Ranking:
    """The best of ``len(scores)`` images of a seed, best first."""

    points: list[LatentPoint]
    numbers: np.ndarray  # int64 (K,): their numbers within the seed
    scores: np.ndarray  # float (N,): of all candidates, in the order of their numbers


def rank(
    model: Model, scorer: Scorer, count: int = 64, of: int = 1024, *, seed: int = 0, truncation: float = 1.0,
    progress: Progress = no_progress, attributes: AttributeRequests | None = None, **named: AttributeRequest,
) -> Ranking:  # fmt: skip
    """The ``count`` images of ``model.sample(of, seed=seed)`` with the highest scores; ties go to the lower number.

    Memory grows only with ``count``. Raises UsageError; KaoganError for scores that are not finite.
    """
    check_count(of, "faces to choose from", maximum=MAX_RANKED)
    check_count(count, "faces", maximum=of)
    requests = merge_requests(attributes, named)
    scores = []
    for start in range(0, of, model.batch_size):
        batch = points(model, seed, min(model.batch_size, of - start), start, requests)
        scores.append(scorer(render(model, batch, truncation), stack_conditions(model, batch)))
        progress(start + len(batch), of, "scoring")
    joined = np.concatenate(scores)
    if not np.isfinite(joined).all():
        raise KaoganError("some scores are not finite: this scorer does not work here; choose another one (--by)")
    numbers = np.argsort(-joined, kind="stable")[:count]
    chosen = [points(model, seed, 1, int(number), requests)[0] for number in numbers]
    return Ranking(chosen, numbers, joined)


def scorer_for(
    name: str | None, model: Model, run: Path, real: PictureSet | None = None, progress: Progress = no_progress
) -> tuple[str, Scorer]:
    """The name and function of a scorer: ``discriminator`` of the run folder ``run``, ``precision`` against the
    pictures ``real``, or ``quality`` by the tagger. Without a name, the first of these that is available.

    Raises UsageError or KaoganError.
    """
    if name is not None and name not in SCORERS:
        raise UsageError(f"unknown scorer '{name}'{nearest(name, SCORERS)}")
    name = name or ("discriminator" if _is_run(run) else "precision" if real is not None else "quality")
    if name == "discriminator":
        return name, discriminator_score(model, run)
    if name == "quality":
        return name, quality_score()
    if real is None:
        raise UsageError("precision needs real pictures; give them with --data SET")
    return name, realism_score(real, progress)


def _is_run(folder: Path) -> bool:
    return (folder / "recipe.yaml").is_file() and bool(checkpoint.find(folder / "checkpoints"))


def discriminator_score(model: Model, run: Path) -> Scorer:
    """Scores by the discriminator of the run's newest checkpoint. Raises KaoganError or UsageError."""
    if not _is_run(run):
        raise UsageError(
            f"{run} holds no checkpoint, so it has no discriminator; name a run, or choose another scorer: --by quality"
        )
    recipe = recipes.load(run / "recipe.yaml")
    with torch.random.fork_rng(devices=[]):
        discriminator = build_discriminator(
            recipe.discriminator, attribute_sizes=model.attributes.sizes, image_size=model.image_size,
            channels=model.channels,
        )  # fmt: skip
    path = checkpoint.find(run / "checkpoints")[-1]
    tensors, _ = checkpoint.load(path)
    prefix = "discriminator/"
    try:
        discriminator.load_state_dict({k.removeprefix(prefix): v for k, v in tensors.items() if k.startswith(prefix)})
    except RuntimeError:
        raise KaoganError(f"the discriminator in {path} does not match {run / 'recipe.yaml'}") from None
    discriminator.eval().requires_grad_(False)

    @torch.inference_mode()
    def score(pictures: Pictures, conditions: Tensor | None) -> np.ndarray:
        scores = discriminator(to_float(pictures), conditions).scores
        return scores.reshape(len(pictures), -1).mean(1).numpy()  # the mean over several heads

    return score


def realism_score(real: PictureSet, progress: Progress = no_progress) -> Scorer:
    """Realism score in tagger features: the largest ratio of a real picture's k-NN radius to the distance from it.

    An image with a score above 1 counts as precise. Kynkäänniemi et al. 2019, eq. 3; as there, the half of the real
    pictures with the larger radii is left out. Raises KaoganError if there are too few real pictures.
    """
    tagger = load_tagger()
    parts = []
    for start in range(0, len(real), 128):
        parts.append(tagger.predict(_rgb(np.asarray(real.images[start : start + 128]))).features)
        progress(min(start + 128, len(real)), len(real), "features of real pictures")
    features = np.concatenate(parts)
    centre = features.mean(0, dtype=np.float64)
    radii = Manifold(Points(features, centre), NEIGHBORS).radii
    kept = radii <= np.median(radii)
    neighbors, reach = Points(features[kept], centre), radii[kept]

    def score(pictures: Pictures, conditions: Tensor | None) -> np.ndarray:
        probes = Points(tagger.predict(_rgb(pictures)).features, centre)
        ratios = [(reach / np.maximum(distances, 1e-12)).max(1) for _, distances in blocks(probes, neighbors)]
        return np.concatenate(ratios)

    return score


def quality_score() -> Scorer:
    """Scores by the tagger: the probability of a face times that of an undamaged one."""
    tagger = load_tagger()

    def score(pictures: Pictures, conditions: Tensor | None) -> np.ndarray:
        prediction = tagger.predict(_rgb(pictures))
        return prediction.face * prediction.quality

    return score


def _rgb(pictures: Pictures) -> Pictures:
    return np.repeat(pictures, 3, 3) if pictures.shape[3] == 1 else pictures
