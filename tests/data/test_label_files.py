"""Label files of other people: encodings, separators, headers, missing values, and files of other tools."""

from __future__ import annotations

import io
import json
import tarfile
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from kaogan.core.errors import KaoganError
from kaogan.data import PictureSet
from kaogan.data.formats import Options, convert, layout_of
from kaogan.data.labels import cleaned
from kaogan.data.sources import open_source
from kaogan.prepare.labels import read_labels
from tests.data.conftest import encoded, load, notes, picture, write_zip

PNG = encoded(picture())
Make = Callable[[Mapping[str, bytes]], Path]
NAMES = [f"{n}.png" for n in range(4)]
HAIR = ["pink", "blue", "", "pink"]
CSV = "file,hair\n" + "".join(f"{name},{hair}\n" for name, hair in zip(NAMES, HAIR, strict=True))


def words(loaded: PictureSet, name: str = "hair") -> list[str]:
    column = loaded.labels[:, loaded.schema.names.index(name)]
    return [loaded.schema[name].values[number] if number >= 0 else "" for number in column]


def with_csv(data: bytes | str, base: str = "labels.csv") -> dict[str, bytes]:
    return {**dict.fromkeys(NAMES, PNG), base: data.encode() if isinstance(data, str) else data}


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be"])
@pytest.mark.parametrize("separator", [",", ";", "\t", "|"])
@pytest.mark.parametrize("header", ["file", "filename", "file_name", "File Name", "image", "path"])
def test_spellings_of_one_table(tmp_path: Path, encoding: str, separator: str, header: str) -> None:
    text = CSV.replace("file", header, 1).replace(",", separator)
    loaded = load(write_zip(tmp_path / "a.zip", with_csv(text.encode(encoding))), attributes=["auto"])
    assert words(loaded) == HAIR and loaded.schema.names == ("hair",)


@pytest.mark.parametrize(("encoding", "name"), [("cp932", "顔ソ表"), ("gbk", "蓝发图片")])
def test_tables_of_other_countries(make_set: Make, encoding: str, name: str) -> None:
    files = {f"{name}{n}.png": PNG for n in range(4)}
    text = "file,hair\n" + "".join(f"{file},{'赤' if n else '青'}\n" for n, file in enumerate(sorted(files)))
    if encoding == "gbk":
        text = text.replace("青", "蓝").replace("赤", "红")
    loaded = load(make_set(files | {"labels.csv": text.encode(encoding)}), attributes=["auto"])
    assert len(set(words(loaded))) == 2 and any("read as" in note for note in loaded.notes)


@pytest.mark.parametrize(
    ("encoding", "values"),
    [
        ("cp1252", ["r\xf8d", "sort"]),
        ("cp1252", ["fran\xe7ais", "ch\xe2tain"]),
        ("cp1252", ["marr\xf3n", "casta\xf1o"]),
        ("gbk", ["黑色", "蓝色"]),
        ("gbk", ["T恤", "红色"]),
        ("big5", ["黑色", "粉紅"]),
        ("cp932", ["黒髪", "金髪"]),
        ("cp932", ["Tシャツ", "青い"]),
    ],
)
def test_values_of_other_countries_under_plain_names(make_set: Make, encoding: str, values: list[str]) -> None:
    text = "file,hair\n" + "".join(f"{name},{values[n % 2]}\n" for n, name in enumerate(NAMES))
    loaded = load(make_set(with_csv(text.encode(encoding))), attributes=["auto"])
    assert words(loaded) == values * 2
    assert any("where words look wrong, save it as UTF-8" in note for note in loaded.notes)


def test_a_quoted_cell_holds_the_separator(make_set: Make) -> None:
    text = 'file;tags\n0.png;"a; b"\n1.png;c\n2.png;"a; b"\n3.png;c\n'
    assert words(load(make_set(with_csv(text)), attributes=["tags"]), "tags") == ["a; b", "c", "a; b", "c"]


@pytest.mark.parametrize(
    "missing",
    [
        "NaN",
        "nan",
        "None",
        "N/A",
        "NA",
        "null",
        "#N/A",
        "<NA>",
        "unknown",
        "",
        "-",
        "?",
        "#N/A N/A",
        "-1.#IND",
        "#VALUE!",
        "#DIV/0!",
        "(null)",
        "[none]",
        "\u2014",
        "...",
        "\uff2e\uff21",
        "\u200b",
        "\xa0nan\xa0",
        "not available",
    ],
)
def test_missing_values(make_set: Make, missing: str) -> None:
    text = f"file,hair\n0.png,pink\n1.png,blue\n2.png,{missing}\n3.png,{missing}\n"
    loaded = load(make_set(with_csv(text)), attributes=["auto"])
    assert words(loaded) == ["pink", "blue", "", ""]
    assert any("2 cells" in note for note in notes(loaded)) == (missing not in ("", "unknown", "\u200b"))


@pytest.mark.parametrize("value", ["#ff00aa", "#1", "+", "\u2640", "n", "0"])
def test_values_that_only_look_missing(make_set: Make, value: str) -> None:
    assert words(load(make_set(with_csv(CSV.replace("blue", value))), attributes=["auto"])) == [
        "pink",
        value,
        "",
        "pink",
    ]


def test_what_nobody_sees_and_what_a_terminal_obeys(make_set: Make) -> None:
    text = "\ufefffile,ha\x1b[31mir\n0.png,pi\u00adnk\u200b\n1.png,b\x1b[2J\n2.png,pink\n3.png,\ufeffpink\n"
    loaded = load(make_set(with_csv(text)), attributes=["auto"])
    assert loaded.schema.names == ("ha\ufffd[31mir",)
    assert words(loaded, "ha\ufffd[31mir") == ["pink", "b\ufffd[2J", "pink", "pink"]


def test_a_number_in_two_spellings(make_set: Make) -> None:
    loaded = load(make_set(with_csv("file,year\n0.png,01\n1.png,1\n2.png,2.0\n3.png,01\n")), attributes=["auto"])
    assert words(loaded, "year") == ["01", "01", "2", "01"] and "year '1' read as '01'" in str(loaded.notes)


def test_a_first_line_for_excel(make_set: Make) -> None:
    text = "sep=;\r\n" + CSV.replace(",", ";")
    assert words(load(make_set(with_csv(text)), attributes=["auto"])) == HAIR


@pytest.mark.parametrize("header", ["file,hair,Hair", "file,hair, hair", "file,\uff48air,hair", "file,file,hair"])
def test_a_column_that_is_there_twice(make_set: Make, header: str) -> None:
    text = f"{header}\n" + "".join(f"{name},a,b\n" for name in NAMES)
    with pytest.raises(KaoganError, match="two columns are named"):
        load(make_set(with_csv(text)), attributes=["auto"])


@pytest.mark.parametrize(
    ("base", "text"),
    [("metadata.jsonl", '{"file_name": "0.png", "hair": "pink", "hair": "blue"}\n'),
     ("dataset.json", '{"labels": {"0.png": 1, "0.png": 2}}')],
)  # fmt: skip
def test_a_value_that_is_there_twice(make_set: Make, base: str, text: str) -> None:
    with pytest.raises(KaoganError, match=r"two values of '(hair|0.png)'; keep one"):
        load(make_set(with_csv(text, base)), attributes=["auto"])


def test_labels_of_stylegan_and_pictures_that_do_not_meet(make_set: Make) -> None:
    labels = [["0.png", 0], ["1.png", 1], ["0.png", 1], ["7.png", 1]]
    loaded = load(make_set(with_csv(json.dumps({"labels": labels}), "dataset.json")), attributes=["auto"])
    said = " ".join(loaded.notes)
    assert "1 label of" in said and "repeat a picture" in said and "name no picture" in said
    assert "2 pictures without a label" in said
    with open_source(make_set(with_csv(json.dumps({"labels": labels}), "dataset.json"))) as source:
        assert layout_of(source)[0].table.columns == {"class": ["1", "1", "", ""]}


def test_integers_with_a_gap(make_set: Make) -> None:
    text = "file,year\n0.png,2000.0\n1.png,2001.0\n2.png,\n3.png,2000\n"
    assert words(load(make_set(with_csv(text)), attributes=["auto"]), "year") == ["2000", "2001", "", "2000"]
    decimals = "file,year,score\n0.png,1,0.5\n1.png,2,1.0\n2.png,1,2.0\n3.png,2,1.5\n"
    loaded = load(make_set(with_csv(decimals)), attributes=["auto"])
    assert loaded.schema.names == ("year",) and any("decimal numbers" in note for note in loaded.notes)


def test_one_value_in_several_spellings(make_set: Make) -> None:
    text = "file,hair,style\n0.png,Pink,Bob  Cut\n1.png,pink,bob cut\n2.png,PINK,bob cut\n3.png,blue,long\n"
    loaded = load(make_set(with_csv(text)), attributes=["auto"])
    assert words(loaded) == ["pink", "pink", "pink", "blue"]
    assert words(loaded, "style") == ["bob cut", "bob cut", "bob cut", "long"]
    assert any("'PINK', 'Pink' read as 'pink'" in note for note in loaded.notes)


@pytest.mark.parametrize("header", ["Unnamed: 0", ""])
def test_row_numbers_of_pandas(make_set: Make, header: str) -> None:
    text = f"{header},file,hair\n0,0.png,pink\n1,1.png,blue\n2,2.png,\n3,3.png,pink\n"
    loaded = load(make_set(with_csv(text)), attributes=["auto"])
    assert loaded.schema.names == ("hair",) and any("row numbers" in note for note in loaded.notes)


LAYOUTS: dict[str, dict[str, bytes]] = {
    "labels.csv": with_csv(CSV),
    "metadata.csv": with_csv(CSV.replace("file", "file_name", 1), "metadata.csv"),
    "metadata.jsonl": with_csv(
        "\n".join(
            json.dumps({"file_name": name, "hair": hair or None, "boxes": [1, 2]})
            for name, hair in zip(NAMES, HAIR, strict=True)
        ),
        "metadata.jsonl",
    ),
    "metadata in each part": {
        **{f"train/{name}": PNG for name in NAMES[:2]},
        "train/metadata.csv": b"file_name,hair\n0.png,pink\n1.png,blue\n",
        **{f"test/{name}": PNG for name in NAMES[2:]},
        "test/metadata.csv": b"file_name,hair\n2.png,\n3.png,pink\n",
    },
    "dataset.json": {
        **{f"00000/{name}": PNG for name in NAMES},
        "dataset.json": json.dumps(
            {
                "labels": [[f"00000/{name}", [float(hair == "pink"), float(hair == "blue")]]
                           for name, hair in zip(NAMES, HAIR, strict=True)],
                "attributes": [{"name": "hair", "values": ["pink", "blue"]}],
            }
        ).encode(),
    },
}  # fmt: skip


@pytest.mark.parametrize("layout", LAYOUTS)
def test_every_verb_reads_every_layout(make_set: Make, tmp_path: Path, layout: str) -> None:
    source = make_set(LAYOUTS[layout])
    loaded = load(source, attributes=["auto"])  # train, evaluate
    found = dict(zip((name.rpartition("/")[2] for name in loaded.names), words(loaded), strict=True))
    assert found == dict(zip(NAMES, HAIR, strict=True)) and loaded.schema.names == ("hair",)
    assert any(note.startswith("labels from ") and "hair" in note for note in loaded.notes)
    with open_source(source) as opened:  # prepare
        table = read_labels([opened], classes=False).columns["hair"]
        assert {
            entry.name.rpartition("/")[2]: cell for entry, cell in zip(opened.listing.entries, table, strict=True)
        } == found
    convert(source, tmp_path / "out", "kaogan", options=Options(attributes=["hair"]))
    again = load(tmp_path / "out", attributes=["hair"])
    assert dict(zip((n.rpartition("/")[2] for n in again.names), words(again), strict=True)) == found


def test_buckets_without_labels_are_no_classes(make_set: Make) -> None:
    files = {f"0000{n // 2}/img0000000{n}.png": PNG for n in range(4)} | {"dataset.json": b'{"labels": null}'}
    loaded = load(make_set(files), attributes=["auto"])
    assert not loaded.schema


def test_blurred_pictures_are_never_real(make_set: Make, tmp_path: Path) -> None:
    files = {f"data_original/class/{name}": PNG for name in NAMES}
    files |= {f"data_blur/class/blurred_{n}.jpg": encoded(picture(), "JPEG") for n in range(2)}
    files |= {"data_his/class/old.png": PNG}
    for attributes in (None, ["auto"]):
        loaded = load(make_set(files), attributes=attributes)
        assert {name.rpartition("/")[2] for name in loaded.names} == set(NAMES) and not loaded.schema


def test_a_prepared_sets_own_files_are_no_labels(make_set: Make) -> None:
    """dataset.json of kaogan prepare tells of the set, not of its pictures."""
    files = with_csv(CSV) | {"dataset.json": b'{"made_by": "kaogan"}'}
    assert words(load(make_set(files), attributes=["auto"])) == HAIR


def test_confidences_beside_tags_need_no_word(make_set: Make) -> None:
    text = "file,hair,hair_conf\n0.png,pink,0.5\n1.png,blue,0.25\n2.png,pink,\n3.png,blue,1\n"
    assert notes(load(make_set(with_csv(text)), attributes=["auto"])) == []


@pytest.mark.parametrize("line", [b"[1]", b"{", b'{"hair": "pink"}', b"[" * 50_000])
def test_broken_json_lines(make_set: Make, line: bytes) -> None:
    with pytest.raises(KaoganError, match=r"metadata.jsonl, line 2: not a JSON object") as caught:
        load(make_set(with_csv(b'{"file_name": "0.png"}\n' + line, "metadata.jsonl")), attributes=["auto"])
    assert "\n" not in str(caught.value)


def test_cleaning_leaves_long_texts_alone(make_set: Make) -> None:
    with open_source(make_set(with_csv(CSV))) as source:
        table = layout_of(source)[0].table
    table.columns["caption"] = [f"A girl, NUMBER {n}" for n in range(4)]
    assert cleaned(table).columns["caption"] == table.columns["caption"]


def test_samples_with_more_than_one_picture(tmp_path: Path) -> None:
    """A mask of a sample is no picture of the set, and truth is a label."""
    files = {f"{n}{end}": PNG for n in range(4) for end in (".a.png", ".png", ".mask.png")}
    files |= {f"{n}.json": json.dumps({"smile": n % 2 == 0}).encode() for n in range(4)}
    with tarfile.open(tmp_path / "a.tar", "w") as archive:
        for name, data in sorted(files.items()):
            member = tarfile.TarInfo(name)
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))
    loaded = load(tmp_path / "a.tar", attributes=["auto"])
    assert list(loaded.names) == NAMES and words(loaded, "smile") == ["true", "false"] * 2
    assert "8 pictures of" in str(loaded.notes)


def test_a_name_that_an_archive_has_twice(tmp_path: Path) -> None:
    path = write_zip(tmp_path / "a.zip", with_csv(CSV))
    with zipfile.ZipFile(path, "a") as archive, pytest.warns(UserWarning, match="Duplicate"):
        archive.writestr("0.png", PNG)
    assert "more than once" in str(load(path, attributes=["auto"]).notes)
