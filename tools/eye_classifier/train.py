"""Training of the eye classifier: real faces against the same faces with synthetic faults.

python tools/eye_classifier/find_eyes.py SET.zip eyes.csv     # once for each set, in an environment with animeface
python -m tools.eye_classifier.train --set SET.zip eyes.csv --set B.zip b.csv --minutes 20 --out weights.safetensors
"""

from __future__ import annotations

import argparse
import csv
import io
import json
import math
import time
import zipfile
from collections.abc import Mapping
from pathlib import Path

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from safetensors.torch import load_file, save_file

from kaogan.core.rng import numpy_generator
from tools.eye_classifier.faults import FAULTS, SIDE, Face, sample, spread
from tools.eye_classifier.network import EyeClassifier

BATCH, FRESH, POOL = 64, 32, 4096  # each sample is shown about twice, flipped, moved and lit anew
HELD_OUT = 8  # one face in so many
TESTED = 1500  # held-out samples of each kind
PASSING = 0.95  # the share of held-out real faces that the threshold lets pass


def read(source: Path, boxes: Path) -> tuple[list[Face], list[Face]]:
    """Faces to train on, and faces held out: by a hash of what they show, so that near copies stay together."""
    kept: tuple[list[Face], list[Face]] = [], []
    with zipfile.ZipFile(source) as archive, boxes.open(encoding="utf-8") as lines:
        for row in csv.DictReader(lines):
            try:
                numbers = [float(row[key]) for key in ("lx", "ly", "lw", "lh", "rx", "ry", "rw", "rh")]
            except (TypeError, ValueError):
                continue  # a line half written
            picture = Image.open(io.BytesIO(archive.read(row["file"]))).convert("RGB")
            pixels = np.asarray(picture.resize((SIDE, SIDE), Image.Resampling.LANCZOS))
            small = cv2.resize(cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY), (5, 4), interpolation=cv2.INTER_AREA)
            bits = (small[:, 1:] > small[:, :-1]).ravel()
            number = int(sum(int(bit) << place for place, bit in enumerate(bits)))
            kept[number * 2654435761 % 2**32 % HELD_OUT == 0].append(Face(pixels, np.array(numbers).reshape(2, 4)))
    return kept


def tensor(pictures: list[np.ndarray]) -> torch.Tensor:
    return torch.from_numpy(np.stack(pictures)).permute(0, 3, 1, 2).float().div_(127.5).sub_(1)


def varied(images: torch.Tensor, random: np.random.Generator) -> torch.Tensor:
    """The same batch mirrored, moved by a pixel or two, and in another light."""
    images = images.flip(3) if random.random() < 0.5 else images
    images = images.roll(tuple(int(way) for way in random.integers(-2, 3, 2)), (2, 3))
    scale, shift = random.uniform(0.9, 1.1, (len(images), 1, 1, 1)), random.uniform(-0.1, 0.1, (len(images), 3, 1, 1))
    return images * torch.from_numpy(scale).float() + torch.from_numpy(shift).float()


def train(
    faces: list[Face], minutes: float, seed: int = 0, start: Mapping[str, torch.Tensor] | None = None
) -> EyeClassifier:
    torch.manual_seed(seed)
    network = EyeClassifier().to(memory_format=torch.channels_last)
    if start is not None:
        network.load_state_dict({**network.state_dict(), **start})
    optimizer = torch.optim.AdamW(network.parameters(), 2e-3, weight_decay=0.02)
    began, step, shown = time.monotonic(), 0, 0.0
    pool, answers, place = torch.empty(POOL, 3, SIDE, SIDE), torch.empty(POOL), 0
    while (done := (time.monotonic() - began) / (60 * minutes)) < 1:
        random = numpy_generator(seed, "eye classifier", step)
        for _ in range(FRESH if step else POOL):
            picture, right = sample(faces, random)
            pool[place], answers[place], place = tensor([picture])[0], float(right), (place + 1) % POOL
        rows = torch.from_numpy(random.integers(POOL, size=BATCH))
        images = varied(pool[rows], random)
        for group in optimizer.param_groups:
            group["lr"] = 2e-3 * min(1, (step + 1) / 100) * (0.02 + 0.98 * math.cos(done * math.pi / 2) ** 2)
        with torch.autocast("cpu", torch.bfloat16):
            logits = network(images.contiguous(memory_format=torch.channels_last)).float()
        loss = F.binary_cross_entropy_with_logits(logits, answers[rows] * 0.96 + 0.02)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        shown += (loss.item() - shown) / min(step + 1, 100)
        step += 1
        if step % 100 == 0:
            print(f"{step} steps, {100 * done:.0f} %, loss {shown:.4f}", flush=True)
    return network.eval()


@torch.no_grad()
def scores(network: EyeClassifier, pictures: list[np.ndarray]) -> np.ndarray:
    parts = [network(tensor(pictures[i : i + 256])).numpy() for i in range(0, len(pictures), 256)]
    return np.concatenate(parts)


def area_under_curve(real: np.ndarray, faulty: np.ndarray) -> float:
    """The chance that a real face scores above a faulty one."""
    order = np.sort(faulty)
    return float(
        ((np.searchsorted(order, real, "left") + np.searchsorted(order, real, "right")) / 2).mean() / len(order)
    )


def report(network: EyeClassifier, faces: list[Face]) -> dict[str, object]:
    """Of held-out faces: the threshold, and how well each fault is told."""
    random = numpy_generator(1, "eye classifier test")
    plain = scores(network, [face.pixels for face in faces])
    real = scores(network, [spread(faces[int(random.integers(len(faces)))].pixels, random) for _ in range(TESTED)])
    threshold = float(np.quantile(plain, 1 - PASSING))
    found: dict[str, object] = {"held out": len(faces), "threshold": threshold,
                                "real passing": float((plain >= threshold).mean())}  # fmt: skip
    for fault in FAULTS:
        faulty = scores(network, [sample(faces, random, fault)[0] for _ in range(TESTED)])
        auc = area_under_curve(real, faulty)
        found[fault] = {"auc": round(auc, 4), "passing": round(float((faulty >= threshold).mean()), 4)}
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--set", nargs=2, action="append", type=Path, required=True, metavar=("SET.zip", "EYES.csv"))
    parser.add_argument("--minutes", type=float, default=20.0, help="of training")
    parser.add_argument("--start", type=Path, help="weights to go on from")
    parser.add_argument("--out", type=Path, required=True)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    faces: list[Face] = []
    held_out: list[Face] = []
    for source, boxes in arguments.set:
        some, others = read(source, boxes)
        faces, held_out = faces + some, held_out + others
    print(f"{len(faces)} faces, {len(held_out)} held out", flush=True)
    start = {name: value.float() for name, value in load_file(arguments.start).items()} if arguments.start else None
    network = train(faces, arguments.minutes, seed=1 if start else 0, start=start)
    found = report(network, held_out)
    print(json.dumps(found, indent=1))
    state = {
        name: (value.half() if value.is_floating_point() else value).contiguous()
        for name, value in network.state_dict().items()
    }
    save_file(state, arguments.out, {"report": json.dumps(found), "threshold": str(found["threshold"])})


if __name__ == "__main__":
    main()
