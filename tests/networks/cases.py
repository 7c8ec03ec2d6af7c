"""Small settings of every family of networks, and the networks, latents and pictures that its tests use."""

import pytest
import torch
from pydantic import TypeAdapter
from torch import Tensor, nn

from kaogan.config.registries import DiscriminatorSettings, GeneratorSettings
from kaogan.networks import build_discriminator, build_generator
from kaogan.networks.base import DiscriminatorOutput

LATENT, SIZES = 6, (3, 2)
CODE = sum(SIZES)

GENERATOR_CASES = {
    "dcgan": {"family": "dcgan", "width": 4},
    "bamsgan": {"family": "dcgan", "width": 8, "norm": "layer", "spectral": True, "attention": [8, 16], "bias": True},
    "dcgan nearest": {"family": "dcgan", "width": 4, "upsample": "nearest", "activation": "leaky", "max_width": 8},
    "dcgan bilinear": {"family": "dcgan", "width": 4, "upsample": "bilinear", "norm": "instance", "init": "pytorch"},
    "dcgan smooth": {"family": "dcgan", "width": 4, "output_filter": "binomial"},
    "dcgan conv": {"family": "dcgan", "width": 4, "to_rgb": "conv", "chroma_filter": "binomial"},
    "dcgan modulated": {"family": "dcgan", "width": 4, "to_rgb": "conv", "modulation": 6},
    "dcgan shuffle": {"family": "dcgan", "width": 4, "upsample": "shuffle", "tail_blocks": 2, "kernel": 5},
    "dcgan kernel 5": {"family": "dcgan", "width": 4, "kernel": 5, "norm": "none", "init": "glorot"},
    "growing": {"family": "growing", "width": 8, "base_size": 16},
    "growing conv": {"family": "growing", "width": 8, "base_size": 16, "to_rgb": "conv", "chroma_filter": "binomial"},
    "growing modulated": {"family": "growing", "width": 8, "base_size": 16, "to_rgb": "conv", "modulation": 6},
    "growing bilinear": {
        "family": "growing", "width": 8, "base_size": 8, "upsample": "bilinear", "norm": "instance",
        "output_filter": "sharp"},
    "residual": {"family": "residual", "width": 4, "blocks": 2, "start": 8, "widen_at": [1]},
    "residual bilinear": {
        "family": "residual", "width": 16, "start": 4, "blocks": 1, "stem_norm": False, "long_skip": False,
        "upsample": "bilinear", "narrow": "block", "stage_blocks": 1, "last_blocks": 1},
    "residual transpose": {
        "family": "residual", "width": 8, "start": 8, "blocks": 1, "upsample": "transpose", "narrow": "upsample"},
    "residual deep": {"family": "residual", "width": 8, "start": 8, "blocks": 1, "stage_blocks": 2, "narrow": "block"},
    "keras_wgan": {"family": "keras_wgan", "width": 4, "max_width": 16},
    "starsface_wgan": {"family": "starsface_wgan", "width": 64},
    "stylegan2": {"family": "stylegan2", "w_dim": 16, "num_layers": 2, "channel_base": 128, "channel_max": 8},
    "stylegan2 resnet": {
        "family": "stylegan2", "w_dim": 16, "num_layers": 2, "channel_base": 128, "channel_max": 8,
        "architecture": "resnet", "conv_clamp": None},
    "stylegan3-t": {
        "family": "stylegan3", "w_dim": 16, "channel_base": 128, "channel_max": 8, "num_layers": 4, "num_critical": 1},
    "stylegan3-r": {
        "family": "stylegan3", "w_dim": 16, "channel_base": 128, "channel_max": 8, "num_layers": 4,
        "conv_kernel": 1, "use_radial_filters": True},
    "r3gan": {"family": "r3gan", "channel_base": 256, "channel_max": 16, "blocks": 1, "embedding": 4},
}  # fmt: skip

# As published, their pictures are cut off where they are shown, not squashed.
UNSQUASHED = ("stylegan2", "stylegan3", "r3gan")

DISCRIMINATOR_CASES = {
    "dcgan": {"family": "dcgan", "width": 4},
    "bamsgan": {
        "family": "dcgan", "width": 8, "norm": "none", "spectral": True, "attention": [8, 4], "bias": True},
    "dcgan bottleneck": {"family": "dcgan", "width": 4, "attribute_head": "bottleneck", "init": "pytorch"},
    "dcgan split": {"family": "dcgan", "width": 4, "attribute_head": "split", "max_width": 8, "kernel": 5},
    "dcgan instance": {"family": "dcgan", "width": 4, "norm": "instance", "first_norm": True, "final_bias": True},
    "dcgan layer": {"family": "dcgan", "width": 4, "norm": "layer", "first_norm": True},
    "residual": {"family": "residual", "width": 4},
    "residual batch": {"family": "residual", "width": 4, "norm": "batch", "blocks": 1, "init": "pytorch"},
    "keras_wgan": {"family": "keras_wgan", "width": 4, "max_width": 16},
    "keras_wgan input": {"family": "keras_wgan", "width": 4, "max_width": 16, "input_activation": True},
    "starsface_wgan": {"family": "starsface_wgan", "width": 16},
    "starsface_wgan layer": {"family": "starsface_wgan", "width": 16, "norm": "layer"},
    # Without the standard deviation of the batch, which would make pictures depend on each other.
    "stylegan2": {
        "family": "stylegan2", "channel_base": 128, "channel_max": 8, "attribute_head": "classifier",
        "mbstd_num_channels": 0},
    "stylegan2 skip": {
        "family": "stylegan2", "channel_base": 128, "channel_max": 8, "attribute_head": "classifier",
        "mbstd_num_channels": 0, "architecture": "skip", "conv_clamp": None},
    "r3gan": {
        "family": "r3gan", "channel_base": 256, "channel_max": 16, "blocks": 1, "attribute_head": "classifier"},
    "projected": {"family": "projected", "width": 4, "max_width": 8},
    "projected two networks": {
        "family": "projected", "width": 4, "max_width": 8, "feature_networks": ["tagger", "mobilenet_v2"]},
    "projected patches": {
        "family": "projected", "width": 4, "max_width": 8, "patches": 4, "norm": "none", "spectral": False},
}  # fmt: skip

every_generator = pytest.mark.parametrize("case", GENERATOR_CASES)
every_discriminator = pytest.mark.parametrize("case", DISCRIMINATOR_CASES)


def generator(case: str, size: int = 32, channels: int = 3, attribute_size: int = CODE) -> nn.Module:
    """A small generator with every part at work."""
    settings = TypeAdapter(GeneratorSettings).validate_python(GENERATOR_CASES[case])
    network = build_generator(
        settings, latent_size=LATENT, attribute_size=attribute_size, image_size=size, channels=channels
    )
    return wake(network)


def discriminator(case: str, size: int = 32, channels: int = 3, attribute_sizes=SIZES) -> nn.Module:
    settings = TypeAdapter(DiscriminatorSettings).validate_python(DISCRIMINATOR_CASES[case])
    network = build_discriminator(settings, attribute_sizes=attribute_sizes, image_size=size, channels=channels)
    return wake(network)


def wake(network: nn.Module) -> nn.Module:
    """Give numbers to what starts at 0 and hides the rest: attention's γ, R3GAN's last convolutions, detail,
    modulation."""
    for name, parameter in network.named_parameters():
        if name.endswith("gamma"):
            nn.init.constant_(parameter, 0.5)
        if name.endswith(("contract.weight", "scale_shift.weight")) or ".rgb." in name:
            nn.init.normal_(parameter, 0, 0.1)
    return network


def one_score(output: DiscriminatorOutput) -> Tensor:
    """(N,): of several heads the mean."""
    return output.scores.flatten(1).mean(1) if output.scores.ndim > 1 else output.scores


def noise(count: int = 4) -> tuple[Tensor, Tensor]:
    return torch.randn(count, LATENT), torch.rand(count, CODE)


def pictures(size: int = 32, channels: int = 3, count: int = 4) -> Tensor:
    return torch.rand(count, channels, size, size) * 2 - 1


def settled(network: nn.Module, *inputs: Tensor) -> nn.Module:
    """In evaluation mode, with running statistics that fit the inputs."""
    for part in network.modules():
        if isinstance(part, nn.BatchNorm1d | nn.BatchNorm2d):
            part.momentum = 1.0
    network(*inputs)
    return network.eval()
