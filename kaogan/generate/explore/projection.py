"""GAN inversion: the latent point of a model whose image is closest to a given picture."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from kaogan.aux_models.tagger import Tagger, load_tagger
from kaogan.core.errors import KaoganError, UsageError
from kaogan.core.images import Pictures, to_float
from kaogan.core.paths import looking_at
from kaogan.core.progress import Progress, no_progress
from kaogan.core.text import shown
from kaogan.data.decoding import BrokenPicture, fit, read_picture
from kaogan.data.sources import open_source
from kaogan.generate.attribute_requests import AttributeRequest
from kaogan.generate.explore.latent_point import LatentPoint, check_count, points, render, with_styles
from kaogan.generate.explore.optim_variables import LatentVariables, exactly
from kaogan.generate.explore.tagger_features import TaggerFeatures, extract
from kaogan.generate.model import Model

PIXEL_WEIGHT = 2.0  # of the mean squared pixel difference; the perceptual distance is about 1
PRIOR_WEIGHT = 0.2  # of the distance from the latent distribution
LEARNING_RATE = 0.1  # of Adam, with cosine decay to 0
CANDIDATES = 256
MAX_FACES = 1000  # of one call
ARCHIVES = (".zip", ".tar")


@dataclass(frozen=True)
class Projection:
    """Result of ``project``: the best ``point`` and its ``loss``; ``film`` (T, H, W, C) and ``losses`` (T,) record the
    search; ``target`` (H, W, C) is the given picture, cut to a square and resized to the model's size."""

    point: LatentPoint
    loss: float
    film: Pictures
    losses: tuple[float, ...]
    target: np.ndarray


@exactly
def project(
    model: Model, picture: np.ndarray, steps: int = 150, *, starts: int = 4, seed: int = 0, space: str | None = None,
    frames: int = 25, candidates: int = CANDIDATES, tagger: Tagger | None = None, progress: Progress = no_progress,
) -> Projection:  # fmt: skip
    """Find the point of ``model`` whose image is closest to ``picture``, uint8 (H, W, C), C = 1 or 3, of any size.

    The loss is the perceptual distance of ``TaggerFeatures`` plus the pixel distance. Of ``candidates`` samples of the
    seed the closest ``starts`` are optimized by Adam for a quarter of ``steps``, then only the best of them. The
    condition of a conditional model starts from the tagger's probabilities and is optimized too. The tagger is moved
    to the model's device. ``space`` is "z", or
    "w" of a StyleGAN model (its default), where each layer gets its own style (W+). The film has ``frames`` images, of
    which the first shows the best candidate. Deterministic. Raises UsageError.
    """
    target = to_model_image(model, picture)
    check_count(steps, "steps", maximum=100_000)
    check_count(starts, "starts", maximum=64)
    check_count(candidates, "candidates", starts)
    check_count(frames, "frames of the film", 2, 1000)
    space = space or ("w" if model.has_style_space else "z")
    if space not in ("z", "w"):
        raise UsageError(f"unknown space '{space}' (choose from z, w)")
    tagger = (tagger or load_tagger()).to(model.device)
    wanted = to_float(target[None]).to(model.device)
    with torch.no_grad():
        target_features = extract(tagger, wanted)
    attributes = _tagged_attributes(model, tagger, target_features)
    drawn, distances = points(model, seed, candidates, 0, attributes), []
    for start in range(0, candidates, model.batch_size):
        some = drawn[start : start + model.batch_size]
        images = to_float(render(model, some)).to(wanted)
        with torch.no_grad():
            distances.append(_distance(tagger, images, wanted, target_features))
    order = torch.cat(distances).argsort(stable=True)[:starts]
    chosen = [drawn[int(index)] for index in order]
    return _optimize(
        model, with_styles(model, chosen) if space == "w" else chosen, tagger, wanted, target_features, steps, frames,
        target, progress,
    )  # fmt: skip


def read_faces(model: Model, places: Sequence[Path]) -> dict[str, np.ndarray]:
    """Read pictures, and all pictures of folders and archives, by name, each converted by ``to_model_image``.

    Raises UsageError or KaoganError for a missing path and for a file that is no picture.
    """
    faces: dict[str, np.ndarray] = {}

    def read(name: str, source: bytes | Path) -> None:
        try:
            faces[name] = to_model_image(model, np.asarray(read_picture(source, model.channels)))
        except BrokenPicture as broken:
            raise KaoganError(f"{name}: {broken.reason}; give a picture of a face") from None
        check_count(len(faces), "pictures to project", maximum=MAX_FACES)

    for place in places:
        with looking_at(place):
            is_folder = place.is_dir()
        if not is_folder and place.suffix.lower() not in ARCHIVES:
            read(str(place), place)
            continue
        with open_source(place) as source:
            if not source.listing.entries:
                raise UsageError(f"no pictures in {place}")
            for index, entry in enumerate(source.listing.entries):
                try:
                    read(f"{place}/{shown(entry.name)}", source.read(index))
                except BrokenPicture as broken:
                    raise KaoganError(f"{place}/{shown(entry.name)}: {broken.reason}") from None
    return faces


def to_model_image(model: Model, picture: np.ndarray) -> np.ndarray:
    """A picture uint8 (H, W, C) cut to a square and converted to the model's size and channels. Raises UsageError."""
    picture = np.asarray(picture)
    if picture.ndim == 2:
        picture = picture[..., None]
    if picture.dtype != np.uint8 or picture.ndim != 3 or picture.shape[2] not in (1, 3) or 0 in picture.shape:
        raise UsageError(f"the picture must be uint8 (H, W, 3) or (H, W, 1), not {picture.dtype} {picture.shape}")
    image = Image.fromarray(picture[..., 0] if picture.shape[2] == 1 else picture)
    image = fit(image.convert("L" if model.channels == 1 else "RGB"), model.image_size)
    return np.array(image).reshape(model.image_size, model.image_size, model.channels)


def _tagged_attributes(model: Model, tagger: Tagger, features: TaggerFeatures) -> dict[str, AttributeRequest]:
    """The tagger's probabilities of attributes that the model has too; other attributes are sampled."""
    mixtures: dict[str, AttributeRequest] = {}
    for attribute in model.attributes.attributes:
        if attribute.name not in tagger.values:
            continue
        likely = dict(
            zip(
                tagger.values[attribute.name], features.log_probabilities[attribute.name][0].exp().tolist(), strict=True
            )
        )
        shares = {value: likely.get(value, 0.0) for value in attribute.values}
        total = sum(shares.values())
        if total > 0.1:
            mixtures[attribute.name] = {value: share / total for value, share in shares.items()}
    return mixtures


def _distance(tagger: Tagger, images: Tensor, wanted: Tensor, features: TaggerFeatures) -> Tensor:
    return extract(tagger, images).distance(features) + PIXEL_WEIGHT * (images - wanted).square().mean((1, 2, 3))


def _optimize(
    model: Model,
    starts: list[LatentPoint],
    tagger: Tagger,
    wanted: Tensor,
    features: TaggerFeatures,
    steps: int,
    frames: int,
    target: np.ndarray,
    progress: Progress,
) -> Projection:
    variables = LatentVariables(model, starts)
    optimizer = torch.optim.Adam(variables.parameters, LEARNING_RATE, betas=(0.9, 0.99))
    narrowed = max(1, steps // 4)
    marks = {round(mark) for mark in np.linspace(0, steps, frames)}
    shown: list[tuple[float, LatentPoint]] = []
    best: tuple[float, LatentPoint] | None = None
    for step in range(steps + 1):
        losses = (
            _distance(tagger, variables.images().to(wanted), wanted, features)
            + PRIOR_WEIGHT * variables.prior_penalty()
        )
        nearest = int(losses.argmin())
        now, here = float(losses.detach()[nearest]), None
        if best is None or now < best[0] or step in marks:
            here = variables.points()[nearest]
        if here is not None and (best is None or now < best[0]):
            best = now, here
        if step in marks and here is not None:
            shown.append((now, here))
        progress(step, steps, "projecting")
        if step == steps:
            break
        if step == narrowed and len(losses) > 1:
            variables = LatentVariables(model, [variables.points()[nearest]])
            optimizer = torch.optim.Adam(variables.parameters, LEARNING_RATE, betas=(0.9, 0.99))
            continue
        for group in optimizer.param_groups:
            group["lr"] = LEARNING_RATE * (0.5 + 0.5 * math.cos(math.pi * step / steps))
        gradients = torch.autograd.grad(losses.sum(), variables.parameters)
        for variable, gradient in zip(variables.parameters, gradients, strict=True):
            variable.grad = gradient
        optimizer.step()
    assert best is not None
    shown[-1] = best
    losses_shown, points_shown = zip(*shown, strict=True)
    return Projection(best[1], best[0], render(model, points_shown), losses_shown, target)
