"""Faults, negatives and batches on pictures of our own."""

import numpy as np
import pytest
import torch

from kaogan.core.rng import numpy_generator
from kaogan.data import avatars
from tools.tagger import data
from tools.tagger.corruptions import FAULTS, displace, hue_matrix, saturation_matrix
from tools.tagger.examples import MAIN, POLISH, Examples, move, recolour
from tools.tagger.negatives import NEGATIVES


@pytest.fixture(scope="module")
def faces() -> data.Tagged:
    labels = np.array([avatars.labels_of(i, 7) for i in range(24)])
    pictures = np.stack([avatars.draw(i, 64, 7) for i in range(24)])
    return data.Tagged(pictures, {"hair": labels[:, 0], "eyes": labels[:, 1]})


def difference(a: np.ndarray, b: np.ndarray) -> float:
    return float(np.abs(a.astype(float) - b).mean())


@pytest.mark.parametrize("name", FAULTS)
def test_faults_grow_with_their_strength_and_repeat(name, faces):
    fault = FAULTS[name]

    def changed(strength: float) -> float:
        rng, total = numpy_generator(0, name), 0.0
        for i, face in enumerate(faces.images):
            broken = fault(face, strength, rng, faces.images[i - 1])
            assert broken.shape == face.shape and broken.dtype == np.uint8
            total += difference(broken, face)
        return total / len(faces)

    assert 0 < changed(0.05) < changed(1.0)
    assert changed(0.4) == changed(0.4)


@pytest.mark.parametrize("negative", NEGATIVES, ids=lambda n: n.__name__)
def test_negatives_are_pictures_and_leave_the_face_alone(negative, faces):
    before = faces.images[0].copy()
    made = [negative(faces.images[0], numpy_generator(0, "negative", i)) for i in range(8)]
    assert all(picture.shape == (64, 64, 3) and picture.dtype == np.uint8 for picture in made)
    assert np.array_equal(before, faces.images[0])
    assert len({picture.tobytes() for picture in made}) > 1


def test_colour_matrices_keep_grey():
    grey = np.full(3, 0.37, np.float32)
    for matrix in (hue_matrix(1.0), saturation_matrix(0.2), saturation_matrix(2.0)):
        np.testing.assert_allclose(matrix @ grey, grey, atol=1e-6)
    # A third of a turn takes red to green.
    np.testing.assert_allclose(hue_matrix(2 * np.pi / 3) @ [1, 0, 0], [0, 1, 0], atol=1e-6)


def test_displacement_of_nothing_moves_nothing(faces):
    assert np.array_equal(displace(faces.images[0], 0.0, 4, numpy_generator(0, "still")), faces.images[0])


def test_a_batch_is_a_function_of_seed_and_step(faces):
    examples = Examples({"avatars": faces}, faces.images[:0], seed=3)
    first, again, other = examples.draw(5, 32), examples.draw(5, 32), examples.draw(6, 32)
    assert torch.equal(first.images, again.images) and torch.equal(first.labels["hair"], again.labels["hair"])
    assert not torch.equal(first.images, other.images)
    assert not torch.equal(first.images, examples.draw(5, 32, POLISH).images)


def test_a_batch_knows_what_it_shows(faces):
    batch = Examples({"avatars": faces}, faces.images[:0], seed=0).draw(0, 400)
    negatives = round(MAIN.not_faces * 400)
    assert torch.equal(batch.face, torch.tensor([0.0] * negatives + [1.0] * (400 - negatives)))
    for labels in batch.labels.values():
        assert (labels[:negatives] == -1).all()
    assert (batch.quality[:negatives] == -1).all() and (batch.faults[:negatives] == -1).all()
    whole = (batch.quality == 1) & (batch.face == 1)
    assert (batch.labels["hair"][whole] >= 0).all() and (batch.faults[whole] == 0).all()
    broken = (batch.quality < 1) & (batch.face == 1)
    assert abs(int(broken.sum()) / (400 - negatives) - MAIN.faulty) < 0.08
    assert (batch.faults[broken] > 0).sum(1).eq(1).all()
    assert (batch.labels["hair"][broken & (batch.quality < 0.7)] == -1).all()


def test_moving_and_recolouring_are_mild(faces):
    rng = numpy_generator(0, "mild")
    for face in faces.images:
        assert 0 < difference(recolour(face, rng, uncoloured=0), face) < 25
        moved = move(face, rng, unmoved=0)
        assert not np.array_equal(moved, face)
        assert moved.shape == face.shape and moved.dtype == np.uint8


def test_parts_by_content(faces):
    parts = [data.part_of(picture) for picture in faces.images]
    assert parts == [data.part_of(picture.copy()) for picture in faces.images]
    noise = numpy_generator(0, "parts").integers(0, 256, (3000, 4, 4, 3), dtype=np.uint8)
    shares = {part: np.mean([data.part_of(p) == part for p in noise]) for part in data.PARTS}
    assert shares["train"] == pytest.approx(0.80, abs=0.03) and shares["test"] == pytest.approx(0.12, abs=0.03)


def test_avatars_of_the_test_part_wear_styles_that_the_others_never_wear():
    # What is drawn is decided before it is drawn: count the styles of the first few hundred of each seed.
    for part, seed in data.AVATAR_SEEDS.items():
        chosen = [avatars.hair_style_of(i, seed) for i in data.avatar_indices(part, 200)]
        assert all((style in data.HELD_OUT_STYLES) == (part == "test") for style in chosen)
    assert 4 <= len(data.HELD_OUT_STYLES) <= 7


def test_backgrounds_lie_beside_the_box():
    picture = np.zeros((1, 256, 256, 3), np.uint8)
    picture[0, 96:256, 96:256] = 255  # the box is white
    cut = data.cut_backgrounds(picture, np.array([[96, 96, 160, 160]]), seed=0, tries=200)
    assert len(cut) > 3
    assert all(square.mean() < 255 * 0.15 for square in cut)
