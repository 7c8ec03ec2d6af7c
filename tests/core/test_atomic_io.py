"""Files are whole or absent, whatever happens while they are written."""

from __future__ import annotations

import errno
import os
import stat
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from filelock import FileLock

from kaogan.core import atomic_io
from kaogan.core.atomic_io import TEMPORARY_SUFFIX, atomic, explain, sweep, write_text
from kaogan.core.errors import KaoganError, UsageError, nearest
from kaogan.core.staging import staged


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


@pytest.mark.parametrize(
    "name", ["a.txt", "two words.txt", "顔 ünï.json", "no_ending", ".hidden", "a.tar.gz", "[x]{y}'z"]
)
def test_writes_and_replaces(tmp_path: Path, name: str) -> None:
    path = tmp_path / "new folder" / name
    write_text(path, "first")
    write_text(path, "second: 顔")
    assert path.read_text(encoding="utf-8") == "second: 顔"
    assert names(path.parent) == [name]


def test_the_temporary_file_is_a_neighbour_with_the_same_ending(tmp_path: Path) -> None:
    with atomic(tmp_path / "picture.png") as temporary:
        assert temporary.parent == tmp_path and temporary.suffix == ".png" and temporary.name.startswith(".")
        assert not (tmp_path / "picture.png").exists()
        temporary.write_bytes(b"x")
    assert names(tmp_path) == ["picture.png"]


@pytest.mark.parametrize("error", [ValueError("no"), KeyboardInterrupt(), SystemExit(3), KaoganError("told")])
@pytest.mark.parametrize("old", [None, "the old one"])
def test_an_exception_leaves_the_old_file_and_nothing_else(
    tmp_path: Path, error: BaseException, old: str | None
) -> None:
    path = tmp_path / "file.txt"
    if old:
        path.write_text(old)
    with pytest.raises(type(error)), atomic(path) as temporary:
        temporary.write_text("half")
        raise error
    assert names(tmp_path) == (["file.txt"] if old else [])
    assert not old or path.read_text() == old


@pytest.mark.parametrize(
    ("number", "words"),
    [(errno.ENOSPC, "the disk is full"), (errno.EACCES, "no permission"), (errno.EROFS, "no permission"),
     (errno.EIO, "error")],
)  # fmt: skip
def test_errors_of_the_system_are_one_line(tmp_path: Path, number: int, words: str) -> None:
    (tmp_path / "file.txt").write_text("old")
    with pytest.raises(KaoganError) as caught, atomic(tmp_path / "file.txt"):
        raise OSError(number, os.strerror(number))
    assert words in str(caught.value) and "file.txt" in str(caught.value) and "\n" not in str(caught.value)
    assert (tmp_path / "file.txt").read_text() == "old" and names(tmp_path) == ["file.txt"]


@pytest.mark.parametrize("step", ["fsync", "replace"])
def test_a_failure_at_the_end_keeps_the_old_file(tmp_path: Path, step: str, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "file.txt"
    path.write_text("old")

    def fail(*_: object) -> None:
        raise OSError(errno.ENOSPC, "full")

    monkeypatch.setattr(*((os, "fsync") if step == "fsync" else (Path, "replace")), fail)
    with pytest.raises(KaoganError, match="disk is full"):
        write_text(path, "new")
    monkeypatch.undo()
    assert path.read_text() == "old" and names(tmp_path) == ["file.txt"]


def test_is_synced_before_it_is_renamed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[str] = []
    fsync, replace = os.fsync, Path.replace
    monkeypatch.setattr(os, "fsync", lambda handle: (calls.append("sync"), fsync(handle))[1])
    monkeypatch.setattr(Path, "replace", lambda self, to: (calls.append("rename"), replace(self, to))[1])
    write_text(tmp_path / "file.txt", "x")
    assert calls[:2] == ["sync", "rename"]


def test_a_folder_in_the_place_of_the_file(tmp_path: Path) -> None:
    (tmp_path / "taken").mkdir()
    with pytest.raises(KaoganError, match="taken"):
        write_text(tmp_path / "taken", "x")
    assert names(tmp_path) == ["taken"]


def test_a_file_in_the_place_of_the_folder(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(KaoganError, match="file"):
        write_text(tmp_path / "file" / "below.txt", "x")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_that_cannot_be_written(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    try:
        with pytest.raises(KaoganError, match="no permission"):
            write_text(tmp_path / "file.txt", "x")
    finally:
        tmp_path.chmod(0o700)


@pytest.mark.parametrize("mask", [0o022, 0o077, 0o002])
def test_respects_the_umask(tmp_path: Path, mask: int) -> None:
    code = (
        f"import os, sys; os.umask({mask}); from kaogan.core.atomic_io import write_text; write_text(sys.argv[1], 'x')"
    )
    subprocess.run(
        [sys.executable, "-c", code, str(tmp_path / "file")], check=True, cwd=Path(atomic_io.__file__).parents[2]
    )
    assert stat.S_IMODE((tmp_path / "file").stat().st_mode) == 0o666 & ~mask


def test_two_writers_do_not_meet(tmp_path: Path) -> None:
    path = tmp_path / "file.txt"
    texts = [str(number) * 10_000 for number in range(8)]
    threads = [threading.Thread(target=write_text, args=(path, text)) for text in texts]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert path.read_text() in texts and names(tmp_path) == ["file.txt"]


def test_sweep_removes_leftovers_only(tmp_path: Path) -> None:
    keep = [tmp_path / "file.partial.txt", tmp_path / "sub" / "model.safetensors", tmp_path / ".lock"]
    leftovers = [tmp_path / f".a{TEMPORARY_SUFFIX}x1.png", tmp_path / "sub" / f".b{TEMPORARY_SUFFIX}.json"]
    for path in keep + leftovers:
        path.parent.mkdir(exist_ok=True)
        path.write_text("x")
    sweep(tmp_path)
    assert all(path.exists() for path in keep) and not any(path.exists() for path in leftovers)


@pytest.fixture
def killed(tmp_path: Path) -> Path:
    """A folder with file.txt and what a killed writer of it left."""
    code = (
        "import os, sys\nfrom kaogan.core.atomic_io import atomic\n"
        "with atomic(sys.argv[1]) as t:\n    t.write_text('half'); os.kill(os.getpid(), 9)"
    )
    path = tmp_path / "file.txt"
    path.write_text("old")
    done = subprocess.run([sys.executable, "-c", code, str(path)], cwd=Path(atomic_io.__file__).parents[2], check=False)
    assert done.returncode == -9 and len(names(tmp_path)) == 2
    return tmp_path


def test_a_killed_writer_leaves_what_sweep_knows(killed: Path) -> None:
    sweep(killed)
    assert names(killed) == ["file.txt"] and (killed / "file.txt").read_text() == "old"


def test_the_next_file_in_the_folder_sweeps_what_a_killed_writer_left(killed: Path) -> None:
    write_text(killed / "other.txt", "x")
    assert names(killed) == ["file.txt", "other.txt"]


@pytest.mark.skipif(atomic_io.fcntl is None, reason="a system without file locks")
def test_what_a_living_writer_writes_is_not_swept(tmp_path: Path) -> None:
    with atomic(tmp_path / "file.txt") as temporary:
        temporary.write_text("new")
        subprocess.run(
            [sys.executable, "-c", "import sys; from kaogan.core.atomic_io import write_text; "
             "write_text(sys.argv[1], 'x')", str(tmp_path / "other.txt")],
            check=True, cwd=Path(atomic_io.__file__).parents[2],
        )  # fmt: skip
        sweep(tmp_path)
    assert names(tmp_path) == ["file.txt", "other.txt"] and (tmp_path / "file.txt").read_text() == "new"


def test_without_locks_only_old_files_are_swept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(atomic_io, "fcntl", None)
    old, new = (tmp_path / f".{name}{TEMPORARY_SUFFIX}x.txt" for name in ("old", "new"))
    for path in (old, new):
        path.write_text("x")
    os.utime(old, (1, 1))
    write_text(tmp_path / "file.txt", "x")
    assert names(tmp_path) == [new.name, "file.txt"]


def test_a_stage_is_swept_by_the_next_output_beside_it_unless_it_is_in_use(tmp_path: Path) -> None:
    dead, living = (tmp_path / f".{name}{TEMPORARY_SUFFIX}" for name in ("dead", "living"))
    for stage in (dead, living):
        stage.mkdir()
        (stage / ".lock").touch()
        (stage / "half").write_text("x")
    with FileLock(living / ".lock"), staged(tmp_path / "out") as place:
        place.write_text("whole")
    assert names(tmp_path) == [living.name, "out"]


def test_explain_names_the_path() -> None:
    error = explain(OSError(errno.ENOTDIR, "Not a directory"), Path("a/b"))
    assert str(error) == f"{Path('a/b')}: Not a directory" and error.exit_code == 1
    assert UsageError("x").exit_code == 2


@pytest.mark.parametrize(
    ("word", "known", "hint"),
    [("hiar", ["hair", "eyes"], " (did you mean 'hair'?)"), ("zzz", ["a", "b"], " (choose from a, b)"), ("x", [], "")],
)
def test_nearest(word: str, known: list[str], hint: str) -> None:
    assert nearest(word, known) == hint


def test_what_is_synced_may_be_written_where_a_system_asks_for_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As Windows does, which has no fcntl."""
    fcntl = pytest.importorskip("fcntl")

    def fsync(handle: int) -> None:
        is_file = stat.S_ISREG(os.fstat(handle).st_mode)
        if is_file and fcntl.fcntl(handle, fcntl.F_GETFL) & os.O_ACCMODE == os.O_RDONLY:
            raise OSError(errno.EBADF, "Bad file descriptor")

    monkeypatch.setattr(os, "fsync", fsync)
    monkeypatch.setattr(atomic_io, "fcntl", None)
    write_text(tmp_path / "file.txt", "x")
    with staged(tmp_path / "out.txt") as place:
        place.write_text("x")
    assert names(tmp_path) == ["file.txt", "out.txt"]


def test_a_file_that_nobody_may_write_is_synced_too(tmp_path: Path) -> None:
    with staged(tmp_path / "out.txt") as place:
        place.write_text("x")
        place.chmod(0o444)
    with atomic(tmp_path / "file.txt") as temporary:
        temporary.write_text("x")
        temporary.chmod(0o444)
    assert names(tmp_path) == ["file.txt", "out.txt"]
