"""BaMSGAN's ``netG_*.pth``: a bare state dict of l1 to l4, last, attn1 and attn2."""

from __future__ import annotations

from typing import Any

from torch import nn

from kaogan.core.foreign_weights import WeightFile
from kaogan.share.import_weights.name_map import GeneratorSpec, Hints, ModuleMap, require, require_size

PROGRAM_NAMES = ("bamsgan",)
WRAPPER = ""
MODULES: ModuleMap = [
    ("l1.0", "body.0"), ("l1.1", "body.1"), ("l2.0", "body.3"), ("l2.1", "body.4"), ("l3.0", "body.6"),
    ("l3.1", "body.7"), ("l4.0", "body.10"), ("l4.1", "body.11"), ("last.0", "last.0"), ("attn1", "body.9"),
    ("attn2", "body.13"),
]  # fmt: skip


def recognises(content: WeightFile) -> bool:
    return any(name.startswith("l1.0.") for name in content.tensors) and "attn1.gamma" in content.tensors


def generator_spec(content: WeightFile, hints: Hints, name: str | None) -> GeneratorSpec:
    width, channels = content.shape("last.0.weight", 4)[:2]
    return GeneratorSpec(
        name="bamsgan",
        summary="BaMSGAN's generator: spectral norm, layer norm, self-attention at 16 and 32 px.",
        source="li147852xu/BaMSGAN; Li et al., Mathematics 2023, 11(20), 4401",
        generator={
            "family": "dcgan", "width": width, "norm": "layer", "attention": [16, 32], "bias": True,
            "final_bias": True, "spectral": True,
        },
        latent_size=content.shape("l1.0.weight_orig", 4)[0],
        channels=channels,
        module_map=module_map,
    )  # fmt: skip


def module_map(settings: Any, network: nn.Module) -> ModuleMap:
    require(settings, "BaMSGAN", family="dcgan", norm="layer", norm_eps=1e-5, attention=(16, 32), spectral=True,
            bias=True, final_bias=True, kernel=4, upsample="transpose", activation="relu", tail_blocks=0)  # fmt: skip
    require_size(network, "BaMSGAN", 14)
    return MODULES


def notes(settings: Any, model: Any) -> list[str]:
    if (settings.width, model.latent_size, model.channels) == (64, 100, 3):
        return []
    return ["BaMSGAN's program makes a width of 64, latents of 100 and 3 channels only"]
