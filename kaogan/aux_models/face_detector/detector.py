"""The face detector at work: the network over an image pyramid, for faces and pictures of any size."""

from __future__ import annotations

import json
from collections.abc import Sequence
from functools import cached_property
from importlib.resources import as_file, files
from pathlib import Path

import cv2
import numpy as np
import torch
from torch import Tensor

from kaogan.aux_models.face_detector.boxes import Face, non_max_suppression, overlaps
from kaogan.aux_models.face_detector.network import GRAIN, FaceNet, decode
from kaogan.core.device import choose_precision
from kaogan.core.errors import KaoganError, UsageError
from kaogan.core.images import to_float
from kaogan.core.weights_file import check_digest, read_weights

WEIGHTS = "weights.safetensors"
# The largest finest level, in pixels: a picture of any size costs at most this and a third more.
MAX_LEVEL = 1_300_000
_FINEST = 28.0  # pixels that the smallest wanted face has at the finest level
_BORDER = 8  # grey round each level: a face at the picture's edge lies away from the edge of the maps
_BATCH = 2_000_000  # pixels that pass the network at once


class Detector:
    """A network and the threshold that was measured with it."""

    def __init__(self, network: FaceNet, threshold: float = 0.63, precision: str = "auto") -> None:
        self.threshold = threshold
        bf16 = choose_precision(precision, torch.device("cpu")) == "bf16"
        self._dtype = torch.bfloat16 if bf16 else torch.float32
        self.network = network.eval().requires_grad_(False).to(self._dtype).to(memory_format=torch.channels_last)

    def find(self, picture: np.ndarray, smallest: float = 32, threshold: float | None = None) -> list[Face]:
        """The faces of uint8 (H, W), (H, W, 1) or (H, W, 3), best first.

        ``smallest`` is the side in pixels below which faces are not looked for. In pictures of more than about
        MAX_LEVEL x (``smallest`` / 28)² pixels it grows with the picture: memory and time stay bounded, and
        ``smallest_side`` tells the side. ``threshold`` is the least score (default: the measured one).
        Raises UsageError for other arrays and settings.
        """
        return self.find_many([picture], smallest, threshold)[0]

    def find_many(
        self, pictures: Sequence[np.ndarray] | np.ndarray, smallest: float = 32, threshold: float | None = None
    ) -> list[list[Face]]:
        """``find`` for pictures of one size, in few passes: uint8 (N, H, W, 3), or a sequence of such pictures."""
        threshold = self.threshold if threshold is None else threshold
        if not 0 < threshold < 1:
            raise UsageError(f"threshold {threshold:g}: a score between 0 and 1")
        rgb = [_rgb(picture) for picture in pictures]
        if len({picture.shape for picture in rgb}) > 1:
            raise UsageError("pictures of different sizes: find_many takes those of one size, find takes any")
        found: list[list[Face]] = [[] for _ in rgb]
        if not rgb:
            return found
        height, width = rgb[0].shape[:2]
        least = smallest_side(height, width, smallest)
        for scale in _scales(height, width, least):
            size = max(1, round(width * scale)), max(1, round(height * scale))
            rgb = [_resized(picture, size) for picture in rgb]
            for index, faces in enumerate(self._level(rgb, threshold)):
                for face in faces:
                    found[index].append(_scaled(face, width / size[0], height / size[1]))
        return [_sensible(faces, height, width, least) for faces in found]

    def _level(self, pictures: list[np.ndarray], threshold: float) -> list[list[Face]]:
        height, width = pictures[0].shape[:2]
        rows, columns = (-(-(side + 2 * _BORDER) // GRAIN) * GRAIN for side in (height, width))
        group = max(1, _BATCH // (rows * columns))
        found = []
        for start in range(0, len(pictures), group):
            part = to_float(np.stack(pictures[start : start + group]))
            images = torch.zeros(len(part), 3, rows, columns, dtype=self._dtype).contiguous(
                memory_format=torch.channels_last
            )
            images[:, :, _BORDER : _BORDER + height, _BORDER : _BORDER + width] = part
            found += decode(self._maps(images), threshold)
        return [[_moved(face, -_BORDER) for face in faces] for faces in found]

    @torch.inference_mode()
    def _maps(self, images: Tensor) -> Tensor:
        return self.network(images)

    @cached_property
    def _usable(self) -> bool:
        picture, known = known_face()
        faces = self.find(picture)
        hit = [face for face in faces if overlaps(_box(known), np.array([_box(face)]))[0] >= 0.4]
        nothing = self.find(np.full_like(picture, 200))
        return len(hit) == 1 and len(faces) <= 2 and not nothing

    def self_test(self) -> None:
        """Find the known face of ``known_face`` and none on a blank page. Raises KaoganError when that fails."""
        if not self._usable:
            raise KaoganError(
                "the face detector does not find a face that it must find: its weights or this installation "
                "are broken; install kaogan again, or give other weights"
            )


def load_detector(path: str | Path | None = None, precision: str = "auto") -> Detector:
    """The detector of the weights that come with kaogan, or of ``path``, after its self-test.

    Raises KaoganError for a file that is no such weights, and for a detector that does not pass ``self_test``.
    """
    if path is None:
        with as_file(files("kaogan.aux_models.face_detector") / WEIGHTS) as inside:
            detector = _read(inside, precision)
    else:
        detector = _read(Path(path), precision)
    detector.self_test()
    return detector


def known_face() -> tuple[np.ndarray, Face]:
    """A picture uint8 (96, 128, 3) with one drawn face in it, and where that is."""
    data = np.frombuffer((files("kaogan.aux_models.face_detector") / "known_face.png").read_bytes(), np.uint8)
    face = cv2.imdecode(data, cv2.IMREAD_COLOR_RGB)
    assert face is not None
    side = face.shape[0]
    picture = np.full((96, 128, 3), (210, 222, 214), np.uint8)
    picture[20 : 20 + side, 40 : 40 + side] = face
    return picture, Face(40 + 0.075 * side, 20 + 0.13 * side, 0.85 * side, 0.85 * side, 1.0)


def smallest_side(height: int, width: int, smallest: float) -> float:
    """The side in pixels from which faces are looked for in a picture of that size. Raises UsageError below 8."""
    if not 8 <= smallest < float("inf"):
        raise UsageError(f"smallest face of {smallest:g} pixels: at least 8")
    return max(float(smallest), _FINEST * (height * width / MAX_LEVEL) ** 0.5)


def _scales(height: int, width: int, least: float) -> list[float]:
    """Octaves, until the largest face that the picture can hold is known to the network."""
    scales = [_FINEST / least]
    while scales[-1] * min(height, width) * 1.2 > 2.2 * _FINEST:
        scales.append(scales[-1] / 2)
    return scales


def _rgb(picture: np.ndarray) -> np.ndarray:
    shape: tuple[int, ...] = getattr(picture, "shape", ())
    if getattr(picture, "dtype", None) != np.uint8 or len(shape) not in (2, 3) or 0 in shape:
        raise UsageError("a picture is a uint8 array of (height, width, 3) with at least one pixel")
    if len(shape) == 2 or shape[2] == 1:
        return np.repeat(picture.reshape(*shape[:2], 1), 3, axis=2)
    if shape[2] != 3:
        raise UsageError(f"a picture of {shape[2]} channels: faces are looked for in RGB or grey")
    return np.ascontiguousarray(picture)


def _resized(picture: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    if (picture.shape[1], picture.shape[0]) == size:
        return picture
    shrink = size[0] <= picture.shape[1] and size[1] <= picture.shape[0]
    return cv2.resize(picture, size, interpolation=cv2.INTER_AREA if shrink else cv2.INTER_CUBIC)


def _scaled(face: Face, x: float, y: float) -> Face:
    eyes = face.landmarks and tuple((u * x, v * y) for u, v in face.landmarks)
    return Face(face.x * x, face.y * y, face.width * x, face.height * y, face.score, eyes)  # type: ignore[arg-type]


def _moved(face: Face, by: float) -> Face:
    eyes = face.landmarks and tuple((u + by, v + by) for u, v in face.landmarks)
    return Face(face.x + by, face.y + by, face.width, face.height, face.score, eyes)  # type: ignore[arg-type]


def _box(face: Face) -> np.ndarray:
    return np.array((face.x, face.y, face.width, face.height))


def _sensible(faces: list[Face], height: int, width: int, least: float) -> list[Face]:
    """One face per place, of at least nearly the wanted side, its centre in the picture."""
    return [
        face
        for face in non_max_suppression(faces)
        if face.width >= 0.85 * least and 0 <= face.centre[0] <= width and 0 <= face.centre[1] <= height
    ]


def _read(path: Path, precision: str) -> Detector:
    if not path.is_file():
        raise KaoganError(f"no weights of the face detector at {path}; check the path or install kaogan again")
    stored, metadata = read_weights(path, "weights of the face detector")
    check_digest(path, stored, metadata)
    try:
        settings = json.loads(metadata["kaogan.faces"])
        tensors = {name: value.float() for name, value in stored.items()}
        network = FaceNet(settings["widths"], fused=True)
        network.load_state_dict(tensors)
        threshold = float(settings["threshold"])
    except (KeyError, TypeError, ValueError, RuntimeError) as error:
        line = " ".join(str(error).split())[:160]
        raise KaoganError(f"{path} holds no weights of kaogan's face detector ({line})") from error
    if not all(bool(tensor.isfinite().all()) for tensor in tensors.values()):
        raise KaoganError(f"{path}: the weights of the face detector are broken (not finite)")
    return Detector(network, threshold, precision)
