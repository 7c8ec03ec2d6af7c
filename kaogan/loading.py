"""``kaogan.load``: a generator from its folder, or an upscaler by its name."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import torch

from kaogan.aux_models.upscaler.model import FILE, load_upscaler, names
from kaogan.generate.model import load as load_model


def load(path: str | os.PathLike[str], device: str | torch.device = "auto") -> Any:
    """The ``Model`` in a model folder or a run; or the ``Upscaler`` of a name (``kao-sr``), of its run or its file.

    Nothing is ever unpickled. Raises KaoganError, one line that names the file and the remedy, when it is absent,
    incomplete or damaged.
    """
    place = Path(path)
    named = str(path) in names() and not place.exists()
    if named or place.name == FILE or any((place / part).is_file() for part in (FILE, f"model/{FILE}")):
        return load_upscaler(path, str(device))
    return load_model(path, device)
