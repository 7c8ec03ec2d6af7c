"""An upscaler: tiles, alpha, grey, files and what is wrong with them."""

from __future__ import annotations

import sys
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save_file
from torch._subclasses.fake_tensor import FakeTensorMode

import kaogan
from benchmarks.lpips import find_lpips
from benchmarks.upscaling_quality import evaluate
from kaogan.aux_models.upscaler import load, model
from kaogan.aux_models.upscaler.load import load_upscaler, names
from kaogan.aux_models.upscaler.model import Upscaler, keep_colours_, save_upscaler
from kaogan.aux_models.upscaler.networks import SRGANGenerator, SRGANSettings, bicubic, build
from kaogan.core.errors import KaoganError, UsageError
from kaogan.core.images import to_float
from kaogan.share.import_weights.srgan import import_upscaler
from tests.small import TINY_UPSCALER as TINY


@pytest.mark.parametrize("size", [(70, 90), (64, 64), (33, 101)])
@pytest.mark.parametrize("tile", [16, 21, 32])
def test_tiles_make_the_same_picture(upscaler: Upscaler, size: tuple[int, int], tile: int) -> None:
    picture = np.random.default_rng(0).integers(0, 256, (1, *size, 3), np.uint8)
    whole = upscaler.upscale(picture, 2, tile=1000)
    tiled = upscaler.upscale(picture, 2, tile=tile)
    assert np.abs(whole.astype(int) - tiled).max() <= 1


def test_tiles_without_overlap_would_differ(upscaler: Upscaler) -> None:
    picture = np.random.default_rng(0).integers(0, 256, (1, 64, 64, 3), np.uint8)
    left = upscaler.upscale(np.ascontiguousarray(picture[:, :, :32]), 2)
    assert np.abs(upscaler.upscale(picture, 2)[:, :, :64].astype(int) - left).max() > 1


def test_a_picture_does_not_depend_on_its_neighbours(upscaler: Upscaler, pictures: np.ndarray) -> None:
    together = upscaler.upscale(pictures, 4)
    alone = np.concatenate([upscaler.upscale(picture[None], 4) for picture in pictures])
    assert np.abs(together.astype(int) - alone).max() <= 1


def test_alpha_and_grey_are_kept(upscaler: Upscaler, pictures: np.ndarray) -> None:
    opaque = np.concatenate([pictures, np.full((*pictures.shape[:3], 1), 255, np.uint8)], 3)
    assert upscaler.upscale(opaque, 2).shape == (3, 24, 32, 4)
    assert (upscaler.upscale(opaque, 2)[..., :3] == upscaler.upscale(pictures, 2)).all()
    assert upscaler.upscale(pictures[..., :1], 2).shape == (3, 24, 32, 1)


def test_what_lies_under_transparency_does_not_bleed(upscaler: Upscaler) -> None:
    picture = np.full((1, 16, 16, 4), (200, 40, 40, 255), np.uint8)
    picture[:, :, 8:] = (0, 255, 0, 0)
    other = picture.copy()
    other[:, :, 8:, :3] = 7
    assert (upscaler.upscale(picture, 2) == upscaler.upscale(other, 2)).all()


def test_wrong_scales_and_arrays(upscaler: Upscaler, pictures: np.ndarray) -> None:
    with pytest.raises(UsageError, match="no scale 3; choose from 2, 4, 8"):
        upscaler.upscale(pictures, 3)
    for wrong in (pictures.astype(np.float32), pictures[0], pictures[..., :2], pictures[:, :0]):
        with pytest.raises(UsageError, match="upscaling takes pictures"):
            upscaler.upscale(wrong, 2)


def test_progress_is_told(upscaler: Upscaler, pictures: np.ndarray) -> None:
    told: list[tuple[int, int, str]] = []
    upscaler.upscale(pictures, 2, progress=lambda *done: told.append(done))
    assert told[-1] == (3, 3, "enlarging")


def test_files_come_back(upscaler: Upscaler, pictures: np.ndarray, tmp_path: Path) -> None:
    path = tmp_path / "model" / "upscaler.safetensors"
    save_upscaler(path, upscaler.network, TINY, {"recipe": "tiny"}, half=False)
    for place in (path, tmp_path, path.parent):
        loaded = load_upscaler(place, precision="fp32")
        assert (loaded.upscale(pictures, 4) == upscaler.upscale(pictures, 4)).all()
    assert loaded.facts == {"recipe": "tiny"}
    assert isinstance(kaogan.load(tmp_path), Upscaler)
    save_upscaler(path, upscaler.network, TINY, {})
    assert all(value.dtype == torch.float16 for value in load_file(path).values())


def test_what_is_no_upscaler(upscaler: Upscaler, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no upscaler 'kaosr'"):
        load_upscaler("kaosr")
    foreign = tmp_path / "foreign.safetensors"
    save_file({"x": torch.zeros(1)}, foreign)
    with pytest.raises(KaoganError, match="is not an upscaler"):
        load_upscaler(foreign)
    good = tmp_path / "good.safetensors"
    save_upscaler(good, upscaler.network, TINY, {})
    cut = tmp_path / "cut.safetensors"
    cut.write_bytes(good.read_bytes()[:-100])
    with pytest.raises(KaoganError, match="damaged"):
        load_upscaler(cut)
    with torch.no_grad():
        next(upscaler.network.parameters()).fill_(float("nan"))
    save_upscaler(good, upscaler.network, TINY, {})
    with pytest.raises(KaoganError, match="not finite"):
        load_upscaler(good)


def test_srgans_weights_are_imported(tmp_path: Path, pictures: np.ndarray) -> None:
    torch.manual_seed(0)
    settings = SRGANSettings(width=4, blocks=2, scales=(8,))
    network = SRGANGenerator(settings)
    file = tmp_path / "netG_epoch_5_smallData.pth"
    torch.save(network.state_dict(), file)
    wanted = Upscaler(network, settings, precision="fp32").upscale(pictures, 8)
    assert (load_upscaler(file, precision="fp32").upscale(pictures, 8) == wanted).all()
    path, _ = import_upscaler(file, tmp_path / "srgan")
    assert (load_upscaler(path, precision="fp32").upscale(pictures, 8) == wanted).all()
    state = network.state_dict()
    del state["conv2.0.bias"]
    torch.save(state, file)
    with pytest.raises(KaoganError, match=r"'conv2\.0\.bias' does not fit"):
        load_upscaler(file)
    torch.save(state | {"conv1.0.weight": torch.zeros(5000, 3, 1, 1)}, file)  # wider than any useful one
    with pytest.raises(KaoganError, match="is not the SRGAN of GANime"):
        load_upscaler(file)


def test_the_upscaler_inside_the_package_beats_bicubic_on_drawn_faces() -> None:
    from kaogan.data.avatars import draw_many

    assert "kao-sr" in names()
    ours = kaogan.load("kao-sr")
    originals = draw_many(3, 128, seed=9)
    for scale in (2, 4, 8):
        results = evaluate(originals, scale, {"ours": lambda x, s=scale: ours.upscale(x, s)})  # type: ignore[misc]
        assert results["ours"].wins(results["bicubic"], "psnr") == 3


class StandIn(torch.nn.Module):
    """In the place of LPIPS: the mean absolute difference, (N, 1, 1, 1)."""

    def __init__(self, net: str, verbose: bool) -> None:
        super().__init__()
        assert net == "alex"

    def forward(self, made: torch.Tensor, wanted: torch.Tensor) -> torch.Tensor:
        return (made - wanted).abs().mean((1, 2, 3), keepdim=True)


def test_lpips_is_measured_only_where_its_weights_are(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    module = ModuleType("lpips")
    module.__spec__, module.LPIPS = ModuleSpec("lpips", None), StandIn  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "lpips", module)
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    assert find_lpips() is None
    (tmp_path / "checkpoints").mkdir()
    (tmp_path / "checkpoints" / "alexnet-owt-7be5be79.pth").write_bytes(b"")
    originals = np.random.default_rng(0).integers(0, 256, (2, 16, 16, 3), np.uint8)
    result = evaluate(originals, 2, {"same": lambda low: originals, "flat": lambda low: originals * 0}, False)
    assert result["same"].measures[-1] == "lpips" and result["same"].wins(result["flat"], "lpips") == 2
    wanted = [float((to_float(one[None]) + 1).abs().mean()) for one in originals]
    assert np.allclose(result["flat"].lpips, wanted, atol=1e-5)


def test_mean_colour_stays(tmp_path: Path) -> None:
    from kaogan.data.avatars import draw_many

    low = draw_many(4, 64, seed=5)
    large = kaogan.load("kao-sr").upscale(low, 8)
    means = [x.reshape(4, -1, 3).mean(1) for x in (low, large)]
    assert np.abs(means[0] - means[1]).max() < 1
    Image.fromarray(large[0]).save(tmp_path / "x.png")


def test_what_is_transparent_stays_so(upscaler: Upscaler) -> None:
    pictures = np.zeros((2, 12, 12, 4), np.uint8)
    pictures[..., :3] = np.random.default_rng(0).integers(0, 255, (2, 12, 12, 3))
    pictures[1, :4, :4, 3] = 255
    result = upscaler.upscale(pictures, 2)
    assert (result[0, ..., 3] == 0).all() and (result[1, 12:, 12:, 3] == 0).all()
    assert (result[1, :6, :6, 3] > 0).all()


def test_it_works_where_its_weights_lie() -> None:
    """On a pretended card: what was made on the host beside it is an error."""
    device, pretended = torch.device("cuda", 0), FakeTensorMode(allow_non_fake_inputs=True)
    for scale in (2, 4, 8):
        bicubic(torch.zeros(1, 3, 16, 16), scale)  # its matrices are kept: not pretended ones, which others would get
    with pretended, device:
        network = build(TINY)
    with pretended:
        images = torch.empty(2, 3, 16, 16, device=device)
        for scale in (2, 4, 8):
            made = keep_colours_(network(images, scale), images, scale)
            assert made.device == device and made.shape == (2, 3, 16 * scale, 16 * scale)


def test_precision_of_cards_without_bf16(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(model, "choose_precision", lambda *_: "fp16")
    assert model.upscaler_precision("auto", torch.device("cpu")) == "fp32"


def test_a_small_file_cannot_ask_for_a_large_network(upscaler: Upscaler, tmp_path: Path) -> None:
    for claim in ({"widths": (4096, 4096, 4096), "middle": 256}, {"middle": 10**9}, {"scales": (2,) * 9}):
        settings = TINY.model_copy(update=claim)
        path = tmp_path / "large.safetensors"
        save_upscaler(path, upscaler.network, settings, {})
        built: list[object] = []
        with pytest.MonkeyPatch.context() as patch, pytest.raises(KaoganError, match=r"another network|not a whole"):
            patch.setattr(load, "build", lambda s, built=built: built.append(torch.get_default_device()) or build(s))
            load_upscaler(path, "cpu")
        assert all(str(device) == "meta" for device in built)
