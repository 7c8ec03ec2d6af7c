"""Input listing of ``prepare``: several sources seen as one list, and which of their files are new or changed."""

from __future__ import annotations

import bisect
import hashlib
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from kaogan.core.errors import KaoganError, UsageError
from kaogan.core.paths import looking_at
from kaogan.data.decoding import BrokenPicture
from kaogan.data.formats import pictures_of
from kaogan.data.sources import Entry, Source, open_source
from kaogan.data.sources.parts import part_of
from kaogan.data.sources.remote import RemoteFolder
from kaogan.data.storage import as_address, is_address
from kaogan.prepare.manifest import Manifest
from kaogan.prepare.processed_file import UNREAD, File, Rejection

# A file as the manifest knows it: source, name, and which of the members of that name (a zip may hold two).
FileKey = tuple[bytes, bytes, int]


@dataclass
class InputFiles:
    """Position p, from 0, is one picture file: those of the first source in natural order, then the next source's."""

    sources: list[Source]
    given: list[str]  # as the user wrote them

    def __post_init__(self) -> None:
        self._keys = [_bytes(_identity(source)) for source in self.sources]
        self._starts = [0]
        for source in self.sources:
            self._starts.append(self._starts[-1] + len(source.listing.entries))
        self._nth = self._repeated()

    def __len__(self) -> int:
        return self._starts[-1]

    def place(self, position: int) -> tuple[int, int]:
        """(number of the source, index in it)."""
        source = bisect.bisect_right(self._starts, position) - 1
        return source, position - self._starts[source]

    def entry(self, position: int) -> Entry:
        source, index = self.place(position)
        return self.sources[source].listing.entries[index]

    def each(self) -> Iterator[tuple[int, FileKey, Entry]]:
        """(position, how the manifest knows it, entry) of every file."""
        for key, start, source in zip(self._keys, self._starts, self.sources, strict=False):
            for position, entry in enumerate(source.listing.entries, start):
                yield position, (key, _bytes(entry.name), self._nth.get(position, 0)), entry

    def known(self, position: int) -> FileKey:
        source, index = self.place(position)
        name = self.sources[source].listing.entries[index].name
        return self._keys[source], _bytes(name), self._nth.get(position, 0)

    def read(self, position: int, whole: bool) -> File:
        """What a worker is given: the path of a file on disk (its bytes if ``whole``), the bytes of a packed one, or
        how to read it itself where it lies behind an address or, if not ``whole``, in a tar."""
        source, index = self.place(position)
        if (not whole or is_remote(self.sources[source])) and (part := part_of(self.sources[source], index)):
            return part
        try:
            data = self.sources[source].read(index)
        except BrokenPicture as broken:
            return Rejection(UNREAD if broken.passing else "broken", broken.reason)
        if whole and isinstance(data, Path):
            try:
                return data.read_bytes()
            except OSError:
                pass  # the worker finds the same and says why
        return data

    def check_source(self, position: int) -> None:
        """Raise KaoganError if the source of this file is gone."""
        number, _ = self.place(position)
        if is_remote(self.sources[number]):
            if not self.sources[number].storage.exists():  # type: ignore[attr-defined]
                raise KaoganError(f"nothing is at {self.given[number]} any more; what is done is kept")
        elif not self.sources[number].path.expanduser().exists():
            raise KaoganError(
                f"{self.given[number]} disappeared while it was read; what is done is kept: bring it back and run the "
                "same command again"
            )

    def digest(self) -> str:
        """Changes when any file does."""
        digest = hashlib.sha256()
        for key, source in zip(self._keys, self.sources, strict=True):
            digest.update(repr((key, source.stamp, len(source.listing.entries))).encode())
            for entry in source.listing.entries:
                digest.update(b"%s\0%d\0%d\n" % (_bytes(entry.name), entry.size, entry.stamp))
            digest.update(repr(source.listing.skipped).encode("utf-8", "surrogatepass"))
        return digest.hexdigest()

    def _repeated(self) -> dict[int, int]:
        nth: dict[int, int] = {}
        for start, source in zip(self._starts, self.sources, strict=False):
            names = Counter(entry.name for entry in source.listing.entries)
            if len(names) == len(source.listing.entries):
                continue
            seen: Counter[str] = Counter()
            for index, entry in enumerate(source.listing.entries):
                if names[entry.name] > 1:
                    nth[start + index] = seen[entry.name]
                    seen[entry.name] += 1
        return nth


@contextmanager
def open_files(sources: Sequence[str | Path], out: Path, companions: Sequence[Path]) -> Iterator[InputFiles]:
    """Open every source; what lies in ``out`` and its ``companions`` is not among them.

    Raises UsageError for a source that is the output, lies in it, or is named twice.
    """
    if not sources:
        raise UsageError("name at least one folder, zip or tar of pictures, and last the folder to write")
    own = [path.expanduser().resolve() for path in (out, *companions)]
    seen: set[Path | str] = set()
    with ExitStack() as stack:
        opened = []
        for given in sources:
            if is_address(given):
                if (address := as_address(given)) in seen:
                    raise UsageError(f"the source {given} is named twice")
                seen.add(address)
                source = stack.enter_context(open_source(given))
                _leave_out_others(source)
                opened.append(source)
                continue
            with looking_at(given):
                resolved = Path(given).expanduser().resolve()
            if resolved in own:
                raise UsageError(f"{given} is both a source and the output; choose another folder for the output")
            if own[0] in resolved.parents:
                raise UsageError(f"the source {given} lies in the output {out}; choose another folder for the output")
            if resolved in seen:
                raise UsageError(f"the source {given} is named twice")
            seen.add(resolved)
            source = stack.enter_context(open_source(Path(given), own))
            _leave_out_others(source)
            opened.append(source)
        yield InputFiles(opened, [str(given) for given in sources])


def is_remote(source: Source) -> bool:
    """Whether it lies behind an address and is read from there."""
    return isinstance(source, RemoteFolder)


def _identity(source: Source) -> str:
    return str(source.path) if is_remote(source) else str(source.path.expanduser().resolve())


def _leave_out_others(source: Source) -> None:
    """Pictures that are no data, such as BaMSGAN's blurred ones, count as skipped."""
    layout = pictures_of(source)
    if len(layout.indices) == len(source.listing.entries):
        return
    kept = set(layout.indices)
    others = [entry.name for index, entry in enumerate(source.listing.entries) if index not in kept]
    source.listing.skipped += [(name, "no picture of the set") for name in others]
    source.listing.notes += layout.table.notes
    source.keep(layout.indices)


def changed(files: InputFiles, manifest: Manifest) -> tuple[list[int], list[int], dict[int, int]]:
    """What is new or changed (positions), gone or changed (rows in the manifest), and the rest (row -> position)."""
    known = {
        (bytes(source), bytes(name), nth): (number, size, stamp)
        for number, source, name, nth, size, stamp in manifest.rows(
            "SELECT id, source, name, nth, size, stamp FROM files"
        )
    }
    todo, same = [], {}
    for position, key, entry in files.each():
        found = known.get(key)
        if found and found[1:] == (entry.size, str(entry.stamp)):
            same[found[0]] = position
            del known[key]
        else:
            todo.append(position)
    return todo, sorted(number for number, _, _ in known.values()), same


def _bytes(text: str) -> bytes:
    return text.encode("utf-8", "surrogatepass")  # a name of a file may be bytes that are no text
