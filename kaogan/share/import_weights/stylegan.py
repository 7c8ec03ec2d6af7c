"""StyleGAN2 and StyleGAN3 generators as plain tensors (see kaogan/networks/stylegan/load_pretrained.py)."""

from __future__ import annotations

from typing import Any

from kaogan.core.foreign_weights import WeightFile
from kaogan.core.schema import Schema
from kaogan.networks.stylegan.load_pretrained import build_published
from kaogan.share.import_weights.name_map import GeneratorSpec, Hints, uniform_schema

PROGRAM_NAMES = ("stylegan",)


def recognises(content: WeightFile) -> bool:
    names = content.tensors
    return any(name.startswith("mapping.fc0.") for name in names) and any(n.startswith("synthesis.") for n in names)


def generator_spec(content: WeightFile, hints: Hints, name: str | None) -> GeneratorSpec:
    published = build_published(content.tensors, content.path)
    classes = published.attribute_size
    return GeneratorSpec(
        name=published.settings.family,
        summary=f"A published generator of the family {published.settings.family}.",
        source="NVIDIA, StyleGAN2-ADA or StyleGAN3",
        generator=published.settings.model_dump(mode="json"),
        latent_size=published.latent_size,
        image_size=published.image_size,
        channels=published.channels,
        attributes=uniform_schema(**{"class": [str(n) for n in range(classes)]}) if classes else Schema(),
        module_map=_none,
        network=published.network,
    )


def _none(settings: Any, network: Any) -> Any:
    raise AssertionError("the network is filled already")
