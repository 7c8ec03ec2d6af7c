"""``python -m benchmarks.faces [--canvases N]``: recall, precision and speed of the face finder.

Needs the sets in KAOGAN_SETS, and says so when they are absent. Everything is measured on the fifth of the pictures
that training never saw; which these are depends on their bytes alone.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated

import numpy as np
import torch
import typer

from benchmarks import SET_FOLDER
from kaogan.aux_models.face_detector import Detector, load_detector
from kaogan.core.device import describe
from kaogan.core.rng import numpy_generator
from tools.face_detector.dataset import load_portraits
from tools.face_detector.evaluate import NOTHING, Outcome, canvases, match_faces
from tools.face_detector.synthesize import Portrait

BOXED = "selfie2anime256_1500"
PASTED = ("getchu64_12k", "konachan96_tagged7k", "makegirls64_tagged8k", BOXED)
LOW = 0.1  # scores are kept from here on, to show what other thresholds would give


def outcome(detector: Detector, pictures: Iterable[tuple[np.ndarray, np.ndarray]]) -> Outcome:
    total = NOTHING
    for picture, known in pictures:
        total += match_faces(detector.find(picture, threshold=LOW), known)
    return total


def boxed(portraits: list[Portrait]) -> Iterable[tuple[np.ndarray, np.ndarray]]:
    """Pictures with the boxes of their labels.csv."""
    for portrait in portraits:
        (x, y), side = portrait.centre, portrait.side
        yield portrait.picture, np.array([[x - side / 2, y - side / 2, side, side]])


def summary_row(name: str, result: Outcome, threshold: float) -> str:
    lines = [f"{name}: {result.known} faces"]
    for score in sorted({0.3, 0.4, 0.5, 0.6, 0.7, threshold}):
        recall, precision = result.at(score)
        mark = "  <- default" if score == threshold else ""
        lines.append(f"  threshold {score:.2f}  recall {recall:7.2%}  precision {precision:7.2%}{mark}")
    return "\n".join(lines)


def speed(detector: Detector, portraits: list[Portrait], seconds: float) -> str:
    """Pictures a second by the clock and by this process's processor time: others use the machine, too."""
    pictures = np.stack([p.picture for p in portraits if p.picture.shape == (256, 256, 3)][:32])
    ways = {
        "one by one": lambda: [detector.find(picture) for picture in pictures],
        "32 at once": lambda: detector.find_many(pictures),
    }
    lines = [f"256 x 256 pixels, {torch.get_num_threads()} threads"]
    for name, work in ways.items():
        work()
        clock, processor, began = [], [], time.perf_counter()
        while len(clock) < 3 or time.perf_counter() - began < seconds / 2:
            times = time.perf_counter(), time.process_time()
            work()
            clock.append(time.perf_counter() - times[0])
            processor.append(time.process_time() - times[1])
        wall, cpu = len(pictures) / statistics.median(clock), len(pictures) / statistics.median(processor)
        lines.append(f"  {name}: {wall:.0f} pictures/s by the clock, {cpu:.0f} by processor time")
    return "\n".join(lines)


def main(
    count: Annotated[int, typer.Option("--canvases", help="composed pictures")] = 400,
    seconds: Annotated[float, typer.Option(help="for the speed")] = 20,
    weights: Annotated[Path | None, typer.Option(help="other weights than the shipped ones")] = None,
) -> None:
    absent = [name for name in PASTED if not (SET_FOLDER / f"{name}.zip").exists()]
    if absent:
        print(f"skipped: {', '.join(absent)} not in {SET_FOLDER}")
        return
    detector = load_detector(weights)
    held_out = {name: load_portraits([SET_FOLDER / f"{name}.zip"], held_out=True, limit=800) for name in PASTED}
    print(describe(torch.device("cpu")))
    print(speed(detector, held_out[BOXED], seconds))
    print(summary_row("selfie2anime, held out", outcome(detector, boxed(held_out[BOXED])), detector.threshold))
    mixed = [portrait for name in PASTED for portrait in held_out[name][:300]]
    pages = canvases(numpy_generator(0, "benchmark"), mixed, count)
    print(summary_row("composed, 48 to 800 px", outcome(detector, pages), detector.threshold))


if __name__ == "__main__":
    typer.run(main)
