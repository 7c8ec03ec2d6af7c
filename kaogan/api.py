"""Training and loading from Python; the command line calls the same functions."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch

from kaogan.adaptation.run import finish, prepare
from kaogan.aux_models.upscaler.load import is_upscaler, load_upscaler
from kaogan.config import recipes
from kaogan.config.recipe import Recipe
from kaogan.core.distributed import join
from kaogan.core.errors import KaoganError
from kaogan.core.interruption import ignore_stop
from kaogan.core.progress import Progress, no_progress
from kaogan.core.training_loop import OnProgress, TrainResult, no_train_progress
from kaogan.data import PictureSet
from kaogan.generate.model import Model
from kaogan.generate.model import load as load_model
from kaogan.plugins import load_installed_plugins, load_plugins_of_run
from kaogan.training.data import load_data
from kaogan.training.train import train as run_training


def train(
    recipe: str | os.PathLike[str] | Mapping[str, Any] = recipes.DEFAULT,
    data: str | os.PathLike[str] | None = None,
    out: str | os.PathLike[str] | None = None,
    *,
    allow_changes: bool = False,
    on_progress: OnProgress = no_train_progress,
    **overrides: Any,
) -> Model:
    """Train ``recipe`` (a name, a YAML file or a mapping) and return the model, its ``path`` set.

    ``data`` is a folder, zip, tar or shards of pictures, or the address of one, None for the built-in avatars; ``out``
    is the run's folder, by default ``runs/RECIPE``. Keywords set leaves of the recipe: ``batch_size=32``,
    ``optim={"lr": 1e-4}`` or ``**{"optim.lr": 1e-4}``. The same call again goes on where the run stopped.
    Raises UsageError for wrong settings, KaoganError for unusable data, a full disk or a training that diverges.
    """
    resolved = load_recipe(recipe, overrides, out)
    result = run(resolved, load_data(resolved, data), out, allow_changes=allow_changes, on_progress=on_progress)
    if not result.finished:
        raise KaoganError(f"the training was interrupted at {result.images_seen:,} images; the same call again goes on")
    return load_model(result.path)


def load_recipe(
    recipe: str | os.PathLike[str] | Mapping[str, Any],
    overrides: Mapping[str, Any],
    out: str | os.PathLike[str] | None = None,
) -> Recipe:
    """``recipes.load`` with the plug-ins that are installed, and those that the run in ``out`` has recorded."""
    load_installed_plugins()
    named = recipe.get("name", "custom") if isinstance(recipe, Mapping) else Path(recipe).stem
    load_plugins_of_run(out or Path("runs") / str(named))
    return recipes.load(recipe, overrides)


def run(
    recipe: Recipe,
    pictures: PictureSet,
    out: str | os.PathLike[str] | None = None,
    *,
    allow_changes: bool = False,
    on_progress: OnProgress = no_train_progress,
    on_stop: Callable[[], None] = ignore_stop,
    minutes: float = math.inf,
    track: str = "",
    progress: Progress = no_progress,
) -> TrainResult:
    """The same for a resolved recipe and pictures in memory; an interrupted training returns, too, and one that has
    taken so many ``minutes``. ``track`` sends its numbers to wandb, trackio or mlflow as well; ``progress`` tells of
    what comes after the last step. Under torchrun all processes train together."""
    return run_training(
        recipe, pictures, Path(out or Path("runs") / recipe.name), allow_changes=allow_changes,
        on_progress=on_progress, on_stop=on_stop, minutes=minutes, track=track, processes=join(),
        progress=progress,
    )  # fmt: skip


def adapt(
    base: str | os.PathLike[str],
    data: str | os.PathLike[str],
    out: str | os.PathLike[str] | None = None,
    *,
    allow_changes: bool = False,
    on_progress: OnProgress = no_train_progress,
    **overrides: Any,
) -> Model:
    """Teach ``base`` (a model, a run or a name of ``kaogan models``) the style of 10 to 1,000 pictures.

    Returns the model that came nearest to pictures held out, its ``path`` set; ``out`` is the run's folder, by default
    ``runs/adapt``, with the page ``adapt.html``. Keywords set leaves of the recipe, as in ``train``. The same call
    again goes on where it stopped.
    Raises UsageError for a base or pictures that won't do, KaoganError as ``train`` does.
    """
    load_installed_plugins()
    prepared = prepare(base, data, overrides)
    folder = Path(out or Path("runs") / prepared.recipe.name)
    result = run(prepared.recipe, prepared.pictures, folder, allow_changes=allow_changes, on_progress=on_progress)
    if not result.finished:
        raise KaoganError(f"the training was interrupted at {result.images_seen:,} images; the same call again goes on")
    finish(prepared, folder)
    return load_model(folder)


def load(path: str | os.PathLike[str], device: str | torch.device = "auto") -> Any:
    """The ``Model`` in a model folder or a run; or the ``Upscaler`` of a name (``kao-sr``), of its run or its file.

    Nothing is ever unpickled. Raises KaoganError, one line that names the file and the remedy, when it is absent,
    incomplete or damaged, or needs a plug-in that is not loaded.
    """
    load_installed_plugins()
    if is_upscaler(path):
        return load_upscaler(path, str(device))
    return load_model(path, device)
