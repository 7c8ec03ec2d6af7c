"""Motions of one face: poses near its latent point that turn it, close its eyes, open its mouth, and keep who it is."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import torch
import torch.nn.functional as F
from torch import Tensor

from kaogan.aux_models.tagger import load_tagger
from kaogan.core.errors import UsageError
from kaogan.core.progress import Progress, no_progress
from kaogan.core.rng import torch_generator
from kaogan.generate.explore.face_measures import FaceMeasures
from kaogan.generate.explore.latent_point import LatentPoint, check_count, latent_distribution, points, with_styles
from kaogan.generate.explore.optim_variables import LatentVariables, exactly
from kaogan.generate.explore.tagger_features import TaggerFeatures, extract
from kaogan.generate.model import Model, check_truncation

STEPS = 60
SAMPLES = 256  # faces of the model that tell how much a measure varies
LEARNING_RATE = 0.06  # in standard deviations of the latents
# Weights of the loss; changes of measures are in standard deviations between the model's faces.
MOVED = 4.0  # of a pose, shared by the measures that it changes
KEPT = {"eyes_x": 0.3, "eyes_y": 0.3, "eyes_offset": 0.3, "eye_distance": 0.1, "face_side": 0.1}
KEPT_DEFAULT = 0.5
FEATURES, TAGS, COLOURS, OUTSIDE, LATENTS = 60.0, 2.0, 40.0, 800.0, 0.05
COMBINED = 6  # mixtures of motions in each step: poses that are fine one by one may not be so together
COLOUR_CELLS = 8  # a side: colours are compared in so coarse a picture
LEAST_SHARE = 0.35  # of what was asked for: below it the motion is left out
MOST_CHANGE = 0.3  # of the mean distance between two faces of the model: a pose beyond it is another person
SCALES = (1.0, 0.75, 0.5)  # of a pose that went too far


@dataclass(frozen=True)
class Pose:
    """A wanted change of measures, in standard deviations between the model's faces, the first one telling how well it
    succeeded. Outside of ``area`` ("eyes" or "mouth") pixels keep."""

    changes: Mapping[str, float]
    area: str | None = None


# One pose: the motion goes there and back. Two: from one through the face as it was drawn to the other.
MOTIONS: dict[str, tuple[Pose, ...]] = {
    "turn": (
        Pose({"eyes_x": 1.6, "eyes_offset": 1.6, "tilt": 1.0}),
        Pose({"eyes_x": -1.6, "eyes_offset": -1.6, "tilt": -1.0}),
    ),
    "height": (Pose({"eyes_y": -1.5}), Pose({"eyes_y": 1.5})),
    "breath": (Pose({"eye_distance": 1.0, "face_side": 1.0}),),
    "blink": (Pose({"eye_opening": -3.5}, "eyes"),),
    "mouth": (Pose({"mouth": 2.0}, "mouth"),),
}
Measures = Callable[[Tensor], dict[str, Tensor]]


@dataclass(frozen=True, eq=False)
class Motions:
    """What a face can do. ``offsets`` has for each motion that the model knows one or two steps in z, or in w if the
    point has it; ``shares`` the achieved part of the wanted change, also of those left out; ``face_distance`` is the
    mean distance of the tagger's features (1 - cosine) between two faces of the model."""

    point: LatentPoint
    offsets: dict[str, tuple[Tensor, ...]]
    shares: dict[str, float]
    face_distance: float
    keep_length: bool = False
    largest: float | None = None  # of a component of z

    def move(self, **amounts: float) -> LatentPoint:
        """The point with each motion at an amount: 0 is as drawn, 1 the first pose, -1 the second one. Smooth in the
        amounts; a motion that the model does not know changes nothing."""
        start = self.point.z if self.point.w is None else self.point.w
        step = torch.zeros_like(start)
        for name, amount in amounts.items():
            if name in self.offsets:
                offsets = self.offsets[name]
                shares, _ = _shares(torch.tensor([amount]), len(offsets))
                step += torch.tensordot(shares[0], torch.stack(offsets), 1)
        moved = within(start + step, start, self.keep_length, self.largest)
        return replace(self.point, z=moved) if self.point.w is None else replace(self.point, w=moved)


def _shares(amounts: Tensor, poses: int) -> tuple[Tensor, Tensor]:
    """Amounts (N,) of a motion with one or two poses -> shares (N, poses) of their offsets and of their changes.

    The offsets of two poses lie on a parabola through the face: a bent line would have a jump of speed there.
    """
    if poses == 1:
        return amounts[:, None], amounts[:, None]
    parabola = torch.stack([amounts + amounts**2, amounts**2 - amounts], 1) / 2
    return parabola, torch.stack([amounts, -amounts], 1).clamp(min=0)


def within(moved: Tensor, start: Tensor, keep_length: bool, largest: float | None) -> Tensor:
    """``moved`` back among the latents that the model was trained on: normal ones all have about one length."""
    if keep_length:
        moved = moved * (start.norm(dim=-1, keepdim=True) / moved.norm(dim=-1, keepdim=True))
    return moved if largest is None else moved.clamp(-largest, largest)


def mean_distance(features: Tensor) -> float:
    """Mean of 1 - cosine over all pairs of two of unit vectors (N, D)."""
    n = len(features)
    return float(1 - (features.sum(0).square().sum() - n) / (n * (n - 1)))


def truncated(model: Model, point: LatentPoint, truncation: float) -> LatentPoint:
    """The point whose picture is that of ``point`` at ``truncation``: w of a style network, else z. UsageError."""
    check_truncation(truncation)
    if not model.has_style_space:
        return replace(point, z=point.z * truncation)
    (styled,) = with_styles(model, [point])
    assert styled.w is not None
    return replace(styled, w=model.generator.mapping.w_avg.cpu().lerp(styled.w, truncation))


@exactly
def find_motions(
    model: Model, point: LatentPoint, *, motions: Mapping[str, tuple[Pose, ...]] = MOTIONS,
    measures: Measures | None = None, steps: int = STEPS, progress: Progress = no_progress,
) -> Motions:  # fmt: skip
    """Search the poses of ``point`` by Adam in z, or in w of a style network, all at once.

    Each pose reaches its changes and keeps the other measures, the tagger's features and tags, coarse colours, and
    nearness in the latent space. A pose that would be another person is taken back half of the way; a motion that
    then achieves less than ``LEAST_SHARE`` is left out. Deterministic. Raises UsageError when no face is found.
    """
    check_count(steps, "steps", 1, 10_000)
    (point,) = with_styles(model, [point]) if model.has_style_space else [point]
    if measures is None:
        measures = FaceMeasures()
        seen = LatentVariables(model, [point], fixed=True).images().detach().cpu()
        if float(measures.score(seen)) < 0.5:
            raise UsageError("no face is seen in this picture, so nothing of it can move; choose another --face")
    search = _Search(model, point, measures, motions)
    search.run(steps, progress)
    offsets, shares = search.result()
    known: dict[str, tuple[Tensor, ...]] = {}
    achieved: dict[str, float] = {}
    done = 0
    for name, poses in motions.items():
        part = slice(done, done + len(poses))
        done += len(poses)
        achieved[name] = sum(shares[part]) / len(poses)
        if achieved[name] >= LEAST_SHARE:
            known[name] = tuple(offsets[part])
    return Motions(point, known, achieved, search.face_distance, search.keep_length, search.largest)


def identity_loss(images: Tensor, seen: TaggerFeatures, before: Tensor, seen_before: TaggerFeatures) -> Tensor:
    """How much N images are no longer the faces that they were before, (N,): in the tagger's features and tags, and in
    coarse colours. ``before`` has N images or one."""
    loss = FEATURES * (1 - (seen.features * seen_before.features).sum(1))
    for name, earlier in seen_before.log_probabilities.items():
        loss = loss + TAGS * (earlier.exp() * (earlier - seen.log_probabilities[name])).sum(1)
    colours = [F.adaptive_avg_pool2d(each, COLOUR_CELLS) for each in (images, before)]
    return loss + COLOURS * (colours[0] - colours[1]).square().mean((1, 2, 3))


class ScaledAdam:
    """Adam (Kingma & Ba 2015) with one scale for each row of ``values`` (R, ...): with one for each component, those
    that hardly matter would move as far as those that do."""

    def __init__(self, values: Tensor, rate: float) -> None:
        self.values, self.rate, self.steps = values, rate, 0
        self.mean, self.square = torch.zeros_like(values), torch.zeros_like(values)

    @torch.no_grad()
    def step(self, slope: Tensor) -> None:
        self.steps += 1
        self.mean = 0.9 * self.mean + 0.1 * slope
        self.square = 0.99 * self.square + 0.01 * slope.square().mean(tuple(range(1, slope.ndim)), True)
        scale = (self.square / (1 - 0.99**self.steps)).sqrt() + 1e-8
        self.values -= self.rate / (1 - 0.9**self.steps) * self.mean / scale


class _Search:
    def __init__(
        self, model: Model, point: LatentPoint, measures: Measures, motions: Mapping[str, tuple[Pose, ...]]
    ) -> None:
        self.model, self.measures, self.motions, self.tagger = model, measures, motions, load_tagger()
        self.poses = [pose for poses in motions.values() for pose in poses]
        self.keep_length = point.w is None and latent_distribution(model) == "normal"
        self.largest = 1.0 if point.w is None and latent_distribution(model) == "uniform" else None
        with torch.no_grad():
            self._measure_faces(with_w=point.w is not None)
            self.image, self.measured, self.seen = self._see([point])
            self.outside = torch.zeros(len(self.poses) + COMBINED, 1, *self.image.shape[-2:])
            for k, pose in enumerate(self.poses):
                if pose.area and isinstance(measures, FaceMeasures):
                    self.outside[k] = 1 - measures.area(self.image, pose.area)
        self.variables = LatentVariables(model, [point] * len(self.outside), fixed=True)
        self.start = self.variables.latents.detach()[:1].clone()
        self.offset = torch.zeros_like(self.variables.latents[: len(self.poses)], requires_grad=True)
        self.wanted = {
            name: torch.tensor([pose.changes.get(name, 0.0) for pose in self.poses]) for name in self.deviations
        }
        self.weights = {
            name: torch.tensor([MOVED / len(p.changes) if name in p.changes else 0.0 for p in self.poses])
            for name in self.deviations
        }

    def _measure_faces(self, with_w: bool) -> None:
        """How much faces of the model differ: in their latents, in the measures, in the tagger's features."""
        faces = points(self.model.keeping(1), 0, SAMPLES)
        faces = with_styles(self.model, faces) if with_w else faces
        # One number for all components: a component's own scale says nothing of what it does.
        drawn = torch.stack([face.z if face.w is None else face.w for face in faces])
        self.spread = float(drawn.std(0).mean())
        size = self.model.batch_size
        # Without the images, which of large faces would fill the memory.
        measured, seen = zip(*(self._see(faces[at : at + size])[1:] for at in range(0, SAMPLES, size)), strict=True)
        self.deviations = {
            name: float(torch.cat([each[name] for each in measured]).std()) + 1e-4 for name in measured[0]
        }
        self.face_distance = mean_distance(torch.cat([each.features for each in seen]))

    def _see(self, faces: Sequence[LatentPoint]) -> tuple[Tensor, dict[str, Tensor], TaggerFeatures]:
        return self._look(LatentVariables(self.model, faces, fixed=True).images().cpu())

    def _look(self, images: Tensor) -> tuple[Tensor, dict[str, Tensor], TaggerFeatures]:
        return images, self.measures(images), extract(self.tagger, images)

    def _latents(self, shares: Tensor) -> Tensor:
        """``shares`` (N, poses) of the offsets, added to the face -> (N, ...)."""
        step = torch.tensordot(shares.to(self.offset.device), self.offset, 1)
        return within(self.start + self.spread * step, self.start, self.keep_length, self.largest)

    def _moved(self, shares: Tensor) -> tuple[Tensor, dict[str, Tensor], TaggerFeatures]:
        self.variables.latents = self._latents(shares)
        return self._look(self.variables.images().cpu())

    def run(self, steps: int, progress: Progress) -> None:
        """Each step looks at all poses, and at some mixtures of motions as a film would show them."""
        optimizer = ScaledAdam(self.offset, LEARNING_RATE)
        rng = torch_generator(0, "motions")
        single = torch.eye(len(self.poses))
        for step in range(steps):
            progress(step, steps, "finding motions")
            drawn = [
                _shares(torch.rand(COMBINED, generator=rng) * len(poses) - (len(poses) - 1), len(poses))
                for poses in self.motions.values()
            ]
            shares, asked = (torch.cat([single, torch.cat(part, 1)]) for part in zip(*drawn, strict=True))
            (slope,) = torch.autograd.grad(self._loss(shares, asked).sum(), [self.offset])
            optimizer.step(slope)
        progress(steps, steps, "finding motions")

    def _loss(self, shares: Tensor, asked: Tensor) -> Tensor:
        """(N,) for N mixtures: ``shares`` (N, poses) of the offsets, ``asked`` (N, poses) of the poses' changes."""
        images, measured, seen = self._moved(shares)
        loss = identity_loss(images, seen, self.image, self.seen)
        for name, change in self._changes(measured).items():
            weight = (asked @ self.weights[name]).clamp(min=KEPT.get(name, KEPT_DEFAULT))
            loss = loss + weight * (change - asked @ self.wanted[name]).square()
        blurred = [F.avg_pool2d(each, 3, 1, 1) for each in (images, self.image)]
        loss = loss + OUTSIDE * ((blurred[0] - blurred[1]).square() * self.outside).mean((1, 2, 3))
        length = self.offset.square().sum(-1).reshape(len(self.poses), -1).mean(1).cpu()  # the mean of the layers of w
        return loss + LATENTS * asked @ length

    def _changes(self, measured: dict[str, Tensor]) -> dict[str, Tensor]:
        return {name: (measured[name] - self.measured[name]) / each for name, each in self.deviations.items()}

    def _distance(self, seen: TaggerFeatures) -> Tensor:
        return 1 - (seen.features * self.seen.features).sum(1)

    @torch.no_grad()
    def result(self) -> tuple[list[Tensor], list[float]]:
        """Offsets and achieved shares of the poses, each at the largest scale at which it is still the same face."""
        offsets, shares = [torch.zeros(0)] * len(self.poses), [0.0] * len(self.poses)
        for scale in sorted(SCALES):
            shares_of = torch.cat([scale * torch.eye(len(self.poses)), torch.zeros(COMBINED, len(self.poses))])
            _, measured, seen = self._moved(shares_of)
            changes, distances = self._changes(measured), self._distance(seen)
            for k, pose in enumerate(self.poses):
                if scale == min(SCALES) or float(distances[k]) <= MOST_CHANGE * self.face_distance:
                    name = next(iter(pose.changes))
                    offsets[k] = (self.spread * scale * self.offset[k]).cpu()
                    shares[k] = float(changes[name][k]) / pose.changes[name]
        return offsets, shares
