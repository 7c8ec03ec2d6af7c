"""One clear line for every mistake, and nothing half-written."""

from __future__ import annotations

import os
import shutil
import zipfile
from pathlib import Path

import pytest
from PIL import Image

from tests.cli.conftest import TINY, Run, refused


@pytest.mark.parametrize(
    ("words", "fragments"),
    [
        (["trian"], ["no such command 'trian'", "train"]),
        (["--bogus"], ["--bogus", "see 'kaogan --help'"]),
        (["train", "dgan"], ["unknown recipe 'dgan' (did you mean 'dcgan'?)"]),
        (["train", "dcgan", "sagan"], ["unexpected word 'sagan'"]),
        (["train", "dcgan", "-x"], ["unexpected word '-x'"]),
        (["train", "dcgan", "--recipe", "mine.yaml"], ["name one recipe", "kaogan recipes list"]),
        (["train", "--recipe", "none.yaml"], ["no recipe file none.yaml"]),
        (["train", "--recipe", "list.yaml"], ["list.yaml must be a mapping"]),
        (["train", "--recipe", "broken.yaml"], ["broken.yaml is not valid YAML"]),
        (["train", "--recipe", "bomb.yaml"], ["bomb.yaml", "aliases are not allowed"]),
        (["train", "dcgan", "--optim.lrr", "1"], ["unknown key 'optim.lrr' (did you mean 'lr'?)"]),
        (["train", "dcgan", "--lr", "1"], ["unknown option --lr", "--optim.lr"]),
        (["train", "--epochs", "3"], ["unknown option --epochs", "--images N"]),
        (["train", "--n-epochs=3"], ["unknown option --n-epochs", "--images N"]),
        (["generate"], ["no such command 'generate'", "kaogan sample MODEL"]),
        (["explore", "wlak"], ["no such command 'wlak'", "walk"]),
        (
            ["train", "stylegan2-64", "--generator.output_filter", "sharp"],
            ["'generator.output_filter' (a setting of dcgan and growing only)"],
        ),
        (["train", "dcgan", "--imagse", "1"], ["unknown option --imagse (did you mean '--images'?)"]),
        (["train", "dcgan", "--alow-changes"], ["unknown option --alow-changes (did you mean '--allow-changes'?)"]),
        (["train", "dcgan", "--dry-rnu"], ["did you mean '--dry-run'"]),
        (["train", "dcgan", "--optim.lr"], ["--optim.lr needs a value"]),
        (["train", "dcgan", "--images"], ["--images"]),
        (["train", "dcgan", "--images", "many"], ["'--images'", "integer", "see 'kaogan train --help'"]),
        (["train", "dcgan", "--images", "-5"], ["'training.images'", "-5"]),
        (["train", "dcgan", "--batch-size", "0"], ["'training.batch_size'", "greater than or equal to 1, not 0"]),
        (["train", "dcgan", "--batch-size", "-1"], ["'training.batch_size'"]),
        (["train", "dcgan", "--seed", "-1"], ["'run.seed'"]),
        (["train", "dcgan", "--optim.lr", "-1"], ["'optim.lr'", "greater than 0, not -1"]),
        (["train", "dcgan", "--optim.lr", "nan"], ["'optim.lr'"]),
        (["train", "dcgan", "--optim.lr", "[1, 2"], ["--optim.lr is not valid YAML"]),
        (["train", "dcgan", "--optim.lr", "*a"], ["--optim.lr is not valid YAML"]),
        (["train", "dcgan", "--optim", "3"], ["'optim' is a group of settings"]),
        (["train", "dcgan", "--generator.family", "dcgna"], ["'generator.family'", "did you mean 'dcgan'"]),
        (["train", "dcgan", "--precision", "fp8"], ["'run.precision'"]),
        (["train", "dcgan", "--device", "gpu"], ["'run.device'"]),
        (["train", "dcgan", "--device", "cuda:77"], ["no device 'cuda:77' on this machine"]),
        (["train", "dcgan", "--image-size", "20"], ["cannot make 20 px", "8, 16, 32, 64"]),
        (["train", "dcgan", "--image-size", "3"], ["'image_size'"]),
        (["train", "dcgan", "--discriminator.family", "residual", "--image-size", "17"], ["17 px"]),
        (["train", "acgan-year", *TINY], ["unknown attribute 'year'", "hair, eyes"]),
        (["train", "acgan", *TINY, "--attributes.names", "hiar"], ["unknown attribute 'hiar'", "did you mean 'hair'"]),
        (
            ["train", "acgan", *TINY, "--attributes.merge", "{hair: {warm: [rde]}}"],
            ["hair 'rde'", "did you mean 'red'"],
        ),
        (["train", "dcgan", *TINY, "--batch-size", "25"], ["24 usable pictures, fewer than one batch of 25"]),
        (["train", "dcgan", *TINY, "--batch-size", "25", "--dry-run"], ["fewer than one batch of 25"]),
        (["train", "dcgan", *TINY, "--out", "list.yaml"], ["list.yaml is a file; --out must name a folder"]),
        (["train", "dcgan", *TINY, "--out", "mine"], ["mine is not empty and holds no run"]),
        (["train", "dcgan", "--data", "none"], ["no such folder, zip or tar of pictures: none"]),
        (["train", "dcgan", "--data", "mine/face.png"], ["mine/face.png is one picture; give the folder"]),
        (["train", "dcgan", "--data", "list.yaml"], ["list.yaml is neither a folder nor a zip"]),
        (["train", "acgan", "--data", "mine", "--image-size", "16"], ["mine"]),
        (["sample"], ["kaogan sample kao"]),
        (["sample", "none"], ["no such folder none"]),
        (["sample", "mine"], ["mine is not a model folder"]),
        (["sample", "list.yaml"], ["list.yaml is a file, not a model folder"]),
        (["sample", "--seperate", "mine"], ["unknown option --seperate (did you mean '--separate'?)"]),
        (["avatars"], ["missing argument", "see 'kaogan avatars --help'"]),
        (["avatars", "new", "--count", "0"], ["at least 1"]),
        (["avatars", "new", "--size", "100000"], ["'--size'"]),
        (["avatars", "mine"], ["mine already holds other files"]),
        (["avatars", "new", "--cuont", "3"], ["--cuont"]),
        (["recipes", "shwo", "dcgan"], ["no such command 'shwo'"]),
        (["recipes", "show"], ["missing argument", "see 'kaogan recipes show --help'"]),
        (["recipes", "show", "dcgn"], ["unknown recipe 'dcgn' (did you mean 'dcgan'?)"]),
        (["recipes", "diff", "dcgan", "nothing"], ["unknown recipe 'nothing'"]),
        (["recipes", "diff", "dcgan", "none.yaml"], ["no recipe file none.yaml"]),
    ],
    ids=lambda value: " ".join(value)[:60] if value and value[0] in ("train", "sample", "avatars", "recipes") else None,
)
def test_wrong_words(run: Run, tmp_path: Path, words: list[str], fragments: list[str]) -> None:
    (tmp_path / "list.yaml").write_text("- a\n- b\n")
    (tmp_path / "broken.yaml").write_text("a: [1,\nb: }\n")
    (tmp_path / "bomb.yaml").write_text("a: &a [x, x]\nb: [*a, *a]\n")
    (tmp_path / "mine").mkdir()
    Image.new("RGB", (16, 16)).save(tmp_path / "mine/face.png")
    before = sorted(tmp_path.rglob("*"))
    said = run(*words)
    refused(said, 2, *fragments)
    assert said.out == "" or "--image-size" in words, "nothing is read before what can be known at once is checked"
    assert sorted(tmp_path.rglob("*")) == before, "and nothing is written"


@pytest.mark.parametrize(
    ("content", "fragments"),
    [
        ({}, ["bad"]),
        ({"notes.txt": "x"}, ["bad"]),
        ({"a.png": "not a picture"}, ["bad"]),
        ({"labels.csv": "file,hair\nnone.png,red\n"}, ["no row names a picture of this set", "none.png"]),
        ({"labels.csv": "name,hair\n00000.png,red\n"}, ["line 1", "no column named 'file'"]),
        ({"labels.csv": "file,hair\n00000.png,red,blue\n"}, ["line 2", "3 cells under 2 columns"]),
        ({"labels.csv": ""}, ["has no rows"]),
        ({"labels.csv": "file,hair,hair\n00000.png,red,red\n"}, ["two columns are named 'hair'"]),
        ({"labels.csv": b"file,hair\n00000.png,\x81 \n"}, ["line 2", "UTF-8"]),
        ({"labels.csv": "file,eyes\n00000.png,red\n00001.png,blue\n"}, ["unknown attribute 'hair'", "eyes"]),
    ],
)
def test_bad_data(run: Run, tmp_path: Path, made: Path, content: dict[str, str | bytes], fragments: list[str]) -> None:
    if "labels.csv" in content:
        shutil.copytree(made / "faces/images", tmp_path / "bad")
    (tmp_path / "bad").mkdir(exist_ok=True)
    for name, text in content.items():
        (tmp_path / "bad" / name).write_bytes(text if isinstance(text, bytes) else text.encode())
    said = run("train", "acgan", *TINY, "--data", "bad", "--attributes.names", "hair")
    refused(said, said.code, *fragments)
    assert said.code in (1, 2) and not (tmp_path / "runs").exists()


def test_rows_that_are_lacking_are_told(run: Run, tmp_path: Path, made: Path) -> None:
    shutil.copytree(made / "faces/images", tmp_path / "faces")
    rows = "".join(f"{number:05d}.png,{('red', 'blue')[number % 2]}\n" for number in range(20))
    (tmp_path / "faces/labels.csv").write_text(f"file,hair\n{rows}gone.png,red\n")
    said = run("train", "acgan", *TINY, "--data", "faces")
    assert said.code == 0, said
    assert "4 pictures without a row" in said.out and "1 row of" in said.out and "gone.png" in said.out


def test_a_zip_that_climbs_out_writes_nothing(run: Run, tmp_path: Path, made: Path) -> None:
    picture = (made / "faces/images/00000.png").read_bytes()
    (tmp_path / "inside").mkdir()
    with zipfile.ZipFile(tmp_path / "inside/faces.zip", "w") as archive:
        for name in ("../evil.png", "/tmp/kaogan-evil.png", "a/../../evil.png"):
            archive.writestr(name, picture)
        for number in range(8):
            archive.writestr(f"{number}.png", picture)
    said = run("train", "dcgan", *TINY, "--data", "inside/faces.zip", "--dry-run")
    assert (
        said.code == 0 and "8 pictures" in said.out and "3 skipped" in said.out and "leads out of the zip" in said.out
    )
    assert not (tmp_path / "evil.png").exists() and not Path("/tmp/kaogan-evil.png").exists()


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_an_unreadable_folder(run: Run, tmp_path: Path) -> None:
    (tmp_path / "locked").mkdir(mode=0)
    refused(run("train", "dcgan", *TINY, "--data", "locked"), 1, "no permission for locked")


@pytest.mark.parametrize(
    ("words", "code", "fragment"),
    [
        (["sample", "n" * 300], 1, "name too long"),
        (["fit-filter", "n" * 300], 1, "name too long"),
        (["adapt", "~nobody-of-this-name/m", "--data", "."], 2, "not a path: ~nobody"),
        (["upscale", "n" * 300], 1, "name too long"),
        (["tagger", "tag", "n" * 300], 1, "name too long"),
        (["explore", "project", "kao", "n" * 300], 1, "name too long"),
        (["upscale", "~nobody-of-this-name/x.png"], 2, "not a path: ~nobody"),
        (["upscale", ".", "--model", "~nobody-of-this-name/x"], 2, "not a path: ~nobody"),
    ],
    ids=lambda value: value[0] if isinstance(value, list) else None,
)
def test_paths_that_cannot_be_looked_up(run: Run, words: list[str], code: int, fragment: str) -> None:
    said = run(*words)
    refused(said, code)
    assert fragment in said.err.lower()
