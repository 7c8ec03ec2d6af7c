"""What can be written: parts, blurred companions, what other programs read."""

from __future__ import annotations

import io
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from kaogan.core.errors import UsageError
from kaogan.data import load_pictures
from kaogan.data.cache import fingerprint_of
from tests.prepare.compose import encoded
from tests.prepare.conftest import contents, read_table, run, whole

Write = Callable[[Path, bytes], None]


def test_parts(heap: Path, tmp_path: Path) -> None:
    out = tmp_path / "set"
    run(heap, out, split={"train": 0.6, "test": 0.4})
    train, test = (read_table(out / part / "labels.csv") for part in ("train", "test"))
    assert len(train) + len(test) == 24 and train and test and not (out / "labels.csv").exists()
    for part, rows in (("train", train), ("test", test)):
        assert {row["file"] for row in rows} == {path.name for path in (out / part / "images").iterdir()}
    assert load_pictures(out / "train", image_size=32, attributes=["auto"]).schema.names == ("hair", "eyes")
    assert "train" in (out / "report.html").read_text() and "test" in (out / "dataset.json").read_text()
    run(heap, out)
    assert whole(out) and not (out / "train").exists()


def test_look_alikes_go_to_the_same_part(tmp_path: Path, faces: list[tuple[str, bytes]], write: Write) -> None:
    for index, (_, data) in enumerate(faces[:30]):
        write(tmp_path / "in" / f"{index}-a.png", data)
        picture = Image.open(io.BytesIO(data)).convert("RGB")
        write(tmp_path / "in" / f"{index}-b.jpg", encoded(picture, "JPEG", quality=70))
    run(tmp_path / "in", tmp_path / "set", twins={"enabled": False}, split={"a": 0.5, "b": 0.5})
    parts: dict[str, set[str]] = {}
    for row in read_table(tmp_path / "set" / "origins.csv"):
        parts.setdefault(row["name"].split("-")[0], set()).add(row["file"].split("/")[0])
    assert len(parts) == 30 and all(len(each) == 1 for each in parts.values())
    assert len(set.union(*parts.values())) == 2


def test_exact_copies_stay_when_copies_are_wanted(tmp_path: Path, faces: list[tuple[str, bytes]], write: Write) -> None:
    for name in ("a.png", "b.png", "c.png"):
        write(tmp_path / "in" / name, faces[1][1])
    assert run(tmp_path / "in", tmp_path / "set", twins={"enabled": False}).kept == 3 and whole(tmp_path / "set")
    assert run(tmp_path / "in", tmp_path / "set").kept == 1 and whole(tmp_path / "set")
    assert run(tmp_path / "in", tmp_path / "set", twins={"enabled": False}).kept == 3 and whole(tmp_path / "set")


def test_blurred_companions(heap: Path, tmp_path: Path) -> None:
    from kaogan.data import blur_edges

    out = tmp_path / "set"
    run(heap, out, blur={"enabled": True, "t1": 100, "t2": 200})
    for path in (out / "images").iterdir():
        soft = np.asarray(Image.open(tmp_path / "set-blurred" / "images" / f"{path.stem}.png"))
        plain = np.asarray(Image.open(path).convert("RGB"))
        np.testing.assert_array_equal(soft, blur_edges(plain[None], low=100, high=200)[0])
        assert (soft != plain).any()
    run(heap, out, picture={"size": 24}, blur={"enabled": True, "t1": 100, "t2": 200})
    assert {Image.open(path).size for path in (tmp_path / "set-blurred" / "images").iterdir()} == {(24, 24)}
    run(heap, out, blur={"enabled": True, "ratio": 0.5})
    assert 4 < len(list((tmp_path / "set-blurred" / "images").iterdir())) < 20
    run(heap, out)
    assert not (tmp_path / "set-blurred").exists()


def test_shards_hold_what_the_folder_holds_and_take_turns_with_it(heap: Path, tmp_path: Path) -> None:
    out = tmp_path / "set"
    run(heap, out)
    plain, tables = load_pictures(out, image_size=32, attributes=["auto"]), contents(out)
    result = run(heap, out, shards=10)
    assert result.kept == 24 and result.worked_on == 0 and not (out / "images").exists()
    assert {path.name for path in out.glob("shard*")} == {"shards.json", *(f"shard-{n:06d}.tar" for n in range(3))}
    assert not (out / "labels.csv").exists() and read_table(out / "origins.csv")[0]["file"].startswith("images/")
    sharded = load_pictures(out, image_size=32, attributes=["auto"], workers=0)
    at = [plain.names.index(f"images/{name}") for name in sharded.names]
    assert sorted(at) == list(range(24)) and sharded.schema == plain.schema
    assert np.array_equal(np.asarray(sharded.images), plain.images[at])
    assert np.array_equal(sharded.labels, plain.labels[at])
    first = contents(out)
    assert run(heap, out, shards=10).worked_on == 0 and contents(out) == first
    shutil.rmtree(out / ".prepare")
    (out / "shards.json").unlink()
    with pytest.raises(UsageError, match="already holds other files"):
        run(heap, out, shards=10)
    run(heap, tmp_path / "again", shards=10)
    assert load_pictures(tmp_path / "again", image_size=32).fingerprint == fingerprint_of(
        "shards",
        32,
        3,
        sharded.images.index.digest,  # type: ignore[attr-defined]
    )
    run(heap, tmp_path / "again", shards=4, split={"a": 0.5, "b": 0.5})
    assert {p.parent.name for p in (tmp_path / "again").rglob("shards.json")} == {"a", "b"}
    run(heap, tmp_path / "again")
    found = contents(tmp_path / "again")
    assert found.keys() == tables.keys() and all(found[name] == tables[name] for name in found if name != "report.html")


def test_hugging_face(heap: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    datasets = pytest.importorskip("datasets")
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    shutil.rmtree(heap / "a" / "none", ignore_errors=True)
    run(heap, tmp_path / "set", labels="huggingface", split={"train": 0.6, "test": 0.4})
    loaded = datasets.load_dataset("imagefolder", data_dir=str(tmp_path / "set"), cache_dir=str(tmp_path / "cache"))
    assert set(loaded) == {"train", "test"} and sum(map(len, loaded.values())) == 24
    for part in loaded:
        rows = read_table(tmp_path / "set" / part / "labels.csv")
        assert sorted(loaded[part]["hair"]) == sorted(row["hair"] for row in rows)
        assert loaded[part][0]["image"].size == (32, 32)
    run(heap, tmp_path / "whole", labels="huggingface")
    one = datasets.load_dataset("imagefolder", data_dir=str(tmp_path / "whole"), cache_dir=str(tmp_path / "cache"))
    assert len(one["train"]) == 24 and set(one["train"].column_names) == {"image", "hair", "eyes"}


@pytest.mark.parametrize("form", ["kaogan", "huggingface", "shards"])
def test_columns_that_would_be_taken_for_the_names(
    tmp_path: Path, faces: list[tuple[str, bytes]], write: Write, form: str
) -> None:
    for at in range(4):
        write(tmp_path / "in" / f"{at}.png", faces[at][1])
    rows = "".join(f"{at}.png,src{at},File {at},{'red' if at % 2 else 'blue'}\n" for at in range(4))
    header = "filename" if form == "huggingface" else "file_name"
    other = "file_name" if form == "huggingface" else "title"
    write(tmp_path / "in" / "metadata.csv", f"{header},{other},FILE,hair\n{rows}".encode())
    sections = {"shards": 4} if form == "shards" else {"labels": form}
    outcome = run(tmp_path / "in", tmp_path / "set", **sections)
    assert any("column 'FILE' left out: 'file' names the pictures here" in note for note in outcome.notes)
    loaded = load_pictures(tmp_path / "set", image_size=32, attributes=["hair"], workers=0)
    values = loaded.schema["hair"].values
    assert sorted(values[number] for number in loaded.labels[:, 0]) == ["blue", "blue", "red", "red"]
    if form == "huggingface":
        assert list(read_table(tmp_path / "set" / "metadata.csv")[0]) == ["file_name", "hair"]
        assert any("column 'file_name' left out" in note for note in outcome.notes)


def test_a_training_takes_it_as_it_is(heap: Path, tmp_path: Path) -> None:
    from kaogan import api
    from tests.small import small

    run(heap, tmp_path / "set")
    recipe = small("acgan", **{"training.images": 16, "attributes.names": ["auto"]})
    pictures = api.load_data(recipe, tmp_path / "set")
    assert pictures.schema.names == ("hair", "eyes") and len(pictures) == 24
    outcome = api.run(recipe, pictures, tmp_path / "run")
    assert outcome.finished and api.load(outcome.path).attributes.names == ("hair", "eyes")
