"""The best of many faces: by the discriminator of the run, by closeness to real pictures, or by the tagger's eye."""

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
from kaogan.data import PictureSet
from kaogan.generate.explore.latent_point import Point, check_count, points, render
from kaogan.generate.model import Asked, Model, Progress
from kaogan.metrics.stats.manifold import Manifold
from kaogan.metrics.stats.neighbors import Points, blocks
from kaogan.networks import build_discriminator

Score = Callable[[Pictures, Tensor | None], np.ndarray]  # pictures (N, H, W, C), codes (N, A) -> (N,), higher is better

JUDGES = ("discriminator", "precision", "quality")
MOST_TRIED = 1_000_000
NEIGHBOUR = 3  # k of the balls, as in the metric of precision


@dataclass(frozen=True)
class Best:
    """The best of ``len(scores)`` pictures of a seed, best first."""

    points: list[Point]
    numbers: np.ndarray  # int64 (K,): which pictures of the seed they are
    scores: np.ndarray  # float (N,): of all that were tried, in the order of their numbers


def best(
    model: Model, score: Score, count: int = 64, of: int = 1024, *, seed: int = 0, truncation: float = 1.0,
    progress: Progress | None = None, **attributes: Asked,
) -> Best:  # fmt: skip
    """The ``count`` pictures of ``model.sample(of, seed=seed)`` with the highest scores. Raises UsageError.

    Ties go to the lower number. Only the scores are kept of those that are not chosen.
    """
    check_count(of, "faces to choose from", most=MOST_TRIED)
    check_count(count, "faces", most=of)
    scores = []
    for start in range(0, of, model.chunk):
        some = _some(model, seed, start, min(model.chunk, of - start), attributes)
        codes = torch.stack([each.code for each in some if each.code is not None]) if model.attributes else None
        scores.append(score(render(model, some, truncation), codes))
        if progress:
            progress(start + len(some), of)
    joined = np.concatenate(scores)
    if not np.isfinite(joined).all():
        raise KaoganError("some scores are not numbers: the judge is broken; choose another")
    numbers = np.argsort(-joined, kind="stable")[:count]
    chosen = [_some(model, seed, int(number), 1, attributes)[0] for number in numbers]
    return Best(chosen, numbers, joined)


def _some(model: Model, seed: int, start: int, count: int, attributes: dict[str, Asked]) -> list[Point]:
    return points(model, seed, count, start, **attributes)


def judge_of(
    word: str | None, model: Model, run: Path, real: PictureSet | None = None, progress: Progress | None = None
) -> tuple[str, Score]:
    """The judge that a word names: ``discriminator`` of the run in the folder ``run``, ``precision`` against the
    pictures ``real``, or the tagger's ``quality``; without a word the first of them that there is.

    Raises UsageError or KaoganError.
    """
    if word is not None and word not in JUDGES:
        raise UsageError(f"unknown judge '{word}'{nearest(word, JUDGES)}")
    word = word or ("discriminator" if _is_run(run) else "precision" if real is not None else "quality")
    if word == "discriminator":
        return word, discriminator_score(model, run)
    if word == "quality":
        return word, quality_score()
    if real is None:
        raise UsageError("precision needs real pictures: --data SET")
    return word, realism_score(real, progress)


def _is_run(folder: Path) -> bool:
    return (folder / "recipe.yaml").is_file() and bool(checkpoint.find(folder / "checkpoints"))


def discriminator_score(model: Model, run: Path) -> Score:
    """What the discriminator of the run's last checkpoint says. Raises KaoganError or UsageError."""
    if not _is_run(run):
        raise UsageError(
            f"{run} holds no checkpoint, so there is no discriminator; name a run, or another judge: --by quality"
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
        raise KaoganError(f"{path} holds a discriminator of another network than {run / 'recipe.yaml'} says") from None
    discriminator.eval().requires_grad_(False)

    @torch.inference_mode()
    def score(pictures: Pictures, codes: Tensor | None) -> np.ndarray:
        scores = discriminator(to_float(pictures), codes).scores
        return scores.reshape(len(pictures), -1).mean(1).numpy()  # of several heads

    return score


def realism_score(real: PictureSet, progress: Progress | None = None) -> Score:
    """The largest ratio of a real picture's reach (the distance to its third neighbour) to the distance from it, in the
    tagger's features; above 1 a picture counts for the metric of precision.

    Kynkäänniemi et al. 2019, eq. 3; the half of the real pictures that reaches farthest is left out, as there.
    Raises KaoganError when there are too few real pictures.
    """
    tagger = load_tagger()
    parts = []
    for start in range(0, len(real), 128):
        parts.append(tagger.predict(_rgb(np.asarray(real.images[start : start + 128]))).features)
        if progress:
            progress(min(start + 128, len(real)), len(real))
    features = np.concatenate(parts)
    centre = features.mean(0, dtype=np.float64)
    radii = Manifold(Points(features, centre), NEIGHBOUR).radii
    kept = radii <= np.median(radii)
    balls, reach = Points(features[kept], centre), radii[kept]

    def score(pictures: Pictures, codes: Tensor | None) -> np.ndarray:
        probes = Points(tagger.predict(_rgb(pictures)).features, centre)
        ratios = [(reach / np.maximum(distances, 1e-12)).max(1) for _, distances in blocks(probes, balls)]
        return np.concatenate(ratios)

    return score


def quality_score() -> Score:
    """The tagger's opinion: is it a face, and is it a whole one? The product of both probabilities."""
    tagger = load_tagger()

    def score(pictures: Pictures, codes: Tensor | None) -> np.ndarray:
        prediction = tagger.predict(_rgb(pictures))
        return prediction.face * prediction.quality

    return score


def _rgb(pictures: Pictures) -> Pictures:
    return np.repeat(pictures, 3, 3) if pictures.shape[3] == 1 else pictures
