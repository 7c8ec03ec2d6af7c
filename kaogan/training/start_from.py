"""Starting from trained weights: the networks of a model folder, a run or a model that comes with kaogan."""

from __future__ import annotations

import contextlib
import filecmp
import json
import logging
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from kaogan.aux_models.upscaler.load import is_upscaler
from kaogan.config.recipe import Recipe
from kaogan.core import checkpoint
from kaogan.core.errors import KaoganError, UsageError
from kaogan.core.notes import note
from kaogan.core.paths import looking_at
from kaogan.core.schema import Schema
from kaogan.core.weights_file import tensor_digest
from kaogan.generate.model import load
from kaogan.generate.model_io import WEIGHTS
from kaogan.networks import build_discriminator, build_generator
from kaogan.training.run_dir import RunDir
from kaogan.training.state import TrainState, current_names

NAMED = 8  # weights that a line of the log names

Otherwise = Callable[[Tensor, Tensor, int | None], Tensor | None]


@dataclass(frozen=True)
class BaseWeights:
    """What a training begins with."""

    name: str
    config: Mapping[str, Any]
    """As in the model folder's config.json."""
    average: Mapping[str, Tensor]
    """The averaged generator."""
    generator: Mapping[str, Tensor]
    """The generator as the optimiser left it; of a model folder, and of a run that kept its best model, the averaged
    one."""
    discriminator: Mapping[str, Tensor] | None
    """Of a run that has a checkpoint."""

    @property
    def attributes(self) -> Schema:
        return Schema.from_json(self.config["attributes"])

    def record(self) -> dict[str, Any]:
        """What a run and its models remember of the base."""
        return {"name": self.name, "recipe": self.config.get("recipe", ""), "clock": self.config.get("clock", 0),
                "sha256": tensor_digest(self.average)}  # fmt: skip


def read_base(path: str | os.PathLike[str]) -> BaseWeights:
    """The weights of a model folder, a run's folder (its newest good checkpoint) or a name of ``kaogan models``.

    Of a run whose model is the best one and not the last, as ``kaogan adapt`` leaves it, the generator is the model's.
    Raises UsageError for what is no generator, KaoganError for one that is damaged.
    """
    with looking_at(path):
        place = Path(path).expanduser()
    if is_upscaler(place):
        raise UsageError(f"{path} is an upscaler; name a generator: a run, a model folder or one of 'kaogan models'")
    model = load(place, "cpu", filtered=False)
    average = model.generator.state_dict()
    name = place.resolve().name if place.exists() else str(path)
    found = _checkpoint(place / "checkpoints") if place != model.path else None
    if found is None:
        return BaseWeights(name, model.config, average, average, None)
    tensors, numbers = found
    discriminator = checkpoint.part(tensors, "discriminator/")
    if numbers["clock"] != model.config.get("clock") and _keeps_best(place):
        return BaseWeights(name, model.config, average, average, discriminator)
    generator = checkpoint.part(tensors, "generator/")
    return BaseWeights(name, model.config, {**generator, **checkpoint.part(tensors, "ema/")}, generator, discriminator)


def _keeps_best(run: Path) -> bool:
    """Whether the model of a run is the best one that it measured."""
    model, best = (run / folder / WEIGHTS for folder in ("model", "best"))
    return best.is_file() and filecmp.cmp(model, best, shallow=False)


def _checkpoint(folder: Path) -> tuple[dict[str, Tensor], dict[str, Any]] | None:
    """The tensors and numbers of the newest checkpoint that can be read, if there is one."""
    for path in reversed(checkpoint.find(folder)):
        try:
            return current_names(*checkpoint.load(path))
        except KaoganError:
            continue
    return None


@dataclass(frozen=True)
class Start:
    """What a run began with: for its data.json, its models and its log."""

    base: dict[str, Any] | None = None
    lines: Sequence[str] = ()

    @property
    def data(self) -> dict[str, Any]:
        return {"start_from": self.base} if self.base else {}

    def tell(self, log: logging.Logger) -> None:
        for line in self.lines:
            log.info("%s", line)


def begin_with(state: TrainState, recipe: Recipe, schema: Schema, folder: RunDir) -> Start:
    """The weights of ``training.start_from`` for a fresh state. A run with checkpoints has them already and no longer
    needs the base: what it remembers of it is read."""
    if not recipe.training.start_from:
        return Start()
    if checkpoint.find(folder.checkpoints):
        return Start(_remembered(folder.path / "data.json"))
    base = read_base(recipe.training.start_from)
    lines = start_from(state, base, recipe, schema)
    if base.discriminator is None:
        note(f"{base.name} has no discriminator: a new one learns what it knew; start from a run to keep it")
    return Start(base.record(), lines)


def _remembered(path: Path) -> dict[str, Any] | None:
    with contextlib.suppress(OSError, ValueError, AttributeError):
        return json.loads(path.read_text(encoding="utf-8")).get("start_from")
    return None


def start_from(state: TrainState, base: BaseWeights, recipe: Recipe, schema: Schema) -> list[str]:
    """Give fresh networks and the average the weights of ``base``: exactly where names and shapes agree.

    A layer that takes the attributes beside the latents keeps what it has of the latents and of the attributes' values
    that both know; it begins with zeros for the others. An embedding of the attributes, or a classifier of them, has
    the base's for the values that both know. All other weights stay fresh. Returns lines for the log. Raises UsageError
    when no weight of the generator agrees, or when attributes have another scale.
    """
    latent, old_size = recipe.latent.size, base.attributes.size
    columns = shared_columns(base.attributes, schema)
    alike = columns == list(range(old_size))
    axes = ({}, {}) if alike or not schema else value_axes(state, recipe, schema)

    def values_alone(new: Tensor, old: Tensor, axis: int | None) -> Tensor | None:
        return None if axis is None else with_values(new, old, old_size, columns, axis)

    def with_code(new: Tensor, old: Tensor, axis: int | None) -> Tensor | None:
        moved = values_alone(new, old, axis)
        return with_condition(new, old, latent, old_size, columns, axis) if moved is None else moved

    fresh = fill(state.generator, base.generator, with_code, axes[0])
    fill(state.ema.module, base.average, with_code, axes[0])
    parameters = [name for name, _ in state.generator.named_parameters()]
    if not set(parameters) - set(fresh):
        theirs = f"{base.config['generator']['family']}, {base.config['image_size']} px"
        raise UsageError(
            f"start_from: no weight of {base.name} ({theirs}) fits the generator ({recipe.generator.family}, "
            f"{recipe.image_size} px); take the recipe '{base.config.get('recipe', '')}'"
        )
    then, now = base.config["generator"].get("attribute_scale", 1.0), getattr(recipe.generator, "attribute_scale", 1.0)
    if then != now and base.attributes.size and schema.size:
        raise UsageError(
            f"start_from: attributes count {then!r} times in {base.name} and {now!r} times now, so that its weights "
            f"for them would mean something else: set generator.attribute_scale to {then!r}"
        )
    lines = [f"started from {base.name}, {base.record()['sha256'][:12]}", _told("generator", state.generator, fresh)]
    if base.config["latent"] != recipe.latent.model_dump(mode="json"):
        lines.append(f"latents: {base.config['latent']} of the base, {recipe.latent.model_dump(mode='json')} now")
    if base.discriminator is None:
        return [*lines, "the discriminator begins anew: a model folder has none; a run with a checkpoint has"]
    fresh = fill(state.discriminator, base.discriminator, values_alone, axes[1])
    return [*lines, _told("discriminator", state.discriminator, fresh)]


@torch.no_grad()
def fill(
    module: nn.Module, tensors: Mapping[str, Tensor], otherwise: Otherwise, axes: Mapping[str, int]
) -> list[str]:  # fmt: skip
    """Copy ``tensors`` into the weights of the same names and shapes; returns the names of those that stay fresh.

    ``otherwise(new, old, axis)`` gives the value for a weight of another shape and for one in ``axes``, or None.
    """
    left = []
    for name, value in module.state_dict().items():
        old, axis = tensors.get(name), axes.get(name)
        if old is not None and (old.shape != value.shape or axis is not None):
            old = otherwise(value, old, axis)
        if old is None:
            left.append(name)
        else:
            value.copy_(old)
    return left


def shared_columns(before: Schema, after: Schema) -> list[int | None]:
    """For each place of a condition of ``after`` the place in one of ``before`` with the same attribute and value."""
    old = [(a.name, value) for a in before.attributes for value in a.values]
    new = [(a.name, value) for a in after.attributes for value in a.values]
    return [old.index(each) if each in old else None for each in new]


def value_axes(state: TrainState, recipe: Recipe, schema: Schema) -> tuple[dict[str, int], dict[str, int]]:
    """The weights of the generator and of the discriminator that have places for the attributes' values, each with the
    axis of these: the one that is longer in a network whose attributes all have a value more."""
    size = {"image_size": recipe.image_size, "channels": recipe.channels}
    more = [values + 1 for values in schema.sizes]
    with torch.device("meta"):
        generator = build_generator(
            recipe.generator, latent_size=recipe.latent.size, attribute_size=sum(more), **size
        )  # fmt: skip
        discriminator = build_discriminator(recipe.discriminator, attribute_sizes=more, **size)
    return _longer_axes(state.generator, generator), _longer_axes(state.discriminator, discriminator)


def _longer_axes(module: nn.Module, longer: nn.Module) -> dict[str, int]:
    shapes = {name: value.shape for name, value in longer.state_dict().items()}
    return {
        name: axis
        for name, value in module.state_dict().items()
        for axis, lengths in enumerate(zip(value.shape, shapes.get(name, ()), strict=False))
        if lengths[0] != lengths[1]
    }


def with_values(
    new: Tensor, old: Tensor, old_size: int, columns: Sequence[int | None], axis: int
) -> Tensor | None:  # fmt: skip
    """``new`` with what ``old`` has, along ``axis``, for the values that both know; None where the axis is not one of
    values alone, or none is known. ``old_size`` and ``columns`` as in ``with_condition``."""
    if new.ndim != old.ndim or (old.shape[axis], new.shape[axis]) != (old_size, len(columns)):
        return None
    before, after = old.movedim(axis, 0), new.clone().movedim(axis, 0)
    known = [(place, column) for place, column in enumerate(columns) if column is not None]
    if not known or before.shape[1:] != after.shape[1:]:
        return None
    for place, column in known:
        after[place] = before[column]
    return after.movedim(0, axis)


def with_condition(
    new: Tensor, old: Tensor, latent: int, old_size: int, columns: Sequence[int | None], axis: int | None = None
) -> Tensor | None:  # fmt: skip
    """``old`` with other inputs behind those of the latents, in the shape of ``new``; None where that is not what
    differs. ``latent`` is Z, ``old_size`` the length of the old conditions, ``columns`` are ``shared_columns``,
    ``axis`` is that of the inputs where it is known without looking at what differs."""
    if new.ndim != old.ndim or new.ndim < 2:  # a bias takes no inputs
        return None
    differing = {each for each in range(new.ndim) if new.shape[each] != old.shape[each]}
    differing |= set() if axis is None else {axis}
    if len(differing) != 1:
        return None
    (axis,) = differing
    before, after = old.movedim(axis, 0), torch.zeros_like(new).movedim(axis, 0)
    direct = len(before) == latent + old_size and len(after) == latent + len(columns)
    # An embedded code: one of the two networks has none.
    without_code = len(after) if old_size else len(before)
    embedded = bool(old_size) != bool(columns) and without_code == latent <= min(len(before), len(after))
    if not direct and not embedded:
        return None
    after[:latent] = before[:latent]
    if direct:
        for place, known in enumerate(columns):
            if known is not None:
                after[latent + place] = before[latent + known]
    return after.movedim(0, axis)


def _told(what: str, module: nn.Module, fresh: Sequence[str]) -> str:
    total = len(module.state_dict())
    if not fresh:
        return f"{what}: all {total} tensors are the base's"
    more = f" and {len(fresh) - NAMED} more" if len(fresh) > NAMED else ""
    return f"{what}: {total - len(fresh)} of {total} tensors are the base's, fresh are {', '.join(fresh[:NAMED])}{more}"
