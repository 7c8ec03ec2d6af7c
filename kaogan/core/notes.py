"""Notes to the user: one line for something that is no error, each at most once a process."""

from __future__ import annotations

import logging
from functools import cache

from kaogan.core.text import one_line

LOGGER = logging.getLogger("kaogan")


@cache
def note(text: str) -> None:
    """Log ``text`` as a warning of the logger ``kaogan``, unless it was logged before."""
    LOGGER.warning("%s", one_line(text))
