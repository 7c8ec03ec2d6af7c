"""Writes the table of a fault run when its process ends."""

from __future__ import annotations

import pytest

from tests.faults import table


def pytest_sessionfinish(session: pytest.Session) -> None:
    table.write()
