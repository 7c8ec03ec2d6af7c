"""``kaogan fit-filter``."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.markup import escape

from kaogan.cli._console import console, progress_bar
from kaogan.cli._options import Device, ModelArgument
from kaogan.core.errors import KaoganError, UsageError

if TYPE_CHECKING:
    from kaogan.generate.model import Model

EPILOG = (
    "From then on the model draws from the best half of its latents, with --data from the best 80 %: kaogan sample "
    "MODEL --keep 0.5; 1 is all."
)


def fit_filter(
    model: ModelArgument = None,
    data: Annotated[
        Path | None,
        typer.Option(
            metavar="SET",
            help="Judge faces by their distance to these, not by their eyes.",
        ),
    ] = None,
    samples: Annotated[int, typer.Option(metavar="N", help="Faces of the model to learn from.")] = 20_000,
    references: Annotated[
        int | None, typer.Option(metavar="N", help="With --data: real pictures to measure by, 2,000 unless given.")
    ] = None,
    seed: Annotated[int, typer.Option(metavar="K", help="Same seed, same filter.")] = 0,
    force: Annotated[bool, typer.Option("--force", help="Write it even where it foretells next to nothing.")] = False,
    device: Device = "auto",
) -> None:
    """Teach a model which of its latents give faces with doubtful eyes, so that sampling leaves them out."""
    from kaogan.data import load_pictures
    from kaogan.data.dataset import AVATARS
    from kaogan.evaluation.image_sources import looks_one_way
    from kaogan.generate.fit_filter import DistanceToReal, Measure, save_filter
    from kaogan.generate.fit_filter import fit_filter as fit
    from kaogan.generate.latent_filter import FILTER
    from kaogan.generate.model import load
    from kaogan.generate.model_io import find_model, model_names

    if model is None:
        raise UsageError("name a model, as in: kaogan fit-filter runs/kao")
    if references is not None and data is None:
        raise UsageError("--references are pictures of a set; name it as well: --data SET")
    if str(model) in model_names() and not Path(model).exists():
        raise UsageError(f"{model} comes with kaogan and stays as it is; copy its folder, {find_model(Path(model))}")
    loaded = load(model, device, filtered=False)
    folder = loaded.path
    if folder is None or not folder.is_dir():
        raise UsageError(f"{model} is one file, which has no place for a filter; name a model folder")
    if not os.access(folder, os.W_OK):
        raise KaoganError(f"no permission to write in {folder}; a filter lies beside its model, so copy that first")
    # The judge knows drawn faces, and an avatar is none; their distance to other avatars says more.
    of_avatars = (loaded.config.get("data") or {}).get("name") == AVATARS
    with progress_bar("drawing faces") as update:
        measure: Measure | None = None
        if data is not None or of_avatars:
            real = load_pictures(
                data, image_size=loaded.image_size, channels=loaded.channels, progress=update,
                avatars_mirrored=not looks_one_way(Path(model)),
            )  # fmt: skip
            count = 2_000 if references is None else references
            measure = DistanceToReal(real, count, seed=seed, device=loaded.device, progress=update)
        fitted = fit(loaded, measure, samples=samples, seed=seed, progress=update)
    found, what = fitted.report, "the eye judge" if fitted.by_eyes else "the distance to real pictures"
    console.print(
        f"on latents not learnt from: r = {found['correlation']:.2f} with {what}; keep {fitted.usual_keep:g} rejects "
        f"{found['rejected']:.0%} of the worst fifth", soft_wrap=True,
    )  # fmt: skip
    console.print(f"mean of {what}, less is better: kept {found['kept']:.3f}, all {found['drawn']:.3f}", soft_wrap=True)
    before = _correlation_of(folder, loaded)
    save_filter(loaded, fitted, folder, anyway=force)
    if before is not None:
        console.print(f"in place of a filter with r = {before:.2f} with the judge of its time", soft_wrap=True)
    console.print(escape(str(folder / FILTER)), soft_wrap=True)


def _correlation_of(folder: Path, model: Model) -> float | None:
    """What the report of the filter that is there says; None without one that fits the model."""
    from kaogan.generate.latent_filter import FILTER, read_filter

    try:
        return read_filter(folder / FILTER, model.generator.state_dict(), model.latent_size).report.get("correlation")
    except KaoganError:
        return None
