"""A check of a built wheel: it holds the package and its data, and nothing of the tools, tests and documents."""

from __future__ import annotations

import sys
import zipfile
from pathlib import Path

PACKAGE = Path(__file__).resolve().parent.parent / "kaogan"


def problems(wheel: Path) -> list[str]:
    """Files that do not belong in ``wheel`` and files of the package that it lacks, one line each."""
    with zipfile.ZipFile(wheel) as file:
        names = set(file.namelist())
    package = {
        f"kaogan/{path.relative_to(PACKAGE).as_posix()}"
        for path in PACKAGE.rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    outside = sorted(name for name in names if not name.startswith(("kaogan/", "kaogan-")))
    return [f"not part of the package: {name}" for name in outside] + [
        f"missing: {name}" for name in sorted(package - names)
    ]


if __name__ == "__main__":
    found = [line for argument in sys.argv[1:] for line in problems(Path(argument))]
    print("\n".join(found) or "the wheel holds the package and nothing else")
    sys.exit(bool(found))
