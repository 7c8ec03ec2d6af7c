"""Small commands, the guide, and the help of all commands."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import typer
from rich.console import Console

from kaogan.cli import _app, _console, _words
from kaogan.cli.recipes import list_
from kaogan.config import recipes
from kaogan.config import upscale_recipe as upscaling
from kaogan.core.errors import UsageError
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


def test_recipes_list_cuts_nothing_off_in_a_narrow_terminal(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    with (tmp_path / "screen").open("w+", encoding="utf-8") as file:
        monkeypatch.setattr(_console, "console", Console(file=file, force_terminal=True, width=20, highlight=False))
        list_()
        file.seek(0)
        shown = re.sub(r"\x1b\[[0-9;]*m", "", file.read())
    assert "…" not in shown and max(map(len, shown.splitlines())) <= 20
    names = "".join(line.split(" ")[0] for line in shown.splitlines())
    assert names == "".join([*recipes.names(), *upscaling.names()])


def test_recipes_list_wraps_between_words_in_a_terminal(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    with (tmp_path / "screen").open("w+", encoding="utf-8") as file:
        monkeypatch.setattr(_console, "console", Console(file=file, force_terminal=True, width=80, highlight=False))
        list_()
        file.seek(0)
        lines = re.sub(r"\x1b\[[0-9;]*m", "", file.read()).splitlines()
    summaries = {name: home.load(name).summary for home in (recipes, upscaling) for name in home.names()}
    words = {word for name, summary in summaries.items() for word in f"{name} {summary}".split()}
    assert lines and all(len(line) <= 80 for line in lines)
    assert {word for line in lines for word in line.split()} == words


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


EXPLORE = ["walk", "interpolate", "sweep", "mix", "morph", "best", "directions", "project"]
VERBS: list[list[str]] = [[], ["train"], ["sample"], ["avatars"], ["recipes"], ["recipes", "list"], ["recipes", "show"],
                          ["recipes", "diff"], ["explore"], ["explore", "walk"], ["compare"]]  # fmt: skip
OPTIONS = {
    "train": ["--recipe", "--data", "--out", "--images", "--image-size", "--batch-size", "--seed", "--device",
              "--precision", "--dry-run", "--allow-changes"],
    "sample": ["--out", "--count", "--seed", "--rows", "--separate", "--truncation", "--format", "--mode", "--device",
               "--list-attributes"],
    "avatars": ["--count", "--size", "--seed"],
    "recipes show": ["--resolved"],
    "": ["--version", "train", "sample", "avatars", "recipes", "explore", "studio"],
    "explore": EXPLORE,
    "explore walk": ["--out", "--interpolation", "--seed", "--device"],
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


def test_a_group_alone_prints_its_help(run: Run) -> None:
    for words in (["recipes"], ["explore"]):
        said = run(*words)
        assert said.code == 2 and said.err == "" and "Usage: kaogan" in said.out


def test_kaogan_alone_guides_to_the_next_command(run: Run) -> None:
    said = run()
    assert said.code == 0 and said.err == "" and "What do you have?" in said.out
    commands = re.findall(r"(?m)^  kaogan (\S+)(?: (\S+))?", said.out)
    assert [first for first, _ in commands] == [
        "sample",
        "train",
        "prepare",
        "train",
        "adapt",
        "sample",
        "explore",
        "studio",
        "export",
    ]
    for first, second in commands:
        words = ["explore", second] if first == "explore" else [first]
        assert run(*words, "--help").code == 0
    assert recipes.load("demo"), "train demo is a recipe"


def test_help_is_a_word_too(run: Run) -> None:
    assert run("help") == run("--help")
    assert run("help", "explore", "walk") == run("explore", "walk", "help") == run("explore", "walk", "--help")


def test_old_names_are_hidden(run: Run) -> None:
    """The commands of ``explore`` without the group work, but are not listed."""
    said = run("--help").out
    for name in EXPLORE:
        assert not re.search(rf"(?m)^.? *{name}\b", said), name
        assert f"Usage: kaogan {name}" in run(name, "--help").out


def test_words_of_other_programs_are_unknown_here(run: Run) -> None:
    """None of them hides a command or an option of kaogan, and each answer names one that exists."""
    commands = typer.main.get_command(_app.app).commands  # type: ignore[attr-defined]
    for word, answer in _words.COMMANDS.items():
        assert word not in commands
        for verb in re.findall(r"kaogan ([a-z]+)", answer):
            assert verb in commands, answer
    for name, options in _words.OPTIONS.items():
        own = {each.lstrip("-").replace("-", "_") for parameter in commands[name].params for each in parameter.opts
               if each.startswith("--")}  # fmt: skip
        assert not own & set(options), name
    for word, answer in _words.OPTIONS["train"].items():
        for key in re.findall(r"--([a-z_]+(?:\.[a-z0-9_]+)+)", answer):
            with pytest.raises(UsageError, match=re.escape(key)):
                recipes.load("dcgan", {key: {"no": "value"}})
        refused(run("train", f"--{word}", "1"), 2, f"unknown option --{word}: ", answer)


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_shell_completion(run: Run, monkeypatch: pytest.MonkeyPatch, shell: str) -> None:
    """What the shell's script asks for: the names that begin with the unfinished word."""
    for name, value in {"_KAOGAN_COMPLETE": f"complete_{shell}", "COMP_WORDS": "kaogan explore wa", "COMP_CWORD": "2",
                        "_TYPER_COMPLETE_ARGS": "kaogan explore wa", "_TYPER_COMPLETE_FISH_ACTION": "get-args",
                        }.items():  # fmt: skip
        monkeypatch.setenv(name, value)
    assert "walk" in run().out


def test_version(run: Run) -> None:
    from kaogan.version import __version__

    assert run("--version") == Said(0, f"kaogan {__version__}\n", "")
