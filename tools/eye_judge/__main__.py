"""The eye judge's weights, from faces that somebody looked at.

    python -m tools.eye_judge labels.csv --real SET [SET ...] --out weights.safetensors

Rows of labels.csv: file, doubt, votes. The file is a face, relative to the CSV; doubt is the share of its ``votes``,
those who looked at it, who did not call its eyes a matching pair, 0 to 1. The network first learns to find faults that
are put into real faces, then what the labels say. Every tenth face with two votes or more is held out; of these the
last line tells the chance that of two faces the one that a larger share doubted is ranked so.
"""

from __future__ import annotations

import argparse
import copy
import csv
import math
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor

from kaogan.aux_models.eye_judge.network import SIDE, EyePairNetwork
from kaogan.core.images import to_float
from kaogan.core.weights_file import write_weights
from kaogan.data import load_pictures
from tools.eye_judge.faults import spoil, varied

BATCH = 96
LABELLED, SPOILT_GOOD, REAL, SPOILT_REAL = 80, 16, 16, 8  # of a batch of the second part
SURE, HARDLY = 0.95, 0.06  # doubt of a spoilt face, of a real one
HALF = 0.5  # how much faces count that nobody looked at
ONE_VOTE = 0.7  # and those that one did
AVERAGE = 0.99  # of the weights that are kept, a step

Batch = tuple[Tensor, Tensor, Tensor]
"""Faces (N, 3, 64, 64), how doubtful they are (N,), how much they count (N,)."""


def train(network: EyePairNetwork, batch: Callable[[], Batch], steps: int, rate: float, decay: float) -> EyePairNetwork:
    """The running average of the network over ``steps`` of AdamW with a warm-up and a cosine."""
    average = copy.deepcopy(network)
    optimizer = torch.optim.AdamW(network.parameters(), rate, weight_decay=decay)
    warm_up = min(100, steps // 10 or 1)
    schedule = torch.optim.lr_scheduler.LambdaLR(
        optimizer, lambda step: min(1.0, (step + 1) / warm_up) * (0.5 + 0.5 * math.cos(math.pi * step / steps)) + 1e-3
    )
    network.train()
    for step in range(steps):
        faces, doubts, weights = batch()
        odds = network(faces.contiguous(memory_format=torch.channels_last))
        losses = F.binary_cross_entropy_with_logits(odds, doubts, reduction="none")
        loss = (losses * weights).sum() / weights.sum()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
        with torch.no_grad():
            now = network.state_dict()
            for name, value in average.state_dict().items():
                value.lerp_(now[name], 1 - AVERAGE) if value.is_floating_point() else value.copy_(now[name])
        if step % 100 == 99:
            print(f"{step + 1} of {steps}: {loss.item():.3f}", flush=True)
    return average.eval()


def ranked_rightly(scores: np.ndarray, doubts: np.ndarray) -> float:
    """Of all pairs with different doubts, the share whose scores differ in the same way; a tie is half."""
    more = doubts[:, None] > doubts
    right = (scores[:, None] > scores) + (scores[:, None] == scores) / 2
    return float(right[more].mean()) if more.any() else float("nan")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("labels", type=Path)
    parser.add_argument("--real", nargs="+", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--steps", nargs=2, type=int, default=(3000, 3200), help="of both parts")
    arguments = parser.parse_args()
    with arguments.labels.open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    if not rows:
        parser.error(f"{arguments.labels} has no rows")
    paths = [arguments.labels.parent / row["file"] for row in rows]
    faces = np.stack([np.asarray(Image.open(path).convert("RGB").resize((SIDE, SIDE))) for path in paths])
    doubts, votes = (np.array([float(row[key]) for row in rows], np.float32) for key in ("doubt", "votes"))
    real = np.concatenate([np.asarray(load_pictures(each, image_size=SIDE).images[:]) for each in arguments.real])
    apart = np.flatnonzero(votes >= 2)[::10]
    learnt = np.setdiff1d(np.arange(len(rows)), apart)
    good = faces[learnt[doubts[learnt] == 0]]
    if not len(good):
        parser.error(f"{arguments.labels} has no face that nobody doubted; faults are put into such ones")
    torch.manual_seed(0)
    rng, choice = torch.Generator().manual_seed(0), np.random.default_rng(0)

    def drawn(pictures: np.ndarray, count: int) -> Tensor:
        return to_float(pictures[choice.integers(len(pictures), size=count)])

    def spoilt_and_real() -> Batch:
        whole = drawn(real, BATCH)
        spoilt, visible = spoil(whole, rng)
        bad = visible & (torch.rand(BATCH, generator=rng) < 0.5)
        return varied(torch.where(bad[:, None, None, None], spoilt, whole), rng), bad.float(), torch.ones(BATCH)

    def labelled() -> Batch:
        chosen = choice.choice(learnt, LABELLED)
        spoilt, visible = spoil(torch.cat([drawn(good, SPOILT_GOOD), drawn(real, SPOILT_REAL)]), rng)
        shown = torch.cat([to_float(faces[chosen]), spoilt, drawn(real, REAL)])
        doubt = [torch.from_numpy(doubts[chosen]), torch.full((len(spoilt),), SURE), torch.full((REAL,), HARDLY)]
        # A fault that cannot be seen says nothing: it does not count.
        weight = [torch.from_numpy(np.where(votes[chosen] >= 2, 1, ONE_VOTE)).float(), visible * HALF,
                  torch.full((REAL,), HALF)]  # fmt: skip
        return varied(shown, rng), torch.cat(doubt), torch.cat(weight)

    network = EyePairNetwork()
    train(network, spoilt_and_real, arguments.steps[0], 2e-3, 1e-3)  # its last weights go on, not their average
    network = train(network, labelled, arguments.steps[1], 1e-3, 2e-2)
    with torch.inference_mode():
        parts = (
            [network(part) + network(part.flip(3)) for part in to_float(faces[apart]).split(64)] if len(apart) else []
        )
    scores = torch.cat(parts).numpy() if parts else np.empty(0)
    print(f"of pairs held out, ranked rightly: {ranked_rightly(scores, doubts[apart]):.3f}")
    state = network.state_dict()
    halves = {name: value.half() if value.is_floating_point() else value for name, value in state.items()}
    write_weights(arguments.out, halves, {"format": "pt"})


if __name__ == "__main__":
    main()
