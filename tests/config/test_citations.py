"""The papers behind a recipe: found by its settings, every key known, every paper used."""

from __future__ import annotations

import re

import pytest

from kaogan.config import recipes
from kaogan.config.citations import bibtex, entries, papers_of, recipe_of_model
from kaogan.core.errors import UsageError
from kaogan.core.schema import Schema
from kaogan.generate.model_card import make_config


def test_entries_are_whole() -> None:
    for key, entry in entries().items():
        assert entry.startswith("@") and entry.count("{") == entry.count("}"), key
        for field in ("title", "author", "year"):
            assert re.search(rf"^  {field} = \{{.+\}},?$", entry, re.MULTILINE), f"{key}: {field}"


def test_every_recipe_cites_what_its_source_names_and_every_paper_is_used() -> None:
    used: set[str] = set()
    for name in recipes.names():
        recipe = recipes.load(name)
        keys = papers_of(recipe)
        text = "\n".join(entries()[key] for key in keys)
        used |= set(keys)
        for number in re.findall(r"arXiv:(\d{4}\.\d{5})", recipe.source):
            assert number in text, f"{name}: {number}"
    used |= set(papers_of(recipes.load("dcgan", {"objective.name": "lsgan"})))
    assert used == set(entries())


@pytest.mark.parametrize(
    ("override", "paper"),
    [
        ({"penalties.gradient_penalty.weight": 10.0}, "gulrajani2017wgangp"),
        ({"penalties.r1.weight": 1.0}, "mescheder2018r1"),
        ({"objective.name": "hinge"}, "lim2017geometric"),
        ({"extras.augment.name": "diffaugment"}, "zhao2020diffaugment"),
        ({"discriminator.spectral": True}, "miyato2018spectral"),
    ],
)
def test_a_setting_brings_its_paper(override: dict, paper: str) -> None:
    assert paper not in papers_of(recipes.load("dcgan"))
    assert paper in papers_of(recipes.load("dcgan", override))
    assert entries()[paper] in bibtex(recipes.load("dcgan", override))


@pytest.mark.parametrize(("head", "paper"), [("projection", "miyato2018projection"), ("classifier", "odena2017acgan")])
def test_how_attributes_enter_decides_whose_they_are(head: str, paper: str) -> None:
    keys = papers_of(recipes.load("kao", {"discriminator.attribute_head": head}))
    assert {"miyato2018projection", "odena2017acgan"} & set(keys) == {paper}
    without = papers_of(recipes.load("kao", {"discriminator.attribute_head": head, "attributes.names": []}))
    assert paper not in without


def test_a_model_tells_its_recipe() -> None:
    recipe = recipes.load("sagan", {"optim.lr": 3e-4, "run.seed": 7, "eval.features": "inception=/home/me/weights.pth"})
    config = make_config(recipe, Schema(), clock=8)
    assert "/home" not in str(config), "no local path travels with a model"
    differing = {key for key, _, _ in recipes.diff(recipe, recipe_of_model(config))}
    assert differing == {"eval.features"}
    del config["settings"]  # as earlier releases wrote it
    assert recipe_of_model(config).optim.discriminator.lr == recipes.load("sagan").optim.discriminator.lr
    with pytest.raises(UsageError, match="no published one"):
        recipe_of_model({**config, "recipe": "mine"})
