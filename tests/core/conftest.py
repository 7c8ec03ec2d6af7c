"""Fixtures of the engine that the core tests share."""

from tests.training.conftest import *  # noqa: F403
