"""The tagger file, and the tagger inside the package."""

import json

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from PIL import Image
from safetensors.torch import load_file, save_file

from kaogan.aux_models.tagger import load_tagger
from kaogan.aux_models.tagger.network import ATTRIBUTES, Architecture, TaggerNetwork
from kaogan.aux_models.tagger.predict import save_tagger
from kaogan.aux_models.tagger.preprocessing import shrink
from kaogan.core.errors import KaoganError, UsageError
from kaogan.core.rng import numpy_generator
from kaogan.core.schema import EYES, HAIR
from kaogan.data import avatars

TINY = Architecture(widths=(4, 6, 8, 8), depths=(0, 0, 0, 0), features=10)


@pytest.fixture(scope="module")
def built_in():
    return load_tagger()


@pytest.fixture(scope="module")
def faces() -> np.ndarray:
    return np.stack([avatars.draw(i, 64, 11) for i in range(72)])


@pytest.fixture
def small(tmp_path):
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(1)
        network = TaggerNetwork(TINY, folded=True)
    path = tmp_path / "small.safetensors"
    save_tagger(path, network, ATTRIBUTES, {"hair": 2.0, "eyes": 0.5})
    return path, network


def noise(count: int) -> np.ndarray:
    return numpy_generator(0, "noise").integers(0, 256, (count, 64, 64, 3), dtype=np.uint8)


def test_saved_and_loaded_says_what_the_network_says_at_its_temperatures(small, faces):
    path, network = small
    said = load_tagger(path).predict(faces[:6])
    halved = {name: value.half().float() for name, value in network.state_dict().items()}
    network.load_state_dict(halved)
    with torch.no_grad():
        features, logits = network(torch.from_numpy(faces[:6]).permute(0, 3, 1, 2) / 127.5 - 1)
    np.testing.assert_allclose(said.features, features, atol=1e-5)
    np.testing.assert_allclose(said.probabilities["hair"], (logits["hair"] / 2).softmax(1), atol=1e-5)
    np.testing.assert_allclose(said.probabilities["eyes"], (logits["eyes"] / 0.5).softmax(1), atol=1e-5)
    np.testing.assert_allclose(said.face, logits["face"][:, 0].sigmoid(), atol=1e-5)
    np.testing.assert_allclose(said.quality, logits["quality"][:, 0].sigmoid(), atol=1e-5)


def test_fingerprint_changes_with_weights_and_temperatures_only(small, tmp_path):
    path, network = small
    first = load_tagger(path).fingerprint
    assert len(first) == 32 and first == load_tagger(path).fingerprint
    save_tagger(tmp_path / "b.safetensors", network, ATTRIBUTES, {"hair": 2.0, "eyes": 0.5})
    assert load_tagger(tmp_path / "b.safetensors").fingerprint == first
    save_tagger(tmp_path / "c.safetensors", network, ATTRIBUTES, {"hair": 2.1, "eyes": 0.5})
    with torch.no_grad():
        network.last.conv.weight[0, 0] += 0.1
    save_tagger(tmp_path / "d.safetensors", network, ATTRIBUTES, {"hair": 2.0, "eyes": 0.5})
    prints = {load_tagger(tmp_path / f"{name}.safetensors").fingerprint for name in "bcd"}
    assert len(prints) == 3


def header_of(path) -> dict[str, str]:
    data = path.read_bytes()
    return json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")])["__metadata__"]


def rewritten(path, target, **changes: str | None):
    header = {key: value for key, value in (header_of(path) | changes).items() if value is not None}
    save_file(load_file(path), target, header)
    return target


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"kaogan-tagger": None}, "is not a tagger"),
        ({"format": "2"}, "newer kaogan"),
        ({"temperatures": '{"hair": 1.0, "eyes": 1.0}'}, "checksum"),
        ({"architecture": "[]"}, "not a whole tagger"),
        ({"values": "7"}, "not a whole tagger"),
        ({"sha256": None}, "not a whole tagger"),
    ],
)
def test_wrong_files_are_refused_in_one_line(small, tmp_path, changes, message):
    with pytest.raises(KaoganError, match=message) as caught:
        load_tagger(rewritten(small[0], tmp_path / "wrong.safetensors", **changes))
    assert "\n" not in str(caught.value) and "wrong.safetensors" in str(caught.value)


def test_altered_truncated_and_missing_files_are_refused(small, tmp_path):
    path, _ = small
    data = bytearray(path.read_bytes())
    data[-5] ^= 1
    (tmp_path / "altered.safetensors").write_bytes(data)
    (tmp_path / "short.safetensors").write_bytes(data[:-50])
    (tmp_path / "text.safetensors").write_text("not at all")
    for name, message in (("altered", "checksum"), ("short", "damaged"), ("text", "damaged"), ("none", "No such file")):
        with pytest.raises(KaoganError, match=message):
            load_tagger(tmp_path / f"{name}.safetensors")


def test_prediction_does_not_depend_on_the_company(built_in, faces):
    together = built_in.predict(faces)
    alone = [built_in.predict(faces[i : i + 1]) for i in range(4)] + [built_in.predict(faces[4:])]
    np.testing.assert_allclose(together.features, np.concatenate([p.features for p in alone]), atol=2e-4, rtol=1e-4)
    for name in built_in.values:
        parts = np.concatenate([p.probabilities[name] for p in alone])
        np.testing.assert_allclose(together.probabilities[name], parts, atol=1e-4)


def test_shapes_values_and_ranges(built_in, faces):
    said = built_in.predict(faces[:5])
    assert built_in.values == {"hair": HAIR, "eyes": EYES}
    assert said.features.shape == (5, built_in.feature_size) and 256 <= built_in.feature_size <= 512
    assert all(v.dtype == np.float32 for v in (said.features, said.face, said.quality, *said.probabilities.values()))
    for probabilities in said.probabilities.values():
        np.testing.assert_allclose(probabilities.sum(1), 1, atol=1e-5)
    assert len(built_in.predict(faces[:0]).features) == 0
    positions, confidences = said.best("eyes")
    assert np.array_equal(said.probabilities["eyes"][np.arange(5), positions], confidences)


def test_the_built_in_tagger_reads_the_colours_of_avatars(built_in, faces):
    said = built_in.predict(faces)
    truth = np.array([avatars.labels_of(i, 11) for i in range(len(faces))])
    for column, name in enumerate(("hair", "eyes")):
        accuracy = (said.best(name)[0] == truth[:, column]).mean()
        shuffled = (said.best(name)[0] == np.roll(truth[:, column], 7)).mean()
        assert accuracy >= 0.95 and shuffled < 0.4, name


def test_the_built_in_tagger_tells_faces_from_what_is_none(built_in, faces):
    flat = np.broadcast_to(numpy_generator(0, "flat").integers(0, 256, (24, 1, 1, 3), dtype=np.uint8), (24, 64, 64, 3))
    rng = numpy_generator(0, "tiles")
    cut = faces.reshape(-1, 8, 8, 8, 8, 3).swapaxes(2, 3).reshape(-1, 64, 8, 8, 3)
    tiles = cut[:, rng.permutation(64)].reshape(-1, 8, 8, 8, 8, 3).swapaxes(2, 3).reshape(-1, 64, 64, 3)
    assert (built_in.predict(faces).face > 0.5).mean() > 0.95
    for pictures in (flat, noise(24), tiles):
        assert (built_in.predict(pictures).face < 0.5).mean() > 0.9


def test_the_built_in_tagger_calls_whole_faces_better_than_broken_ones(built_in, faces):
    small = np.stack([np.asarray(Image.fromarray(f).resize((10, 10)).resize((64, 64))) for f in faces])
    assert built_in.predict(faces).quality.mean() > built_in.predict(small).quality.mean() + 0.3


def test_stages_are_differentiable(built_in):
    picture = torch.zeros(1, 3, 64, 64, requires_grad=True)
    sum(stage.mean() for stage in built_in.network.stages(picture)).backward()
    assert picture.grad is not None and picture.grad.abs().sum() > 0


def test_shrinking(faces):
    assert shrink(faces[:2]) is not None and np.array_equal(shrink(faces[:2]), faces[:2])
    wide = np.zeros((1, 64, 200, 3), np.uint8)
    wide[:, :, 68:132] = faces[0]
    assert np.array_equal(shrink(wide)[0], faces[0])
    large = np.stack([avatars.draw(0, 200, 11)])
    reference = F.interpolate(
        torch.from_numpy(large).permute(0, 3, 1, 2).double(), (64, 64), mode="bicubic", antialias=True
    )
    difference = shrink(large)[0].astype(float) - reference[0].permute(1, 2, 0).numpy().clip(0, 255)
    assert np.abs(difference).max() <= 0.51
    assert np.abs(shrink(large)[0].astype(float) - faces[0]).mean() < 4  # the same avatar, drawn small
    one_by_one = np.concatenate([shrink(large) for _ in range(2)])
    assert np.array_equal(shrink(np.concatenate([large, large])), one_by_one)


@pytest.mark.parametrize(
    "pictures",
    [np.zeros((2, 64, 64, 3), np.float32), np.zeros((64, 64, 3), np.uint8), np.zeros((2, 64, 64, 1), np.uint8)],
)
def test_other_arrays_are_refused(built_in, pictures):
    with pytest.raises(UsageError, match="uint8"):
        built_in.predict(pictures)
