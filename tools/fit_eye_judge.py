"""The eye judge's weights, from faces that somebody looked at.

    python -m tools.fit_eye_judge labels.csv --out weights.safetensors

Rows of labels.csv: file, group, score. The file is a face, relative to the CSV; the group is the pile it was judged in;
the score is 0 where both eyes match beyond doubt, 1 in doubt, 2 broken, or the mean of several people's. Prints how
well judges that have not seen a pile rank it: the chance that of two of its faces the worse one gets the worse score.
"""

from __future__ import annotations

import argparse
import csv
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from kaogan.aux_models.eye_judge.judge import eye_features
from kaogan.core.images import to_float
from kaogan.core.weights_file import write_weights
from kaogan.networks.feature_networks import FeatureNetwork, FeatureNetworkSettings, build_feature_networks

SIDE = 64
VARIANTS = 6  # of each face: moved by up to 3 px, every other one mirrored
MOVED = 3
RIDGE = 1 / 2500  # of the number of faces, on features that are standardised and scaled to a mean square of 1 / D


def features_of(network: FeatureNetwork, faces: np.ndarray) -> Tensor:
    """Faces uint8 (N, 64, 64, 3) -> (N, D)."""
    with torch.inference_mode():
        return torch.cat([eye_features(network, to_float(part)) for part in np.split(faces, range(64, len(faces), 64))])


def fit(features: Tensor, scores: Tensor) -> tuple[Tensor, Tensor]:
    """Ridge regression of (N, D) to (N,): a weight (D,) and a bias."""
    x = features.double()
    mean, deviation = x.mean(0), x.std(0).clamp(min=1e-3) * x.shape[1] ** 0.5
    x = (x - mean) / deviation
    gram = x.T @ x + RIDGE * len(x) * torch.eye(x.shape[1], dtype=torch.double)
    weight = torch.linalg.solve(gram, x.T @ (scores - scores.mean())) / deviation
    return weight, scores.mean() - mean @ weight


def agreement(judged: np.ndarray, bad: np.ndarray, groups: np.ndarray) -> float:
    """The area under the ROC curve of ``judged`` for ``bad``, over all pairs of faces of one group."""
    right, pairs = 0.0, 0
    for group in np.unique(groups):
        worse, better = judged[(groups == group) & bad], judged[(groups == group) & ~bad]
        right += float((worse[:, None] > better).sum() + (worse[:, None] == better).sum() / 2)
        pairs += len(worse) * len(better)
    return right / pairs if pairs else float("nan")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("labels", type=Path)
    parser.add_argument("--out", type=Path, required=True)
    arguments = parser.parse_args()
    with arguments.labels.open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    paths = [arguments.labels.parent / row["file"] for row in rows]
    faces = np.stack([np.asarray(Image.open(path).convert("RGB").resize((SIDE, SIDE))) for path in paths])
    groups, scores = np.array([row["group"] for row in rows]), torch.tensor([float(row["score"]) for row in rows])
    (network,) = build_feature_networks([FeatureNetworkSettings(name="mobilenet_v2", taps=(13,))], learn=False)
    network.eval()
    rng = np.random.default_rng(0)
    variants = []
    for number in range(VARIANTS):
        moved = np.roll(faces, rng.integers(-MOVED, MOVED + 1, 2) if number else (0, 0), (1, 2))
        variants.append(features_of(network, moved[:, :, ::-1] if number % 2 else moved))
    features, scores = torch.stack(variants), scores.double()  # (VARIANTS, N, D)

    def learnt_from(chosen: np.ndarray) -> tuple[Tensor, Tensor]:
        rows = torch.from_numpy(np.flatnonzero(chosen))
        return fit(features[:, rows].flatten(0, 1), scores[rows].repeat(VARIANTS))

    judged = np.zeros(len(rows))
    for group in np.unique(groups):
        weight, bias = learnt_from(groups != group)
        here = np.flatnonzero(groups == group)
        judged[here] = features[0, here].double() @ weight + bias
    bad, broken = scores.numpy() > 0.5, scores.numpy() >= 1.5
    print(f"piles not learnt from: {agreement(judged, bad, groups):.3f} for eyes not beyond doubt, "
          f"{agreement(judged, broken, groups):.3f} for broken ones")  # fmt: skip
    weight, bias = learnt_from(np.ones(len(rows), bool))
    write_weights(arguments.out, {"weight": weight.half(), "bias": bias.float()}, {"format": "pt"})


if __name__ == "__main__":
    main()
