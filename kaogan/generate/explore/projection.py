"""From a picture back to the point of a model that comes nearest to it."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from kaogan.aux_models.tagger import Tagger, load_tagger
from kaogan.core.errors import KaoganError, UsageError
from kaogan.core.images import Pictures, to_float
from kaogan.data.decoding import BrokenPicture, fit, read_picture
from kaogan.data.sources import open_source, shown
from kaogan.generate.explore.latent_point import Point, check_count, points, render, styled
from kaogan.generate.explore.optim_variables import Variables
from kaogan.generate.explore.tagger_features import Sight, look
from kaogan.generate.model import Asked, Model

PIXELS = 2.0  # weight of the mean squared difference of pixels, against a perceptual distance of about 1
USUAL = 0.2  # weight of being a latent that the model might have drawn
RATE = 0.1  # of Adam, falling to 0
CANDIDATES = 256
MOST_FACES = 1000  # of one call
ARCHIVES = (".zip", ".tar")
Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class Projection:
    """``point`` makes the picture nearest to the given one, ``loss`` is how far it is from it; ``film`` (T, H, W, C)
    and ``losses`` (T of them) tell how it was found; ``target`` (H, W, C) is the given one as the model would make it:
    cut square and resized."""

    point: Point
    loss: float
    film: Pictures
    losses: tuple[float, ...]
    target: np.ndarray


def project(
    model: Model, picture: np.ndarray, steps: int = 150, *, starts: int = 4, seed: int = 0, space: str | None = None,
    frames: int = 25, candidates: int = CANDIDATES, tagger: Tagger | None = None, progress: Progress | None = None,
) -> Projection:  # fmt: skip
    """Find the point of ``model`` whose picture is nearest to ``picture``, uint8 (H, W, C), C = 1 or 3, of any size.

    Nearness is the distance of the tagger's features at all stages, and of the pixels. Of ``candidates`` pictures of
    the seed the nearest ``starts`` are improved by Adam for a quarter of ``steps``, then the best of them alone. The
    code of a conditional model starts as the tagger's opinion of the picture and takes part. ``space`` is "z", or "w"
    of a style network (its default): then each layer finds styles of its own. The film has ``frames`` pictures, the
    first of them the best candidate. The same call gives the same point. Raises UsageError.
    """
    target = prepare(model, picture)
    check_count(steps, "steps", most=100_000)
    check_count(starts, "starts", most=64)
    check_count(candidates, "candidates", starts)
    check_count(frames, "frames of the film", 2, 1000)
    space = space or ("w" if model.styled else "z")
    if space not in ("z", "w"):
        raise UsageError(f"unknown space '{space}' (choose from z, w)")
    tagger = tagger or load_tagger()
    wanted = to_float(target[None])
    with torch.no_grad():
        sight = look(tagger, wanted)
    known = _opinion(model, tagger, sight)
    drawn, found = points(model, seed, candidates, 0, **known), []
    for start in range(0, candidates, model.chunk):
        some = drawn[start : start + model.chunk]
        images = to_float(render(model, some))
        with torch.no_grad():
            found.append(_distance(tagger, images, wanted, sight))
    order = torch.cat(found).argsort(stable=True)[:starts]
    chosen = [drawn[int(index)] for index in order]
    return _improve(
        model, styled(model, chosen) if space == "w" else chosen, tagger, wanted, sight, steps, frames, target, progress
    )


def read_faces(model: Model, places: Sequence[Path]) -> dict[str, np.ndarray]:
    """Pictures and those in folders and archives, by their names, each as ``prepare`` makes it.

    Raises UsageError or KaoganError for a place that is not there and for a file that is no picture.
    """
    faces: dict[str, np.ndarray] = {}

    def read(name: str, source: bytes | Path) -> None:
        try:
            faces[name] = prepare(model, np.asarray(read_picture(source, model.channels)))
        except BrokenPicture as broken:
            raise KaoganError(f"{name}: {broken.reason}; name a picture of a face") from None
        check_count(len(faces), "pictures to find", most=MOST_FACES)

    for place in places:
        if not place.is_dir() and place.suffix.lower() not in ARCHIVES:
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


def prepare(model: Model, picture: np.ndarray) -> np.ndarray:
    """A picture as the model makes them: square, of its size and its channels. Raises UsageError."""
    picture = np.asarray(picture)
    if picture.ndim == 2:
        picture = picture[..., None]
    if picture.dtype != np.uint8 or picture.ndim != 3 or picture.shape[2] not in (1, 3) or 0 in picture.shape:
        raise UsageError(f"a picture uint8 (H, W, 3) or (H, W, 1) is needed, not {picture.dtype} {picture.shape}")
    image = Image.fromarray(picture[..., 0] if picture.shape[2] == 1 else picture)
    image = fit(image.convert("L" if model.channels == 1 else "RGB"), model.image_size)
    return np.array(image).reshape(model.image_size, model.image_size, model.channels)


def _opinion(model: Model, tagger: Tagger, sight: Sight) -> dict[str, Asked]:
    """Mixtures of the values that the model and the tagger both know; other attributes are left to the draw."""
    opinion: dict[str, Asked] = {}
    for attribute in model.attributes.attributes:
        if attribute.name not in tagger.values:
            continue
        likely = dict(
            zip(tagger.values[attribute.name], sight.log_probabilities[attribute.name][0].exp().tolist(), strict=True)
        )
        shares = {value: likely.get(value, 0.0) for value in attribute.values}
        total = sum(shares.values())
        if total > 0.1:
            opinion[attribute.name] = {value: share / total for value, share in shares.items()}
    return opinion


def _distance(tagger: Tagger, images: Tensor, wanted: Tensor, sight: Sight) -> Tensor:
    return look(tagger, images).distance(sight) + PIXELS * (images - wanted).square().mean((1, 2, 3))


def _improve(
    model: Model, starts: list[Point], tagger: Tagger, wanted: Tensor, sight: Sight, steps: int, frames: int,
    target: np.ndarray, progress: Progress | None,
) -> Projection:  # fmt: skip
    variables = Variables(model, starts)
    optimiser = torch.optim.Adam(variables.free, RATE, betas=(0.9, 0.99))
    narrowed = max(1, steps // 4)
    marks = {round(mark) for mark in np.linspace(0, steps, frames)}
    shown: list[tuple[float, Point]] = []
    best: tuple[float, Point] | None = None
    wanted = wanted.to(model.device)
    for step in range(steps + 1):
        losses = _distance(tagger, variables.images().to(wanted), wanted, sight) + USUAL * variables.unusual()
        nearest = int(losses.argmin())
        now, here = float(losses.detach()[nearest]), None
        if best is None or now < best[0] or step in marks:
            here = variables.points()[nearest]
        if here is not None and (best is None or now < best[0]):
            best = now, here
        if step in marks and here is not None:
            shown.append((now, here))
        if progress:
            progress(step, steps)
        if step == steps:
            break
        if step == narrowed and len(losses) > 1:
            variables = Variables(model, [variables.points()[nearest]])
            optimiser = torch.optim.Adam(variables.free, RATE, betas=(0.9, 0.99))
            continue
        for group in optimiser.param_groups:
            group["lr"] = RATE * (0.5 + 0.5 * math.cos(math.pi * step / steps))
        for variable, slope in zip(variables.free, torch.autograd.grad(losses.sum(), variables.free), strict=True):
            variable.grad = slope
        optimiser.step()
    assert best is not None
    shown[-1] = best
    losses_shown, points_shown = zip(*shown, strict=True)
    return Projection(best[1], best[0], render(model, points_shown), losses_shown, target)
