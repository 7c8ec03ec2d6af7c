"""The shipped detector on drawn faces, on none, on odd pictures; its self-test on broken weights."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from kaogan.aux_models.face_detector import Detector, Face, load_detector, smallest_side
from kaogan.aux_models.face_detector.boxes import overlaps
from kaogan.aux_models.face_detector.detector import MAX_LEVEL, WEIGHTS, known_face
from kaogan.aux_models.face_detector.network import FaceNet
from kaogan.core.errors import KaoganError, UsageError
from kaogan.core.rng import numpy_generator
from kaogan.data import avatars
from tools.face_detector.dataset import AVATAR_BOX
from tools.face_detector.targets import fuse

SHIPPED = Path(__file__).parents[3] / "kaogan" / "aux_models" / "face_detector" / WEIGHTS


@pytest.fixture(scope="module")
def detector() -> Detector:
    return load_detector(precision="fp32")


def pasted(index: int, size: int, canvas: tuple[int, int], place: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
    """An avatar that training never saw on plain paper with two bars across it, and its box."""
    page = np.full((*canvas, 3), (236, 230, 218), np.uint8)
    page[canvas[0] // 3 :: 97] = (120, 140, 200)
    x, y = place
    page[y : y + size, x : x + size] = avatars.draw(index, size)
    u, v, side = (share * size for share in AVATAR_BOX)
    return page, np.array([x + u - side / 2, y + v - side / 2, side, side])


def iou(face: Face, box: np.ndarray) -> float:
    return float(overlaps(np.array((face.x, face.y, face.width, face.height)), box[None])[0])


@pytest.mark.parametrize(("number", "size"), list(enumerate([48, 56, 64, 80, 96, 128, 160, 200, 250, 300, 350, 400])))
def test_pasted_avatars_are_found_once(detector: Detector, number: int, size: int) -> None:
    page, box = pasted(5000 + number, size, (480, 560), (30 + 7 * number, 20 + 4 * number))
    faces = detector.find(page)
    assert [iou(face, box) >= 0.4 for face in faces] == [True]
    eyes = faces[0].landmarks
    assert eyes is not None and eyes[0][0] < eyes[1][0]


def test_the_faces_of_a_crowd(detector: Detector) -> None:
    page = np.full((400, 600, 3), 255, np.uint8)
    boxes = []
    for number in range(6):
        x, y, size = 20 + 190 * (number % 3), 20 + 190 * (number // 3), 160
        page[y : y + size, x : x + size] = avatars.draw(6000 + number, size)
        boxes.append([x + (AVATAR_BOX[0] - AVATAR_BOX[2] / 2) * size, y + (AVATAR_BOX[1] - AVATAR_BOX[2] / 2) * size,
                      AVATAR_BOX[2] * size, AVATAR_BOX[2] * size])  # fmt: skip
    faces = detector.find(page)
    assert len(faces) == 6
    assert all(max(iou(face, np.array(box)) for face in faces) >= 0.4 for box in boxes)
    assert [face.score for face in faces] == sorted((face.score for face in faces), reverse=True)


def test_no_faces_where_there_are_none(detector: Detector) -> None:
    gen = numpy_generator(0, "test")
    y, x = np.mgrid[:256, :320]
    pages = [
        np.full((256, 320, 3), 255, np.uint8),
        np.zeros((256, 320, 3), np.uint8),
        gen.integers(0, 256, (256, 320, 3), np.uint8),
        cv2.GaussianBlur(gen.integers(0, 256, (256, 320, 3), np.uint8), (0, 0), 3),
        np.repeat(((x + y) // 2 % 256).astype(np.uint8)[..., None], 3, 2),
        np.repeat(((x // 16 + y // 16) % 2 * 255).astype(np.uint8)[..., None], 3, 2),
    ]
    assert [len(faces) for faces in detector.find_many(pages)] == [0] * len(pages)


def test_many_at_once_are_as_one_by_one(detector: Detector) -> None:
    pages = [pasted(7000 + i, 90, (150, 200), (20 * i, 10 * i))[0] for i in range(4)]
    together, apart = detector.find_many(np.stack(pages)), [detector.find(page) for page in pages]
    for one, other in zip(together, apart, strict=True):
        assert len(one) == len(other) == 1
        assert (one[0].x, one[0].width, one[0].score) == pytest.approx(
            (other[0].x, other[0].width, other[0].score), 1e-3
        )


def test_grey_pictures(detector: Detector) -> None:
    page, box = pasted(8001, 120, (200, 240), (50, 40))
    grey = cv2.cvtColor(page, cv2.COLOR_RGB2GRAY)
    for picture in (grey, grey[..., None]):
        assert [iou(face, box) >= 0.4 for face in detector.find(picture)] == [True]


@pytest.mark.parametrize("shape", [(1, 1), (1, 3000), (3000, 2), (7, 5), (31, 33), (40, 2000), (2600, 2600)])
def test_any_size_is_looked_at(detector: Detector, shape: tuple[int, int]) -> None:
    assert detector.find(np.full((*shape, 3), 180, np.uint8)) == []


def test_smallest_and_threshold_say_what_is_found(detector: Detector) -> None:
    page, box = pasted(5005, 64, (480, 560), (100, 100))
    face = detector.find(page)[0]
    assert detector.find(page, smallest=2 * box[2]) == []
    assert detector.find(page, threshold=min(0.999, face.score + 1e-3)) == []
    assert smallest_side(256, 256, 32) == 32
    assert smallest_side(4000, 4000, 32) == pytest.approx(28 * 4000 / MAX_LEVEL**0.5)


@pytest.mark.parametrize(
    ("picture", "settings", "words"),
    [
        (np.zeros((4, 4, 3)), {}, "uint8"),
        (np.zeros((4, 4, 4), np.uint8), {}, "4 channels"),
        (np.zeros((0, 4, 3), np.uint8), {}, "one pixel"),
        (np.zeros((4,), np.uint8), {}, "uint8 array"),
        (np.zeros((4, 4, 3), np.uint8), {"smallest": 2}, "at least 8"),
        (np.zeros((4, 4, 3), np.uint8), {"smallest": float("nan")}, "at least 8"),
        (np.zeros((4, 4, 3), np.uint8), {"threshold": 1.0}, "between 0 and 1"),
    ],
)
def test_wrong_calls_are_told(detector: Detector, picture: np.ndarray, settings: dict, words: str) -> None:
    with pytest.raises(UsageError, match=words):
        detector.find(picture, **settings)


def test_pictures_of_different_sizes_are_refused(detector: Detector) -> None:
    with pytest.raises(UsageError, match="different sizes"):
        detector.find_many([np.zeros((4, 4, 3), np.uint8), np.zeros((4, 5, 3), np.uint8)])
    assert detector.find_many([]) == []


def test_the_self_test_fails_on_a_network_that_is_blind_sees_everywhere_or_was_altered(tmp_path: Path) -> None:
    blind = fuse(FaceNet())
    everywhere = fuse(FaceNet())
    torch.nn.init.constant_(everywhere.head[-1].bias[:1], 5.0)
    for network in (blind, everywhere):
        with pytest.raises(KaoganError, match="must find"):
            Detector(network).self_test()
    tensors = {name: value * 0 if "eighth.2" in name else value for name, value in load_file(SHIPPED).items()}
    save_file(tensors, tmp_path / "altered.safetensors", _header())
    with pytest.raises(KaoganError, match="must find"):
        load_detector(tmp_path / "altered.safetensors")


def test_files_that_are_no_weights(tmp_path: Path) -> None:
    shipped = load_file(SHIPPED)
    (tmp_path / "text.safetensors").write_text("no weights")
    (tmp_path / "cut.safetensors").write_bytes(SHIPPED.read_bytes()[:-1000])
    save_file(shipped, tmp_path / "nameless.safetensors")
    name = next(iter(shipped))
    save_file({**shipped, name: shipped[name][:1].contiguous()}, tmp_path / "shape.safetensors", _header())
    save_file({**shipped, name: shipped[name] * float("nan")}, tmp_path / "nan.safetensors", _header())
    for file in ("absent", "text", "cut", "nameless", "shape", "nan"):
        with pytest.raises(KaoganError, match="weights") as caught:
            load_detector(tmp_path / f"{file}.safetensors")
        assert "\n" not in str(caught.value)


def test_the_known_face_is_not_the_whole_picture() -> None:
    picture, face = known_face()
    assert picture.shape == (96, 128, 3) and picture.dtype == np.uint8
    assert face.x >= 40 and face.x + face.width <= 96
    assert face.y >= 20 and face.y + face.height <= 80


def test_shipped_weights_are_small() -> None:
    assert SHIPPED.stat().st_size < 1_500_000


def _header() -> dict[str, str]:
    from safetensors import safe_open

    with safe_open(SHIPPED, "pt") as opened:
        return {key: value for key, value in opened.metadata().items() if key != "sha256"}
