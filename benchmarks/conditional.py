"""``python -m benchmarks.conditional MODEL ... --data SET``: are attributes as asked, and how varied are the faces?

The judge of attributes is trained here, on the labels of the set alone: no training of a generator has seen it. A
quarter of the pictures is kept from it and says how far it can be trusted. Prints Markdown; the models' recall stands
beside that of an unconditional model when one is among them.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import numpy as np
import torch
import torch.nn.functional as F
import typer
from torch import Tensor, nn

from kaogan.core.device import choose_precision
from kaogan.core.images import Pictures
from kaogan.core.rng import numpy_generator
from kaogan.data import load_pictures
from kaogan.data.dataset import PictureSet
from kaogan.generate.model import Model, load
from kaogan.metrics.collect import measure
from kaogan.metrics.features import BATCH, load_extractor
from kaogan.metrics.precision_recall import precision_recall
from kaogan.metrics.stats.intervals import share

FEATURES = ("efficientnet", "tagger")
SIDE = 64
KEPT = 0.25  # of the pictures: those that the judge is tested on


class Judge(nn.Module):
    """Pictures (N, 3, S, S) in [-1, 1] -> logits (N, V) of all values of all attributes."""

    def __init__(self, values: int, size: int) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        before = 3
        for width in (32, 64, 96, 128):
            for stride in (1, 2):
                layers += [nn.Conv2d(before, width, 3, stride, 1, bias=False), nn.BatchNorm2d(width), nn.ReLU()]
                before = width
        self.body = nn.Sequential(*layers, nn.Flatten(), nn.Dropout(0.3), nn.Linear(before * (size // 16) ** 2, values))

    def forward(self, x: Tensor) -> Tensor:
        logits: Tensor = self.body(x)
        return logits


def train_judge(pictures: PictureSet, rows: np.ndarray, epochs: int) -> Judge:
    """A judge that has seen the pictures ``rows``, shifted by up to 3 px."""
    torch.manual_seed(0)
    judge = Judge(pictures.schema.size, SIDE).to(memory_format=torch.channels_last)
    optimizer = torch.optim.AdamW(judge.parameters(), weight_decay=0.05)
    steps = epochs * (len(rows) // BATCH)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 4e-3, total_steps=steps)
    random = numpy_generator(0, "benchmarks/conditional")
    bf16 = choose_precision("auto", torch.device("cpu")) == "bf16"
    for step in range(steps):
        if step % (len(rows) // BATCH) == 0:
            order = random.permutation(rows)
        some = np.sort(order[step % (len(rows) // BATCH) * BATCH :][:BATCH])
        across, down = random.integers(-3, 4, 2)
        x = torch.roll(as_input(pictures.images[some]), (int(down), int(across)), (2, 3))
        with torch.autocast("cpu", torch.bfloat16, enabled=bf16):
            logits = judge(x).float()
        wanted = torch.from_numpy(pictures.labels[some])
        parts = pictures.schema.slices
        loss = torch.stack([F.cross_entropy(logits[:, s], wanted[:, k], ignore_index=-1, label_smoothing=0.05)
                            for k, s in enumerate(parts)]).sum()  # fmt: skip
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
    return judge.eval()


def as_input(pictures: Pictures) -> Tensor:
    x = torch.from_numpy(np.ascontiguousarray(pictures)).permute(0, 3, 1, 2).float() / 127.5 - 1
    return x.contiguous(memory_format=torch.channels_last)


@torch.inference_mode()
def seen(judge: Judge, pictures: Pictures, slices: Sequence[slice]) -> np.ndarray:
    """int64 (N, K): the position of each attribute's likeliest value."""
    logits = torch.cat([judge(as_input(pictures[i : i + BATCH])) for i in range(0, len(pictures), BATCH)])
    return torch.stack([logits[:, part].argmax(1) for part in slices], 1).numpy()


def sampled(model: Model, count: int, schema_of: PictureSet) -> tuple[np.ndarray, np.ndarray]:
    """Pictures of a model and the attributes that they were asked for, as positions of the set's; -1 where unasked."""
    names = model.attributes.names
    known = model.conditions(count) if names else None
    wanted = np.full((count, len(schema_of.schema.names)), -1)
    for column, name in enumerate(schema_of.schema.names):
        if known is not None and name in names:
            part = model.attributes.slices[names.index(name)]
            values = [schema_of.schema[name].index(value) for value in model.attributes[name].values]
            wanted[:, column] = np.array(values)[known[:, part].argmax(1).numpy()]
    return model.generate(model.latents(count), known), wanted


def percent(right: np.ndarray) -> str:
    found = share(int(right.sum()), len(right))
    return f"{100 * found.value:.1f} % ({100 * found.low:.1f} … {100 * found.high:.1f})"


def main(
    models: Annotated[list[str], typer.Argument(help="Runs, model folders or names.")],
    data: Annotated[Path, typer.Option(help="A set with labels.")],
    count: Annotated[int, typer.Option(help="Pictures of each model.")] = 3000,
    epochs: Annotated[int, typer.Option(help="Of the judge's training.")] = 12,
) -> None:
    pictures = load_pictures(data, image_size=SIDE, attributes=["auto"])
    order = numpy_generator(0, "benchmarks/conditional/kept").permutation(len(pictures))
    kept, shown = np.sort(order[: int(KEPT * len(order))]), order[int(KEPT * len(order)) :]
    judge, slices, names = train_judge(pictures, shown, epochs), pictures.schema.slices, pictures.schema.names
    found = seen(judge, pictures.images[kept], slices)
    right = [percent((found == pictures.labels[kept])[pictures.labels[kept][:, k] >= 0, k]) for k in range(len(names))]
    of_features = [f"{what} ({name})" for name in FEATURES for what in ("precision", "recall")]
    print("| | " + " | ".join([*(f"{name} as asked" for name in names), *of_features]) + " |")
    print("|---" * (1 + len(names) + len(of_features)) + "|")
    print("| real pictures that the judge has not seen | " + " | ".join(right) + " | " * len(of_features) + "|")
    extractors = [load_extractor(name) for name in FEATURES]
    random = np.sort(order[:count])
    real = [measure(each, pictures.batches(BATCH, random), len(random)).features for each in extractors]
    for path in models:
        images, wanted = sampled(load(path), count, pictures)
        now = seen(judge, images, slices)
        cells = [percent(now[:, k] == wanted[:, k]) if (wanted[:, k] >= 0).all() else "" for k in range(len(names))]
        for extractor, features in zip(extractors, real, strict=True):
            batches = (images[i : i + BATCH] for i in range(0, count, BATCH))
            cells += [f"{x:.3f}" for x in precision_recall(measure(extractor, batches, count).features, features)]
        print(f"| {Path(path).name} | " + " | ".join(cells) + " |", flush=True)


if __name__ == "__main__":
    typer.run(main)
