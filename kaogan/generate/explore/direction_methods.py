"""Finding directions: SeFa, PCA (GANSpace), per-face tagger edits, and regression on tagger outputs."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from kaogan.aux_models.tagger import load_tagger
from kaogan.core.errors import KaoganError, UsageError, nearest
from kaogan.core.progress import Progress, no_progress
from kaogan.generate.explore.attribute_directions import TaggerDirections
from kaogan.generate.explore.directions import Directions
from kaogan.generate.explore.first_layer import first_features, first_map, style_maps
from kaogan.generate.explore.latent_grids import layer_range
from kaogan.generate.explore.latent_point import (
    LatentPoint,
    check_count,
    points,
    render,
    stack_conditions,
    style_generator,
    with_styles,
)
from kaogan.generate.explore.paths import default_interpolation
from kaogan.generate.model import Model

METHODS = ("sefa", "pca", "tagger", "regression")
SAMPLES = 2000  # default of PCA and regression
RIDGE = 0.005  # ridge penalty per sample, for latents of variance 1
TARGET_LOG_ODDS = 4.0  # reached by an average picture at strength 1: a probability of 98 %
MIN_PROBABILITY = 1e-4  # smaller tagger probabilities carry no information


def find_directions(
    model: Model, method: str = "sefa", count: int = 8, *, samples: int = SAMPLES, seed: int = 0,
    space: str | None = None, layers: str | None = None, keep: Sequence[str] = (), progress: Progress = no_progress,
) -> Directions | TaggerDirections:  # fmt: skip
    """Find directions of ``model``; ``space`` defaults to w for StyleGAN models and to z for others.

    ``sefa``: the ``count`` leading eigenvectors of AᵀA, A the weights of the first layers (Shen & Zhou 2021).
    ``pca``: the principal components of w, or of the activations behind the first layer regressed back to z, over
    ``samples`` images (Härkönen et al. 2020, GANSpace). ``tagger``: one direction for each attribute value of kaogan's
    tagger, "hair=blue", optimized for each face and keeping the attributes ``keep`` (default: all others), see
    ``TaggerDirections``. ``regression``: the same names, but one vector for all faces, from a ridge regression of the
    tagger's log-odds on the latents of ``samples`` images; at strength 1 an average image reaches the value, and the
    vectors are orthogonal to those of ``keep``. ``layers`` of a StyleGAN model are written as for ``mix``.
    Raises UsageError for settings that do not fit the method or the model.
    """
    model = model.keeping(1)  # directions are of the model, whatever it is asked to keep
    if method not in METHODS:
        raise UsageError(f"unknown method '{method}'{nearest(method, METHODS)}")
    space = space or ("w" if model.has_style_space else "z")
    if space not in ("z", "w"):
        raise UsageError(f"unknown space '{space}' (choose from z, w)")
    if space == "w" and not model.has_style_space:
        with_styles(model, [])  # raises: the model has no w
    if layers is not None and space == "z":
        raise UsageError("--layers needs --space w and a StyleGAN model")
    if space == "z" and model.has_style_space and method in ("sefa", "pca"):
        raise UsageError(f"{method} directions of a StyleGAN model are in w; leave --space out")
    chosen = None
    if layers is not None:
        part = layer_range(layers, int(style_generator(model).num_ws))
        chosen = (part.start, part.stop - 1)
    check_count(samples, "samples", 2)
    if method == "tagger":
        if chosen is not None:
            raise UsageError(
                "the method tagger moves all styles and takes no --layers; the method regression takes them"
            )
        return TaggerDirections.of(model, space, keep or None)
    if method == "regression":
        found = regression_directions(model, samples, seed, space, chosen, progress)
        return found.orthogonal_to(*keep) if keep else found
    if keep:
        raise UsageError(
            f"the method {method} takes no --keep: its directions are not attributes; use tagger or regression"
        )
    size = model.latent_size if space == "z" else style_generator(model).mapping.w_avg.numel()
    check_count(count, "directions", maximum=size)
    return (sefa if method == "sefa" else pca)(model, count, samples, seed, chosen)


def sefa(model: Model, count: int, samples: int, seed: int, layers: tuple[int, int] | None) -> Directions:
    """Eigenvectors of AᵀA; ``samples`` images scale those of w to one standard deviation. Shen & Zhou 2021."""
    if not model.has_style_space:
        vectors = _leading(first_map(model), count)
        return Directions("z", _numbered("sefa", count), vectors, torch.ones(count), "sefa")
    first, last = layers or (0, math.inf)
    maps = torch.cat([matrix for style, matrix in style_maps(model) if first <= style <= last])
    vectors = _leading(maps / maps.norm(dim=0), count)
    spread = _flat_styles(with_styles(model, points(model, seed, min(samples, 500)))) @ vectors.T
    return Directions("w", _numbered("sefa", count), vectors, spread.std(0), "sefa", layers)


def pca(model: Model, count: int, samples: int, seed: int, layers: tuple[int, int] | None) -> Directions:
    """Principal components over ``samples`` images. Härkönen et al. 2020. Raises UsageError."""
    drawn = points(model, seed, samples)
    check_count(count, "directions", maximum=samples - 1)
    features = _flat_styles(with_styles(model, drawn)) if model.has_style_space else first_features(model, drawn)
    centred = (features - features.mean(0)).double()
    _, values, rows = torch.linalg.svd(centred, full_matrices=False)
    values, rows = values[:count], rows[:count]
    if model.has_style_space:
        spread = (values / math.sqrt(samples - 1)).float()
        return Directions("w", _numbered("pca", count), _signed(rows).float(), spread, "pca", layers)
    # Least squares for z = x U: the columns of x, the coordinates along the components, are orthogonal.
    coordinates = centred @ rows.T
    z = torch.stack([each.z for each in drawn]).double()
    back = (coordinates / values.square()).T @ z
    vectors = _signed(back / back.norm(dim=1, keepdim=True)).float()
    return Directions("z", _numbered("pca", count), vectors, torch.ones(count), "pca")


def regression_directions(
    model: Model, samples: int = SAMPLES, seed: int = 0, space: str = "z", layers: tuple[int, int] | None = None,
    progress: Progress = no_progress,
) -> Directions:  # fmt: skip
    """One linear direction for each value of each tagger attribute, by ridge regression. The condition of a conditional
    model is a further regressor, so that its effect is not attributed to z."""
    tagger = load_tagger()
    latents: list[Tensor] = []
    conditions: list[Tensor] = []
    log_odds_seen: list[np.ndarray] = []
    for start in range(0, samples, model.batch_size):
        some = points(model, seed, min(model.batch_size, samples - start), start)
        some = with_styles(model, some) if space == "w" else some
        pictures = render(model, some)
        pictures = np.repeat(pictures, 3, 3) if model.channels == 1 else pictures
        tags = tagger.predict(pictures).probabilities
        log_odds_seen.append(np.concatenate([log_odds(tags[name]) for name in tagger.values], 1))
        latents.append(_flat_styles(some) if space == "w" else torch.stack([each.z for each in some]))
        if space == "z" and (stacked := stack_conditions(model, some)) is not None:
            conditions.append(stacked)
        progress(start + len(some), samples, "tagging")
    x, y = torch.cat(latents).double(), torch.from_numpy(np.concatenate(log_odds_seen)).double()
    slopes = ridge(torch.cat([x, torch.cat(conditions).double()], 1) if conditions else x, y)[: x.shape[1]].T  # (D, S)
    if not torch.isfinite(slopes).all():
        raise KaoganError("all images of this model look the same to the tagger: there are no directions to find")
    steepness = slopes.norm(dim=1)
    names = tuple(f"{name}={value}" for name, values in tagger.values.items() for value in values)
    lengths = (TARGET_LOG_ODDS - y.mean(0)).clamp(min=TARGET_LOG_ODDS) / steepness.clamp(min=1e-6)
    # Beyond twice the usual norm of a latent, images no longer change meaningfully.
    lengths = lengths.clamp(max=2 * float(x.norm(dim=1).mean()))
    vectors = (slopes / steepness.clamp(min=1e-12)[:, None]).float()
    return Directions(
        space,
        names,
        vectors,
        lengths.float(),
        "regression",
        layers,
        space == "z" and default_interpolation(model) == "slerp",
    )


def log_odds(probabilities: np.ndarray) -> np.ndarray:
    """log(p / (1 - p)), with p clipped to [MIN_PROBABILITY, 1 - MIN_PROBABILITY]."""
    clipped = np.clip(probabilities.astype(np.float64), MIN_PROBABILITY, 1 - MIN_PROBABILITY)
    return np.log(clipped / (1 - clipped))


def ridge(x: Tensor, y: Tensor, weight: float = RIDGE) -> Tensor:
    """Ridge regression coefficients (S, D) of y (N, D) on x (N, S), without intercepts; the penalty is relative to the
    mean variance of x."""
    centred = x - x.mean(0)
    products = centred.T @ centred
    penalty = weight * len(x) * torch.eye(x.shape[1], dtype=x.dtype) * products.diagonal().mean() / len(x)
    return torch.linalg.solve(products + penalty, centred.T @ (y - y.mean(0)))


def _leading(matrix: Tensor, count: int) -> Tensor:
    """The first ``count`` eigenvectors of AᵀA as rows, the largest eigenvalue first."""
    _, vectors = torch.linalg.eigh((matrix.T @ matrix).double())
    return _signed(vectors.T.flip(0)[:count]).float()


def _signed(rows: Tensor) -> Tensor:
    """Rows with their largest component positive, since the sign of an eigenvector is arbitrary."""
    largest = rows.gather(1, rows.abs().argmax(1, keepdim=True))
    return rows * largest.sign()


def _numbered(word: str, count: int) -> tuple[str, ...]:
    return tuple(f"{word}-{number + 1}" for number in range(count))


def _flat_styles(points: list[LatentPoint]) -> Tensor:
    """One w for each point (N, W): the styles of a sampled point are the same in all layers."""
    return torch.stack([each.w[0] for each in points if each.w is not None])
