"""Speed and memory of kaogan against plain PyTorch: ``python -m benchmarks``."""

from __future__ import annotations

import os
from pathlib import Path

SET_FOLDER = Path(os.environ.get("KAOGAN_SETS") or Path(__file__).resolve().parents[2] / "shared" / "data")
"""The folder of picture sets: ``KAOGAN_SETS``, or ``shared/data`` beside the checkout."""
