"""kaogan sample: what it writes, and what it refuses."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import kaogan
from tests.cli.conftest import Run, Said, refused

YOUNG = (
    "note: this model is young: it has seen 16 images, and the recipe dcgan takes 300,000; train it further for better "
    "faces\n"
)


def size(path: Path) -> tuple[int, int]:
    with Image.open(path) as picture:
        return picture.size


def test_a_grid(run: Run, tmp_path: Path, made: Path) -> None:
    said = run("sample", made / "plain", "--count", "6", "--rows", "2")
    assert said == Said(0, "samples.png\n", YOUNG) and size(tmp_path / "samples.png") == (3 * 18 + 2, 2 * 18 + 2)
    assert run("sample", made / "plain/model", "--out", "a b/faces.jpg", "--count", "4").out == "a b/faces.jpg\n"
    assert size(tmp_path / "a b/faces.jpg") == (38, 38)
    run("sample", made / "plain", "--count", "6", "--rows", "2", "--out", "again.png")
    run("sample", made / "plain", "--count", "6", "--rows", "2", "--out", "other.png", "--seed", "1")
    run("sample", made / "plain", "--count", "6", "--rows", "2", "--out", "mean.png", "--truncation", "0")
    first, again, other, mean = (
        (tmp_path / f"{name}.png").read_bytes() for name in ("samples", "again", "other", "mean")
    )
    assert first == again != other != mean != first


def test_single_files_have_no_rows(run: Run, made: Path) -> None:
    refused(run("sample", made / "plain", "--separate", "--rows", "2"), 2, "--rows is for a grid")


def test_single_files(run: Run, tmp_path: Path, made: Path) -> None:
    said = run("sample", made / "plain", "--separate", "--count", "3", "--format", "webp", "--out", "faces")
    assert said == Said(0, "3 pictures in faces\n", YOUNG)
    assert sorted(path.name for path in (tmp_path / "faces").iterdir()) == ["00000.webp", "00001.webp", "00002.webp"]
    assert run("sample", made / "plain", "--separate", "--count", "2").out == "2 pictures in samples\n"
    assert size(tmp_path / "samples/00001.png") == (16, 16)


def test_attributes(run: Run, tmp_path: Path, made: Path) -> None:
    listed = run("sample", made / "labelled", "--list-attributes").out
    assert listed.splitlines()[0].startswith("--hair  ") and "pink" in listed and "--eyes  " in listed
    assert "without attributes" in run("sample", made / "plain", "--list-attributes").out
    pictures = []
    for number, options in enumerate((["--hair", "pink"], ["--hair=pink"], ["--hair", "blue", "--eyes", "aqua"],
                                    ["--hair", "pink:0.5,blue:0.5"], [])):  # fmt: skip
        before = ["sample", *options, made / "labelled"] if number == 1 else ["sample", made / "labelled", *options]
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
        (["labelled", "--hair", "pink:x"], ["write a mixture as value:weight"]),
        (["labelled", "--hair", "pink:nan"], ["finite"]),
        (["labelled", "--hair"], ["--hair needs a value"]),
        (["labelled", "--mode", "fixnoise"], ["unknown mode 'fixnoise' (did you mean 'fix_noise'?)"]),
        (["labelled", "--mode", "change_hair", "--hair", "pink"], ["'hair' takes all of its values"]),
        (["labelled", "--mode", "fix", "--count", "64"], ["--count is for faces, not for the sheets of --mode"]),
        (["labelled", "--mode", "fix", "--rows", "2"], ["--rows is for faces"]),
        (["labelled", "--mode", "fix", "--separate"], ["--separate is for faces"]),
        (["labelled", "--mode", "fix", "--processes", "2"], ["--processes is for faces"]),
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


def test_attributes_called_like_options(run: Run, tmp_path: Path) -> None:
    from kaogan.core.schema import Attribute, Schema
    from tests.generate.conftest import tiny_model

    names = ("seed", "count", "out", "self", "attribute")
    model = tiny_model(Schema(tuple(Attribute(name, ("red", "blue"), (0.5, 0.5)) for name in names)))
    model.save(tmp_path / "m")
    words = [word for name in names for word in ("--attribute", f"{name}=blue")]
    assert run("sample", "m", "--count", "2", "--separate", "--seed", "3", *words).code == 0
    wanted = model.sample(2, seed=3, attributes=dict.fromkeys(names, "blue"))
    for number in range(2):
        with Image.open(tmp_path / f"samples/0000{number}.png") as picture:
            np.testing.assert_array_equal(np.asarray(picture), wanted[number])
    assert "--attribute seed=  red, blue" in run("sample", "m", "--list-attributes").out


def test_a_value_with_a_colon_is_no_mixture(run: Run, tmp_path: Path) -> None:
    from kaogan.core.schema import Attribute, Schema
    from tests.generate.conftest import tiny_model

    model = tiny_model(Schema((Attribute("show", ("re:zero", "a:1", "b"), (0.2, 0.2, 0.6)),)))
    model.save(tmp_path / "m")
    for number, (words, wanted) in enumerate((("re:zero", "re:zero"), ("a:1", "a:1"), ("re:zero:1", {"re:zero": 1.0}))):
        assert run("sample", "m", "--count", "1", "--separate", "--show", words, "--out", str(number)).code == 0
        with Image.open(tmp_path / f"{number}/00000.png") as picture:
            np.testing.assert_array_equal(np.asarray(picture), model.sample(1, show=wanted)[0])


def test_models_that_come_with_kaogan(run: Run, tmp_path: Path) -> None:
    assert "\nkao " in run("models").out
    assert run("sample", "kao", "--count", "1", "--separate").code == 0
    with Image.open(tmp_path / "samples/00000.png") as picture:
        np.testing.assert_array_equal(np.asarray(picture), kaogan.load("kao", "cpu").sample(1)[0])
    (tmp_path / "kao").mkdir()  # a folder of one's own comes first
    refused(run("sample", "kao"), 2, "kao is not a model folder")


def test_control_characters_are_shown_and_not_obeyed(run: Run, tmp_path: Path) -> None:
    refused(run("sample", "a\x1b[31mb\u202e"), 2, "no such folder a\\x1b[31mb\\u202e")
