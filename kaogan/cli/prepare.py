"""The command ``kaogan prepare``."""

from __future__ import annotations

import inspect
import shlex
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated, Any

import typer
import typer.core
from rich.markup import escape

from kaogan.cli._console import console, progress_bar
from kaogan.core.errors import UsageError

if TYPE_CHECKING:
    from kaogan.prepare import PrepareResult

EPILOG = (
    "The same command again works only on what is new or changed, also after Ctrl-C or a kill. "
    "OUT/report.html shows what was kept, and what was dropped and why."
)
LOOKS, STEPS, TAGS, WRITING, MACHINE = "The pictures", "What is dropped", "Labels", "What is written", "The machine"

# Option, setting, what stands for its value ("" for a switch), panel. Defaults and words are those of
# kaogan/prepare/settings.py; they are looked up when the help is shown, so that other verbs start without them.
SETTINGS = (
    ("--size", "picture.size", "S", LOOKS),
    ("--crop", "picture.crop", "C", LOOKS),
    ("--margin", "picture.margin", "M", LOOKS),
    ("--square/--as-found", "picture.square", "", LOOKS),
    ("--upright/--no-upright", "picture.upright", "", LOOKS),
    ("--format", "picture.format", "F", LOOKS),
    ("--quality", "picture.quality", "Q", LOOKS),
    ("--smallest", "picture.smallest", "PX", STEPS),
    ("--face-score", "picture.face_score", "X", STEPS),
    ("--most-faces", "picture.faces", "N", STEPS),
    ("--contrast", "picture.contrast", "X", STEPS),
    ("--plain", "picture.plain", "X", STEPS),
    ("--sharpness", "picture.sharpness", "X", STEPS),
    ("--twins/--no-twins", "twins.enabled", "", STEPS),
    ("--difference", "twins.difference", "X", STEPS),
    ("--mirrored/--no-mirrored", "twins.mirrored", "", STEPS),
    ("--tag/--no-tag", "tags.enabled", "", TAGS),
    ("--confidence", "tags.confidence", "X", TAGS),
    ("--check-labels/--no-check-labels", "tags.check", "", TAGS),
    ("--doubt", "tags.doubt", "X", TAGS),
    ("--classes/--no-classes", "tags.classes", "", TAGS),
    ("--labels", "labels", "L", WRITING),
    ("--split", "split", "A=X,B=Y", WRITING),
    ("--shards", "shards", "N", WRITING),
    ("--blur/--no-blur", "blur.enabled", "", WRITING),
    ("--ratio", "blur.ratio", "X", WRITING),
    ("--t1", "blur.t1", "T", WRITING),
    ("--t2", "blur.t2", "T", WRITING),
    ("--licence", "licence", "TEXT", WRITING),
)


class Described(typer.core.TyperCommand):
    """Takes the words and defaults of its options from the settings that they set."""

    def get_help(self, ctx: Any) -> str:
        from kaogan.prepare.settings import describe

        for each, (_, setting, _, _) in zip(self.params[1:], SETTINGS, strict=False):
            assert isinstance(each, typer.core.TyperOption)
            each.help, each.default = describe(setting)
            each.show_default = each.default is not None
        return super().get_help(ctx)


def _parameter(option: str, setting: str, metavar: str, panel: str) -> inspect.Parameter:
    about = typer.Option(option, metavar=metavar or None, rich_help_panel=panel)
    annotation: Any = Annotated[str | None, about] if metavar else Annotated[bool | None, about]
    name = setting.replace(".", "_")
    return inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=annotation)


def prepare(
    paths: Annotated[
        list[str],
        typer.Argument(
            metavar="SOURCE... OUT", help="Folders, zips, tars or addresses of pictures, and last the folder to write."
        ),
    ],
    *,
    workers: Annotated[
        int | None,
        typer.Option(
            "--workers",
            "--processes",
            metavar="N",
            min=1,
            help="Processes that prepare. (one a core)",
            rich_help_panel=MACHINE,
        ),
    ] = None,
    scheduler: Annotated[
        str | None, typer.Option(metavar="ADDRESS", help="Of a Dask cluster to use.", rich_help_panel=MACHINE)
    ] = None,
    **given: Any,
) -> None:
    """From any folder of pictures to a clean, cropped, tagged set that [dim]kaogan train[/] takes."""
    from kaogan.prepare import make_settings
    from kaogan.prepare import prepare as work

    if len(paths) < 2:
        raise UsageError("name at least one source and then the folder to write: kaogan prepare ~/pictures faces/")
    settings = make_settings(_tree(given))
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


def _with_settings() -> None:
    """Give ``prepare`` the signature that typer reads: paths, one option a setting, the machine."""
    own = inspect.signature(prepare, eval_str=True)
    paths, *machine, _ = own.parameters.values()
    every = [paths, *(_parameter(*row) for row in SETTINGS), *machine]
    prepare.__signature__ = own.replace(parameters=every)  # type: ignore[attr-defined]
    prepare.__annotations__ = {each.name: each.annotation for each in every}


_with_settings()


def _tree(given: dict[str, Any]) -> dict[str, Any]:
    """What was named on the command line, as make_settings takes it."""
    from kaogan.prepare.settings import parse_split

    tree: dict[str, Any] = {}
    for _, setting, _, _ in SETTINGS:
        value = given[setting.replace(".", "_")]
        if value is None:
            continue
        section, _, name = setting.rpartition(".")
        (tree.setdefault(section, {}) if section else tree)[name] = value
    picture = tree.get("picture", {})
    if picture.get("size") == "0":
        picture["size"] = None
    if picture.get("crop") == "centre":
        picture["crop"] = "center"
    if "split" in tree:
        tree["split"] = parse_split(tree["split"])
    return tree


def _told() -> Callable[..., None]:
    """A line each quarter of a minute where there is no terminal for a bar."""
    shown = time.monotonic()

    def tell(done: int, total: int, what: str) -> None:
        nonlocal shown
        if time.monotonic() - shown > 15:
            console.print(f"{what}: {done:,} of {total:,}", soft_wrap=True)
            shown = time.monotonic()

    return tell


def _summarise(outcome: PrepareResult) -> None:
    counts: dict[str, Any] = dict(outcome.counts)
    files = counts.pop("files")
    worked = f"{outcome.worked_on:,} new or changed" if outcome.worked_on else "nothing new"
    console.print(f"{files:,} picture files, {worked}", soft_wrap=True)
    if skipped := counts.pop("skipped", 0):
        console.print(f"  beside them {skipped:,} that are no pictures, or cannot be opened", soft_wrap=True)
    for step, count in counts.items():
        if count and step != "kept":
            console.print(f"  {count:>9,}  {step}", soft_wrap=True)
    console.print(f"  {outcome.kept:>9,}  [bold]kept[/]", soft_wrap=True)
    for note in outcome.notes:
        console.print(f"  {escape(note)}", soft_wrap=True)
    out = shlex.quote(str(outcome.out))
    console.print(f"What was kept and why the rest was not:  {escape(str(outcome.report))}", soft_wrap=True)
    console.print(f"Next:  kaogan train --data {escape(out)}", soft_wrap=True)
