"""``kaogan upscale``."""

from __future__ import annotations

import io
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.markup import escape

from kaogan.cli._console import console, errors, progress_bar, refuse_unused
from kaogan.cli._options import Device, Processes
from kaogan.core.errors import UsageError
from kaogan.core.paths import looking_at

if TYPE_CHECKING:
    from kaogan.generate.upscale_files import UpscaleReport

EPILOG = (
    "Examples:  kaogan upscale face.png --scale 4 --out large.png        kaogan upscale runs/dcgan --scale 8 --count 16"
    "        kaogan upscale - --scale 2 < small.png > large.png"
)
SHOWN = 10  # skipped pictures that are named
MOST_COMPARED = 64  # faces in one sheet


def upscale(
    inputs: Annotated[
        list[str],
        typer.Argument(
            metavar="INPUT...", help="Pictures, folders, zips or tars of them, a run or model, or - (stdin)."
        ),
    ],
    out: Annotated[
        Path | None, typer.Option(metavar="PATH", help="A folder, or a file for one picture. (upscaled; stdin: stdout)")
    ] = None,
    scale: Annotated[int, typer.Option(metavar="S", help="2, 4 or 8 times as large.")] = 4,
    model: Annotated[
        str, typer.Option(metavar="NAME|PATH", help="kao-sr, or a run, an upscaler's file, SRGAN's netG .pth.")
    ] = "kao-sr",
    compare: Annotated[
        bool, typer.Option("--compare", help="Shrink first; write sheets of low | bicubic | ours | original.")
    ] = False,
    count: Annotated[int | None, typer.Option(metavar="N", help="Of a run or model: how many faces. (16)")] = None,
    seed: Annotated[int | None, typer.Option(metavar="K", help="Of a run or model: same seed, same faces. (0)")] = None,
    format: Annotated[str | None, typer.Option(metavar="F", help="png, jpg or webp. (that of each picture)")] = None,
    tile: Annotated[
        int | None, typer.Option(metavar="T", help="Larger pictures are computed in tiles of T px. (256)")
    ] = None,
    device: Device = "auto",
    processes: Processes = None,
) -> None:
    """Make faces 2, 4 or 8 times as large: [dim]files, folders, or samples of a model[/].

    Transparency is kept. Results never overwrite what they are made from.
    """
    from kaogan.aux_models.upscaler.load import load_upscaler
    from kaogan.cli._processes import worker_pool
    from kaogan.core.picture_files import check_format, format_of
    from kaogan.generate.upscale_files import TILE, check_inputs, upscale_files

    if format is not None:
        format = check_format(format)
        if out is not None and not out.is_dir() and format_of(out) not in (None, format):
            raise UsageError(f"--out {out} and --format {format} differ; leave --format out, or name a folder")
    if tile is not None and tile < 16:
        raise UsageError(f"tiles have at least 16 px, not {tile}")
    stdin = "-" in inputs
    if stdin and (len(inputs) > 1 or compare):
        raise UsageError("- (stdin) is one picture by itself, without --compare")
    places = [] if stdin else [Path(place) for place in inputs]
    check_inputs(places)
    of_model = len(places) == 1 and _is_model(places[0])
    if of_model or stdin or compare:
        refuse_unused("is for files, without --compare", tile=tile)
    if not of_model:
        refuse_unused("is for faces of a run or a model, not for files", count=count, seed=seed)
    upscaler = load_upscaler(model, device)
    upscaler.check_scale(scale)
    if stdin:
        _from_stdin(upscaler, scale, out, format or "png")
        return
    if of_model:
        count, seed = 16 if count is None else count, seed or 0
        _from_model(places[0], upscaler, scale, out, count, seed, format or "png", compare, device, processes)
        return
    out = out or Path("upscaled")
    with worker_pool(processes, device) as pool, progress_bar("upscaling") as update:
        report = upscale_files(
            upscaler, places, out, scale, format=format, compare=compare, tile=tile or TILE, progress=update, pool=pool
        )
    _print_report(report, out)
    if report.skipped and not report.written:
        raise typer.Exit(1)


def _print_report(report: UpscaleReport, out: Path) -> None:
    for name, reason in report.skipped[:SHOWN]:
        errors.print(escape(f"skipped {name}: {reason}"), soft_wrap=True)
    if len(report.skipped) > SHOWN:
        errors.print(f"and {len(report.skipped) - SHOWN} more skipped")
    if report.animated:
        more = f" and {len(report.animated) - SHOWN} more" if len(report.animated) > SHOWN else ""
        names = ", ".join(report.animated[:SHOWN]) + more
        errors.print(escape(f"animations, of which only the first picture is enlarged: {names}"), soft_wrap=True)
    if report.gains:
        ours, bicubic = (sum(values) / len(report.gains) for values in zip(*report.gains, strict=True))
        console.print(f"PSNR {ours:.2f} dB, bicubic {bicubic:.2f} dB, mean of {len(report.gains)}", soft_wrap=True)
    if report.written:
        where = str(report.written[0]) if len(report.written) == 1 else f"{len(report.written)} pictures in {out}"
        console.print(escape(where), soft_wrap=True)


def _is_model(place: Path) -> bool:
    with looking_at(place):
        return place.is_dir() and any(
            (place / part).is_file() for part in ("config.json", "recipe.yaml", "model/config.json")
        )


def _from_stdin(upscaler: Any, scale: int, out: Path | None, format: str) -> None:
    from kaogan.core.atomic_io import explain
    from kaogan.core.picture_files import FORMATS, check_format, to_image, write_picture
    from kaogan.data.decoding import MAX_BYTES
    from kaogan.generate.upscale_files import unwritable, upscale_bytes

    if out is not None:
        check_format(out.suffix or str(out))
    elif sys.stdout.isatty():
        raise UsageError("a picture is not printed on a terminal; name a file with --out or redirect the output")
    if sys.stdin.isatty():
        raise UsageError("- reads a picture's bytes, and nothing comes in: kaogan upscale - < small.png")
    picture = upscale_bytes(upscaler, sys.stdin.buffer.read(MAX_BYTES + 1), scale)
    if problem := unwritable(out or Path(f"stdout.{format}"), picture):
        raise UsageError(problem)
    if out is not None:
        console.print(escape(str(write_picture(picture, out))), soft_wrap=True)
        return
    name, options = FORMATS[format]
    buffer = io.BytesIO()
    to_image(picture).save(buffer, name, **options)
    try:
        sys.stdout.buffer.write(buffer.getvalue())
        sys.stdout.buffer.flush()
    except BrokenPipeError:
        raise
    except OSError as error:
        raise explain(error, Path("stdout")) from None


def _from_model(
    place: Path,
    upscaler: Any,
    scale: int,
    out: Path | None,
    count: int,
    seed: int,
    format: str,
    compare: bool,
    device: str,
    processes: str | None,
) -> None:
    from kaogan.cli._processes import worker_pool
    from kaogan.core.picture_files import format_of, write_picture
    from kaogan.generate.grids import picture_path, write_samples
    from kaogan.generate.model import load
    from kaogan.generate.upscale_sheets import side_by_side

    loaded = load(place, device)
    if compare:
        if not 1 <= count <= MOST_COMPARED:
            raise UsageError(f"--compare takes 1 to {MOST_COMPARED} faces, not {count}")
        sheet = side_by_side(upscaler, loaded.sample(count, seed=seed), scale)
        console.print(escape(str(write_picture(sheet, picture_path(out or Path("upscaled"), "compare", format)))))
        return
    single = out is not None and format_of(out) is not None
    out = out or Path("upscaled")
    with worker_pool(processes, device) as pool, progress_bar("upscaling", count) as update:
        paths = write_samples(
            loaded, out, count=count, seed=seed, separate=not single, format=format, progress=update,
            upscaler=upscaler, scale=scale, pool=pool,
        )  # fmt: skip
    console.print(escape(str(paths[0]) if single else f"{len(paths)} pictures in {out}"), soft_wrap=True)
