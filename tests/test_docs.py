"""The documents say what is true: the example runs, the commands parse, the numbers are those of the code."""

from __future__ import annotations

import importlib
import inspect
import itertools
import re
from pathlib import Path
from typing import Any

import pytest
import torch
import typer

from kaogan.cli import app
from kaogan.cli._console import parse_overrides
from kaogan.config import recipes
from kaogan.config import upscale_recipe as upscaling
from kaogan.config.recipe import recipe_type
from kaogan.config.upscale_recipe import UpscaleRecipe
from kaogan.networks import build_generator, count_parameters
from kaogan.networks.residual import PUBLISHED
from tools import draw_architecture, write_reference

ROOT = Path(__file__).resolve().parent.parent
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", ROOT / "CHANGELOG.md", *sorted((ROOT / "docs").glob("**/*.md"))]
OWN_PAGES = [page for page in PAGES if "models" not in page.parts]
SOURCES = [path for folder in ("kaogan", "tools", "benchmarks") for path in (ROOT / folder).rglob("*")
           if path.suffix in (".py", ".yaml", ".j2", ".js")]  # fmt: skip


def test_the_python_example_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (code,) = re.findall(r"```python\n(.*?)```", (ROOT / "docs/how-to/python.md").read_text(), re.DOTALL)
    monkeypatch.chdir(tmp_path)
    names: dict = {}
    exec(code.replace("images=1_000", "images=64"), names)
    assert names["pictures"].shape == (8, 32, 32, 3)
    assert (names["faces"] == names["model"].sample(4, seed=1, hair="black")).all()


def _name(page: Path) -> str:
    return page.relative_to(ROOT).as_posix()


def test_the_snippets_for_contributors_run() -> None:
    snippets = re.findall(r"```python\n(.*?)```", (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8"), re.DOTALL)
    assert len(snippets) == 3
    for code in snippets:
        assert "\nassert " in code
        exec(code, {"__name__": "snippet"})


@pytest.mark.parametrize("page", PAGES, ids=_name)
def test_links_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\((?!https?://)([^)#]+)\)", page.read_text()):
        assert (page.parent / target).exists(), target


def test_commands_name_recipes_and_settings_that_exist() -> None:
    text = "\n".join(page.read_text() for page in PAGES)
    found = re.findall(r"kaogan train ([a-z][a-z0-9-]+)([^\n`#]*)", text)
    assert len(found) >= 3
    for name, rest in found:
        if "--plugin" in rest:
            continue  # tests/plugins runs these
        words = [w for w in re.findall(r"'[^']*'|\S+", rest) if not w.startswith("[")]
        overrides = {}
        for flag, value in itertools.pairwise(words):
            if re.fullmatch(r"--[a-z]+(\.[a-z0-9_]+)+", flag):
                overrides |= parse_overrides({flag.removeprefix("--"): value.strip("'")})
        (upscaling if name in upscaling.names() else recipes).load(name, overrides)


def test_parameter_counts_of_the_variants() -> None:
    rows = dict(
        re.findall(
            r"^\| (generator_\w+) \| .* \| ([\d,]+) \|$", (ROOT / "docs/reference/networks.md").read_text(), re.M
        )
    )
    assert set(PUBLISHED) | {"generator_1"} == set(rows)
    for name, (settings, latent_size) in PUBLISHED.items():
        with torch.device("meta"):
            network = build_generator(settings, latent_size=latent_size, attribute_size=0, image_size=64, channels=3)
        assert rows[name] == f"{count_parameters(network):,}", name


@pytest.mark.parametrize("name", write_reference.PAGES)
def test_generated_pages_are_as_the_code_is(name: str) -> None:
    page = ROOT / "docs" / "reference" / name
    assert page.read_text(encoding="utf-8") == write_reference.PAGES[name](), "run: python -m tools.write_reference"


def test_the_picture_of_the_rooms_is_as_the_code_is() -> None:
    drawn = draw_architecture.PICTURE.read_text(encoding="utf-8")
    assert drawn == draw_architecture.picture(), "run: python -m tools.draw_architecture"


def test_every_setting_and_every_public_name_is_described() -> None:
    for model in (recipe_type(), UpscaleRecipe):
        assert [key for key, _, _, description in write_reference.rows(model) if not description] == []
    for module_name, names in write_reference.API.values():
        module = importlib.import_module(module_name)
        for name in names or module.__all__:
            thing = getattr(module, name)
            assert not callable(thing) or inspect.getdoc(thing), f"{module_name}.{name}"


def test_every_option_and_argument_of_a_command_is_described() -> None:
    page = (ROOT / "docs/reference/commands.md").read_text(encoding="utf-8")
    lines = [line for line in page.splitlines() if line.startswith("* `")]
    assert sum(line.startswith("* `--") for line in lines) > 200
    assert [line for line in lines if not re.match(r"\* `[^`]+`: \S", line)] == []


@pytest.fixture(scope="module")
def keys() -> set[str]:
    """Of all settings there are."""
    rows = [row for model in (recipe_type(), UpscaleRecipe) for row in write_reference.rows(model)]
    return {re.sub(r" \(.*?\)", "", key) for key, *_ in rows}


@pytest.mark.parametrize("page", [page for page in OWN_PAGES if page.name != "CHANGELOG.md"], ids=_name)
def test_pages_name_settings_that_exist(page: Path, keys: set[str]) -> None:
    known = keys | {key.rsplit(".", depth)[0] for key in keys for depth in (1, 2)}
    sections = {key.split(".")[0] for key in keys if "." in key}
    for name in re.findall(r"`-{0,2}([a-z]+(?:\.[a-z0-9_]+)+)\b[^`\n]*`", page.read_text(encoding="utf-8")):
        if name.split(".")[0] in sections and not name.endswith((".py", ".md", ".json", ".h5", ".png")):
            assert name in known, name


def _lines(text: str) -> list[str]:
    """The commands of a page: lines of its blocks, words in backticks, and a Makefile's."""
    blocks = "\n".join(re.findall(r"```\w*\n(.*?)```", text, re.S))
    found = re.findall(r"^(?:\w+ run .*? )?kaogan ([a-z][^\n#]*)", blocks, re.M)
    return [*found, *re.findall(r"(?<!`)`kaogan ([a-z][^`]*)`", text), *re.findall(r"\$\(RUN\) kaogan (.*)", text)]


def _command(words: list[str]) -> tuple[Any, list[str]]:
    """The command of the command line that ``words`` begin with, and the words behind its name."""
    command: Any = typer.main.get_command(app)
    while words and (commands := getattr(command, "commands", {})):
        if words[0] not in commands:
            return commands.get("find", command), words  # what a bare ``kaogan faces`` stands for
        command, words = commands[words[0]], words[1:]
    return command, words


@pytest.mark.parametrize("page", [*(p for p in OWN_PAGES if p.name != "commands.md"), ROOT / "Makefile"], ids=_name)
def test_pages_name_commands_and_options_that_exist(page: Path) -> None:
    """Attributes of a set (--hair) and keys of a recipe (--optim.lr) are options where a command takes any words."""
    for line in _lines(page.read_text(encoding="utf-8")):
        command, rest = _command(line.replace("\n", " ").split())
        assert not hasattr(command, "commands") or not rest, line
        known = {name for option in command.params for name in (*option.opts, *option.secondary_opts)} | {
            "--help",
            "--plugin",
        }
        free = command.context_settings.get("ignore_unknown_options", False)
        for option in re.findall(r"(?<![\w-])(--[a-z][a-z-]*)(?![\w.])", " ".join(rest)):
            assert option in known or (free and option in ("--hair", "--eyes", "--year")), f"{option} in: {line}"


@pytest.mark.parametrize("page", [*OWN_PAGES, *SOURCES], ids=_name)
def test_files_that_are_named_exist(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    pattern = r"(?<![\w./])((?:kaogan|tools|tests|benchmarks|docs)/[\w./-]+(?:\.(?:py|md|yaml|jsonl?|svg)\b|/(?=`)))"
    for name in re.findall(pattern, text):
        assert (ROOT / name).exists(), name


@pytest.mark.parametrize("page", PAGES, ids=_name)
def test_no_page_names_a_place_that_a_reader_has_not(page: Path) -> None:
    assert not re.findall(r"\.\./shared|/work/|/tmp/|[Ss]ystem'?s? [ABGKS]\b", page.read_text(encoding="utf-8"))


FAMILIES = sorted((ROOT / "docs/explanation/families").glob("*.md"))


def test_every_recipe_has_a_page_that_quotes_or_names_it() -> None:
    texts = [page.read_text(encoding="utf-8") for page in FAMILIES if page.name != "README.md"]
    for name in [*recipes.names(), "srgan"]:
        assert any(f"`{name}`" in text for text in texts), name
    quoted = [re.findall(r"```yaml\nname: ([\w-]+)", text) for text in texts]
    assert all(quoted)


@pytest.mark.parametrize("page", [page for page in FAMILIES if page.name != "README.md"], ids=_name)
def test_what_a_family_says_to_change_is_a_change(page: Path) -> None:
    """Options in a table are those of the page's first recipe; a line of a recipe stands under its top-level key."""
    text = page.read_text(encoding="utf-8")
    (name, whole) = re.findall(r"```yaml\nname: ([\w-]+)\n(.*?)```", text, re.DOTALL)[0]
    module = upscaling if name in upscaling.names() else recipes
    changes = re.findall(r"`(--[^`]+)`", text.partition("## What to change")[2])
    assert len(changes) >= 2
    for change in changes:
        words = re.findall(r"'[^']*'|\S+", change)
        flags, values = [word.removeprefix("--") for word in words[::2]], [word.strip("'") for word in words[1::2]]
        if len(flags) == len(values):
            recipe = module.load(
                name, parse_overrides({f.replace("-", "_"): v for f, v in zip(flags, values, strict=True)})
            )
            assert recipe != module.load(name), change
    explained = text.partition("## The recipe")[2].partition("## The curves")[0]
    for key in re.findall(r"^([a-z]+):", whole, re.M):
        assert key in ("summary", "source", "run", "data") or f"`{key}`" in explained, key


# What somebody new looks for -> a word of the field that the file's name must hold, and what the file must define.
WHERE = {
    "old fakes": ("replay", "class ReplayBuffer"),
    "FID": ("fid", "def fid|def frechet"),
    "log": ("run_logger", "class RunLogger"),
    "R1": ("gradient_penalty", "r1|zero_centred"),
    "duplicates": ("duplicates", "def find"),
    "a face is found": ("face_detector", "def load_detector|load_detector"),
    "what a checkpoint holds": ("state", "def state_dict"),
    "web page": ("web", "def export_web"),
    "moving average": ("ema", "class EMA"),
    "ADA": ("ada", "class "),
    "path length": ("path_length", "def path_length_penalty"),
    "collapse": ("failure_detector", "def find_failure"),
    "projection": ("projection", "def project"),
    "resuming": ("resume", "def resume"),
    "network of the tagger": ("network", "class "),
    "shards of pictures": ("shards", "[Ss]hards"),
    "n_critic": ("optimizers", "def set_learning_rate"),
    "one step": ("step", "class GANTrainer"),
}


@pytest.mark.parametrize("words", WHERE)
def test_the_page_of_places_answers(words: str) -> None:
    text = (ROOT / "docs/explanation/architecture.md").read_text(encoding="utf-8").partition("## Where is")[2]
    row = next(line for line in text.splitlines() if line.startswith("|") and words in line.split("|")[1])
    path = ROOT / re.findall(r"`([^`]+)`", row)[0]
    word, definition = WHERE[words]
    assert word in path.name
    file = path / "__init__.py" if path.is_dir() else path
    assert re.search(definition, file.read_text(encoding="utf-8"))


def test_the_site_builds_without_a_warning(tmp_path: Path) -> None:
    build_main = pytest.importorskip("sphinx.cmd.build").build_main
    arguments = ["-W", "-q", "-b", "html", "-d", str(tmp_path / "doctrees"), str(ROOT / "docs"), str(tmp_path / "html")]
    assert build_main(arguments) == 0
    page = (tmp_path / "html/index.html").read_text()
    assert not re.findall(r'<(?:script|link|img)[^>]+(?:src|href)="https?://', page)
