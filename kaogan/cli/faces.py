"""The command ``kaogan faces``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer
import typer.core
from rich.markup import escape

from kaogan.cli._console import console, progress_bar
from kaogan.core.errors import UsageError


class _FindFirst(typer.core.TyperGroup):
    """``kaogan faces PICTURES`` is short for ``kaogan faces find PICTURES``."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        if args and args[0] not in (*self.commands, "-h", "--help"):
            args = ["find", *args]
        return super().parse_args(ctx, args)


app = typer.Typer(
    cls=_FindFirst,
    help="Find anime faces in pictures: [bold]kaogan faces PICTURES...[/] lists, draws and cuts them out.",
    no_args_is_help=True,
)


@app.command()
def find(
    pictures: Annotated[
        list[Path], typer.Argument(metavar="PICTURES...", help="Picture files, folders or zips of pictures.")
    ],
    out: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Write crops/ and boxes.csv there; without it, the boxes are listed."),
    ] = None,
    draw: Annotated[bool, typer.Option("--draw", help="Write drawn/ as well: the pictures with their boxes.")] = False,
    margin: Annotated[float, typer.Option(metavar="M", help="What is added round a face, of its side.")] = 0.25,
    square: Annotated[bool, typer.Option(help="Square crops, moved or filled at the edge; or cut off there.")] = True,
    upright: Annotated[bool, typer.Option("--upright", help="Turn each crop so that the eyes are level.")] = False,
    smallest: Annotated[float, typer.Option(metavar="PX", help="Faces with smaller sides are not looked for.")] = 32,
    threshold: Annotated[
        float | None, typer.Option(metavar="T", help="Least score, 0 to 1. (0.63: docs/results/face-detector.md)")
    ] = None,
    weights: Annotated[Path | None, typer.Option(metavar="FILE", help="Other weights, from your own training.")] = None,
) -> None:
    """Find the faces of pictures, of any size; list them, or write crops, boxes and drawings."""
    from kaogan.aux_models.face_detector.boxes import Face
    from kaogan.aux_models.face_detector.detect_folder import CropOptions, find_faces
    from kaogan.aux_models.face_detector.detector import load_detector

    if draw and out is None:
        raise UsageError("--draw writes pictures; say where with --out DIR")

    def listed(name: str, faces: list[Face]) -> None:
        for face in faces:
            box = f"{face.x:7.1f} {face.y:7.1f} {face.width:7.1f} {face.height:7.1f}  {face.score:.2f}"
            console.print(f"{box}  {escape(name)}", soft_wrap=True)

    if out is None:
        console.print("      x       y   width  height  score  file")
    detector = load_detector(weights)
    options = CropOptions(margin, square, upright, smallest, threshold, draw)
    with progress_bar("faces") as update:
        summary = find_faces(pictures, detector, options, out, None if out else listed, update)
    for name, reason in summary.skipped[:10]:
        console.print(escape(f"skipped {name}: {reason}"), soft_wrap=True)
    if len(summary.skipped) > 10:
        console.print(f"skipped {len(summary.skipped) - 10:,} more")
    where = f" in {out}" if out else ""
    text = f"{summary.faces:,} faces in {summary.pictures:,} pictures ({len(summary.without):,} with none){where}"
    console.print(escape(text), soft_wrap=True)


@app.command(hidden=True, context_settings={"allow_extra_args": True, "ignore_unknown_options": True})
def train() -> None:
    """Moved: training of the face finder is a tool of the source tree."""
    raise UsageError(
        "training of the face finder is no part of the installed package: in a checkout of kaogan's source, run "
        "python -m tools.face_detector SETS..."
    )
