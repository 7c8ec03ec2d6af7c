"""What cannot be imported or exported is said in one line, and nothing is left behind."""

from __future__ import annotations

import os
import pickle
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from kaogan import cli
from kaogan.config import recipes
from kaogan.core.errors import KaoganError, UsageError
from kaogan.generate.model import Model, make_config
from kaogan.networks import build_generator
from kaogan.share.import_weights import export_weights, import_weights, read_generator
from tests.share.import_weights import reference
from tests.share.import_weights.conftest import keras_config, write_h5


def state() -> dict[str, torch.Tensor]:
    return dict(reference.randomise(reference.StarsFace(32)).state_dict())


def without(name: str) -> dict[str, torch.Tensor]:
    return {key: tensor for key, tensor in state().items() if key != name}


class Evil:
    def __reduce__(self) -> object:
        return os.system, ("touch evil",)


BAD: dict[str, tuple[Callable[[], object], str]] = {
    "missing": (lambda: without("main_module.4.bias"), r"'main_module.4.bias' is missing"),
    "missing first": (lambda: without("main_module.0.weight"), r"does not hold a known generator"),
    "too many": (lambda: state() | {"extra.weight": torch.zeros(3)}, r"'extra.weight' is not of this network"),
    "shape": (lambda: state() | {"main_module.4.bias": torch.zeros(3)}, r"the shape \(3,\) instead of \(16,\)"),
    "dimensions": (lambda: state() | {"main_module.0.weight": torch.zeros(3)}, r"has the shape \(3,\)"),
    "nan": (lambda: state() | {"main_module.4.bias": torch.full((16,), torch.nan)}, "not finite"),
    "integers": (lambda: state() | {"main_module.4.bias": torch.zeros(16, dtype=torch.int32)}, "which no weight is"),
    "expanded": (lambda: state() | {"main_module.3.weight": torch.zeros(1, 1, 1, 1).expand(32, 16, 4, 4)},
                 "claims more numbers"),
    "wide": (lambda: state() | {"main_module.0.weight": torch.zeros(1, 10**6, 1, 1)}, "sizes that no"),
    "list": (lambda: [1, 2], "holds a list"),
    "tensor": (lambda: torch.zeros(3), "holds a Tensor"),
    "empty": (dict, "holds no generator's tensors"),
    "other keys": (lambda: {"epoch": 3, "optimizer": {}}, "its keys are epoch, optimizer"),
    "foreign": (lambda: {"encoder.weight": torch.zeros(3)}, "does not hold a known generator.*encoder.weight"),
    "discriminator of S": (lambda: state() | {"output.0.weight": torch.zeros(1)}, "holds a discriminator"),
    "discriminator of B": (lambda: {"block_1.0.bias": torch.zeros(1)}, "holds a discriminator"),
    "discriminator of A": (lambda: {"model": {"conv_layers.0.weight": torch.zeros(1)}}, "holds a discriminator"),
    "super-resolution": (lambda: {"residual1.net.0.weight": torch.zeros(1)}, "SRGAN, which enlarges"),
}  # fmt: skip


@pytest.mark.parametrize("name", BAD)
def test_tensors_that_do_not_fit(tmp_path: Path, name: str) -> None:
    content, message = BAD[name]
    torch.save(content(), tmp_path / "x.pth")
    with pytest.raises(KaoganError, match=message) as refused:
        import_weights(tmp_path / "x.pth", tmp_path / "model")
    assert "\n" not in str(refused.value) and "x.pth" in str(refused.value)
    assert [p.name for p in tmp_path.iterdir()] == ["x.pth"]


def files() -> dict[str, bytes]:
    import io

    whole = io.BytesIO()
    torch.save(state(), whole)
    data = whole.getvalue()
    old = io.BytesIO()
    torch.save(state(), old, _use_new_zipfile_serialization=False)
    packed = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(data)) as source, zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as target:
        for name in source.namelist():
            target.writestr(name, source.read(name))
    other = io.BytesIO()
    with zipfile.ZipFile(other, "w") as target:
        target.writestr("config.json", "{}")
    return {
        "cut": data[: len(data) // 2],
        "cut at the end": data[:-10],
        "cut old": old.getvalue()[: len(old.getvalue()) // 2],
        "compressed": packed.getvalue(),
        "keras 3": other.getvalue(),
        "lfs": b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 12\n",
        "text": b"hello world, this is no file of weights",
        "empty": b"",
        "pickle of code": pickle.dumps({"l1.0.weight": Evil()}),
        "safetensors cut": (100).to_bytes(8, "little") + b'{"x":{"dtype"' + b" " * 200,
        "hdf5 cut": b"\x89HDF\r\n\x1a\n" + bytes(50),
    }


@pytest.mark.parametrize("name", files())
def test_files_that_are_none(tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "x.pth").write_bytes(files()[name])
    with pytest.raises(KaoganError) as refused:
        import_weights(tmp_path / "x.pth", tmp_path / "model")
    assert "\n" not in str(refused.value) and "x.pth" in str(refused.value)
    assert [p.name for p in tmp_path.iterdir()] == ["x.pth"], "nothing was written, by us or by the pickle"


def test_places_and_names(tmp_path: Path) -> None:
    torch.save(state(), tmp_path / "x.pth")
    with pytest.raises(UsageError, match="no such file"):
        import_weights(tmp_path / "y.pth")
    with pytest.raises(UsageError, match="is a folder"):
        import_weights(tmp_path)
    with pytest.raises(UsageError, match="did you mean 'starsface'"):
        import_weights(tmp_path / "x.pth", program="starface")
    with pytest.raises(KaoganError, match="the generator of 'bamsgan'"):
        import_weights(tmp_path / "x.pth", program="bamsgan")
    (tmp_path / "full").mkdir()
    (tmp_path / "full/file").touch()
    with pytest.raises(UsageError, match="exists"):
        import_weights(tmp_path / "x.pth", tmp_path / "full")


# Keras


def test_keras_files_that_do_not_fit(tmp_path: Path) -> None:
    h5py = pytest.importorskip("h5py")
    arrays = reference.keras_weights()
    stages = len(arrays) // 6 - 2
    path = tmp_path / "x.h5"

    def refused(message: str) -> None:
        with pytest.raises(KaoganError, match=message) as error:
            read_generator(path)
        assert "\n" not in str(error.value)

    write_h5(path, arrays, keras_config(stages, padding="valid"))
    refused("other strides or padding")
    write_h5(path, arrays, keras_config(stages + 1))
    refused("other strides or padding")
    write_h5(path, arrays[:-6], None)
    refused("pictures of 32 channels")
    write_h5(path, [*arrays[:6], arrays[6][:3], *arrays[7:]], None)
    refused("not 5 x 5")
    write_h5(path, [arrays[0][:, :-3], arrays[1][:-3], *arrays[2:]], None)
    refused(r"not square|instead of")
    write_h5(path, [np.full_like(arrays[0], np.inf), *arrays[1:]], None)
    refused("not finite")
    write_h5(path, [arrays[0].astype(np.int32), *arrays[1:]], None)
    refused("which no weight is")
    with h5py.File(path, "w") as file:
        file["hair_eye_imgs"] = np.zeros(3)
    refused("no weights of Keras")
    write_h5(path, arrays, {})
    with h5py.File(path, "a") as file:
        file.attrs["model_config"] = "{"
    refused("not JSON")
    write_h5(path, arrays, None)
    with h5py.File(path, "a") as file:
        del file["dense"]
        file["dense"] = h5py.ExternalLink("/etc/other.h5", "/")
    refused("link to elsewhere")
    write_h5(path, arrays, None)
    with h5py.File(path, "a") as file:
        del file["dense/dense/kernel:0"]
        file["dense/dense"].create_dataset("kernel:0", (10**6, 10**6), np.float32)
    refused(r"claims .* far more than the file holds")
    write_h5(path, arrays, None)
    with h5py.File(path, "a") as file:  # packed so well that each array is below the limit and all together are not
        for name in ("kernel:0", "bias:0"):
            del file[f"dense/dense/{name}"]
            file["dense/dense"].create_dataset(name, (3 * 2**27,), np.float32, chunks=(2**20,), compression="gzip")
    refused(r"bias:0 claims .* far more than the file holds")
    write_h5(path, arrays, None)
    with h5py.File(path, "a") as file:
        del file["dense/dense/bias:0"]
        file["dense/dense"].create_dataset("bias:0", (4,), np.float32, external=[("/etc/passwd", 0, 16)])
    refused("in other files")


# export


def model_of(recipe: str, **settings: object) -> Model:
    resolved = recipes.load(recipe, {"generator.width": 8, **settings})
    sizes = {"latent_size": 100, "attribute_size": 0, "image_size": resolved.image_size, "channels": 3}
    torch.manual_seed(0)
    return Model(build_generator(resolved.generator, **sizes), *_nothing(resolved))


def _nothing(recipe: object) -> tuple[object, dict]:
    from kaogan.core.schema import Schema

    return Schema(), make_config(recipe, Schema(), clock=0)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("recipe", "settings", "program", "message"),
    [
        ("bamsgan", {}, "keraswgan", "no state dicts for 'keraswgan'"),
        ("bamsgan", {}, "bamsgna", "did you mean 'bamsgan'"),
        ("dcgan", {}, "bamsgan", "'norm' is batch in this model and layer there"),
        ("resdcgan", {"generator.width": 4}, "ganime", "'block_eps' is None in this model and 0.8 there"),
        ("dcgan", {"generator.kernel": 5}, "ganime", "'kernel' is 5"),
        ("bamsgan", {"image_size": 32}, "bamsgan", "64 px only"),
        ("dcgan", {"image_size": 128}, "ganime", "64 px only"),
    ],
)  # fmt: skip
def test_networks_that_a_program_does_not_have(
    tmp_path: Path, recipe: str, settings: dict, program: str, message: str
) -> None:
    with pytest.raises(UsageError, match=message):
        export_weights(model_of(recipe, **settings), program, tmp_path / "x.pth")
    assert not list(tmp_path.iterdir())


def test_a_trained_model_loads_in_its_program(tmp_path: Path) -> None:
    """Export of kaogan's own models: the other program's network takes them and draws the same."""
    for recipe, build, program in (
        ("bamsgan", lambda: reference.BaMSGAN(8), "bamsgan"),
        ("dcgan", lambda: reference.GDCGAN(8, 100), "ganime"),
    ):
        model = model_of(recipe)
        result = export_weights(model, program, tmp_path / "x.pth")
        network = build()
        network.load_state_dict(torch.load(result.path, weights_only=True))
        z = torch.randn(2, 100)
        with torch.no_grad():
            assert (network.eval()(z) - model.generator(z)).abs().max() < 1e-4
        assert (program == "bamsgan") == any("width of 64" in note for note in result.notes)


# command line


def call(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, *words: object) -> tuple[int, str, str]:
    monkeypatch.setattr(sys, "argv", ["kaogan", *map(str, words)])
    capsys.readouterr()
    with pytest.raises(SystemExit) as ended:
        cli.main()
    return (int(ended.value.code or 0), *capsys.readouterr())


def test_command_line(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    torch.save(dict(reference.randomise(reference.ACGAN(8)).state_dict()), "G_1.ckpt")
    code, said, _ = call(capsys, monkeypatch, "import", "G_1.ckpt")
    assert code == 0 and said.startswith("G_1: acgan, 64 px, ") and "latents of 100, hair (12), eyes (10)" in said
    code, said, _ = call(capsys, monkeypatch, "export", "G_1", "--to", "state-dict", "--as", "acgan")
    assert code == 0 and said.splitlines()[0] == "G_1.pth" and (tmp_path / "G_1.pth").is_file()
    code, said, _ = call(capsys, monkeypatch, "import", "G_1.pth", "--as", "acgan-new", "--out", "new")
    assert code == 0 and "eyes (10), hair (12)" in said
    code, _, error = call(capsys, monkeypatch, "export", "G_1", "--to", "state-dict", "--out", "other.pth")
    assert code == 2 and "needs the program" in error
    code, _, error = call(capsys, monkeypatch, "export", "G_1", "--to", "onx")
    assert code == 2 and "unknown kind" in error
    code, _, error = call(capsys, monkeypatch, "import", "absent.pth")
    assert code == 2 and error.startswith("kaogan: no such file") and error.count("\n") == 1
