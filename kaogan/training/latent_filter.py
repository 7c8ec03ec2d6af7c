"""The latent filter at the end of a training."""

from __future__ import annotations

from collections.abc import Callable

from kaogan.config.recipe import Recipe
from kaogan.core.errors import KaoganError, is_out_of_memory
from kaogan.core.interruption import ignore_stop, interruptible
from kaogan.core.progress import Progress, no_progress
from kaogan.data.dataset import AVATARS
from kaogan.generate.fit_filter import fit_filter, save_filter
from kaogan.generate.latent_filter import FILTER
from kaogan.generate.model import load
from kaogan.training.run_dir import RunDir

FROM = 10_000  # images: younger generators draw hardly any eyes
SAMPLES, LEAST_SAMPLES = 20_000, 2_000  # of faces up to 64 px; fewer where each takes longer to draw


class _StoppedError(Exception):
    """Somebody asked for it."""


def fit_at_end(
    recipe: Recipe, folder: RunDir, source: str, clock: int, progress: Progress = no_progress,
    on_stop: Callable[[], None] = ignore_stop,
) -> str:  # fmt: skip
    """Fit a filter to the model of a finished run, unless it has one or the recipe asks for none. Says in one line what
    was done; empty if nothing. Whatever goes wrong here, the training is finished and its model stays as it is."""
    if not recipe.run.latent_filter or clock < FROM or source == AVATARS or (folder.model / FILTER).exists():
        return ""
    samples = max(LEAST_SAMPLES, min(SAMPLES, SAMPLES * 64**2 // recipe.image_size**2))
    with interruptible(on_stop) as stopped:

        def on_progress(done: int, total: int, what: str) -> None:
            if stopped:
                raise _StoppedError
            progress(done, total, what)

        try:
            model = load(folder.model, recipe.run.device)
            fitted = fit_filter(model, samples=samples, seed=recipe.run.seed, progress=on_progress)
            save_filter(model, fitted, folder.model)
            told = (
                f"faces are drawn from the best {fitted.usual_keep:.0%} of the latents, by their eyes; kaogan sample "
                "--keep 1 draws from all"
            )
        except _StoppedError:
            told = "stopped before the latent filter was fitted; the same command, or kaogan fit-filter, does it"
        except (KaoganError, RuntimeError, MemoryError) as error:
            if not isinstance(error, KaoganError) and not is_out_of_memory(error):
                raise
            why = error if isinstance(error, KaoganError) else "out of memory; kaogan fit-filter --device cpu fits one"
            told = f"no latent filter: {why}"
    folder.log.info("%s", told)
    return told
