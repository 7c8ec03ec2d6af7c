"""The bench of the trainings' tests."""

from tests.training.conftest import bench

__all__ = ["bench"]
