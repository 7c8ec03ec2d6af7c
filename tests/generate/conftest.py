from __future__ import annotations

from typing import Any

import pytest
import torch

from kaogan.config.recipe import recipe_type
from kaogan.core.schema import EYES, HAIR, Attribute, Schema
from kaogan.generate.latent_filter import LatentFilter
from kaogan.generate.model import Model, make_config
from kaogan.networks import build_generator

SIZE = 16
LATENT = 6
SCHEMA = Schema(
    (
        Attribute("hair", HAIR, (0.5, 0.5) + (0.0,) * 10),
        Attribute("eyes", EYES, (0.1,) * 10),
    )
)


DCGAN = {"family": "dcgan", "width": 4, "attention": [8], "spectral": True}


def tiny_model(
    schema: Schema = SCHEMA,
    distribution: str = "normal",
    channels: int = 3,
    settings: dict[str, Any] = DCGAN,
    size: int = SIZE,
) -> Model:
    """An untrained network; DCGAN's pictures differ clearly from one another."""
    recipe = recipe_type().model_validate(
        {
            "name": "tiny",
            "summary": "A test.",
            "source": "nowhere",
            "image_size": size,
            "channels": channels,
            "latent": {"size": LATENT, "distribution": distribution},
            "generator": settings,
            "discriminator": {"family": "dcgan", "width": 4},
        }
    )
    torch.manual_seed(0)
    generator = build_generator(
        recipe.generator, latent_size=LATENT, attribute_size=schema.size, image_size=size, channels=channels
    )
    if settings is DCGAN:
        with torch.no_grad():
            generator.last[0].weight.mul_(400)
    data = {"name": "faces", "count": 1234, "fingerprint": "abc123"}
    config = make_config(recipe, schema, clock=5000, data=data, minutes=1.5, machine="a laptop")
    return Model(generator, schema, config)


def any_filter(sign: float = 1.0) -> LatentFilter:
    """It foretells the first number of a latent; of N(0, 1) the quantiles are known."""
    weight = torch.zeros(1, LATENT, dtype=torch.float64)
    weight[0, 0] = sign
    levels = torch.distributions.Normal(0, 1).icdf(torch.linspace(0.0005, 0.9995, 101).double())
    return LatentFilter([(weight, torch.zeros(1).double())], levels, {"correlation": 0.5, "rejected": 0.4})


def filtered(distribution: str = "normal", schema: Schema | None = None, **keywords) -> Model:
    plain = tiny_model(Schema() if schema is None else schema, distribution, **keywords)
    return Model(plain.generator, plain.attributes, plain.config, latent_filter=any_filter())


@pytest.fixture(scope="session")
def model() -> Model:
    return tiny_model()


@pytest.fixture(scope="session")
def plain() -> Model:
    return tiny_model(Schema())
