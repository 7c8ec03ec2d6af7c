"""Decoded once, reused, rebuilt when anything changed or broke."""

from __future__ import annotations

import errno
import json
import os
import subprocess
import sys
import tarfile
import threading
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from kaogan.core.errors import KaoganError
from kaogan.data import BrokenPicture, cache, checksums, dataset, load_pictures
from tests.data.conftest import COLOURS, encoded, load, picture, write_folder, write_zip

FILES = {f"{name}.png": encoded(picture(colour)) for name, colour in COLOURS.items()}


@pytest.fixture
def counted(monkeypatch: pytest.MonkeyPatch) -> list[object]:
    """One item for each picture decoded."""
    calls: list[object] = []
    real = dataset.decode
    monkeypatch.setattr(dataset, "decode", lambda *a: calls.append(a) or real(*a))
    return calls


def entries(folder: Path) -> list[Path]:
    return [p for p in folder.iterdir() if p.is_dir() and p.name != "checksums"]


def suffixes(folder: Path) -> list[str]:
    return [p.suffix for p in folder.iterdir() if p.name != "checksums"]


@pytest.mark.parametrize("packed", [False, True])
def test_the_second_load_decodes_nothing(tmp_path: Path, counted: list[object], packed: bool) -> None:
    files = FILES | {"broken.png": b"x"}
    source = write_zip(tmp_path / "a.zip", files) if packed else write_folder(tmp_path / "set", files)
    first = load(source)
    assert len(counted) == 5
    second = load(source)
    assert len(counted) == 5
    np.testing.assert_array_equal(first.images, second.images)
    assert first.names == second.names and first.skipped == second.skipped and first.skipped
    assert first.fingerprint == second.fingerprint
    assert isinstance(second.images, np.memmap) and not second.images.flags.writeable


def test_settings_have_entries_of_their_own(tmp_path: Path, counted: list[object]) -> None:
    folder = write_folder(tmp_path / "set", FILES)
    prints = {load(folder, image_size=s, channels=c).fingerprint for s in (8, 9) for c in (1, 3)}
    assert len(prints) == 4 and len(counted) == 16
    assert load(folder, channels=1).images.shape == (4, 8, 8, 1) and len(counted) == 16


def test_a_changed_source_is_read_again(tmp_path: Path, counted: list[object]) -> None:
    folder = write_folder(tmp_path / "set", FILES)
    old = load(folder)

    target = folder / "red.png"
    target.write_bytes(encoded(picture((1, 2, 3), (13, 13))))
    changed = load(folder)
    assert len(counted) == 8 and changed.fingerprint != old.fingerprint
    assert tuple(changed.images[changed.names.index("red.png")][0, 0]) == (1, 2, 3)

    os.utime(target, (1, 1))
    assert load(folder).fingerprint == changed.fingerprint and len(counted) == 8

    target.rename(folder / "rouge.png")
    assert "rouge.png" in load(folder).names and len(counted) == 12

    (folder / "rouge.png").unlink()
    assert len(load(folder)) == 3 and len(counted) == 15


def test_the_same_contents_are_the_same_set(tmp_path: Path, counted: list[object]) -> None:
    """Copied, touched, packed, packed again with another method, or as a tar."""
    folder = write_folder(tmp_path / "set", FILES)
    first = load(folder)
    copied = write_folder(tmp_path / "elsewhere", FILES)
    packed = write_zip(tmp_path / "a.zip", FILES)
    with zipfile.ZipFile(tmp_path / "b.zip", "w", zipfile.ZIP_STORED) as archive:
        for name, data in FILES.items():
            archive.writestr(name, data)
    with tarfile.open(tmp_path / "c.tar", "w") as tar:
        tar.add(folder, ".")
    os.utime(packed, (1, 1))
    for source in (folder, copied, packed, tmp_path / "b.zip", tmp_path / "c.tar"):
        assert load(source).fingerprint == first.fingerprint
    assert len(counted) == 4


def test_other_bytes_of_the_same_size_are_another_set(tmp_path: Path) -> None:
    folder = write_folder(tmp_path / "set", {"a.bmp": encoded(picture((1, 2, 3)), "BMP")})
    before = load(folder)
    (folder / "a.bmp").write_bytes(encoded(picture((1, 2, 4)), "BMP"))
    os.utime(folder / "a.bmp", (1, 1))
    assert load(folder).fingerprint != before.fingerprint


def test_runs_of_earlier_releases_know_their_set(tmp_path: Path) -> None:
    """They recorded a fingerprint of names, sizes and times."""
    folder = write_folder(tmp_path / "set", FILES)
    entries = [
        (n, len(FILES[n]), (folder / n).stat().st_mtime_ns) for n in ("blue.png", "gray.png", "green.png", "red.png")
    ]
    assert load(folder).former_fingerprints == (cache.fingerprint_of("pictures", 8, 3, "folder", entries),)


def test_unchanged_files_are_not_read_for_their_checksums(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = write_folder(tmp_path / "set", FILES)
    first = load(folder)
    monkeypatch.setattr(checksums, "_checksum", lambda source, index: pytest.fail("read again"))
    assert load(folder).fingerprint == first.fingerprint
    (tmp_path / "cache").mkdir()
    with pytest.raises(pytest.fail.Exception):
        load(folder, cache=tmp_path / "cache")


@pytest.mark.parametrize("bit", range(0, 8 * (128 + 4 * 8 * 8 * 3), 61))
def test_a_flipped_bit_is_noticed(tmp_path: Path, own_cache: Path, bit: int) -> None:
    folder = write_folder(tmp_path / "set", FILES)
    good = np.array(load(folder).images)
    (entry,) = entries(own_cache)
    data = bytearray((entry / "images.npy").read_bytes())
    data[bit // 8] ^= 1 << bit % 8
    (entry / "images.npy").write_bytes(data)
    loaded = load(folder)
    np.testing.assert_array_equal(loaded.images, good)
    assert any("was damaged or incomplete: made anew" in note for note in loaded.notes)


@pytest.mark.parametrize("how", ["rows", "slice", "one", "batches"])
def test_what_was_not_checked_at_the_start_is_when_it_is_read(
    tmp_path: Path, own_cache: Path, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    monkeypatch.setattr(cache, "_BLOCK", 8 * 8 * 3)  # a picture a block
    monkeypatch.setattr(cache, "CHECKED_AT_START", 2)
    folder = write_folder(tmp_path / "set", FILES)
    load(folder)
    (entry,) = entries(own_cache)
    with (entry / "images.npy").open("r+b") as file:
        file.seek(128 + 8 * 8 * 3 + 5)
        file.write(b"\xee")
    loaded = load(folder)
    assert loaded.images[3].shape == (8, 8, 3) and loaded.images[[0, 2]].shape == (2, 8, 8, 3)
    read = {
        "rows": lambda: loaded.images[np.array([0, 1])],
        "slice": lambda: loaded.images[:2],
        "one": lambda: loaded.images[1, 0],
        "batches": lambda: list(loaded.batches(4)),
    }[how]
    with pytest.raises(KaoganError, match="run the same command again"):
        read()
    assert load(folder).notes == () and loaded.fingerprint  # made anew


def test_an_old_entry_without_checksums_is_made_anew(tmp_path: Path, own_cache: Path, counted: list[object]) -> None:
    folder = write_folder(tmp_path / "set", FILES)
    load(folder)
    (entry,) = entries(own_cache)
    index = json.loads((entry / "index.json").read_text())["index"]
    (entry / "index.json").write_text(
        json.dumps({"version": 1, **{k: index[k] for k in ("shape", "names", "skipped")}})
    )
    load(folder)
    assert len(counted) == 8


def damage_cut(entry: Path) -> None:
    os.truncate(entry / "images.npy", 300)


def damage_empty(entry: Path) -> None:
    (entry / "images.npy").write_bytes(b"")


def damage_longer(entry: Path) -> None:
    with (entry / "images.npy").open("ab") as file:
        file.write(b"x")


def damage_no_index(entry: Path) -> None:
    (entry / "index.json").unlink()


def damage_no_images(entry: Path) -> None:
    (entry / "images.npy").unlink()


def damage_half_index(entry: Path) -> None:
    text = (entry / "index.json").read_text()
    (entry / "index.json").write_text(text[: len(text) // 2])


def damage_other_index(entry: Path) -> None:
    (entry / "index.json").write_text("[1, 2]")


def damage_fewer_names(entry: Path) -> None:
    index = json.loads((entry / "index.json").read_text())
    index["index"]["names"].pop()
    (entry / "index.json").write_text(json.dumps(index))


def damage_pickle(entry: Path) -> None:
    np.save(entry / "images.npy", np.array([object()]), allow_pickle=True)


def damage_shape(entry: Path) -> None:
    np.save(entry / "images.npy", np.zeros((4, 9, 9, 3), np.uint8))


def damage_file(entry: Path) -> None:
    for file in entry.iterdir():
        file.unlink()
    entry.rmdir()
    entry.write_text("a file in the place of the entry")


DAMAGES = [value for name, value in sorted(globals().items()) if name.startswith("damage_")]


@pytest.mark.parametrize("damage", DAMAGES, ids=lambda d: d.__name__)
def test_a_damaged_entry_is_made_again(tmp_path: Path, own_cache: Path, counted: list[object], damage: object) -> None:
    folder = write_folder(tmp_path / "set", FILES)
    good = np.array(load(folder).images)
    damage(entries(own_cache)[0])  # type: ignore[operator]
    np.testing.assert_array_equal(load(folder).images, good)
    assert len(counted) == 8
    load(folder)
    assert len(counted) == 8


def test_the_argument_wins_over_the_environment(tmp_path: Path, own_cache: Path) -> None:
    load(write_folder(tmp_path / "set", FILES), cache=tmp_path / "mine")
    assert entries(tmp_path / "mine") and not list(own_cache.iterdir())


def test_the_default_is_the_users_cache(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("KAOGAN_CACHE")
    assert cache.cache_folder().name == "pictures" and "kaogan" in str(cache.cache_folder())


def test_a_cache_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    for place in (tmp_path / "file", tmp_path / "file" / "deeper"):
        with pytest.raises(KaoganError, match="KAOGAN_CACHE") as caught:
            load(write_folder(tmp_path / "set", FILES), cache=place)
        assert "\n" not in str(caught.value)


def test_a_full_disk_leaves_nothing(tmp_path: Path, own_cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(cache, "_flush", full)
    with pytest.raises(KaoganError, match=r"disk is full.*KAOGAN_CACHE"):
        load(write_folder(tmp_path / "set", FILES))
    assert suffixes(own_cache) in ([], [".lock"])


@pytest.mark.parametrize("problem", [KeyboardInterrupt, ZeroDivisionError])
def test_an_interrupted_build_leaves_nothing(tmp_path: Path, own_cache: Path, problem: type[BaseException]) -> None:
    def interrupt(done: int, total: int, what: str) -> None:
        if done == 2:
            raise problem

    folder = write_folder(tmp_path / "set", FILES)
    with pytest.raises(problem):
        load(folder, progress=interrupt)
    assert suffixes(own_cache) in ([], [".lock"])
    assert len(load(folder)) == 4


def test_what_a_killed_run_left_is_removed(tmp_path: Path, own_cache: Path) -> None:
    folder = write_folder(tmp_path / "set", FILES)
    fingerprint = load(folder).fingerprint
    (own_cache / fingerprint / "index.json").unlink()
    leftover = own_cache / f".{fingerprint}.partialabc"
    leftover.mkdir()
    (leftover / "images.npy").write_bytes(b"half")
    load(folder)
    assert not leftover.exists()


def test_a_picture_that_could_not_be_read_this_time_is_tried_again(
    tmp_path: Path, counted: list[object], monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = write_folder(tmp_path / "set", FILES | {"broken.png": b"x"})
    real, well = dataset.decode, load(folder, cache=tmp_path / "another")

    def fail(path: Path, *options: Any) -> np.ndarray:
        if path.name == "red.png":
            raise BrokenPicture("too large for the memory", passing=True)
        return real(path, *options)

    counted.clear()
    with monkeypatch.context() as patch:
        patch.setattr(dataset, "decode", fail)
        for _ in range(2):
            partial = load(folder)
            assert len(partial) == 3 and len(counted) == 4, "the second time the others come from the cache"
            assert ("red.png", "too large for the memory") in partial.skipped
            assert any("1 picture could not be read this time, first red.png" in note for note in partial.notes)
            assert partial.fingerprint != well.fingerprint, "another set, with statistics of its own"
    with monkeypatch.context() as patch:
        patch.setenv("LOCAL_RANK", "1")
        assert load(folder).fingerprint == partial.fingerprint, "the set that the first process of the run has"
    whole = load(folder)
    assert len(whole) == 4 and whole.fingerprint == well.fingerprint and whole.skipped == well.skipped
    counted.clear()
    assert load(folder).notes == () and not counted


def test_a_set_without_pictures_is_not_kept(tmp_path: Path, own_cache: Path) -> None:
    with pytest.raises(KaoganError, match="no picture that can be read"):
        load(write_folder(tmp_path / "set", {"a.png": b"x"}))
    assert entries(own_cache) == []


def test_progress(tmp_path: Path) -> None:
    folder = write_folder(tmp_path / "set", FILES)
    seen: list[tuple[int, int, str]] = []
    load(folder, progress=lambda *a: seen.append(a))
    assert [s[:2] for s in seen] == [(n, 4) for n in range(1, 5)]
    load(folder, progress=lambda *a: pytest.fail("nothing to do"))


BUILD = """
import sys, hashlib
from pathlib import Path
from kaogan.data import load_pictures
s = load_pictures(sys.argv[1], image_size=16, cache=Path(sys.argv[2]))
print(hashlib.sha256(s.images.tobytes()).hexdigest(), len(s), s.skipped)
"""


def test_two_processes_at_once(tmp_path: Path) -> None:
    files = {f"{n}.png": encoded(picture((n, 2 * n % 256, 7), (40, 30))) for n in range(120)} | {"x.png": b"x"}
    folder = write_folder(tmp_path / "set", files)
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), "OMP_NUM_THREADS": "1"}
    runs = [
        subprocess.Popen(
            [sys.executable, "-c", BUILD, str(folder), str(tmp_path / "both")],
            stdout=subprocess.PIPE,
            text=True,
            env=environment,
        )
        for _ in range(2)
    ]
    answers = [run.communicate(timeout=100)[0] for run in runs]
    assert answers[0] == answers[1] and " 120 " in answers[0]
    assert [p.name[0] for p in entries(tmp_path / "both")] != ["."] and len(entries(tmp_path / "both")) == 1


def test_threads_at_once_decode_once(tmp_path: Path, counted: list[object]) -> None:
    folder = write_folder(tmp_path / "set", FILES)
    results: list[np.ndarray] = []
    threads = [
        threading.Thread(target=lambda: results.append(load_pictures(folder, image_size=8).images)) for _ in "abcd"
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(counted) == 4 and all(np.array_equal(r, results[0]) for r in results)


def test_in_order_is_bounded_and_ordered() -> None:
    started: list[int] = []
    results = cache.in_order(range(1000), lambda n: started.append(n) or n * n, workers=3)
    assert [next(results) for _ in range(5)] == [(n, n * n) for n in range(5)]
    assert len(started) < 40  # it does not run ahead of the one who writes
    assert [r for _, r in results] == [n * n for n in range(5, 1000)]
