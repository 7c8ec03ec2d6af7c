"""The small verbs, and the help of all."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from rich.console import Console

from kaogan import cli
from kaogan.cli.recipes import list_
from kaogan.config import recipes
from kaogan.config import upscale_recipe as upscaling
from tests.cli.conftest import Run, Said, refused


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
    said = run("recipes", "diff", "kao-sr", "srgan")
    assert re.search(r"(?m)^.?losses\.pixel +\S+ +mse", said.out), said.out
    (tmp_path / "[b] mine.yaml").write_text(recipes.text("dcgan").replace("2.0e-4", "0.5"))
    said = run("recipes", "diff", "dcgan", "[b] mine.yaml")
    assert re.search(r"optim\.lr +0\.0002 +0\.5", said.out) and "[b] mine.yaml" in said.out


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
    monkeypatch.setattr("typer.rich_utils.MAX_WIDTH", columns)  # read once, when it is imported
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
