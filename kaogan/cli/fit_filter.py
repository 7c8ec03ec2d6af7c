"""``kaogan fit-filter``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape

from kaogan.cli._console import console, progress_bar
from kaogan.cli._options import Device, ModelArgument
from kaogan.core.errors import UsageError

EPILOG = "From then on the model draws from the best 80 % of its latents: kaogan sample MODEL --keep 0.8; 1 is all."


def fit_filter(
    model: ModelArgument = None,
    data: Annotated[
        Path | None,
        typer.Option(metavar="SET", help="Real pictures, those of the training. Of a model of avatars: avatars."),
    ] = None,
    samples: Annotated[int, typer.Option(metavar="N", help="Faces of the model to learn from.")] = 10_000,
    references: Annotated[int, typer.Option(metavar="N", help="Real pictures to measure them by.")] = 2_000,
    seed: Annotated[int, typer.Option(metavar="K", help="Same seed, same filter.")] = 0,
    force: Annotated[bool, typer.Option("--force", help="Write it even where it foretells next to nothing.")] = False,
    device: Device = "auto",
) -> None:
    """Teach a model which of its latents give faces far from all real ones, so that sampling leaves them out."""
    from kaogan.data import load_pictures
    from kaogan.data.dataset import AVATARS
    from kaogan.evaluation.image_sources import looks_one_way
    from kaogan.generate.fit_filter import fit_filter as fit
    from kaogan.generate.fit_filter import save_filter
    from kaogan.generate.latent_filter import FILTER
    from kaogan.generate.model import load

    if model is None:
        raise UsageError("name a model and its pictures, as in: kaogan fit-filter runs/kao --data SET")
    loaded = load(model, device, filtered=False)
    if data is None and (loaded.config.get("data") or {}).get("name") != AVATARS:
        raise UsageError(f"name the real pictures that {model} was trained on: --data SET")
    folder = loaded.path
    if folder is None or not folder.is_dir():
        raise UsageError(f"{model} is one file, which has no place for a filter; name a model folder")
    with progress_bar("reading pictures") as update:
        real = load_pictures(
            data, image_size=loaded.image_size, channels=loaded.channels, progress=update,
            avatars_mirrored=not looks_one_way(Path(model)),
        )  # fmt: skip
        fitted = fit(loaded, real, samples=samples, references=references, seed=seed, progress=update)
    found = fitted.report
    console.print(
        f"on latents not learnt from: r = {found['correlation']:.2f} with the distance to real pictures; keep 0.8 "
        f"rejects {found['rejected']:.0%} of the worst fifth", soft_wrap=True,
    )  # fmt: skip
    console.print(
        f"mean distance: kept {found['kept']:.3f}, all {found['drawn']:.3f}, real pictures to each other "
        f"{found['real']:.3f}", soft_wrap=True,
    )  # fmt: skip
    save_filter(loaded, fitted, folder, anyway=force)
    console.print(escape(str(folder / FILTER)), soft_wrap=True)
