"""Registries: names without imports, plug-ins, refused names."""

from __future__ import annotations

import sys

import pytest

from kaogan.core.errors import UsageError
from kaogan.core.registry import Registry


def test_names_import_nothing() -> None:
    registry: Registry[object] = Registry("toy", {"first": "no.such.module"})
    assert registry.names() == ["first"] and "first" in registry
    assert "no.such.module" not in sys.modules


def test_a_plug_in_is_found_and_listed_last() -> None:
    registry: Registry[object] = Registry("toy", {"first": "json"})
    part = type("Part", (), {})
    assert registry.register("second", part) is part
    assert registry["second"] is part and list(registry) == ["first", "second"]


def test_an_unknown_name_tells_the_nearest() -> None:
    registry: Registry[object] = Registry("toy", {"first": "json"})
    with pytest.raises(UsageError, match=r"unknown toy 'frist'.*first"):
        registry["frist"]


@pytest.mark.parametrize("name", ["", "Upper", "a b", "1st", "../x", "a" * 65])
def test_names_are_plain_words(name: str) -> None:
    with pytest.raises(UsageError, match="no name for a toy"):
        Registry[object]("toy").register(name, object)


def test_a_name_is_given_once() -> None:
    registry: Registry[object] = Registry("extra", {"first": "json"})
    one = type("One", (), {"__module__": "plug"})
    registry.register("mine", one)
    registry.register("mine", type("One", (), {"__module__": "plug"}))  # the same file, read again
    for name in ("mine", "first"):
        with pytest.raises(UsageError, match="there is an extra called"):
            registry.register(name, type("Other", (), {"__module__": "elsewhere"}))
