"""Each format as its own program reads or writes it: the readers here follow those programs, not kaogan's."""

from __future__ import annotations

import io
import json
import pickle
import tarfile
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from kaogan.core.errors import KaoganError, UsageError
from kaogan.core.schema import EYES, HAIR
from kaogan.data import load_pictures
from kaogan.data.decoding import read_picture
from kaogan.data.formats import FORMATS, convert, detect
from tests.data.formats.conftest import ROWS, Run, contents, encoded, pixels, pixels_of, tar
from tests.data.formats.legacy import write_bamsgan

IN_ORDER = ["a.png", "b.jpg", "d9.png", "d10.png", "sub/a.png", "sub/c.png", "sub/Ää 顔.png"]
LABELS = {row[0]: row[1:] for row in ROWS}


# the ACGAN programs


def acgan_set(folder: Path, tags: object, count: int = 3) -> Path:
    for index in range(count):
        path = folder / "images" / f"{index}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(encoded(pixels(index), "JPEG"))
    (folder / "tags.pickle").write_bytes(pickle.dumps(tags))
    return folder


def vectors(hair: int | None, eyes: int | None) -> tuple[torch.Tensor, torch.Tensor]:
    tag = torch.zeros(12), torch.zeros(10)
    for vector, place in zip(tag, (hair, eyes), strict=True):
        if place is not None:
            vector[place] = 1
    return tag


@pytest.mark.parametrize("form", ["code", "readme", "array", "list"])
def test_acgan_forms_of_tags(tmp_path: Path, run: Run, form: str) -> None:
    tags: dict[int, object] = {0: vectors(7, 9), 1: vectors(None, 0), 2: vectors(11, None)}
    change = {
        "code": lambda tag: tag,
        "readme": torch.cat,
        "array": lambda tag: tuple(np.asarray(part) for part in tag),
        "list": lambda tag: torch.cat(tag).tolist(),
    }[form]
    source = acgan_set(tmp_path / "set", {key: change(tag) for key, tag in tags.items()})
    out, _ = run(source, "kaogan")
    assert [labels for _, labels in contents(out, ["hair", "eyes"])] == [
        {"hair": "pink", "eyes": "blue"}, {"eyes": "black"}, {"hair": "blonde"}]  # fmt: skip


def test_acgan_tells_what_does_not_fit(tmp_path: Path, run: Run) -> None:
    both = torch.zeros(22)
    both[[1, 2, 15]] = 1
    out, result = run(acgan_set(tmp_path / "set", {0: both, 5: both}), "kaogan")
    notes = "; ".join(result.notes)
    assert "2 pictures without an entry" in notes and "1 entries" in notes and "several colours" in notes
    assert "white" not in (out / "labels.csv").read_text()


@pytest.mark.parametrize("tag", [torch.zeros(21), "pink", (torch.zeros(12),), torch.full((22,), torch.nan), [[0]]])
def test_acgan_tags_of_another_shape(tmp_path: Path, run: Run, tag: object) -> None:
    with pytest.raises(KaoganError, match="entry 0: not the 12 numbers"):
        run(acgan_set(tmp_path / "set", {0: tag}), "kaogan")


def test_acgan_new_without_names(tmp_path: Path, run: Run) -> None:
    """Colours are numbered by the alphabet there; class 0 is a class."""
    folder = acgan_set(tmp_path / "set", {})
    (folder / "tags.pickle").rename(folder / "labels.pkl")
    (folder / "labels.pkl").write_bytes(pickle.dumps({"0": (0, 1, None), "1": (None, None, 8)}))
    out, result = run(folder, "kaogan")
    lines = (out / "labels.csv").read_text().splitlines()
    assert lines == ["file,eyes,hair,year", "0.jpg,aqua,black,", "1.jpg,,,8", "2.jpg,,,"]
    assert result.source_format == "acgan-new"


def test_hdf5_without_names(tmp_path: Path, run: Run) -> None:
    h5py = pytest.importorskip("h5py")
    images = np.stack([pixels(seed) for seed in range(3)])
    with h5py.File(tmp_path / "dataset.h5", "w") as file:
        file["year_imgs"], file["year_labels"] = images, np.array([0, 8, 0])
        file["hair_eye_imgs"], file["hair_eye_labels"] = images[:1], np.array([[0, 1]])
    out, _ = run(tmp_path / "dataset.h5", "kaogan")
    found = [(data, labels) for data, labels in contents(out, ["hair", "eyes", "year"])]
    assert [labels for _, labels in found] == [
        {"eyes": "aqua", "hair": "black"}, {"year": "0"}, {"year": "8"}, {"year": "0"}]  # fmt: skip
    assert [data for data, _ in found] == [images[i].tobytes() for i in (0, 0, 1, 2)]


# NVIDIA


def test_stylegan_zip(faces: Path, run: Run) -> None:
    out, _ = run(faces, "stylegan", attributes=["hair", "eyes"])
    with zipfile.ZipFile(out) as archive:
        names = sorted(name for name in archive.namelist() if name.endswith(".png"))
        assert names == [f"00000/img{index:08d}.png" for index in range(len(ROWS))]
        assert {info.compress_type for info in archive.infolist()} == {zipfile.ZIP_STORED}
        labels = dict(json.loads(archive.read("dataset.json"))["labels"])
        for name in names:
            with Image.open(io.BytesIO(archive.read(name))) as picture:
                assert (picture.format, picture.mode, picture.size) == ("PNG", "RGB", (16, 16))
    assert set(labels) == set(names)
    array = np.array([labels[name] for name in names], np.float32)
    assert array.shape == (len(ROWS), 22)
    assert array[0].nonzero()[0].tolist() == [HAIR.index("pink"), 12 + EYES.index("blue")]


def test_stylegan_classes_and_no_labels(faces: Path, run: Run, tmp_path: Path) -> None:
    text = (faces / "labels.csv").read_text(encoding="utf-8").replace(",,", ",2001,").replace("red,,", "red,2001,")
    (faces / "labels.csv").write_text(text, encoding="utf-8")
    out, _ = run(faces, "stylegan", attributes=["year"])
    with zipfile.ZipFile(out) as archive:
        labels = json.loads(archive.read("dataset.json"))["labels"]
    assert all(type(label) is int for _, label in labels) and len(labels) == len(ROWS)
    (faces / "labels.csv").unlink()
    flat, _ = run(faces, "flat")
    plain, _ = run(flat, "stylegan")
    with zipfile.ZipFile(plain) as archive:
        assert json.loads(archive.read("dataset.json")) == {"labels": None}
        assert "00000/img00000000.png" in archive.namelist()


def test_stylegan_folder_of_a_thousand_is_numbered_on(tmp_path: Path) -> None:
    from kaogan.data.formats.base import Collection, Item, Job, Options

    array = pixels(0, 4)
    collection = Collection(1001, lambda: (Item(f"{i}.png", lambda: array) for i in range(1001)))
    FORMATS["stylegan"].write(Job(collection, Options()), tmp_path / "set.zip")
    with zipfile.ZipFile(tmp_path / "set.zip") as archive:
        assert "00001/img00001000.png" in archive.namelist() and "00000/img00000999.png" in archive.namelist()


@pytest.mark.parametrize(
    ("labels", "expected"),
    [
        ([6, 0], [{"class": "6"}, {"class": "0"}]),
        ([[0, 1.0, 0], [1, 0, 0]], [{"class": "1"}, {"class": "0"}]),
        ([[0.5, 1], [1, 1]], [{"label_0": "0.5", "label_1": "1"}, {"label_0": "1", "label_1": "1"}]),
        (None, [{}, {}]),
    ],
)
def test_stylegan_labels_of_nvidia(tmp_path: Path, labels: list, expected: list[dict[str, str]]) -> None:
    names = [f"00000/img0000000{i}.png" for i in range(2)]
    with zipfile.ZipFile(tmp_path / "set.zip", "w") as archive:
        for seed, name in enumerate(names):
            archive.writestr(name, encoded(pixels(seed)))
        paired = None if labels is None else [list(pair) for pair in zip(names, labels, strict=True)]
        archive.writestr("dataset.json", json.dumps({"labels": paired}))

    assert detect(tmp_path / "set.zip").name == "stylegan"
    with FORMATS["stylegan"].read(tmp_path / "set.zip") as collection:
        assert [dict(item.labels) for item in collection.items()] == expected


@pytest.mark.parametrize("size", [(16, 12), (12, 12)])
def test_stylegan_refuses_what_its_tools_refuse(tmp_path: Path, run: Run, size: tuple[int, int]) -> None:
    (tmp_path / "flat").mkdir()
    Image.new("RGB", size).save(tmp_path / "flat/x.png")
    with pytest.raises(KaoganError, match=r"give --size 8"):
        run(tmp_path / "flat", "stylegan")
    assert run(tmp_path / "flat", "stylegan", size=8)[1].written == 1


def test_stylegan_refuses_two_sizes(tmp_path: Path, run: Run) -> None:
    (tmp_path / "flat").mkdir()
    for side in (16, 32):
        Image.new("RGB", (side, side)).save(tmp_path / f"flat/{side}.png")
    with pytest.raises(KaoganError, match=r"32.png is 32 x 32 px.*16 x 16.*give --size 16"):
        run(tmp_path / "flat", "stylegan")


# the others


def test_bamsgans_other_folders_are_left_out(faces: Path, tmp_path: Path, run: Run) -> None:
    _, result = run(write_bamsgan(faces, tmp_path / "set"), "kaogan")
    assert result.written == len(ROWS) and any("2 blurred pictures" in note for note in result.notes)


@pytest.mark.parametrize("name", ["flat", "classes"])
def test_source_programs_get_plain_rgb(tmp_path: Path, run: Run, name: str) -> None:
    """They open whatever lies in the folder, without converting it: grey, alpha, palettes and GIFs would stop them."""
    folder = tmp_path / "odd"
    folder.mkdir()
    picture = Image.fromarray(pixels(1))
    picture.convert("L").save(folder / "grey.png")
    picture.convert("RGBA").save(folder / "alpha.png")
    picture.convert("P").save(folder / "palette.gif")
    turned = Image.Exif()
    turned[0x0112] = 6
    picture.save(folder / "turned.jpg", exif=turned, quality=95)
    picture.save(folder / "plain.webp")
    (folder / "plain.png").write_bytes(encoded(pixels(2)))
    out, _ = run(folder, name)
    files = [p for p in out.rglob("*.*") if p.is_file() and "blur" not in str(p)]
    assert len(files) == 6
    for path in files:
        with Image.open(path) as opened:
            assert opened.mode == "RGB" and opened.format in ("PNG", "JPEG") and 0x0112 not in opened.getexif()
    assert any(p.read_bytes() == (folder / "plain.png").read_bytes() for p in files)


def test_webdataset_shards(faces: Path, run: Run) -> None:
    out, _ = run(faces, "webdataset", shard_size=3)
    assert [p.name for p in sorted(out.glob("*.tar"))] == [f"shard-00000{i}.tar" for i in range(3)]
    with tarfile.open(out / "shard-000001.tar") as archive:
        assert archive.getnames() == [f"0000000{i}.{s}" for i in (3, 4, 5) for s in ("png", "json")]
        assert {m.mtime for m in archive.getmembers()} == {0}
        text = archive.extractfile("00000004.json").read()  # type: ignore[union-attr]
    assert json.loads(text) == {"file": "sub/a.png", "hair": "blonde", "year": "2003", "score": "0.35"}


def test_webdataset_is_read_by_webdataset(faces: Path, run: Run) -> None:
    webdataset = pytest.importorskip("webdataset")
    out, _ = run(faces, "webdataset", shard_size=4, attributes=["hair"])
    shards = [str(p) for p in sorted(out.glob("*.tar"))]
    samples = list(webdataset.WebDataset(shards, shardshuffle=False).decode("rgb8"))
    assert len(samples) == len(ROWS)
    for sample, name in zip(samples, IN_ORDER, strict=True):
        (image,) = (sample[key] for key in ("png", "jpg") if key in sample)
        assert (image == pixels_of(faces / "images" / name)).all()
        assert sample["json"].get("hair", "") == LABELS[name][0]
        assert sample.get("cls") == (HAIR.index(LABELS[name][0]) if LABELS[name][0] else None)


def test_webdataset_of_others(tmp_path: Path, run: Run) -> None:
    """Keys with folders, classes only, fields and files that mean nothing here."""
    with tarfile.open(tmp_path / "train.tar", "w") as archive:
        for seed in range(3):
            fields = {
                f"x/{seed}.png": encoded(pixels(seed)),
                f"x/{seed}.cls": str(seed % 2).encode(),
                f"x/{seed}.npy": b"",
            }
            for name, data in fields.items():
                member = tarfile.TarInfo(name)
                member.size = len(data)
                archive.addfile(member, io.BytesIO(data))
    out, result = run(tmp_path / "train.tar", "kaogan")
    assert result.source_format == "webdataset" and result.written == 3
    assert [labels for _, labels in contents(out)] == [{"class": "0"}, {"class": "1"}, {"class": "0"}]


@pytest.mark.parametrize("labels", ["metadata.csv", "labels.csv"])
def test_a_stray_json_makes_no_samples(tmp_path: Path, run: Run, labels: str) -> None:
    """Hugging Face writes a dataset_infos.json; the dots may be of names."""
    header = "file_name" if labels == "metadata.csv" else "file"
    table = f"{header},hair\n" + "".join(f"f.{n}.png,{('red', 'blue')[n % 2]}\n" for n in range(4))
    pictures = {f"f.{n}.png": encoded(pixels(n)) for n in range(4)}
    files = {"dataset_infos.json": b"{}", labels: table.encode(), **pictures}
    path = tar(tmp_path / "a.tar", files)
    assert [found["hair"] for _, found in contents(path)] == ["red", "blue"] * 2
    assert [found["hair"] for _, found in contents(run(path, "kaogan")[0])] == ["red", "blue"] * 2
    for name, loose in (
        ("b", {"info.json": b"{}"}),
        ("c", {"x.json": b'{"hair": "red"}', "x.png": encoded(pixels(9))}),
    ):
        path = tar(tmp_path / f"{name}.tar", loose | pictures)
        count = 4 + (name == "c")
        assert len(load_pictures(path, image_size=16)) == len(load_pictures(path, image_size=16, attributes=["auto"]))
        assert run(path, "kaogan")[1].written == len(load_pictures(path, image_size=16)) == count


@pytest.mark.parametrize("form", ["shards", "tar", "tar.gz", "apart"])
def test_masks_of_samples_are_no_pictures(tmp_path: Path, run: Run, form: str) -> None:
    """With labels asked for or not, trained on, or converted from whatever place."""
    files: dict[str, bytes | tarfile.TarInfo] = {}
    for number in range(3):
        files |= {f"{number}{end}": encoded(pixels(number)) for end in (".mask.png", ".png")}
        files[f"{number}.json"] = json.dumps({"hair": "red"}).encode()
    files |= {"3.mask.png": encoded(pixels(3)), "3.png": encoded(pixels(3)), "._3.png": b"of macOS"}
    if form == "apart":  # samples of which the parts do not stand together
        files = dict(sorted(files.items(), key=lambda file: file[0].endswith("png")))
    (tmp_path / "s").mkdir()
    path = tar(tmp_path / ("s/s.tar.gz" if form == "tar.gz" else "s/s.tar"), files, "w:gz" if form == "tar.gz" else "w")
    for attributes in (None, ["hair"]):
        loaded = load_pictures(path, image_size=16, attributes=attributes)
        assert loaded.names == ("0.png", "1.png", "2.png", "3.png") and "4 pictures of" in str(loaded.notes)
    out, result = run(path.parent if form == "shards" else path, "kaogan")
    assert result.source_format == "webdataset" and result.written == 4 and "4 pictures of" in str(result.notes)
    assert (out / "labels.csv").read_text() == "file,hair\n0.png,red\n1.png,red\n2.png,red\n3.png,\n"


def test_a_folder_with_a_tar_in_it_is_not_always_one_of_shards(faces: Path, tmp_path: Path) -> None:
    sample = {"0.png": encoded(pixels(0)), "0.json": b"{}"}
    for name in ("labelled", "flat", "classes", "shards"):
        (tmp_path / name / "red").mkdir(parents=True) if name == "classes" else (tmp_path / name).mkdir()
        tar(tmp_path / name / "old.tar", sample)
    (tmp_path / "labelled/labels.csv").write_text("file\na.png\n")
    for place in ("labelled/a.png", "flat/a.png", "classes/red/a.png"):
        (tmp_path / place).write_bytes(sample["0.png"])
    (tmp_path / "shards/old_stats.json").write_text("{}")  # as img2dataset writes
    assert FORMATS["webdataset"].detect(tmp_path / "shards")
    assert not any(FORMATS["webdataset"].detect(tmp_path / name) for name in ("labelled", "flat", "classes"))
    tar(faces / "old.tar", sample)
    result = convert(faces, tmp_path / "out", "kaogan")
    assert result.written == len(ROWS) and result.skipped == [("old.tar", "not a picture file (.tar)")]


def test_huggingface_is_read_by_datasets(
    faces: Path, run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setenv("HF_DATASETS_OFFLINE", "1")
    datasets = pytest.importorskip("datasets")
    out, _ = run(faces, "huggingface")
    loaded = datasets.load_dataset("imagefolder", data_dir=str(out), split="train", cache_dir=str(tmp_path / "hf"))
    assert len(loaded) == len(ROWS) and set(loaded.column_names) == {"image", "hair", "eyes", "year", "score"}
    known = {read_picture(faces / "images" / name).tobytes(): labels for name, *labels in ROWS}
    for row in loaded:
        hair, eyes, _ = known[row["image"].convert("RGB").tobytes()]
        assert (row["hair"] or "") == hair and (row["eyes"] or "") == eyes


def test_labels_with_no_place_are_told(faces: Path, run: Run) -> None:
    _, result = run(faces, "flat")
    assert any("labels left out" in note and "hair" in note for note in result.notes)
    with pytest.raises(UsageError, match="holds no labels"):
        run(faces, "flat", attributes=["hair"])
    with pytest.raises(UsageError, match="--attributes hair"):
        run(faces, "classes")


def test_detection_of_plain_folders(tmp_path: Path) -> None:
    for name in ("flat/a.png", "classes/red/a.png", "classes/blue/b.png", "nested/a.png", "nested/x/y/b.png"):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(encoded(pixels(0)))
    assert [detect(tmp_path / name).name for name in ("flat", "classes", "nested")] == ["flat", "classes", "nested"]


def test_zips_are_sets_too(faces: Path, tmp_path: Path, run: Run) -> None:
    with zipfile.ZipFile(tmp_path / "faces.zip", "w") as archive:
        for path in sorted(faces.rglob("*.*")):
            archive.write(path, f"faces/{path.relative_to(faces)}")
    out, result = run(tmp_path / "faces.zip", "kaogan")
    assert result.source_format == "kaogan" and contents(out) == contents(faces)


def test_python_call(faces: Path, tmp_path: Path) -> None:
    told: list[tuple[int, int]] = []
    result = convert(
        faces, tmp_path / "x.zip", "stylegan", progress=lambda done, total, what: told.append((done, total))
    )
    assert told == [(n + 1, len(ROWS)) for n in range(len(ROWS))] and result.target_format == "stylegan"


def test_names_that_are_not_text_become_webdataset(tmp_path: Path, run: Run) -> None:
    with tarfile.open(tmp_path / "a.tar", "w", format=tarfile.GNU_FORMAT) as archive:
        for number in range(2):
            member = tarfile.TarInfo(f"\udcff\udcfe{number}.png")
            member.size = len(data := encoded(pixels(number)))
            archive.addfile(member, io.BytesIO(data))
    out, result = run(tmp_path / "a.tar", "webdataset")
    assert result.written == 2
    with tarfile.open(out / "shard-000000.tar") as shard:
        text = shard.extractfile("00000000.json").read().decode()  # type: ignore[union-attr]
    assert json.loads(text)["file"] == "\ufffd\ufffd0.png"
