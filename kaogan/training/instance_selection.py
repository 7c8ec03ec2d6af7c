"""Instance selection: a training keeps the pictures that are most like the rest of the set (DeVries et al. 2020).

Odd pictures - hats, profiles, hands before the face - cost a small network far more than they are worth: without them
it draws the others well, sooner (arXiv:2007.15255). How typical a picture is says probabilistic PCA (Tipping & Bishop
1999) of the last of MobileNetV2's maps that kaogan has. Of drawn faces their eyes can count as much: a generator whose
pictures have eyes that are plain to see draws eyes that match.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from kaogan.aux_models.eye_judge.judge import WEIGHTS_SHA256, EyeJudge
from kaogan.core.atomic_io import atomic
from kaogan.core.device import exact, to_device
from kaogan.core.errors import KaoganError
from kaogan.core.images import to_float
from kaogan.core.progress import Progress
from kaogan.data import PictureSet
from kaogan.data.cache import cache_folder, fingerprint_of
from kaogan.data.shards.images import ShardedImages
from kaogan.networks.feature_networks import FeatureNetwork, FeatureNetworkSettings, build_feature_networks
from kaogan.training.sampler import held_out_count, subset

VERSION = 1  # raise it when the same pictures would get other numbers
LEAST = 5_000  # pictures that are kept of any set: below, a discriminator learns them by heart
FITTED = 20_000  # pictures, drawn at random, that say what is typical
COMPONENTS = 128  # but at most one for eight pictures: of as many as pictures all would be equally typical
MOST_BYTES = 1 << 31  # of the selected pictures, which are held in memory
_BATCH = 128
CPU = torch.device("cpu")


def retained(pictures: PictureSet, ratio: float, held_out: float = 0.0) -> int:
    """How many of the pictures are kept when a share ``ratio`` is asked for, of those that are not ``held_out``:
    ``LEAST`` at least.

    All are kept of a set in shards, whose training begins at once, and of one too large to be held in memory.
    """
    left = len(pictures) - (held_out_count(len(pictures), held_out) if held_out else 0)
    count = min(left, max(round(ratio * left), LEAST))
    return left if _is_kept_whole(pictures, count) else count


def _is_kept_whole(pictures: PictureSet, count: int) -> bool:
    """Whether nothing is chosen from the set, whatever is asked for: in shards, or ``count`` pictures are too large."""
    _, *shape = pictures.images.shape
    return isinstance(pictures.images, ShardedImages) or count * int(np.prod(shape)) > MOST_BYTES


def select_instances(
    pictures: PictureSet, ratio: float, device: torch.device = CPU, *, eyes: bool = False
) -> PictureSet:
    """The most typical share ``ratio`` of the pictures (``retained``). Each combination of labels keeps its share, to
    one picture, and every value that has pictures keeps one. ``eyes`` as in ``typicality``."""
    count = retained(pictures, ratio)
    if count == len(pictures):
        return pictures
    known = pictures.typicality if pictures.typicality_with_eyes == eyes else None
    scores = typicality(pictures, device, eyes=eyes) if known is None else known
    kept = _best_of_groups(scores, pictures.labels, count)
    return replace(subset(pictures, kept, "selected"), selected_from=len(pictures))


def _best_of_groups(scores: np.ndarray, labels: np.ndarray, count: int) -> np.ndarray:
    """``count`` rows, ascending: of the rows with the same ``labels`` (N, K) those with the highest ``scores`` (N,)."""
    groups = (
        np.unique(labels, axis=0, return_inverse=True)[1].reshape(-1) if labels.size else np.zeros(len(scores), int)
    )
    order = np.lexsort((-scores, groups))
    sizes = np.bincount(groups)
    place = np.empty(len(scores))  # in its group, 0 to 1: the same quantile of each is kept
    place[order] = (np.arange(len(scores)) - np.repeat(np.cumsum(sizes) - sizes, sizes) + 0.5) / np.repeat(sizes, sizes)
    kept = np.lexsort((-scores, place))[:count]
    for column in labels.T:
        for value in np.setdiff1d(column[column >= 0], column[kept]):
            rows = np.flatnonzero(column == value)
            kept = np.append(kept, rows[np.argmax(scores[rows])])
    return np.unique(kept)


def with_typicality(
    pictures: PictureSet, ratio: float, held_out: float = 0.0, device: torch.device = CPU,
    progress: Progress | None = None, *, eyes: bool = False,
) -> PictureSet:  # fmt: skip
    """The same set, which knows how typical each picture is where ``select_instances`` will ask, once a share
    ``held_out`` is kept apart; with a note of what is chosen, or why nothing is."""
    left, count = retained(pictures, 1.0, held_out), retained(pictures, ratio, held_out)
    if count < left:
        least = ", the least that is kept" if count == LEAST else ""
        also = ", with eyes that are plain to see," if eyes else ""
        note = f"the most typical {count:,}{also} are trained on{least}; --data.instance_selection 1 takes all"
        scores = typicality(pictures, device, progress, eyes=eyes)
        return replace(pictures, typicality=scores, typicality_with_eyes=eyes, notes=(*pictures.notes, note))
    if max(round(ratio * left), LEAST) < left:  # asked for, and not done
        why = "the set is in shards" if isinstance(pictures.images, ShardedImages) else "the set is too large"
        note = f"all pictures are trained on, not the most typical {ratio:.0%}: {why}"
        return replace(pictures, notes=(*pictures.notes, note))
    if ratio < 1 and not _is_kept_whole(pictures, left):
        note = f"all {left:,} pictures are trained on; of more than {LEAST:,} the most typical ones would be chosen"
        return replace(pictures, notes=(*pictures.notes, note))
    return pictures


def typicality(
    pictures: PictureSet, device: torch.device = CPU, progress: Progress | None = None, *, eyes: bool = False
) -> np.ndarray:
    """How typical each picture is of the set, float32 (N,), higher is more so; computed once into the cache.

    With ``eyes`` what the eye judge holds of both eyes counts as much, each in its own standard deviations.
    """
    parts = ["typicality", VERSION, pictures.fingerprint]
    name = fingerprint_of(*parts, WEIGHTS_SHA256) if eyes else fingerprint_of(*parts)
    path = cache_folder() / f"{name}.npy"
    try:
        found = np.load(path, allow_pickle=False)
        if found.shape == (len(pictures),) and found.dtype == np.float32 and np.isfinite(found).all():
            return found
    except (OSError, ValueError, EOFError):
        pass  # not there, or damaged
    if eyes:
        plain, doubts = typicality(pictures, device, progress), _doubts(pictures, device, progress)
        scores = _standardised(plain) - _standardised(doubts)
    else:
        scores = _typicality(pictures, device, progress)
    # Where it can't be written, the next run looks at the pictures again.
    with suppress(KaoganError, OSError), atomic(path) as temporary, temporary.open("wb") as file:
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
    model = ProbabilisticPCA.fit(some, min(COMPONENTS, -(-count // 8)))
    if len(fitted) == count:
        return model.log_likelihood(some).numpy()
    parts = (np.arange(start, min(start + FITTED, count)) for start in range(0, count, FITTED))
    return np.concatenate([model.log_likelihood(features(rows)).numpy() for rows in parts])


def _doubts(pictures: PictureSet, device: torch.device, progress: Progress | None) -> np.ndarray:
    """What the eye judge says of each picture, float32 (N,)."""
    judge, parts, done = EyeJudge(device), [], 0
    for images in pictures.batches(_BATCH, np.arange(len(pictures))):
        parts.append(judge(images))
        done += len(images)
        if progress:
            progress(done, len(pictures), "looking at eyes")
    return np.concatenate(parts)


def _standardised(scores: np.ndarray) -> np.ndarray:
    deviation = scores.std()
    return (scores - scores.mean()) / deviation if deviation > 0 else np.zeros_like(scores)


def _features(network: FeatureNetwork, images: np.ndarray, device: torch.device) -> Tensor:
    """Pictures uint8 (N, S, S, C) -> float32 (N, 1536) on the CPU: 96 maps of 4 px."""
    shown = to_float(to_device(torch.from_numpy(images), device))
    with exact(device):
        (last,) = network(network.resize(shown))
    return last.float().flatten(1).cpu()


class ProbabilisticPCA(NamedTuple):
    """A Gaussian with some free directions and the same variance, noise, in all others."""

    mean: Tensor
    directions: Tensor  # (D, K)
    variances: Tensor  # (K,)
    noise: Tensor  # the variance of every other direction

    @classmethod
    def fit(cls, features: Tensor, components: int) -> ProbabilisticPCA:
        """Of ``features`` (N, D), N > 1."""
        mean = features.double().mean(0)
        centred = features.double() - mean
        values, vectors = torch.linalg.eigh(centred.T @ centred / (len(centred) - 1))
        count = min(components, len(values) - 1)
        smallest = values[-1] * 1e-6 + 1e-12  # pictures that are all the same have no variance
        noise = values[:-count].clamp(min=0).mean().clamp(min=smallest)
        return cls(mean, vectors[:, -count:], values[-count:].clamp(min=noise), noise)

    def log_likelihood(self, features: Tensor) -> Tensor:
        """Of ``features`` (N, D), without its constant, float32 (N,)."""
        centred = features.double() - self.mean
        within = (centred @ self.directions).square()
        outside = (centred.square().sum(1) - within.sum(1)).clamp(min=0) / self.noise
        return -0.5 * ((within / self.variances).sum(1) + outside).float()
