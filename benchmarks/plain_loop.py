"""A DCGAN trained without kaogan's trainer, on pictures that lie on the device: what the chip gives it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from kaogan.config.recipe import Recipe
from kaogan.data import PictureSet
from kaogan.networks import build_discriminator, build_generator


def plain_step(recipe: Recipe, pictures: PictureSet, device: torch.device, how: str) -> Callable[[], object]:
    """A step of both networks. how: eager; compile, of the networks; graph, the whole step as one CUDA graph."""
    size = {"image_size": recipe.image_size, "channels": recipe.channels}
    generator: Any = build_generator(recipe.generator, latent_size=recipe.latent.size, attribute_size=0, **size).to(
        device
    )
    discriminator: Any = build_discriminator(recipe.discriminator, attribute_sizes=(), **size).to(device)
    average = build_generator(recipe.generator, latent_size=recipe.latent.size, attribute_size=0, **size).to(device)
    average.requires_grad_(False)
    weights: list[list[Tensor]] = [list(network.parameters()) for network in (discriminator, generator)]
    options: dict[str, Any] = {"betas": (0.5, 0.999), "fused": True}
    if how == "graph":
        options["capturable"] = True
    optimizers = [torch.optim.Adam(own, 2e-4, **options) for own in weights]
    if how == "compile":
        generator, discriminator = torch.compile(generator), torch.compile(discriminator)
    torch.backends.cudnn.benchmark = True
    data = torch.from_numpy(pictures.images).to(device).permute(0, 3, 1, 2)
    batch = recipe.training.batch_size
    rows, latents = (
        torch.zeros(batch, dtype=torch.long, device=device),
        torch.randn(batch, recipe.latent.size).to(device),
    )
    autocast = torch.autocast(
        device.type, torch.bfloat16, enabled=device.type != "cpu", cache_enabled=how != "graph"
    )  # fmt: skip

    def step() -> None:
        rows.random_(0, len(data))
        latents.normal_()
        real = data[rows].float() / 127.5 - 1
        with autocast:
            fake = generator(latents, None)
            scores = discriminator(real, None).scores.float(), discriminator(fake.detach(), None).scores.float()
        (F.softplus(-scores[0]).mean() + F.softplus(scores[1]).mean()).backward()
        optimizers[0].step()
        with autocast:
            score = discriminator(fake, None).scores.float()
        F.softplus(-score).mean().backward(inputs=weights[1])
        optimizers[1].step()
        torch._foreach_lerp_(list(average.parameters()), weights[1], 0.01)
        for optimizer in optimizers:
            optimizer.zero_grad(set_to_none=True)

    return captured(step) if how == "graph" else step


def captured(step: Callable[[], None]) -> Callable[[], object]:
    side = torch.cuda.Stream()
    side.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(side):
        for _ in range(5):
            step()
    torch.cuda.current_stream().wait_stream(side)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        step()
    return graph.replay
