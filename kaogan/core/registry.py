"""Registries of named parts: objectives, networks, extras, metrics, formats; built in, or added by plug-ins."""

from __future__ import annotations

import importlib
import re
from collections.abc import Iterator, Mapping
from typing import Generic, TypeVar

from kaogan.core.errors import UsageError, nearest

T = TypeVar("T")
NAME = re.compile(r"[a-z][a-z0-9_-]{0,63}")


class Registry(Generic[T]):
    """Parts of one kind by name.

    ``builtin`` maps the names that kaogan brings to the modules that register them when they are imported, so that a
    list of names costs no import of PyTorch. A plug-in's part is registered by calling ``register``.
    """

    def __init__(self, kind: str, builtin: Mapping[str, str] | None = None) -> None:
        self.kind = kind
        self._builtin = dict(builtin or {})
        self._parts: dict[str, T] = {}
        self._homes = dict(self._builtin)

    def register(self, name: str, part: T, home: str | None = None) -> T:
        """Add ``part`` under ``name`` and return it; ``home`` is the module that brings it, where the part is an object
        that does not know. Raises UsageError for a name that is taken or no plain word."""
        if not NAME.fullmatch(name):
            raise UsageError(f"'{name}' is no name for {self._article} {self.kind}: use a-z, 0-9, - and _")
        home = home or _home(part)
        if self._homes.get(name, home) != home:
            raise UsageError(f"there is {self._article} {self.kind} called '{name}' already: give yours another name")
        self._parts[name], self._homes[name] = part, home
        return part

    def __getitem__(self, name: str) -> T:
        """The part called ``name``. Raises UsageError, with the nearest name, when there is none."""
        if name not in self._parts and name in self._builtin:
            importlib.import_module(self._builtin[name])
        if name not in self._parts:
            raise UsageError(f"unknown {self.kind} '{name}'{nearest(name, self.names())}")
        return self._parts[name]

    def __contains__(self, name: object) -> bool:
        return name in self._parts or name in self._builtin

    def __iter__(self) -> Iterator[str]:
        return iter(self.names())

    def __len__(self) -> int:
        return len(self.names())

    def names(self) -> list[str]:
        """Built-in names in their own order, then those of plug-ins; nothing is imported."""
        return list(dict.fromkeys([*self._builtin, *self._parts]))

    def home(self, name: str) -> str:
        """The module that brings the part called ``name``; empty for an unknown one."""
        return self._homes.get(name, "")

    def items(self) -> list[tuple[str, T]]:
        return [(name, self[name]) for name in self.names()]

    @property
    def _article(self) -> str:
        return "an" if self.kind[0] in "aeiou" else "a"


def _home(part: object) -> str:
    """The module that a part comes from: the same file read again may replace its own parts."""
    return str(getattr(part, "__module__", type(part).__module__))
