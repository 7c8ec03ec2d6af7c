"""Weight files of other programs, PyTorch's or safetensors, as plain tensors; nothing in them is executed."""

from __future__ import annotations

import zipfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from torch import Tensor

from kaogan.core.atomic_io import explain
from kaogan.core.errors import KaoganError, UsageError
from kaogan.core.safe_pickle import read_pickle
from kaogan.core.text import shown
from kaogan.core.weights_file import LFS
from kaogan.core.zip_entries import check_entries

NVIDIA = (b"torch_utils.persistence", b"dnnlib.")
LIMIT = 4 * 2**30  # bytes
# Where the programs' checkpoints keep their generator, and where others do.
GENERATORS = ("netG_state_dict", "model", "G_ema", "G", "generator", "netG", "state_dict", "g_ema")
WRAPPERS = ("module.", "_orig_mod.")  # of nn.DataParallel and of torch.compile
SPECTRAL_NORM_SPELLINGS = {  # the two spellings of spectral norm in PyTorch
    "parametrizations.weight.original": "weight_orig",
    "parametrizations.weight.0._u": "weight_u",
    "parametrizations.weight.0._v": "weight_v",
}


@dataclass
class WeightFile:
    """What a file holds: the generator's tensors by their names, and what else tells of its program."""

    path: Path
    tensors: dict[str, Tensor] = field(default_factory=dict)
    keys: tuple[str, ...] = ()  # of the dict around them
    arrays: list[Any] = field(default_factory=list)  # a Keras generator's, in the order of its layers
    config: Mapping[str, Any] | None = None  # a Keras model's

    def shape(self, name: str, dimensions: int) -> tuple[int, ...]:
        """Raises KaoganError when the tensor is missing or has another number of dimensions."""
        tensor = self.tensors.get(name)
        if tensor is None or tensor.ndim != dimensions:
            what = "is missing" if tensor is None else f"has the shape {tuple(tensor.shape)}"
            raise KaoganError(f"{self.path}: '{name}' {what}; the file is not whole, or of another program")
        return tuple(tensor.shape)

    def count(self, pattern: str, start: int = 0) -> int:
        """How many of ``pattern.format(start)``, ``pattern.format(start + 1)``, ... there are without a gap."""
        number = start
        while pattern.format(number) in self.tensors:
            number += 1
        return number - start


def first_bytes(path: Path) -> bytes:
    """The first 16 bytes of a weight file. Raises UsageError, KaoganError for what can be none."""
    name = shown(str(path))
    if path.is_dir():
        raise UsageError(f"{name} is a folder; name the file of weights in it")
    try:
        size = path.stat().st_size
        if size > LIMIT:
            raise KaoganError(f"{name} is larger than {LIMIT // 2**30} GB; no generator is")
        with path.open("rb") as file:
            start = file.read(16)
    except FileNotFoundError as error:
        raise UsageError(f"no such file {name}; check the path") from error
    except OSError as error:
        raise explain(error, path) from error
    except ValueError as error:
        raise UsageError(f"not a path: {name}") from error
    if start.startswith(LFS[:16]):
        raise KaoganError(f"{name} is a Git LFS pointer, not the file itself: run git lfs pull")
    return start


def read_weight_file(path: Path) -> WeightFile:
    """The tensors, the generator's where there are several networks, in a file of PyTorch or safetensors.

    Raises UsageError for a wrong path, KaoganError for a file that is damaged, hostile or of another kind.
    """
    name, start = shown(str(path)), first_bytes(path)
    if start[8:9] == b"{" and int.from_bytes(start[:8], "little") < path.stat().st_size:
        return _safetensors(path)
    if start[:2] == b"PK":
        _check_zip(path)
    elif start[:1] != b"\x80":
        raise KaoganError(f"{name} is no file of PyTorch, safetensors or Keras")
    try:
        data = path.read_bytes()
    except OSError as error:
        raise explain(error, path) from error
    if start[:2] != b"PK" and any(word in data for word in NVIDIA):
        raise KaoganError(
            f"{name} is a pickle of NVIDIA's programs, which runs their code when it is read: make it plain tensors "
            "with tools/convert_nvidia_pkl.py, in that program's folder, and import the result with --as stylegan"
        )
    return _generator_of(path, read_pickle(data, name))


def _check_zip(path: Path) -> None:
    """PyTorch's files are zips without compression; another one may unpack to anything."""
    check_entries(path, "no file of weights is like that")
    try:
        with zipfile.ZipFile(path) as archive:
            members = archive.infolist()
    except Exception as error:  # hostile directories raise more than BadZipFile
        raise KaoganError(f"{path} is not whole ({' '.join(str(error).split())[:100]}); copy it again") from error
    if not any(member.filename.endswith("data.pkl") for member in members):
        kind = "a file of Keras 3; save it as .h5" if any("config.json" in m.filename for m in members) else "a zip"
        raise KaoganError(f"{path} is {kind}, not a file of PyTorch")
    if any(member.compress_type != zipfile.ZIP_STORED for member in members):
        raise KaoganError(f"{path} is compressed, which files of PyTorch never are; save it again with torch.save")


def _safetensors(path: Path) -> WeightFile:
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        return WeightFile(path, without_wrappers(load_file(path)))
    except SafetensorError as error:
        raise KaoganError(f"{path} is damaged or cut short ({error}); copy it again") from error


def _generator_of(path: Path, content: Any) -> WeightFile:
    if not isinstance(content, Mapping):
        raise KaoganError(f"{path} holds a {type(content).__name__} where a dict of tensors is due")
    keys = tuple(str(key) for key in content)
    generator = content.get("generator")
    if isinstance(generator, list) and generator:  # the Keras WGAN's weights.pkl
        return WeightFile(path, arrays=generator, keys=keys)
    found: Any = content
    if not _tensors(content):
        found = next((content[key] for key in GENERATORS if key in content and _tensors(content[key])), None)
    if found is None:
        raise KaoganError(
            f"{path} holds no generator's tensors: its keys are {', '.join(map(shown, keys[:8])) or 'none'}"
        )
    tensors = {str(name): tensor for name, tensor in found.items() if isinstance(tensor, Tensor)}
    tensors = {old_spelling(name): tensor for name, tensor in without_wrappers(tensors).items()}
    return WeightFile(path, tensors, keys if found is not content else ())


def _tensors(value: Any) -> bool:
    return isinstance(value, Mapping) and any(isinstance(tensor, Tensor) for tensor in value.values())


def without_wrappers(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """``tensors`` without the prefixes that wrapped modules put before all names."""
    found = dict(tensors)
    while found and (prefix := next((p for p in WRAPPERS if all(name.startswith(p) for name in found)), None)):
        found = {name.removeprefix(prefix): tensor for name, tensor in found.items()}
    return found


def old_spelling(name: str) -> str:
    """The name of a tensor of spectral norm as PyTorch spelt it before 2.0."""
    for new, old in SPECTRAL_NORM_SPELLINGS.items():
        if name.endswith("." + new):
            return name.removesuffix(new) + old
    return name
