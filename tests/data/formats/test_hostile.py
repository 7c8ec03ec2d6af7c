"""Whole or nothing, whatever happens; and nothing gets out of its folder."""

from __future__ import annotations

import errno
import json
import os
import pickle
import signal
import subprocess
import sys
import tarfile
import time
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import kaogan.data.formats.kaogan_set as kaogan_set
from kaogan.core.errors import KaoganError, UsageError
from kaogan.core.staging import staged
from kaogan.data.formats import FORMATS, convert
from kaogan.data.formats.base import Job, safe_name
from tests.core.test_safe_pickle import evil
from tests.data.formats.conftest import ROWS, Run, contents, encoded, pixels, pixels_of, tar


def test_names_that_climb(tmp_path: Path, run: Run) -> None:
    """Of samples, they are only names, and the files land inside; elsewhere they are refused."""
    picture = encoded(pixels(0))
    names = ["../../up", "/etc/root", "a/../../b", "C:\\x", ".", "con"]
    source = tar(
        tmp_path / "bad.tar",
        {n + suffix: data for n in names for suffix, data in ((".png", picture), (".json", b"{}"))},
    )
    out, result = run(source, "kaogan")
    written = list(tmp_path.rglob("*.png"))
    assert len(written) == result.written == len(names) - 1  # "..png" is hidden
    assert all(p.resolve().is_relative_to((out / "images").resolve()) for p in written)
    with zipfile.ZipFile(tmp_path / "bad.zip", "w") as archive:
        archive.writestr("../up.png", picture)
        archive.writestr("good.png", picture)
    _, result = run(tmp_path / "bad.zip", "flat")
    assert result.written == 1 and result.skipped == [("../up.png", "its path leads out of the zip")]


def test_own_names_in_json_cannot_climb(tmp_path: Path, run: Run) -> None:
    names = ["../../../evil.png", ".", "/", ".."]
    members = {
        f"{number}{suffix}": data
        for number, name in enumerate(names)
        for suffix, data in ((".png", encoded(pixels(number))), (".json", json.dumps({"file": name}).encode()))
    }
    out, _ = run(tar(tmp_path / "bad.tar", members), "kaogan")
    written = ["evil.png", "picture-2.png", "picture-3.png", "picture.png"]
    assert sorted(p.relative_to(out / "images").as_posix() for p in out.rglob("*.png")) == written


def test_tars_with_more_than_files(tmp_path: Path, run: Run) -> None:
    link, device = tarfile.TarInfo("link.png"), tarfile.TarInfo("device.png")
    link.type, link.linkname, device.type = tarfile.SYMTYPE, "/etc/passwd", tarfile.CHRTYPE
    source = tar(tmp_path / "x.tar", {"link": link, "device": device, "good.png": encoded(pixels(0))})
    _, result = run(source, "kaogan")
    assert result.written == 1 and [n for n, _ in result.skipped] == ["device.png", "link.png"]


@pytest.mark.parametrize("cut", [100, 600, 3000])
def test_broken_tars(tmp_path: Path, run: Run, cut: int) -> None:
    source = tar(tmp_path / "x.tar", {f"{i}.png": encoded(pixels(i, 64)) for i in range(3)})
    source.write_bytes(source.read_bytes()[:cut])
    with pytest.raises(KaoganError):
        run(source, "kaogan", "webdataset")


def test_a_damaged_header_in_a_shard_is_told(faces: Path, tmp_path: Path, run: Run) -> None:
    shards, _ = run(faces, "webdataset")
    shard = shards / "shard-000000.tar"
    data = bytearray(shard.read_bytes())
    at = data.index(b"00000004.png")
    data[at] ^= 1
    shard.write_bytes(data)
    _, result = run(shards, "flat")
    assert result.written == 4
    assert result.skipped == [
        (f"{shard.name} from byte {at:,} onwards", "cannot be unpacked: the tar is damaged there")
    ]


def test_pictures_that_are_none(faces: Path, run: Run) -> None:
    (faces / "images/bomb.png").write_bytes(
        b"\x89PNG\r\n\x1a\n"
        + b"\x00\x00\x00\rIHDR"
        + (10**5).to_bytes(4, "big") * 2
        + b"\x08\x02\x00\x00\x00"
        + b"\0" * 4
    )
    (faces / "images/empty.png").touch()
    (faces / "images/cut.png").write_bytes((faces / "images/a.png").read_bytes()[:60])
    for name in ("kaogan", "stylegan", "webdataset"):
        _, result = run(faces, name)
        assert result.written == len(ROWS) and [n for n, _ in result.skipped] == ["bomb.png", "cut.png", "empty.png"]
        assert dict(result.skipped)["empty.png"] == "zero bytes"


def test_a_jpeg_without_its_end_is_not_passed_on(tmp_path: Path, run: Run) -> None:
    (tmp_path / "set").mkdir()
    (tmp_path / "set/a.jpg").write_bytes(encoded(pixels(0), "JPEG")[:-2])
    for name in ("flat", "kaogan"):
        (picture,) = run(tmp_path / "set", name)[0].rglob("a.*")
        with Image.open(picture) as opened:
            assert (np.asarray(opened) == pixels_of(tmp_path / "set/a.jpg")).all()


def test_nothing_readable(tmp_path: Path, run: Run) -> None:
    (tmp_path / "set").mkdir()
    (tmp_path / "set/a.png").write_bytes(b"no")
    with pytest.raises(KaoganError, match=r"no picture can be read: 1 skipped, first a\.png"):
        run(tmp_path / "set", "stylegan")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["set"]


# HDF5


def h5(path: Path, **arrays: object) -> Path:
    h5py = pytest.importorskip("h5py")
    with h5py.File(path, "w") as file:
        for name, value in arrays.items():
            if callable(value):
                value(file, name)
            else:
                file[name] = value
    return path


IMAGES, NUMBERS = np.stack([pixels(0)]), np.array([0])


def huge(file: object, name: str) -> None:
    file.create_dataset(name, (10**12, 64, 64, 3), np.uint8, chunks=(1, 64, 64, 3))  # type: ignore[attr-defined]


def huge_chunk(file: object, name: str) -> None:
    file.create_dataset(name, (10**6, 64, 64, 3), np.uint8, chunks=(10**5, 64, 64, 3), compression="gzip")  # type: ignore[attr-defined]


def external(file: object, name: str) -> None:
    file.create_dataset(name, (1, 16, 16, 3), np.uint8, external=[("/etc/passwd", 0, 16 * 16 * 3)])  # type: ignore[attr-defined]


def linked(file: object, name: str) -> None:
    import h5py

    file[name] = h5py.ExternalLink("/other.h5", "x")  # type: ignore[index]


@pytest.mark.parametrize(
    ("images", "labels", "message"),
    [
        (huge, NUMBERS, r"claims \(1000000000000, 64"),
        (huge_chunk, NUMBERS, r"claims \(1000000, 64"),
        (external, NUMBERS, "in other files"),
        (linked, NUMBERS, "missing or a link"),
        (IMAGES.astype(np.float32), NUMBERS, "must be uint8"),
        (IMAGES[..., :2], NUMBERS, "must be uint8"),
        (IMAGES, NUMBERS.astype(float), "must be integers"),
        (IMAGES, np.arange(5), "must be integers"),
    ],
)
def test_hostile_hdf5(tmp_path: Path, run: Run, images: object, labels: object, message: str) -> None:
    source = h5(tmp_path / "x.h5", year_imgs=images, year_labels=labels)
    with pytest.raises(KaoganError, match=message):
        run(source, "kaogan")


def test_broken_hdf5(tmp_path: Path, run: Run) -> None:
    source = h5(tmp_path / "x.h5", year_imgs=IMAGES, year_labels=NUMBERS)
    for keep in (8, 100, 1000):
        cut = tmp_path / "cut.h5"
        cut.write_bytes(source.read_bytes()[:keep])
        with pytest.raises(KaoganError, match="not a whole HDF5 file"):
            run(cut, "kaogan")
    with pytest.raises(KaoganError, match="another kind of HDF5"):
        run(h5(tmp_path / "y.h5", model=NUMBERS), "kaogan")


@pytest.mark.parametrize(
    "text",
    ["", "[", "[" * 100_000, '{"labels": 3}', '{"labels": [["a.png"]]}', '{"labels": [["b.png", 0]]}',
     '{"labels": [["a.png", -1]]}', '{"labels": [["a.png", "x"]]}', '{"labels": [["a.png", [NaN]]]}',
     '{"labels": [["a.png", 5]], "attributes": [{"name": "hair", "values": ["red"]}]}',
     '{"labels": [["a.png", [1, 0]]], "attributes": 5}', "[]"],
)  # fmt: skip
def test_hostile_dataset_json(tmp_path: Path, run: Run, text: str) -> None:
    with zipfile.ZipFile(tmp_path / "x.zip", "w") as archive:
        archive.writestr("a.png", encoded(pixels(0)))
        archive.writestr("dataset.json", text)
    with pytest.raises(KaoganError, match=r"dataset\.json"):
        run(tmp_path / "x.zip", "kaogan", "stylegan")


def test_side_files_do_not_lead_out(tmp_path: Path, run: Run) -> None:
    (tmp_path / "set/images").mkdir(parents=True)
    (tmp_path / "set/images/0.jpg").write_bytes(encoded(pixels(0), "JPEG"))
    (tmp_path / "secret.pickle").write_bytes(pickle.dumps({0: torch.zeros(22)}))
    (tmp_path / "set/tags.pickle").symlink_to(tmp_path / "secret.pickle")
    with pytest.raises(KaoganError, match="leads out of the folder"):
        run(tmp_path / "set", "kaogan")


# names


def test_safe_names() -> None:
    taken: set[str] = set()
    assert safe_name("a.png", ".png", taken) == "a.png"
    assert safe_name("A.jpg", ".png", taken) == "A-2.png"  # the same file where case does not count
    assert safe_name("x/a:b?.png", ".png", taken) == "x/a_b_.png"
    assert safe_name("x/y.png", ".png", taken, flat=True) == "x_y.png"
    assert safe_name("NUL.png", ".png", taken) == "_NUL.png"
    assert safe_name(".hidden.png", ".png", taken) == "_.hidden.png"
    assert safe_name("../../", ".png", taken) == "picture.png"
    assert len(safe_name("顔" * 300 + ".png", ".png", taken).encode()) < 255
    assert safe_name("a\nb.png", ".png", taken) == "a_b.png"


def test_names_that_meet(tmp_path: Path, run: Run) -> None:
    folder = tmp_path / "set"
    for number, name in enumerate(["x/1.png", "y/1.png", "x_1.png", "顔" * 60 + "/z.png", "r.png", "r.jpg"]):
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(encoded(pixels(number)))
    for name in ("flat", "kaogan", "huggingface"):
        out, result = run(folder, name)
        assert result.written == 6 and len([p for p in out.rglob("*.*") if p.suffix in (".png", ".jpg")]) == 6


# whole or nothing


def test_places_that_are_refused(faces: Path, tmp_path: Path) -> None:
    (tmp_path / "full").mkdir()
    (tmp_path / "full/x").touch()
    for out in (tmp_path / "full", tmp_path / "full/x", faces, faces / "inside", faces / "images/deep/er"):
        with pytest.raises(UsageError, match=r"exists|inside of the source"):
            convert(faces, out, "kaogan")
    with pytest.raises(UsageError, match="no such folder"):
        convert(tmp_path / "absent", tmp_path / "new", "kaogan")
    with pytest.raises(UsageError, match="did you mean 'stylegan'"):
        convert(faces, tmp_path / "new", "stylgan")
    with pytest.raises(UsageError, match=r"unknown attribute 'hare'.*'hair'"):
        convert(faces, tmp_path / "new", "kaogan", options=kaogan_options(attributes=["hare"]))
    with pytest.raises(UsageError, match="--size 2"):
        convert(faces, tmp_path / "new", "kaogan", options=kaogan_options(size=2))
    assert sorted(p.name for p in tmp_path.iterdir()) == ["faces", "full"]
    (tmp_path / "empty").mkdir()
    convert(faces, tmp_path / "empty", "stylegan")
    assert (tmp_path / "empty").is_file()


def kaogan_options(**options: object) -> object:
    from kaogan.data.formats import Options

    return Options(**options)  # type: ignore[arg-type]


@pytest.mark.parametrize("name", ["kaogan", "stylegan", "webdataset", "huggingface"])
@pytest.mark.parametrize("what", [KeyboardInterrupt, KaoganError])
def test_interrupted_in_the_middle(faces: Path, tmp_path: Path, name: str, what: type[BaseException]) -> None:
    def progress(done: int, total: int, doing: str) -> None:
        if done == 4:
            raise what("now")

    with pytest.raises(what):
        convert(faces, tmp_path / "out", name, options=kaogan_options(attributes=None), progress=progress)  # type: ignore[arg-type]
    assert sorted(p.name for p in tmp_path.iterdir()) == ["faces"]
    assert convert(faces, tmp_path / "out", name).written == len(ROWS)


def test_disk_full(faces: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    written = 0

    def full(path: Path, data: bytes) -> None:
        nonlocal written
        written += 1
        if written > 3:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)

    monkeypatch.setattr(kaogan_set, "write_file", full)
    with pytest.raises(KaoganError, match=r"the disk is full: could not write .*out;"):
        convert(faces, tmp_path / "out", "kaogan")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["faces"]


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full here")
def test_disk_full_in_zipfile(faces: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    form = FORMATS["stylegan"]
    real = form.write

    def write(job: Job, out: Path) -> None:
        out.symlink_to("/dev/full")
        real(job, out)

    monkeypatch.setattr(form, "write", write)
    with pytest.raises(KaoganError, match="the disk is full: could not write"):
        convert(faces, tmp_path / "out", "stylegan", source_format="kaogan")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["faces"]


def test_a_killed_run_leaves_nothing_in_the_way(faces: Path, tmp_path: Path) -> None:
    """kill -9 in the middle, then the same command."""
    code = (
        "import sys, time, pathlib; from kaogan.data.formats import convert\n"
        "def progress(done, total, what):\n"
        "    if done == 3: print('there', flush=True); time.sleep(600)\n"
        f"convert(pathlib.Path({str(faces)!r}), pathlib.Path({str(tmp_path / 'out')!r}), 'kaogan', progress=progress)"
    )
    process = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, cwd=Path(__file__).parents[3])
    assert process.stdout is not None and process.stdout.readline() == b"there\n"
    with pytest.raises(KaoganError, match="another run is writing"):
        convert(faces, tmp_path / "out", "kaogan")
    process.send_signal(signal.SIGKILL)
    process.wait()
    process.stdout.close()
    assert not (tmp_path / "out").exists() and (tmp_path / ".out.partial").exists()
    for _ in range(50):  # the system may take a moment to free the lock
        try:
            convert(faces, tmp_path / "out", "kaogan")
            break
        except KaoganError:
            time.sleep(0.1)
    assert contents(tmp_path / "out") == contents(faces)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["faces", "out"]


def test_a_kill_after_the_last_move_leaves_a_stage_that_the_refusal_sweeps(tmp_path: Path) -> None:
    (tmp_path / "out").touch()
    (tmp_path / ".out.partial").mkdir()
    (tmp_path / ".out.partial" / ".lock").touch()
    (tmp_path / ".other.partial").mkdir()
    with pytest.raises(UsageError, match="exists"), staged(tmp_path / "out"):
        pass
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_staging_explains_the_system(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(KaoganError, match="file"), staged(tmp_path / "file" / "out"):
        pass


def test_memory_stays_flat(tmp_path: Path) -> None:
    """Pictures are asked for as they are written, never far ahead."""
    from kaogan.data.formats.base import Collection, Item, Job, Options

    asked = 0
    furthest = 0

    def load() -> np.ndarray:
        return pixels(0, 8)

    def items():  # type: ignore[no-untyped-def]
        nonlocal asked
        for number in range(500):
            asked += 1
            yield Item(f"{number}.png", load)

    def progress(done: int, total: int, what: str) -> None:
        nonlocal furthest
        furthest = max(furthest, asked - done)

    waiting = next(Job(Collection(1, lambda: iter([Item("a.png", load)])), Options()).pictures(["PNG"]))
    assert waiting.size == (8, 8) and not any(isinstance(part, Image.Image) for part in vars(waiting).values())
    FORMATS["stylegan"].write(Job(Collection(500, items), Options(), progress), tmp_path / "x.zip")
    assert asked == 500 and furthest < 200


@pytest.mark.parametrize("file", ["tags.pickle", "labels.pkl"])
def test_a_hostile_set_does_not_run(tmp_path: Path, run: Run, file: str) -> None:
    folder = tmp_path / "set"
    (folder / "images").mkdir(parents=True)
    (folder / "images/0.jpg").write_bytes(encoded(pixels(0), "JPEG"))
    (folder / file).write_bytes(pickle.dumps({0: evil(tmp_path / "mark")["system"]}))
    np.save(folder / "hair_prob.npy", np.array([evil(tmp_path / "mark")["system"]], dtype=object), allow_pickle=True)
    with pytest.raises(KaoganError, match=r"it would call (posix|nt)\.system"):
        run(folder, "kaogan")
    if file == "tags.pickle":  # sound tags beside a hostile array: the array is left alone
        (folder / file).write_bytes(pickle.dumps({0: torch.zeros(22)}))
        _, result = run(folder, "kaogan")
        assert any("hair_prob.npy is not an array" in note for note in result.notes)
    assert not (tmp_path / "mark").exists()
