"""Writing of sharded datasets: the same pictures in the same order give the same files, to the byte."""

from __future__ import annotations

import io
import json
import stat
import tarfile
import zlib
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from kaogan.core.atomic_io import explain
from kaogan.core.text import shown
from kaogan.data.shards.index import INDEX, MANIFEST, SHARD, IndexBuilder, Shard
from kaogan.version import __version__

FILE = "file"  # the key of the picture's own name in its .json

Sample = tuple[str, str, bytes, Mapping[str, str], int | None]
"""name, suffix with the dot, the picture's bytes, labels, the number of its class if there is one"""


def write_shards(out: Path, samples: Iterable[Sample], columns: Sequence[str], shard_size: int) -> list[str]:
    """Write ``samples`` to the existing folder ``out``; the names of the files, which replace those of an earlier set.

    A column called "file" is left out: in a sample this is the picture's own name.
    The set counts from the moment when its manifest is there, which is last. Raises KaoganError for a full disk.
    """
    columns = [column for column in columns if column != FILE]
    index = IndexBuilder(columns)
    shard: tarfile.TarFile | None = None
    try:
        for name in (MANIFEST, INDEX):
            (out / name).unlink(missing_ok=True)
        in_shard = 0
        for number, sample in enumerate(samples):
            if number % shard_size == 0:
                _close(shard, index, in_shard)
                shard, in_shard = _open(out / SHARD.format(len(index.shards))), 0
            assert shard is not None
            _add(shard, f"{number:08d}", sample, columns, index)
            in_shard += 1
        _close(shard, index, in_shard)
        shard = None
        names = [each.name for each in index.shards]
        _remove_tars(out, names)
    except OSError as error:
        raise explain(error, Path(error.filename) if isinstance(error.filename, str) else out) from error
    finally:
        if shard is not None and shard.fileobj is not None:
            shard.fileobj.close()
    index.write(out, f"kaogan {__version__}")
    return [*names, INDEX, MANIFEST]


def remove_shards(folder: Path) -> None:
    """Take a sharded set away, and nothing else. Raises KaoganError."""
    try:
        for name in (MANIFEST, INDEX):
            (folder / name).unlink(missing_ok=True)
        _remove_tars(folder, ())
    except OSError as error:
        raise explain(error, folder) from error


def _remove_tars(folder: Path, but: Sequence[str]) -> None:
    for path in folder.glob(SHARD.format(0).replace("000000", "*")):
        if path.name not in but:
            path.unlink()


def _open(path: Path) -> tarfile.TarFile:
    # An open file of ours, so that members are not kept in memory by a stream and offsets are those of the file.
    return tarfile.open(fileobj=path.open("wb"), mode="w", format=tarfile.PAX_FORMAT)


def _close(shard: tarfile.TarFile | None, index: IndexBuilder, count: int) -> None:
    if shard is None:
        return
    shard.close()
    file = shard.fileobj
    assert file is not None
    size, name = file.tell(), Path(str(shard.name)).name
    file.close()
    index.shards.append(Shard(name, count, size))


def _add(shard: tarfile.TarFile, key: str, sample: Sample, columns: Sequence[str], index: IndexBuilder) -> None:
    name, suffix, data, labels, number = sample
    known = {column: labels[column] for column in columns if labels.get(column)}
    fields = {suffix: data, ".json": json.dumps({FILE: shown(name)} | known, ensure_ascii=False).encode()}
    if number is not None:
        fields[".cls"] = str(number).encode()
    for ending, content in fields.items():
        member = tarfile.TarInfo(key + ending)
        member.size, member.mode = len(content), stat.S_IRUSR | stat.S_IWUSR | stat.S_IRGRP | stat.S_IROTH
        shard.addfile(member, io.BytesIO(content))
        if ending == suffix:
            padded = -(-len(content) // tarfile.BLOCKSIZE) * tarfile.BLOCKSIZE
            index.add(shown(name), shard.offset - padded, len(content), zlib.crc32(data), labels)
    shard.members = []  # type: ignore[attr-defined]  # it would keep every header
