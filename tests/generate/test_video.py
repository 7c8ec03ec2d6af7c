"""Films opened again: their frames, times and sizes; and the bytes of two that are made of the same frames."""

from __future__ import annotations

from pathlib import Path

import av
import numpy as np
import pytest
from PIL import Image

from kaogan.core.errors import KaoganError, UsageError
from kaogan.core.picture_files import enlarge
from kaogan.generate.video import write_video


def frames_of(count: int, channels: int = 3, side: int = 33) -> list[np.ndarray]:
    """A gradient that moves, smooth enough for any codec."""
    y, x = np.mgrid[0:side, 0:side] * (255 / (side - 1))
    planes = [x, y, 255 - x][:channels]
    return [np.stack([p * (t + 1) / count for p in planes], -1).astype(np.uint8) for t in range(count)]


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("ending", ["mp4", "gif", "webp"])
def test_a_film_shows_its_frames(tmp_path: Path, ending: str, channels: int) -> None:
    frames = frames_of(4, channels)
    path = write_video(iter(frames), tmp_path / "new" / f"film.{ending}", fps=10)
    if ending == "mp4":
        with av.open(str(path)) as film:
            assert film.streams.video[0].average_rate == 10
            seen = [frame.to_ndarray(format="rgb24")[:33, :33] for frame in film.decode(video=0)]
    else:
        with Image.open(path) as film:
            assert film.info["loop"] == 0 and film.n_frames == 4
            seen = []
            for number in range(4):
                film.seek(number)
                seen.append(np.asarray(film.convert("RGB")))
                assert film.info["duration"] == 100
    assert len(seen) == 4
    for one, other in zip(seen, frames, strict=True):
        assert np.abs(one.astype(int) - other).mean() < 6
    again = write_video(frames, tmp_path / f"again.{ending}", fps=10)
    assert again.read_bytes() == path.read_bytes()
    other = write_video(frames[::-1], tmp_path / f"other.{ending}", fps=10)
    assert other.read_bytes() != path.read_bytes()


@pytest.mark.parametrize("ending", ["mp4", "gif", "webp"])
def test_the_last_frame_can_be_held(tmp_path: Path, ending: str) -> None:
    path = write_video(iter(frames_of(3)), tmp_path / f"film.{ending}", fps=10, hold=1)
    if ending == "mp4":
        with av.open(str(path)) as film:
            assert len(list(film.decode(video=0))) == 2 + 10
        return
    with Image.open(path) as film:
        film.seek(2)
        film.load()
        assert film.info["duration"] == 1000


@pytest.mark.parametrize(("ending", "fps"), [("gif", 24), ("gif", 40), ("gif", 45), ("webp", 24)])
def test_a_film_is_as_long_as_its_frames_say(tmp_path: Path, ending: str, fps: float) -> None:
    for frames in (frames_of(40), iter(frames_of(40))):
        with Image.open(write_video(frames, tmp_path / f"film.{ending}", fps)) as film:
            times = []
            for number in range(film.n_frames):
                film.seek(number)
                film.load()
                times.append(film.info["duration"])
        assert sum(times) == pytest.approx(1000 * 40 / fps, abs=5)


def test_sheets_and_folders(tmp_path: Path) -> None:
    frames = frames_of(20, side=8)
    with Image.open(write_video(frames, tmp_path / "sheet.png")) as sheet:
        assert sheet.size == (16 * 10 + 2, 2 * 10 + 2)
        assert (np.asarray(sheet)[2:10, 12:20] == frames[1]).all()
    folder = write_video(frames, tmp_path / "frames")
    assert len(list(folder.iterdir())) == 20
    with Image.open(folder / "00019.png") as last:
        assert (np.asarray(last) == frames[19]).all()


def test_what_cannot_be_written_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("")
    for name, fps, words in [
        ("film.mov", 24, "cannot write .mov"),
        ("film.mp4", 0, "between 0.1 and 240, not 0"),
        ("film.gif", 60, "between 0.1 and 50, not 60"),
        ("film.webp", float("nan"), "not nan"),
        ("file", 24, "a file of another kind"),
    ]:
        with pytest.raises(UsageError) as caught:
            write_video(frames_of(2), tmp_path / name, fps)
        assert words in str(caught.value)
    with pytest.raises(UsageError, match="cannot hold"):
        write_video([np.zeros((1, 17_000, 3), np.uint8)], tmp_path / "wide.webp")
    monkeypatch.setattr(av, "codecs_available", frozenset())
    with pytest.raises(KaoganError, match=r"no H\.264"):
        write_video(frames_of(2), tmp_path / "film.mp4")
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_pictures_are_enlarged() -> None:
    pictures = np.arange(4, dtype=np.uint8).reshape(1, 2, 2, 1) * 80
    assert enlarge(pictures, 2) is pictures
    assert (enlarge(pictures, 6, "nearest") == pictures.repeat(3, 1).repeat(3, 2)).all()
    odd = enlarge(pictures, 5, "nearest")[0, :, :, 0]
    assert odd[0].tolist() == [0, 0, 40, 80, 80], "the pixel on the border is the mean of both"
    smooth = enlarge(pictures, 8)[0, :, :, 0].astype(int)
    assert smooth.shape == (8, 8) and (np.diff(smooth, axis=1) >= 0).all() and len(np.unique(smooth)) > 4
    for size, how, words in [(0, "bicubic", "not 0"), (10**6, "bicubic", "not 1000000"), (8, "near", "'nearest'")]:
        with pytest.raises(UsageError, match=words):
            enlarge(pictures, size, how)
