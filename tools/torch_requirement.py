"""The requirement on PyTorch in pyproject.toml, for installing its CPU build first."""

from __future__ import annotations

import tomllib
from pathlib import Path


def torch_requirement() -> str:
    """For example ``torch>=2.6,<2.15``."""
    project = tomllib.loads((Path(__file__).resolve().parent.parent / "pyproject.toml").read_text(encoding="utf-8"))
    (requirement,) = (line for line in project["project"]["dependencies"] if line.startswith("torch>"))
    return str(requirement)


if __name__ == "__main__":
    print(torch_requirement())
