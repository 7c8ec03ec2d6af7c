from __future__ import annotations

import csv
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from kaogan.data.avatars import EYE_NAMES, HAIR_NAMES, labels_of
from kaogan.prepare import PrepareResult, PrepareSettings, make_settings, prepare
from tests.prepare.compose import avatars

PLAIN = {"picture": {"crop": "none", "size": 32}, "tags": {"enabled": False}}


def settings(**sections: Any) -> PrepareSettings:
    """No face finder and no tagger, but for what is asked for."""
    tree = {name: {**PLAIN.get(name, {}), **value} if isinstance(value, dict) and name != "split" else value
            for name, value in {**PLAIN, **sections}.items()}  # fmt: skip
    return make_settings(tree)


def run(
    sources: Any, out: Path, workers: int = 1, keywords: Mapping[str, Any] | None = None, **sections: Any
) -> PrepareResult:
    listed = sources if isinstance(sources, list) else [sources]
    return prepare(listed, out, settings(**sections), workers=workers, **(keywords or {}))


def read_table(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def contents(folder: Path, hidden: bool = False) -> dict[str, bytes]:
    """Every file of a set by its path, without the working folder."""
    files = (path for path in folder.rglob("*") if path.is_file())
    names = {path.relative_to(folder).as_posix(): path for path in files}
    return {name: path.read_bytes() for name, path in sorted(names.items()) if hidden or not name.startswith(".")}


def whole(out: Path) -> bool:
    """Every row has its picture and every picture its row."""
    rows = [row["file"] for row in read_table(out / "labels.csv")]
    return sorted(rows) == sorted(path.name for path in (out / "images").iterdir())


@pytest.fixture(scope="session")
def faces() -> list[tuple[str, bytes]]:
    return avatars(60, size=40)


@pytest.fixture
def heap(tmp_path: Path, faces: list[tuple[str, bytes]]) -> Path:
    """A folder of 24 labelled avatars."""
    folder = tmp_path / "heap"
    for name, data in faces[:24]:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(data)
    rows = [(name, *labels_of(index, 5)) for index, (name, _) in enumerate(faces[:24])]
    lines = [f"{name},{HAIR_NAMES[hair]},{EYE_NAMES[eyes]}" for name, hair, eyes in rows]
    (folder / "labels.csv").write_text("\n".join(["file,hair,eyes", *lines]), encoding="utf-8")
    return folder


@pytest.fixture
def write() -> Callable[[Path, bytes], None]:
    def put(path: Path, data: bytes) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)

    return put
