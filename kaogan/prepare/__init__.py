"""``kaogan prepare``: from any heap of pictures to a clean, cropped, tagged set.

Each step can be used alone: ``checks.measure``, ``hashing.perceptual_hash``, ``duplicates.find_copies``,
``examine.examine``, ``split.assign``. The names below are looked up on first use: a worker process needs few of them.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from kaogan.prepare.pipeline import Outcome, prepare
    from kaogan.prepare.settings import Settings, make_settings

__all__ = ["Outcome", "Settings", "make_settings", "prepare"]

_HOMES = {"Outcome": "pipeline", "prepare": "pipeline", "Settings": "settings", "make_settings": "settings"}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)
