from __future__ import annotations

import pytest
import torch
from torch import nn

from kaogan.core.schema import Schema
from kaogan.generate.model import Model
from tests.generate.conftest import SCHEMA, tiny_model

STYLED = {"family": "stylegan2", "w_dim": 8, "num_layers": 2, "channel_base": 128, "channel_max": 8}
STYLED3 = {"family": "stylegan3", "w_dim": 8, "channel_base": 128, "channel_max": 8}


def styled_model(schema: Schema = SCHEMA, settings: dict = STYLED) -> Model:
    """An untrained style network whose average of w is not zero."""
    model = tiny_model(schema, settings=settings)
    with torch.no_grad():
        model.generator.mapping.w_avg.copy_(torch.linspace(-1, 1, 8))
    return model


FAMILIES = {
    "z": lambda: tiny_model(Schema()),
    "uniform": lambda: tiny_model(Schema(), distribution="uniform"),
    "grey": lambda: tiny_model(Schema(), channels=1),
    "codes": tiny_model,
    "modulated": lambda: tiny_model(settings={"family": "dcgan", "width": 4, "modulation": 8}),
    "residual": lambda: tiny_model(settings={"family": "residual", "width": 4, "blocks": 1, "start": 4}),
    "keras_wgan": lambda: tiny_model(Schema(), settings={"family": "keras_wgan", "width": 4, "max_width": 8}),
    "r3gan": lambda: tiny_model(settings={"family": "r3gan", "channel_base": 256, "channel_max": 16}),
    "stylegan2": styled_model,
    "stylegan2-plain": lambda: styled_model(Schema()),
    "stylegan3": lambda: styled_model(settings=STYLED3),
}


@pytest.fixture(scope="session", params=FAMILIES)
def any_model(request: pytest.FixtureRequest) -> Model:
    return FAMILIES[request.param]()


@pytest.fixture(scope="session")
def coded() -> Model:
    return tiny_model()


@pytest.fixture(scope="session")
def plain() -> Model:
    return tiny_model(Schema())


@pytest.fixture(scope="session")
def style() -> Model:
    return styled_model()


class Colours(nn.Module):
    """The upper half has the colour z[:3], a band at the height of the eyes z[3:]."""

    def forward(self, z: torch.Tensor, codes: torch.Tensor | None = None) -> torch.Tensor:
        hair = z[:, :3, None, None].expand(-1, -1, 28, 64)
        eyes = z[:, 3:, None, None].expand(-1, -1, 36, 64)
        return torch.cat([hair, eyes], 2).tanh()


@pytest.fixture
def painted() -> Model:
    model = FAMILIES["z"]()
    model.generator, model.config = Colours(), {**model.config, "image_size": 64}
    return model
