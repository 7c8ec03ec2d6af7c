"""Opening of sharded datasets, in a folder or behind an address."""

from __future__ import annotations

from pathlib import Path

from kaogan.core.atomic_io import explain
from kaogan.core.errors import KaoganError
from kaogan.core.text import shown
from kaogan.data.shards.copies import ShardCopies
from kaogan.data.shards.images import ShardedImages
from kaogan.data.shards.index import INDEX, MANIFEST, ShardIndex, read_index
from kaogan.data.shards.reading import Reader, forget_files
from kaogan.data.storage import Storage, as_address, is_address


def open_shards(source: Path | str) -> ShardIndex | None:
    """The index of the sharded set at ``source``, its folder or its ``shards.json``; None where there is none.

    Raises KaoganError when the set is damaged or cannot be reached.
    """
    if is_address(source):
        if "?" in as_address(source):  # the query of one file: a server answers with that file, whatever name follows
            return None
        storage = Storage(_folder(as_address(source)))
        if not storage.exists(MANIFEST):
            return None
        return read_index(storage.read(MANIFEST), storage.read(INDEX), storage.address)
    try:
        folder = Path(_folder(str(source))).expanduser()
        if not (folder / MANIFEST).is_file():
            return None
        where = shown(str(folder))
        try:
            index = read_index((folder / MANIFEST).read_bytes(), (folder / INDEX).read_bytes(), where)
        except FileNotFoundError:
            raise KaoganError(f"{where} has no {INDEX}; copy or write the set again") from None
        for shard in index.shards:
            if (folder / shard.name).stat().st_size != shard.size:
                raise KaoganError(f"{where}/{shard.name} is not as long as {MANIFEST} says; copy the set again")
        forget_files(str(folder.resolve()))  # it may have been written anew
        return index
    except OSError as error:
        raise explain(error, Path(error.filename) if isinstance(error.filename, str) else Path(source)) from error
    except (ValueError, RuntimeError):  # a zero character; "~" of nobody: open_source says so
        return None


def open_images(
    index: ShardIndex, source: Path | str, shape: tuple[int, int], cache: Path, workers: int | None
) -> ShardedImages:
    """The pictures of an index, at (size, channels) ``shape``. Raises KaoganError."""
    if not is_address(source):
        where = str(Path(_folder(str(source))).expanduser().resolve())
        return ShardedImages(index, Reader(where, False, *shape), workers)
    storage = Storage(_folder(as_address(source)))
    folder = cache / "shards" / index.digest[:32]
    reader = Reader(storage.address, True, *shape, str(folder))
    if storage.shares_memory:
        workers = 0
    return ShardedImages(index, reader, workers, ShardCopies(storage, folder))


def _folder(place: str) -> str:
    return place.removesuffix(MANIFEST).rstrip("/") or "/" if place.endswith(f"/{MANIFEST}") else place
