"""The mapping network and the frame of a style-based generator."""

from __future__ import annotations

from typing import TypeGuard

import torch
from torch import Tensor, nn

from kaogan.networks.base import Generator
from kaogan.networks.stylegan.layers import Linear, normalise_second_moment


class Mapping(nn.Module):
    """latents (N, z_dim) and conditions (N, c_dim) -> styles w (N, w_dim). Karras et al. 2019, section 2.

    ``z_dim`` may be 0: then only the conditions enter (the discriminator's). ``w_avg_beta`` None keeps no average of w.
    """

    w_avg: Tensor

    def __init__(
        self, z_dim: int, c_dim: int, w_dim: int, num_layers: int, w_avg_beta: float | None, lr_multiplier: float = 0.01
    ):
        super().__init__()
        self.z_dim, self.c_dim, self.num_layers, self.w_avg_beta = z_dim, c_dim, num_layers, w_avg_beta
        if c_dim:
            self.embed = Linear(c_dim, w_dim)
        for index in range(num_layers):
            width = w_dim if index else z_dim + (w_dim if c_dim else 0)
            self.add_module(f"fc{index}", Linear(width, w_dim, activation="lrelu", lr_multiplier=lr_multiplier))
        if w_avg_beta is not None:
            self.register_buffer("w_avg", torch.zeros(w_dim))

    def forward(self, latents: Tensor | None, conditions: Tensor | None, update_emas: bool = False) -> Tensor:
        dtype = next(self.parameters()).dtype
        parts = [normalise_second_moment(latents.to(dtype))] if self.z_dim and latents is not None else []
        if self.c_dim:
            if conditions is None:
                raise ValueError(f"this network is conditional: it needs attributes of shape (N, {self.c_dim})")
            parts.append(normalise_second_moment(self.embed(conditions)))
        w = torch.cat(parts, 1)
        for index in range(self.num_layers):
            w = self.get_submodule(f"fc{index}")(w)
        if update_emas and self.w_avg_beta is not None:
            self.w_avg.copy_(w.detach().mean(0).lerp(self.w_avg, self.w_avg_beta))
        return w


class StyleGenerator(Generator):
    """A mapping and a synthesis network: latents (N, Z), attributes (N, A) -> images (N, C, S, S).

    As published the pictures are not squashed: they lie about [-1, 1], and what is outside is cut off where they are
    made visible. Subclasses set ``mapping`` and ``synthesis``, whose ``forward`` takes styles (N, num_ws, w_dim).
    """

    has_style_space = True
    mapping: Mapping
    synthesis: nn.Module

    @property
    def num_ws(self) -> int:
        """How many styles a picture has, one for each modulated layer or shared as in the paper."""
        return int(self.synthesis.num_ws)  # type: ignore[arg-type]

    def styles(
        self, latents: Tensor, attributes: Tensor | None = None, *, truncation: float = 1.0,
        cutoff: int | None = None, update_emas: bool = False,
    ) -> Tensor:  # fmt: skip
        """Styles (N, num_ws, w_dim). Truncation ψ draws the first ``cutoff`` of them (all: None) to the average of w:
        w_avg + ψ (w - w_avg)."""
        w = self.mapping(latents, attributes, update_emas)
        styles = w[:, None].repeat(1, self.num_ws, 1)
        if truncation != 1:
            drawn = self.mapping.w_avg.lerp(styles[:, :cutoff], truncation)
            styles = torch.cat([drawn, styles[:, drawn.shape[1] :]], 1)
        return styles

    def forward(
        self, latents: Tensor, attributes: Tensor | None = None, *, truncation: float = 1.0,
        cutoff: int | None = None, random: torch.Generator | None = None, update_emas: bool = False,
    ) -> Tensor:  # fmt: skip
        """``random`` draws the noise inputs anew; without it they are the stored ones, and the same latents give the
        same picture. ``update_emas`` moves the average of w (and StyleGAN3's magnitudes)."""
        styles = self.styles(latents, attributes, truncation=truncation, cutoff=cutoff, update_emas=update_emas)
        return self.synthesis(styles, random=random, update_emas=update_emas)


def is_style_generator(network: nn.Module) -> TypeGuard[StyleGenerator]:
    """Whether a generator has a space of styles w, as its class attribute ``has_style_space`` says."""
    return bool(getattr(network, "has_style_space", False))
