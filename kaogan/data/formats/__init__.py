"""Dataset formats: detection, the labels and pictures of a source by its format, and conversion of whole sets."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from kaogan.core.atomic_io import explain
from kaogan.core.errors import UsageError
from kaogan.core.paths import looking_at
from kaogan.core.progress import Progress, no_progress
from kaogan.core.staging import staged
from kaogan.core.text import shown
from kaogan.data.folder_classes import Choice, DoubtfulClassesError
from kaogan.data.formats.base import FORMATS, Format, Job, Options
from kaogan.data.formats.class_folders import folder_layout
from kaogan.data.labels import LabelTable
from kaogan.data.layout import Layout, check_side_files, entry_names, whole
from kaogan.data.sources import Source, open_source
from kaogan.data.storage import as_address, is_address

__all__ = ["FORMATS", "ConversionResult", "Format", "Options", "convert", "detect", "layout_of", "pictures_of"]
_FOLDERS = ("classes", "flat", "nested")  # formats of folders without any file of labels


@dataclass(frozen=True)
class ConversionResult:
    """What a conversion did: pictures written, those left out with reasons, and what else there is to say."""

    written: int
    skipped: list[tuple[str, str]]
    notes: list[str]
    source_format: str
    target_format: str


def layout_of(source: Source, choice: Choice = "auto") -> tuple[Layout, str]:
    """(how to read an open source, the name of its format): of the first format whose files of labels it holds, else of
    its folders. ``choice``: whether sub-folders are classes.

    Raises KaoganError for labels that cannot be read, UsageError when ``choice`` is "ask" and there is doubt.
    """
    check_side_files(source)
    for name, form in FORMATS.items():
        if name not in _FOLDERS and (layout := form.layout(source)):
            return layout, name
    layout = folder_layout(source, choice) or Layout(LabelTable({}, str(source.path)), (), [])
    if layout.table.columns:
        return layout, "classes"
    return layout, "flat" if FORMATS["flat"].layout(source) else "nested"


def pictures_of(source: Source) -> Layout:
    """``layout_of`` without any labels, whose files are not even opened."""
    for form in FORMATS.names():
        if layout := FORMATS[form].pictures(source):
            return layout
    return whole(source, LabelTable({}, str(source.path)), entry_names(source))


def detect(path: Path) -> Format:
    """The format of an existing folder or file. Raises UsageError when it is none, or when its sub-folders may be
    classes or not."""
    for form in FORMATS.names():
        if FORMATS[form].detect(path):
            return FORMATS[form]
    with open_source(path) as source:
        if not source.listing.entries:
            raise UsageError(f"{path}: of no known format; name it with --from ({', '.join(FORMATS.names())})")
        try:
            return FORMATS[layout_of(source, "ask")[1]]
        except DoubtfulClassesError as doubt:
            raise UsageError(f"{doubt.doubt}: say --from classes or --from nested") from None


def convert(
    source: Path,
    out: Path,
    to: str,
    *,
    source_format: str | None = None,
    options: Options | None = None,
    progress: Progress = no_progress,
) -> ConversionResult:
    """Write the set ``source`` to ``out`` in the format ``to``; the whole of it or, whatever happens, nothing.

    ``source_format`` is found by looking at the source unless it is named. Raises UsageError for a wrong name, setting
    or place, KaoganError for a source that cannot be read or a disk that is full.
    """
    options = options or Options()
    target = FORMATS[to]
    if not target.writable:
        able = ", ".join(name for name, form in FORMATS.items() if form.writable)
        raise UsageError(f"kaogan reads the format {to} but does not write it; --to takes {able}")
    with looking_at(source):
        source = Path(source).expanduser()
    with looking_at(out):
        out = Path(out).expanduser()
    _check(source, out, options)
    origin = FORMATS[source_format] if source_format else detect(source)
    with staged(out) as place, origin.read(source) as collection:
        job = Job(collection, options, progress)
        target.write(job, place)
    skipped = [(shown(name), reason) for name, reason in job.skipped]
    return ConversionResult(job.written, skipped, [shown(note) for note in job.notes], origin.name, target.name)


def _check(source: Path, out: Path, options: Options) -> None:
    if is_address(out):
        raise UsageError(
            f"{shown(as_address(out))}: sets are written to this machine alone; give a folder or file of it"
        )
    try:
        if not source.exists() and not is_address(source):
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
