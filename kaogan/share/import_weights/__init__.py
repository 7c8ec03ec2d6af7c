"""Weights of other programs into model folders, and back: ``import_weights`` and ``export_weights``."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from pydantic import TypeAdapter, ValidationError
from torch import Tensor, nn

from kaogan.config.recipe import Latent, recipe_type
from kaogan.config.registries import GeneratorSettings
from kaogan.core.atomic_io import atomic
from kaogan.core.errors import KaoganError, UsageError, nearest
from kaogan.core.foreign_weights import WeightFile
from kaogan.generate.model import Model, load, make_config
from kaogan.networks import build_generator
from kaogan.share.import_weights import acgan, bamsgan, ganime, keras, starsface, stylegan
from kaogan.share.import_weights.layout import Hints, Plan, names_of, take
from kaogan.share.import_weights.weight_files import read_weights

__all__ = ["Hints", "export_weights", "import_weights", "read_generator", "systems"]

# In the order in which a file is tried.
_MODULES = (bamsgan, acgan, ganime, starsface, keras, stylegan)
MAX_LATENT = 65536
_LATER = {"conv_first.": "an ESRGAN", "model.0.": "a network of another program"}


def systems() -> dict[str, Any]:
    """The programs whose weights can be imported, by the name of ``--as``."""
    return {name: module for module in _MODULES for name in module.NAMES}


@dataclass(frozen=True)
class Export:
    path: Path
    notes: list[str]


def import_weights(
    file: Path, out: Path | None = None, *, system: str | None = None, hints: Hints | None = None
) -> tuple[Path, Model]:
    """Turn the generator in ``file`` into the model folder ``out`` (by default the file's stem) and load it.

    ``system`` is the program it is from, by default told by the names of its tensors. Nothing in the file is executed.
    Raises UsageError for a wrong name or place, KaoganError for a file that cannot be used.
    """
    file = Path(file).expanduser()
    out = Path(file.stem if out is None else out).expanduser()
    if out.exists() and not (out.is_dir() and not any(out.iterdir())):
        raise UsageError(f"{out} exists; remove it or name another place with --out")
    model = read_generator(file, system=system, hints=hints)
    model.save(out)
    return out, model


def read_generator(file: Path, *, system: str | None = None, hints: Hints | None = None) -> Model:
    """The generator in ``file`` as a model that is not on the disk yet; see ``import_weights``."""
    if system is not None and system not in systems():
        raise UsageError(f"unknown program '{system}'{nearest(system, systems())}")
    content = read_weights(Path(file))
    module = systems()[system] if system else _recognised(content)
    if not module.recognises(content):
        raise _foreign(content, f"the generator of '{system}'")
    plan: Plan = module.plan(content, hints or Hints(), system)
    if plan.channels not in (1, 3) or not 1 <= plan.latent_size <= MAX_LATENT:
        raise KaoganError(
            f"{content.path}: pictures of {plan.channels} channels from {plan.latent_size} latents are not what kaogan "
            "makes; the file is not whole, or of another program"
        )
    generator = plan.network or _filled(plan, content)
    return Model(generator, plan.attributes, _config(plan, content))


def export_weights(model: str | Path | Model, system: str, out: Path, *, wrapped: bool = False) -> Export:
    """Write a model's generator as a plain state dict with the names and the order of ``system``'s program.

    ``wrapped`` puts it where that program's own checkpoints have it. Raises UsageError when the program has no such
    network, KaoganError when the file cannot be written.
    """
    able = {name: module for name, module in systems().items() if hasattr(module, "layout")}
    if system not in able:
        raise UsageError(f"no state dicts for '{system}'{nearest(system, able)}")
    loaded = model if isinstance(model, Model) else load(model, "cpu")
    module = able[system]
    settings: Any = TypeAdapter(GeneratorSettings).validate_python(loaded.config["generator"])
    modules = module.layout(settings, loaded.generator)
    state = loaded.generator.state_dict()
    found = names_of(loaded.generator, modules)
    content: Any = {theirs: state[ours].detach().cpu().clone() for theirs, ours in found.items()}
    if wrapped and module.WRAPPER:
        content = {module.WRAPPER: content}
    out = Path(out).expanduser()
    with atomic(out) as temporary:
        try:
            torch.save(content, temporary)
        except RuntimeError as error:  # torch's writer tells of a full disk in its own way
            raise KaoganError(f"could not write {out}: {str(error).splitlines()[0]}; is there space?") from error
    return Export(out, module.notes(settings, loaded))


def _recognised(content: WeightFile) -> Any:
    for module in _MODULES:
        if module.recognises(content):
            return module
    raise _foreign(content, "a known generator")


def _foreign(content: WeightFile, wanted: str) -> KaoganError:
    names = list(content.tensors)
    where = content.path
    if any(name.startswith(prefix) for name in names for prefix in DISCRIMINATORS):
        return KaoganError(
            f"{where} holds a discriminator; a kaogan model is a generator: import that file (netG, G_...)"
        )
    if any(name.startswith("residual1.") for name in names):
        return KaoganError(f"{where} holds GANime's SRGAN, which enlarges: use it with kaogan upscale --model {where}")
    for prefix, what in _LATER.items():
        if any(name.startswith(prefix) for name in names):
            return KaoganError(f"{where} holds {what}, which kaogan does not import")
    shown = ", ".join(names[:3]) if names else "no tensors"
    return KaoganError(f"{where} does not hold {wanted} (it has {shown}); name its program with --as: {_known()}")


def _known() -> str:
    return ", ".join(systems())


DISCRIMINATORS = ("block_1.", "conv_layers.", "D.", "discriminator_layer.", "output.0.", "last_layer.")


def _filled(plan: Plan, content: WeightFile) -> nn.Module:
    """The network of the plan with the weights of the file. Shapes are compared before anything is allocated."""
    try:
        settings: Any = TypeAdapter(GeneratorSettings).validate_python(plan.generator)
        shape = {
            "latent_size": plan.latent_size,
            "attribute_size": plan.attributes.size,
            "image_size": plan.image_size,
            "channels": plan.channels,
        }
        with torch.device("meta"):
            expected = build_generator(settings, **shape)
        tensors: dict[str, Tensor] = take(content, expected, plan.layout(settings, expected))
        with torch.random.fork_rng(devices=[]):  # the initial weights are thrown away; the caller's randomness is not
            network = build_generator(settings, **shape)
    except ValidationError as error:
        problem = error.errors()[0]
        raise KaoganError(
            f"{content.path}: sizes that no network has ({'.'.join(map(str, problem['loc'][1:]))}: {problem['msg']})"
        ) from error
    except UsageError as error:
        raise KaoganError(f"{content.path}: {error}") from error
    network.load_state_dict(tensors)
    return network


def _config(plan: Plan, content: WeightFile) -> dict[str, Any]:
    recipe = recipe_type().model_validate(
        {
            "name": plan.name,
            "summary": plan.summary,
            "source": plan.source,
            "image_size": plan.image_size,
            "channels": plan.channels,
            "latent": Latent(size=plan.latent_size, distribution=plan.law).model_dump(),
            "generator": plan.generator,
            "discriminator": {"family": "dcgan"},
        }
    )
    config = make_config(recipe, plan.attributes, clock=0)
    config["imported"] = {"file": content.path.name, "program": plan.name}
    return config
