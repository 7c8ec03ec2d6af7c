"""Networks from published tensors: the configuration is read off names and shapes, the weights are taken by name.

The files of the originals are pickles that carry program text; what is read here is their ``state_dict()``, saved as
safetensors or as a plain dictionary of tensors. See docs/how-to/style.md.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch
from pydantic import ValidationError
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from kaogan.core.atomic_io import explain
from kaogan.core.deprecation import renamed_keyword
from kaogan.core.errors import KaoganError, UsageError
from kaogan.core.foreign_weights import without_wrappers
from kaogan.core.torch_file import UnreadableFile, read_torch_file
from kaogan.networks.stylegan.discriminator import StyleGAN2Discriminator, StyleGAN2DiscriminatorSettings
from kaogan.networks.stylegan.stylegan2 import StyleGAN2Generator, StyleGAN2GeneratorSettings
from kaogan.networks.stylegan.stylegan3 import StyleGAN3Generator, StyleGAN3GeneratorSettings, schedule

LIMIT = 4 * 2**30  # bytes
Shapes = dict[str, tuple[int, ...]]
AnySettings = StyleGAN2GeneratorSettings | StyleGAN3GeneratorSettings | StyleGAN2DiscriminatorSettings


@dataclass(frozen=True)
class Published:
    """A network with published weights, in evaluation mode, and what it was built from."""

    network: nn.Module
    settings: AnySettings
    image_size: int
    channels: int
    attribute_size: int
    latent_size: int
    """Of a generator; 0 for a discriminator."""


@renamed_keyword("player", "network")
def load_published(
    path: str | Path, network: Literal["G_ema", "G", "D"] | None = None, *, keep_transform: bool = False,
    **settings: Any,
) -> Published:  # fmt: skip
    """The StyleGAN2 or StyleGAN3 generator, or the discriminator, whose tensors are in ``path``.

    ``network`` chooses from a file that holds a dictionary for each (default: the first of G_ema, G, D). ``settings``
    are those that no tensor tells: ``conv_clamp`` (256 for networks trained by the PyTorch programs, None by
    TensorFlow's), ``mbstd_group_size``. ``input.transform`` is set to the identity unless ``keep_transform``. Raises
    KaoganError, one line, for a file that is something else; nothing in it is ever executed.
    """
    path = Path(path)
    return build_published(_choose(read_tensors(path), network, path), path, keep_transform=keep_transform, **settings)


def build_published(
    tensors: dict[str, Tensor], path: Path, *, keep_transform: bool = False, **settings: Any
) -> Published:
    """The network of ``tensors``, which were read from ``path``: see ``load_published``. Raises KaoganError."""
    tensors = without_wrappers(tensors)
    shapes = {name: tuple(value.shape) for name, value in tensors.items()}
    try:
        published = _build(shapes, settings)
    except (KeyError, IndexError, ValueError, TypeError, UsageError) as error:
        problem = str(error).splitlines()[0] if not isinstance(error, KeyError) else f"'{error.args[0]}' is missing"
        if isinstance(error, ValidationError):
            problem = "; ".join(f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors())
        raise KaoganError(f"{path} holds no StyleGAN2 or StyleGAN3 that kaogan knows ({problem})") from None
    _take(published.network, tensors, path)
    if not keep_transform and isinstance(published.network, StyleGAN3Generator):
        published.network.synthesis.input.transform = torch.eye(3)
    return published


def read_tensors(path: Path) -> dict[str, Any]:
    """What a safetensors or weights-only file holds. Raises KaoganError; a pickle with code in it is refused."""
    try:
        if path.stat().st_size > LIMIT:
            raise KaoganError(f"{path} is larger than {LIMIT // 2**30} GB: no StyleGAN's weights")
        if path.suffix == ".safetensors":
            return dict(load_file(path))
        content = read_torch_file(path)
    except OSError as error:
        raise explain(error, path) from None
    except SafetensorError as error:
        raise KaoganError(f"{path} is damaged or no safetensors file ({error})") from None
    except UnreadableFile as error:
        raise KaoganError(
            f"{path} is not a plain file of tensors ({error.reason}): kaogan never runs what a pickle contains. Save "
            "the state_dict() of G_ema where the original program is installed: tools/convert_nvidia_pkl.py does it"
        ) from None
    if not isinstance(content, Mapping):
        raise KaoganError(f"{path} holds no dictionary of tensors")
    return dict(content)


def _choose(content: dict[str, Any], network: str | None, path: Path) -> dict[str, Tensor]:
    nested = [name for name in ("G_ema", "G", "D") if isinstance(content.get(name), Mapping)]
    if nested:
        if network is not None and network not in nested:
            raise UsageError(f"{path} holds {', '.join(nested)}, but no '{network}'")
        content = dict(content[network or nested[0]])
    if not content or not all(isinstance(n, str) and isinstance(v, Tensor) for n, v in content.items()):
        raise KaoganError(f"{path} holds no dictionary of tensors")
    return content


def _build(shapes: Shapes, given: dict[str, Any]) -> Published:
    if any(re.match(r"synthesis\.L\d+_", name) for name in shapes):
        return _stylegan3(shapes, given)
    if "synthesis.b4.const" in shapes:
        return _stylegan2(shapes, given)
    if "b4.out.weight" in shapes:
        return _discriminator(shapes, given)
    raise ValueError("there is neither 'synthesis.b4.const' nor 'synthesis.L0_...' nor 'b4.out.weight'")


def _stylegan2(shapes: Shapes, given: dict[str, Any]) -> Published:
    sizes = _resolutions(shapes, r"synthesis\.b(\d+)\.conv1\.weight")
    widths = {r: shapes[f"synthesis.b{r}.conv1.weight"][0] for r in sizes}
    architecture = "orig"
    if "synthesis.b4.torgb.weight" in shapes:
        architecture = "skip"
    elif "synthesis.b8.skip.weight" in shapes:
        architecture = "resnet"
    z_dim, c_dim, w_dim, layers = _mapping(shapes)
    settings = StyleGAN2GeneratorSettings(
        **{
            "w_dim": w_dim,
            "num_layers": layers,
            **_widths(widths),
            "architecture": architecture,
            "use_noise": "synthesis.b4.conv1.noise_const" in shapes,
            **given,
        }
    )
    size, channels = max(sizes), shapes[f"synthesis.b{max(sizes)}.torgb.weight"][0]
    network = StyleGAN2Generator(
        settings, latent_size=z_dim, attribute_size=c_dim, image_size=size, channels=channels
    )  # fmt: skip
    return Published(network, settings, size, channels, c_dim, z_dim)


def _stylegan3(shapes: Shapes, given: dict[str, Any]) -> Published:
    found = {m[0]: m for name in shapes if (m := re.match(r"synthesis\.L(\d+)_(\d+)_(\d+)(?=\.)", name))}
    layers = sorted((int(m[1]), int(m[2]), int(m[3]), prefix) for prefix, m in found.items())
    count, size, channels, _ = layers[-1]
    if [index for index, *_ in layers] != list(range(count + 1)):
        raise ValueError("a layer is missing")
    first = layers[0][3]
    kernel, taps = shapes[f"{first}.weight"][2], shapes[f"{first}.down_filter"]
    z_dim, c_dim, w_dim, mapping_layers = _mapping(shapes)
    known = {
        "w_dim": w_dim, "mapping_layers": mapping_layers, "num_layers": count, "conv_kernel": kernel,
        "use_radial_filters": len(taps) == 2, **given,
    }  # fmt: skip
    plain = schedule(StyleGAN3GeneratorSettings(**known), size, channels)
    base, most = _schedule_widths([e.cutoff for e in plain[:-1]], [c for _, _, c, _ in layers[:-1]])
    known = {"channel_base": base, "channel_max": most, **known}
    known.setdefault("margin_size", (layers[0][1] - plain[0].rate) // 2)
    settings = StyleGAN3GeneratorSettings(**known)
    network = StyleGAN3Generator(
        settings, latent_size=z_dim, attribute_size=c_dim, image_size=size, channels=channels
    )  # fmt: skip
    return Published(network, settings, size, channels, c_dim, z_dim)


def _discriminator(shapes: Shapes, given: dict[str, Any]) -> Published:
    sizes = _resolutions(shapes, r"b(\d+)\.conv0\.weight")
    size, last = max(sizes), shapes["b4.fc.weight"][0]
    widths = {r: shapes[f"b{r}.conv0.weight"][0] for r in sizes} | {4: last}
    architecture = "orig"
    if ("b8.fromrgb.weight" in shapes and size > 8) or "b4.fromrgb.weight" in shapes:
        architecture = "skip"
    elif "b8.skip.weight" in shapes:
        architecture = "resnet"
    c_dim = shapes["mapping.embed.weight"][1] if "mapping.embed.weight" in shapes else 0
    conditional = {"cmap_dim": shapes["b4.out.weight"][0], "cmap_layers": _mapping(shapes)[3]} if c_dim else {}
    settings = StyleGAN2DiscriminatorSettings(
        **{
            **_widths(widths),
            "architecture": architecture,
            "mbstd_num_channels": shapes["b4.conv.weight"][1] - last,
            **conditional,
            **given,
        }
    )
    channels = shapes[f"b{size}.fromrgb.weight"][1]
    network = StyleGAN2Discriminator(
        settings, attribute_sizes=(c_dim,) if c_dim else (), image_size=size, channels=channels
    )  # fmt: skip
    return Published(network, settings, size, channels, c_dim, 0)


def _mapping(shapes: Shapes) -> tuple[int, int, int, int]:
    """z_dim, c_dim, w_dim and the number of layers."""
    layers = len([name for name in shapes if re.fullmatch(r"mapping\.fc\d+\.weight", name)])
    w_dim, inputs = shapes[f"mapping.fc{layers - 1}.weight"][0], shapes["mapping.fc0.weight"][1]
    c_dim = shapes["mapping.embed.weight"][1] if "mapping.embed.weight" in shapes else 0
    return inputs - (w_dim if c_dim else 0), c_dim, w_dim, layers


def _resolutions(shapes: Shapes, pattern: str) -> list[int]:
    return [int(m[1]) for name in shapes if (m := re.fullmatch(pattern, name))]


def _widths(widths: dict[int, int]) -> dict[str, int]:
    """channel_base and channel_max of C(r) = min(channel_base / r, channel_max)."""
    most = max(widths.values())
    narrow = {r: width for r, width in widths.items() if width < most}
    low = max([width * r for r, width in (narrow or widths).items()])
    high = min([(width + 1) * r - 1 for r, width in narrow.items()], default=low)
    return {"channel_base": _roundest(low, high), "channel_max": most}


def _schedule_widths(cutoffs: list[float], widths: list[int]) -> tuple[int, int]:
    """channel_base and channel_max of min((channel_base / 2) / cutoff, channel_max), rounded."""
    most = max(widths)
    bounds = [(2 * f * (w - 0.5), 2 * f * (w + 0.5)) for f, w in zip(cutoffs, widths, strict=True) if w < most]
    if not bounds:
        return math.ceil(2 * most * max(cutoffs)), most
    low, high = max(b for b, _ in bounds), min(b for _, b in bounds)
    return _roundest(low, high), most


def _roundest(low: float, high: float) -> int:
    """The number from ``low`` to ``high`` that the highest power of two divides. Raises ValueError if there is none."""
    for power in range(30, -1, -1):
        base = math.ceil(low / 2**power) * 2**power
        if base <= high:
            return base
    raise ValueError("its channels follow no schedule")


def _take(network: nn.Module, tensors: dict[str, Tensor], path: Path) -> None:
    expected = network.state_dict()
    missing, foreign = expected.keys() - tensors.keys(), tensors.keys() - expected.keys()
    wrong = [name for name in expected if name in tensors and expected[name].shape != tensors[name].shape]
    if missing or foreign or wrong:
        problems = [f"'{name}' is missing" for name in sorted(missing)]
        problems += [f"'{name}' does not belong to it" for name in sorted(foreign)]
        problems += [f"'{n}' is {tuple(tensors[n].shape)} instead of {tuple(expected[n].shape)}" for n in wrong]
        more = f" and {len(problems) - 3} more" if len(problems) > 3 else ""
        raise KaoganError(f"{path} is not of a known configuration: {'; '.join(problems[:3])}{more}")
    for name, value in tensors.items():
        if not torch.isfinite(value).all():
            raise KaoganError(f"{path}: '{name}' holds numbers that are not finite")
        # Of float16 a number near 1 has steps of 1/1024.
        tolerance = 1e-5 if value.dtype in (torch.float32, torch.float64) else 2e-3
        if name.endswith("_filter") and not torch.allclose(value.float(), expected[name], rtol=0, atol=tolerance):
            raise KaoganError(f"{path}: '{name}' is another filter than this configuration's; its settings differ")
    network.load_state_dict(tensors)
    network.eval()
