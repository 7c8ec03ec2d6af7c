"""The Inception of FID, through torch-fidelity: pictures reach it as that program would hand them over.

Its resize is TensorFlow's. The real weights could not be fetched here; numbers on weights made by a rule are frozen."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
import torch
from torch_fidelity import feature_extractor_inceptionv3 as fidelity

from kaogan.metrics.features import hub

LAYERS = ["64", "192", "2048"]


def fill(network: torch.nn.Module) -> None:
    """Every tensor from its number and shape alone, scaled so that the variance of the maps stays."""
    with torch.no_grad():
        for number, (name, tensor) in enumerate(network.state_dict().items()):
            if not tensor.is_floating_point():
                continue
            place = torch.arange(tensor.numel(), dtype=torch.float64).view(tensor.shape)
            noise = (torch.sin(place * 12.9898 + number) * 437.585).frac()  # in (-1, 1), as good as random
            if tensor.ndim > 1:
                tensor.copy_(noise * math.sqrt(6 / tensor[0].numel()))
            else:
                tensor.copy_(0.1 * noise + name.endswith(("running_var", "bn.weight")))


class Filled(fidelity.FeatureExtractorInceptionV3):
    """torch-fidelity's own class with the weights of the rule."""

    def load_state_dict(self, state: object, **_: object) -> None:
        fill(self)


def pictures(size: int = 40) -> np.ndarray:
    """uint8 (2, S, S, 3): two slopes with an edge."""
    y, x, c = np.meshgrid(np.arange(size), np.arange(size), np.arange(3), indexing="ij")
    return np.stack([(x * 5 + y * 2 + c * 40) % 256, (x * y + c * 90) // 7 % 256]).astype(np.uint8)


@pytest.fixture(scope="module")
def network() -> Filled:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(fidelity, "load_state_dict_from_url", lambda *_, **__: {})
        return Filled("reference", LAYERS)


def test_features_are_those_of_torch_fidelity_and_the_frozen_ones(network: Filled, tmp_path: Path) -> None:
    torch.save(network.state_dict(), tmp_path / "weights.pth")
    images = torch.from_numpy(pictures()).permute(0, 3, 1, 2)
    theirs = dict(zip(LAYERS, (part.numpy() for part in network(images)), strict=True))
    ours = hub.Inception(tmp_path / "weights.pth", download=False)(pictures())
    assert ours.dtype == np.float32 and np.array_equal(ours, theirs["2048"])
    for layer, values in FROZEN.items():
        assert theirs[layer][:, :3].ravel() == pytest.approx(values, rel=1e-3, abs=1e-5), layer


def test_the_resize_is_that_of_tensorflow_1() -> None:
    """Corner to corner without half pixels: place i of 299 is read at i * 40 / 299, and the last row is repeated."""
    images = torch.from_numpy(pictures()).permute(0, 3, 1, 2).float()
    resized = fidelity.interpolate_bilinear_2d_like_tensorflow1x(images, size=(299, 299), align_corners=False)
    place = np.arange(299, dtype=np.float32) * np.float32(40 / 299)
    low = place.astype(int)
    high, share = np.minimum(low + 1, 39), (place - low)
    rows = images.numpy()
    rows = rows[:, :, low] * (1 - share)[:, None] + rows[:, :, high] * share[:, None]
    expected = rows[..., low] * (1 - share) + rows[..., high] * share
    assert np.abs(resized.numpy() - expected).max() < 1e-3


# The first three numbers of each picture and layer, as torch-fidelity 0.4.0 gave them on a CPU.
FROZEN = {
    "64": [1.60172, 0.0265746, 1.56635, 1.90109, 2.03494e-05, 1.38038],
    "192": [0.154381, 2.09726, 0.105222, 0.0124063, 2.11985, 0.00477325],
    "2048": [0.836775, 1.14733, 0.726248, 0.834723, 1.13306, 0.705076],
}
