"""A model as one safetensors file: its configuration is in the file's metadata."""

from __future__ import annotations

import json
import os
from pathlib import Path

from safetensors import SafetensorError
from safetensors.torch import save_file

from kaogan.core.atomic_io import atomic
from kaogan.core.errors import KaoganError
from kaogan.generate.model import Model, load, stored_weights
from kaogan.generate.model_io import SINGLE, WEIGHTS


def export_safetensors(model: str | os.PathLike[str] | Model, path: str | os.PathLike[str], half: bool = False) -> Path:
    """Write ``model`` to ``path``, which ``kaogan.load`` takes like a model folder.

    ``half`` stores the weights as float16. Raises KaoganError for a file that cannot be written.
    """
    model = model if isinstance(model, Model) else load(model, "cpu")
    path = Path(path)
    if path.suffix != ".safetensors":
        path = path.with_name(f"{path.name}.safetensors")
    if path.name == WEIGHTS:
        raise KaoganError(f"{path}: a file of this name is taken for a part of a model folder; choose another")
    metadata = {"format": "pt", SINGLE: json.dumps(model.config, ensure_ascii=False)}
    try:
        with atomic(path) as temporary:
            save_file(stored_weights(model.generator, half), temporary, metadata)
    except SafetensorError as error:
        raise KaoganError(f"could not write {path}: {error}; is there space on the disk?") from error
    return path
