from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from tests.share.import_weights import reference


def acgan_file(state: dict) -> dict:
    return {"model": state, "optim": {"state": {}}, "step": 2000, "log": ([0.5], [1.0])}


def ganime_file(state: dict) -> dict:
    return {
        "epoch_checkpoint": 99,
        "netG_state_dict": state,
        "netD_state_dict": {},
        "G_losses": [1.0],
        "D_losses": [2.0],
    }


# name: (the source's network, what is around its state dict in a file, the program)
NETWORKS: dict[str, tuple[Callable[[], nn.Module], Callable[[dict], dict], str]] = {
    "bamsgan": (lambda: reference.BaMSGAN(8), dict, "bamsgan"),
    "acgan": (lambda: reference.ACGAN(8), acgan_file, "acgan"),
    "acgan resnet": (lambda: reference.ACGAN(8, blocks=3), acgan_file, "acgan"),
    "acgan year": (lambda: reference.ACGAN(8, classes=2), acgan_file, "acgan"),
    "ganime dcgan": (lambda: reference.GDCGAN(8), ganime_file, "ganime"),
    "ganime 2": (lambda: reference.Generator2(64), ganime_file, "ganime"),
    "ganime 2_1": (lambda: reference.Generator2(64, transposed=True), ganime_file, "ganime"),
    "ganime 3": (lambda: reference.Generator3(8), ganime_file, "ganime"),
    "ganime 3_0_2": (lambda: reference.Generator3(8, 16), ganime_file, "ganime"),
    "ganime 3_0_3": (lambda: reference.Generator3(8, widen=(2, 5)), ganime_file, "ganime"),
    "ganime 3_0_4": (lambda: reference.Generator3(16, kind="transpose"), ganime_file, "ganime"),
    "ganime 3_1": (lambda: reference.Generator3(32, 4, kind="deep"), ganime_file, "ganime"),
    "ganime wgan": (lambda: reference.Generator3(8, 16, latent=100), ganime_file, "ganime"),
    "starsface": (lambda: reference.StarsFace(64), dict, "starsface"),
    "starsface wganp": (lambda: reference.StarsFaceP(48), dict, "starsface"),
    "starsface wgan256": (lambda: reference.StarsFace256(64), dict, "starsface"),
}


@pytest.fixture(params=NETWORKS, scope="session")
def source(request: pytest.FixtureRequest) -> tuple[str, nn.Module, dict, str]:
    """(name, network with random weights, what its program would save, the program's name)."""
    build, around, program = NETWORKS[request.param]
    torch.manual_seed(0)
    network = reference.randomise(build(), tune="256" not in request.param)  # slow at 256 px
    return request.param, network, around(dict(network.state_dict())), program


def write_h5(path: Path, arrays: list[np.ndarray], config: dict | None = None, *, keras3: bool = False) -> Path:
    """The generator as Keras lays a model out in HDF5 (hdf5_format of TensorFlow 2; Keras 3 with ``keras3``)."""
    import h5py

    layers: list[tuple[str, list[tuple[str, np.ndarray]]]] = [
        ("generator_input", []),
        ("dense", list(zip(("kernel", "bias"), arrays[:2], strict=True))),
        ("reshape", []),
    ]
    for number in range(len(arrays) // 6):
        part, ending = arrays[2 + 6 * number : 8 + 6 * number], f"_{number}" if number else ""
        norm = zip(("gamma", "beta", "moving_mean", "moving_variance"), part, strict=False)
        layers += [(f"batch_normalization{ending}", list(norm)), (f"activation{ending}", [])]
        layers.append((f"conv2d_transpose{ending}", list(zip(("kernel", "bias"), part[4:], strict=True))))
    with h5py.File(path, "w") as file:
        top = file
        if config is not None:
            file.attrs["model_config"] = json.dumps(config)
            file.attrs["backend"], file.attrs["keras_version"] = "tensorflow", "2.9.0"
            top = file.create_group("model_weights")
        top.attrs["layer_names"] = [name.encode() for name, _ in layers]
        for name, weights in layers:
            group = top.create_group(name)
            full = [f"generator/{name}/{w}" if keras3 else f"{name}/{w}:0" for w, _ in weights]
            group.attrs["weight_names"] = [text.encode() for text in full]
            for text, (_, array) in zip(full, weights, strict=True):
                group[text] = array
    return path


def keras_config(stages: int, *, epsilon: float = 1e-3, padding: str = "same") -> dict:
    layers = [
        {"class_name": "InputLayer", "config": {"name": "generator_input"}},
        {"class_name": "Dense", "config": {}},
    ]
    for number in range(stages + 2):
        stride = 2 if number < stages else 1
        layers += [
            {"class_name": "BatchNormalization", "config": {"epsilon": epsilon, "momentum": 0.99}},
            {"class_name": "Activation", "config": {"activation": "relu"}},
            {"class_name": "Conv2DTranspose", "config": {"strides": [stride, stride], "padding": padding}},
        ]
    layers.append({"class_name": "Activation", "config": {"activation": "sigmoid"}})
    return {"class_name": "Functional", "config": {"name": "generator", "layers": layers}}
