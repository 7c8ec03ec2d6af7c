"""Sharded sets: what is written, what is read of them, and what is said of damaged ones."""

from __future__ import annotations

import hashlib
import io
import json
import os
import signal
import tarfile
from pathlib import Path

import numpy as np
import pytest

from kaogan.core.errors import KaoganError, UsageError
from kaogan.data import PictureSet, load_pictures
from kaogan.data.formats import Options, convert
from kaogan.data.shards.copies import ShardCopies
from kaogan.data.shards.images import ShardedImages
from kaogan.data.shards.index import CHECKSUM, INDEX, MANIFEST, TextColumn, _checksum
from kaogan.data.shards.opening import open_shards
from kaogan.data.shards.writer import write_shards
from kaogan.data.storage import Storage
from tests.data.shards.conftest import COUNT, HAIR, SHARD_SIZE, pixels, samples


def load(source: Path | str, workers: int = 0, **options: object) -> PictureSet:
    return load_pictures(source, image_size=8, attributes=["auto"], workers=workers, **options)  # type: ignore[arg-type]


def test_pictures_labels_and_names_are_those_that_were_written(shards: Path) -> None:
    found = load(shards)
    assert isinstance(found.images, ShardedImages) and found.images.shape == (COUNT, 8, 8, 3)
    assert (np.asarray(found.images) == pixels()).all()
    assert list(found.names) == [name for name, *_ in samples()] and found.names[-1] == "sub/顔 22.png"
    assert found.schema.names == ("hair",)
    hair = [(*found.schema.attributes[0].values, "")[label] for label in found.labels[:, 0]]
    assert hair == [HAIR[number % 3] for number in range(COUNT)]
    assert any("eyes ignored" in note for note in found.notes) and not any("conf" in note for note in found.notes)


@pytest.mark.parametrize("workers", [0, 1])
def test_indexing_is_that_of_an_array(shards: Path, workers: int) -> None:
    images, array = load(shards, workers).images, pixels()
    rows = np.array([[3, 22], [0, 7]])
    for index in (5, -1, np.int64(4), slice(2, 17, 5), [4, 1], rows, array[:, 0, 0, 0] > 99, (3, 2), (slice(3), 1, 1)):
        assert np.array_equal(images[index], array[index]), index
    images.prefetch(np.array([9, 2, 9]))  # type: ignore[attr-defined]
    assert np.array_equal(images[[9, 2, 9]], array[[9, 2, 9]])
    images[0][:] = 0
    assert np.array_equal(images[0], array[0])
    with pytest.raises(IndexError):
        images[COUNT]


def test_all_pictures_stream_in_order_and_samples_are_some_of_them(shards: Path) -> None:
    whole = load(shards, workers=1)
    assert (np.concatenate(list(whole.batches(4))) == pixels()).all()
    rows = np.array([20, 3, 4])
    assert (np.concatenate(list(whole.batches(2, rows))) == pixels()[rows]).all()
    some = whole.sample(6)
    at = [list(whole.names).index(name) for name in some.names]
    assert len(set(at)) == len(some) == 6 and some.fingerprint != whole.fingerprint
    assert (np.asarray(some.images) == pixels()[at]).all() and (some.labels == whole.labels[at]).all()
    assert whole.sample(COUNT) is whole
    part = whole.images.subset(np.array([0, 3, 11, 12, 22]))  # type: ignore[attr-defined]
    assert part.counts.tolist() == [2, 0, 2, 0, 1] and (part[[3, 1]] == pixels()[[12, 3]]).all()
    assert (np.asarray(part.subset(np.array([1, 4]))) == pixels()[[3, 22]]).all()


def test_a_killed_worker_costs_no_picture(shards: Path) -> None:
    images = load(shards, workers=1).images
    assert isinstance(images, ShardedImages)
    rows = np.arange(7)
    images.prefetch(rows)
    images.prefetch(rows + 7)
    assert np.array_equal(images[rows], pixels()[rows])
    assert images._pool is not None
    for process in list(images._pool._processes.values()):  # type: ignore[attr-defined]
        os.kill(process.pid, signal.SIGTERM)
    images.prefetch(rows + 14)
    assert np.array_equal(images[rows + 14], pixels()[rows + 14])


def test_the_same_samples_give_the_same_bytes_and_other_ones_another_fingerprint(shards: Path, tmp_path: Path) -> None:
    again = tmp_path / "again"
    again.mkdir()
    names = write_shards(again, samples(), ["hair", "hair_conf", "eyes"], SHARD_SIZE)
    assert sorted(names) == sorted(path.name for path in again.iterdir())
    assert all((again / name).read_bytes() == (shards / name).read_bytes() for name in names)
    print_of = load(again).fingerprint
    assert print_of == load(shards).fingerprint != load_pictures(again, image_size=4).fingerprint
    write_shards(again, samples(11), ["hair", "eyes"], SHARD_SIZE)
    assert load(again).fingerprint != print_of
    assert sorted(path.name for path in again.glob("*.tar")) == [f"shard-{n:06d}.tar" for n in range(3)]


def test_a_column_called_file_leaves_the_names_alone(tmp_path: Path) -> None:
    named = [(name, suffix, data, {"file": "other.png", "hair": "pink"}, None) for name, suffix, data, *_ in samples(2)]
    write_shards(tmp_path, named, ["file", "hair"], 5)
    with tarfile.open(tmp_path / "shard-000000.tar") as archive:
        found = json.loads(archive.extractfile("00000000.json").read())  # type: ignore[union-attr]
    assert found == {"file": named[0][0], "hair": "pink"}


def test_the_places_in_the_index_are_those_of_the_members(shards: Path) -> None:
    images = load(shards).images
    assert isinstance(images, ShardedImages)
    manifest = json.loads((shards / MANIFEST).read_text("utf-8"))
    assert [shard["nsamples"] for shard in manifest["shardlist"]] == [5, 5, 5, 5, 3]
    found = []
    for shard in manifest["shardlist"]:
        with tarfile.open(shards / shard["url"]) as archive:
            members = [member for member in archive if member.name.endswith(".png")]
            found += [(shard["url"], member.offset_data, member.size) for member in members]
    assert [(each.shard, each.offset, each.size) for each in images.places(np.arange(COUNT))] == found


def test_a_converted_set_reads_like_its_source(shards: Path, tmp_path: Path) -> None:
    convert(shards, tmp_path / "plain", "kaogan")
    convert(tmp_path / "plain", tmp_path / "again", "webdataset", options=Options(shard_size=7))
    plain, again = load_pictures(tmp_path / "plain", image_size=8, attributes=["auto"]), load(tmp_path / "again")
    assert np.array_equal(plain.images, np.asarray(again.images)) and np.array_equal(plain.labels, again.labels)
    assert plain.schema == again.schema and len(again.images.index.shards) == 4  # type: ignore[attr-defined]


def test_text_columns_hold_any_text() -> None:
    values = ["", "a", "顔/ä.png", "", "\udcff"]
    column = TextColumn.of(values)
    assert list(column) == values and column[-1] == values[-1] and column[1:3] == values[1:3]
    assert list(TextColumn.of([])) == []


@pytest.mark.parametrize("damage", ["manifest", "version", "index", "no index", "short", "pixels", "elsewhere"])
def test_damage_is_one_line(shards: Path, damage: str) -> None:
    manifest, shard = shards / MANIFEST, shards / "shard-000001.tar"
    found = json.loads(manifest.read_text("utf-8"))
    if damage == "manifest":
        manifest.write_text("{")
    elif damage == "version":
        manifest.write_text(json.dumps(found | {"kaogan_shards": 99}))
    elif damage == "elsewhere":
        found["shardlist"][0]["url"] = "../../secret.tar"
        manifest.write_text(json.dumps(found))
    elif damage == "index":
        (shards / INDEX).write_bytes((shards / INDEX).read_bytes()[:-1])
    elif damage == "no index":
        (shards / INDEX).unlink()
    elif damage == "short":
        shard.write_bytes(shard.read_bytes()[:-1])
    else:
        data = bytearray(shard.read_bytes())
        data[600] ^= 1
        shard.write_bytes(data)
    expected = {
        "pixels": "damaged at byte 512",
        "short": "not as long",
        "version": "written anew|write the shards anew",
    }
    with pytest.raises(KaoganError, match=expected.get(damage, "copy or write the set again")) as caught:
        load(shards).images[5]
    assert "\n" not in str(caught.value) and str(shards) in str(caught.value)


def test_a_hostile_index_is_refused_before_it_fills_the_memory(shards: Path) -> None:
    arrays = dict(np.load(shards / INDEX))
    for hostile in ("deflated", "overlapping", "void"):
        buffer = io.BytesIO()
        if hostile == "deflated":
            np.savez_compressed(buffer, **arrays | {"name.data": np.zeros(1 << 20, np.uint8)})
        elif hostile == "overlapping":  # every second name would be as long as all of them
            ends = np.tile(arrays["label0.values.ends"][[-1, 0]], 9)
            np.savez(buffer, **arrays | {"label0.values.ends": ends})
        else:
            np.savez(buffer, **arrays | {"size": np.zeros(COUNT, "V4")})
        write_index(shards, buffer.getvalue())
        with pytest.raises(KaoganError, match=r"index\.npz is damaged; copy or write the set again"):
            load(shards)
    buffer = io.BytesIO()
    np.savez(buffer, **arrays)
    write_index(shards, buffer.getvalue())
    assert len(load(shards)) == COUNT


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("size", np.full(COUNT, 2**45)),
        ("size", np.full(COUNT - 1, 9)),
        ("size", np.full(COUNT, 9.0)),
        ("offset", np.full(COUNT, 2**63 + 5, np.uint64)),
        ("offset", np.full(COUNT, -1)),
        ("checksum", np.full(3, 1)),
        ("checksum", np.full(COUNT, 2**40)),
        ("label0.codes", np.zeros(3, np.int8)),
        ("label0.codes", np.full(COUNT, -2)),
        ("label0.codes", np.zeros((COUNT, 1), np.int8)),
        ("name.ends", np.array([1, 2])),
        ("name.ends", np.full(COUNT, 2**40)),
        ("name.ends", np.zeros((COUNT, 2), np.int8)),
    ],
)
def test_an_index_that_contradicts_itself_is_refused(shards: Path, name: str, values: np.ndarray) -> None:
    buffer = io.BytesIO()
    np.savez(buffer, **dict(np.load(shards / INDEX)) | {name: values})
    write_index(shards, buffer.getvalue())
    with pytest.raises(KaoganError, match=r"index\.npz is damaged; copy or write the set again"):
        load(shards)


def test_a_new_copy_takes_away_what_an_interrupted_one_left(shards: Path, remote: str, tmp_path: Path) -> None:
    index, folder = open_shards(shards), tmp_path / "copies"
    assert index is not None
    folder.mkdir()
    for left in (".shard-000000.tar.17.partial", ".shard-000000.tar.partial", ".shard-000001.tar.17.partial"):
        (folder / left).write_bytes(b"half")
    copies = ShardCopies(Storage(remote), folder)
    assert copies._fetch(index.shards[0])
    assert {path.name for path in folder.glob("*.tar")} == {"shard-000000.tar"}
    assert [path.name for path in folder.glob(".*partial")] == [".shard-000001.tar.17.partial"]


def write_index(shards: Path, data: bytes) -> None:
    """With a manifest that vouches for it."""
    (shards / INDEX).write_bytes(data)
    found = json.loads((shards / MANIFEST).read_text("utf-8")) | {"sha256": hashlib.sha256(data).hexdigest()}
    (shards / MANIFEST).write_text(json.dumps(found | {CHECKSUM: _checksum(found)}), "utf-8")


def test_tars_without_an_index_say_how_to_get_one(tmp_path: Path, shards: Path) -> None:
    (shards / MANIFEST).unlink()
    with pytest.raises(KaoganError, match="--to webdataset"):
        load(shards)


def test_unknown_labels_are_refused_as_in_other_sets(shards: Path) -> None:
    with pytest.raises(UsageError, match=r"unknown attribute 'hiar'.*hair"):
        load_pictures(shards, image_size=8, attributes=["hiar"])
