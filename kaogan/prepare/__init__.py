"""Preparation of datasets: from any folder of pictures to a clean, cropped, tagged one.

Each step can be used alone: ``quality.measure``, ``fingerprints.perceptual_hash``, ``duplicates.find_copies``,
``process_image.process_file``, ``split.assign``. Names are looked up on first use: a worker needs few.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from kaogan.prepare.pipeline import PrepareResult, prepare
    from kaogan.prepare.settings import PrepareSettings, make_settings

__all__ = ["PrepareResult", "PrepareSettings", "make_settings", "prepare"]

_HOMES = {
    "PrepareResult": "pipeline",
    "prepare": "pipeline",
    "PrepareSettings": "settings",
    "make_settings": "settings",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)
