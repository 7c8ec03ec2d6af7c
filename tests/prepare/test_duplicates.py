"""Copies are found, look-alikes are not taken for copies, the best one stays."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image

from kaogan.data.avatars import draw, draw_with
from kaogan.prepare import duplicates
from kaogan.prepare.alignment import coarse, differences, rough_difference
from kaogan.prepare.duplicates import EXACT, KEPT, MIRRORED, NEAR, Found, find_copies
from kaogan.prepare.fingerprints import mirrored, perceptual_hash, thumbnail


def jpeg(picture: np.ndarray, quality: int) -> np.ndarray:
    buffer = io.BytesIO()
    Image.fromarray(picture).save(buffer, "JPEG", quality=quality)
    return np.asarray(Image.open(buffer).convert("RGB"))


COPIES = {
    "the same": lambda p: p,
    "re-encoded": lambda p: jpeg(p, 50),
    "smaller": lambda p: np.asarray(Image.fromarray(p).resize((48, 48), Image.Resampling.LANCZOS)),
    "larger": lambda p: np.asarray(Image.fromarray(p).resize((128, 128), Image.Resampling.BICUBIC)),
    "cropped": lambda p: np.ascontiguousarray(p[3:-1, 1:-3]),
    "shifted": lambda p: np.ascontiguousarray(p[2:, :-2]),
}


@pytest.fixture(scope="module")
def pictures() -> list[np.ndarray]:
    return [draw(index, 64, 3) for index in range(40)]


def find(thumbnails: list[np.ndarray], contents: list[int] | None = None, **options: object) -> Found:
    stacked = np.stack(thumbnails)
    numbers = np.arange(len(stacked)) if contents is None else np.array(contents)
    return find_copies(lambda at: stacked[at], numbers, np.arange(len(stacked)), **options)  # type: ignore[arg-type]


@pytest.mark.parametrize("kind", COPIES)
@pytest.mark.parametrize("flip", [False, True])
def test_a_copy_is_found(pictures: list[np.ndarray], kind: str, flip: bool) -> None:
    made = [COPIES[kind](p) for p in pictures[:12]]
    copies = [np.ascontiguousarray(c[:, ::-1]) if flip else c for c in made]
    found = find([thumbnail(p) for p in pictures + copies])
    assert (found.kind[: len(pictures)] == KEPT).all()
    wanted = {MIRRORED} if flip else {NEAR}
    assert set(found.kind[len(pictures) :].tolist()) == wanted
    assert found.copy_of[len(pictures) :].tolist() == list(range(12))
    assert (found.group[len(pictures) :] == found.group[:12]).all()


def test_without_mirrors(pictures: list[np.ndarray]) -> None:
    flipped = [thumbnail(np.ascontiguousarray(p[:, ::-1])) for p in pictures[:8]]
    assert (find([*map(thumbnail, pictures), *flipped], mirror=False).kind == KEPT).all()


@pytest.mark.parametrize("other", ["hair", "eyes"])
def test_another_colour_is_another_picture(other: str) -> None:
    colours = {"hair": ("red", "blue"), "eyes": ("black", "aqua")}
    for index in range(8):
        pair = [
            draw_with(index, 64, 0, hair=c if other == "hair" else "pink", eyes=c if other == "eyes" else "green")
            for c in colours[other]
        ]
        assert (find([thumbnail(p) for p in pair]).kind == KEPT).all(), index


def test_the_index_finds_what_comparing_every_pair_finds(pictures: list[np.ndarray]) -> None:
    rng = np.random.default_rng(0)
    thumbnails = [thumbnail(p) for p in pictures]
    for at in rng.integers(0, len(pictures), 30):
        left, top, right, bottom = rng.integers(0, 4, 4)
        picture = pictures[at][top : 64 - bottom, left : 64 - right]
        thumbnails.append(thumbnail(jpeg(np.ascontiguousarray(picture[:, :: rng.choice([-1, 1])]), 80)))
    stacked = np.stack(thumbnails)
    pairs = np.array([(a, b) for a in range(len(stacked)) for b in range(a)])
    same = np.zeros(len(pairs), bool)
    for turned in (stacked, stacked[:, :, ::-1]):
        worst, mean = differences(stacked[pairs[:, 1]], turned[pairs[:, 0]])
        same |= (worst <= 16) & (mean <= 6.4)
    copy_of = np.full(len(stacked), -1)
    for a, b in pairs[same]:  # sorted by a, so that b's fate is known
        if copy_of[a] < 0 and copy_of[b] < 0:
            copy_of[a] = b
    found = find(thumbnails)
    assert ((found.kind == KEPT) == (copy_of < 0)).all()
    assert (copy_of >= 0).sum() >= 29


def test_more_copies_than_a_list_of_neighbours_holds(pictures: list[np.ndarray]) -> None:
    """The rest is found in later rounds: 60 copies, lists of 12."""
    rng = np.random.default_rng(0)
    noisy = [
        thumbnail(np.clip(pictures[0] + rng.normal(0, 4, (64, 64, 3)), 0, 255).astype(np.uint8)) for _ in range(60)
    ]
    found = find([*map(thumbnail, pictures[1:]), *noisy])
    assert (found.kind == KEPT).sum() == len(pictures)
    assert len(set(found.copy_of[found.kind != KEPT].tolist())) == 1


def test_exact_copies_by_content_alone() -> None:
    """Thumbnails that would never match: equal contents are enough, and the first of each stays."""
    noise = np.random.default_rng(0).integers(0, 256, (5, 32, 32, 3), dtype=np.uint8)
    found = find(list(noise), [7, 8, 7, 9, 7])
    assert found.kind.tolist() == [KEPT, KEPT, EXACT, KEPT, EXACT]
    assert found.copy_of.tolist() == [-1, -1, 0, -1, 0]
    assert found.group[0] == found.group[2] == found.group[4] != found.group[1]


@pytest.mark.parametrize("order", [[0, 1, 2], [2, 1, 0], [1, 2, 0]])
def test_the_best_rank_stays(pictures: list[np.ndarray], order: list[int]) -> None:
    stacked = np.stack([thumbnail(c(pictures[0])) for c in list(COPIES.values())[:3]])
    rank = np.array([order.index(at) for at in range(3)])
    found = find_copies(lambda at: stacked[at], np.arange(3), rank)
    assert np.flatnonzero(found.kind == KEPT).tolist() == [order[0]]
    assert set(found.copy_of[found.kind != KEPT].tolist()) == {order[0]}


def test_chains_do_not_grow(pictures: list[np.ndarray], monkeypatch: pytest.MonkeyPatch) -> None:
    """A is like B and B like C, but A is not like C: A and C stay."""

    def stepwise(first: np.ndarray, second: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        gap = np.abs(first.mean((1, 2, 3)) - second.mean((1, 2, 3)))
        return np.where(gap < 3, 0, 99).astype(np.float32), np.zeros(len(first), np.float32)

    monkeypatch.setattr(duplicates, "differences", stepwise)
    monkeypatch.setattr(duplicates, "rough_difference", lambda a, b: np.zeros(len(a)))
    grey = [np.full((32, 32, 3), level, np.uint8) for level in (100, 102, 104)]
    assert find(grey).kind.tolist() == [KEPT, NEAR, KEPT]


@pytest.mark.parametrize("count", [0, 1, 2])
def test_few(pictures: list[np.ndarray], count: int) -> None:
    stacked = np.stack([thumbnail(p) for p in pictures])[:count]
    found = find_copies(lambda at: stacked[at], np.arange(count), np.arange(count))
    assert (found.kind == KEPT).all() and len(found.group) == count


def test_the_order_of_the_pictures_does_not_matter(pictures: list[np.ndarray]) -> None:
    thumbnails = np.stack([thumbnail(c(p)) for p in pictures[:15] for c in COPIES.values()])
    shuffled = np.random.default_rng(1).permutation(len(thumbnails))
    one = find_copies(lambda at: thumbnails[at], np.arange(len(thumbnails)), np.arange(len(thumbnails)))
    other = find_copies(lambda at: thumbnails[shuffled[at]], np.arange(len(thumbnails)), shuffled)
    assert (one.kind[shuffled] == other.kind).all()


def test_the_mirrored_hash_is_that_of_the_mirror_image(pictures: list[np.ndarray]) -> None:
    thumbnails = np.stack([thumbnail(p) for p in pictures])
    np.testing.assert_allclose(
        mirrored(perceptual_hash(thumbnails)), perceptual_hash(thumbnails[:, :, ::-1]), atol=1e-2
    )
    assert np.abs(mirrored(perceptual_hash(thumbnails)) - perceptual_hash(thumbnails)).max() > 10


def test_differences_by_hand() -> None:
    rng = np.random.default_rng(0)
    small = Image.fromarray(rng.integers(0, 256, (8, 8, 3), dtype=np.uint8))
    picture = np.asarray(small.resize((32, 32), Image.Resampling.BICUBIC))
    brighter = np.clip(picture.astype(int) + 10, 0, 255).astype(np.uint8)
    worst, mean = differences(np.stack([picture, picture]), np.stack([picture, brighter]))
    assert worst[0] == mean[0] == 0
    assert mean[1] == pytest.approx(np.abs(picture.astype(int) - brighter).mean(), abs=2)
    moved = np.roll(picture, 2, 1)
    assert differences(picture[None], moved[None])[1][0] < 4
    assert np.abs(picture.astype(int) - moved).mean() > 15  # which alignment has taken away
    assert rough_difference(coarse(picture[None]), coarse(moved[None]))[0] < 8
    assert rough_difference(coarse(picture[None]), coarse(picture[None, ::-1]))[0] > 12
