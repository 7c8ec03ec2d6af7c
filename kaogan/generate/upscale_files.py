"""Upscaling of picture files, folders and archives: the work of ``kaogan upscale``."""

from __future__ import annotations

import os
import re
import unicodedata
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path, PurePosixPath

import numpy as np

from kaogan.aux_models.upscaler.model import TILE, Upscaler
from kaogan.core.errors import KaoganError, UsageError
from kaogan.core.images import Pictures
from kaogan.core.notes import note
from kaogan.core.paths import looking_at
from kaogan.core.picture_files import FORMATS, LONGEST, Writer, format_of
from kaogan.core.progress import Progress
from kaogan.core.text import shown
from kaogan.core.worker_pool import WorkerPool
from kaogan.data.decoding import MAX_BYTES, MAX_PIXELS, BrokenPicture, is_animated, read_picture
from kaogan.data.sources import SUFFIXES, open_source
from kaogan.generate.in_processes import UpscalerFile
from kaogan.generate.upscale_sheets import comparison_sheet

TOGETHER = 16  # pictures of one size that are enlarged at once
UNWRITABLE = re.compile(r'[<>:"|?*\\\x00-\x1f]')  # in names of files on Windows
LONGEST_NAME = 230  # bytes; file systems hold 255, and a name in the making is longer


@dataclass
class UpscaleReport:
    """What was written, and what could not be and why, by name."""

    written: list[Path] = field(default_factory=list)
    skipped: list[tuple[str, str]] = field(default_factory=list)
    animated: list[str] = field(default_factory=list)
    """Of these only the first of several pictures was taken."""
    gains: list[tuple[float, float]] = field(default_factory=list)
    """With ``compare``: PSNR of ours and of bicubic, dB, a picture."""


@dataclass(frozen=True)
class _Job:
    name: str  # for messages
    read: Callable[[], bytes | Path]
    target: PurePosixPath  # below the folder of results
    source: Path | None = None  # the file itself, if it is one


def upscale_files(
    upscaler: Upscaler,
    inputs: Sequence[Path],
    out: Path,
    scale: int = 4,
    *,
    format: str | None = None,
    compare: bool = False,
    tile: int = TILE,
    progress: Progress | None = None,
    pool: WorkerPool | None = None,
) -> UpscaleReport:
    """Enlarge pictures, and those in folders, zips and tars, into ``out``: a folder, or one file for one picture.

    Names and formats stay, but where a format cannot be written or hold the alpha it becomes png; ``format`` asks for
    another. With ``compare`` every picture is shrunk by ``scale`` first, and a sheet is written: low | bicubic | ours |
    original. Of an animation the first picture is taken, which the
    report says. What cannot be read or would become too large is listed in
    the report, and the rest is done; results of before, in ``out``, are not taken for pictures to enlarge.
    The processes of ``pool`` enlarge, if it is given; this one reads and writes. Raises UsageError when nothing is
    there to be done, KaoganError for errors of the disk.
    """
    upscaler.check_scale(scale)
    report = UpscaleReport()
    with _OpenInputs(inputs, out, report) as jobs:
        single = not out.is_dir() and format_of(out) is not None
        if single and len(jobs) > 1:
            raise UsageError(f"{out} is one file, but there are {len(jobs)} pictures; name a folder with --out")
        if not single and out.is_file():
            raise UsageError(f"{out} is a file; name a folder with --out")
        sources = {_file(job.source) for job in jobs if job.source is not None}
        taken: set[str] = set()
        unread = len(report.skipped)
        with Writer(threads=2, pending=8) as writer:
            for group, made in _enlarged(jobs, upscaler, scale, compare, tile, report, pool):
                for job, (result, gain) in zip(group, made, strict=True):
                    report.gains += [gain] if gain else []
                    path = out if single else _place(out, job.target, result, format, taken)
                    if _file(path) in sources:
                        report.skipped.append(
                            (job.name, "the result would overwrite it; name another place with --out")
                        )
                        continue
                    if problem := unwritable(path, result):
                        report.skipped.append((job.name, problem))
                        continue
                    taken.add(_name(path))
                    writer.put(result, path)
                    report.written.append(path)
                if progress:
                    progress(len(report.written) + len(report.skipped) - unread, len(jobs), "upscaling")
    return report


def read_whole(source: bytes | Path) -> np.ndarray:
    """A picture file as uint8 (H, W, C): 4 channels if any of it is transparent, 1 if it is grey, else 3.

    16 bits become 8, palettes their colours, EXIF orientation is applied. Raises BrokenPicture.
    """
    picture = np.asarray(read_picture(source, channels=4))
    if (picture[..., 3] < 255).any():
        return picture
    colours = picture[..., :3]
    grey = (colours[..., :1] == colours).all()
    return np.ascontiguousarray(colours[..., :1] if grey else colours)


@dataclass(frozen=True)
class _Enlarge:
    """Pictures of one shape -> each enlarged, or its sheet and PSNR (ours, bicubic)."""

    upscaler: Upscaler | UpscalerFile
    scale: int
    compare: bool
    tile: int

    def __call__(self, pictures: Pictures) -> list[tuple[np.ndarray, tuple[float, float] | None]]:
        upscaler = self.upscaler.load() if isinstance(self.upscaler, UpscalerFile) else self.upscaler
        if not self.compare:
            return [(picture, None) for picture in upscaler.upscale(pictures, self.scale, tile=self.tile)]
        sheets = (comparison_sheet(upscaler, picture, self.scale) for picture in pictures)
        return [(sheet, (ours, bicubic)) for sheet, ours, bicubic in sheets]


def _enlarged(
    jobs: Sequence[_Job], upscaler: Upscaler, scale: int, compare: bool, tile: int, report: UpscaleReport,
    pool: WorkerPool | None,
) -> Iterator[tuple[list[_Job], list[tuple[np.ndarray, tuple[float, float] | None]]]]:  # fmt: skip
    """Jobs whose pictures can be used, some at a time, and what is made of each."""
    waiting: deque[list[_Job]] = deque()

    def pictures() -> Iterator[Pictures]:
        for group in _groups(jobs, scale, compare, report):
            waiting.append([job for job, _ in group])
            yield np.stack([picture for _, picture in group])

    enlarge = _Enlarge(UpscalerFile.of(upscaler) if pool else upscaler, scale, compare, tile)
    for made in (result for _, result in pool.map(enlarge, pictures())) if pool else map(enlarge, pictures()):
        yield waiting.popleft(), made


class _OpenInputs:
    """Every picture of the inputs. Archives stay open as long as they are read from."""

    def __init__(self, inputs: Sequence[Path], out: Path, report: UpscaleReport) -> None:
        self._stack, self._inputs, self._out, self._report = ExitStack(), inputs, out, report

    def __enter__(self) -> list[_Job]:
        jobs: list[_Job] = []
        try:
            for place in self._inputs:
                try:
                    jobs += self._of(place)
                except KaoganError as error:
                    if len(self._inputs) == 1:
                        raise
                    self._report.skipped.append((shown(str(place)), str(error).removeprefix(f"{place} ")))
        except BaseException:
            self._stack.close()
            raise
        if not jobs and not self._report.skipped:
            raise UsageError(f"no pictures in {', '.join(map(str, self._inputs))}")
        return jobs

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def _of(self, place: Path) -> Iterator[_Job]:
        place = existing(place)
        if place.is_file() and (place.suffix.lower() in SUFFIXES or not place.suffix):
            yield _Job(str(place), partial(Path, place), PurePosixPath(place.name), place)
            return
        if not (place.is_dir() or place.is_file()):
            raise UsageError(f"{shown(str(place))} is neither a file nor a folder")
        source = self._stack.enter_context(open_source(place, without=(self._out.resolve(),)))
        self._report.skipped += [(f"{place}/{shown(name)}", reason) for name, reason in source.listing.skipped]
        for index, entry in enumerate(source.listing.entries):
            parts = [part for part in PurePosixPath(entry.name).parts if part not in ("/", "..", ".")]
            inside = place / entry.name if place.is_dir() else None
            if inside is None:  # an archive may hold any name, also C:/x.png, which leads elsewhere on Windows
                parts = [UNWRITABLE.sub("_", part) for part in parts]
            yield _Job(f"{place}/{shown(entry.name)}", partial(source.read, index), PurePosixPath(*parts), inside)


def _groups(
    jobs: Sequence[_Job], scale: int, compare: bool, report: UpscaleReport
) -> Iterator[list[tuple[_Job, np.ndarray]]]:
    """Pictures that can be used, those of one shape that follow each other together."""
    group: list[tuple[_Job, np.ndarray]] = []
    for job in jobs:
        try:
            data = job.read()
            picture = read_whole(data)
        except BrokenPicture as broken:
            report.skipped.append((job.name, broken.reason))
            continue
        if problem := _unfit(picture, scale, compare):
            report.skipped.append((job.name, problem))
            continue
        if is_animated(data):
            report.animated.append(job.name)
        if group and (picture.shape != group[0][1].shape or len(group) >= _most(picture)):
            yield group
            group = []
        group.append((job, picture))
    if group:
        yield group


def _most(picture: np.ndarray) -> int:
    return max(1, min(TOGETHER, TOGETHER * 128**2 // (picture.shape[0] * picture.shape[1])))


def _unfit(picture: np.ndarray, scale: int, compare: bool) -> str | None:
    high, wide = picture.shape[:2]
    if compare:
        fewest = 11 + scale  # what SSIM needs, and one whole pixel more
        return f"too small to compare: {wide} x {high} px" if min(high, wide) < fewest else None
    if high * wide * scale**2 > MAX_PIXELS:
        return f"{wide} x {high} px at x{scale} would be more than {MAX_PIXELS // 10**6} megapixels"
    return None


def unwritable(path: Path, picture: np.ndarray) -> str | None:
    """Why ``picture`` (H, W, C) cannot be written as ``path``, in a few words; None if it can."""
    ending = path.suffix.lower().removeprefix(".").replace("jpeg", "jpg")
    if max(picture.shape[:2]) > LONGEST[ending]:
        return f"a {ending} cannot hold {picture.shape[1]} x {picture.shape[0]} px; use --format png"
    if ending == "jpg" and picture.shape[2] == 4:
        return "a jpg cannot hold transparency; use --format png"
    if len(os.fsencode(path.name)) > LONGEST_NAME:
        return "its name is too long to write another file of it"
    return None


def _place(out: Path, target: PurePosixPath, picture: np.ndarray, format: str | None, taken: set[str]) -> Path:
    ending = format or target.suffix.lower().removeprefix(".").replace("jpeg", "jpg")
    if ending not in FORMATS or (ending == "jpg" and picture.shape[2] == 4):
        ending = "png"
    path = out / target.with_suffix(f".{ending}")
    if _name(path) in taken:  # a.gif and a.png both become a.png
        path = path.with_name(f"{target.name.replace('.', '-')}.{ending}")
    stem, number = path.stem, 2
    while _name(path) in taken:  # pictures of one name from several folders
        path, number = path.with_name(f"{stem}-{number}.{ending}"), number + 1
    return path


def _name(path: Path) -> str:
    """The same for names that some file systems take for one: of another case, or letters composed otherwise."""
    return unicodedata.normalize("NFC", str(path)).casefold()


def _file(path: Path) -> tuple[int, int] | Path:
    """Which file it is, whatever the name that it is called by."""
    try:
        status = path.stat()
    except OSError:  # not there
        return path.resolve()
    return (status.st_dev, status.st_ino) if status.st_ino else path.resolve()


def check_inputs(inputs: Sequence[Path]) -> None:
    """Raise UsageError or KaoganError for a place that is not there or cannot be looked at, before any weights are
    read."""
    for place in inputs:
        existing(place)


def existing(place: Path) -> Path:
    """``place`` with its ``~`` expanded. Raises UsageError where nothing is, KaoganError where that is not shown."""
    with looking_at(place):
        found = place.expanduser()
        if found.exists():
            return found
    raise UsageError(f"no such picture, folder, zip or tar: {shown(str(place))}")


def upscale_bytes(upscaler: Upscaler, data: bytes, scale: int) -> np.ndarray:
    """One picture file's bytes -> the enlarged picture (H, W, C). Raises KaoganError."""
    if len(data) > MAX_BYTES:
        raise KaoganError(f"the picture is larger than {MAX_BYTES // 2**20} MB")
    try:
        picture = read_whole(data)
    except BrokenPicture as broken:
        raise KaoganError(f"the picture cannot be used: {broken.reason}") from None
    if is_animated(data):
        note("an animation: only its first picture is enlarged")
    if problem := _unfit(picture, scale, False):
        raise KaoganError(problem)
    return upscaler.upscale(picture[None], scale)[0]
