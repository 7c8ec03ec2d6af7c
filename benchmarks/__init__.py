"""Speed and memory of kaogan against plain PyTorch: ``python -m benchmarks``."""

from __future__ import annotations

import os
from pathlib import Path

SET_FOLDER = Path(os.environ.get("KAOGAN_SETS") or "sets")
"""The folder of picture sets: ``KAOGAN_SETS``, or ``sets`` where the command is given."""
