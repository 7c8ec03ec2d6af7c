"""Do the metrics see what people see? Real pictures degraded in steps, and checkpoints of one training.

python -m benchmarks.sanity --data SET.zip --models early --models middle --models late

Half of the real pictures are the reference, half is degraded: blur, noise, JPEG, colour, dropped kinds, copies
of the reference, soft blobs of colour in the place of faces. Prints Markdown; needs no network.
"""

from __future__ import annotations

import io
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import cv2
import numpy as np
import typer
from PIL import Image

from benchmarks import SET_FOLDER
from kaogan.core.atomic_io import write_text
from kaogan.core.images import Pictures
from kaogan.core.rng import numpy_generator
from kaogan.data import PictureSet, load_pictures
from kaogan.evaluation.image_sources import open_image_source
from kaogan.evaluation.tables import number
from kaogan.metrics import density_coverage, fid, kid, precision_recall
from kaogan.metrics.collect import Measured, measure
from kaogan.metrics.features import Extractor, load_extractor
from kaogan.metrics.memorization import memorization
from kaogan.metrics.reference import Reference
from kaogan.metrics.stats.estimate import Estimate

COLUMNS = ("FD", "FD∞", "KD", "precision", "recall", "density", "coverage", "copies")


@dataclass
class Bench:
    """The two halves of the real pictures and the features of them."""

    pictures: PictureSet
    extractor: Extractor
    measured: Measured
    kept: np.ndarray
    degraded: np.ndarray
    count: int

    def features(self, pictures: Pictures) -> np.ndarray:
        return measure(self.extractor, [pictures], len(pictures)).features

    def row(self, features: np.ndarray) -> dict[str, Estimate]:
        real = self.measured.features[self.kept]
        precision, recall = precision_recall.with_intervals(features, real)
        density, coverage = density_coverage.with_intervals(features, real)
        return {
            "FD": fid.with_interval(features, real),
            "FD∞": fid.extrapolated(features, real),
            "KD": kid.kernel_distance(features, real),
            "precision": precision,
            "recall": recall,
            "density": density,
            "coverage": coverage,
            "copies": memorization(features, real).copies,
        }


def blurred(pictures: Pictures, sigma: float) -> Pictures:
    return np.stack([cv2.GaussianBlur(p, (0, 0), sigma, borderType=cv2.BORDER_REFLECT) for p in pictures])


def noisy(pictures: Pictures, sigma: float) -> Pictures:
    noise = numpy_generator(0, "sanity/noise").normal(0, sigma, pictures.shape)
    return np.rint(pictures + noise).clip(0, 255).astype(np.uint8)


def compressed(pictures: Pictures, quality: float) -> Pictures:
    def once(picture: np.ndarray) -> np.ndarray:
        buffer = io.BytesIO()
        Image.fromarray(picture).save(buffer, "JPEG", quality=int(quality))
        return np.asarray(Image.open(buffer).convert("RGB"))

    return np.stack([once(p) for p in pictures])


def shifted(pictures: Pictures, amount: float) -> Pictures:
    """Red up and blue down by ``amount`` of 255."""
    return (pictures.astype(np.int16) + np.array([amount, 0, -amount], np.int16)).clip(0, 255).astype(np.uint8)


SPOIL: dict[str, tuple[Callable[[Pictures, float], Pictures], tuple[float, ...], str]] = {
    "blur": (blurred, (0.5, 1, 2, 4), "sigma {:g} px"),
    "noise": (noisy, (5, 15, 40), "sigma {:g} of 255"),
    "JPEG": (compressed, (75, 40, 15), "quality {:g}"),
    "colour shift": (shifted, (10, 25, 50), "{:g} of 255"),
}


def main(
    data: Annotated[Path, typer.Option(help="Real pictures.")] = SET_FOLDER / "getchu64_12k.zip",
    models: Annotated[list[Path] | None, typer.Option(help="Models of one training, the earliest first.")] = None,
    features: Annotated[str, typer.Option(help="Feature extractor.")] = "tagger",
    count: Annotated[int, typer.Option(help="Pictures of each degraded set and of each model.")] = 2000,
    size: Annotated[int, typer.Option(help="Side of the pictures, px.")] = 64,
    most: Annotated[int, typer.Option(help="Real pictures that are used at most.")] = 12_000,
    out: Annotated[Path | None, typer.Option(help="Also write the tables here.")] = None,
) -> None:
    if not data.exists():
        print(f"skipped: no {data}")
        return
    began = time.monotonic()
    bench = prepare(data, size, features, count, most)
    parts = [
        f"Features: {bench.extractor.label}. {len(bench.kept):,} real pictures of {data.name} at {size} px against "
        f"{count:,} others; 95 % intervals in brackets.",
        table(rows_of_spoilt(bench)),
        table(rows_of_kinds(bench)),
        table(rows_of_copies(bench)),
        table(rows_of_blobs(bench)),
    ]
    if models:
        parts.append(table(rows_of_models(bench, models)))
    text = "\n\n".join(parts) + "\n"
    print(text)
    print(f"{time.monotonic() - began:.0f} s")
    if out:
        write_text(out, text)


def prepare(data: Path, size: int, features: str, count: int, most: int) -> Bench:
    pictures = load_pictures(data, image_size=size, attributes=["auto"])
    extractor = load_extractor(features)
    order = numpy_generator(0, "sanity").permutation(len(pictures))[:most]
    if most >= len(pictures):
        measured = Reference(pictures).measured(extractor)
    else:  # a slow extractor: only the pictures that are used
        kept = measure(extractor, [np.asarray(pictures.images[np.sort(order)])], len(order))
        whole = np.zeros((len(pictures), extractor.size), np.float32)
        whole[np.sort(order)] = kept.features
        measured = Measured(whole)
    half = len(order) // 2
    return Bench(pictures, extractor, measured, np.sort(order[:half]), order[half:], min(count, half))


def rows_of_spoilt(bench: Bench) -> dict[str, dict[str, Estimate]]:
    sample = np.asarray(bench.pictures.images[bench.degraded[: bench.count]])
    rows = {"real": bench.row(bench.features(sample))}
    for name, (spoil, levels, how) in SPOIL.items():
        for level in levels:
            rows[f"{name}, {how.format(level)}"] = bench.row(bench.features(spoil(sample, level)))
    return rows


def rows_of_kinds(bench: Bench) -> dict[str, dict[str, Estimate]]:
    """Kinds are the hair colours that the tagger sees; the commonest go first."""
    seen = bench.measured.seen.get("hair")
    if seen is None:
        return {}
    kinds = seen[bench.degraded]
    common = np.argsort(-np.bincount(kinds))
    rows = {}
    for dropped in (1, 2, 4, 8):
        left = np.flatnonzero(~np.isin(kinds, common[:dropped]))
        chosen = numpy_generator(0, "sanity/kinds").choice(left, bench.count, replace=len(left) < bench.count)
        rows[f"{dropped} of {len(np.unique(kinds))} hair colours dropped"] = bench.row(
            bench.measured.features[bench.degraded[chosen]]
        )
    return rows


def rows_of_copies(bench: Bench) -> dict[str, dict[str, Estimate]]:
    rows = {}
    for share in (0.05, 0.2, 0.6):
        copies = round(share * bench.count)
        copied = numpy_generator(0, "sanity/copies").permutation(bench.kept)[:copies]
        chosen = np.concatenate([copied, bench.degraded[: bench.count - copies]])
        rows[f"{share:.0%} copies of the reference"] = bench.row(bench.measured.features[chosen])
    return rows


def rows_of_blobs(bench: Bench) -> dict[str, dict[str, Estimate]]:
    """Soft blobs of the right colours, without a face, against blurred faces."""
    sample = np.asarray(bench.pictures.images[bench.degraded[: bench.count]])
    random = numpy_generator(0, "sanity/blobs")
    side = sample.shape[1]
    coarse = sample.reshape(len(sample), 4, side // 4, 4, side // 4, 3).mean((2, 4)).reshape(len(sample), 16, 3)
    mixed = np.stack([random.permutation(cells) for cells in coarse]).reshape(-1, 4, 4, 3).astype(np.uint8)
    blobs = np.stack([cv2.resize(cells, (side, side), interpolation=cv2.INTER_CUBIC) for cells in mixed])
    return {
        "soft blobs of the right colours": bench.row(bench.features(blobs)),
        "faces, blurred with sigma 3 px": bench.row(bench.features(blurred(sample, 3))),
    }


def rows_of_models(bench: Bench, models: list[Path]) -> dict[str, dict[str, Estimate]]:
    rows = {}
    for path in models:
        subject = open_image_source(path, bench.count)
        rows[subject.name] = bench.row(measure(bench.extractor, subject.batches(), subject.count).features)
    return rows


def table(rows: dict[str, dict[str, Estimate]]) -> str:
    if not rows:
        return "(the kinds of the pictures are not known without the tagger)"
    lines = [f"| | {' | '.join(COLUMNS)} |", f"|---|{'---|' * len(COLUMNS)}"]
    for name, row in rows.items():
        cells = (f"{number(e.value)} ({number(e.low)} … {number(e.high)})" for e in (row[c] for c in COLUMNS))
        lines.append(f"| {name} | {' | '.join(cells)} |")
    return "\n".join(lines)


if __name__ == "__main__":
    typer.run(main)
