"""Sets behind addresses of fsspec: the same as on the disk, and one line for all that can be wrong."""

from __future__ import annotations

import io
import tarfile
import time
from pathlib import Path

import fsspec
import numpy as np
import pytest

from kaogan.core.errors import KaoganError, UsageError
from kaogan.data import load_pictures
from kaogan.data.cache import cache_folder
from kaogan.data.formats import convert
from kaogan.data.shards.images import ShardedImages
from kaogan.data.storage import Storage, as_address, explain_storage, is_address
from tests.data.conftest import encoded, noise, write_folder, write_zip
from tests.data.shards.conftest import empty_memory, pixels, remote, shards

__all__ = ["remote", "shards"]
FILES = {f"images/{n}.png": encoded(noise((12, 12), n)) for n in range(5)}
FILES["labels.csv"] = b"file,hair\n" + b"".join(b"%d.png,%s\n" % (n, (b"red", b"blue")[n % 2]) for n in range(5))


@pytest.mark.parametrize(
    ("place", "address"),
    [
        ("s3://bucket/a", "s3://bucket/a"),
        (Path("s3://bucket/a/"), "s3://bucket/a"),
        ("https://host/a.zip", "https://host/a.zip"),
        ("simplecache::s3://bucket/a", "simplecache::s3://bucket/a"),
        ("C:/faces", None),
        ("faces/a:b", None),
        ("/data/faces", None),
    ],
)
def test_addresses_are_told_from_paths(place: str | Path, address: str | None) -> None:
    assert is_address(place) == (address is not None)
    if address:
        assert as_address(place) == address


@pytest.mark.parametrize("form", ["folder", "zip"])
def test_a_folder_and_a_zip_read_as_on_the_disk(form: str, tmp_path: Path) -> None:
    memory = empty_memory()
    local = write_folder(tmp_path / "set", FILES) if form == "folder" else write_zip(tmp_path / "set.zip", FILES)
    memory.put(str(local), f"/bucket/{local.name}", recursive=form == "folder")
    address = f"memory://bucket/{local.name}"
    here, there = (load_pictures(p, image_size=8, attributes=["auto"]) for p in (local, Path(address)))
    assert np.array_equal(here.images, there.images) and np.array_equal(here.labels, there.labels)
    assert here.names == there.names and here.schema == there.schema and there.source == address
    assert load_pictures(address, image_size=8).fingerprint == there.fingerprint
    if form == "folder":
        memory.pipe("/bucket/set/images/0.png", encoded(noise((12, 12), 9)))
        assert load_pictures(address, image_size=8).fingerprint != there.fingerprint


def test_a_set_behind_an_address_is_converted(tmp_path: Path) -> None:
    empty_memory().put(str(write_folder(tmp_path / "set", FILES)), "/bucket/set", recursive=True)
    for source, out in ((tmp_path / "set", "near"), (Path("memory://bucket/set"), "far")):
        assert convert(source, tmp_path / out, "webdataset").written == 5
    assert (tmp_path / "near" / "shards.json").read_bytes() == (tmp_path / "far" / "shards.json").read_bytes()


def test_a_tar_of_samples_behind_an_address_is_converted(tmp_path: Path) -> None:
    path = tmp_path / "s.tar"
    with tarfile.open(path, "w") as archive:
        for name, data in {"0.png": FILES["images/0.png"], "0.json": b'{"hair": "red"}'}.items():
            member = tarfile.TarInfo(name)
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))
    empty_memory().put(str(path), "/bucket/s.tar")
    assert convert(Path("memory://bucket/s.tar"), tmp_path / "out", "kaogan").source_format == "webdataset"
    assert (tmp_path / "out/labels.csv").read_text() == "file,hair\n0.png,red\n"


def test_an_address_with_a_query_is_that_of_one_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A server answers with the zip itself whatever name follows the query."""
    memory = empty_memory()
    memory.put(str(write_zip(tmp_path / "set.zip", FILES)), "/bucket/set.zip?download=true")
    monkeypatch.setattr(Storage, "exists", lambda self, name="": True)
    monkeypatch.setattr(
        Storage, "read", lambda self, name="", start=None, end=None: (tmp_path / "set.zip").read_bytes()
    )
    assert len(load_pictures("memory://bucket/set.zip?download=true", image_size=8)) == 5


def test_shards_are_read_in_parts_and_from_copies(remote: str) -> None:
    found = load_pictures(remote, image_size=8, attributes=["auto"])
    images = found.images
    assert isinstance(images, ShardedImages) and not images.workers and images.copies is not None
    assert (np.asarray(images) == pixels()).all()
    images.copies.want(images.index.shards[:2])
    deadline = time.monotonic() + 20
    while len(list(images.copies.folder.glob("*.tar"))) < 2 and time.monotonic() < deadline:
        time.sleep(0.01)
    fsspec.filesystem("memory").rm("/bucket/faces/shard-000000.tar")
    assert (images[:10] == pixels()[:10]).all()
    images.copies.limit = 0
    assert not images.copies._fetch(images.index.shards[3]) and len(list(cache_folder().rglob("*.tar"))) == 2
    other = images.index.shards[3]
    images.copies._wanted, images.copies.limit = [other], 2 * other.size
    assert images.copies._fetch(other)
    assert len(list(cache_folder().rglob("*.tar"))) == 2, "the oldest made room"


def test_a_server_that_sends_whole_files_for_parts_is_read_too(remote: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Storage, "read_ranges", lambda self, names, starts, ends: [self.read(name) for name in names])
    assert (np.asarray(load_pictures(remote, image_size=8).images) == pixels()).all()


def test_a_shard_that_changes_or_goes_is_one_line(remote: str) -> None:
    images = load_pictures(remote, image_size=8).images
    memory = fsspec.filesystem("memory")
    memory.pipe("/bucket/faces/shard-000000.tar", b"x" * 10_000)
    with pytest.raises(KaoganError, match=r"memory://bucket/faces/shard-000000\.tar is damaged at byte 512"):
        images[0]
    memory.rm("/bucket/faces/shard-000000.tar")
    with pytest.raises(KaoganError, match=r"nothing is at memory://bucket/faces/shard-000000\.tar"):
        images[0]


def test_what_is_not_there_is_one_line() -> None:
    empty_memory()
    with pytest.raises(UsageError, match="nothing is at memory://bucket/none; check the bucket and the path"):
        load_pictures("memory://bucket/none", image_size=8)
    with pytest.raises(UsageError, match="foo://bar/a: no such kind of address"):
        load_pictures("foo://bar/a", image_size=8)


class NoCredentialsError(Exception):
    """Of the name that botocore's has."""


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (ImportError("Install s3fs to access S3"), "pip install s3fs"),
        (ImportError('HTTPFileSystem requires "requests" and "aiohttp" to be installed'), "install requests aiohttp"),
        (NoCredentialsError("Unable to locate credentials"), "no permission.*credentials"),
        (PermissionError("Forbidden"), "no permission"),
        (OSError("An error occurred (NoSuchBucket) when calling\nListObjects"), "nothing is at s3://b/a"),
        (TimeoutError(), r"cannot be read \(TimeoutError\); check the network"),
    ],
)
def test_every_failure_of_a_filesystem_is_one_line(error: Exception, words: str) -> None:
    with pytest.raises(KaoganError, match=words) as caught:
        raise explain_storage(error, "s3://b/a")
    assert "\n" not in str(caught.value)
