"""Published tensors find their network by themselves, and foreign files are told from them in one line."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from kaogan.core.errors import KaoganError, UsageError
from kaogan.networks import build_discriminator, build_generator
from kaogan.networks.stylegan import (
    StyleGAN2DiscriminatorSettings,
    StyleGAN2GeneratorSettings,
    StyleGAN3GeneratorSettings,
)
from kaogan.networks.stylegan.load_pretrained import load_published

NARROW: dict[str, Any] = {"channel_base": 256, "channel_max": 12}

GENERATORS: dict[str, Any] = {
    "stylegan2": StyleGAN2GeneratorSettings(w_dim=16, num_layers=3, **NARROW),
    "uniform": StyleGAN2GeneratorSettings(w_dim=16, num_layers=2, channel_base=4096, channel_max=8),
    "resnet": StyleGAN2GeneratorSettings(w_dim=16, num_layers=3, architecture="resnet", use_noise=False, **NARROW),
    "orig": StyleGAN2GeneratorSettings(w_dim=16, num_layers=3, architecture="orig", **NARROW),
    "t": StyleGAN3GeneratorSettings(w_dim=16, num_layers=6, **NARROW),
    "t wide": StyleGAN3GeneratorSettings(w_dim=16, num_layers=6, channel_base=4096, channel_max=8, margin_size=6),
    "r": StyleGAN3GeneratorSettings(w_dim=16, conv_kernel=1, use_radial_filters=True, **NARROW),
}
DISCRIMINATORS: dict[str, Any] = {
    "resnet": StyleGAN2DiscriminatorSettings(cmap_layers=3, **NARROW),
    "skip": StyleGAN2DiscriminatorSettings(architecture="skip", mbstd_num_channels=2, **NARROW),
    "orig": StyleGAN2DiscriminatorSettings(architecture="orig", cmap_dim=5, **NARROW),
}


def generator(case: str, attribute_size: int = 3) -> nn.Module:
    torch.manual_seed(0)
    return build_generator(
        GENERATORS[case], latent_size=10, attribute_size=attribute_size, image_size=32, channels=3
    ).eval()  # fmt: skip


@pytest.mark.parametrize("attribute_size", [0, 3])
@pytest.mark.parametrize("case", GENERATORS)
def test_generators_are_recognised(case: str, attribute_size: int, tmp_path: Path) -> None:
    network = generator(case, attribute_size)
    save_file(network.state_dict(), tmp_path / "g.safetensors")
    found = load_published(tmp_path / "g.safetensors")
    assert (found.image_size, found.channels, found.attribute_size, found.latent_size) == (32, 3, attribute_size, 10)
    if case not in ("uniform", "t wide"):  # there, more than one channel_base gives these channels
        assert found.settings == GENERATORS[case]
    latents = torch.randn(2, 10)
    conditions = torch.eye(3)[:2] if attribute_size else None
    with torch.no_grad():
        assert torch.equal(found.network(latents, conditions), network(latents, conditions))


@pytest.mark.parametrize("base", [1000, 333, 96])
def test_any_channel_base(base: int, tmp_path: Path) -> None:
    """A base that no power of two divides: the channels are the same, whatever base is found for them."""
    for family, more in ((StyleGAN2GeneratorSettings, {}), (StyleGAN3GeneratorSettings, {"num_layers": 5})):
        settings = family(w_dim=8, channel_base=base, channel_max=24, **more)
        network = build_generator(settings, latent_size=6, attribute_size=0, image_size=64, channels=3).eval()
        save_file(network.state_dict(), tmp_path / "g.safetensors")
        found = load_published(tmp_path / "g.safetensors").network
        latents = torch.randn(1, 6)
        with torch.no_grad():
            assert torch.equal(found(latents, None), network(latents, None))


@pytest.mark.parametrize("case", ["stylegan2", "t", "r"])
def test_half_precision(case: str, tmp_path: Path) -> None:
    network = generator(case, 0)
    save_file({name: value.half() for name, value in network.state_dict().items()}, tmp_path / "g.safetensors")
    found = load_published(tmp_path / "g.safetensors").network
    for name, value in found.state_dict().items():
        assert value.dtype == torch.float32 and torch.equal(value, network.state_dict()[name].half().float())


@pytest.mark.parametrize("case", DISCRIMINATORS)
def test_discriminators_are_recognised(case: str, tmp_path: Path) -> None:
    for sizes in ((), (3,)):
        network = build_discriminator(DISCRIMINATORS[case], attribute_sizes=sizes, image_size=32, channels=3)
        torch.save({"D": network.state_dict(), "G": generator("t").state_dict()}, tmp_path / "d.pt")
        found = load_published(tmp_path / "d.pt", "D")
        images = torch.randn(4, 3, 32, 32)
        with torch.no_grad():
            assert torch.equal(found.network(images).scores, network(images).scores)
    assert found.settings == DISCRIMINATORS[case].model_copy(update={"cmap_dim": found.settings.cmap_dim})
    assert found.settings.cmap_layers == DISCRIMINATORS[case].cmap_layers  # type: ignore[union-attr]


def test_what_no_tensor_tells(tmp_path: Path) -> None:
    network = generator("t")
    network.synthesis.input.transform[0, 2] = 0.5  # type: ignore[union-attr]
    torch.save({"G_ema": network.state_dict(), "augment_pipe": None}, tmp_path / "g.pth")
    found = load_published(tmp_path / "g.pth", conv_clamp=None)
    assert found.settings.conv_clamp is None and GENERATORS["t"].conv_clamp == 256
    assert torch.equal(found.network.synthesis.input.transform, torch.eye(3))
    kept = load_published(tmp_path / "g.pth", keep_transform=True)
    assert float(kept.network.synthesis.input.transform[0, 2]) == 0.5
    with pytest.raises(UsageError, match="holds G_ema, but no 'D'"):
        load_published(tmp_path / "g.pth", "D")


def spoilt(case: str, name: str, value: Tensor | None) -> dict[str, Tensor]:
    state = dict(generator(case).state_dict())
    if value is None:
        del state[name]
    else:
        state[name] = value
    return state


@pytest.mark.parametrize(
    ("case", "name", "value", "words"),
    [
        ("stylegan2", "synthesis.b8.conv0.affine.weight", None, "'synthesis.b8.conv0.affine.weight' is missing"),
        ("stylegan2", "synthesis.b4.const", None, "neither 'synthesis.b4.const'"),
        ("stylegan2", "extra", torch.zeros(2), "'extra' does not belong"),
        ("stylegan2", "synthesis.b8.conv0.bias", torch.zeros(7), "(7,) instead of (12,)"),
        ("stylegan2", "synthesis.b8.conv0.bias", torch.full((12,), torch.nan), "not finite"),
        ("stylegan2", "synthesis.b8.resample_filter", torch.ones(4, 4), "another filter"),
        ("t", "synthesis.L1_36_12.up_filter", torch.ones(12) / 12, "another filter"),
        ("t", "synthesis.L1_36_12.weight", torch.zeros(12, 12, 1, 1), "(12, 12, 1, 1) instead of (12, 12, 3, 3)"),
        ("t", "mapping.fc0.weight", None, "'mapping.fc0.weight' is missing"),
    ],
)  # fmt: skip
def test_other_configurations(case: str, name: str, value: Tensor | None, words: str, tmp_path: Path) -> None:
    save_file(spoilt(case, name, value), tmp_path / "g.safetensors")
    with pytest.raises(KaoganError) as caught:
        load_published(tmp_path / "g.safetensors")
    assert words in str(caught.value) and str(tmp_path) in str(caught.value) and "\n" not in str(caught.value)


class Evil:
    def __reduce__(self) -> Any:
        return (Path.touch, (Path("executed"),))


@pytest.mark.parametrize("name", ["network.pkl", "network.pt", "network.safetensors"])
def test_foreign_files(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    path = tmp_path / name
    for content in (pickle.dumps({"G_ema": Evil()}), b"", b"not a file of tensors" * 50):
        path.write_bytes(content)
        with pytest.raises(KaoganError) as caught:
            load_published(path)
        assert "\n" not in str(caught.value) and name in str(caught.value)
    assert not Path("executed").exists()
    with pytest.raises(KaoganError, match=r"absent\.pt"):
        load_published(tmp_path / "absent.pt")


@pytest.mark.parametrize("content", [{}, [1, 2], {"a": 1}, {"a": torch.zeros(2)}, {1: torch.zeros(2)}, {"G": {}}])
def test_other_dictionaries(content: Any, tmp_path: Path) -> None:
    torch.save(content, tmp_path / "g.pt")
    with pytest.raises(KaoganError, match=r"g\.pt holds no"):
        load_published(tmp_path / "g.pt")
