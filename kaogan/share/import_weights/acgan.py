"""The ACGAN's ``G_*.ckpt`` and ``G_*.pth``: ``{'model': state dict, 'optim': ...}``, names ``gen.*``.

The input is the latent with the code behind it. The first program's code is 12 hair then 10 eye colours and its
checkpoints have 'step' and 'log' beside the model; the later one's is 10 eye then 12 hair colours, by the alphabet.
"""

from __future__ import annotations

from typing import Any

from torch import nn

from kaogan.core.errors import KaoganError
from kaogan.core.foreign_weights import WeightFile
from kaogan.core.schema import EYES, HAIR, Schema
from kaogan.share.import_weights.name_map import GeneratorSpec, Hints, ModuleMap, require, require_size, uniform_schema

PROGRAM_NAMES = ("acgan", "acgan-new")
WRAPPER = "model"
LATENT = 100
COLOURS = len(HAIR) + len(EYES)
BODY_MODULES = 12  # modules of the body up to the last transposed convolution


def recognises(content: WeightFile) -> bool:
    return "gen.0.weight" in content.tensors


def generator_spec(content: WeightFile, hints: Hints, name: str | None) -> GeneratorSpec:
    size = content.shape("gen.0.weight", 4)[0]
    width = content.shape("gen.9.weight", 4)[1]
    blocks = content.count("gen.15.net.res_block_{}.net.0.weight", 1)
    channels = content.shape("gen.16.weight", 4)[0] if blocks else content.shape("gen.12.weight", 4)[1]
    classes = max(size - LATENT, 0) if hints.classes is None else hints.classes
    if not 0 <= classes < size:
        raise KaoganError(f"{content.path}: an input of {size} numbers cannot hold {classes} classes")
    later = name == "acgan-new" or (name is None and "optim" in content.keys and "step" not in content.keys)
    return GeneratorSpec(
        name="acgan-resnet" if blocks else "acgan",
        summary="The generator of ACGAN for anime faces" + (" with residual blocks at full size." if blocks else "."),
        source="bchao1/Anime-Generation",
        generator={
            "family": "dcgan", "width": width, "final_bias": True, "tail_blocks": blocks, "init": "pytorch",
        },
        latent_size=size - classes,
        channels=channels,
        attributes=_schema(classes, later),
        module_map=module_map,
    )  # fmt: skip


def module_map(settings: Any, network: nn.Module) -> ModuleMap:
    require(settings, "the ACGAN", family="dcgan", norm="batch", norm_eps=1e-5, attention=(), spectral=False,
            bias=False, final_bias=True, kernel=4, upsample="transpose", activation="relu")  # fmt: skip
    blocks = settings.tail_blocks
    require_size(network, "the ACGAN", BODY_MODULES + (3 + blocks if blocks else 0))
    modules: ModuleMap = [(f"gen.{i}", f"body.{i}") for i in range(BODY_MODULES) if i % 3 < 2]
    if not blocks:
        return [*modules, ("gen.12", "last.0")]
    modules += [("gen.12", "body.12"), ("gen.13", "body.13")]
    for number in range(blocks):
        theirs, ours = f"gen.15.net.res_block_{number + 1}.net", f"body.{15 + number}.body"
        modules += [(f"{theirs}.{i}", f"{ours}.{i}") for i in (0, 1, 3, 4)]
    return [*modules, ("gen.16", "last.0")]


def notes(settings: Any, model: Any) -> list[str]:
    notes = []
    if model.attributes.size:
        code = ", ".join(f"{a.name} ({len(a.values)})" for a in model.attributes.attributes)
        notes.append(f"its input is {model.latent_size} latents, then the code: {code}")
    if settings.width != 128:
        notes.append(f"the ACGAN's program has a width of 128 where this model has {settings.width}")
    return notes


def _schema(classes: int, later: bool) -> Schema:
    if classes == COLOURS:
        return uniform_schema(eyes=sorted(EYES), hair=sorted(HAIR)) if later else uniform_schema(hair=HAIR, eyes=EYES)
    return uniform_schema(year=[str(number) for number in range(classes)]) if classes else Schema()
