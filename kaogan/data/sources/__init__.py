"""Picture sources: ``open_source`` opens a folder, a zip or a tar, none of which is ever extracted."""

from __future__ import annotations

import stat
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path

from kaogan.core.atomic_io import explain
from kaogan.core.errors import UsageError
from kaogan.core.text import shown
from kaogan.data.cache import cache_folder
from kaogan.data.sources.base import LABELS, SUFFIXES, Entry, Listing, Source, natural
from kaogan.data.sources.folder import Folder
from kaogan.data.sources.remote import RemoteFolder, fetched
from kaogan.data.sources.tar import Tar, is_tar
from kaogan.data.sources.zip import Zip, is_zip
from kaogan.data.storage import Storage, is_address

__all__ = ["LABELS", "SUFFIXES", "Entry", "Listing", "Source", "natural", "open_source"]


@contextmanager
def open_source(path: Path | str, without: Collection[Path] = (), cache: Path | None = None) -> Iterator[Source]:
    """A folder, zip or tar by its path or address; folders in ``without`` (resolved) are not walked into.

    An archive behind an address is first copied to ``cache``, the cache's folder. Raises UsageError when it is none of
    these, KaoganError when it cannot be read.
    """
    if is_address(path):
        storage = Storage(path)
        if storage.is_folder():
            yield RemoteFolder(storage)
            return
        path = fetched(storage, cache_folder(cache))
    try:
        path = Path(path).expanduser()
        mode = path.stat().st_mode
    except (FileNotFoundError, NotADirectoryError) as error:
        raise UsageError(f"no such folder, zip or tar of pictures: {shown(str(path))}; check the path") from error
    except (ValueError, RuntimeError) as error:  # a zero character; "~" of nobody
        raise UsageError(f"not a path: {shown(str(path))}") from error
    except OSError as error:
        raise explain(error, Path(path)) from error
    if stat.S_ISDIR(mode):
        yield Folder(path, without)
    elif stat.S_ISREG(mode) and is_zip(path):
        with Zip(path) as archive:
            yield archive
    elif stat.S_ISREG(mode) and is_tar(path):
        with Tar(path) as tar:
            yield tar
    else:
        raise _not_a_set(path)


def _not_a_set(path: Path) -> UsageError:
    suffix = path.suffix.lower()
    if suffix in SUFFIXES:
        return UsageError(
            f"{path} is one picture; give the folder it is in ({path.parent}) or a zip or tar of pictures"
        )
    if suffix in (".gz", ".xz", ".bz2", ".zst", ".7z", ".rar"):
        return UsageError(f"{path} is neither a zip nor a tar; unpack it and give the folder, or pack it as a zip")
    if path.name == LABELS:
        return UsageError(f"{path} is the list of labels; give the folder it is in ({path.parent})")
    return UsageError(f"{path} is neither a folder nor a zip or tar of pictures; give one of these")
