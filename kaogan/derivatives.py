"""What those who differentiate tell the layers that have derivatives of their own."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

_inputs_only = ContextVar("inputs_only", default=False)


@contextmanager
def inputs_only() -> Iterator[None]:
    """No gradients of weights inside: ``torch.autograd.grad`` does not tell an autograd.Function which are wanted."""
    token = _inputs_only.set(True)
    try:
        yield
    finally:
        _inputs_only.reset(token)


def weights_wanted() -> bool:
    return not _inputs_only.get()
