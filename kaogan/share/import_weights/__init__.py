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
from kaogan.core.deprecation import renamed_keyword
from kaogan.core.errors import KaoganError, UsageError, nearest
from kaogan.core.foreign_weights import WeightFile
from kaogan.core.staging import staged
from kaogan.generate.model import Model, load, make_config
from kaogan.networks import build_generator
from kaogan.share.import_weights import acgan, bamsgan, ganime, keras, starsface, stylegan
from kaogan.share.import_weights.name_map import GeneratorSpec, Hints, matched_state_dict, tensor_map
from kaogan.share.import_weights.weight_files import read_weights

__all__ = ["Hints", "export_weights", "import_weights", "programs", "read_generator"]

# In the order in which a file is tried.
_MODULES = (bamsgan, acgan, ganime, starsface, keras, stylegan)
MAX_LATENT = 65536
_NOT_IMPORTED = {"conv_first.": "an ESRGAN", "model.0.": "a network of another program"}


def programs() -> dict[str, Any]:
    """The programs whose weights can be imported, by the name of ``--as``."""
    return {name: module for module in _MODULES for name in module.PROGRAM_NAMES}


systems = programs  # the former name


@dataclass(frozen=True)
class Export:
    path: Path
    notes: list[str]


@renamed_keyword("system", "program")
def import_weights(
    file: Path, out: Path | None = None, *, program: str | None = None, hints: Hints | None = None
) -> tuple[Path, Model]:
    """Turn the generator in ``file`` into the model folder ``out`` (by default the file's stem) and load it.

    ``program`` is the one it is from, by default recognised by the names of its tensors. Nothing in the file is
    executed. Raises UsageError for a wrong name or place, KaoganError for a file that cannot be used.
    """
    file = Path(file).expanduser()
    out = Path(file.stem if out is None else out).expanduser()
    with staged(out) as stage:
        model = read_generator(file, program=program, hints=hints)
        model.save(stage)
    return out, model


@renamed_keyword("system", "program")
def read_generator(file: Path, *, program: str | None = None, hints: Hints | None = None) -> Model:
    """The generator in ``file`` as a model that is not on the disk yet; see ``import_weights``."""
    if program is not None and program not in programs():
        raise UsageError(f"unknown program '{program}'{nearest(program, programs())}")
    content = read_weights(Path(file))
    module = programs()[program] if program else _recognised(content)
    if not module.recognises(content):
        raise _foreign(content, f"the generator of '{program}'")
    spec: GeneratorSpec = module.generator_spec(content, hints or Hints(), program)
    if spec.channels not in (1, 3) or not 1 <= spec.latent_size <= MAX_LATENT:
        raise KaoganError(
            f"{content.path}: pictures of {spec.channels} channels from {spec.latent_size} latents are not what kaogan "
            "makes; the file is not whole, or of another program"
        )
    generator = spec.network or _filled(spec, content)
    return Model(generator, spec.attributes, _config(spec, content))


@renamed_keyword("system", "program")
def export_weights(model: str | Path | Model, program: str, out: Path, *, wrapped: bool = False) -> Export:
    """Write a model's generator as a plain state dict with the names and the order of that ``program``.

    ``wrapped`` puts it where that program's own checkpoints have it. Raises UsageError when the program has no such
    network, KaoganError when the file cannot be written.
    """
    able = {name: module for name, module in programs().items() if hasattr(module, "module_map")}
    if program not in able:
        raise UsageError(f"no state dicts for '{program}'{nearest(program, able)}")
    loaded = model if isinstance(model, Model) else load(model, "cpu")
    module = able[program]
    settings: Any = TypeAdapter(GeneratorSettings).validate_python(loaded.config["generator"])
    modules = module.module_map(settings, loaded.generator)
    state = loaded.generator.state_dict()
    found = tensor_map(loaded.generator, modules)
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
    for prefix, what in _NOT_IMPORTED.items():
        if any(name.startswith(prefix) for name in names):
            return KaoganError(f"{where} holds {what}, which kaogan does not import")
    shown = ", ".join(names[:3]) if names else "no tensors"
    return KaoganError(f"{where} does not hold {wanted} (it has {shown}); name its program with --as: {_known()}")


def _known() -> str:
    return ", ".join(programs())


DISCRIMINATORS = ("block_1.", "conv_layers.", "D.", "discriminator_layer.", "output.0.", "last_layer.")


def _filled(spec: GeneratorSpec, content: WeightFile) -> nn.Module:
    """The network of the spec with the weights of the file. Shapes are compared before anything is allocated."""
    try:
        settings: Any = TypeAdapter(GeneratorSettings).validate_python(spec.generator)
        shape = {
            "latent_size": spec.latent_size,
            "attribute_size": spec.attributes.size,
            "image_size": spec.image_size,
            "channels": spec.channels,
        }
        with torch.device("meta"):
            expected = build_generator(settings, **shape)
        tensors: dict[str, Tensor] = matched_state_dict(content, expected, spec.module_map(settings, expected))
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


def _config(spec: GeneratorSpec, content: WeightFile) -> dict[str, Any]:
    recipe = recipe_type().model_validate(
        {
            "name": spec.name,
            "summary": spec.summary,
            "source": spec.source,
            "image_size": spec.image_size,
            "channels": spec.channels,
            "latent": Latent(size=spec.latent_size, distribution=spec.distribution).model_dump(),
            "generator": spec.generator,
            "discriminator": {"family": "dcgan"},
        }
    )
    config = make_config(recipe, spec.attributes, clock=0)
    config["imported"] = {"file": content.path.name, "program": spec.name}
    return config
