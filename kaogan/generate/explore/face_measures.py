"""Differentiable measures of a face: where its eyes are, how far they are open, how much its mouth shows."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from kaogan.aux_models.face_detector import Detector, load_detector
from kaogan.aux_models.face_detector.network import STRIDE, UNIT

SIDE, BORDER = 96, 8  # px: size at which the detector reads a picture that is one face, and grey round it
SHARPNESS = 2.0  # of the mean over the detector's cells
CELLS = 24  # of an eye's or the mouth's patch, a side
# Half width and half height of the patches, in distances between the eyes.
EYE, MOUTH, CHEEK = (0.35, 0.45), (0.35, 0.3), (0.15, 0.15)
MOUTH_BELOW, CHEEK_BELOW = 0.95, 0.45  # below the middle of the eyes, in the same unit
NAMES = (
    "eyes_x", "eyes_y", "tilt", "eye_distance", "face_side", "eyes_offset", "eye_contrast", "eye_opening", "mouth",
)  # fmt: skip


class FaceMeasures:
    """Measures of pictures with one face each, from kaogan's detector of faces and the patches that it points to.

    Called with images (N, C, H, W) in about [-1, 1], C = 1 or 3, it gives ``NAMES`` -> (N,): the middle of the eyes in
    sides of the picture (``eyes_x``, ``eyes_y``), the radians by which their line falls to the right (``tilt``), their
    distance and the side of the face's box in sides of the picture, and how far the middle of the eyes is from that of
    the box in sides of the box (``eyes_offset``). ``eye_contrast`` and ``eye_opening`` are those of ``eye_profile``,
    the mean of both eyes; ``mouth`` is how much the patch where a mouth is differs from the skin above it.
    """

    def __init__(self, detector: Detector | None = None) -> None:
        # float32: rounding to bf16 would hide small changes
        self.network = (detector or load_detector(precision="fp32")).network

    def __call__(self, images: Tensor) -> dict[str, Tensor]:
        images = _rgb(images)
        box, left, right, _ = self._landmarks(images)
        middle, apart = (left + right) / 2, right - left
        distance = apart.norm(dim=1)
        skin = _patch(images, _below(left, right, CHEEK_BELOW), apart, CHEEK).mean((2, 3), keepdim=True)
        eyes = [eye_profile(_difference(_patch(images, eye, apart, EYE), skin)) for eye in (left, right)]
        mouth = _difference(_patch(images, _below(left, right, MOUTH_BELOW), apart, MOUTH), skin).mean((1, 2))
        contrast, opening = ((one + other) / 2 for one, other in zip(*eyes, strict=True))
        values = (
            middle[:, 0], middle[:, 1], torch.atan2(apart[:, 1], apart[:, 0]), distance, box[:, 2],
            (middle[:, 0] - box[:, 0]) / box[:, 2], contrast, opening, mouth,
        )  # fmt: skip
        return dict(zip(NAMES, values, strict=True))

    @torch.no_grad()
    def score(self, images: Tensor) -> Tensor:
        """How sure the detector is that there is a face, (N,) in (0, 1)."""
        return self._landmarks(_rgb(images))[3]

    @torch.no_grad()
    def area(self, image: Tensor, name: str) -> Tensor:
        """Weights (H, W) in [0, 1] of the pixels of "eyes" or "mouth" of an image (1, C, H, W)."""
        _, left, right, _ = self._landmarks(_rgb(image))
        distance = float((right - left).norm())
        centres = [left[0], right[0]] if name == "eyes" else [_below(left, right, MOUTH_BELOW)[0]]
        rows, columns = ((torch.arange(n) + 0.5) / n for n in image.shape[-2:])
        total = torch.zeros(image.shape[-2:])
        for x, y in centres:
            away = ((columns - x) ** 2 + (rows[:, None] - y) ** 2) / (0.42 * distance) ** 2
            total += (-(away**2)).exp()
        return total.clamp(max=1)

    def _landmarks(self, images: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Box (N, 3: centre and side), left and right eye (N, 2), in sides of the picture, and the score (N,). A mean
        over the cells where the detector sees a face: its best cell alone would jump."""
        small = F.interpolate(images, (SIDE, SIDE), mode="bicubic", antialias=True, align_corners=False)
        maps = self.network(F.pad(small, (BORDER,) * 4))
        weights = (SHARPNESS * maps[:, 0]).flatten(1).softmax(1)[:, None]
        rows, columns = (torch.arange(n) + 0.5 for n in maps.shape[-2:])
        x, y = (columns + maps[:, 1]) * STRIDE, (rows[:, None] + maps[:, 2]) * STRIDE
        side = UNIT * maps[:, 3].clamp(-2, 2).exp()
        found = torch.stack([x, y, side, *((x, y)[k % 2] + maps[:, 4 + k] * side for k in range(4))], 1)
        mean = (found.flatten(2) * weights).sum(2)
        moved = torch.tensor([1, 1, 0, 1, 1, 1, 1]) * BORDER
        mean = (mean - moved) / SIDE
        return mean[:, :3], mean[:, 3:5], mean[:, 5:], maps[:, 0].flatten(1).amax(1).sigmoid()


def eye_profile(difference: Tensor) -> tuple[Tensor, Tensor]:
    """Differences from the skin (N, n, n) in the patch of an eye -> contrast (N,) and opening (N,) in (0, 1].

    The differences are summed along each row, most in the middle. The opening is the share of the rows that they fill,
    (Σp)² / (n Σp²): 1 for all alike, 1/n for a single one. Paler eyes have less contrast and the same opening.
    """
    n = difference.shape[-1]
    across = torch.linspace(-1, 1, n)
    middle = (-((1.6 * across) ** 2)).exp()
    rows = (difference * (middle / middle.sum())).sum(2) * (-(across**4)).exp()
    squares = rows.square().sum(1)
    return squares / rows.sum(1), rows.sum(1).square() / squares / n


def _rgb(images: Tensor) -> Tensor:
    return images.expand(-1, 3, -1, -1) if images.shape[1] == 1 else images


def _below(left: Tensor, right: Tensor, by: float) -> Tensor:
    """The point (N, 2) at ``by`` distances of the eyes under their middle, on a head that may be tilted."""
    x, y = (right - left).unbind(1)
    return (left + right) / 2 + by * torch.stack([-y, x], 1)


def _patch(images: Tensor, centre: Tensor, apart: Tensor, half: tuple[float, float]) -> Tensor:
    """(N, 3, CELLS, CELLS) around ``centre`` (N, 2), turned as the line of the eyes ``apart`` (N, 2)."""
    steps = torch.linspace(-1, 1, CELLS)
    across, down = steps[None, None, :, None] * half[0], steps[None, :, None, None] * half[1]
    along = apart[:, None, None]
    under = torch.stack([-apart[:, 1], apart[:, 0]], 1)[:, None, None]
    where = centre[:, None, None] + across * along + down * under
    return F.grid_sample(images, where * 2 - 1, mode="bilinear", padding_mode="border", align_corners=False)


def _difference(patch: Tensor, skin: Tensor) -> Tensor:
    """Root mean square over the colours (N, n, n); the small number keeps its slope finite."""
    return ((patch - skin).square().mean(1) + 1e-4).sqrt()
