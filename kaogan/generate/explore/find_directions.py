"""Finding directions: SeFa (closed form), PCA as in GANSpace, and what the tagger sees, by face or by regression."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from kaogan.aux_models.tagger import load_tagger
from kaogan.core.errors import KaoganError, UsageError, nearest
from kaogan.generate.explore.attribute_directions import Edits
from kaogan.generate.explore.directions import Directions
from kaogan.generate.explore.first_layer import first_features, first_map, style_maps
from kaogan.generate.explore.latent_grids import layer_range
from kaogan.generate.explore.latent_point import Point, check_count, points, render, styled
from kaogan.generate.explore.paths import law_of
from kaogan.generate.model import Model, Progress
from kaogan.networks.base import is_style_generator

METHODS = ("sefa", "pca", "tagger", "regression")
SAMPLES = 2000  # that PCA and the regression look at
RIDGE = 0.005  # of the number of samples, for latents of variance 1
SURE = 4.0  # log-odds that strength 1 is to gain beyond what the average picture lacks: a probability of 98 %
UNLIKELY = 1e-4  # a probability below it says no more than that


def find_directions(
    model: Model, method: str = "sefa", count: int = 8, *, samples: int = SAMPLES, seed: int = 0,
    space: str | None = None, layers: str | None = None, keep: Sequence[str] = (), progress: Progress | None = None,
) -> Directions | Edits:  # fmt: skip
    """Directions of ``model``, in w for a style network and in z for others, unless ``space`` says z.

    ``sefa``: the ``count`` directions that the first layers pass on most, the eigenvectors of AᵀA (Shen & Zhou 2021),
    from the weights alone. ``pca``: those along which w, or the activations behind the first layer, vary most over
    ``samples`` pictures, brought back to z by regression (Härkönen et al. 2020, GANSpace). ``tagger``: one for every
    value of every attribute that kaogan's tagger knows, "hair=blue", which each face follows its own way, leaving the
    attributes ``keep`` (by default all others) as they are: see ``Edits``. ``regression``: the same names, but one
    vector for all faces, by ridge regression of the tagger's log-odds of ``samples`` pictures on their latents;
    strength 1 is what, by that regression, makes it of an average picture, and what a vector shares with those of
    ``keep`` is taken out of it. ``layers`` of a style network are written as for ``mix``. Raises UsageError.
    """
    if method not in METHODS:
        raise UsageError(f"unknown method '{method}'{nearest(method, METHODS)}")
    space = space or ("w" if model.styled else "z")
    if space not in ("z", "w"):
        raise UsageError(f"unknown space '{space}' (choose from z, w)")
    if space == "w" and not model.styled:
        styled(model, [])  # tells why there is no w
    if layers is not None and space == "z":
        raise UsageError("layers belong to styles: they are chosen in the space w of a style network")
    if space == "z" and model.styled and method in ("sefa", "pca"):
        raise UsageError(f"{method} directions of a style network are in w; leave the space out")
    chosen = None
    if layers is not None:
        part = layer_range(layers, int(model.generator.num_ws))
        chosen = (part.start, part.stop - 1)
    check_count(samples, "samples", 2)
    if method == "tagger":
        if chosen is not None:
            raise UsageError("the tagger's directions move all styles; the method regression takes layers")
        return Edits.of(model, space, keep or None)
    if method == "regression":
        found = tagger_directions(model, samples, seed, space, chosen, progress)
        return found.orthogonal_to(*keep) if keep else found
    if keep:
        raise UsageError(f"{method} directions have no names of attributes: there is nothing to be kept")
    size = model.latent_size if space == "z" else _mean_style(model).numel()
    check_count(count, "directions", most=size)
    return (sefa if method == "sefa" else pca)(model, count, samples, seed, chosen)


def sefa(model: Model, count: int, samples: int, seed: int, layers: tuple[int, int] | None) -> Directions:
    if not model.styled:
        vectors = _leading(first_map(model), count)
        return Directions("z", _numbered("sefa", count), vectors, torch.ones(count), "sefa")
    first, last = layers or (0, math.inf)
    maps = torch.cat([matrix for style, matrix in style_maps(model) if first <= style <= last])
    vectors = _leading(maps / maps.norm(dim=0), count)
    spread = _flat_styles(styled(model, points(model, seed, min(samples, 500)))) @ vectors.T
    return Directions("w", _numbered("sefa", count), vectors, spread.std(0), "sefa", layers)


def pca(model: Model, count: int, samples: int, seed: int, layers: tuple[int, int] | None) -> Directions:
    drawn = points(model, seed, samples)
    check_count(count, "directions", most=samples - 1)
    features = _flat_styles(styled(model, drawn)) if model.styled else first_features(model, drawn)
    centred = (features - features.mean(0)).double()
    _, values, rows = torch.linalg.svd(centred, full_matrices=False)
    values, rows = values[:count], rows[:count]
    if model.styled:
        spread = (values / math.sqrt(samples - 1)).float()
        return Directions("w", _numbered("pca", count), _signed(rows).float(), spread, "pca", layers)
    # z = x U by least squares; the columns of x, the pictures' places along the components, are orthogonal.
    places = centred @ rows.T
    z = torch.stack([each.z for each in drawn]).double()
    back = (places / values.square()).T @ z
    vectors = _signed(back / back.norm(dim=1, keepdim=True)).float()
    return Directions("z", _numbered("pca", count), vectors, torch.ones(count), "pca")


def tagger_directions(
    model: Model, samples: int = SAMPLES, seed: int = 0, space: str = "z", layers: tuple[int, int] | None = None,
    progress: Progress | None = None,
) -> Directions:  # fmt: skip
    """One direction for each value of each attribute of the tagger. In a conditional model the code takes part in the
    regression, so that z is not credited with what the code did."""
    tagger = load_tagger()
    latents: list[Tensor] = []
    codes: list[Tensor] = []
    seen: list[np.ndarray] = []
    for start in range(0, samples, model.chunk):
        some = points(model, seed, min(model.chunk, samples - start), start)
        some = styled(model, some) if space == "w" else some
        pictures = render(model, some)
        pictures = np.repeat(pictures, 3, 3) if model.channels == 1 else pictures
        tags = tagger.predict(pictures).probabilities
        seen.append(np.concatenate([log_odds(tags[name]) for name in tagger.values], 1))
        latents.append(_flat_styles(some) if space == "w" else torch.stack([each.z for each in some]))
        if model.attributes and space == "z":
            codes.append(torch.stack([each.code for each in some if each.code is not None]))
        if progress:
            progress(start + len(some), samples)
    x, y = torch.cat(latents).double(), torch.from_numpy(np.concatenate(seen)).double()
    slopes = ridge(torch.cat([x, torch.cat(codes).double()], 1) if codes else x, y)[: x.shape[1]].T  # (D, S)
    if not torch.isfinite(slopes).all():
        raise KaoganError("the pictures of this model do not differ: there are no directions to be found")
    steepness = slopes.norm(dim=1)
    names = tuple(f"{name}={value}" for name, values in tagger.values.items() for value in values)
    lengths = (SURE - y.mean(0)).clamp(min=SURE) / steepness.clamp(min=1e-6)
    # Farther than twice the latents' own length nothing is learned of a picture any more.
    lengths = lengths.clamp(max=2 * float(x.norm(dim=1).mean()))
    vectors = (slopes / steepness.clamp(min=1e-12)[:, None]).float()
    return Directions(
        space, names, vectors, lengths.float(), "regression", layers, space == "z" and law_of(model) == "slerp"
    )


def log_odds(probabilities: np.ndarray) -> np.ndarray:
    clipped = np.clip(probabilities.astype(np.float64), UNLIKELY, 1 - UNLIKELY)
    return np.log(clipped / (1 - clipped))


def ridge(x: Tensor, y: Tensor, weight: float = RIDGE) -> Tensor:
    """Slopes (S, D) of y (N, D) on x (N, S), intercepts aside; the penalty is relative to the variances of x."""
    centred = x - x.mean(0)
    products = centred.T @ centred
    penalty = weight * len(x) * torch.eye(x.shape[1], dtype=x.dtype) * products.diagonal().mean() / len(x)
    return torch.linalg.solve(products + penalty, centred.T @ (y - y.mean(0)))


def _leading(matrix: Tensor, count: int) -> Tensor:
    """The first ``count`` eigenvectors of AᵀA as rows, the largest eigenvalue first."""
    _, vectors = torch.linalg.eigh((matrix.T @ matrix).double())
    return _signed(vectors.T.flip(0)[:count]).float()


def _signed(rows: Tensor) -> Tensor:
    """Each row with its largest component above 0: the sign of an eigenvector is otherwise chance."""
    largest = rows.gather(1, rows.abs().argmax(1, keepdim=True))
    return rows * largest.sign()


def _numbered(word: str, count: int) -> tuple[str, ...]:
    return tuple(f"{word}-{number + 1}" for number in range(count))


def _flat_styles(points: list[Point]) -> Tensor:
    """One w for each point (N, W): those of a drawn point are all the same."""
    return torch.stack([each.w[0] for each in points if each.w is not None])


def _mean_style(model: Model) -> Tensor:
    assert is_style_generator(model.generator)
    return model.generator.mapping.w_avg
