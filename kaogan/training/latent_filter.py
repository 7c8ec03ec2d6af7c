"""The latent filter at the end of a training."""

from __future__ import annotations

from kaogan.config.recipe import Recipe
from kaogan.core.errors import KaoganError
from kaogan.core.progress import Progress, no_progress
from kaogan.data.dataset import AVATARS
from kaogan.generate.fit_filter import fit_filter, save_filter
from kaogan.generate.model import load
from kaogan.training.run_dir import RunDir

FROM = 10_000  # images: younger generators draw hardly any eyes
SAMPLES = 20_000


def fit_at_end(recipe: Recipe, folder: RunDir, source: str, clock: int, progress: Progress = no_progress) -> str:
    """Fit a filter to the model of a finished run, unless it has one or the recipe asks for none. Says in one line what
    was done; empty if nothing. A filter that foretells too little is not kept."""
    if not recipe.run.latent_filter or clock < FROM or source == AVATARS:
        return ""
    model = load(folder.model, recipe.run.device)
    if model.latent_filter is not None:
        return ""
    try:
        fitted = fit_filter(model, samples=SAMPLES, seed=recipe.run.seed, progress=progress)
        save_filter(model, fitted, folder.model)
    except KaoganError as error:
        told = f"no latent filter: {error}"
    except KeyboardInterrupt:  # the training itself is finished
        told = "stopped before the latent filter was fitted; the same command, or kaogan fit-filter, does it"
    else:
        told = (
            f"faces are drawn from the best {fitted.usual_keep:.0%} of the latents, by their eyes; kaogan sample "
            "--keep 1 draws from all"
        )
    folder.log.info("%s", told)
    return told
