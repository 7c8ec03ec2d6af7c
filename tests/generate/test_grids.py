"""What is drawn on disk: grids, single files, and the four modes over attributes."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from kaogan.core.errors import KaoganError, UsageError
from kaogan.core.picture_files import Writer, labelled_grid
from kaogan.core.schema import Attribute, Schema
from kaogan.generate.grids import (
    attribute_map,
    attribute_strip,
    fixed_grid,
    mode_picture,
    modes,
    write_mode,
    write_samples,
)
from tests.generate.conftest import SCHEMA, SIZE, tiny_model

STEP = SIZE + 2


def read(path):
    with Image.open(path) as picture:
        return np.asarray(picture)


def tile(sheet, row, column):
    """The picture at a place of an unlabelled sheet."""
    return sheet[2 + row * STEP : 2 + row * STEP + SIZE, 2 + column * STEP : 2 + column * STEP + SIZE]


def test_a_grid_holds_the_pictures_in_order(model, tmp_path):
    (path,) = write_samples(model, tmp_path, count=10, seed=4, rows=2)
    assert path == tmp_path / "samples.png"
    sheet, pictures = read(path), model.sample(10, seed=4)
    assert sheet.shape == (2 * STEP + 2, 5 * STEP + 2, 3)
    for number in range(10):
        np.testing.assert_array_equal(tile(sheet, number // 5, number % 5), pictures[number])


def test_a_grid_is_square_unless_rows_are_named(model, tmp_path):
    (path,) = write_samples(model, tmp_path / "a.png", count=9)
    assert read(path).shape == (3 * STEP + 2, 3 * STEP + 2, 3)


def test_single_files_are_the_same_pictures(model, tmp_path):
    reports = []
    paths = write_samples(
        model,
        tmp_path / "many",
        count=70,
        seed=2,
        separate=True,
        attributes={"hair": "pink"},
        progress=lambda *r: reports.append(r),
    )
    assert [p.name for p in paths[:2]] == ["00000.png", "00001.png"] and reports[-1] == (70, 70, "sampling")
    expected = model.sample(70, seed=2, hair="pink")
    assert sorted(p.name for p in (tmp_path / "many").iterdir()) == [p.name for p in paths]
    for path, picture in zip(paths, expected, strict=True):
        np.testing.assert_array_equal(read(path), picture)


@pytest.mark.parametrize(
    ("name", "kind", "error"), [("a.jpg", "JPEG", 16), ("a.webp", "WEBP", 16), ("a.PNG", "PNG", 0)]
)
def test_the_ending_is_the_format(model, tmp_path, name, kind, error):
    (path,) = write_samples(model, tmp_path / name, count=4, truncation=0.1)
    with Image.open(path) as picture:
        assert picture.format == kind
    (exact,) = write_samples(model, tmp_path / "exact.png", count=4, truncation=0.1)
    assert np.abs(read(path).astype(int) - read(exact)).mean() <= error


def test_jpeg_keeps_its_colour_at_full_size(model, tmp_path):
    (path,) = write_samples(model, tmp_path, count=1, format="jpg")
    with Image.open(path) as picture:
        assert [layer[1:3] for layer in picture.layer] == [(1, 1)] * 3


def test_grey_pictures_are_grey_files(tmp_path):
    model = tiny_model(Schema(), channels=1)
    (path,) = write_samples(model, tmp_path, count=4)
    with Image.open(path) as picture:
        assert picture.mode == "L"


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"count": 0}, "1 or more"),
        ({"count": 10**20}, "at most 10,000,000"),
        ({"rows": 0}, "1 row or more"),
        ({"format": "pgn"}, "did you mean 'png'"),
        ({"out": "a.gif"}, "not as .gif"),
        ({"out": "a.png", "separate": True}, "name a folder"),
        ({"out": "taken"}, "but not a picture's name"),
        ({"out": "a.webp", "rows": 1, "count": 2000}, "cannot hold 36002"),
        ({"attributes": {"hair": "pnk"}}, "did you mean 'pink'"),
    ],
)
def test_wrong_words_are_explained_before_anything_is_written(model, tmp_path, options, words):
    (tmp_path / "taken").touch()
    with pytest.raises(UsageError, match=words):
        write_samples(model, tmp_path / options.pop("out", "out"), **options)
    assert [p.name for p in tmp_path.iterdir()] == ["taken"]


def test_a_disk_that_fails_is_reported(model, tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(KaoganError):
        write_samples(model, tmp_path / "file" / "below", count=40, separate=True)


def test_few_pictures_wait_for_the_disk(tmp_path, monkeypatch):
    import threading

    gate, started = threading.Event(), []

    def slow(picture, path):
        started.append(path)
        gate.wait(10)
        return path

    monkeypatch.setattr("kaogan.core.picture_files.write_picture", slow)
    with Writer(threads=1, pending=3) as writer:
        for number in range(3):
            writer.put(np.zeros((2, 2, 3), np.uint8), tmp_path / f"{number}.png")
        fourth = threading.Thread(target=writer.put, args=(np.zeros((2, 2, 3), np.uint8), tmp_path / "3.png"))
        fourth.start()
        fourth.join(0.1)
        assert fourth.is_alive()  # it waits rather than queue a fourth picture
        gate.set()
        fourth.join(10)
    assert len(started) == 4


def test_a_map_is_one_face_with_every_hair_and_eyes(model):
    sheet = attribute_map(model, seed=6, labelled=False)
    assert sheet.shape == (10 * STEP + 2, 12 * STEP + 2, 3)
    latents = model.latents(1, 6)
    for eyes, hair in ((0, 0), (9, 11), (3, 7)):
        conditions = model.conditions(1, hair=SCHEMA["hair"].values[hair], eyes=SCHEMA["eyes"].values[eyes])
        np.testing.assert_array_equal(tile(sheet, eyes, hair), model.generate(latents, conditions)[0])
    turned = attribute_map(model, rows="hair", seed=6, labelled=False)
    assert turned.shape == (12 * STEP + 2, 10 * STEP + 2, 3)
    np.testing.assert_array_equal(tile(turned, 7, 3), tile(sheet, 3, 7))


def test_other_attributes_of_a_map_are_drawn_once_or_fixed():
    blush = Attribute("blush", ("no", "yes"), (0.0, 1.0))
    model = tiny_model(Schema((*SCHEMA.attributes, blush)))
    drawn = attribute_map(model, labelled=False)
    np.testing.assert_array_equal(drawn, attribute_map(model, labelled=False, blush="yes"))
    assert not np.array_equal(drawn, attribute_map(model, labelled=False, blush="no"))


def test_a_strip_changes_one_attribute_only(model):
    sheet = attribute_strip(model, "hair", seed=6, labelled=False, eyes="red")
    assert sheet.shape == (STEP + 2, 12 * STEP + 2, 3)
    latents = model.latents(1, 6)
    np.testing.assert_array_equal(
        tile(sheet, 0, 7), model.generate(latents, model.conditions(1, hair=SCHEMA["hair"].values[7], eyes="red"))[0]
    )
    drawn = attribute_strip(model, "eyes", seed=6, labelled=False)
    hair = SCHEMA["hair"].values[int(model.conditions(1, 6)[0, :12].argmax())]
    np.testing.assert_array_equal(drawn, attribute_strip(model, "eyes", seed=6, labelled=False, hair=hair))


def test_fix_varies_the_latent_only(model):
    sheet = fixed_grid(model, seed=5, hair="pink", eyes="aqua")
    assert sheet.shape == (8 * STEP + 2, 8 * STEP + 2, 3)
    expected = model.sample(64, seed=5, hair="pink", eyes="aqua")
    np.testing.assert_array_equal(tile(sheet, 7, 6), expected[62])


def test_names_stand_outside_the_pictures(model):
    """The tiles are untouched, and there is ink beside each row and above each column."""
    plain, labelled = attribute_map(model, labelled=False), attribute_map(model)
    top, left = labelled.shape[0] - plain.shape[0], labelled.shape[1] - plain.shape[1]
    np.testing.assert_array_equal(labelled[top:, left:], plain)
    for row in range(10):
        assert labelled[top + 2 + row * STEP : top + (row + 1) * STEP, :left].min() < 100
    for column in range(12):
        assert labelled[:top, left + 2 + column * STEP : left + (column + 1) * STEP].min() < 100
    assert (labelled[:top, :left] == 255).all()


def test_wide_names_stand_upright():
    pictures = np.zeros((2, 64, 64, 3), np.uint8)
    flat = labelled_grid(pictures, (), ("a", "b"))
    upright = labelled_grid(pictures, (), ("a name that is wider than its column", "b"))
    assert upright.shape[1] == flat.shape[1] and upright.shape[0] > flat.shape[0] + 64


def test_modes_follow_the_schema(model, plain, tmp_path):
    assert modes(SCHEMA) == ["fix_noise", "fix", "change_hair", "change_eyes"]
    assert modes(Schema(SCHEMA.attributes[:1])) == ["fix", "change_hair"]
    assert modes(Schema()) == []
    for mode in modes(SCHEMA):
        path = write_mode(model, mode, tmp_path, seed=1)
        assert path == tmp_path / f"{mode}.png"
        np.testing.assert_array_equal(read(path), mode_picture(model, mode, seed=1))


@pytest.mark.parametrize(
    ("mode", "attributes", "words"),
    [
        ("change_eye", {}, "did you mean 'change_eyes'"),
        ("change_hair", {"hair": "pink"}, "takes all of its values"),
        ("fix_noise", {"eyes": "pink"}, "takes all of its values"),
        ("fix", {"eyes": "pnk"}, "did you mean 'pink'"),
    ],
)
def test_wrong_modes_are_explained(model, mode, attributes, words):
    with pytest.raises(UsageError, match=words):
        mode_picture(model, mode, attributes=attributes)


def test_a_sheet_too_large_is_refused_before_it_is_drawn(model, monkeypatch):
    monkeypatch.setattr("kaogan.core.picture_files.MOST", 2_000)
    monkeypatch.setattr(model, "conditions", None)
    for draw in (attribute_map, lambda model: attribute_strip(model, "hair")):
        with pytest.raises(UsageError, match="megapixels"):
            draw(model)


def test_models_without_attributes_say_so(model, plain):
    for draw in (
        lambda: attribute_map(plain),
        lambda: attribute_strip(plain, "hair"),
        lambda: fixed_grid(plain),
        lambda: mode_picture(plain, "fix_noise"),
    ):
        with pytest.raises(UsageError, match="trained without"):
            draw()
    with pytest.raises(UsageError, match="two different attributes"):
        attribute_map(model, "hair", "hair")
