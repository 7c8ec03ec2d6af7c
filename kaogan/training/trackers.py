"""Experiment trackers: Weights & Biases, trackio or MLflow beside the run's own statistics, when one asks for them."""

from __future__ import annotations

import importlib
import logging
import os
from collections.abc import Mapping
from typing import Any

from kaogan.core.errors import UsageError, nearest

PROJECT = "kaogan"
TRACKERS = ("wandb", "trackio", "mlflow")


class Tracker:
    """Sends numbers to ``name``, one of TRACKERS, whose own environment variables say where. An error is logged once
    and ends the tracking, never the training.

    Raises UsageError for an unknown name, and where the package is not installed.
    """

    def __init__(self, name: str) -> None:
        if name not in TRACKERS:
            raise UsageError(f"unknown tracker '{name}'{nearest(name, TRACKERS)}")
        try:
            self._module: Any = importlib.import_module(name)
        except ImportError:
            raise UsageError(f"--track {name} needs the package {name}: pip install {name}") from None
        self.name, self.log = name, logging.getLogger(__name__)

    def open(self, run: str, folder: str | os.PathLike[str], settings: Mapping[str, Any], log: logging.Logger) -> None:
        """Begin a run with its settings, flat; ``folder`` is where wandb puts its files."""
        self.log = log
        if self.name == "mlflow":
            self._try("set_experiment", PROJECT)
            self._try("start_run", run_name=run)
            self._try("log_params", {key: str(value) for key, value in settings.items()})
        else:
            place = {"dir": os.fspath(folder)} if self.name == "wandb" else {}
            self._try("init", project=PROJECT, name=run, config=dict(settings), **place)

    def numbers(self, clock: int, stats: Mapping[str, float]) -> None:
        """The means up to ``clock`` images shown."""
        self._try("log_metrics" if self.name == "mlflow" else "log", dict(stats), step=clock)

    def close(self) -> None:
        self._try("end_run" if self.name == "mlflow" else "finish")

    def _try(self, function: str, *arguments: Any, **keywords: Any) -> None:
        if self._module is None:
            return
        try:
            getattr(self._module, function)(*arguments, **keywords)
        except Exception as error:  # whatever a server may do must not stop a training of days
            self._module = None
            self.log.info("tracking by %s failed and is off from here on: %s", self.name, error)
