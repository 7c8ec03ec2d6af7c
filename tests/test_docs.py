"""The documents say what is true: the example runs, the commands parse, the numbers are those of the code."""

from __future__ import annotations

import itertools
import re
from pathlib import Path

import pytest
import torch

from kaogan.cli._console import parse_overrides
from kaogan.config import recipes
from kaogan.config import upscale_recipe as upscaling
from kaogan.networks import build_discriminator, build_generator, count_parameters
from kaogan.networks.residual import PUBLISHED

ROOT = Path(__file__).resolve().parent.parent
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("**/*.md"))]


def test_the_python_example_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (code,) = re.findall(r"```python\n(.*?)```", (ROOT / "docs/python.md").read_text(), re.DOTALL)
    monkeypatch.chdir(tmp_path)
    names: dict = {}
    exec(code.replace("images=1_000", "images=64"), names)
    assert names["pictures"].shape == (8, 32, 32, 3)
    assert (names["faces"] == names["model"].sample(4, seed=1, hair="black")).all()


@pytest.mark.parametrize("page", PAGES, ids=lambda p: p.name)
def test_links_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\((?!https?://)([^)#]+)\)", page.read_text()):
        assert (page.parent / target).exists(), target


def test_commands_name_recipes_and_settings_that_exist() -> None:
    text = "\n".join(page.read_text() for page in PAGES)
    found = re.findall(r"kaogan train ([a-z][a-z0-9-]+)([^\n`#]*)", text)
    assert len(found) >= 3
    for name, rest in found:
        words = [w for w in re.findall(r"'[^']*'|\S+", rest) if not w.startswith("[")]
        overrides = {}
        for flag, value in itertools.pairwise(words):
            if re.fullmatch(r"--[a-z]+(\.[a-z0-9_]+)+", flag):
                overrides |= parse_overrides({flag.removeprefix("--"): value.strip("'")})
        (upscaling if name in upscaling.names() else recipes).load(name, overrides)


def test_parameter_counts_of_the_recipes() -> None:
    rows = dict(
        re.findall(r"^\| `([a-z0-9-]+)` \| .* \| ([\d,]+ / [\d,]+) \|$", (ROOT / "docs/recipes.md").read_text(), re.M)
    )
    assert sorted(rows) == recipes.names()
    for name, counts in rows.items():
        recipe = recipes.load(name)
        sizes = () if not recipe.attributes.names else (13,) if name == "acgan-year" else (12, 10)
        with torch.device("meta"):
            generator = build_generator(
                recipe.generator,
                latent_size=recipe.latent.size,
                attribute_size=sum(sizes),
                image_size=64,
                channels=3,
            )
            discriminator = build_discriminator(recipe.discriminator, attribute_sizes=sizes, image_size=64, channels=3)
        assert counts == f"{count_parameters(generator):,} / {count_parameters(discriminator):,}", name


def test_parameter_counts_of_the_variants() -> None:
    rows = dict(re.findall(r"^\| (generator_\w+) \| .* \| ([\d,]+) \|$", (ROOT / "docs/recipes.md").read_text(), re.M))
    assert set(PUBLISHED) | {"generator_1"} == set(rows)
    for name, (settings, latent_size) in PUBLISHED.items():
        with torch.device("meta"):
            network = build_generator(settings, latent_size=latent_size, attribute_size=0, image_size=64, channels=3)
        assert rows[name] == f"{count_parameters(network):,}", name


def test_the_site_builds_without_a_warning(tmp_path: Path) -> None:
    build_main = pytest.importorskip("sphinx.cmd.build").build_main
    arguments = ["-W", "-q", "-b", "html", "-d", str(tmp_path / "doctrees"), str(ROOT / "docs"), str(tmp_path / "html")]
    assert build_main(arguments) == 0
    page = (tmp_path / "html/index.html").read_text()
    assert not re.findall(r'<(?:script|link|img)[^>]+(?:src|href)="https?://', page)
