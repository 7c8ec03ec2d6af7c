"""The imported generator draws what the original draws, on the same weights and latents."""

from __future__ import annotations

import copy
import pickle
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import nn

import kaogan
from kaogan.core.errors import KaoganError
from kaogan.core.schema import EYES, HAIR
from kaogan.generate.model import Model
from kaogan.networks import build_generator
from kaogan.share.import_weights import Hints, export_weights, import_weights, read_generator
from tests.share.import_weights import reference
from tests.share.import_weights.conftest import keras_config, write_h5

Source = tuple[str, nn.Module, dict, str]


def outputs(network: nn.Module, model: Model, dtype: torch.dtype = torch.float32) -> tuple[torch.Tensor, torch.Tensor]:
    """Of the original and of the imported network."""
    torch.manual_seed(1)
    count = 2 if model.image_size == 64 else 1
    z = torch.randn(count, model.latent_size, dtype=dtype)
    conditions = model.conditions(count, 5).to(dtype)
    with torch.no_grad():
        if model.attributes:
            return network.to(dtype)(z, conditions), model.generator.to(dtype)(z, conditions)
        return network.to(dtype)(z), model.generator.to(dtype)(z)


def test_pictures_are_those_of_the_original(source: Source, tmp_path: Path) -> None:
    _, network, content, _ = source
    torch.save(content, tmp_path / "weights.pth")
    model = read_generator(tmp_path / "weights.pth")
    original, imported = outputs(network, model)
    assert original.std() > 0.1 and (original - imported).abs().max() < 1e-4
    if model.image_size == 64:
        original, imported = outputs(copy.deepcopy(network), model, torch.float64)
        assert (original - imported).abs().max() < 1e-9
    assert model.image_size == original.shape[-1]


def test_the_program_is_told_by_the_tensors(source: Source, tmp_path: Path) -> None:
    _, network, content, program = source
    torch.save(content, tmp_path / "weights.pth")
    guessed = read_generator(tmp_path / "weights.pth")
    named = read_generator(tmp_path / "weights.pth", program=program)
    assert guessed.config == named.config
    bare = dict(network.state_dict())
    torch.save({f"module.{name}": tensor for name, tensor in bare.items()}, tmp_path / "weights.pth")
    assert read_generator(tmp_path / "weights.pth").config["generator"] == named.config["generator"]


def test_there_and_back(source: Source, tmp_path: Path) -> None:
    _, network, content, program = source
    torch.save(content, tmp_path / "weights.pth")
    model = read_generator(tmp_path / "weights.pth")
    for wrapped in (False, True):
        result = export_weights(model, program, tmp_path / "back.pth", wrapped=wrapped)
        back = torch.load(result.path, weights_only=True)
        if wrapped:
            back = back.get({"acgan": "model", "ganime": "netG_state_dict"}.get(program), back)
        expected = network.state_dict()
        assert list(back) == list(expected)
        assert all(torch.equal(back[name], tensor) for name, tensor in expected.items())
        network.load_state_dict(back)


def test_files_of_every_kind(tmp_path: Path) -> None:
    """Old and new PyTorch, a plain pickle, safetensors; half precision too."""
    network = reference.randomise(reference.StarsFace(32))
    state = dict(network.state_dict())
    torch.save(state, tmp_path / "new.pth")
    torch.save(state, tmp_path / "old.pth", _use_new_zipfile_serialization=False)
    (tmp_path / "plain.pth").write_bytes(pickle.dumps(state))
    save_file(state, tmp_path / "x.safetensors")
    for name in ("new.pth", "old.pth", "plain.pth", "x.safetensors"):
        original, imported = outputs(network, read_generator(tmp_path / name))
        assert (original - imported).abs().max() < 1e-4
    torch.save({name: t.half() if t.is_floating_point() else t for name, t in state.items()}, tmp_path / "half.pth")
    original, imported = outputs(network, read_generator(tmp_path / "half.pth"))
    assert 0 < (original - imported).abs().max() < 0.1


def test_old_files_lack_counters(tmp_path: Path) -> None:
    network = reference.randomise(reference.ACGAN(8))
    state = {name: t for name, t in network.state_dict().items() if "num_batches" not in name}
    torch.save({"model": state}, tmp_path / "old.ckpt")
    original, imported = outputs(network, read_generator(tmp_path / "old.ckpt"))
    assert (original - imported).abs().max() < 1e-4


def test_both_spellings_of_spectral_norm(tmp_path: Path) -> None:
    from kaogan.core.foreign_weights import SPECTRAL_NORM_SPELLINGS

    network = reference.randomise(reference.BaMSGAN(8))
    old = dict(network.state_dict())
    new = {}
    for name, tensor in old.items():
        for ours, theirs in SPECTRAL_NORM_SPELLINGS.items():
            name = name.removesuffix(theirs) + ours if name.endswith(theirs) else name
        new[name] = tensor
    assert "l1.0.parametrizations.weight.0._u" in new
    torch.save(new, tmp_path / "new.pth")
    original, imported = outputs(network, read_generator(tmp_path / "new.pth"))
    assert (original - imported).abs().max() < 1e-4


def test_codes_of_the_two_acgans(tmp_path: Path) -> None:
    """Hair then eyes in the first program's order; eyes then hair by the alphabet in the later one's."""
    state = dict(reference.randomise(reference.ACGAN(8)).state_dict())
    torch.save({"model": state, "optim": {}, "step": 1, "log": ()}, tmp_path / "first.ckpt")
    torch.save({"model": state, "optim": {}}, tmp_path / "later.pth")
    torch.save(state, tmp_path / "bare.pth")
    first, later, bare = (
        read_generator(tmp_path / name).attributes for name in ("first.ckpt", "later.pth", "bare.pth")
    )
    assert [(a.name, a.values) for a in first.attributes] == [("hair", HAIR), ("eyes", EYES)] and bare == first
    assert [(a.name, list(a.values)) for a in later.attributes] == [("eyes", sorted(EYES)), ("hair", sorted(HAIR))]
    assert read_generator(tmp_path / "bare.pth", program="acgan-new").attributes == later
    with pytest.warns(FutureWarning, match="'system' is now called 'program'"):
        assert read_generator(tmp_path / "bare.pth", system="acgan-new").attributes == later  # type: ignore[call-arg]
    model = read_generator(tmp_path / "first.ckpt")
    assert model.conditions(1, hair="white", eyes="blue")[0].nonzero().flatten().tolist() == [1, 21]
    plain = read_generator(tmp_path / "bare.pth", hints=Hints(classes=0))
    assert (plain.latent_size, plain.attributes.size) == (122, 0)


def test_epsilon_of_ganime_is_that_of_its_blocks(tmp_path: Path) -> None:
    """With PyTorch's epsilon in the blocks, or 0.8 everywhere, the pictures are others."""
    network = reference.randomise(reference.Generator3(8))
    torch.save({"netG_state_dict": dict(network.state_dict())}, tmp_path / "x.tar")
    for wrong in ("inside", "outside"):
        model = read_generator(tmp_path / "x.tar")
        for name, part in model.generator.named_modules():
            inside = ".body." in name
            if isinstance(part, nn.BatchNorm2d) and inside == (wrong == "inside"):
                part.eps = 1e-5 if inside else 0.8
        original, imported = outputs(network, model)
        assert (original - imported).abs().max() > 0.01


# Keras


@pytest.mark.parametrize(("size", "channels"), [(16, 3), (28, 3), (32, 3), (24, 1)])
@pytest.mark.parametrize("form", ["model", "weights", "keras3", "pickle"])
def test_keras(tmp_path: Path, size: int, channels: int, form: str) -> None:
    pytest.importorskip("h5py")
    if size > 16 and form != "model":
        pytest.skip("once is enough for the larger ones")
    arrays = reference.keras_weights(size, channels=channels)
    stages = len(arrays) // 6 - 2
    if form == "pickle":
        path = tmp_path / "weights.pkl"
        path.write_bytes(pickle.dumps({"generator": arrays, "discriminator": [], "adversarial": []}, protocol=4))
    else:
        config = None if form == "weights" else keras_config(stages)
        path = write_h5(tmp_path / "generator.h5", arrays, config, keras3=form == "keras3")
    model = read_generator(path)
    z = np.random.default_rng(1).uniform(-1, 1, (2, 8))
    expected = reference.keras_generator(arrays, z)
    with torch.no_grad():
        found = (model.generator(torch.from_numpy(z).float()).permute(0, 2, 3, 1) + 1) / 2
    assert found.shape == (2, size, size, channels) and expected.std() > 0.02
    assert np.abs(found.numpy() - expected).max() < 1e-4
    assert model.config["latent"] == {"size": 8, "distribution": "uniform"}


def test_keras_against_pytorch_by_hand() -> None:
    """The reference itself: one pixel scatters the kernel; stride 2 crops 1 before and 2 after."""
    x, kernel = np.zeros((1, 2, 2, 1)), np.arange(25.0).reshape(5, 5, 1, 1)
    x[0, 0, 0, 0] = 1
    assert (reference.transposed_same(x, kernel, np.zeros(1), 2)[0, ..., 0] == kernel[1:, 1:, 0, 0]).all()
    x = np.zeros((1, 4, 4, 1))
    x[0, 0, 0, 0] = 1
    assert (reference.transposed_same(x, kernel, np.zeros(1), 1)[0, :3, :3, 0] == kernel[2:, 2:, 0, 0]).all()


def test_keras_epsilon_of_the_file(tmp_path: Path) -> None:
    pytest.importorskip("h5py")
    arrays = reference.keras_weights()
    stages = len(arrays) // 6 - 2
    model = read_generator(write_h5(tmp_path / "x.h5", arrays, keras_config(stages, epsilon=0.05)))
    z = np.random.default_rng(1).uniform(-1, 1, (2, 8))
    with torch.no_grad():
        found = (model.generator(torch.from_numpy(z).float()).permute(0, 2, 3, 1) + 1) / 2
    assert np.abs(found.numpy() - reference.keras_generator(arrays, z, 0.05)).max() < 1e-4
    assert np.abs(found.numpy() - reference.keras_generator(arrays, z)).max() > 1e-3


# what is written


def test_the_folder_is_a_model(tmp_path: Path) -> None:
    torch.save(dict(reference.randomise(reference.ACGAN(8)).state_dict()), tmp_path / "G_2000.ckpt")
    folder, model = import_weights(tmp_path / "G_2000.ckpt", tmp_path / "acgan")
    export_weights(folder, "acgan", tmp_path / "back.pth")
    assert torch.load(tmp_path / "back.pth", weights_only=True).keys() == torch.load(tmp_path / "G_2000.ckpt").keys()
    assert sorted(p.name for p in folder.iterdir()) == ["README.md", "config.json", "model.safetensors", "preview.png"]
    card = (folder / "README.md").read_text()
    assert "imported into kaogan" in card and "bchao1/Anime-Generation" in card
    loaded = kaogan.load(folder)
    assert (loaded.sample(2, hair="pink", eyes="red") == model.sample(2, hair="pink", eyes="red")).all()
    assert loaded.config["imported"] == {"file": "G_2000.ckpt", "program": "acgan"}


def test_stylegan(tmp_path: Path) -> None:
    from kaogan.networks.stylegan import StyleGAN2GeneratorSettings

    torch.manual_seed(0)
    settings = StyleGAN2GeneratorSettings(w_dim=16, num_layers=2, channel_base=64, channel_max=8)
    network = build_generator(settings, latent_size=16, attribute_size=0, image_size=8, channels=3).eval()
    save_file({k: v.contiguous() for k, v in network.state_dict().items()}, tmp_path / "g.safetensors")
    model = read_generator(tmp_path / "g.safetensors")
    z = torch.randn(2, model.latent_size)
    with torch.no_grad():
        assert (model.generator(z) - network(z)).abs().max() < 1e-4


@pytest.mark.parametrize("prefix", ["module.", "_orig_mod.", "_orig_mod.module."])
@pytest.mark.parametrize("family", ["starsface", "stylegan"])
def test_prefixes_of_wrapped_modules(prefix: str, family: str, tmp_path: Path) -> None:
    from kaogan.networks.stylegan import StyleGAN2GeneratorSettings

    if family == "stylegan":
        settings = StyleGAN2GeneratorSettings(w_dim=8, num_layers=2, channel_base=64, channel_max=8)
        network = build_generator(settings, latent_size=6, attribute_size=0, image_size=16, channels=3)
    else:
        network = reference.randomise(reference.StarsFace(32))
    state = network.state_dict()
    torch.save(state, tmp_path / "plain.pth")
    torch.save({prefix + name: value for name, value in state.items()}, tmp_path / "wrapped.pth", pickle_protocol=4)
    wanted, found = (read_generator(tmp_path / name, program=family) for name in ("plain.pth", "wrapped.pth"))
    assert np.array_equal(wanted.sample(2), found.sample(2))


def test_nvidias_pickles_are_converted_by_the_script(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import pickle
    import sys
    from types import ModuleType

    from kaogan.networks.stylegan import StyleGAN2GeneratorSettings
    from tools.convert_nvidia_pkl import convert

    settings = StyleGAN2GeneratorSettings(w_dim=8, num_layers=2, channel_base=64, channel_max=8)
    network = build_generator(settings, latent_size=6, attribute_size=0, image_size=16, channels=3)
    persistence = ModuleType("torch_utils.persistence")
    persistence.Generator = type("Generator", (torch.nn.Module,), {"__module__": "torch_utils.persistence"})
    monkeypatch.setitem(sys.modules, "torch_utils", ModuleType("torch_utils"))
    monkeypatch.setitem(sys.modules, "torch_utils.persistence", persistence)
    theirs = persistence.Generator()
    theirs.mapping, theirs.synthesis = network.mapping, network.synthesis
    (tmp_path / "network.pkl").write_bytes(pickle.dumps({"G": None, "D": None, "G_ema": theirs}))
    with pytest.raises(KaoganError, match=r"a pickle of NVIDIA's programs.*tools/convert_nvidia_pkl\.py"):
        read_generator(tmp_path / "network.pkl")
    assert convert(tmp_path / "network.pkl", tmp_path / "network.pth") == len(network.state_dict())
    model = read_generator(tmp_path / "network.pth", program="stylegan")
    with torch.no_grad():
        latents = torch.randn(1, 6)
        torch.testing.assert_close(model.generator(latents), network.eval()(latents))
