"""Weights of foreign networks: read without executing anything, recognised by their hash, fetched only on request."""

from __future__ import annotations

import hashlib
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from kaogan.core.atomic_io import explain
from kaogan.core.errors import KaoganError, UsageError
from kaogan.core.torch_file import UnreadableFile, read_torch_file

MAX_BYTES = 8 * 2**30


def file_hash(path: Path) -> str:
    """SHA-256 in hex. Raises KaoganError when the file cannot be read."""
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise explain(error, path) from error


def read_state(path: Path) -> dict[str, Tensor]:
    """A ``.safetensors`` or PyTorch file of named tensors. Raises KaoganError, with the file's hash, for others."""
    if not path.is_file():
        raise UsageError(f"no file {path}; name the file of the weights")
    if path.stat().st_size > MAX_BYTES:
        raise KaoganError(f"{path} is larger than {MAX_BYTES // 2**30} GB: not the weights of an extractor")
    try:
        state = load_file(path) if path.suffix == ".safetensors" else read_torch_file(path)
    except (UnreadableFile, SafetensorError, OSError, ValueError) as error:
        reason = error.reason if isinstance(error, UnreadableFile) else " ".join(str(error).split())[:160]
        raise KaoganError(f"{path} holds no weights that can be read safely ({reason}; {hash_note(path)})") from error
    state = state.get("state_dict", state) if isinstance(state, dict) else state
    if not isinstance(state, dict) or not all(isinstance(value, Tensor) for value in state.values()):
        raise KaoganError(f"{path} is not a table of named tensors ({hash_note(path)})")
    return state


def put(module: nn.Module, state: dict[str, Tensor], path: Path, what: str) -> None:
    """Load ``state`` into ``module``. Raises KaoganError with the first name or shape that differs."""
    expected = module.state_dict()
    missing = [name for name in expected if name not in state and not name.endswith("num_batches_tracked")]
    other = [name for name in expected if name in state and state[name].shape != expected[name].shape]
    if missing or other:
        reason = (
            f"'{missing[0]}' and {len(missing) - 1} more are missing"
            if missing
            else f"'{other[0]}' is {tuple(state[other[0]].shape)}, not {tuple(expected[other[0]].shape)}"
        )
        raise KaoganError(f"{path} is not the weights of {what}: {reason} ({hash_note(path)})")
    module.load_state_dict({name: state[name] for name in expected if name in state}, strict=False)


def hash_note(path: Path) -> str:
    """What an error says, so that a reader can tell which file it was."""
    return f"SHA-256 {file_hash(path)[:16]}..."


def fetch(url: str, what: str) -> Path:
    """Download into PyTorch's cache, once. Raises KaoganError when that does not work."""
    target = Path(torch.hub.get_dir()) / "checkpoints" / url.rsplit("/", 1)[-1]
    if not target.exists():
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            torch.hub.download_url_to_file(url, str(target), progress=False)
        except (OSError, RuntimeError) as error:
            raise KaoganError(
                f"{what}: {url} could not be fetched ({error}); fetch it elsewhere and name it"
            ) from error
    return target
