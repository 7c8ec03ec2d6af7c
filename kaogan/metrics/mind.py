"""MIND, the Monge Inception Distance (Berthet et al. 2026, arXiv:2605.06797): a sliced Wasserstein distance.

3 D times the mean, over random directions, of the squared 2-Wasserstein distance of the projections; on a line that is
the mean squared difference of the sorted values. A shift by m alone gives 3 ‖m‖². It sees more of the features than
their means and covariances. Small samples make it too large, by about c / N.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping

import numpy as np
import torch

from kaogan.metrics.comparison import FeatureComparison, by_key
from kaogan.metrics.registry import METRICS, Metric
from kaogan.metrics.stats.estimate import Estimate, TooFewSamplesError
from kaogan.metrics.stats.intervals import NORMAL
from kaogan.metrics.stats.manifold import Features, pair_of
from kaogan.metrics.stats.neighbors import Points

PROJECTIONS, SEED = 1000, 2020  # of torch-fidelity
LEAST = 2
BLOCK = 2_000_000  # projected values held at once, 16 MB each time they are copied
ROWS = 4096
Side = tuple[np.ndarray, np.ndarray]  # sorted projections (m, n) and where each comes from (m, n)


def mind(generated: Features, real: Features, projections: int = PROJECTIONS, seed: int = SEED) -> float:
    """Features (N, D), (M, D) -> the distance >= 0; the larger set is cut to the smaller. torch-fidelity's convention,
    to the same draws. Raises TooFewSamplesError below two pictures a side, KaoganError for NaN."""
    values = [((x - y) ** 2).mean(1) for (x, _), (y, _) in _slices(generated, real, projections, seed)]
    return _scale(generated) * float(np.concatenate(values).mean())


def with_interval(generated: Features, real: Features, projections: int = PROJECTIONS, seed: int = SEED) -> Estimate:
    """The distance and an interval for its expectation *at these sample sizes*, over all directions.

    What a picture moves is its Kantorovich potential: the empirical distance is asymptotically normal about its
    expectation with the potentials' variance (del Barrio & Loubes 2019, Annals of Probability 47(2)). That of the mean
    over directions is the mean of the potentials. The spread over directions is joined to it.
    """
    size = min(len(generated), len(real))
    values, moved = [], np.zeros((2, size))
    for one, other in _slices(generated, real, projections, seed):
        values.append(((one[0] - other[0]) ** 2).mean(1))
        moved[0] += _potentials(one, other)
        moved[1] += _potentials(other, one)
    each = np.concatenate(values)
    variance = float((moved / len(each)).var(1, ddof=1).sum()) / size
    if len(each) > 1:
        variance += float(each.var(ddof=1)) / len(each)
    scale = _scale(generated)
    return Estimate.around(scale * float(each.mean()), scale * NORMAL * math.sqrt(variance), 0.0)


def _scale(features: Features) -> int:
    return 3 * (features.features if isinstance(features, Points) else features).shape[1]


def _slices(generated: Features, real: Features, projections: int, seed: int) -> Iterator[tuple[Side, Side]]:
    """Both sides along a few directions at a time."""
    fakes, reals = pair_of(generated, real)
    size = min(len(fakes), len(reals))
    if size < LEAST:
        raise TooFewSamplesError(f"{size} pictures, at least {LEAST} are needed")
    random = torch.Generator().manual_seed(seed)  # the generator of that convention, and its order of draws
    sides = [
        Points(points.features[torch.randperm(len(points), generator=random)[:size].numpy()], points.centre)
        if len(points) > size
        else points
        for points in (fakes, reals)
    ]
    directions = torch.randn(projections, fakes.features.shape[1], generator=random)
    directions = directions / directions.norm(dim=1, keepdim=True)
    for some in directions.double().split(max(1, BLOCK // size)):
        yield _sorted(sides[0], some.numpy()), _sorted(sides[1], some.numpy())


def _sorted(points: Points, directions: np.ndarray) -> Side:
    projected = np.empty((len(directions), len(points)))
    for where, part in points.parts(ROWS):
        projected[:, where] = directions @ part.T
    values, order = torch.from_numpy(projected).sort(dim=1)
    return values.numpy(), order.numpy()


def _potentials(own: Side, other: Side) -> np.ndarray:
    """The sum over directions of the potentials, by picture (n,): their slope is twice the way that mass has to go."""
    values, order = own
    slope = 2 * (values - other[0])
    heights = np.zeros_like(values)
    np.cumsum((slope[:, 1:] + slope[:, :-1]) / 2 * np.diff(values), axis=1, out=heights[:, 1:])
    placed = np.empty_like(values)
    np.put_along_axis(placed, order, heights, 1)
    return placed.sum(0)


def _compute(comparison: FeatureComparison) -> Mapping[str, Estimate]:
    return {"mind": with_interval(*comparison.points)}


def _against_itself(comparison: FeatureComparison) -> Mapping[str, float | None]:
    values = dict(by_key(("mind",), comparison.of_real_parts("mind", lambda a, b: [mind(a, b)])))
    if (value := values.get("mind")) is not None:
        # Of equal distributions it goes as 1/n, n the smaller number of pictures.
        smaller = min(len(comparison.generated), len(comparison.real))
        values["mind"] = value * comparison.part_size / smaller
    return values


METRIC = METRICS.register(
    "mind",
    Metric(
        name="mind",
        keys={"mind": "lower"},
        summary="sliced Wasserstein distance",
        reading="MD is the mean squared distance by which the pictures have to be moved along random directions, MIND "
        "with Inception's features.",
        label=lambda key, extractor: "MIND" if extractor == "Inception" else f"MD-{extractor}",
        compute=_compute,
        against_itself=_against_itself,
        training_keys=("mind",),
    ),
    home=__name__,
)
