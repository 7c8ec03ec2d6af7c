"""``kaogan upscale`` and the verbs that chain with it: every kind of input, and every mistake in one line."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from kaogan.cli import app
from kaogan.core.errors import KaoganError, UsageError

ROOT = Path(__file__).resolve().parents[2]
MODEL = ROOT / "docs" / "gallery" / "models" / "acgan"


def run(*words: object, given: bytes | None = None):  # type: ignore[no-untyped-def]
    result = CliRunner().invoke(app, ["upscale", *map(str, words)], input=given)
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result


def face(size: tuple[int, int] = (20, 16), mode: str = "RGB") -> Image.Image:
    values = np.random.default_rng(0).integers(0, 256, (size[1], size[0], 4), np.uint8)
    return Image.fromarray(values).convert(mode)


def test_one_file(tmp_path: Path) -> None:
    face().save(tmp_path / "a.png")
    run(tmp_path / "a.png", "--scale", 2, "--out", tmp_path / "b.webp")
    with Image.open(tmp_path / "b.webp") as made:
        assert made.size == (40, 32) and made.format == "WEBP"


@pytest.mark.parametrize(
    ("mode", "ending", "wanted"),
    [("RGB", "jpg", "RGB"), ("L", "png", "L"), ("RGBA", "png", "RGBA"), ("P", "gif", "RGB"), ("1", "bmp", "L")],
)
def test_modes_of_pictures(tmp_path: Path, mode: str, ending: str, wanted: str) -> None:
    face(mode=mode).save(tmp_path / f"a.{ending}")
    run(tmp_path / f"a.{ending}", "--scale", 4, "--out", tmp_path / "out")
    (path,) = (tmp_path / "out").iterdir()
    assert path.suffix == (f".{ending}" if ending in ("jpg", "png") else ".png")
    with Image.open(path) as made:
        assert made.mode == wanted and made.size == (80, 64)


def test_sixteen_bits(tmp_path: Path) -> None:
    values = np.linspace(0, 65535, 16 * 20).reshape(16, 20).astype(np.uint16)
    Image.fromarray(values).save(tmp_path / "a.png")
    run(tmp_path / "a.png", "--scale", 2, "--out", tmp_path / "b.png")
    with Image.open(tmp_path / "b.png") as made:
        assert made.mode == "L" and np.asarray(made)[-1, -1] > 240 > 15 > np.asarray(made)[0, 0]


def test_a_folder_with_foreign_and_broken_files(tmp_path: Path) -> None:
    source = tmp_path / "in"
    (source / "deep").mkdir(parents=True)
    face().save(source / "a.png")
    face().save(source / "deep" / "b.jpg")
    (source / "notes.txt").write_text("hello")
    (source / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\nnothing")
    Image.new("RGB", (1300, 1300)).save(source / "huge.png")
    result = run(source, "--scale", 8, "--out", tmp_path / "out")
    names = sorted(p.relative_to(tmp_path / "out").as_posix() for p in (tmp_path / "out").rglob("*.*"))
    assert names == ["a.png", "deep/b.jpg"]
    for words in ("notes.txt: not a picture file", "broken.png: ", "huge.png: 1300 x 1300 px at x8 would be more than"):
        assert words in result.output


def test_of_an_animation_the_first_picture_is_taken_and_told(tmp_path: Path) -> None:
    first, second = face(), Image.new("RGB", face().size, "red")
    for name in ("a.gif", "a.webp", "a.png"):
        first.save(tmp_path / name, save_all=True, append_images=[second])
    first.save(tmp_path / "still.gif")
    result = run(tmp_path, "--scale", 2, "--out", tmp_path / "out")
    (line,) = [line for line in result.output.splitlines() if "animations" in line]
    assert "only the first picture is enlarged" in line and all(name in line for name in ("a.gif", "a.webp", "a.png"))
    assert "still" not in line and len(list((tmp_path / "out").iterdir())) == 4


def test_what_is_transparent_everywhere_stays_so(tmp_path: Path) -> None:
    picture = face().convert("RGBA")
    picture.putalpha(0)
    picture.save(tmp_path / "a.png")
    run(tmp_path / "a.png", "--scale", 2, "--out", tmp_path / "b.png")
    with Image.open(tmp_path / "b.png") as made:
        assert made.getchannel("A").getextrema() == (0, 0)


def test_a_zip_and_two_names_that_become_one(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "set.zip", "w") as archive:
        for name in ("x/a.gif", "x/a.bmp"):
            buffer = io.BytesIO()
            face().save(buffer, name[-3:].upper())
            archive.writestr(name, buffer.getvalue())
    run(tmp_path / "set.zip", "--scale", 2, "--out", tmp_path / "out")
    assert len(list((tmp_path / "out" / "x").iterdir())) == 2


def test_pictures_of_one_name_from_three_folders(tmp_path: Path) -> None:
    for folder in "xyz":
        (tmp_path / folder).mkdir()
        face().save(tmp_path / folder / "a.png")
    run(*(tmp_path / folder / "a.png" for folder in "xyz"), "--scale", 2, "--out", tmp_path / "out")
    assert len(list((tmp_path / "out").iterdir())) == 3


def test_results_of_before_are_not_enlarged_again(tmp_path: Path) -> None:
    face().save(tmp_path / "a.png")
    for _ in range(2):
        run(tmp_path, "--scale", 2, "--out", tmp_path / "large")
    assert [p.relative_to(tmp_path).as_posix() for p in (tmp_path / "large").rglob("*")] == ["large/a.png"]


def test_one_place_of_several_that_is_no_picture(tmp_path: Path) -> None:
    face().save(tmp_path / "a.png")
    (tmp_path / "notes.txt").write_text("hello")
    result = run(tmp_path / "notes.txt", tmp_path / "a.png", "--scale", 2, "--out", tmp_path / "out")
    assert result.exit_code == 0 and "skipped" in result.output and (tmp_path / "out" / "a.png").exists()


def test_a_name_too_long_to_write_and_one_that_leads_outside(tmp_path: Path) -> None:
    buffer = io.BytesIO()
    face().save(buffer, "PNG")
    with zipfile.ZipFile(tmp_path / "set.zip", "w") as archive:
        for name in ("n" * 240 + ".png", "good.png", "../../outside.png"):
            archive.writestr(name, buffer.getvalue())
    result = run(tmp_path / "set.zip", "--scale", 2, "--out", tmp_path / "deep" / "out")
    assert "name is too long" in result.output and (tmp_path / "deep" / "out" / "good.png").exists()
    assert not list(tmp_path.parent.glob("outside*")) and not list(tmp_path.glob("outside*"))


def test_names_in_an_archive_that_other_systems_take_for_something_else(tmp_path: Path) -> None:
    buffer = io.BytesIO()
    face().save(buffer, "PNG")
    with zipfile.ZipFile(tmp_path / "set.zip", "w") as archive:
        for name in ("././C:/x.png", "what?/b.png", "A.png", "a.png"):
            archive.writestr(name, buffer.getvalue())
    run(tmp_path / "set.zip", "--scale", 2, "--out", tmp_path / "out")
    names = {path.relative_to(tmp_path / "out").as_posix().casefold() for path in (tmp_path / "out").rglob("*.png")}
    assert names == {"c_/x.png", "what_/b.png", "a.png", "a-png.png"}, "four files, whatever the case means"


def test_an_input_under_another_name_is_not_overwritten(tmp_path: Path) -> None:
    """As a folder is that a file system without case knows as Faces and faces."""
    face().save(tmp_path / "a.png")
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "a.png").hardlink_to(tmp_path / "a.png")
    result = run(tmp_path / "a.png", "--scale", 2, "--out", tmp_path / "out")
    assert result.exit_code == 1 and "would overwrite it" in result.output
    assert (tmp_path / "out" / "a.png").samefile(tmp_path / "a.png")


def test_inputs_are_never_overwritten(tmp_path: Path) -> None:
    face().save(tmp_path / "a.png")
    before = (tmp_path / "a.png").read_bytes()
    for out in (tmp_path / "a.png", tmp_path):
        result = run(tmp_path / "a.png", "--scale", 2, "--out", out)
        assert result.exit_code == 1 and "would overwrite it" in result.output
    assert (tmp_path / "a.png").read_bytes() == before and [p.name for p in tmp_path.iterdir()] == ["a.png"]


def test_stdin_to_stdout(tmp_path: Path) -> None:
    buffer = io.BytesIO()
    face().save(buffer, "PNG")
    result = run("-", "--scale", 2, given=buffer.getvalue())
    with Image.open(io.BytesIO(result.stdout_bytes)) as made:
        assert made.size == (40, 32)
    with pytest.raises(KaoganError, match="cannot be used"):
        run("-", given=b"no picture")


@pytest.mark.parametrize(
    ("mode", "size", "words", "message"),
    [
        ("RGBA", (20, 16), ["--format", "jpg"], "cannot hold transparency"),
        ("RGB", (2100, 4), ["--format", "webp", "--scale", 8], "cannot hold 16800 x 32 px"),
        ("RGB", (20, 16), ["--out", "noending"], "unknown picture format"),
        ("RGB", (20, 16), ["--scale", 5], "no scale 5"),
    ],
)
def test_stdin_that_cannot_be_written(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    mode: str,
    size: tuple[int, int],
    words: list[object],
    message: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    buffer = io.BytesIO()
    face(size, mode).save(buffer, "PNG")
    with pytest.raises(UsageError, match=message):
        run("-", *words, given=buffer.getvalue())
    assert not list(tmp_path.iterdir())


def test_compare_writes_four_panels_and_tells_the_gain(tmp_path: Path) -> None:
    face((48, 48)).save(tmp_path / "a.png")
    result = run(tmp_path / "a.png", "--scale", 2, "--compare", "--out", tmp_path / "sheet.png")
    assert "bicubic" in result.output and "dB" in result.output
    with Image.open(tmp_path / "sheet.png") as sheet:
        assert sheet.width == 4 * 48 + 5 * 2


def test_a_model_samples_first(tmp_path: Path) -> None:
    import kaogan

    run(MODEL, "--scale", 2, "--count", 2, "--seed", 3, "--out", tmp_path / "out")
    low = kaogan.load(MODEL).sample(2, seed=3)
    wanted = kaogan.load("kao-sr").upscale(low, 2)
    with Image.open(tmp_path / "out" / "00001.png") as made:
        assert np.abs(np.asarray(made).astype(int) - wanted[1]).max() <= 1
    run(MODEL, "--scale", 2, "--count", 2, "--compare", "--out", tmp_path / "sheet.png")
    with Image.open(tmp_path / "sheet.png") as sheet:
        assert sheet.width >= 3 * 128


def test_a_folder_may_have_a_dot_in_its_name(tmp_path: Path) -> None:
    run(MODEL, "--scale", 2, "--count", 1, "--out", tmp_path / "faces.v2")
    assert [path.name for path in (tmp_path / "faces.v2").iterdir()] == ["00000.png"]


def test_sample_chains(tmp_path: Path) -> None:
    words = ["sample", str(MODEL), "--count", "4", "--upscale", "2", "--out", str(tmp_path / "grid.png")]
    result = CliRunner().invoke(app, words)
    assert result.exit_code == 0, result.output
    with Image.open(tmp_path / "grid.png") as grid:
        assert grid.size == (2 * 128 + 3 * 2, 2 * 128 + 3 * 2)
    assert isinstance(CliRunner().invoke(app, [*words[:5], "3"]).exception, UsageError)
    error = CliRunner().invoke(app, ["sample", str(MODEL), "--count", "10000", "--upscale", "8"]).exception
    assert isinstance(error, UsageError) and "megapixels" in str(error)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["missing.png"], "no such picture"),
        (["a.png", "--scale", "3"], "no scale 3; choose from 2, 4, 8"),
        (["a.png", "--model", "kao-rs"], "no upscaler 'kao-rs'"),
        (["a.png", "--format", "bmp"], "unknown picture format"),
        (["a.png", "a.png", "--out", "one.png"], "is one file, but there are 2 pictures"),
        (["a.png", "--tile", "3"], "at least 16 px"),
        (["a.png", "--count", "0"], "--count is for faces of a run or a model, not for files"),
        (["a.png", "--seed", "0"], "--seed is for faces of a run or a model, not for files"),
        (["-", "--tile", "64"], "--tile is for files, without --compare"),
        (["a.png", "--compare", "--tile", "64"], "--tile is for files, without --compare"),
        ([str(MODEL), "--tile", "64"], "--tile is for files, without --compare"),
        (["-", "a.png"], "one picture by itself"),
        (["empty"], "no pictures in empty"),
        (["a.png", "--out", "large.tif"], "not as .tif"),
        (["a.png", "--out", "large.webp", "--format", "png"], "--out large.webp and --format png differ"),
        (["-", "--out", "large.webp", "--format", "png"], "--out large.webp and --format png differ"),
        ([str(MODEL), "--out", "large.webp", "--format", "png"], "--out large.webp and --format png differ"),
        ([str(MODEL), "--compare", "--count", "0"], "1 to 64 faces"),
        ([str(MODEL), "--compare", "--scale", "0"], "no scale 0"),
    ],
)
def test_mistakes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, words: list[str], message: str) -> None:
    monkeypatch.chdir(tmp_path)
    face().save("a.png")
    Path("empty").mkdir()
    with pytest.raises(UsageError, match=message):
        run(*words)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a.png", "empty"]
