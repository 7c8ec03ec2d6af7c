"""StarsFace's and Anime-WGAN's ``*_G_epoch_*.pth``: bare state dicts of ``main_module``.

DCGAN and WGAN have transposed convolutions, WGANP nearest upsampling with 3x3 ones, WGAN256 blocks of pixel shuffle.
"""

from __future__ import annotations

from typing import Any

from torch import nn

from kaogan.core.foreign_weights import WeightFile
from kaogan.networks.starsface_wgan import ShuffleBlock
from kaogan.share.import_weights.name_map import GeneratorSpec, Hints, ModuleMap, require, require_size

PROGRAM_NAMES = ("starsface",)
WRAPPER = ""
BLOCK = (("conv1", "body.1"), ("bn1", "body.2"), ("conv2", "body.4"), ("bn2", "body.5"))


def recognises(content: WeightFile) -> bool:
    names = content.tensors
    return "main_module.0.weight" in names and not any(name.startswith("output.") for name in names)


def generator_spec(content: WeightFile, hints: Hints, name: str | None) -> GeneratorSpec:
    latent_size, first = content.shape("main_module.0.weight", 4)[:2]
    common: dict[str, Any] = {
        "source": "crush598/StarsFace-WGAN-GP, luzhixing12345/Anime-WGAN",
        "module_map": module_map,
    }
    if "main_module.3.conv1.weight" in content.tensors:
        return GeneratorSpec(
            name="starsface-wgan256",
            summary="StarsFace's unfinished generator of 256 px.",
            generator={"family": "starsface_wgan", "width": first},
            latent_size=latent_size,
            image_size=256,
            channels=content.shape("main_module.6.weight", 4)[1] // 16,
            **common,
        )
    nearest = "main_module.16.weight" in content.tensors
    channels = content.shape("main_module.16.weight", 4)[0] if nearest else content.shape("main_module.12.weight", 4)[1]
    generator = {"family": "dcgan", "width": first // 8, "bias": True, "final_bias": True, "init": "pytorch"}
    return GeneratorSpec(
        name="starsface-wganp" if nearest else "starsface",
        summary="StarsFace's generator " + ("with nearest upsampling (WGANP)." if nearest else "(DCGAN, WGAN)."),
        generator=generator | {"upsample": "nearest" if nearest else "transpose"},
        latent_size=latent_size,
        channels=channels,
        **common,
    )


def module_map(settings: Any, network: nn.Module) -> ModuleMap:
    body = network.get_submodule("body")
    if settings.family == "starsface_wgan":
        require(settings, "StarsFace", norm="batch", norm_eps=1e-5)
        require_size(network, "StarsFace's WGAN256", 10, 256)
        modules: ModuleMap = []
        for index, part in enumerate(body.children()):
            theirs, ours = f"main_module.{index}", f"body.{index}"
            if isinstance(part, ShuffleBlock):
                modules += [(f"{theirs}.{inner}", f"{ours}.{our_inner}") for inner, our_inner in BLOCK]
            else:
                modules.append((theirs, ours))
        return modules
    require(settings, "StarsFace", family="dcgan", norm="batch", norm_eps=1e-5, attention=(), spectral=False, bias=True,
            final_bias=True, kernel=4, activation="relu", tail_blocks=0)  # fmt: skip
    if settings.upsample == "nearest":
        require_size(network, "StarsFace", 15)
        return [*[(f"main_module.{i}", f"body.{i}") for i in range(15)], ("main_module.16", "last.1")]
    require(settings, "StarsFace", upsample="transpose")
    require_size(network, "StarsFace", 12)
    return [*[(f"main_module.{i}", f"body.{i}") for i in range(12)], ("main_module.12", "last.0")]


def notes(settings: Any, model: Any) -> list[str]:
    wanted = {"dcgan": 96 if getattr(settings, "upsample", "") == "nearest" else 128, "starsface_wgan": 1024}
    if settings.width == wanted[settings.family] or wanted[settings.family] != 96:
        return []
    return [f"StarsFace's WGANP has a width of 96 only, where this model has {settings.width}"]
