from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import timm
import torch
import torch.nn.functional as F
import torchvision
from safetensors.torch import save_file

from kaogan.core.errors import KaoganError, UsageError
from kaogan.metrics import features
from kaogan.metrics.collect import measure
from kaogan.metrics.features import hub, load_extractor, mobilenet, resized
from kaogan.metrics.features.illustration2vec import preprocess
from tests.metrics.conftest import holds_only_for


@pytest.fixture(scope="module")
def pictures() -> np.ndarray:
    """Large plain fields: what tells pictures apart also after a network of random weights."""
    fields = np.random.default_rng(0).integers(0, 256, (5, 2, 2, 3), np.uint8)
    return fields.repeat(10, 1).repeat(10, 2)


class Brightness(features.FeaturesOnly):
    """The simplest extractor: what the interface asks for, and nothing else."""

    name, label, size, fingerprint = "brightness", "brightness", 3, "b0"

    def __call__(self, pictures: np.ndarray) -> np.ndarray:
        return pictures.mean((1, 2), dtype=np.float32)


# the interface


def test_features_stream_in_any_chunks(pictures: np.ndarray) -> None:
    told: list[tuple[int, int, str]] = []
    many = np.concatenate([pictures] * 30)
    whole = measure(Brightness(), [many], 150).features
    parts = measure(Brightness(), (many[i : i + 7] for i in range(0, 150, 7)), 150, lambda *a: told.append(a)).features
    assert (whole == parts).all() and whole.shape == (150, 3) and whole.dtype == np.float32
    assert told[-1] == (150, 150, "pictures")
    assert measure(Brightness(), [], 0).features.shape == (0, 3)


def test_an_extractor_that_breaks_its_word(pictures: np.ndarray) -> None:
    class Wrong(Brightness):
        size = 4

    with pytest.raises(KaoganError, match="of another network"):
        measure(Wrong(), [pictures], 5)


def test_unknown_names_and_absent_files(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="did you mean 'mobilenet'"):
        load_extractor("mobilnet")
    for name in ("mobilenet", "illustration2vec", "inception", "dinov2"):
        with pytest.raises(UsageError, match=r"no file .*absent"):
            load_extractor(f"{name}={tmp_path / 'absent'}")


def test_nothing_is_fetched_unasked(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: Any, **__: Any) -> None:
        raise AssertionError("the network was used")

    monkeypatch.setattr(torch.hub, "download_url_to_file", refuse)
    monkeypatch.setattr("socket.socket.connect", refuse)
    monkeypatch.setattr(mobilenet, "find", lambda: None)
    for name in ("mobilenet", "illustration2vec", "inception", "dinov2", "clip", "wd-tagger"):
        with pytest.raises(KaoganError, match=r"not here.*--download"):
            load_extractor(name)


def test_clip_has_the_activation_of_its_weights() -> None:
    network = timm.create_model(hub.PUBLISHED["clip"].model, depth=1, **hub.PUBLISHED["clip"].settings)
    x = torch.linspace(-3, 3, 7)
    assert torch.allclose(network.blocks[0].mlp.act(x), x * torch.sigmoid(1.702 * x))


def test_a_failed_download_is_one_line(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def fail(*_: Any, **__: Any) -> None:
        raise OSError("no route to host")

    monkeypatch.setattr(torch.hub, "download_url_to_file", fail)
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    monkeypatch.setattr(mobilenet, "find", lambda: None)
    with pytest.raises(KaoganError, match=r"could not be fetched.*no route"):
        load_extractor("mobilenet", download=True)


@pytest.mark.parametrize(("height", "side"), [(64, 224), (256, 64), (256, 299)])
def test_resize_is_that_of_clean_fid(height: int, side: int) -> None:
    """Pillow's bicubic on float planes is clean-fid's resize."""
    from PIL import Image

    picture = np.random.default_rng(0).integers(0, 256, (1, height, height, 3), np.uint8)
    planes = [Image.fromarray(picture[0, ..., c].astype(np.float32)) for c in range(3)]
    expected = np.stack([np.asarray(p.resize((side, side), Image.Resampling.BICUBIC)) for p in planes]).clip(0, 255)

    def check(resize) -> None:
        assert np.abs(resize(picture, side)[0].numpy() * 255 - expected).max() < 0.01

    def aliased(pictures: np.ndarray, side: int) -> torch.Tensor:
        images = torch.from_numpy(pictures).permute(0, 3, 1, 2).float()
        return F.interpolate(images, (side, side), mode="bilinear").clamp(0, 255) / 255

    holds_only_for(resized, {"aliased": aliased}, check)


def test_grey_pictures_count_as_colour(pictures: np.ndarray) -> None:
    grey = pictures[..., :1]
    assert (resized(grey, 32) == resized(np.repeat(grey, 3, -1), 32)).all()
    assert (preprocess(grey, 32) == preprocess(np.repeat(grey, 3, -1), 32)).all()


# mobilenet


@pytest.fixture(scope="module")
def photo_network(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, torchvision.models.MobileNetV2]:
    """Torchvision's network with statistics like those of a trained one."""
    torch.manual_seed(0)
    network = torchvision.models.mobilenet_v2()
    for module in network.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.momentum = 1.0
            torch.nn.init.uniform_(module.weight, 0.5, 1.5)
    network.train()(torch.rand(8, 3, 4, 4).repeat_interleave(16, 2).repeat_interleave(16, 3) * 4 - 2)
    network.eval()
    path = tmp_path_factory.mktemp("weights") / "mobilenet.pth"
    torch.save(network.state_dict(), path)
    return path, network


@torch.no_grad()
def test_mobilenet_is_torchvision_s(photo_network: tuple, pictures: np.ndarray) -> None:
    path, network = photo_network
    ours = load_extractor(f"mobilenet={path}")
    mean, deviation = (torch.tensor(v).view(1, 3, 1, 1) for v in ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)))
    images = (resized(pictures, 224) - mean) / deviation
    theirs = network.features(images).mean((2, 3)).numpy()

    def check(extractor) -> None:
        assert np.abs(extractor(pictures) - theirs).max() < 1e-3 * theirs.std(0).max()

    holds_only_for(ours, {"channels turned round": lambda p: ours(p[..., ::-1])}, check)
    assert np.abs(ours(pictures[2:3]) - theirs[2:3]).max() < 1e-3 * theirs.std(0).max()


def test_the_fingerprint_tells_weights_apart(photo_network: tuple, tmp_path: Path) -> None:
    path, network = photo_network
    state = network.state_dict()
    state["features.0.0.weight"] = state["features.0.0.weight"] + 1
    save_file(state, tmp_path / "other.safetensors")
    first, again, other = (
        load_extractor(f"mobilenet={p}").fingerprint for p in (path, path, tmp_path / "other.safetensors")
    )
    assert first == again != other


def test_wrong_weights_are_named_with_their_hash(photo_network: tuple, tmp_path: Path) -> None:
    state = photo_network[1].state_dict()
    torch.save({k: v for k, v in state.items() if "features.3." not in k}, tmp_path / "short.pth")
    with pytest.raises(KaoganError, match=r"'features.3.conv.0.0.weight' and \d+ more .* \(SHA-256 [0-9a-f]{16}"):
        load_extractor(f"mobilenet={tmp_path / 'short.pth'}")
    state["features.0.0.weight"] = torch.zeros(8, 3, 3, 3)
    torch.save(state, tmp_path / "narrow.pth")
    with pytest.raises(KaoganError, match=r"'features.0.0.weight' is \(8, 3, 3, 3\), not \(32, 3, 3, 3\)"):
        load_extractor(f"mobilenet={tmp_path / 'narrow.pth'}")
    (tmp_path / "text.pth").write_text("hello")
    with pytest.raises(KaoganError, match="no weights that can be read safely"):
        load_extractor(f"mobilenet={tmp_path / 'text.pth'}")


def test_no_pickle_is_executed(tmp_path: Path) -> None:
    class Trap:
        def __reduce__(self) -> Any:
            return Path.touch, (tmp_path / "sprung",)

    (tmp_path / "trap.pth").write_bytes(pickle.dumps({"features": Trap()}))
    torch.save({"features": Trap()}, tmp_path / "trap2.pth")
    for name in ("mobilenet", "inception", "dinov2"):
        for file in ("trap.pth", "trap2.pth"):
            with pytest.raises(KaoganError, match="safely"):
                load_extractor(f"{name}={tmp_path / file}")
    assert not (tmp_path / "sprung").exists()


@pytest.mark.skipif(mobilenet.find() is None, reason="the weights' package is not installed")
def test_the_published_weights_know_a_face_from_noise() -> None:
    from kaogan.data.avatars import draw_each
    from kaogan.metrics.fid import frechet_distance

    extractor = load_extractor("mobilenet")
    faces = np.stack([picture for _, picture in draw_each(24, 64, 0)])
    noise = np.random.default_rng(0).integers(0, 256, faces[:12].shape, np.uint8)
    a, b, c = (extractor(p) for p in (faces[:12], faces[12:], noise))
    assert a.shape == (12, 1280) and frechet_distance(a, b) < frechet_distance(c, b) / 3


# from the hub


def test_a_transformer_from_a_local_file(tmp_path: Path, pictures: np.ndarray, monkeypatch: pytest.MonkeyPatch) -> None:
    """A small network in the place of DINOv2's: names, normalisation, position embeddings of another size."""
    torch.manual_seed(0)
    published = hub.Published("DINOv2", "vit_tiny_patch16_224", "a/b", 1, {"img_size": 32, "depth": 1}, (0.1, 0.2, 0.3),
                              (0.5, 0.6, 0.7))  # fmt: skip
    monkeypatch.setitem(hub.PUBLISHED, "dinov2", published)
    network = timm.create_model("vit_tiny_patch16_224", img_size=32, depth=1, num_classes=7).eval()
    path = tmp_path / "dino.safetensors"
    save_file(network.state_dict(), path)
    extractor = load_extractor(f"dinov2={path}")
    assert extractor.size == 192 and extractor.label == "DINOv2"
    mean, deviation = (torch.tensor(v).view(1, 3, 1, 1) for v in (published.mean, published.deviation))
    with torch.no_grad():
        images = (resized(pictures, 32) - mean) / deviation
        expected = network.forward_head(network.forward_features(images), pre_logits=True).numpy()
    assert extractor(pictures) == pytest.approx(expected, rel=1e-4, abs=1e-5)
    save_file({"x": torch.ones(1)}, path)
    with pytest.raises(KaoganError, match="is not the weights of a/b"):
        load_extractor(f"dinov2={path}")


def test_inception_gets_uint8_and_a_safe_copy(tmp_path: Path, pictures: np.ndarray) -> None:
    seen: dict[str, Any] = {}

    class Stand(torch.nn.Module):
        """In the place of torch-fidelity's network, whose weights are not here."""

        def __init__(self, name: str, layers: list[str], feature_extractor_weights_path: str) -> None:
            super().__init__()
            seen["layers"], seen["state"] = layers, torch.load(feature_extractor_weights_path, weights_only=True)

        def forward(self, images: torch.Tensor) -> tuple[torch.Tensor]:
            seen["images"] = images
            return (images.float().mean((2, 3)).repeat(1, 683)[:, :2048],)

    torch.save({"weight": torch.arange(3.0)}, tmp_path / "inception.pth")
    extractor = hub.Inception(tmp_path / "inception.pth", False, Stand)
    assert measure(extractor, [pictures], 5).features.shape == (5, 2048)
    assert seen["layers"] == ["2048"] and (seen["state"]["weight"] == torch.arange(3.0)).all()
    assert seen["images"].dtype == torch.uint8 and seen["images"].shape == (5, 3, 20, 20)
    with pytest.raises(KaoganError, match="not torch-fidelity's Inception"):
        load_extractor(f"inception={tmp_path / 'inception.pth'}")


def test_a_missing_library_is_one_line(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    import builtins

    real = builtins.__import__

    def without(name: str, *rest: Any, **more: Any) -> Any:
        if name.startswith(("timm", "torch_fidelity")):
            raise ImportError(f"no module named {name}")
        return real(name, *rest, **more)

    monkeypatch.setattr(builtins, "__import__", without)
    for name in ("dinov2", "inception"):
        with pytest.raises(KaoganError, match=r"pip install 'kaogan\[features\]'"):
            load_extractor(name)


def test_every_name_has_a_home() -> None:
    for name, home in features.NAMES.items():
        assert callable(__import__(f"kaogan.metrics.features.{home}", fromlist=["load"]).load), name


# efficientnet, the default


def test_the_default_needs_nothing_but_the_package(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its weights travel with kaogan, and recipes, help and Python agree on its name."""
    from kaogan.config import recipes
    from kaogan.metrics.features import efficientnet
    from kaogan.metrics.registry import DEFAULT_FEATURES

    assert efficientnet.WEIGHTS.stat().st_size < 7e6 and (efficientnet.WEIGHTS.parent / "LICENSE").is_file()
    extractor = load_extractor(DEFAULT_FEATURES)
    assert extractor.name == recipes.load("dcgan").eval.features == DEFAULT_FEATURES
    assert not extractor.attributes and extractor.size == 1280


def test_efficientnet_knows_a_face_from_a_blurred_one_and_from_noise(pictures: np.ndarray) -> None:
    from scipy.ndimage import gaussian_filter1d

    from kaogan.data.avatars import draw_each
    from kaogan.metrics.fid import frechet_distance

    extractor = load_extractor("efficientnet")
    faces = np.stack([picture for _, picture in draw_each(24, 64, 0)])
    blurred = gaussian_filter1d(gaussian_filter1d(faces[:12].astype(float), 1.5, axis=1), 1.5, axis=2).astype(np.uint8)
    noise = np.random.default_rng(0).integers(0, 256, faces[:12].shape, np.uint8)
    real, other, soft, grain = (extractor(p) for p in (faces[12:], faces[:12], blurred, noise))
    usual, worse, worst = (frechet_distance(some, real) for some in (other, soft, grain))
    assert usual < worse < worst and worst > 3 * usual
    assert np.abs(extractor(faces[3:4]) - other[3]).max() < 1e-4  # no picture depends on its neighbours
    large = extractor(faces[:1].repeat(4, 1).repeat(4, 2))
    assert large.shape == (1, 1280) and np.isfinite(large).all()


def test_efficientnet_pads_as_tensorflow_does() -> None:
    """With stride 2 an even side gets its zeros at the end: a point in the last column is seen, by hand."""
    from kaogan.metrics.features.efficientnet import _Convolution

    convolution = _Convolution(1, 1, 3, 2)
    torch.nn.init.ones_(convolution.weight)
    torch.nn.init.zeros_(convolution.bias)
    image = torch.arange(16.0).reshape(1, 1, 4, 4)
    expected = [
        [0 + 1 + 2 + 4 + 5 + 6 + 8 + 9 + 10, 2 + 3 + 6 + 7 + 10 + 11],
        [8 + 9 + 10 + 12 + 13 + 14, 10 + 11 + 14 + 15],
    ]
    assert convolution(image)[0, 0].tolist() == expected
