"""Preparation of datasets: from any folder of pictures to a clean, cropped, tagged one.

Each step can be used alone: ``quality.measure``, ``fingerprints.perceptual_hash``, ``duplicates.find_copies``,
``process_image.process_file``, ``split.assign``. Names are looked up on first use: a worker needs few.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from kaogan.core.lazy_names import lazy_names

if TYPE_CHECKING:
    from kaogan.prepare.pipeline import PrepareResult, prepare
    from kaogan.prepare.settings import PrepareSettings, make_settings

__all__ = ["PrepareResult", "PrepareSettings", "make_settings", "prepare"]

__getattr__ = lazy_names(
    __name__, {".pipeline": ("PrepareResult", "prepare"), ".settings": ("PrepareSettings", "make_settings")}
)
