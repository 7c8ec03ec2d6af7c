"""A generator's twin made of PyTorch's own operations only, which every exporter understands."""

from __future__ import annotations

import copy

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

from kaogan.generate.model import Model
from kaogan.networks.layers import SelfAttention
from kaogan.networks.stylegan import StyleGenerator, is_style_generator


def exportable_copy(model: Model) -> nn.Module:
    """A copy on the CPU, of equal pictures; the model stays as it is.

    Its inputs are latents (N, Z), codes (N, A) or None and, if the network is made of styles, truncation ().
    """
    twin = copy.deepcopy(model.generator).cpu().eval().requires_grad_(False)
    for module in list(twin.modules()):
        if isinstance(module, SelfAttention):
            module.__class__ = _PlainAttention
        if parametrize.is_parametrized(module):
            _settle(module)
    return _Styled(twin) if is_style_generator(twin) else twin


def _settle(module: nn.Module) -> None:
    """Make what parametrisations compute, spectral norm's weights, plain parameters.

    remove_parametrizations would change the class, which a copied module shares with the original.
    """
    names = list(module.parametrizations)  # type: ignore[arg-type]
    values = {name: getattr(module, name).detach().clone() for name in names}
    module.__class__ = parametrize.type_before_parametrizations(module)
    del module.parametrizations
    for name, value in values.items():
        module.register_parameter(name, nn.Parameter(value, requires_grad=False))


class _PlainAttention(SelfAttention):
    """The formula. Its parent works on as many pictures at a time as fit the cache, a count no graph can hold."""

    def forward(self, x: Tensor) -> Tensor:
        query, key, value = (layer(x).flatten(2) for layer in (self.query, self.key, self.value))
        weights = torch.bmm(query.transpose(1, 2), key).softmax(2)
        out = torch.bmm(value, weights.transpose(1, 2)).unflatten(2, x.shape[2:])
        return x + self.gamma * out


class _Styled(nn.Module):
    """A style network whose truncation is a tensor."""

    def __init__(self, generator: StyleGenerator):
        super().__init__()
        self.generator = generator

    def forward(self, latents: Tensor, codes: Tensor | None, truncation: Tensor) -> Tensor:
        w = self.generator.mapping(latents, codes)
        w = w - (w - self.generator.mapping.w_avg) * (1 - truncation)  # at 1 it is w to the last bit
        images: Tensor = self.generator.synthesis(w[:, None].repeat(1, self.generator.num_ws, 1))
        return images
