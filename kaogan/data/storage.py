"""Storage behind an address such as ``s3://bucket/faces`` or ``https://host/faces.zip``, by way of fsspec.

Which kinds of address work depends on what is installed beside kaogan: fsspec itself brings https (with aiohttp) and
memory, s3fs brings s3, gcsfs brings gs. Credentials and endpoints are those libraries' own business.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from kaogan.core.errors import KaoganError, UsageError
from kaogan.core.text import one_line, shown

_ADDRESS = re.compile(r"([a-z][a-z0-9+.-]+)(::|:/)", re.IGNORECASE)  # two letters or more: C:/ is a drive
# Names of exceptions of libraries that are not imported here.
_CREDENTIALS = ("Credential", "AccessDenied", "Forbidden", "Unauthorized", "InvalidAccessKey", "SignatureDoesNotMatch")
_MISSING = ("NoSuchBucket", "NotFound", "NoSuchKey")


def is_address(place: str | Path) -> bool:
    """Whether ``place`` is an address for fsspec rather than a path of this machine."""
    return _ADDRESS.match(_text(place)) is not None and not Path(place).exists()


def as_address(place: str | Path) -> str:
    """The text of an address, also of one that went through a ``Path``, which makes one slash of two."""
    return re.sub(r"^([a-z][a-z0-9+.-]+):/(?=[^/])", r"\1://", _text(place), flags=re.IGNORECASE).rstrip("/")


def _text(place: str | Path) -> str:
    return place.as_posix() if isinstance(place, Path) else place


class Storage:
    """The files below one address. ``options`` go to fsspec's filesystem.

    Every method raises UsageError where there is nothing, KaoganError for a package, credentials or a network that
    are missing; each in one line.
    """

    def __init__(self, address: str | Path, **options: Any) -> None:
        self.address, self.options = as_address(address), options
        with self.explained():
            from fsspec.core import url_to_fs

            self.files, self.root = url_to_fs(self.address, **options)

    @property
    def shares_memory(self) -> bool:
        """Whether it lies in this process, so that no other can read it."""
        return "memory" in self._protocols

    @property
    def _protocols(self) -> tuple[str, ...]:
        found = self.files.protocol
        return (found,) if isinstance(found, str) else tuple(found)

    def path(self, name: str = "") -> str:
        return f"{self.root.rstrip('/')}/{name}" if name else self.root

    def exists(self, name: str = "") -> bool:
        with self.explained(name):
            return bool(self.files.exists(self.path(name)))

    def is_folder(self) -> bool:
        with self.explained():
            return bool(self.files.isdir(self.root))

    def info(self, name: str = "") -> dict[str, Any]:
        with self.explained(name):
            return dict(self.files.info(self.path(name)))

    def find(self) -> dict[str, dict[str, Any]]:
        """What is known of each file below the address, by its name relative to it."""
        with self.explained():
            found = self.files.find(self.root, detail=True)
            start = len(self.files._strip_protocol(self.root).rstrip("/")) + 1
        return {path[start:]: facts for path, facts in found.items()}

    def read(self, name: str = "", start: int | None = None, end: int | None = None) -> bytes:
        with self.explained(name):
            return bytes(self.files.cat_file(self.path(name), start=start, end=end))

    def read_ranges(self, names: Sequence[str], starts: Sequence[int], ends: Sequence[int]) -> list[bytes]:
        """Parts of files, at once where the storage can answer several questions at a time."""
        with self.explained(names[0] if names else ""):
            found = self.files.cat_ranges(list(map(self.path, names)), list(starts), list(ends), on_error="raise")
        return list(map(bytes, found))

    def copy_to(self, name: str, path: Path) -> None:
        with self.explained(name):
            self.files.get_file(self.path(name), str(path))

    @contextmanager
    def explained(self, name: str = "") -> Iterator[None]:
        where = shown(f"{self.address}/{name}" if name else self.address)
        try:
            yield
        except (KaoganError, KeyboardInterrupt):
            raise
        except Exception as error:  # every library behind fsspec has exceptions of its own
            raise explain_storage(error, where) from error


def explain_storage(error: Exception, where: str) -> KaoganError:
    """The one-line form of whatever a filesystem of fsspec raised about ``where``."""
    chain = [error, *(e for e in (error.__cause__, error.__context__) if e is not None)]
    words = " ".join(f"{type(each).__name__} {each}" for each in chain)
    reason = one_line(str(error) or type(error).__name__, 160)
    if isinstance(error, ImportError):
        packages = re.findall(r"[Ii]nstall ([a-z0-9_-]+)|[\"']([a-z0-9_-]+)[\"']", str(error))
        names = " ".join(dict.fromkeys(a or b for a, b in packages)) or reason
        return KaoganError(f"{where} needs what is not installed: pip install {names}")
    if isinstance(error, ValueError) and "rotocol not known" in str(error):
        return UsageError(f"{where}: no such kind of address; s3://, gs://, https:// and others of fsspec are read")
    if isinstance(error, PermissionError) or any(word in words for word in _CREDENTIALS):
        return KaoganError(f"no permission for {where} ({reason}); check its name and your credentials")
    if isinstance(error, FileNotFoundError) or any(word in words for word in _MISSING):
        return UsageError(f"nothing is at {where}; check the bucket and the path")
    return KaoganError(f"{where} cannot be read ({reason}); check the network and the address")
