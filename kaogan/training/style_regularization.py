"""What training asks of style networks only: mixed styles, moving averages, and lengths of paths."""

from __future__ import annotations

import torch
from torch import Tensor

from kaogan.config.recipe import Recipe
from kaogan.core.rng import draw_latents
from kaogan.losses import path_length, path_lengths
from kaogan.networks.stylegan import StyleGenerator


def draw_styles(
    generator: StyleGenerator, latents: Tensor, codes: Tensor | None, recipe: Recipe, random: torch.Generator,
    update_emas: bool = False,
) -> Tensor:  # fmt: skip
    """Styles (N, num_ws, w_dim) of latents (N, Z); from a random layer on those of other latents, with the probability
    that the recipe sets (Karras et al. 2019, section 3.1). The second ones do not enter the average of w."""
    styles = generator.styles(latents, codes, update_emas=update_emas)
    mixing = recipe.extras.style_mixing
    if mixing and generator.num_ws > 1 and float(torch.rand([], generator=random)) < mixing:
        cutoff = int(torch.randint(1, generator.num_ws, [], generator=random))
        others = draw_latents(len(latents), recipe.latent.size, recipe.latent.distribution, random).to(latents.device)
        styles = torch.cat([styles[:, :cutoff], generator.styles(others, codes)[:, cutoff:]], 1)
    return styles


def path_penalty(
    generator: StyleGenerator, styles: Tensor, mean: Tensor, decay: float, random: torch.Generator
) -> tuple[Tensor, Tensor]:
    """The path length penalty at ``styles`` and the new mean length."""
    images = generator.synthesis(styles, random=random)
    noise = torch.randn(images.shape, generator=random).to(images.device)
    return path_length(path_lengths(images, styles, noise), mean, decay)
