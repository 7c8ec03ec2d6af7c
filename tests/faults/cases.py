"""What the tests of damaged files share: a case, the number of damaged copies, and the comparison of what was read."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from hypothesis import HealthCheck, settings

from kaogan.core.errors import KaoganError
from tests.faults import table

FILES = 32  # kinds of damaged files
EXAMPLES = -(-int(os.environ.get("KAOGAN_FAULTS", "800")) // FILES)


def bounded(examples: int = EXAMPLES) -> settings:
    return settings(
        max_examples=examples, derandomize="KAOGAN_FAULTS" not in os.environ, deadline=None, database=None,
        suppress_health_check=list(HealthCheck),
    )  # fmt: skip


@dataclass(frozen=True)
class Case:
    """A file, and how it is read: what a reader gives back has to be the same for what it takes as whole."""

    file: Path
    read: Callable[[], Any]


def same(one: Any, other: Any) -> bool:
    if isinstance(one, torch.Tensor):
        return isinstance(other, torch.Tensor) and one.dtype == other.dtype and torch.equal(one, other)
    if isinstance(one, np.ndarray):
        return isinstance(other, np.ndarray) and one.dtype == other.dtype and np.array_equal(one, other)
    if isinstance(one, dict):
        return isinstance(other, dict) and one.keys() == other.keys() and all(same(one[k], other[k]) for k in one)
    if isinstance(one, tuple | list):
        return len(one) == len(other) and all(map(same, one, other))
    return bool(one == other)


def refusal(case: Case) -> tuple[str | None, Any]:
    """(the error's words, None) or (None, what was read)."""
    try:
        return None, case.read()
    except KaoganError as error:
        return str(error), None


def check_words(words: str) -> None:
    assert words.strip() and "Traceback" not in words and len(words) < 1500


def hold(case: Case, data: bytes, before: Any, name: str) -> None:
    """Read ``case`` with ``data`` in its file: one line says so, or what is read is as ``before``."""
    case.file.parent.mkdir(exist_ok=True)
    case.file.write_bytes(data)
    with table.row(name) as row:
        words, found = refusal(case)
        if words is not None:
            check_words(words)
            row.refused += 1
        else:
            row.wrong += not same(before, found)
            assert same(before, found), "other numbers without a word"
            row.held += 1
