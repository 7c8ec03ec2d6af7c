"""There and back again: from kaogan's form into every other and back, nothing is lost but what a format cannot hold."""

from __future__ import annotations

import json
import tarfile
from pathlib import Path

import numpy as np
import pytest

from kaogan.core.errors import UsageError
from kaogan.core.schema import HAIR
from kaogan.data.formats import FORMATS, detect
from tests.data.formats.conftest import ROWS, Run, contents, encoded, pixels, pixels_of, tar
from tests.data.formats.legacy import WRITERS

# what comes back of hair, eyes and year
KEPT = {
    "kaogan": ("hair", "eyes", "year"),
    "huggingface": ("hair", "eyes", "year"),
    "webdataset": ("hair", "eyes", "year"),
    "stylegan": ("hair", "eyes", "year"),
    "acgan-new": ("hair", "eyes", "year"),
    "acgan": ("hair", "eyes"),
    "hdf5": ("hair", "eyes", "year"),
    "flat": (),
    "nested": (),
    "bamsgan": (),
}
LOSSY = {"acgan", "acgan-new"}  # JPEG
ORDERED = {"stylegan", "acgan", "webdataset"}  # names are numbers there, so the order is that of the source


def rows(columns: tuple[str, ...], found: list[tuple[bytes, dict[str, str]]]) -> list[tuple[bytes, tuple[str, ...]]]:
    return [(data, tuple(labels.get(c, "") for c in columns)) for data, labels in found]


@pytest.mark.parametrize("name", KEPT)
def test_there_and_back(faces: Path, run: Run, name: str) -> None:
    columns = KEPT[name]
    there = WRITERS[name](faces, faces.parent / "there") if name in WRITERS else run(faces, name)[0]
    assert name == detect(there).name
    back, second = run(there, "kaogan")
    assert second.source_format == name
    expected, found = (rows(columns, contents(folder)) for folder in (faces, back))
    if name == "hdf5":  # hair and eyes, or else the year: a picture is in one of the two arrays
        expected = [(d, (h, e, "") if h and e else ("", "", y)) for d, (h, e, y) in expected]
    assert second.written == len(ROWS)
    if name in LOSSY:
        shown = [[np.frombuffer(data, np.uint8).astype(int) for data, _ in part] for part in (expected, found)]
        if name == "acgan":
            assert np.abs(np.array(shown[0]) - shown[1]).mean() < 3
        assert sorted(labels for _, labels in found) == sorted(labels for _, labels in expected)
    elif name in ORDERED:
        assert found == expected
    else:
        assert sorted(found) == sorted(expected)


def test_every_format_is_covered() -> None:
    assert set(FORMATS) == {*KEPT, "classes"}
    assert {name for name, form in FORMATS.items() if not form.writable} == set(WRITERS)


@pytest.mark.parametrize("name", WRITERS)
def test_formats_that_are_only_read_say_so(faces: Path, run: Run, name: str) -> None:
    with pytest.raises(UsageError, match=f"reads the format {name} but does not write it; --to takes webdataset"):
        run(faces, name)


def test_classes(faces: Path, run: Run) -> None:
    there, _ = run(faces, "classes", attributes=["hair"])
    assert sorted(p.name for p in there.iterdir()) == ["aqua", "black", "blonde", "orange", "pink", "unknown"]
    back, result = run(there, "kaogan")
    assert result.source_format == "classes"
    expected = [(data, (labels,)) for data, (labels,) in rows(("hair",), contents(faces))]
    assert sorted(rows(("class",), contents(back))) == sorted(expected)
    again, _ = run(there, "classes")  # a folder of classes is written without doubling its folders
    assert sorted(map(str, (p.relative_to(again) for p in again.rglob("*.*")))) == sorted(
        map(str, (p.relative_to(there) for p in there.rglob("*.*")))
    )


def labelled(folder: Path, header: str, *cells: str) -> Path:
    """A set in kaogan's form with one picture for each row of cells."""
    (folder / "images").mkdir(parents=True)
    for seed in range(len(cells)):
        (folder / f"images/{seed}.png").write_bytes(encoded(pixels(seed)))
    rows = [f"{seed}.png,{row}" for seed, row in enumerate(cells)]
    (folder / "metadata.csv").write_text("\n".join([f"file_name,{header}", *rows]))
    return folder


def test_an_attribute_of_many_values_is_kept(tmp_path: Path, run: Run) -> None:
    """Twelve colours of hair are no names of pictures; those are, and a line says so."""
    folder = labelled(tmp_path / "set", "hair,nick", *(f"{hair},nick {n}" for n, hair in enumerate(HAIR * 2)))
    there, result = run(folder, "classes")
    assert sorted(path.name for path in there.iterdir()) == sorted(HAIR)
    assert result.notes == ["column nick ignored: not a label (another value for every picture)"]
    shards, result = run(folder, "webdataset")  # .cls is that of the hair; the .json has the names
    with tarfile.open(shards / "shard-000000.tar") as archive:
        assert archive.getnames()[:3] == ["00000000.png", "00000000.json", "00000000.cls"] and not result.notes
    again, _ = run(shards, "classes")
    assert sorted(path.name for path in again.iterdir()) == sorted(HAIR)
    flat, result = run(folder, "flat")
    assert "labels left out, this format has none: hair" in result.notes and len(list(flat.iterdir())) == 24


def test_classes_whose_folders_would_meet(tmp_path: Path, run: Run) -> None:
    values = ["blue", "blue/green", "red?", "red*", "", "v1.5", "v1.6", "x" * 90 + "a", "x" * 90 + "b"]
    there, result = run(labelled(tmp_path / "set", "hair", *values * 2), "classes")
    folders = {path.name: len(list(path.iterdir())) for path in there.iterdir()}
    assert folders == dict.fromkeys(
        ["blue", "blue_green", "red_", "red_-2", "unknown", "v1.5", "v1.6", "x" * 80, "x" * 80 + "-2"], 2
    )
    assert "hair 'blue/green': in the folder blue_green" in result.notes and len(result.notes) == 6
    assert len({labels["class"] for _, labels in contents(there) if labels}) == len(values) - 1


@pytest.mark.parametrize("name", ["kaogan", "huggingface", "webdataset"])
def test_a_column_named_as_that_of_the_names(tmp_path: Path, run: Run, name: str) -> None:
    column = "file_name" if name == "huggingface" else "File"
    folder = labelled(tmp_path / "set", "hair", "red", "blue")
    (folder / "metadata.csv").unlink()
    for number, hair in enumerate(("red", "blue")):
        text = json.dumps({column: f"old{number}", "hair": hair, "Hair": "x"})
        (folder / f"images/{number}.json").write_text(text)
    source = tar(tmp_path / "s.tar", {path.name: path.read_bytes() for path in sorted((folder / "images").iterdir())})
    there, result = run(source, name)
    what = "file_name" if name == "huggingface" else "file"
    assert result.notes == [
        f"column '{column}' left out: '{what}' names the pictures here; rename it",
        "column 'Hair' left out: 'hair' is there already; rename it",
    ]
    back, _ = run(there, "kaogan")
    assert (back / "labels.csv").read_text() == "file,hair\n0.png,red\n1.png,blue\n"
    with pytest.raises(UsageError, match=f"--attributes: column '{column}' left out"):
        run(source, name, attributes=["hair", column])


@pytest.mark.parametrize("name", ["kaogan", "huggingface", "webdataset"])
def test_files_stay_as_they_are_to_the_byte(faces: Path, run: Run, name: str) -> None:
    there, _ = run(faces, name)
    back, _ = run(there, "kaogan")
    before, after = ({p.read_bytes() for p in (folder / "images").rglob("*.*")} for folder in (faces, back))
    assert before == after and len(before) == len(ROWS)


def test_every_column_is_carried_over(faces: Path, run: Run) -> None:
    """Measures too, which are no labels."""
    for name in ("kaogan", "huggingface", "webdataset"):
        there, _ = run(faces, name)
        back, _ = run(there, "kaogan")
        header, *lines = (back / "labels.csv").read_text(encoding="utf-8").splitlines()
        assert header.split(",")[0] == "file" and set(header.split(",")[1:]) == {"hair", "eyes", "year", "score"}
        assert any("0.35" in line for line in lines)


def test_names_survive(faces: Path, run: Run) -> None:
    for name in ("kaogan", "huggingface", "webdataset"):
        there, _ = run(faces, name)
        back, _ = run(there, "kaogan")
        found = {str(p.relative_to(back / "images")) for p in (back / "images").rglob("*.*")}
        assert found == {row[0] for row in ROWS}, name


def test_size_and_encoding(faces: Path, run: Run) -> None:
    there, _ = run(faces, "flat", size=8, encode="jpg")
    files = sorted(there.iterdir())
    assert len(files) == len(ROWS) and {p.suffix for p in files} == {".jpg"}
    assert {pixels_of(p).shape for p in files} == {(8, 8, 3)}


def test_chosen_attributes(faces: Path, run: Run) -> None:
    there, _ = run(faces, "kaogan", attributes=["eyes"])
    assert (there / "labels.csv").read_text(encoding="utf-8").splitlines()[0] == "file,eyes"


@pytest.mark.parametrize("name", ["kaogan", "stylegan", "webdataset", "huggingface"])
def test_the_same_set_gives_the_same_files(faces: Path, run: Run, name: str) -> None:
    first, second = (run(faces, name)[0] for _ in range(2))
    if first.is_file():
        assert first.read_bytes() == second.read_bytes()
    else:
        files = sorted(p.relative_to(first) for p in first.rglob("*.*"))
        assert files == sorted(p.relative_to(second) for p in second.rglob("*.*")) and files
        assert all((first / f).read_bytes() == (second / f).read_bytes() for f in files if (first / f).is_file())
