"""``kaogan prepare`` against the loop that one would write by hand: Pillow, a difference hash, every pair compared.

    python -m benchmarks.prepare [--count 12000] [--workers 2] [--faces 400] [--hundred-thousand] [--megapixels]

The loop stops at the first hash that is near and finds neither mirrored nor cropped copies. Comparing a row at a time
with NumPy is reported as well. The last line is JSON. Without the sets in KAOGAN_SETS, avatars
 take their place.
"""

from __future__ import annotations

import io
import json
import os
import re
import resource
import tempfile
import time
import zipfile
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import psutil
import typer
from PIL import Image

from benchmarks import SET_FOLDER
from benchmarks.timing import Watch
from kaogan.prepare import make_settings, prepare

UNTAGGED: dict[str, Any] = {"tags": {"enabled": False}}
PLAIN: dict[str, Any] = {**UNTAGGED, "picture": {"crop": "none"}}


@dataclass
class Plain:
    """What the loop did. ``pairs``: seconds of comparing hashes; ``rows``: the same with NumPy, a row at a time."""

    kept: int
    seconds: float
    processor: float
    pairs: float
    rows: float


def plain_loop(archive: Path, out: Path, limit: int = 4) -> Plain:
    """Decode, drop what is flat or tiny, hash, compare with every hash kept so far, resize, write."""
    hashes: list[int] = []
    pairs, began, used = 0.0, time.perf_counter(), time.process_time()
    (out / "images").mkdir(parents=True)
    with zipfile.ZipFile(archive) as opened:
        for name in opened.namelist():
            if not name.endswith((".jpg", ".png")):
                continue
            try:
                picture = Image.open(io.BytesIO(opened.read(name))).convert("RGB")
            except OSError:
                continue
            if min(picture.size) < 48 or np.asarray(picture).std() < 12:
                continue
            small = np.asarray(picture.convert("L").resize((9, 8), Image.Resampling.LANCZOS))
            bits = int("".join("01"[int(bit)] for bit in (small[:, 1:] > small[:, :-1]).ravel()), 2)
            start = time.process_time()
            copy = any((bits ^ other).bit_count() <= limit for other in hashes)
            pairs += time.process_time() - start
            if copy:
                continue
            hashes.append(bits)
            picture.resize((64, 64), Image.Resampling.LANCZOS).save(out / "images" / f"{len(hashes):06d}.png")
    seconds, processor = time.perf_counter() - began, time.process_time() - used
    start = time.process_time()
    packed = np.array(hashes, np.uint64)
    for at, one in enumerate(packed):
        (np.bitwise_count(packed[:at] ^ one) <= limit).any()
    return Plain(len(hashes), seconds, processor, pairs, time.process_time() - start)


def some_of(archive: Path, target: Path, count: int) -> Path:
    """A zip of the first pictures of another; of avatars when there is no other."""
    with zipfile.ZipFile(target, "w") as written:
        if archive.exists():
            with zipfile.ZipFile(archive) as opened:
                names = [name for name in opened.namelist() if name.endswith(".jpg")]
                for name in names[:count]:
                    written.writestr(name, opened.read(name))
        else:
            from kaogan.data.avatars import draw_each

            for index, picture in draw_each(count, 256 if "256" in archive.name else 64):
                buffer = io.BytesIO()
                Image.fromarray(picture).save(buffer, "JPEG", quality=92)
                written.writestr(f"{index:05d}.jpg", buffer.getvalue())
    return target


def hundred_thousand(archive: Path, target: Path) -> Path:
    """Every picture as it is and seven times changed beyond being a copy: hues turned, the top or the side cut off."""
    with zipfile.ZipFile(archive) as opened, zipfile.ZipFile(target, "w") as written:
        names = [name for name in opened.namelist() if name.endswith(".jpg")]
        for index in range(100_000):
            picture = Image.open(io.BytesIO(opened.read(names[index % len(names)]))).convert("HSV")
            turn = index // len(names)
            hue, saturation, value = picture.split()
            hue = hue.point(lambda level, by=29 * turn: (level + by) % 256)
            changed = Image.merge("HSV", (hue, saturation, value)).convert("RGB")
            changed = changed.crop((0, 0, 64 - 2 * turn, 64)).resize((64, 64), Image.Resampling.BICUBIC)
            buffer = io.BytesIO()
            changed.save(buffer, "JPEG", quality=88)
            written.writestr(f"{index:06d}.jpg", buffer.getvalue())
    return target


def hundred_megapixels(target: Path) -> Path:
    """A folder with a PNG of 10,000 x 10,000 px: the face that the face finder tests itself with, on a ramp."""
    from kaogan.aux_models.face_detector.detector import known_face  # not above: PyTorch would weigh in every process

    face = Image.fromarray(known_face()[0]).resize((2667, 2000), Image.Resampling.LANCZOS)
    page = Image.linear_gradient("L").resize((10_000, 10_000)).convert("RGB")
    page.paste(face, (3000, 2500))
    target.mkdir()
    page.save(target / "page.png", compress_level=1)
    return target


@dataclass
class Measured:
    """One call of ``prepare``, in a process that did nothing before."""

    seconds: float
    processor: float  # seconds, of all processes
    kept: int
    parent: int  # bytes resident at the peak
    worker: int  # of the largest of its workers


def measured(source: Path, out: Path, tree: dict[str, Any], workers: int) -> Measured:
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as own:
        return own.submit(_measure, source, out, tree, workers).result()


def _measure(source: Path, out: Path, tree: dict[str, Any], workers: int) -> Measured:
    largest, measured_at = 0, 0.0

    def look(*_: object) -> None:
        nonlocal largest, measured_at
        if time.monotonic() - measured_at > 0.5:
            measured_at = time.monotonic()
            largest = max([largest, *(peak(child.pid) for child in psutil.Process().children(recursive=True))])

    began, used = time.perf_counter(), processor_seconds()
    outcome = prepare([source], out, make_settings(tree), workers=workers, progress=look)
    seconds, processor = time.perf_counter() - began, processor_seconds() - used
    return Measured(seconds, processor, outcome.kept, peak(os.getpid()), largest)


def peak(process: int) -> int:
    """Its peak resident size in bytes. That of getrusage begins with the size of the parent."""
    try:
        found = re.search(r"VmHWM:\s*(\d+)", Path(f"/proc/{process}/status").read_text())
        return int(found[1]) * 1024 if found else 0
    except OSError:
        return 0


def processor_seconds() -> float:
    """Of this process and its children that have ended; a busy machine changes it less than the time of day."""
    both = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return sum(used.ru_utime + used.ru_stime for used in both)


def main(
    count: Annotated[int, typer.Option(help="pictures of getchu64_12k; 0: none")] = 12_000,
    workers: Annotated[int, typer.Option(help="processes")] = 2,
    faces: Annotated[int, typer.Option(help="pictures of selfie2anime256_1500 to find faces in; 0: none")] = 400,
    large: Annotated[bool, typer.Option("--hundred-thousand", help="memory and time at 100,000 pictures")] = False,
    megapixels: Annotated[bool, typer.Option("--megapixels", help="memory of a picture of 100 megapixels")] = False,
) -> None:
    """Measure; close everything else first."""
    results: dict[str, Any] = {"count": count, "workers": workers}
    with tempfile.TemporaryDirectory() as folder, Watch() as watch:
        place = Path(folder)
        archive = SET_FOLDER / "getchu64_12k.zip"
        source = some_of(archive, place / "faces.zip", count or 12_000)
        results["of"] = archive.stem if archive.exists() else "avatars"
        if count:
            results["prepare"] = asdict(found := measured(source, place / "set", PLAIN, workers))
            results["pictures_per_second"] = count / found.seconds
            results["again"] = measured(source, place / "set", PLAIN, workers).seconds
            results["plain"] = asdict(plain := plain_loop(source, place / "plain"))
            results["ratio"] = plain.seconds / found.seconds
            results["processor_ratio"] = plain.processor / found.processor
            results["processor_ratio_with_rows"] = (plain.processor - plain.pairs + plain.rows) / found.processor
        if faces:
            portraits = some_of(SET_FOLDER / "selfie2anime256_1500.zip", place / "portraits.zip", faces)
            results["faces"] = asdict(found := measured(portraits, place / "cut", UNTAGGED, workers))
            results["faces_per_second"] = faces / found.seconds
        if large:
            large = hundred_thousand(source, place / "heap.zip")
            results["hundred_thousand"] = asdict(measured(large, place / "heap", PLAIN, workers))
        if megapixels:
            page = hundred_megapixels(place / "page")
            for crop in ("none", "faces"):
                tree = {**UNTAGGED, "picture": {"crop": crop}}
                results[f"megapixels, crop {crop}"] = asdict(measured(page, place / crop, tree, 1))
    results |= {"others_used": watch.share, "load": os.getloadavg()[0]}
    print(json.dumps(results))


if __name__ == "__main__":
    typer.run(main)
