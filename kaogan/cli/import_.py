"""``kaogan import``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape

from kaogan.cli._console import console

EPILOG = (
    "Programs: bamsgan, acgan, acgan-new, ganime, starsface, keraswgan, stylegan, srgan. "
    "Example:  kaogan import netG_0100.pth --out models/bamsgan"
)


def import_(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="Weights of another program: .pth, .ckpt, .tar, .h5.")],
    as_: Annotated[
        str | None, typer.Option("--as", metavar="PROGRAM", help="The program it is from. (recognized by its tensors)")
    ] = None,
    out: Annotated[Path | None, typer.Option(metavar="DIR", help="The model folder to write. (FILE's stem)")] = None,
    classes: Annotated[
        int | None, typer.Option(metavar="N", help="acgan: length of the code behind the latent. (input - 100)")
    ] = None,
) -> None:
    """Turn a generator's weights of another program into a model folder."""
    from kaogan.networks import count_parameters
    from kaogan.share.import_weights import Hints, import_weights, srgan
    from kaogan.share.import_weights.weight_files import read_weights

    if as_ == srgan.NAME or (as_ is None and srgan.recognises(read_weights(file))):
        path, upscaler = srgan.import_upscaler(file, out)
        description = f"{path}: srgan, x{upscaler.scales[0]}, {count_parameters(upscaler.network):,} parameters"
        console.print(
            escape(f"{description}; use it with: kaogan upscale INPUT --scale {upscaler.scales[0]} --model {path}"),
            soft_wrap=True,
        )
        return
    folder, model = import_weights(file, out, program=as_, hints=Hints(classes))
    attributes = "".join(f", {a.name} ({len(a.values)})" for a in model.attributes.attributes)
    console.print(
        escape(
            f"{folder}: {model.config['recipe']}, {model.image_size} px, {count_parameters(model.generator):,} "
            f"parameters, latents of {model.latent_size}{attributes}"
        ),
        soft_wrap=True,
    )
