"""The report of ``prepare``: one HTML page of what was kept, what was dropped and why, with all pictures inside."""

from __future__ import annotations

import heapq
import io
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from kaogan.core.atomic_io import write_text
from kaogan.core.html import data_uri, environment
from kaogan.core.text import shown
from kaogan.data.cache import in_order
from kaogan.data.decoding import BrokenPicture, fit, read_picture
from kaogan.prepare import tables
from kaogan.prepare.context import RunContext
from kaogan.prepare.crops import Crop
from kaogan.prepare.prepared_set import Dropped, PreparedSet
from kaogan.prepare.processed_file import SURPLUS
from kaogan.prepare.split import share_of

REPORT = "report.html"
TILE = 96  # px, longest side of a small picture
KEPT_TILES, DROPPED_TILES, VALUE_TILES, MEAN_OF = 120, 48, 8, 250
MEAN_SIZE = 128
BINS = 24

MEANINGS = {
    "skipped": "not picture files, or not to be opened",
    "unread": "could not be read this time",
    "broken": "broken, truncated or hostile files",
    "tiny": "smaller than the smallest useful side",
    "no face": "pictures in which no face was found",
    SURPLUS: "further faces of a picture than were wanted",
    "monochrome": "nearly one colour",
    "blurred": "not sharp",
    "exact copy": "the same file again",
    "near copy": "re-encoded, resized or slightly cropped",
    "mirrored copy": "the same, seen in a mirror",
}


def write_report(run: RunContext, result: PreparedSet) -> None:
    write_text(run.out / REPORT, page(run, result))


def page(run: RunContext, result: PreparedSet) -> str:
    pictures = _Pictures(run)
    return (
        environment(Path(__file__).parent)
        .get_template("report.html.j2")
        .render(
            name=shown(run.out.resolve().name),
            sources=[shown(given) for given in run.files.given],
            settings=run.settings,
            kept=len(result.crops),
            parts=sorted({part: result.parts.count(part) for part in set(result.parts) - {""}}.items()),
            steps=_steps(result),
            sample=pictures.tiles(_sample(result.crops, KEPT_TILES)),
            dropped=[_dropped(step, result, pictures) for step in MEANINGS if result.counts.get(step)],
            attributes=[_attribute(name, result, pictures) for name in _drawn(result)],
            doubts=_doubts(result, pictures),
            doubtful=len(result.doubts),
            mean=_mean(result.crops, pictures),
            sizes=histogram([crop.area**0.5 for crop in result.crops], "px"),
            brightness=histogram([crop.brightness for crop in result.crops], "", 0, 255),
            notes=result.notes,
        )
    )


def histogram(
    values: Sequence[float], unit: str, low: float | None = None, high: float | None = None
) -> dict[str, Any]:
    """Bars of 0 to 1, and what stands below them. The far ends are gathered in the outermost bars."""
    if not values:
        return {"bars": [], "low": "", "high": "", "middle": ""}
    found = np.asarray(values, float)
    low = float(np.quantile(found, 0.01)) if low is None else low
    high = float(np.quantile(found, 0.99)) if high is None else high
    if high <= low:
        low, high = low - 1, high + 1
    counts, _ = np.histogram(found.clip(low, high), BINS, (low, high))
    space = f" {unit}" if unit else ""
    return {
        "bars": [
            {"share": float(count / counts.max()), "count": int(count), "at": f"{edge:.0f}{space}"}
            for count, edge in zip(counts, np.linspace(low, high, BINS + 1)[:-1], strict=True)
        ],
        "low": f"{low:.0f}{space}",
        "high": f"{high:.0f}{space}",
        "middle": f"median {np.median(found):.0f}{space}",
    }


class _Pictures:
    """Small pictures as data: URLs."""

    def __init__(self, run: RunContext) -> None:
        self._find: Callable[[str, str, int], Any] = run.store.find
        self.url = cache(self._url)

    def read(self, crop: Crop) -> Image.Image | None:
        path = self._find(crop.key, crop.suffix, crop.bytes)
        try:
            return read_picture(path, at_least=TILE) if path else None
        except BrokenPicture:
            return None

    def tiles(self, crops: Iterable[Crop]) -> list[dict[str, str]]:
        return [{"url": url, "title": crop.key} for crop, url in in_order(crops, self.of) if url]

    def of(self, crop: Crop) -> str:
        return self.url(crop.key, crop.suffix, crop.bytes)

    def _url(self, key: str, suffix: str, size: int) -> str:
        path = self._find(key, suffix, size)
        try:
            picture = read_picture(path, at_least=TILE) if path else None
        except BrokenPicture:
            picture = None
        if picture is None:
            return ""
        picture.thumbnail((TILE, TILE), Image.Resampling.LANCZOS)
        return as_url(picture)


def as_url(picture: Image.Image) -> str:
    buffer = io.BytesIO()
    picture.save(buffer, "WEBP", quality=82, method=2)
    return data_uri(buffer.getvalue(), "webp")


def _steps(result: PreparedSet) -> list[dict[str, Any]]:
    most = max(1, *(count for step, count in result.counts.items() if step != "files"))
    return [
        {"step": step, "count": count, "share": count / most, "meaning": MEANINGS.get(step, "in the set")}
        for step, count in result.counts.items()
        if step != "files" and (count or step == "kept")
    ]


def _sample(crops: Sequence[Crop], count: int) -> list[Crop]:
    """The same for the same pictures, spread over all of them: keys are digests."""
    return heapq.nsmallest(count, crops, key=lambda crop: crop.key[::-1])


def _dropped(step: str, result: PreparedSet, pictures: _Pictures) -> dict[str, Any]:
    found = [each for each in result.dropped if each.step == step]
    found.sort(key=lambda each: share_of(f"{each.source}/{each.name}", "report"))
    shown_ones = [each for each in found if each.preview is not None][:DROPPED_TILES]
    by_key = {crop.key: crop for crop in result.crops}
    tiles = []
    for each in shown_ones:
        tile = {"title": f"{each.name}: {each.reason}", "url": _preview(each, pictures), "of": ""}
        if each.kept in by_key:
            tile["of"] = pictures.of(by_key[each.kept])
        tiles.append(tile)
    reasons = [] if tiles else [{"name": each.name, "reason": each.reason} for each in found[:12]]
    more = len(found) - (len(tiles) or len(reasons))
    return {"step": step, "count": len(found), "meaning": MEANINGS[step], "tiles": tiles, "list": reasons, "more": more}


def _preview(dropped: Dropped, pictures: _Pictures) -> str:
    if isinstance(dropped.preview, Crop):
        return pictures.of(dropped.preview)
    return data_uri(dropped.preview or b"", "jpeg")


def _drawn(result: PreparedSet) -> list[str]:
    return [a.name for a in tables.schema(result.rows, result.columns).attributes if len(a.values) <= 64]


def _attribute(name: str, result: PreparedSet, pictures: _Pictures) -> dict[str, Any]:
    counts = tables.counts_of(result.rows, name)
    known = sorted((value for value in counts if value), key=lambda value: (-counts[value], value))
    members: dict[str, list[Crop]] = {value: [] for value in known}
    for crop, row in zip(result.crops, result.rows, strict=True):
        if row.get(name):
            members[row[name]].append(crop)
    most = max(counts.values())
    values = [
        {
            "value": value,
            "count": counts[value],
            "share": counts[value] / most,
            "tiles": pictures.tiles(_sample(members[value], VALUE_TILES)),
        }
        for value in known
    ]
    return {"name": name, "values": values, "unknown": counts.get("", 0), "unknown_share": counts.get("", 0) / most}


def _doubts(result: PreparedSet, pictures: _Pictures) -> list[dict[str, Any]]:
    by_name = dict(zip(result.names, result.crops, strict=True))
    surest = sorted(result.doubts, key=lambda each: (-each[1].confidence, each[0]))[:DROPPED_TILES]
    return [{"doubt": doubt, "url": pictures.of(by_name[file]), "title": file} for file, doubt in surest]


def _mean(crops: Sequence[Crop], pictures: _Pictures) -> str:
    """Of pictures of one size the mean is resized, not each of them."""
    sums: dict[tuple[int, int], np.ndarray] = {}
    counts: Counter[tuple[int, int]] = Counter()
    for crop in _sample(crops, MEAN_OF):
        if picture := pictures.read(crop):
            picture = fit(picture, min(MEAN_SIZE, *picture.size))
            sums[picture.size] = sums.get(picture.size, 0) + np.asarray(picture, np.float32)
            counts[picture.size] += 1
    total, count = np.zeros((MEAN_SIZE, MEAN_SIZE, 3)), sum(counts.values())
    for size, each in sums.items():
        mean = Image.fromarray(np.rint(each / counts[size]).astype(np.uint8))
        total += np.asarray(fit(mean, MEAN_SIZE)) * (counts[size] / count)
    return as_url(Image.fromarray(np.rint(total).astype(np.uint8))) if count else ""
