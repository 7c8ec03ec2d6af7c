"""Attribute editing: optimizes one face until the tagger sees a wanted value and the other attributes as before."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace

import torch

from kaogan.aux_models.tagger import Tagger, load_tagger
from kaogan.core.errors import UsageError, nearest
from kaogan.core.progress import Progress, no_progress
from kaogan.generate.explore.latent_point import LatentPoint, check_count, latent_distribution, with_attributes
from kaogan.generate.explore.optim_variables import LatentVariables, exactly
from kaogan.generate.explore.tagger_features import extract
from kaogan.generate.model import Model

TARGET_PROBABILITY = 0.75  # wanted of the tagger for new values, and for kept ones that had at least as much before
DISTANCE_WEIGHT = 0.02  # of the squared distance from the original latent
LEARNING_RATE = 0.1


@exactly
def edit(
    model: Model, point: LatentPoint, wanted: Mapping[str, str], *, keep: Sequence[str] | None = None, steps: int = 40,
    tagger: Tagger | None = None, progress: Progress = no_progress,
) -> LatentPoint:  # fmt: skip
    """A nearby point for which the tagger sees ``wanted``, such as {"hair": "blue"}, and the attributes ``keep``
    (default: all others that it knows) unchanged.

    First the condition of a conditional model is set; then z (or w, if the point has one) is optimized by Adam on the
    tagger's log-probabilities for at most ``steps`` steps, until all reach their targets. The tagger may be on another
    device than the model, and stays there. The difference of the two points is a direction for this face:
    ``between(point, edited, 1.5, "linear")`` exaggerates the change. Raises UsageError for unknown attributes or
    values.
    """
    tagger = tagger or load_tagger()
    check_count(steps, "steps", 0, 10_000)
    tagged = {name: value for name, value in wanted.items() if name in tagger.values}
    for name, value in wanted.items():
        check_value(model, tagger, name, value)
    keep = [name for name in tagger.values if name not in wanted] if keep is None else list(keep)
    for name in keep:
        if name not in tagger.values:
            raise UsageError(f"the tagger has no attribute '{name}'{nearest(name, tagger.values)}")
    conditioned = {name: value for name, value in wanted.items() if _has(model, name, value)}
    changed = with_attributes(model, point, conditioned) if conditioned else point
    with torch.no_grad():
        images = LatentVariables(model, [point], fixed=True).images()
        before = extract(tagger, images.to(tagger.device)).log_probabilities
    kept = {name: int(before[name].argmax()) for name in keep}
    minimum = {name: min(float(before[name].max()), math.log(TARGET_PROBABILITY)) for name in keep}

    variables = LatentVariables(model, [changed], fixed=True)
    start = variables.latents.detach().clone()
    length = start.norm()
    on_sphere = point.w is None and latent_distribution(model) == "normal"
    optimizer = torch.optim.Adam(variables.parameters, LEARNING_RATE)
    for step in range(steps):
        log_probabilities = extract(tagger, variables.images().to(tagger.device)).log_probabilities
        missing = [
            math.log(TARGET_PROBABILITY) - log_probabilities[n][0, tagger.values[n].index(value)]
            for n, value in tagged.items()
        ]
        missing += [minimum[name] - log_probabilities[name][0, index] for name, index in kept.items()]
        progress(step, steps, "editing")
        if all(float(each.detach()) <= 0 for each in missing):
            break
        distance = (variables.latents - start).square().sum().to(tagger.device)
        loss = torch.stack(missing).clamp(min=0).sum() + DISTANCE_WEIGHT * distance
        (variables.latents.grad,) = torch.autograd.grad(loss, [variables.latents])
        optimizer.step()
        if on_sphere:
            with torch.no_grad():
                variables.latents.mul_(length / variables.latents.norm())
    progress(steps, steps, "editing")
    (moved,) = variables.points()
    return replace(moved, condition=changed.condition)


def _has(model: Model, name: str, value: str) -> bool:
    return name in model.attributes.names and value in model.attributes[name].values


def check_value(model: Model, tagger: Tagger, name: str, value: str) -> None:
    """Raise UsageError for an attribute or value that neither the model nor the tagger has."""
    known = dict.fromkeys([*model.attributes.names, *tagger.values])
    if name not in known:
        raise UsageError(f"unknown attribute '{name}'{nearest(name, known)}")
    values = dict.fromkeys([
        *(model.attributes[name].values if name in model.attributes.names else ()), *tagger.values.get(name, ()),
    ])  # fmt: skip
    if value not in values:
        raise UsageError(f"unknown {name} '{value}'{nearest(value, values)}")
