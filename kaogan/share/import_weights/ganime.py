"""GANime's ``last_saved_model_*.tar``: ``{'netG_state_dict': ..., ...}`` of any of its generators.

``main.*`` is its DCGAN, ``G.*`` generator_2 and 2_1, ``resBlocks.*`` the generators 3. Epsilon is 0.8 in the residual
blocks and PyTorch's own in all other norms.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

from torch import nn

from kaogan.core.errors import KaoganError
from kaogan.core.foreign_weights import WeightFile
from kaogan.networks.layers import ResidualBlock
from kaogan.share.import_weights.name_map import GeneratorSpec, Hints, ModuleMap, require, require_size

PROGRAM_NAMES = ("ganime",)
WRAPPER = "netG_state_dict"
BLOCK_EPS = 0.8
SOURCE = "LucaCorvitto/VISIOPE_GANime_corvitto_faiella"
BLOCK = (("conv1.0", "body.0"), ("conv1.1", "body.1"), ("conv2.0", "body.3"), ("conv2.1", "body.4"), ("proj", "skip"))


def recognises(content: WeightFile) -> bool:
    names = content.tensors
    return "main.12.weight" in names or "G.0.conv1.0.weight" in names or "resBlocks.0.conv1.0.weight" in names


def generator_spec(content: WeightFile, hints: Hints, name: str | None) -> GeneratorSpec:
    if "main.12.weight" in content.tensors:
        return _dcgan(content)
    features, latent_size = content.shape("fc.weight", 2)
    if "G.0.conv1.0.weight" in content.tensors:
        settings, stages, last = _second(content)
    else:
        settings, stages, last = _third(content)
    start = math.isqrt(features // settings["width"])
    if start * start * settings["width"] != features or not 2 <= start <= 256:
        raise KaoganError(
            f"{content.path}: 'fc' makes {features} numbers, no square map of {settings['width']} channels"
        )
    return GeneratorSpec(
        name="ganime",
        summary="A residual generator of GANime.",
        source=SOURCE,
        generator={"family": "residual", "start": start, "block_eps": BLOCK_EPS, **settings},
        latent_size=latent_size,
        image_size=start << stages,
        channels=content.shape(last, 4)[0],
        module_map=module_map,
    )


def module_map(settings: Any, network: nn.Module) -> ModuleMap:
    if settings.family == "dcgan":
        require(settings, "GANime", norm="batch", norm_eps=1e-5, attention=(), spectral=False, bias=False,
                final_bias=False, kernel=4, upsample="transpose", activation="relu", tail_blocks=0)  # fmt: skip
        require_size(network, "GANime", 12)
        return [*[(f"main.{i}", f"body.{i}") for i in range(12) if i % 3 < 2], ("main.12", "last.0")]
    require(settings, "GANime", family="residual", norm="batch", norm_eps=1e-5, block_eps=BLOCK_EPS, slope=0.2)
    modules: ModuleMap = [("fc", "linear")]
    if settings.long_skip:
        modules.append(("b1.0", "stem.0"))
        trunk = network.get_submodule("trunk")
        for index, part in enumerate(trunk.children()):
            modules += _part(f"resBlocks.{index}", f"trunk.{index}", part)
        modules += list(_ending(network.get_submodule("body")))
        return [*modules, ("proj", "long_skip")]
    require(settings, "GANime", stem_norm=False, blocks=1)
    modules += _part("G.0", "trunk.0", network.get_submodule("trunk.0"))
    for index, part in enumerate(network.get_submodule("body").children()):
        modules += _part(f"G.{index + 1}", f"body.{index}", part)
    return modules


def notes(settings: Any, model: Any) -> list[str]:
    return []


def _dcgan(content: WeightFile) -> GeneratorSpec:
    return GeneratorSpec(
        name="dcgan",
        summary="GANime's DCGAN generator (generator_1).",
        source=SOURCE,
        generator={"family": "dcgan", "width": content.shape("main.9.weight", 4)[1]},
        latent_size=content.shape("main.0.weight", 4)[0],
        channels=content.shape("main.12.weight", 4)[1],
        module_map=module_map,
    )


def _second(content: WeightFile) -> tuple[dict[str, Any], int, str]:
    """generator_2 (bilinear) and 2_1 (transposed): one block, then a doubling and a block four times."""
    transposed = "G.1.weight" in content.tensors
    step = 4 if transposed else 2
    stages = sum(f"G.{step * n}.conv1.0.weight" in content.tensors for n in range(1, 9))
    settings = {
        "width": content.shape("G.0.conv1.0.weight", 4)[1],
        "stem_norm": False,
        "blocks": 1,
        "long_skip": False,
        "upsample": "transpose" if transposed else "bilinear",
        "narrow": "upsample" if transposed else "block",
        "activation": "leaky" if transposed else "prelu",
        "stage_blocks": 1,
        "last_blocks": 1,
    }
    return settings, stages, f"G.{step * stages + 1}.weight"


def _third(content: WeightFile) -> tuple[dict[str, Any], int, str]:
    """generator_3 and all that is derived from it: a trunk with a long skip, then doublings with blocks or without."""
    blocks = content.count("resBlocks.{}.conv1.0.weight")
    kinds: list[str] = []  # of the parts of the ending: "up", "block" or "narrowing"
    while True:
        part = f"ending.{len(kinds)}"
        if f"{part}.conv1.0.weight" in content.tensors:
            kinds.append("narrowing" if f"{part}.proj.weight" in content.tensors else "block")
        elif f"{part}.conv.weight" in content.tensors or f"{part}.conv.0.weight" in content.tensors:
            kinds.append("up")
        else:
            break
    stages = kinds.count("up")
    transposed = "ending.0.conv.0.weight" in content.tensors
    after = "".join("u" if kind == "up" else "b" for kind in kinds).split("u")[1:] or [""]
    settings = {
        "width": content.shape("b1.0.weight", 1)[0],
        "blocks": blocks,
        "widen_at": [i for i in range(blocks) if f"resBlocks.{i}.proj.weight" in content.tensors],
        "upsample": "transpose" if transposed else "shuffle",
        "narrow": "upsample" if transposed else "block" if "narrowing" in kinds else "none",
        "stage_blocks": len(after[0]) if stages > 1 else 0,
        "last_blocks": len(after[-1]),
    }
    return settings, stages, f"ending.{len(kinds)}.weight"


def _part(theirs: str, ours: str, module: nn.Module) -> ModuleMap:
    if isinstance(module, ResidualBlock):
        return [(f"{theirs}.{inner}", f"{ours}.{our_inner}") for inner, our_inner in BLOCK]
    return [(theirs, ours)]


def _ending(body: nn.Module) -> Iterator[tuple[str, str]]:
    """An upsampling of ours is three or four modules in a row, of theirs one with parts."""
    parts = list(body.children())
    number = index = 0
    while index < len(parts):
        part = parts[index]
        if isinstance(part, ResidualBlock) or index == len(parts) - 1:
            yield from _part(f"ending.{number}", f"body.{index}", part)
            index += 1
        elif isinstance(part, nn.ConvTranspose2d):
            yield from ((f"ending.{number}.conv.{i}", f"body.{index + i}") for i in range(3))
            index += 3
        else:  # convolution, shuffle, norm, activation
            yield from zip(
                (f"ending.{number}.{inner}" for inner in ("conv", "bn", "relu")),
                (f"body.{index + i}" for i in (0, 2, 3)),
                strict=True,
            )
            index += 4
        number += 1
