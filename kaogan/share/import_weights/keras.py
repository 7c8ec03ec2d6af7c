"""The Keras WGAN's ``generator.h5`` and ``weights.pkl``, without TensorFlow.

Keras keeps maps as (N, H, W, C), dense kernels as (in, out), transposed convolutions as (h, w, out, in); epsilon of the
batch norm is 1e-3 unless the file's configuration says otherwise. Latents are uniform in [-1, 1].
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from kaogan.core.errors import KaoganError
from kaogan.core.foreign_weights import WeightFile
from kaogan.data.formats.hdf5 import H5_ERRORS, damaged, dataset, open_h5
from kaogan.share.import_weights.name_map import GeneratorSpec, Hints, ModuleMap

PROGRAM_NAMES = ("keraswgan",)
EPSILON = 1e-3
NORM = ("gamma", "beta", "moving_mean", "moving_variance")
CONVOLUTION = ("kernel", "bias")
LIMIT = 2**31  # bytes of all arrays, unpacked


def recognises(content: WeightFile) -> bool:
    return bool(content.arrays)


def generator_spec(content: WeightFile, hints: Hints, name: str | None) -> GeneratorSpec:
    arrays = [_numbers(content.path, array) for array in content.arrays]
    if len(arrays) < 14 or len(arrays) % 6 != 2 or arrays[0].ndim != 2:
        raise KaoganError(
            f"{content.path}: {len(arrays)} arrays, the first {arrays[0].shape}: not the Keras WGAN's generator, which "
            "has a dense layer, then batch norm and transposed convolution in turn"
        )
    stages = len(arrays) // 6 - 2
    kernels = arrays[6::6]
    if any(kernel.ndim != 4 or kernel.shape[:2] != (5, 5) for kernel in kernels):
        raise KaoganError(f"{content.path}: a kernel is not 5 x 5: not the Keras WGAN's generator")
    latent_size, features = arrays[0].shape
    first = kernels[0].shape[3]
    start = math.isqrt(features // first)
    if start * start * first != features:
        raise KaoganError(f"{content.path}: its pictures are not square, which kaogan's must be")
    content.tensors = dict(_tensors(content.path, arrays, start))
    return GeneratorSpec(
        name="keraswgan",
        summary="The generator of the Keras WGAN with clipped weights.",
        source="TheMagicShop/Wasserstein-GAN-for-Anime-Face-Generation",
        generator={
            "family": "keras_wgan", "width": kernels[-2].shape[2], "max_width": max(k.shape[3] for k in kernels),
            "norm_eps": _epsilon(content, stages),
        },
        latent_size=latent_size,
        distribution="uniform",
        image_size=start << stages,
        channels=kernels[-1].shape[2],
        module_map=_same_names,
    )  # fmt: skip


def _same_names(settings: Any, network: nn.Module) -> ModuleMap:
    return [(name, name) for name, part in network.named_modules() if name and not list(part.children())]


def _tensors(path: Path, arrays: Sequence[np.ndarray], start: int) -> Iterator[tuple[str, torch.Tensor]]:
    """Keras's arrays under our names, in our order of axes."""
    kernel, bias = arrays[:2]
    if bias.shape != kernel.shape[1:]:
        raise KaoganError(f"{path}: the first two arrays are no dense layer ({kernel.shape}, {bias.shape})")
    # The map after the dense layer is (H, W, C) there and (C, H, W) here.
    rows = kernel.T.reshape(start, start, -1, len(kernel)).transpose(2, 0, 1, 3)
    yield "linear.weight", _tensor(rows.reshape(-1, len(kernel)))
    yield "linear.bias", _tensor(bias.reshape(start, start, -1).transpose(2, 0, 1).reshape(-1))
    for number in range(len(arrays) // 6):
        part = arrays[2 + 6 * number : 8 + 6 * number]
        norm, convolution = f"body.{3 * number}", f"body.{3 * number + 2}"
        for name, array in zip(("weight", "bias", "running_mean", "running_var"), part, strict=False):
            yield f"{norm}.{name}", _tensor(array)
        yield f"{convolution}.weight", _tensor(part[4].transpose(3, 2, 0, 1))
        yield f"{convolution}.bias", _tensor(part[5])


def _tensor(array: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(np.ascontiguousarray(array))


def _numbers(path: Path, array: Any) -> np.ndarray:
    if not isinstance(array, np.ndarray | torch.Tensor):
        raise KaoganError(f"{path}: a weight is a {type(array).__name__} where an array is due")
    numbers = np.asarray(array)
    if numbers.dtype.kind != "f":
        raise KaoganError(f"{path}: a weight is an array of {numbers.dtype}, which no weight is")
    return numbers.astype(np.float32)


# HDF5


def read_h5(path: Path) -> WeightFile:
    """A Keras model or its weights. Raises KaoganError when it is damaged or another kind of file."""
    with open_h5(path) as file:
        try:
            config = _json(path, file.attrs.get("model_config"))
            top = _group(path, file, "model_weights") if "model_weights" in file else file
            arrays: list[np.ndarray] = []
            for layer in _texts(top, "layer_names"):
                arrays += _layer(path, _group(path, top, layer), LIMIT - sum(array.nbytes for array in arrays))
        except H5_ERRORS as error:
            raise damaged(path, error) from error
    if not arrays:
        raise KaoganError(f"{path} holds no weights of Keras; save the generator with generator.save('generator.h5')")
    return WeightFile(path, arrays=arrays, config=config)


def _layer(path: Path, group: Any, budget: int) -> list[np.ndarray]:
    """The arrays of one layer, in the order of its kind. ``budget`` is what they may take together, bytes."""
    found = {}
    for name in _texts(group, "weight_names"):
        *folders, last = name.strip("/").split("/")
        inner = group
        for folder in folders:
            inner = _group(path, inner, folder)
        array = dataset(path, inner, last)
        held = array.id.get_storage_size()
        budget -= array.nbytes
        if budget < 0 or (not array.chunks and held < array.nbytes):
            raise KaoganError(f"{path}: '{name}' claims {array.nbytes:,} bytes and holds {held:,}; it is damaged")
        found[last.partition(":")[0]] = array
    order = next((names for names in (NORM, CONVOLUTION) if set(names) == set(found)), None)
    if found and order is None:
        raise KaoganError(f"{path}: a layer has the weights {', '.join(sorted(found))}: not the Keras WGAN's generator")
    return [found[name][...] for name in order or ()]  # nothing is read before all of it is known to fit


def _group(path: Path, parent: Any, name: str) -> Any:
    import h5py

    link = parent.get(name, getlink=True)
    group = parent.get(name) if isinstance(link, h5py.HardLink) else None
    if not isinstance(group, h5py.Group):
        raise KaoganError(f"{path}: '{name}' is missing or a link to elsewhere")
    return group


def _texts(group: Any, name: str) -> list[str]:
    """A list of names among the attributes; Keras splits long ones into name0, name1, ..."""
    parts = [group.attrs[name]] if name in group.attrs else []
    while name not in group.attrs and f"{name}{len(parts)}" in group.attrs:
        parts.append(group.attrs[f"{name}{len(parts)}"])
    return [text.decode() if isinstance(text, bytes) else str(text) for part in parts for text in part]


def _json(path: Path, text: Any) -> Mapping[str, Any] | None:
    if text is None:
        return None
    try:
        config = json.loads(text)
    except (ValueError, TypeError, RecursionError) as error:
        raise KaoganError(f"{path}: its model_config is not JSON") from error
    return config if isinstance(config, dict) else None


def _epsilon(content: WeightFile, stages: int) -> float:
    """The epsilon of the batch norms; where the file has the model, it is checked to be the network it should be."""
    layers = _layers(content)
    if not layers:
        return EPSILON
    convolutions = [config for kind, config in layers if kind == "Conv2DTranspose"]
    strides = [config.get("strides") for config in convolutions]
    same = {config.get("padding") for config in convolutions} <= {"same"}
    if not same or strides != [[2, 2]] * stages + [[1, 1]] * 2:
        raise KaoganError(f"{content.path}: its convolutions have other strides or padding than the Keras WGAN's")
    epsilons = {config.get("epsilon", EPSILON) for kind, config in layers if kind == "BatchNormalization"}
    activations = [config.get("activation") for kind, config in layers if kind == "Activation"]
    if len(epsilons) != 1 or activations not in ([], ["relu"] * (stages + 2) + ["sigmoid"]):
        raise KaoganError(f"{content.path}: its norms or activations differ from the Keras WGAN's")
    return float(epsilons.pop())


def _layers(content: WeightFile) -> list[tuple[str, Mapping[str, Any]]]:
    try:
        layers = (content.config or {}).get("config", {}).get("layers", [])
        return [(str(layer["class_name"]), dict(layer["config"])) for layer in layers]
    except (AttributeError, KeyError, TypeError, ValueError):
        raise KaoganError(f"{content.path}: its model_config is not that of a Keras model") from None
