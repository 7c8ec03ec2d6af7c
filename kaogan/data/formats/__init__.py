"""Sets of pictures from one format to another: one file a format, each a reader and a writer over one small form."""

from __future__ import annotations

import importlib
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import cast

from kaogan.core.atomic_io import explain
from kaogan.core.errors import UsageError, nearest
from kaogan.core.staging import staged
from kaogan.data.formats.base import Format, Job, Options, Progress
from kaogan.data.sources.base import shown

# In the order in which a source is tried: what carries labels before what is told by its folders alone.
_FILES = (
    "hdf5",
    "webdataset",
    "acgan",
    "acgan_new",
    "bamsgan",
    "kaogan_set",
    "huggingface",
    "stylegan",
    "class_folders",
    "flat",
    "nested",
)


@dataclass(frozen=True)
class Result:
    """What a conversion did: pictures written, those left out with reasons, and what else there is to say."""

    written: int
    skipped: list[tuple[str, str]]
    notes: list[str]
    source_format: str
    target_format: str


@cache
def formats() -> dict[str, Format]:
    """The formats by name, in the order of detection."""
    found = [cast(Format, importlib.import_module(f"{__name__}.{name}")) for name in _FILES]
    return {form.NAME: form for form in found}


def format_of(name: str) -> Format:
    """Raises UsageError that names the nearest format."""
    if name not in formats():
        raise UsageError(f"unknown format '{name}'{nearest(name, formats())}")
    return formats()[name]


def detect(path: Path) -> Format:
    """The format of an existing folder or file. Raises UsageError when it is none."""
    for form in formats().values():
        if form.detect(path):
            return form
    raise UsageError(f"{path}: of no known format; name it with --from ({', '.join(formats())})")


def convert(
    source: Path,
    out: Path,
    to: str,
    *,
    source_format: str | None = None,
    options: Options | None = None,
    progress: Progress = lambda done, total: None,
) -> Result:
    """Write the set ``source`` to ``out`` in the format ``to``; the whole of it or, whatever happens, nothing.

    ``source_format`` is found by looking at the source unless it is named. Raises UsageError for a wrong name, setting
    or place, KaoganError for a source that cannot be read or a disk that is full.
    """
    options = options or Options()
    target = format_of(to)
    source, out = Path(source).expanduser(), Path(out).expanduser()
    _check(source, out, options)
    origin = format_of(source_format) if source_format else detect(source)
    with staged(out) as place, origin.read(source) as collection:
        job = Job(collection, options, progress)
        target.write(job, place)
    skipped = [(shown(name), reason) for name, reason in job.skipped]
    return Result(job.written, skipped, [shown(note) for note in job.notes], origin.NAME, target.NAME)


def _check(source: Path, out: Path, options: Options) -> None:
    try:
        if not source.exists():
            raise UsageError(f"no such folder or file: {shown(str(source))}; check the path")
        if out.resolve().is_relative_to(source.resolve()):
            raise UsageError(f"{out} lies inside of the source {source}; choose a place outside")
    except (ValueError, RuntimeError) as error:  # a zero character; a loop of links
        raise UsageError(f"not a path: {shown(str(source))} or {shown(str(out))}") from error
    except OSError as error:
        raise explain(error, source) from error
    if options.size is not None and not 4 <= options.size <= 4096:
        raise UsageError(f"--size {options.size}: from 4 to 4096 px")
    if options.encode not in ("keep", "png", "jpg"):
        raise UsageError(f"--encode {options.encode}: keep, png or jpg")
