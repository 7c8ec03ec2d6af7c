"""Weight files of every kind as plain tensors; nothing in them is executed."""

from __future__ import annotations

import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import Tensor

from kaogan.core.atomic_io import explain
from kaogan.core.errors import KaoganError, UsageError
from kaogan.core.weights_file import LFS
from kaogan.data.formats.pickles import read_pickle
from kaogan.data.sources.base import shown
from kaogan.networks.stylegan.load_pretrained import without_wrappers
from kaogan.share.import_weights.layout import Content, old_spelling

NVIDIA = (b"torch_utils.persistence", b"dnnlib.")
LIMIT = 4 * 2**30  # bytes
# Where the programs' checkpoints keep their generator, and where others do.
GENERATORS = ("netG_state_dict", "model", "G_ema", "G", "generator", "netG", "state_dict", "g_ema")


def read_weights(path: Path) -> Content:
    """The generator's tensors in a file of PyTorch, safetensors or Keras. Raises KaoganError, UsageError."""
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
    if start[:8] == b"\x89HDF\r\n\x1a\n":
        from kaogan.share.import_weights.keras import read_h5

        return read_h5(path)
    if start[8:9] == b"{" and int.from_bytes(start[:8], "little") < size:
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
    content = read_pickle(data, name)
    return _sorted_out(path, content)


def _check_zip(path: Path) -> None:
    """PyTorch's files are zips without compression; another one may unpack to anything."""
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


def _safetensors(path: Path) -> Content:
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        return Content(path, without_wrappers(load_file(path)))
    except SafetensorError as error:
        raise KaoganError(f"{path} is damaged or cut short ({error}); copy it again") from error


def _sorted_out(path: Path, content: Any) -> Content:
    if not isinstance(content, Mapping):
        raise KaoganError(f"{path} holds a {type(content).__name__} where a dict of tensors is due")
    keys = tuple(str(key) for key in content)
    generator = content.get("generator")
    if isinstance(generator, list) and generator:  # the Keras WGAN's weights.pkl
        return Content(path, arrays=generator, keys=keys)
    found: Any = content
    if not _tensors(content):
        found = next((content[key] for key in GENERATORS if key in content and _tensors(content[key])), None)
    if found is None:
        raise KaoganError(
            f"{path} holds no generator's tensors: its keys are {', '.join(map(shown, keys[:8])) or 'none'}"
        )
    tensors = {str(name): tensor for name, tensor in found.items() if isinstance(tensor, Tensor)}
    tensors = {old_spelling(name): tensor for name, tensor in without_wrappers(tensors).items()}
    return Content(path, tensors, keys if found is not content else ())


def _tensors(value: Any) -> bool:
    return isinstance(value, Mapping) and any(isinstance(tensor, Tensor) for tensor in value.values())
