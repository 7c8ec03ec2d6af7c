"""Two directions of z for all faces of a model: turning the head to the right, and looking up."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from kaogan.aux_models.tagger import Tagger, load_tagger
from kaogan.core.errors import UsageError
from kaogan.core.progress import Progress, no_progress
from kaogan.core.rng import torch_generator
from kaogan.generate.explore.face_measures import FaceMeasures
from kaogan.generate.explore.latent_point import LatentPoint, latent_distribution, points
from kaogan.generate.explore.motions import (
    KEPT,
    KEPT_DEFAULT,
    MOTIONS,
    MOVED,
    Measures,
    ScaledAdam,
    identity_loss,
    within,
)
from kaogan.generate.explore.optim_variables import LatentVariables, exactly
from kaogan.generate.explore.tagger_features import extract
from kaogan.generate.model import Model

STEPS, FACES = 60, 12  # faces at each step
RATE = 0.03  # falls to 0
MEASURED = 64  # faces that tell how much measures vary, and how far the directions reach
POSES = (MOTIONS["turn"][0], MOTIONS["height"][0])  # to the right, and up
REACH = 0.6  # standard deviations of the poses' first measure, on an average face, at a pointer's furthest place
LONGEST = 0.25  # of the length of a latent


@exactly
def pointer_directions(
    model: Model, *, measures: Measures | None = None, steps: int = STEPS, progress: Progress = no_progress
) -> Tensor:
    """Steps (2, Z) to the right and up, by gradient descent over random faces, each of which has to move and to stay
    who it is (after Jahanian et al. 2020, "On the steerability of generative adversarial networks"). One vector for all
    faces keeps less than ``find_motions`` for one of them. Deterministic. Raises UsageError for a style network, and
    when no faces are seen in the model's pictures.
    """
    if model.has_style_space:
        raise UsageError("faces of a style network cannot follow the pointer: their page takes no w")
    faces = points(model.keeping(1), 0, MEASURED)
    with torch.no_grad():
        images = torch.cat([_images(model, some) for some in _parts(faces)])
        if measures is None:
            measures = FaceMeasures()
            if float((measures.score(images) > 0.5).float().mean()) < 0.5:
                raise UsageError("faces cannot follow the pointer: none are seen in the pictures of this model")
        before = measures(images)
    deviations = {name: float(values.std()) + 1e-4 for name, values in before.items()}
    directions = torch.zeros(2, model.latent_size, requires_grad=True)
    optimizer = ScaledAdam(directions, RATE)
    rng, tagger = torch_generator(0, "pointer"), load_tagger()
    for step in range(steps):
        progress(step, steps, "finding directions")
        places = torch.rand(FACES, 2, generator=rng) * 2 - 1
        places[: FACES // 3, 1] = places[FACES // 3 : 2 * FACES // 3, 0] = 0  # a third each along one of the two alone
        (slope,) = torch.autograd.grad(
            _loss(model, tagger, measures, deviations, directions, places, step), [directions]
        )
        optimizer.rate = RATE * (1 - step / steps)
        optimizer.step(slope)
    progress(steps, steps, "finding directions")
    return _reaching(model, measures, deviations, before, directions.detach())


@torch.no_grad()
def _reaching(
    model: Model, measures: Measures, deviations: dict[str, float], before: dict[str, Tensor], directions: Tensor
) -> Tensor:
    """The directions, so long that an average face moves by ``REACH``."""
    faces = points(model.keeping(1), 0, MEASURED)
    length = float(torch.stack([face.z for face in faces]).norm(dim=1).mean())
    scaled = []
    for direction, pose in zip(directions, POSES, strict=True):
        name, wanted = next(iter(pose.changes.items()))
        moved = torch.cat([measures(_images(model, some, direction))[name] for some in _parts(faces)])
        change = float((moved - before[name]).mean()) / deviations[name] * (1 if wanted > 0 else -1)
        scale = REACH / change if change > 0.01 else 1.0
        scaled.append(direction * min(scale, LONGEST * length / (float(direction.norm()) + 1e-6)))
    return torch.stack(scaled)


def _parts(faces: Sequence[LatentPoint]) -> list[Sequence[LatentPoint]]:
    return [faces[start : start + 32] for start in range(0, len(faces), 32)]


def _loss(
    model: Model,
    tagger: Tagger,
    measures: Measures,
    deviations: dict[str, float],
    directions: Tensor,
    places: Tensor,
    step: int,
) -> Tensor:
    faces = points(model.keeping(1), 1, FACES, FACES * step)
    with torch.no_grad():
        start = _images(model, faces)
        before, seen_before = measures(start), extract(tagger, start)
    images = _images(model, faces, places @ directions)
    loss = identity_loss(images, extract(tagger, images), start, seen_before)
    for name, values in measures(images).items():
        changes = torch.tensor([pose.changes.get(name, 0.0) for pose in POSES])
        moved = torch.tensor([MOVED / len(pose.changes) if name in pose.changes else 0.0 for pose in POSES])
        weight = (places.abs() @ moved).clamp(min=KEPT.get(name, KEPT_DEFAULT))
        loss = loss + weight * ((values - before[name]) / deviations[name] - places @ changes).square()
    return loss.mean()


def _images(model: Model, faces: Sequence[LatentPoint], step: Tensor | None = None) -> Tensor:
    """Images of the faces, moved by ``step`` (Z,) or (N, Z), on the CPU."""
    variables = LatentVariables(model, faces, fixed=True)
    if step is not None:
        start = variables.latents.detach()
        normal = latent_distribution(model) == "normal"
        variables.latents = within(start + step.to(start.device), start, normal, None if normal else 1.0)
    return variables.images().cpu()
