"""The examples of docs/how-to/plugins.md as files, and registries that forget what a test has registered."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from kaogan import plugins
from kaogan.core import loaded_plugins

PAGE = Path(__file__).parents[2] / "docs" / "how-to" / "plugins.md"
FOUND = re.findall(r"```python\n(# (\w+\.py).*?)```", PAGE.read_text(encoding="utf-8"), re.S)
EXAMPLES = {name: code for code, name in FOUND}


@pytest.fixture(autouse=True)
def _forgotten(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Nothing that a test loads is left for the next."""
    kept = [(each, dict(each._parts), dict(each._homes)) for each in plugins.registries().values()]
    monkeypatch.setattr(plugins, "_installed_loaded", False)
    before = dict(loaded_plugins.LOADED)
    yield
    loaded_plugins.LOADED.clear()
    loaded_plugins.LOADED.update(before)
    for registry, parts, homes in kept:
        for name in set(registry._parts) - set(registry._builtin) - set(parts):
            del registry._parts[name], registry._homes[name]
        registry._parts.update(parts)
        registry._homes.update(homes)


@pytest.fixture
def example(tmp_path: Path) -> Callable[[str], Path]:
    """Writes an example of the page to a file of its name."""

    def write(name: str) -> Path:
        path = tmp_path / name
        path.write_text(EXAMPLES[name], encoding="utf-8")
        return path

    return write
