"""The plug-ins that this process has loaded, as runs and models record them (loading: kaogan/plugins.py)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True)
class LoadedPlugin:
    """``name`` is the file's absolute path or the entry point's name; ``version`` the SHA-256 of the file, or the
    package's version; ``parts`` what it has registered, such as "generator mine"."""

    name: str
    version: str
    package: str = ""
    """The package of an entry point; empty for a file."""
    parts: tuple[str, ...] = ()

    def __str__(self) -> str:
        return f"{self.name} of the package {self.package} {self.version}" if self.package else self.name

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> LoadedPlugin:
        parts = data.get("parts")
        words = {key: str(data.get(key) or "") for key in ("name", "version", "package")}
        return cls(**words, parts=tuple(map(str, parts)) if isinstance(parts, list) else ())


LOADED: dict[str, LoadedPlugin] = {}
"""By name, in the order of loading."""


def plugin_records() -> list[dict[str, Any]]:
    """The loaded plug-ins that have registered anything, ready for JSON."""
    return [asdict(plugin) | {"parts": list(plugin.parts)} for plugin in LOADED.values() if plugin.parts]


def recorded(data: Any) -> list[LoadedPlugin]:
    """The plug-ins in a run's or a model's record; nothing from what is no record."""
    records = data if isinstance(data, list) else []
    return [LoadedPlugin.from_json(record) for record in records if isinstance(record, Mapping)]


def changed_plugins(before: Sequence[LoadedPlugin]) -> list[tuple[str, str, str]]:
    """(name, version recorded, version loaded) of the plug-ins that are not what they were; "none" for absent ones."""
    return [
        (f"plug-in {each.name}", each.version[:12], LOADED[each.name].version[:12] if each.name in LOADED else "none")
        for each in before
        if each.name not in LOADED or LOADED[each.name].version != each.version
    ]


def missing_plugin(records: Any, part: str) -> str:
    """A hint for the message that ``part`` ("generator mine") is unknown: which plug-in brought it; else empty."""
    for plugin in recorded(records):
        if part in plugin.parts:
            how = f"install {plugin.package}" if plugin.package else "load it with --plugin FILE.py"
            return f"it needs the plug-in {plugin}, which brings the {part}: {how} or kaogan.load_plugins([...])"
    return ""
