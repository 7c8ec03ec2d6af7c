"""Decoded once, reused, rebuilt when anything changed or broke."""

from __future__ import annotations

import errno
import json
import os
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest

from kaogan.core.errors import KaoganError
from kaogan.data import cache, dataset, load_pictures
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
    return [p for p in folder.iterdir() if p.is_dir()]


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
    assert load(folder).fingerprint != changed.fingerprint and len(counted) == 12

    target.rename(folder / "rouge.png")
    assert "rouge.png" in load(folder).names and len(counted) == 16

    (folder / "rouge.png").unlink()
    assert len(load(folder)) == 3 and len(counted) == 19


def test_a_touched_zip_is_read_again(tmp_path: Path, counted: list[object]) -> None:
    path = write_zip(tmp_path / "a.zip", FILES)
    load(path)
    os.utime(path, (1, 1))
    load(path)
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
    index["names"].pop()
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
    assert [p.suffix for p in own_cache.iterdir()] in ([], [".lock"])


@pytest.mark.parametrize("problem", [KeyboardInterrupt, ZeroDivisionError])
def test_an_interrupted_build_leaves_nothing(tmp_path: Path, own_cache: Path, problem: type[BaseException]) -> None:
    def interrupt(done: int, total: int, what: str) -> None:
        if done == 2:
            raise problem

    folder = write_folder(tmp_path / "set", FILES)
    with pytest.raises(problem):
        load(folder, progress=interrupt)
    assert [p.suffix for p in own_cache.iterdir()] in ([], [".lock"])
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
