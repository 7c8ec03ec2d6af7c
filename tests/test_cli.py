"""The command line: what it prints, what it writes, and one clear line for every mistake."""

from __future__ import annotations

import io
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
from PIL import Image
from rich.console import Console

from kaogan import cli, recipes
from kaogan.cli import train_report
from kaogan.cli.recipes import list_
from kaogan.cli.shared import parse_overrides
from kaogan.data.avatars import write_set
from kaogan.training import checkpoint
from kaogan.training.loop import Outcome, Progress
from kaogan.upscale import recipe as upscaling

TINY = ["--image-size", "16", "--batch-size", "8", "--images", "16", "--data.avatars", "24", "--latent.size", "8",
        "--generator.width", "4", "--discriminator.width", "4", "--run.grid_pictures", "4", "--device", "cpu",
        "--precision", "fp32"]  # fmt: skip
ROOT = Path(cli.__file__).parents[2]


class Said(NamedTuple):
    code: int
    out: str
    err: str


Run = Callable[..., Said]


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Run:
    """``kaogan WORDS`` in this process, in an empty folder."""
    monkeypatch.chdir(tmp_path)

    def call(*words: object) -> Said:
        monkeypatch.setattr(sys, "argv", ["kaogan", *map(str, words)])
        capsys.readouterr()
        with pytest.raises(SystemExit) as ended:
            cli.main()
        out, err = capsys.readouterr()
        assert "Traceback" not in out + err and "\x1b" not in out + err, "plain when nobody watches"
        code = ended.value.code
        assert isinstance(code, int)
        return Said(code, out, err)

    return call


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder with labelled ``faces``, and two runs: ``plain`` and ``labelled``."""
    folder = tmp_path_factory.mktemp("made")
    write_set(folder / "faces", 24, 16)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("KAOGAN_CACHE", str(tmp_path_factory.getbasetemp() / "cache"))
        for name, recipe in (("plain", "dcgan"), ("labelled", "acgan")):
            patch.setattr(sys, "argv", ["kaogan", "train", recipe, *TINY, "--out", str(folder / name)])
            with pytest.raises(SystemExit) as ended:
                cli.main()
            assert ended.value.code == 0
        yield folder


def refused(said: Said, code: int, *words: str) -> None:
    assert said.code == code, said
    assert said.err.startswith("kaogan: ") and said.err.count("\n") == 1 and said.err.endswith("\n"), said.err
    for word in words:
        assert word in said.err, said.err


# Wrong words


@pytest.mark.parametrize(
    ("words", "fragments"),
    [
        (["trian"], ["no such command 'trian'", "train"]),
        (["--bogus"], ["--bogus", "see 'kaogan --help'"]),
        (["train"], ["name one recipe", "kaogan recipes list"]),
        (["train", "dgan"], ["unknown recipe 'dgan' (did you mean 'dcgan'?)"]),
        (["train", "dcgan", "sagan"], ["unexpected word 'sagan'"]),
        (["train", "dcgan", "-x"], ["unexpected word '-x'"]),
        (["train", "dcgan", "--recipe", "mine.yaml"], ["name one recipe"]),
        (["train", "--recipe", "none.yaml"], ["no recipe file none.yaml"]),
        (["train", "--recipe", "list.yaml"], ["list.yaml must be a mapping"]),
        (["train", "--recipe", "broken.yaml"], ["broken.yaml is not valid YAML"]),
        (["train", "--recipe", "bomb.yaml"], ["bomb.yaml", "aliases are not allowed"]),
        (["train", "dcgan", "--optim.lrr", "1"], ["unknown key 'optim.lrr' (did you mean 'lr'?)"]),
        (["train", "dcgan", "--lr", "1"], ["did you mean 'optim.lr'"]),
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
        (["sample"], ["kaogan sample runs/dcgan"]),
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
        ({"labels.csv": b"file,hair\n00000.png,\xff\xfe\n"}, ["line 2", "UTF-8"]),
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


# Training


def test_trains_and_says_where_everything_is(run: Run, tmp_path: Path, made: Path) -> None:
    words = ["train", "acgan", *TINY, "--data", made / "faces", "--out", "runs/my [run] 1"]
    said = run(*words)
    assert said.code == 0 and said.err == "", said
    out = tmp_path / "runs/my [run] 1"
    assert said.out.startswith("24 pictures from ") and "labelled with hair, eyes\n" in said.out
    for name in re.findall(r"^  (\S+) ", said.out, re.MULTILINE):
        assert (out / name).exists(), name
    assert "In runs/my [run] 1:" in said.out and "kaogan sample 'runs/my [run] 1' --out samples.png" in said.out
    assert re.search(
        r"^ +16 of 16 +loss D \S+ +G \S+ +D\(x\) \S+ +D\(G\(z\)\) \S+ +\d+ images/s +0 s left$", said.out, re.M
    )
    again = run(*words)
    assert again.code == 0 and "Trained to 16 images" in again.out


def test_changes_are_refused_unless_allowed(run: Run, tmp_path: Path) -> None:
    words = ["train", "dcgan", *TINY, "--out", "run"]
    assert run(*words).code == 0
    refused(run(*words, "--optim.lr", "0.5", "--seed", "3"), 2, "optim.lr was 0.0002, now 0.5", "run.seed was 0, now 3",
            "--allow-changes")  # fmt: skip
    assert run(*words, "--optim.lr", "0.0003", "--allow-changes").code == 0
    assert recipes.load(tmp_path / "run/recipe.yaml").optim.lr == 3e-4
    assert "Trained to 24 images" in run(*words, "--optim.lr", "3e-4", "--images", "24").out


def test_the_order_of_the_words_does_not_matter(run: Run, tmp_path: Path) -> None:
    assert run("train", "--optim.lr", "0.5", *TINY, "dcgan", "--data.flip=true", "--dry-run").code == 0
    said = run("train", "--optim.lr=0.5", "--data.flip", "true", "dcgan", "--dry-run", *TINY)
    assert "lr: 0.5\n" in said.out and "flip: true\n" in said.out
    (tmp_path / "my recipe.yaml").write_text(recipes.text("sagan").replace("name: sagan\n", ""))
    said = run(
        "train", "--recipe", "my recipe.yaml", "--optim.lr", "0.5", "--training.n-critic", "3", *TINY, "--dry-run"
    )
    assert "name: my-recipe\n" in said.out and "lr: 0.5\n" in said.out and "n_critic: 3\n" in said.out
    said = run("train", "dcgan", *TINY, "--batch_size", "4", "--dry-run")
    assert "batch_size: 8\n" in said.out, "what --help spells wins"


def test_dry_run_prints_what_it_would_cost_and_writes_nothing(run: Run, tmp_path: Path) -> None:
    said = run("train", "acgan", *TINY, "--dry-run")
    assert said.code == 0 and list(tmp_path.iterdir()) == []
    printed = said.out[said.out.index("name: acgan") : said.out.index("\ndata  ")]
    assert recipes.load(recipes.parse_yaml(printed, "printed")) == recipes.load(
        "acgan", parse_overrides(dict(zip([w[2:] for w in TINY[::2]], TINY[1::2], strict=True)))
    )
    assert "hair (12), eyes (10)" in said.out
    for line in (
        r"parameters +generator [\d,]+, discriminator [\d,]+",
        r"machine +.+, cpu, fp32",
        r"speed +\d+ images/s, measured on \d+ steps",
        r"time +\d+ (s|min) for 16 images",
        r"memory +[\d,]+ MB",
    ):
        assert re.search(f"^{line}$", said.out, re.MULTILINE), line


def test_a_failure_is_one_line_and_exit_code_1(run: Run, tmp_path: Path) -> None:
    assert run("train", "dcgan", *TINY, "--out", "run").code == 0
    for path in (tmp_path / "run/checkpoints").iterdir():
        path.write_bytes(b"{}")
    refused(run("train", "dcgan", *TINY, "--out", "run"), 1, "no checkpoint in run can be used", "damaged")
    refused(run("train", "dcgan", *TINY, "--out", "b", "--run.loss_limit", "1e-3"), 1, "ran away to", "--optim.lr")


@pytest.mark.parametrize(
    ("error", "code", "words"),
    [
        (KeyboardInterrupt(), 130, "interrupted"),
        (MemoryError(), 1, "out of memory"),
        (RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried"), 1, "out of memory"),
        (type("OutOfMemoryError", (RuntimeError,), {})("CUDA\nout of memory"), 1, "out of memory"),
        (cli.KaoganError("one\nline"), 1, "kaogan: one line"),
    ],
)
def test_what_interrupts_the_reading_of_data(
    run: Run, error: BaseException, code: int, words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise error

    monkeypatch.setattr(train_report.api, "load_data", fail)
    refused(run("train", "dcgan", *TINY), code, words)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_while_data_is_read(run: Run, number: signal.Signals, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(train_report.api, "load_data", lambda *_: signal.raise_signal(number))
    refused(run("train", "dcgan", *TINY), 130, "interrupted")


def test_bugs_keep_their_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(train_report.api, "load_data", lambda *_: 1 / 0)
    monkeypatch.setattr(sys, "argv", ["kaogan", "train", "dcgan", *TINY])
    with pytest.raises(ZeroDivisionError):
        cli.main()


@pytest.mark.parametrize("width", [40, 60, 80, 100, 120, 200])
@pytest.mark.parametrize("name", ["demo", "resdcgan-wgan-gp"])
def test_the_bar_fits_the_terminal(width: int, name: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    stats = {
        "loss_d": -1.234e-5,
        "loss_g": -123456.0,
        "real_score": -10.55,
        "fake_score": -12.25,
        "images_per_second": 12345.6,
    }

    class Pictures:
        images, source, schema, skipped, notes = [0], "x", (), (), ()

    def fake(*_: object, on_progress: Callable[[Progress], None], **__: object) -> Outcome:
        on_progress(Progress(150_000, 300_000, stats))
        return Outcome(150_000, False, 3.0, tmp_path)

    monkeypatch.setattr(train_report, "read_data", lambda *_: Pictures)
    monkeypatch.setattr(train_report.api, "run", fake)
    with (tmp_path / "screen").open("w+", encoding="utf-8") as file:
        console = Console(file=file, force_terminal=True, width=width, highlight=False)
        assert train_report.run_training(console, recipes.load(name, {"images": 300_000}), None, None, False) == 130
        file.seek(0)
        screen = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", file.read())
    lines = [line.rstrip() for line in re.split(r"[\r\n]", screen) if line.strip()]
    assert all(len(line) <= width for line in lines), lines
    bar = next(line for line in lines[::-1] if line.startswith(name))
    assert "150000/300000" in bar or width < 80
    assert ("12346 images/s" in bar) == (width >= 80)
    assert ("loss D" in bar) == (width >= (120 if name != "demo" else 100))
    assert ("D(G(z))" in bar) == (width >= 200)


# Sampling


def size(path: Path) -> tuple[int, int]:
    with Image.open(path) as picture:
        return picture.size


def test_a_grid(run: Run, tmp_path: Path, made: Path) -> None:
    said = run("sample", made / "plain", "--count", "6", "--rows", "2")
    assert said == Said(0, "samples.png\n", "") and size(tmp_path / "samples.png") == (3 * 18 + 2, 2 * 18 + 2)
    assert run("sample", made / "plain/model", "--out", "a b/faces.jpg", "--count", "4").out == "a b/faces.jpg\n"
    assert size(tmp_path / "a b/faces.jpg") == (38, 38)
    run("sample", made / "plain", "--count", "6", "--rows", "2", "--out", "again.png")
    run("sample", made / "plain", "--count", "6", "--rows", "2", "--out", "other.png", "--seed", "1")
    run("sample", made / "plain", "--count", "6", "--rows", "2", "--out", "mean.png", "--truncation", "0")
    first, again, other, mean = (
        (tmp_path / f"{name}.png").read_bytes() for name in ("samples", "again", "other", "mean")
    )
    assert first == again != other != mean != first


def test_single_files(run: Run, tmp_path: Path, made: Path) -> None:
    said = run("sample", made / "plain", "--separate", "--count", "3", "--format", "webp", "--out", "faces")
    assert said == Said(0, "3 pictures in faces\n", "")
    assert sorted(path.name for path in (tmp_path / "faces").iterdir()) == ["00000.webp", "00001.webp", "00002.webp"]
    assert run("sample", made / "plain", "--separate", "--count", "2").out == "2 pictures in samples\n"
    assert size(tmp_path / "samples/00001.png") == (16, 16)


def test_attributes(run: Run, tmp_path: Path, made: Path) -> None:
    listed = run("sample", made / "labelled", "--list-attributes").out
    assert listed.splitlines()[0].startswith("--hair  ") and "pink" in listed and "--eyes  " in listed
    assert "without attributes" in run("sample", made / "plain", "--list-attributes").out
    pictures = []
    for number, asked in enumerate((["--hair", "pink"], ["--hair=pink"], ["--hair", "blue", "--eyes", "aqua"],
                                    ["--hair", "pink:0.5,blue:0.5"], [])):  # fmt: skip
        before = ["sample", *asked, made / "labelled"] if number == 1 else ["sample", made / "labelled", *asked]
        assert run(*before, "--count", "4", "--out", f"{number}.png").code == 0
        pictures.append((tmp_path / f"{number}.png").read_bytes())
    assert pictures[0] == pictures[1] and len(set(pictures)) == 4


@pytest.mark.parametrize("mode", ["fix_noise", "fix", "change_hair", "change_eyes"])
def test_modes(run: Run, tmp_path: Path, made: Path, mode: str) -> None:
    assert run("sample", made / "labelled", "--mode", mode) == Said(0, f"{mode}.png\n", "")
    assert min(size(tmp_path / f"{mode}.png")) > 16


@pytest.mark.parametrize(
    ("words", "fragments"),
    [
        (["labelled", "--hair", "pinq"], ["unknown hair 'pinq' (did you mean 'pink'?)"]),
        (["labelled", "--hiar", "pink"], ["unknown attribute 'hiar' (did you mean 'hair'?)"]),
        (["labelled", "--hair", "pink:0.5,bleu:0.5"], ["unknown hair 'bleu' (did you mean 'blue'?)"]),
        (["labelled", "--hair", "pink:x"], ["a mixture is spelt value:weight"]),
        (["labelled", "--hair", "pink:nan"], ["finite"]),
        (["labelled", "--hair"], ["--hair needs a value"]),
        (["labelled", "--mode", "fixnoise"], ["unknown mode 'fixnoise' (did you mean 'fix_noise'?)"]),
        (["labelled", "--mode", "change_hair", "--hair", "pink"], ["'hair' takes all of its values"]),
        (["labelled", "plain"], ["unexpected word"]),
        (["plain", "--hair", "pink"], ["trained without attributes"]),
        (["plain", "--mode", "fix"], ["needs a model with attributes"]),
        (["plain", "--count", "0"], ["must be 1 or more, not 0"]),
        (["plain", "--count", "x"], ["'--count'"]),
        (["plain", "--rows", "0"], ["1 row or more"]),
        (["plain", "--cuont", "3"], ["unknown option --cuont (did you mean '--count'?)"]),
        (["plain", "--truncation", "-1"], ["truncation"]),
        (["plain", "--truncation", "nan"], ["truncation"]),
        (["plain", "--format", "gif"], ["not as .gif"]),
        (["plain", "--out", "faces.gif"], ["not as .gif"]),
        (["plain", "--separate", "--out", "faces.png"], ["name a folder for single pictures"]),
        (["plain", "--device", "gpu"], ["unknown device 'gpu' (did you mean 'cpu'?)"]),
        (["plain", "--device", "cuda:7"], ["no device 'cuda:7' on this machine"]),
        (["plain/model/config.json"], ["part of a model"]),
    ],
    ids=lambda value: " ".join(value)[:50],
)
def test_wrong_words_of_sample(run: Run, tmp_path: Path, made: Path, words: list[str], fragments: list[str]) -> None:
    refused(run("sample", made / words[0], *words[1:]), 2, *fragments)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("name", "content", "fragments"),
    [
        ("model/config.json", None, ["config.json is missing"]),
        ("model/model.safetensors", None, ["model.safetensors is missing"]),
        ("model/config.json", b"{", ["config.json is not JSON"]),
        ("model/config.json", b"{}", ["config.json"]),
        ("model/model.safetensors", b"\x10", ["model.safetensors is damaged"]),
        ("model", None, ["has no model yet"]),
    ],
)
def test_models_with_missing_or_damaged_parts(
    run: Run, tmp_path: Path, made: Path, name: str, content: bytes | None, fragments: list[str]
) -> None:
    shutil.copytree(made / "plain", tmp_path / "copy")
    part = tmp_path / "copy" / name
    if content is not None:
        part.write_bytes(content)
    elif part.is_dir():
        shutil.rmtree(part)
    else:
        part.unlink()
    refused(run("sample", "copy"), 1, *fragments)
    assert not (tmp_path / "samples.png").exists()


# Avatars and recipes


def test_avatars(run: Run, tmp_path: Path) -> None:
    assert run("avatars", "my faces", "--count", "5", "--size", "8", "--seed", "2") == Said(
        0, "5 faces in my faces\n", ""
    )
    assert len(list((tmp_path / "my faces/images").glob("*.png"))) == 5
    assert len((tmp_path / "my faces/labels.csv").read_text().splitlines()) == 6
    refused(run("avatars", tmp_path / "my faces/labels.csv"), 1, "labels.csv")


def test_recipes_list_is_one_line_each(run: Run) -> None:
    lines = run("recipes", "list").out.splitlines()
    summaries = {name: home.load(name).summary for home in (recipes, upscaling) for name in home.names()}
    assert [line.split()[0] for line in lines] == list(summaries)
    for summary, line in zip(summaries.values(), lines, strict=True):
        assert line.rstrip().endswith(summary)


def test_recipes_list_wraps_between_words_in_a_terminal(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    with (tmp_path / "screen").open("w+", encoding="utf-8") as file:
        monkeypatch.setattr(cli, "console", Console(file=file, force_terminal=True, width=80, highlight=False))
        list_()
        file.seek(0)
        lines = re.sub(r"\x1b\[[0-9;]*m", "", file.read()).splitlines()
    words = {word for name in recipes.names() for word in f"{name} {recipes.load(name).summary}".split()}
    assert all(len(line) <= 80 for line in lines) and {word for line in lines for word in line.split()} <= words


@pytest.mark.parametrize("name", recipes.names())
def test_recipes_show(run: Run, tmp_path: Path, name: str) -> None:
    assert run("recipes", "show", name).out.strip() == recipes.text(name).strip()
    resolved = run("recipes", "show", name, "--resolved").out
    assert recipes.load(recipes.parse_yaml(resolved, "x")) == recipes.load(name)


def test_recipes_diff(run: Run, tmp_path: Path) -> None:
    said = run("recipes", "diff", "dcgan", "sagan")
    rows = {line.split()[0]: line.split()[1:] for line in said.out.splitlines()}
    assert rows["key"] == ["dcgan", "sagan"] and rows["objective.name"] == ["bce", "hinge"]
    assert rows["optim.discriminator.lr"] == ["–", "0.0004"] and "name" not in rows and "summary" not in rows
    assert rows.keys() - {"key"} == {key for key, _, _ in recipes.diff(recipes.load("dcgan"), recipes.load("sagan"),
                                                                       ("name", "summary", "source"))}  # fmt: skip
    assert run("recipes", "diff", "dcgan", "dcgan").out == "no difference\n"
    (tmp_path / "[b] mine.yaml").write_text(recipes.text("dcgan").replace("2.0e-4", "0.5"))
    said = run("recipes", "diff", "dcgan", "[b] mine.yaml")
    assert re.search(r"optim\.lr +0\.0002 +0\.5", said.out) and "[b] mine.yaml" in said.out


# Help


VERBS: list[list[str]] = [[], ["train"], ["sample"], ["avatars"], ["recipes"], ["recipes", "list"], ["recipes", "show"],
                          ["recipes", "diff"]]  # fmt: skip
OPTIONS = {
    "train": ["--recipe", "--data", "--out", "--images", "--image-size", "--batch-size", "--seed", "--device",
              "--precision", "--dry-run", "--allow-changes"],
    "sample": ["--out", "--count", "--seed", "--rows", "--separate", "--truncation", "--format", "--mode", "--device",
               "--list-attributes"],
    "avatars": ["--count", "--size", "--seed"],
    "recipes show": ["--resolved"],
    "": ["--version", "train", "sample", "avatars", "recipes"],
    "recipes": ["list", "show", "diff"],
}  # fmt: skip


@pytest.mark.parametrize("verb", VERBS, ids=" ".join)
@pytest.mark.parametrize("word", ["--help", "-h"])
@pytest.mark.parametrize("columns", [60, 80, 200])
def test_help(run: Run, verb: list[str], word: str, columns: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", str(columns))
    monkeypatch.setenv("TERMINAL_WIDTH", str(columns))
    said = run(*verb, word)
    assert said.code == 0 and said.err == "" and f"Usage: {' '.join(['kaogan', *verb])}" in said.out
    for option in [*OPTIONS.get(" ".join(verb), []), "--help"]:
        assert re.search(rf"(?m)^.? *{option}\b", said.out), option
    assert max(map(len, said.out.splitlines())) <= columns


def test_bare_words_print_their_help(run: Run) -> None:
    for words in ([], ["recipes"]):
        said = run(*words)
        assert said.code == 2 and said.err == "" and "Usage: kaogan" in said.out


def test_version(run: Run) -> None:
    from kaogan.version import __version__

    assert run("--version") == Said(0, f"kaogan {__version__}\n", "")


# Real processes


def start(*words: object) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "kaogan", *map(str, words)],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1", "PYTHONUNBUFFERED": "1"},
    )


def when(condition: Callable[[], object], process: subprocess.Popen[str]) -> None:
    while not condition():
        assert process.poll() is None, process.communicate()
        time.sleep(0.01)


@pytest.mark.timeout(300)
def test_killed_and_interrupted_and_the_same_command_again(tmp_path: Path, run: Run) -> None:
    """SIGKILL, SIGINT, SIGTERM; then to the end: bit for bit what an undisturbed run leaves."""
    words = [*TINY, "--extras.noise.amount", "0.1", "--run.checkpoint_every", "512", "--run.grid_every", "100000"]
    broken = tmp_path / "broken off"
    found = lambda: checkpoint.find(broken / "checkpoints")  # noqa: E731
    sitting = ["train", "dcgan", *words, "--images", "1000000", "--out", broken]
    clocks = [0]
    for number in (signal.SIGKILL, signal.SIGINT, signal.SIGTERM):
        before = found()
        process = start(*sitting)
        when(lambda before=before: found()[-1:] > before[-1:] and len(found()) > 1, process)  # type: ignore[misc]
        process.send_signal(number)
        out, err = process.communicate(timeout=60)
        _, state = checkpoint.load(found()[-1])
        if number == signal.SIGKILL:
            assert process.returncode == -9
        else:
            assert process.returncode == 130 and err == "", err
            assert f"Stopped at {state['clock']:,} images; the same command goes on from here." in out
        assert state["clock"] > clocks[-1]
        clocks.append(state["clock"])
    end = clocks[-1] + 8
    for out in (broken, tmp_path / "whole"):
        assert run("train", "dcgan", *words, "--images", end, "--out", out).code == 0
    (first, _), (second, _) = (
        checkpoint.load(checkpoint.find(out / "checkpoints")[-1]) for out in (broken, tmp_path / "whole")
    )
    assert first.keys() == second.keys()
    assert all(np.array_equal(first[name].numpy(), second[name].numpy()) for name in first)
    for part in ("model/model.safetensors", "model/preview.png", "real.png"):
        assert (broken / part).read_bytes() == (tmp_path / "whole" / part).read_bytes()
    lines = [json.loads(line)["clock"] for line in (broken / "stats.jsonl").read_text().splitlines()]
    assert lines == sorted(set(lines))


def test_a_terminal_that_cannot_spell(monkeypatch: pytest.MonkeyPatch) -> None:
    screen = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(screen, encoding="ascii"))
    monkeypatch.setattr(sys, "argv", ["kaogan", "recipes", "diff", "dcgan", "sagan"])
    with pytest.raises(SystemExit) as ended:
        cli.main()
    sys.stdout.flush()
    assert ended.value.code == 0 and re.search(rb"optim\.discriminator\.lr +\? +0\.0004", screen.getvalue())


def test_a_closed_pipe() -> None:
    process = start("recipes", "show", "bamsgan", "--resolved")
    assert process.stdout is not None and process.stderr is not None
    process.stdout.close()
    assert process.wait(timeout=60) in (0, 1) and process.stderr.read() == ""
    process.stderr.close()
