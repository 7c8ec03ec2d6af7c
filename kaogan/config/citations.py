"""The papers behind a recipe as BibTeX, found by its settings, so that one's own recipe is cited rightly as well."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from functools import cache
from importlib import resources
from typing import Any

from kaogan.config import recipes
from kaogan.config.recipe import Recipe
from kaogan.core.errors import UsageError
from kaogan.version import __version__

_FAMILIES = {
    "dcgan": "radford2016dcgan",
    "growing": "karras2018progressive",
    "residual": "corvitto2022ganime",
    "keras_wgan": "arjovsky2017wgan",
    "starsface_wgan": "gulrajani2017wgangp",
    "stylegan2": "karras2020stylegan2",
    "stylegan3": "karras2021stylegan3",
    "r3gan": "huang2024r3gan",
    "projected": "sauer2021projected",
}
_OBJECTIVES = {
    "bce": "goodfellow2014gan",
    "softplus": "goodfellow2014gan",
    "lsgan": "mao2017lsgan",
    "hinge": "lim2017geometric",
    "wasserstein": "arjovsky2017wgan",
    "relativistic": "jolicoeur2019relativistic",
}
_AUGMENTATIONS = {"ada": "karras2020ada", "diffaugment": "zhao2020diffaugment"}

# Paper -> whether a recipe, as dotted keys, uses its part.
_PARTS: dict[str, Callable[[Mapping[str, Any]], Any]] = {
    "gulrajani2017wgangp": lambda s: s.get("penalties.gradient_penalty.weight"),
    "mescheder2018r1": lambda s: s.get("penalties.r1.weight") or s.get("penalties.r2.weight"),
    "radford2016dcgan": lambda s: s["generator.family"] == "growing",
    "karras2020stylegan2": lambda s: (
        s.get("penalties.path_length.weight") or s["generator.family"] == "growing"  # its skip architecture
    ),
    "karras2019stylegan": lambda s: s.get("extras.style_mixing"),
    "karras2021stylegan3": lambda s: s.get("extras.blur_fade.sigma"),
    "miyato2018spectral": lambda s: s.get("generator.spectral") or s.get("discriminator.spectral"),
    "chen2019selfmodulation": lambda s: s.get("generator.modulation"),
    "devries2020selection": lambda s: s.get("data.instance_selection", 1) < 1,
    "zhang2019sagan": lambda s: s.get("generator.attention") or s.get("discriminator.attention"),
    "li2023bamsgan": lambda s: s.get("extras.blurred_reals.ratio") or s.get("extras.replay.fraction"),
    "sonderby2017amortised": lambda s: s.get("extras.instance_noise.amount"),
    "tseng2021lecam": lambda s: s.get("extras.lecam.weight"),
    "jiang2021apa": lambda s: s.get("extras.apa.p") or s.get("extras.apa.target") is not None,
    "sandler2018mobilenetv2": lambda s: (
        "mobilenet_v2" in [each["name"] for each in s.get("discriminator.feature_networks") or ()]
    ),
    "odena2017acgan": lambda s: s.get("attributes.names") and not _projects_attributes(s),
    "miyato2018projection": lambda s: s.get("attributes.names") and _projects_attributes(s),
}


def _projects_attributes(settings: Mapping[str, Any]) -> bool:
    return settings.get("discriminator.attribute_head", "classifier") == "projection"


def papers_of(recipe: Recipe) -> list[str]:
    """Keys of ``papers.bib`` in the order of the years: of the networks, the objective, penalties and extras."""
    settings = recipes.flatten(recipe.to_dict())
    keys = {
        _FAMILIES.get(recipe.generator.family),
        _FAMILIES.get(recipe.discriminator.family),
        _OBJECTIVES.get(recipe.objective.name),
        _AUGMENTATIONS.get(settings.get("extras.augment.name", "")),
        *(paper for paper, used in _PARTS.items() if used(settings)),
    }
    return [key for key in entries() if key in keys]


def recipe_of_model(config: Mapping[str, Any]) -> Recipe:
    """The recipe of a model from its config.json; of one that an earlier release wrote, which kept only the
    generator's settings, the published recipe of its name. Raises UsageError for one that has none."""
    name = str(config.get("recipe", ""))
    settings = {**(config.get("settings") or {}), "generator": config["generator"]}
    if "settings" in config:
        about = {key: str(config.get(key, "")) for key in ("summary", "source")}
        return recipes.resolve({}, {"name": name, **about, **settings}, name)
    if name not in recipes.names():
        raise UsageError(
            f"the model says of its recipe only the name, '{name}', which is no published one; cite its run"
        )
    return recipes.load(name, {**settings, "image_size": config["image_size"]})


@cache
def entries() -> dict[str, str]:
    """Key -> BibTeX entry of every paper that is known."""
    text = resources.files("kaogan.config").joinpath("papers.bib").read_text(encoding="utf-8")
    return {re.match(r"@\w+\{([^,]+),", entry).group(1): entry for entry in text.strip().split("\n\n")}  # type: ignore[union-attr]


def bibtex(recipe: Recipe) -> str:
    """kaogan's own entry and those of the papers behind ``recipe``."""
    own = "\n".join(
        (
            "@software{kaogan,",
            "  title = {kaogan: a toolkit to train, measure and share {GAN}s of anime faces},",
            "  author = {{kaogan developers}},",
            f"  version = {{{__version__}}}",
            "}",
        )
    )
    return "\n\n".join([own, *(entries()[key] for key in papers_of(recipe))])
