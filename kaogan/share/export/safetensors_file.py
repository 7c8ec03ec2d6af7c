"""A model as one safetensors file: its configuration is in the file's metadata."""

from __future__ import annotations

import json
import os
from pathlib import Path

from kaogan.core.errors import KaoganError, UsageError
from kaogan.core.notes import note
from kaogan.core.weights_file import write_weights
from kaogan.generate.model import Model, load
from kaogan.generate.model_io import SINGLE, WEIGHTS, sign_config, stored_weights


def export_safetensors(model: str | os.PathLike[str] | Model, path: str | os.PathLike[str], half: bool = False) -> Path:
    """Write ``model`` to ``path``, which ``kaogan.load`` takes like a model folder.

    ``half`` stores the weights as float16. A latent filter stays behind, with a note. Raises UsageError for the file
    that the model is from, KaoganError for one that cannot be written.
    """
    model = model if isinstance(model, Model) else load(model, "cpu")
    path = Path(path)
    if path.suffix != ".safetensors":
        path = path.with_name(f"{path.name}.safetensors")
    if path.name == WEIGHTS:
        raise KaoganError(f"{path}: a file of this name is taken for a part of a model folder; choose another")
    if model.path and model.path.resolve() == path.resolve():
        raise UsageError(f"{path} is the model itself; name another place")
    if model.latent_filter:
        note(f"{path} has no place for the latent filter: it draws from all latents, as with --keep 1")
    weights = stored_weights(model.generator, half)
    config = json.dumps(sign_config(model.config, weights), ensure_ascii=False)
    write_weights(path, weights, {"format": "pt", SINGLE: config})
    return path
