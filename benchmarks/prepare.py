"""``kaogan prepare`` against the loop that one would write by hand: Pillow, a difference hash, every pair compared.

    python -m benchmarks.prepare [--count 12000] [--workers 2] [--faces 200] [--hundred-thousand]

The last line is JSON. Without ../shared/data, avatars take the place of the pictures.
"""

from __future__ import annotations

import io
import json
import os
import resource
import tempfile
import time
import zipfile
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer
from PIL import Image

from benchmarks.timing import Watch
from kaogan.prepare import make_settings, prepare

SHARED = Path(__file__).parents[2] / "shared" / "data"
PLAIN: dict[str, Any] = {"picture": {"crop": "none"}, "tags": {"enabled": False}}


def plain_loop(archive: Path, out: Path, limit: int = 4) -> int:
    """Decode, drop what is flat or tiny, hash, compare with every hash kept so far, resize, write. Returns the kept."""
    hashes: list[int] = []
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
            if any((bits ^ other).bit_count() <= limit for other in hashes):
                continue
            hashes.append(bits)
            picture.resize((64, 64), Image.Resampling.LANCZOS).save(out / "images" / f"{len(hashes):06d}.png")
    return len(hashes)


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


def processor_seconds() -> float:
    """Of this process and its children that have ended; a busy machine changes it less than the time of day."""
    both = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return sum(used.ru_utime + used.ru_stime for used in both)


def timed(source: Path, out: Path, tree: dict[str, Any], workers: int) -> tuple[float, Any]:
    began = time.perf_counter()
    outcome = prepare([source], out, make_settings(tree), workers=workers)
    return time.perf_counter() - began, outcome


def main(
    count: Annotated[int, typer.Option(help="pictures of getchu64_12k")] = 12_000,
    workers: Annotated[int, typer.Option(help="processes")] = 2,
    faces: Annotated[int, typer.Option(help="pictures of selfie2anime256_1500 to find faces in; 0: none")] = 200,
    large: Annotated[bool, typer.Option("--hundred-thousand", help="memory and time at 100,000 pictures")] = False,
) -> None:
    """Measure; close everything else first."""
    told: dict[str, Any] = {"count": count, "workers": workers}
    with tempfile.TemporaryDirectory() as folder, Watch() as watch:
        place = Path(folder)
        archive = SHARED / "getchu64_12k.zip"
        source = some_of(archive, place / "faces.zip", count)
        told["of"] = archive.stem if archive.exists() else "avatars"
        used = processor_seconds()
        seconds, outcome = timed(source, place / "set", PLAIN, workers)
        told |= {"seconds": seconds, "pictures_per_second": count / seconds, "kept": outcome.kept}
        told["processor_seconds"] = processor_seconds() - used
        told["again"] = timed(source, place / "set", PLAIN, workers)[0]
        began = time.perf_counter()
        used = processor_seconds()
        told["plain_kept"] = plain_loop(source, place / "plain")
        told["plain_processor_seconds"] = processor_seconds() - used
        told |= {"plain_seconds": (plain := time.perf_counter() - began), "ratio": plain / seconds}
        if faces:
            portraits = some_of(SHARED / "selfie2anime256_1500.zip", place / "portraits.zip", faces)
            seconds, outcome = timed(portraits, place / "cut", {"tags": {"enabled": False}}, workers)
            told |= {"faces_per_second": faces / seconds, "faces": outcome.kept}
        if large:
            heap = hundred_thousand(source, place / "heap.zip")
            seconds, outcome = timed(heap, place / "heap", PLAIN, workers)
            own, child = (
                resource.getrusage(who).ru_maxrss * 1024 for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)
            )
            told["hundred_thousand"] = {"seconds": seconds, "kept": outcome.kept, "peak_bytes": own + workers * child}
    told |= {"others_used": watch.share, "load": os.getloadavg()[0]}
    print(json.dumps(told))


if __name__ == "__main__":
    typer.run(main)
