"""The built-in set: exact labels, the same avatar always, colours that can be seen."""

from __future__ import annotations

import csv
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from kaogan.core.errors import UsageError
from kaogan.core.schema import EYES, HAIR
from kaogan.data import avatars, load_pictures
from kaogan.data.avatars import style


def hex_colour(text: str) -> np.ndarray:
    return np.frombuffer(bytes.fromhex(text[1:]), np.uint8).astype(float)


def test_the_names_are_those_of_the_schema() -> None:
    assert avatars.HAIR_NAMES == HAIR and avatars.EYE_NAMES == EYES


def test_importing_it_does_not_import_torch() -> None:
    code = "import sys, kaogan.data.avatars; sys.exit('torch' in sys.modules)"
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    assert subprocess.run([sys.executable, "-c", code], env=environment).returncode == 0


def test_deterministic_at_any_size() -> None:
    first = avatars.draw(5, 48, seed=3)
    assert first.shape == (48, 48, 3) and first.dtype == np.uint8
    np.testing.assert_array_equal(first, avatars.draw(5, 48, seed=3))
    assert (first != avatars.draw(6, 48, seed=3)).any() and (first != avatars.draw(5, 48, seed=4)).any()
    large = avatars.draw(5, 192, seed=3)
    small = np.asarray(Image.fromarray(large).resize((48, 48), Image.Resampling.BOX)).astype(int)
    assert np.abs(small - first).mean() < 4  # the same face
    assert avatars.draw(5, 1).shape == (1, 1, 3)


def test_every_pair_of_colours_once_in_120() -> None:
    for block in (0, 7):
        pairs = {avatars.labels_of(120 * block + n, seed=1) for n in range(120)}
        assert pairs == {(h, e) for h in range(12) for e in range(10)}
    assert [avatars.labels_of(n, 1) for n in range(120)] != [avatars.labels_of(n, 2) for n in range(120)]


def test_helpers_draw_what_one_draws(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(avatars, "_PARALLEL_FROM", 4)
    monkeypatch.setattr(avatars, "_cores", lambda: 3)
    seen: list[tuple[int, int, str]] = []
    many = avatars.draw_many(10, 24, 2, lambda *a: seen.append(a))
    np.testing.assert_array_equal(many, [avatars.draw(n, 24, 2) for n in range(10)])
    assert seen[-1] == (10, 10, "drawing avatars") and len(seen) == 10


@pytest.mark.parametrize("trouble", ["cannot start", "dies", "no name"])
def test_a_helper_in_trouble_is_replaced(monkeypatch: pytest.MonkeyPatch, trouble: str) -> None:
    monkeypatch.setattr(avatars, "_PARALLEL_FROM", 4)
    program = {"cannot start": "/nonexistent/python", "dies": "/bin/false", "no name": None}[trouble]
    monkeypatch.setattr(avatars.sys, "executable", program)
    np.testing.assert_array_equal(avatars.draw_many(6, 16), [avatars.draw(n, 16) for n in range(6)])


def test_from_a_script_without_a_guard(tmp_path: Path) -> None:
    """multiprocessing would run such a script again in every child."""
    script = tmp_path / "script.py"
    script.write_text("from kaogan.data import avatars\nprint(avatars.draw_many(220, 8).shape)\n")
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run([sys.executable, str(script)], env=environment, capture_output=True, text=True, timeout=60)
    assert done.stdout == "(220, 8, 8, 3)\n" and done.stderr == ""


def test_leaving_early_stops_the_helpers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(avatars, "_PARALLEL_FROM", 4)
    started: list[subprocess.Popen[bytes]] = []
    real = subprocess.Popen
    monkeypatch.setattr(avatars.subprocess, "Popen", lambda *a, **k: started.append(real(*a, **k)) or started[-1])
    drawing = avatars.draw_each(10_000, 64)
    next(drawing)
    drawing.close()  # type: ignore[attr-defined]
    assert started and all(process.poll() is not None for process in started)


@pytest.mark.parametrize("hair", HAIR)
def test_hair_has_its_colour(hair: str) -> None:
    """Two avatars that differ in hair colour only differ in the hair, and there it is the colour told."""
    other = "black" if hair == "white" else "white"
    for index in range(3):
        mine = avatars.draw_with(index, 64, 0, hair, "aqua").astype(float)
        differs = np.abs(mine - avatars.draw_with(index, 64, 0, other, "aqua")).max(2) > 40
        assert 0.08 < differs.mean() < 0.6
        colour = np.median(mine[differs], 0)
        nearest = min(HAIR, key=lambda name: np.linalg.norm(colour - hex_colour(style.HAIR_COLOURS[name])))
        assert nearest == hair


@pytest.mark.parametrize("eyes", EYES)
def test_eyes_have_their_colour(eyes: str) -> None:
    other = "black" if eyes == "yellow" else "yellow"
    for index in range(3):
        mine = avatars.draw_with(index, 64, 0, "white", eyes).astype(float)
        differs = np.abs(mine - avatars.draw_with(index, 64, 0, "white", other)).max(2) > 40
        assert 30 < differs.sum() < 250  # pixels: large enough to be seen, and nothing but the eyes
        rows, columns = np.nonzero(differs)
        assert rows.min() > 20 and rows.max() < 45 and columns.max() - columns.min() < 42
        colour = np.median(mine[differs], 0)
        nearest = min(EYES, key=lambda name: np.linalg.norm(colour - hex_colour(style.EYE_COLOURS[name])))
        assert nearest == eyes


@pytest.mark.parametrize("hair", style.HAIRS)
def test_no_hair_hides_an_eye(hair: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(style, "HAIRS", (hair,))
    yellow, black = (avatars.draw_with(0, 64, 0, "green", eyes).astype(float) for eyes in ("yellow", "black"))
    columns = np.nonzero((np.abs(yellow - black).max(2) > 40).any(0))[0]
    gap = np.diff(columns).argmax()
    assert np.diff(columns).max() > 4  # two eyes, apart
    left, right = columns[: gap + 1], columns[gap + 1 :]
    assert len(left) >= 4 and len(right) >= 4


def test_all_parts_are_in_the_style() -> None:
    components = style._style().components()
    for part, choices in {
        "hair": style.HAIRS,
        "head": style.HEADS,
        "mouth": style.MOUTHS,
        "nose": style.NOSES,
        "eyebrows": style.EYEBROWS,
        "earrings": style.EARRINGS,
        "eyes": style.EYE_SHAPES,
    }.items():
        assert set(choices) <= set(components[part].variants())


def test_the_drawings_may_be_used_by_anyone() -> None:
    parts = {
        "background": style.BACKGROUNDS[0],
        "skin": style.SKINS[0],
        "hair": style.HAIRS[0],
        "head": style.HEADS[0],
        "mouth": style.MOUTHS[0],
        "nose": style.NOSES[0],
        "eyebrows": style.EYEBROWS[0],
        "eyes": style.EYE_SHAPES[0],
        "earrings": "",
    }
    assert "licensed under “CC0 1.0”" in style.svg(parts, "red", "blue")


def test_load_pictures_without_a_source() -> None:
    loaded = load_pictures(None, image_size=16, attributes=["auto"], avatar_count=12, avatar_seed=4)
    assert loaded.source == "avatars" and loaded.images.shape == (12, 16, 16, 3)
    np.testing.assert_array_equal(loaded.images[7], avatars.draw(7, 16, 4))
    assert loaded.schema.names == ("hair", "eyes") and loaded.schema.sizes == (12, 10)
    assert [tuple(row) for row in loaded.labels] == [avatars.labels_of(n, 4) for n in range(12)]
    assert isinstance(loaded.images, np.memmap)


def test_all_look_to_the_right() -> None:
    """Those that look to the left are mirrored, the others stay; neither set is taken for the other in the cache."""
    both = load_pictures(None, image_size=16, avatar_count=12)
    one_way = load_pictures(None, image_size=16, avatar_count=12, avatars_mirrored=False)
    mirrored = [avatars.is_mirrored(index) for index in range(12)]
    assert 0 < sum(mirrored) < 12 and both.fingerprint != one_way.fingerprint
    for index, to_the_left in enumerate(mirrored):
        there = both.images[index][:, ::-1] if to_the_left else both.images[index]
        np.testing.assert_array_equal(one_way.images[index], there)


def test_avatars_without_labels_in_grey_and_merged(monkeypatch: pytest.MonkeyPatch) -> None:
    grey = load_pictures(None, image_size=16, channels=1, avatar_count=3)
    assert grey.images.shape == (3, 16, 16, 1) and grey.labels.shape == (3, 0)
    monkeypatch.setattr(avatars, "draw_each", lambda *a: pytest.fail("drawn again"))
    options = {"image_size": 16, "channels": 1, "avatar_count": 3}
    merged = load_pictures(None, attributes=["hair"], merge={"hair": {"x": ["red"], "y": ["blue"]}}, **options)
    assert merged.schema["hair"].values == ("x", "y")
    with pytest.raises(UsageError, match=r"unknown attribute 'year' in the avatars.*hair, eyes"):
        load_pictures(None, attributes=["year"], **options)
    with pytest.raises(UsageError, match="avatar count 0"):
        load_pictures(None, image_size=16, avatar_count=0)


def test_write_set_can_be_loaded(tmp_path: Path) -> None:
    folder = avatars.write_set(tmp_path / "new" / "set", 6, 16, seed=9)
    rows = list(csv.DictReader((folder / "labels.csv").open()))
    assert [row["file"] for row in rows] == [f"{n:05d}.png" for n in range(6)]
    loaded = load_pictures(folder, image_size=16, attributes=["auto"])
    built_in = load_pictures(None, image_size=16, attributes=["auto"], avatar_count=6, avatar_seed=9)
    np.testing.assert_array_equal(loaded.images, built_in.images)
    np.testing.assert_array_equal(loaded.labels, built_in.labels)
    assert loaded.skipped == () and [n for n in loaded.notes if not n.startswith("labels from ")] == []


def test_write_set_again_and_smaller(tmp_path: Path) -> None:
    avatars.write_set(tmp_path, 5, 16)
    avatars.write_set(tmp_path, 3, 16, seed=1)
    assert sorted(p.name for p in (tmp_path / "images").iterdir()) == ["00000.png", "00001.png", "00002.png"]
    assert len((tmp_path / "labels.csv").read_text().splitlines()) == 4


def test_an_interrupted_write_leaves_no_row_without_its_picture(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    avatars.write_set(tmp_path, 2, 16)
    real = avatars.draw_each

    def interrupted(*arguments: int) -> Iterator[tuple[int, np.ndarray]]:
        for index, drawn in real(*arguments):
            if index == 3:
                raise KeyboardInterrupt
            yield index, drawn

    monkeypatch.setattr(avatars, "draw_each", interrupted)
    with pytest.raises(KeyboardInterrupt):
        avatars.write_set(tmp_path, 6, 16, seed=5)
    assert not (tmp_path / "labels.csv").exists()
    monkeypatch.undo()
    avatars.write_set(tmp_path, 6, 16, seed=5)  # the same call again goes through
    assert len((tmp_path / "labels.csv").read_text().splitlines()) == 7


def test_what_another_writer_has_not_finished_is_no_file(tmp_path: Path) -> None:
    """Of a killed one in the folder, of a living one among the pictures."""
    fcntl = pytest.importorskip("fcntl")
    (tmp_path / ".kaogan.partial1.txt").write_text("This")
    avatars.write_set(tmp_path, 2, 16)
    (tmp_path / "images" / ".00003.partial2.png").write_bytes(b"half")
    with (tmp_path / "images" / ".00003.partial2.png").open("rb") as living:
        fcntl.flock(living, fcntl.LOCK_SH)
        avatars.write_set(tmp_path, 1, 16)
    left = {path.name for path in tmp_path.rglob("*.png")}
    assert left == {"00000.png", ".00003.partial2.png"} and not list(tmp_path.glob("*.partial*"))


@pytest.mark.parametrize("name", ["notes.txt", "labels.csv", "images/00000.png", "images/me.jpg"])
def test_a_foreign_folder_is_refused(tmp_path: Path, name: str) -> None:
    file = tmp_path / name
    file.parent.mkdir(exist_ok=True)
    file.write_text("mine")
    with pytest.raises(UsageError, match="already holds other files"):
        avatars.write_set(tmp_path, 2, 16)
    assert file.read_text() == "mine" and len(list(tmp_path.iterdir())) == 1
    with pytest.raises(UsageError):
        avatars.write_set(tmp_path / "new", 0, 16)
