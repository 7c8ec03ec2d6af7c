"""ONNX files, held against PyTorch by the tests' own runs of onnxruntime."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import torch

from kaogan.aux_models.upscaler import load_upscaler
from kaogan.core.errors import KaoganError, UsageError
from kaogan.core.images import to_float
from kaogan.core.schema import Schema
from kaogan.generate.model import Model
from kaogan.share.export import export_onnx, export_upscaler, onnx_file
from kaogan.share.export import upscaler as upscaler_file
from kaogan.share.export.exportable import exportable_copy
from kaogan.share.export.onnx_file import check_onnx
from kaogan.share.export.upscaler import upscaler_bytes
from tests.generate.conftest import tiny_model
from tests.share.export.conftest import lively

pytestmark = pytest.mark.timeout(300)  # a trace is a long calculation where many share a core

# What of the generators an exporter could stumble over: every family, norm, way to double, and filters of both kinds.
NETWORKS = {
    "attention, spectral": lambda: tiny_model(),
    "grey, uniform": lambda: tiny_model(Schema(), distribution="uniform", channels=1),
    "layer norm, shuffle": lambda: tiny_model(
        settings={"family": "dcgan", "width": 4, "norm": "layer", "upsample": "shuffle"}
    ),
    "instance norm, bilinear": lambda: tiny_model(
        settings={"family": "dcgan", "width": 4, "norm": "instance", "upsample": "bilinear", "tail_blocks": 1}
    ),
    "growing": lambda: tiny_model(settings={"family": "growing", "width": 4, "base_size": 8}),
    "residual": lambda: tiny_model(settings={"family": "residual", "width": 4, "blocks": 1, "start": 4}),
    "keras_wgan": lambda: tiny_model(Schema(), settings={"family": "keras_wgan", "width": 4, "max_width": 8}),
    "starsface_wgan": lambda: tiny_model(Schema(), settings={"family": "starsface_wgan", "width": 64}, size=32),
    "r3gan": lambda: tiny_model(settings={"family": "r3gan", "channel_base": 64, "channel_max": 8, "blocks": 1}),
    "stylegan2": lambda: tiny_model(
        settings={"family": "stylegan2", "w_dim": 8, "num_layers": 2, "channel_base": 64, "channel_max": 4}
    ),
    "stylegan3": lambda: tiny_model(
        Schema(),
        settings={
            "family": "stylegan3", "w_dim": 8, "channel_base": 64, "channel_max": 4, "num_layers": 3,
            "num_critical": 1, "use_radial_filters": True, "conv_kernel": 1,
        },
    ),
}  # fmt: skip


def run(path: Path, model: Model, count: int, truncation: float = 0.6) -> tuple[np.ndarray, np.ndarray]:
    """onnxruntime's images of ``path`` and PyTorch's of ``model``."""
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    latents, codes = model.latents(count, seed=7), model.conditions(count, seed=7) if model.attributes else None
    feeds = {"latents": latents.numpy()}
    if codes is not None:
        feeds["codes"] = codes.numpy()
    with torch.inference_mode():
        if model.has_style_space:
            feeds["truncation"] = np.array(truncation, np.float32)
            wanted = model.generator(latents, codes, truncation=truncation)
        else:
            wanted = model.generator(latents, codes)
    (found,) = session.run(["images"], feeds)
    return found, wanted.numpy()


@pytest.mark.parametrize("name", NETWORKS)
def test_images_are_pytorchs_in_any_batch(name: str, tmp_path: Path) -> None:
    model = lively(NETWORKS[name]())
    before = {key: value.clone() for key, value in model.generator.state_dict().items()}
    path = export_onnx(model, tmp_path / "model.onnx")
    for count in (1, 4):
        found, wanted = run(path, model, count)
        assert found.shape == wanted.shape and wanted.std() > 1e-3
        assert np.abs(found - wanted).max() < 1e-4
    assert all(torch.equal(value, before[key]) for key, value in model.generator.state_dict().items())


def test_the_file_tells_what_it_is(coded: Model, tmp_path: Path) -> None:
    content = onnx.load(export_onnx(coded, tmp_path / "model.onnx"))
    onnx.checker.check_model(content)
    assert {each.domain: each.version for each in content.opset_import} == {"": 18}
    assert [each.name for each in content.graph.input] == ["latents", "codes"]
    assert all(each.type.tensor_type.shape.dim[0].dim_param for each in content.graph.input)
    told = {each.key: each.value for each in content.metadata_props}
    assert json.loads(told["kaogan.attributes"]) == coded.attributes.to_json()
    assert json.loads(told["kaogan.latent"]) == {"size": 6, "distribution": "normal"}
    assert json.loads(told["kaogan"])["recipe"] == "tiny"
    assert told["kaogan.preview"].startswith("data:image/png;base64,iVBOR")
    assert str(Path.cwd()).encode() not in content.SerializeToString()  # no trace of who exported it


def test_half_the_bits(coded: Model, tmp_path: Path) -> None:
    whole, half = export_onnx(coded, tmp_path / "a.onnx"), export_onnx(coded, tmp_path / "b.onnx", half=True)
    weights = {each.name: each.data_type for each in onnx.load(half).graph.initializer}
    assert onnx.TensorProto.FLOAT16 in weights.values()
    assert half.stat().st_size < whole.stat().st_size
    found, wanted = run(half, coded, 2)
    assert 0 < np.abs(found - wanted).max() < 0.03 and found.dtype == np.float32


def test_a_graph_that_differs_is_refused(coded: Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def bent(model: Model) -> torch.nn.Module:
        twin = exportable_copy(model)
        with torch.no_grad():
            twin.last[-1].weight.mul_(1.01)
        return twin

    monkeypatch.setattr(onnx_file, "exportable_copy", bent)
    with pytest.raises(KaoganError, match=r"differs from PyTorch by .* nothing written"):
        export_onnx(coded, tmp_path / "model.onnx")
    assert not list(tmp_path.iterdir())


def test_without_the_packages_it_says_how_to_get_them(
    coded: Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "onnx", None)
    with pytest.raises(KaoganError, match=r"needs the package 'onnx': pip install 'kaogan\[export\]'"):
        export_onnx(coded, tmp_path / "model.onnx")


@pytest.mark.parametrize(("channels", "scale"), [(3, 4), (1, 8)])
def test_upscalers_enlarge_as_in_pytorch(channels: int, scale: int) -> None:
    upscaler = load_upscaler("kao-sr", "cpu", "fp32")
    given = load_upscaler("kao-sr", "cpu", "fp32")
    given.network.half()  # a network on a card, or in another precision, is exported by a copy, and left as it is
    content, difference = upscaler_bytes(given, scale, 16, channels=channels)
    assert next(given.network.parameters()).dtype == torch.float16
    told = {each.key: each.value for each in onnx.load_from_string(content).metadata_props}
    assert told["kaogan.scale"] == str(scale) and difference < 1e-4
    assert len(content) < 3_000_000, "its weights are float16 and stay so"
    session = onnxruntime.InferenceSession(content)
    for count in (1, 4):
        pictures = tiny_model(Schema(), channels=channels).sample(count, seed=3)
        (found,) = session.run(["enlarged"], {"images": to_float(pictures).numpy()})
        assert found.shape == (count, channels, 16 * scale, 16 * scale)
        right = upscaler.upscale(pictures, scale).transpose(0, 3, 1, 2) / 127.5 - 1
        assert np.abs(found - right).max() < 1.01 / 127.5 and right.std() > 0.05


def test_upscalers_that_cannot_be_exported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UsageError, match="no scale 3; choose from 2, 4, 8"):
        export_upscaler("kao-sr", tmp_path / "a.onnx", 3)
    with pytest.raises(UsageError, match="8 to 1024 px, not 4"):
        export_upscaler("kao-sr", tmp_path / "a.onnx", size=4)
    # Matrices of the interpolation that are rounded to float16, which "half" is allowed to do.
    monkeypatch.setattr(upscaler_file, "halve", lambda proto, exact: onnx_file.halve(proto))
    with pytest.raises(KaoganError, match=r"differs from PyTorch by .* nothing written"):
        export_upscaler("kao-sr", tmp_path / "a.onnx", size=64)
    assert not list(tmp_path.iterdir())


def test_flipped_bits_are_noticed(coded: Model, tmp_path: Path) -> None:
    content = export_onnx(coded, tmp_path / "m.onnx").read_bytes()
    assert check_onnx(content, "m.onnx")
    for place in np.random.default_rng(0).integers(0, 8 * len(content), 200):
        damaged = bytearray(content)
        damaged[place // 8] ^= 1 << int(place % 8)
        with pytest.raises(KaoganError) as refused:
            check_onnx(bytes(damaged), "m.onnx")
        assert "\n" not in str(refused.value)
    key = content.index(b"kaogan.sha256")
    with pytest.raises(KaoganError, match="altered"):
        check_onnx(content[:key] + b"K" + content[key + 1 :], "m.onnx")


def test_the_file_is_held_against_exact_float32(coded: Model, monkeypatch: pytest.MonkeyPatch) -> None:
    """On a card that multiplies float32 with fewer bits the difference would be that of the card."""
    inside: list[torch.device] = []

    @contextmanager
    def exact(device: torch.device) -> Iterator[None]:
        inside.append(device)
        yield
        inside.clear()

    class Session:
        def run(self, names: None, inputs: dict[str, np.ndarray]) -> list[np.ndarray]:
            return [np.zeros((len(inputs["latents"]), 3, 16, 16), np.float32)]

    seen: list[bool] = []
    monkeypatch.setattr(onnx_file, "exact", exact)
    monkeypatch.setattr(onnx_file, "open_session", lambda content: Session())
    handle = coded.generator.register_forward_pre_hook(lambda *_: seen.append(inside == [coded.device]))
    onnx_file._difference(coded, b"")
    handle.remove()
    assert seen == [True] * len(onnx_file.BATCHES)
