"""Changing one attribute of one face and leaving the others: the direction that does so at this very point."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

import torch

from kaogan.aux_models.tagger import Tagger, load_tagger
from kaogan.core.errors import UsageError, nearest
from kaogan.generate.explore.latent_point import Point, check_count, with_attributes
from kaogan.generate.explore.optim_variables import Variables
from kaogan.generate.explore.tagger_features import look
from kaogan.generate.model import Model

SURE = 0.75  # probability that the tagger is to give to the new value, and to those that are kept, if they had it
CLOSE = 0.02  # price of the squared distance to where the face was
RATE = 0.1
Progress = Callable[[int, int], None]


def edit(
    model: Model, point: Point, wanted: Mapping[str, str], *, keep: Sequence[str] | None = None, steps: int = 40,
    tagger: Tagger | None = None, progress: Progress | None = None,
) -> Point:  # fmt: skip
    """The nearest point that the tagger calls ``wanted``, {"hair": "blue"}, and whose ``keep`` (all other attributes
    that it knows) it calls what they were.

    A conditional model's code is set first, which is its natural direction; then z (or w, where the point has one) is
    moved along the slopes of the tagger's log-probabilities until both are so, at most ``steps`` times. From the old
    point to the new one is the direction of this change for this face: ``between(point, edited, 1.5, "linear")`` goes
    beyond it. Raises UsageError.
    """
    tagger = tagger or load_tagger()
    check_count(steps, "steps", 0, 10_000)
    seen = {name: value for name, value in wanted.items() if name in tagger.values}
    for name, value in wanted.items():
        _check(model, tagger, name, value)
    keep = [name for name in tagger.values if name not in wanted] if keep is None else list(keep)
    for name in keep:
        if name not in tagger.values:
            raise UsageError(f"the tagger does not know '{name}'{nearest(name, tagger.values)}")
    coded = {name: value for name, value in wanted.items() if _has(model, name, value)}
    changed = with_attributes(model, point, **coded) if coded else point
    with torch.no_grad():
        before = look(tagger, Variables(model, [point], fixed=True).images().cpu()).log_probabilities
    kept = {name: int(before[name].argmax()) for name in keep}
    least = {name: min(float(before[name].max()), math.log(SURE)) for name in keep}

    variables = Variables(model, [changed], fixed=True)
    home = variables.latents.detach().clone()
    length = home.norm()
    on_sphere = point.w is None and model.config["latent"]["distribution"] == "normal"
    optimiser = torch.optim.Adam(variables.free, RATE)
    for step in range(steps):
        odds = look(tagger, variables.images().cpu()).log_probabilities
        lacking = [math.log(SURE) - odds[n][0, tagger.values[n].index(value)] for n, value in seen.items()]
        lacking += [least[name] - odds[name][0, index] for name, index in kept.items()]
        if progress:
            progress(step, steps)
        if all(float(each.detach()) <= 0 for each in lacking):
            break
        loss = torch.stack(lacking).clamp(min=0).sum() + CLOSE * (variables.latents - home).square().sum().cpu()
        (variables.latents.grad,) = torch.autograd.grad(loss, [variables.latents])
        optimiser.step()
        if on_sphere:
            with torch.no_grad():
                variables.latents.mul_(length / variables.latents.norm())
    if progress:
        progress(steps, steps)
    (moved,) = variables.points()
    return replace(moved, code=changed.code)


def _has(model: Model, name: str, value: str) -> bool:
    return name in model.attributes.names and value in model.attributes[name].values


def _check(model: Model, tagger: Tagger, name: str, value: str) -> None:
    """Raises UsageError for what neither the model's code nor the tagger knows."""
    known = dict.fromkeys([*model.attributes.names, *tagger.values])
    if name not in known:
        raise UsageError(f"unknown attribute '{name}'{nearest(name, known)}")
    values = dict.fromkeys([
        *(model.attributes[name].values if name in model.attributes.names else ()), *tagger.values.get(name, ()),
    ])  # fmt: skip
    if value not in values:
        raise UsageError(f"unknown {name} '{value}'{nearest(value, values)}")
