"""labels.csv, one sub-folder per class, merging."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kaogan.core.errors import KaoganError, UsageError
from kaogan.core.schema import EYES, HAIR
from kaogan.data import PictureSet
from kaogan.data.folder_classes import class_table
from kaogan.data.labels import LabelTable as Table
from kaogan.data.labels import choose_attributes as choose
from tests.data.conftest import encoded, load, notes, picture

PNG = encoded(picture())
Make = Callable[[Mapping[str, bytes]], Path]
NAMES = [f"{n}.png" for n in range(4)]


def with_csv(text: str | bytes, folder: str = "set/", images: str = "images/") -> dict[str, bytes]:
    data = text if isinstance(text, bytes) else text.encode()
    return {folder + images + name: PNG for name in NAMES} | {folder + "labels.csv": data}


def values(loaded: PictureSet, name: str) -> list[str | None]:
    """The labels in words, in the order of the pictures."""
    known = loaded.schema[name].values
    column = loaded.schema.names.index(name)
    return [known[n] if n >= 0 else None for n in loaded.labels[:, column]]


CSV = "file,hair,eyes\n0.png,red,blue\n1.png,pink,aqua\n2.png,red,\n3.png,blonde,red\n"


@pytest.mark.parametrize("folder", ["", "set/"])
@pytest.mark.parametrize("images", ["", "images/"])
def test_layouts(make_set: Make, folder: str, images: str) -> None:
    loaded = load(make_set(with_csv(CSV, folder, images)), attributes=["auto"])
    assert loaded.schema.names == ("hair", "eyes")
    assert values(loaded, "hair") == ["red", "pink", "red", "blonde"]
    assert values(loaded, "eyes") == ["blue", "aqua", None, "red"]
    assert loaded.labels.dtype == np.int64 and not notes(loaded)


def test_known_attributes_keep_their_order(make_set: Make) -> None:
    loaded = load(make_set(with_csv(CSV)), attributes=["auto"])
    assert loaded.schema["hair"].values == HAIR and loaded.schema["eyes"].values == EYES
    priors = dict(zip(HAIR, loaded.schema["hair"].priors, strict=True))
    assert priors["red"] == 0.5 and priors["white"] == 0 and sum(priors.values()) == 1


def test_another_value_makes_it_an_ordinary_attribute(make_set: Make) -> None:
    loaded = load(make_set(with_csv(CSV.replace("aqua", "heterochromia"))), attributes=["eyes"])
    assert loaded.schema["eyes"].values == ("blue", "heterochromia", "red")


def test_no_attributes_and_no_look_at_a_broken_csv(make_set: Make) -> None:
    loaded = load(make_set(with_csv("broken")))
    assert loaded.labels.shape == (4, 0) and not loaded.schema


def test_chosen_attributes_in_the_order_asked_for(make_set: Make) -> None:
    source = make_set(with_csv(CSV))
    assert load(source, attributes=["eyes", "hair", "eyes"]).schema.names == ("eyes", "hair")
    assert load(source, attributes="hair").schema.names == ("hair",)


def test_numbers_are_sorted_as_numbers(make_set: Make) -> None:
    text = "file,year\n0.png,10\n1.png,9\n2.png,100\n3.png,9\n"
    assert load(make_set(with_csv(text)), attributes=["auto"]).schema["year"].values == ("9", "10", "100")


def test_auto_leaves_out_what_is_no_label(make_set: Make) -> None:
    header = "file,hair,hair_conf,x,note,same,empty,year\n"
    rows = [f"{n}.png,red,0.{n}5,{n % 2},text {n % 3},one,,200{n % 2}\n" for n in range(4)]
    loaded = load(make_set(with_csv(header + "".join(rows).replace("0.png,red", "0.png,blue"))), attributes=["auto"])
    assert loaded.schema.names == ("hair", "note", "year")
    assert tuple(notes(loaded)) == (
        "column x ignored: not a label (a measure)",
        "column same ignored: not a label (one value only)",
        "column empty ignored: not a label (empty)",
    )


def test_auto_leaves_out_too_many_values() -> None:
    table = Table({"who": [str(n) for n in range(65)], "few": [str(n % 64) for n in range(65)]}, "labels.csv", [])
    _, schema, notes = choose(table, ["auto"], None)
    assert schema.names == ("few",) and notes == ["column who ignored: not a label (65 different values)"]
    assert choose(table, ["who"], None)[1].sizes == (65,)  # but one may ask for it


def test_rows_and_pictures_that_do_not_meet(make_set: Make) -> None:
    text = "file,hair\n0.png,red\nlost.png,red\n0.png,blue\n2.png,red\n"
    loaded = load(make_set(with_csv(text)), attributes=["auto"])
    assert values(loaded, "hair") == ["blue", None, "red", None]
    one, two, three = notes(loaded)
    assert one.startswith("1 row of ") and one.endswith("name no picture here, as 'lost.png'")
    assert two.startswith("1 row of ") and two.endswith("repeat a file: the last one counts")
    assert three.startswith("2 pictures without a row in ") and three.endswith("labels unknown")


def test_a_row_about_a_broken_picture_is_no_mistake(make_set: Make) -> None:
    files = with_csv(CSV) | {"set/images/3.png": b"broken"}
    loaded = load(make_set(files), attributes=["auto"])
    assert not notes(loaded) and len(loaded) == 3 and values(loaded, "hair") == ["red", "pink", "red"]


def test_only_rows_about_other_files(make_set: Make) -> None:
    with pytest.raises(
        KaoganError, match=r"labels.csv: no row names a picture of this set \(the first row says 'a.jpg'"
    ):
        load(make_set(with_csv("file,hair\na.jpg,red\nb.jpg,blue\n")), attributes=["auto"])


@pytest.mark.parametrize("row", ["images/0.png", "./0.png", ".\\images\\0.png", " 0.png ", '"0.png"'])
def test_spellings_of_a_file(make_set: Make, row: str) -> None:
    text = f"file,hair\n{row},red\n1.png,blue\n"
    assert values(load(make_set(with_csv(text)), attributes=["auto"]), "hair")[:2] == ["red", "blue"]


def test_composed_and_decomposed_accents(make_set: Make) -> None:
    """A Mac writes e + accent where others write é."""
    files = {"images/cafe\u0301.png": PNG, "images/b.png": PNG, "labels.csv": "file,h\ncafé.png,x\nb.png,y\n".encode()}
    loaded = load(make_set(files), attributes=["auto"])
    assert values(loaded, "h") == ["y", "x"] and not notes(loaded)


def test_names_that_differ_by_case(make_set: Make) -> None:
    files = {"a.png": PNG, "A.png": PNG, "labels.csv": b"file,h\nA.png,upper\na.png,lower\n"}
    loaded = load(make_set(files), attributes=["auto"])
    assert dict(zip(loaded.names, values(loaded, "h"), strict=True)) == {"A.png": "upper", "a.png": "lower"}


def test_encodings_quotes_blank_lines_and_short_rows(make_set: Make) -> None:
    text = '\ufefffile,hair,note\r\n\r\n0.png,red,"a, ""b""\nc"\r\n1.png,blue\r\n,,\r\n2.png,Unknown,顔\r\n'
    loaded = load(make_set(with_csv(text.encode())), attributes=["hair", "note"])
    assert values(loaded, "hair") == ["red", "blue", None, None]
    assert values(loaded, "note") == ['a, "b"\nc', None, "顔", None]


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "has no rows"),
        (b"file,hair\n", "has no rows"),
        (b"name,hair\n0.png,red\n", r"line 1: no column named 'file' \(found: name, hair\)"),
        (b"name;hair\n0.png;red\n", r"line 1: no column named 'file'.*separated by commas, semicolons or tabs"),
        (b"file,hair,hair\n0.png,red,red\n", "line 1: two columns are named 'hair'"),
        (b"file,hair\n0.png,red\n1.png,red,blue\n", "line 3: 3 cells under 2 columns"),
        (b'file,hair\n0.png,"red\n', "line 2: not a table"),
        (b'file,hair\n0.png,"red"x\n', "line 2: not a table"),
        (b"file,hair\na.png,red\nb.png,\xff\n", "line 3: not UTF-8"),
        ("file,hair\n".encode("utf-16"), "has no rows"),
        ("file,hair\n".encode("utf-16") + b"\n", "not whole UTF-16 text"),
        (b"file,hair\n0.png," + b"x" * 200_000, "line 2: not a table"),
    ],
)
def test_broken_csv(make_set: Make, data: bytes, message: str) -> None:
    with pytest.raises(KaoganError, match=message) as caught:
        load(make_set(with_csv(data)), attributes=["auto"])
    assert caught.value.exit_code == 1 and "\n" not in str(caught.value)
    assert "labels.csv" in str(caught.value)


@pytest.mark.parametrize(
    ("wanted", "message"),
    [
        ("hiar", r"unknown attribute 'hiar'.*did you mean 'hair'.*columns: hair, eyes, conf"),
        ("zzz", r"unknown attribute 'zzz'.*choose from hair, eyes, conf"),
        ("file", "unknown attribute 'file'"),
        ("conf", r"column 'conf' .* is not a label \(decimal numbers\)"),
    ],
)
def test_unknown_columns(make_set: Make, wanted: str, message: str) -> None:
    text = "file,hair,eyes,conf\n0.png,red,blue,0.5\n"
    with pytest.raises(UsageError, match=message) as caught:
        load(make_set(with_csv(text)), attributes=[wanted])
    assert caught.value.exit_code == 2 and "\n" not in str(caught.value)


def test_the_upper_csv_counts_and_two_are_a_question(make_set: Make) -> None:
    files = with_csv(CSV) | {"set/images/deeper/labels.csv": b"nonsense"}
    assert load(make_set(files), attributes=["auto"]).schema.names == ("hair", "eyes")


def test_two_sets_in_one(make_set: Make) -> None:
    with pytest.raises(KaoganError, match="holds several sets"):
        load(make_set(with_csv(CSV, "a/") | with_csv(CSV, "b/")), attributes=["auto"])


@pytest.mark.parametrize("prefix", ["", "outer/inner/"])
def test_a_folder_for_each_class(make_set: Make, prefix: str) -> None:
    files = {f"{prefix}{name}": PNG for name in ("cat/1.png", "cat/deep/2.png", "dog/1.png", "loose.png")}
    loaded = load(make_set(files), attributes=["auto"])
    assert loaded.schema["class"].values == ("cat", "dog")
    expected = {"cat/1.png": "cat", "cat/deep/2.png": "cat", "dog/1.png": "dog", "loose.png": None}
    assert dict(zip(loaded.names, values(loaded, "class"), strict=True)) == {prefix + k: v for k, v in expected.items()}
    assert load(make_set(files), attributes=["class"]).schema.names == ("class",)


@pytest.mark.parametrize("names", [["a.png", "b.png"], ["x/a.png", "x/b.png"], ["x/a.png", "b.png"]])
def test_no_classes(make_set: Make, names: list[str]) -> None:
    source = make_set(dict.fromkeys(names, PNG))
    loaded = load(source, attributes=["auto"])
    assert (
        not loaded.schema and loaded.labels.shape == (2, 0) and any("no labels found" in note for note in loaded.notes)
    )
    with pytest.raises(UsageError, match=r"unknown attribute 'hair'.*neither labels nor"):
        load(source, attributes=["hair"])


@given(st.lists(st.lists(st.sampled_from("ab"), max_size=3), max_size=6))
def test_classes_never_fail(paths: list[list[str]]) -> None:
    names = ["/".join([*path, f"{n}.png"]) for n, path in enumerate(paths)]
    for cells in class_table(names, "here").columns.values():
        assert len(cells) == len(names) and len(set(cells) - {""}) > 1


YEARS = Table({"year": ["2000", "2001", "2011", "2012", "", "2005"]}, "labels.csv", [])


def test_merge() -> None:
    labels, schema, _ = choose(YEARS, ["auto"], {"year": {"late": ["2011", "2012"], "early": ["2000", "2001"]}})
    assert schema["year"].values == ("late", "early")
    assert labels[:, 0].tolist() == [1, 1, 0, 0, -1, -1]
    assert schema["year"].priors == (0.5, 0.5)


def test_merge_takes_numbers_and_single_values() -> None:
    labels, schema, _ = choose(YEARS, ["year"], {"year": {"a": [2000, 2001], "b": "2005"}})  # type: ignore[list-item]
    assert schema["year"].values == ("a", "b") and labels[:, 0].tolist() == [0, 0, -1, -1, -1, 1]


@pytest.mark.parametrize(
    ("merge", "message"),
    [
        ({"yaer": {"a": ["2000"]}}, "cannot merge values of 'yaer'.*did you mean 'year'"),
        ({"year": {"a": ["20000"]}}, "unknown year '20000'.*did you mean '2000'"),
        ({"year": {"a": ["2000"], "b": ["2000"]}}, "year '2000' is merged twice"),
    ],
)
def test_bad_merges(merge: dict[str, dict[str, list[str]]], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        choose(YEARS, ["auto"], merge)


def test_merge_without_attributes(make_set: Make) -> None:
    with pytest.raises(UsageError, match="no attributes are asked for"):
        load(make_set(with_csv(CSV)), merge={"hair": {"warm": ["red"]}})


def test_changed_labels_need_no_new_pictures(tmp_path: Path) -> None:
    from tests.data.conftest import write_folder

    folder = write_folder(tmp_path, with_csv(CSV, ""))
    first = load(folder, attributes=["auto"])
    (folder / "labels.csv").write_text(CSV.replace("pink", "green"))
    second = load(folder, attributes=["auto"])
    assert first.fingerprint == second.fingerprint
    assert values(second, "hair")[1] == "green"
