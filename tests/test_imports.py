"""Imports between modules: no circle between files, and nothing of the tools or the tests in the package."""

from __future__ import annotations

import graphlib
import itertools
from collections.abc import Iterable

import grimp
import pytest


def circle(imports: Iterable[tuple[str, str]]) -> list[str]:
    """One circle among (importer, imported) pairs, as the modules along it; empty when there is none."""
    sorter: graphlib.TopologicalSorter[str] = graphlib.TopologicalSorter()
    for importer, imported in imports:
        sorter.add(importer, imported)
    try:
        sorter.prepare()
    except graphlib.CycleError as error:
        return list(reversed(error.args[1]))
    return []


def test_no_circle_between_files() -> None:
    """Imports inside functions count as well: they hide a circle and do not undo it. Those for types never run."""
    graph = grimp.build_graph("kaogan", cache_dir=None, exclude_type_checking_imports=True)
    pairs = [(a, b) for a in graph.modules for b in graph.find_modules_directly_imported_by(a)]
    assert len(pairs) > 500
    assert " -> ".join(circle(pairs)) == ""


@pytest.mark.parametrize(
    ("pairs", "found"),
    [
        ([("a", "b"), ("b", "c"), ("a", "c")], []),
        ([("a", "b"), ("b", "a")], ["a", "b", "a"]),
        ([("x", "a"), ("a", "b"), ("b", "c"), ("c", "a")], ["a", "b", "c", "a"]),
    ],
)
def test_circles_are_found(pairs: list[tuple[str, str]], found: list[str]) -> None:
    result = circle(pairs)
    assert bool(result) == bool(found)
    assert set(result) == set(found)
    assert all(step in pairs for step in itertools.pairwise(result))
