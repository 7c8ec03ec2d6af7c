"""Weight files that can be imported: PyTorch's, safetensors and Keras's HDF5."""

from __future__ import annotations

from pathlib import Path

from kaogan.core.foreign_weights import WeightFile, first_bytes, read_weight_file
from kaogan.share.import_weights.keras import read_h5

HDF5 = b"\x89HDF\r\n\x1a\n"


def read_weights(path: Path) -> WeightFile:
    """The generator's tensors or arrays in a file of PyTorch, safetensors or Keras. Raises KaoganError, UsageError."""
    return read_h5(path) if first_bytes(path).startswith(HDF5) else read_weight_file(path)
