"""A mixed folder with known twins and known rubbish in it, to see what ``kaogan prepare`` makes of it.

On generated avatars (what the tests do), or by hand on parts of real sets:

    python -m tests.prepare.compose OUT SET.zip SET.zip ... [--each 500]

which also runs ``prepare`` on the result and prints how many twins were found and how many good pictures were lost.
"""

from __future__ import annotations

import io
import json
import sys
import zipfile
import zlib
from collections import defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from PIL import Image

KINDS = ("exact", "re-encoded", "resized", "mirrored", "cropped")


@dataclass
class Composed:
    """What lies in the folder, by names relative to it."""

    folder: Path
    good: list[str] = field(default_factory=list)
    twins: dict[str, dict[str, str]] = field(default_factory=dict)  # kind -> {copy: original}
    broken: dict[str, str] = field(default_factory=dict)  # name -> what is wrong with it


def compose(folder: Path, pictures: Iterable[tuple[str, bytes]], each: int, seed: int = 0) -> Composed:
    """Write ``pictures`` (name, bytes), ``each`` copies of every kind of different ones, and the broken files."""
    rng = np.random.default_rng(seed)
    result = Composed(folder)
    files = dict(pictures)
    for name, data in files.items():
        _write(folder / name, data)
    result.good = list(files)
    order = rng.permutation(len(files))
    if each * len(KINDS) > len(files):
        raise ValueError(f"{len(files)} pictures are too few for {each} copies of {len(KINDS)} kinds")
    for at, kind in enumerate(KINDS):
        result.twins[kind] = {}
        for index in order[at * each : (at + 1) * each]:
            original = result.good[index]
            data, suffix = _copy(kind, files[original], rng)
            name = f"more/{kind}/{Path(original).stem}_{index}{suffix}"
            _write(folder / name, data)
            result.twins[kind][name] = original
    sample = files[result.good[int(order[-1])]]
    for name, (data, why) in broken_files(sample).items():
        _write(folder / "broken" / name, data)
        result.broken[f"broken/{name}"] = why
    return result


def _copy(kind: str, data: bytes, rng: np.random.Generator) -> tuple[bytes, str]:
    if kind == "exact":
        return data, ".jpg" if data[:2] == b"\xff\xd8" else ".png"
    picture = Image.open(io.BytesIO(data)).convert("RGB")
    width, height = picture.size
    if kind == "re-encoded":
        form, quality = [("JPEG", 60), ("JPEG", 85), ("WEBP", 80), ("PNG", 0)][rng.integers(4)]
        return encoded(picture, form, quality=quality), "." + form.lower().replace("jpeg", "jpg")
    if kind == "resized":
        scale = rng.choice([0.8, 1.5, 2.0])
        size = round(width * scale), round(height * scale)
        return encoded(picture.resize(size, Image.Resampling.BICUBIC), "JPEG", quality=90), ".jpg"
    if kind == "mirrored":
        return encoded(picture.transpose(Image.Transpose.FLIP_LEFT_RIGHT), "JPEG", quality=90), ".jpg"
    left, top, right, bottom = rng.uniform(0, 0.05, 4)
    box = round(left * width), round(top * height), width - round(right * width), height - round(bottom * height)
    return encoded(picture.crop(box), "JPEG", quality=92), ".jpg"


def broken_files(sample: bytes) -> dict[str, tuple[bytes, str]]:
    """Twenty files, each wrong in another way. ``sample`` is a good picture."""
    picture = Image.open(io.BytesIO(sample)).convert("RGB").resize((200, 200))
    jpg, png = encoded(picture, "JPEG", quality=90), encoded(picture, "PNG")
    gif, webp = encoded(picture, "GIF"), encoded(picture, "WEBP")
    flipped = bytearray(png)
    flipped[len(png) // 2] ^= 0xFF
    return {
        "zero.jpg": (b"", "no bytes"),
        "text.png": (b"this is no picture\n" * 40, "text"),
        "page.jpg": (b"<!doctype html><title>404</title>" * 20, "a web page that was saved as a picture"),
        "start.jpg": (jpg[:20], "ends in the header"),
        "half.jpg": (jpg[: len(jpg) // 2], "ends in the middle"),
        "half.png": (png[: len(png) // 2], "ends in the middle"),
        "half.gif": (gif[: len(gif) // 3], "ends in the middle"),
        "half.webp": (webp[: len(webp) // 2], "ends in the middle"),
        "flipped.png": (bytes(flipped), "a wrong checksum"),
        "bomb.png": (_huge_png(), "a header of 30,000 x 30,000 pixels"),
        "no_size.png": (_png_of(0, 0), "no width and height"),
        "tiny.png": (encoded(picture.resize((9, 9)), "PNG"), "9 px"),
        "strip.png": (encoded(picture.resize((900, 12)), "PNG"), "12 px high"),
        "black.png": (encoded(Image.new("RGB", (128, 128)), "PNG"), "black"),
        "white.jpg": (encoded(Image.new("RGB", (128, 128), "white"), "JPEG"), "white"),
        "dot.png": (encoded(_dot(), "PNG"), "a dot on an empty page"),
        "dim.png": (encoded(_dim(), "PNG"), "noise of two grey levels"),
        "soft.jpg": (encoded(picture.resize((4, 4)).resize((200, 200), Image.Resampling.BICUBIC), "JPEG"), "blurred"),
        "notes.txt": (b"these are my pictures", "not a picture by its name"),
        "clip.mp4": (b"\0\0\0\x20ftypisom" + bytes(500), "a film"),
    }


def encoded(picture: Image.Image, form: str, **options: object) -> bytes:
    buffer = io.BytesIO()
    picture.save(buffer, form, **options)
    return buffer.getvalue()


def avatars(count: int, size: int = 64, seed: int = 5) -> list[tuple[str, bytes]]:
    """(name, bytes) of generated faces, in two folders and two formats."""
    from kaogan.data.avatars import draw

    files = []
    for index in range(count):
        form = "PNG" if index % 2 else "JPEG"
        data = encoded(Image.fromarray(draw(index, size, seed)), form, quality=92)
        files.append((f"{'ab'[index % 2]}/{index:04d}.{'png' if index % 2 else 'jpg'}", data))
    return files


def found(composed: Composed, dropped: list[dict[str, str]]) -> tuple[dict[str, float], list[str]]:
    """The share of the twins of each kind of which only one stayed, and the good pictures that were lost.

    ``dropped`` are the rows of dropped.csv. A good picture is not lost when a twin stands for it.
    """
    gone = {row["name"] for row in dropped}
    shares = {
        kind: sum(copy in gone or original in gone for copy, original in twins.items()) / max(1, len(twins))
        for kind, twins in composed.twins.items()
    }
    stand_ins = defaultdict(list)
    for twins in composed.twins.values():
        for copy, original in twins.items():
            stand_ins[original].append(copy)
    lost = [name for name in composed.good if name in gone and all(copy in gone for copy in stand_ins[name])]
    return shares, lost


def _write(path: Path, data: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)


def _chunk(kind: bytes, data: bytes) -> bytes:
    return len(data).to_bytes(4, "big") + kind + data + zlib.crc32(kind + data).to_bytes(4, "big")


def _png_of(width: int, height: int) -> bytes:
    header = width.to_bytes(4, "big") + height.to_bytes(4, "big") + b"\x08\x02\0\0\0"
    pixels = _chunk(b"IDAT", zlib.compress(bytes(100_000)))
    return b"\x89PNG\r\n\x1a\n" + _chunk(b"IHDR", header) + pixels + _chunk(b"IEND", b"")


def _huge_png() -> bytes:
    return _png_of(30_000, 30_000)


def _dot() -> Image.Image:
    page = Image.new("RGB", (128, 128), "white")
    page.paste((200, 0, 0), (60, 60, 66, 66))
    return page


def _dim() -> Image.Image:
    noise = np.random.default_rng(0).integers(118, 122, (128, 128, 3), dtype=np.uint8)
    return Image.fromarray(noise)


def _from_zips(paths: list[Path], count: int) -> Iterable[tuple[str, bytes]]:
    for path in paths:
        with zipfile.ZipFile(path) as archive:
            names = sorted(name for name in archive.namelist() if name.lower().endswith((".jpg", ".png", ".webp")))
            for index in np.random.default_rng(1).permutation(len(names))[:count]:
                yield names[index], archive.read(names[index])
            for name in archive.namelist():
                if name.endswith("labels.csv"):
                    yield name, archive.read(name)


def main(words: list[str], say: Callable[[str], None] = print) -> None:
    import csv

    from kaogan.prepare import make_settings, prepare

    each = int(words[words.index("--each") + 1]) if "--each" in words else 200
    plain = [word for at, word in enumerate(words) if word != "--each" and (at == 0 or words[at - 1] != "--each")]
    out, zips = Path(plain[0]), [Path(word) for word in plain[1:]]
    files = list(_from_zips(zips, each * 5)) if zips else avatars(each * 10)
    labels = {name: data for name, data in files if name.endswith("labels.csv")}
    composed = compose(out / "mixed", [(n, d) for n, d in files if n not in labels], each)
    for name, data in labels.items():
        _write(out / "mixed" / name, data)
    tree = {"picture": {"crop": "none"}, "tags": {"enabled": False}}
    outcome = prepare([out / "mixed"], out / "set", make_settings(tree))
    with (out / "set" / "dropped.csv").open(encoding="utf-8", newline="") as file:
        dropped = list(csv.DictReader(file))
    shares, lost = found(composed, dropped)
    say(json.dumps(outcome.counts))
    for kind, share in shares.items():
        say(f"{kind:<12} {share:.2%} of {len(composed.twins[kind])}")
    caught = {row["name"] for row in dropped} & composed.broken.keys()
    say(f"broken       {len(caught)} of {len(composed.broken)}; missed: {sorted(composed.broken.keys() - caught)}")
    say(f"lost         {len(lost)} of {len(composed.good)} good ones ({len(lost) / len(composed.good):.2%})")
    reasons = {row["name"]: f"{row['step']}: {row['reason']}" for row in dropped}
    (out / "lost.txt").write_text("".join(f"{name}\t{reasons[name]}\n" for name in lost), encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1:])
