"""Tags of files, and the verbs."""

import csv
import zipfile

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from kaogan.aux_models.tagger import load_tagger
from kaogan.aux_models.tagger.tag_folder import tag_files, write_table
from kaogan.cli import app
from kaogan.core.errors import UsageError
from kaogan.data import avatars


@pytest.fixture(scope="module")
def tagger():
    return load_tagger()


@pytest.fixture
def folder(tmp_path):
    place = tmp_path / "faces"
    place.mkdir()
    for i in range(6):
        Image.fromarray(avatars.draw(i, 100, 3)).save(place / f"{i}.png")
    (place / "2b.png").write_bytes(b"no picture")
    return place


def test_folder_zip_and_file_are_tagged_alike_and_in_order(tagger, folder, tmp_path):
    with zipfile.ZipFile(tmp_path / "faces.zip", "w") as archive:
        for path in folder.iterdir():
            archive.write(path, path.name)
    rows = list(tag_files(tagger, [folder]))
    assert [row.file for row in rows] == ["0.png", "1.png", "2.png", "2b.png", "3.png", "4.png", "5.png"]
    assert rows[3].reason and not rows[3].values
    assert list(tag_files(tagger, [tmp_path / "faces.zip"])) == rows
    alone = next(tag_files(tagger, [folder / "4.png"]))
    assert alone.values["hair"][0] == rows[5].values["hair"][0]
    assert alone.face == pytest.approx(rows[5].face, abs=1e-4)


def test_pictures_of_several_sources_can_be_told_apart(tagger, folder, tmp_path):
    other = tmp_path / "other"
    other.mkdir()
    (other / "0.png").write_bytes((folder / "0.png").read_bytes())
    names = [row.file for row in tag_files(tagger, [folder, other])]
    assert names[0] == f"{folder}/0.png" and names[-1] == f"{other}/0.png" and len(set(names)) == 8


def test_the_table_holds_what_the_tagger_says(tagger, folder, tmp_path):
    assert write_table(tmp_path / "tags.csv", tagger.values, tag_files(tagger, [folder])) == 6
    rows = list(csv.DictReader((tmp_path / "tags.csv").open()))
    said = tagger.predict(np.stack([avatars.draw(i, 100, 3) for i in range(6)]))
    positions, confidences = said.best("hair")
    assert [row["hair"] for row in rows] == [tagger.values["hair"][p] for p in positions]
    np.testing.assert_allclose([float(row["hair_conf"]) for row in rows], confidences, atol=1e-3)
    assert list(rows[0]) == ["file", "hair", "eyes", "hair_conf", "eyes_conf", "face", "quality"]


def test_a_missing_path_is_one_line(tagger, tmp_path):
    with pytest.raises(UsageError, match="no such picture"):
        list(tag_files(tagger, [tmp_path / "nowhere"]))


def test_the_verbs(folder, tmp_path):
    run = CliRunner().invoke
    shown = run(app, ["tagger", "tag", str(folder)])
    assert shown.exit_code == 0 and "2b.png" in shown.output and "hair" in shown.output
    written = run(app, ["tagger", "tag", str(folder), "--out", str(tmp_path / "t.csv")])
    assert written.exit_code == 0 and "6 pictures" in written.output
    assert isinstance(run(app, ["tagger", "tag", str(folder), "--out", "t.txt"]).exception, UsageError)
    assert not (tmp_path / "t.txt").exists()
    moved = run(app, ["tagger", "train", "--data", str(tmp_path)])
    assert isinstance(moved.exception, UsageError) and "python -m tools.tagger" in str(moved.exception)
