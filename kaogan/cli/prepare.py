"""``kaogan prepare``."""

from __future__ import annotations

import shlex
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.markup import escape

from kaogan.cli.shared import console, progress_bar
from kaogan.errors import UsageError

if TYPE_CHECKING:
    from kaogan.prepare import Outcome

EPILOG = (
    "The same command again works only on what is new or changed, also after Ctrl-C or a kill. "
    "OUT/report.html shows what was kept, and what was dropped and why."
)
STEPS, LOOKS, TAGS, WRITING, MACHINE = "What is dropped", "The pictures", "Labels", "What is written", "The machine"


def prepare(
    paths: Annotated[
        list[str],
        typer.Argument(
            metavar="SOURCE... OUT", help="Folders, zips or tars of pictures, and last the folder to write."
        ),
    ],
    size: Annotated[
        int, typer.Option(metavar="S", help="Short side of the result, px; 0 leaves it.", rich_help_panel=LOOKS)
    ] = 64,
    crop: Annotated[
        str, typer.Option(metavar="C", help="faces, center (a square) or none.", rich_help_panel=LOOKS)
    ] = "faces",
    margin: Annotated[
        float, typer.Option(metavar="M", help="Around a face, as a share of its size.", rich_help_panel=LOOKS)
    ] = 0.25,
    square: Annotated[
        bool, typer.Option("--square/--as-found", help="Widen a face's box to a square.", rich_help_panel=LOOKS)
    ] = True,
    upright: Annotated[
        bool, typer.Option("--upright", help="Turn tilted faces upright by their eyes.", rich_help_panel=LOOKS)
    ] = False,
    format: Annotated[
        str,
        typer.Option(
            metavar="F",
            help="keep (untouched pictures as they are, others as JPEG or PNG), png, jpg or webp.",
            rich_help_panel=LOOKS,
        ),
    ] = "keep",
    quality: Annotated[int, typer.Option(metavar="Q", help="Of JPEG and WebP, to 100.", rich_help_panel=LOOKS)] = 95,
    smallest: Annotated[
        int | None,
        typer.Option(metavar="PX", help="Smallest useful face or picture. (3/4 of --size)", rich_help_panel=STEPS),
    ] = None,
    face_score: Annotated[
        float | None, typer.Option(metavar="X", help="How sure a face must be. (as measured)", rich_help_panel=STEPS)
    ] = None,
    most_faces: Annotated[
        int, typer.Option(metavar="N", help="Most faces from one picture.", rich_help_panel=STEPS)
    ] = 20,
    contrast: Annotated[
        float, typer.Option(metavar="X", help="Less is near-monochrome; 0 is off.", rich_help_panel=STEPS)
    ] = 12,
    plain: Annotated[
        float, typer.Option(metavar="X", help="A larger share of one colour is too; 1 is off.", rich_help_panel=STEPS)
    ] = 0.95,
    sharpness: Annotated[
        float, typer.Option(metavar="X", help="Less is blurred; 0 is off.", rich_help_panel=STEPS)
    ] = 0.06,
    twins: Annotated[
        bool, typer.Option("--twins/--no-twins", help="Drop copies, near and mirrored ones too.", rich_help_panel=STEPS)
    ] = True,
    difference: Annotated[
        float,
        typer.Option(metavar="X", help="Most that a patch of two copies differs, grey levels.", rich_help_panel=STEPS),
    ] = 16,
    mirrored: Annotated[
        bool, typer.Option("--mirrored/--no-mirrored", help="Are mirror images copies?", rich_help_panel=STEPS)
    ] = True,
    tag: Annotated[
        bool, typer.Option("--tag/--no-tag", help="Tag hair and eyes where no labels.csv does.", rich_help_panel=TAGS)
    ] = True,
    confidence: Annotated[
        float, typer.Option(metavar="X", help="A colour less sure is left unknown.", rich_help_panel=TAGS)
    ] = 0.5,
    check_labels: Annotated[
        bool, typer.Option("--check-labels", help="List doubtful labels in doubtful.csv.", rich_help_panel=TAGS)
    ] = False,
    classes: Annotated[
        bool, typer.Option("--classes", help="Without labels.csv, sub-folders are classes.", rich_help_panel=TAGS)
    ] = False,
    labels: Annotated[
        str,
        typer.Option(
            metavar="L", help="kaogan (labels.csv) or huggingface (metadata.csv as well).", rich_help_panel=WRITING
        ),
    ] = "kaogan",
    split: Annotated[
        str | None,
        typer.Option(metavar="A=X,B=Y", help="Parts, as in train=0.9,test=0.1.", rich_help_panel=WRITING),
    ] = None,
    blur: Annotated[
        bool, typer.Option("--blur", help="Also write OUT-blurred, with blurred edges.", rich_help_panel=WRITING)
    ] = False,
    blur_ratio: Annotated[
        float, typer.Option("--ratio", metavar="X", help="Share that is blurred.", rich_help_panel=WRITING)
    ] = 1.0,
    t1: Annotated[float, typer.Option(metavar="T", help="Its lower Canny threshold.", rich_help_panel=WRITING)] = 200,
    t2: Annotated[float, typer.Option(metavar="T", help="Its upper Canny threshold.", rich_help_panel=WRITING)] = 500,
    licence: Annotated[
        str, typer.Option(metavar="TEXT", help="A note on the rights in the pictures.", rich_help_panel=WRITING)
    ] = "",
    workers: Annotated[
        int | None, typer.Option(metavar="N", min=1, help="Processes. (one a core)", rich_help_panel=MACHINE)
    ] = None,
    scheduler: Annotated[
        str | None, typer.Option(metavar="ADDRESS", help="Of a Dask cluster to use.", rich_help_panel=MACHINE)
    ] = None,
) -> None:
    """From any heap of pictures to a clean, cropped, tagged set that [dim]kaogan train[/] takes."""
    from kaogan.prepare import make_settings
    from kaogan.prepare import prepare as work
    from kaogan.prepare.settings import parse_split

    if len(paths) < 2:
        raise UsageError("name at least one source and then the folder to write: kaogan prepare ~/pictures faces/")
    settings = make_settings(
        {
            "picture": {
                "size": size or None,
                "crop": {"centre": "center"}.get(crop, crop),
                "margin": margin,
                "square": square,
                "upright": upright,
                "format": format,
                "quality": quality,
                "smallest": smallest,
                "face_score": face_score,
                "faces": most_faces,
                "contrast": contrast,
                "plain": plain,
                "sharpness": sharpness,
            },
            "twins": {"enabled": twins, "difference": difference, "mirrored": mirrored},
            "tags": {"enabled": tag, "confidence": confidence, "check": check_labels, "classes": classes},
            "blur": {"enabled": blur, "ratio": blur_ratio, "t1": t1, "t2": t2},
            "labels": labels,
            "split": parse_split(split) if split else {},
            "licence": licence,
        }
    )
    *sources, out = paths
    with progress_bar("listing files") as update:
        outcome = work(
            sources,
            out,
            settings,
            workers=workers,
            scheduler=scheduler,
            progress=update if console.is_terminal else _told(),
        )
    _summarise(outcome)


def _told() -> Callable[..., None]:
    """A line each quarter of a minute where there is no terminal for a bar."""
    shown = time.monotonic()

    def tell(done: int, total: int, what: str) -> None:
        nonlocal shown
        if time.monotonic() - shown > 15:
            console.print(f"{what}: {done:,} of {total:,}", soft_wrap=True)
            shown = time.monotonic()

    return tell


def _summarise(outcome: Outcome) -> None:
    counts: dict[str, Any] = dict(outcome.counts)
    files = counts.pop("files")
    worked = f"{outcome.worked_on:,} new or changed" if outcome.worked_on else "nothing new"
    console.print(f"{files:,} files, {worked}", soft_wrap=True)
    for step, count in counts.items():
        if count and step != "kept":
            console.print(f"  {count:>9,}  {step}", soft_wrap=True)
    console.print(f"  {outcome.kept:>9,}  [bold]kept[/]", soft_wrap=True)
    for note in outcome.notes:
        console.print(f"  {escape(note)}", soft_wrap=True)
    out = shlex.quote(str(outcome.out))
    console.print(f"What was kept and why the rest was not:  {escape(str(outcome.report))}", soft_wrap=True)
    console.print(f"Next:  kaogan train dcgan --data {escape(out)}", soft_wrap=True)
