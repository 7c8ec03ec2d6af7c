"""Instance selection: a training keeps the pictures that are most like the rest of the set (DeVries et al. 2020).

Odd pictures - hats, profiles, hands before the face - cost a small network far more than they are worth: without them
it draws the others well, sooner (arXiv:2007.15255). How typical a picture is says probabilistic PCA (Tipping & Bishop
1999) of MobileNetV2's last map.
"""

from __future__ import annotations

import math
from dataclasses import replace
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from kaogan.core.atomic_io import atomic
from kaogan.core.device import to_device
from kaogan.core.images import to_float
from kaogan.core.progress import Progress
from kaogan.data import PictureSet
from kaogan.data.cache import cache_folder, fingerprint_of
from kaogan.networks.feature_networks import FeatureNetwork, FeatureNetworkSettings, build_feature_networks
from kaogan.training.sampler import part

VERSION = 1  # raise it when the same pictures would get other numbers
LEAST = 5_000  # pictures that are kept of any set: below, a discriminator learns them by heart
FITTED = 20_000  # pictures, drawn at random, that say what is typical
COMPONENTS = 128
_BATCH = 128
CPU = torch.device("cpu")


def kept_share(count: int, share: float) -> float:
    """The share that is kept of ``count`` pictures when ``share`` is asked for."""
    return min(1.0, max(share, LEAST / count)) if count else 1.0


def select_instances(pictures: PictureSet, share: float, device: torch.device = CPU) -> PictureSet:
    """The most typical ``share`` of the pictures, of those with the same labels each, but ``LEAST`` of all."""
    share = kept_share(len(pictures), share)
    if share == 1:
        return pictures
    scores = pictures.typicality if pictures.typicality is not None else typicality(pictures, device)
    kept = np.sort(np.concatenate(list(_best_of_groups(scores, pictures.labels, share))))
    return replace(part(pictures, kept, "selected"), selected_from=len(pictures))


def _best_of_groups(scores: np.ndarray, labels: np.ndarray, share: float) -> list[np.ndarray]:
    """Of each group of rows with the same ``labels`` (N, K), at least one, those with the highest ``scores`` (N,)."""
    order = np.argsort(-scores, kind="stable")
    _, groups = np.unique(labels[order], axis=0, return_inverse=True) if labels.size else (None, np.zeros(len(order)))
    rows = [order[groups.reshape(-1) == group] for group in np.unique(groups)]
    return [each[: math.ceil(share * len(each))] for each in rows]


def with_typicality(
    pictures: PictureSet, share: float, device: torch.device = CPU, progress: Progress | None = None
) -> PictureSet:
    """The same set, which knows how typical each picture is where ``select_instances`` will ask."""
    share = kept_share(len(pictures), share)
    if share == 1:
        return pictures
    note = f"the most typical {share:.0%} of them are trained on; --data.instance_selection 1 takes all"
    scores = typicality(pictures, device, progress)
    return replace(pictures, typicality=scores, notes=(*pictures.notes, note))


def typicality(pictures: PictureSet, device: torch.device = CPU, progress: Progress | None = None) -> np.ndarray:
    """How typical each picture is of the set, float32 (N,), higher is more so; computed once into the cache."""
    name = fingerprint_of("typicality", VERSION, pictures.fingerprint)
    path = cache_folder() / f"{name}.npy"
    try:
        found = np.load(path, allow_pickle=False)
        if found.shape == (len(pictures),) and found.dtype == np.float32 and np.isfinite(found).all():
            return found
    except (OSError, ValueError, EOFError):
        pass  # not there, or damaged
    scores = _typicality(pictures, device, progress)
    with atomic(path) as temporary, temporary.open("wb") as file:
        np.save(file, scores)
    return scores


@torch.inference_mode()
def _typicality(pictures: PictureSet, device: torch.device, progress: Progress | None) -> np.ndarray:
    (network,) = build_feature_networks([FeatureNetworkSettings(name="mobilenet_v2", taps=(13,))], learn=False)
    network = network.to(device).eval()
    count = len(pictures)
    fitted = np.sort(np.random.default_rng(0).permutation(count)[:FITTED])
    total = count if len(fitted) == count else count + len(fitted)
    done = 0

    def features(rows: np.ndarray) -> Tensor:
        nonlocal done
        parts = []
        for images in pictures.batches(_BATCH, rows):
            parts.append(_features(network, images, device))
            done += len(images)
            if progress:
                progress(done, total, "looking for typical pictures")
        return torch.cat(parts)

    some = features(fitted)
    gaussian = Gaussian.fit(some)
    if len(fitted) == count:
        return gaussian.log_likelihood(some).numpy()
    parts = (np.arange(start, min(start + FITTED, count)) for start in range(0, count, FITTED))
    return np.concatenate([gaussian.log_likelihood(features(rows)).numpy() for rows in parts])


def _features(network: FeatureNetwork, images: np.ndarray, device: torch.device) -> Tensor:
    """Pictures uint8 (N, S, S, C) -> float32 (N, 1536) on the CPU: 96 maps of 4 px."""
    shown = to_float(to_device(torch.from_numpy(images), device))
    (last,) = network(network.resize(shown))
    return last.float().flatten(1).cpu()


class Gaussian(NamedTuple):
    """Probabilistic PCA: a Gaussian with some free directions and the same variance in all others."""

    mean: Tensor
    directions: Tensor  # (D, K)
    variances: Tensor  # (K,)
    rest: Tensor  # the variance of every other direction

    @classmethod
    def fit(cls, features: Tensor, components: int = COMPONENTS) -> Gaussian:
        """Of ``features`` (N, D), N > 1."""
        mean = features.double().mean(0)
        centred = features.double() - mean
        values, vectors = torch.linalg.eigh(centred.T @ centred / (len(centred) - 1))
        count = min(components, len(values) - 1)
        smallest = values[-1] * 1e-6 + 1e-12  # pictures that are all the same have no variance
        rest = values[:-count].clamp(min=0).mean().clamp(min=smallest)
        return cls(mean, vectors[:, -count:], values[-count:].clamp(min=rest), rest)

    def log_likelihood(self, features: Tensor) -> Tensor:
        """Of ``features`` (N, D), without its constant, float32 (N,)."""
        centred = features.double() - self.mean
        within = (centred @ self.directions).square()
        outside = (centred.square().sum(1) - within.sum(1)).clamp(min=0) / self.rest
        return -0.5 * ((within / self.variances).sum(1) + outside).float()
