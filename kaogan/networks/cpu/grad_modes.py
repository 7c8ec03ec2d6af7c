"""Context flags that training code sets for layers with custom autograd functions."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

import torch

_inputs_only = ContextVar("inputs_only", default=False)
_casts: ContextVar[dict[Any, Any] | None] = ContextVar("casts", default=None)


@contextmanager
def inputs_only() -> Iterator[None]:
    """No gradients of weights inside: ``torch.autograd.grad`` does not tell an autograd.Function which are wanted."""
    token = _inputs_only.set(True)
    try:
        yield
    finally:
        _inputs_only.reset(token)


def weight_gradients_wanted() -> bool:
    return not _inputs_only.get()


@contextmanager
def cached_weight_casts() -> Iterator[None]:
    """Cast each layer's weights to the autocast type only once inside; whoever changes them calls
    ``clear_weight_casts``."""
    token = _casts.set({})
    try:
        yield
    finally:
        _casts.reset(token)


def clear_weight_casts() -> None:
    """Forget the casts of weights that an optimiser has changed. (Fused optimisers leave ``weight._version`` alone.)"""
    if (casts := _casts.get()) is not None:
        casts.clear()


def weight_cast_cache() -> dict[Any, Any] | None:
    """The cache, or None outside of ``cached_weight_casts`` and in what is compiled, whose graph ends with its pass."""
    return None if torch.compiler.is_compiling() else _casts.get()
