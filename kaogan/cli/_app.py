"""The commands of kaogan, grouped."""

from __future__ import annotations

from typing import Annotated, Any

import typer
import typer.core

from kaogan.cli import (
    _words,
    adapt,
    avatars,
    best,
    cite,
    compare,
    convert,
    directions,
    evaluate,
    export,
    faces,
    fit_filter,
    import_,
    interpolate,
    live,
    mix,
    models,
    morph,
    prepare,
    project,
    recipes,
    sample,
    studio,
    sweep,
    tagger,
    train,
    upscale,
    walk,
)
from kaogan.cli._console import FREE_WORDS, console, notice
from kaogan.core.errors import KaoganError, UsageError
from kaogan.version import __version__

GUIDE = """\
kaogan: from a folder of pictures to a shareable generator of anime faces

[bold]What do you have?[/]

Nothing yet: draw with a model that comes with kaogan, or train one (6 minutes)
  [bold]kaogan sample kao[/]
  [bold]kaogan train demo[/]

Pictures: find, crop and label the faces, then train on them
  [bold]kaogan prepare PICTURES SET[/]
  [bold]kaogan train --data SET[/]

A few pictures in your own style: teach them to a model that comes with kaogan
  [bold]kaogan adapt kao --data PICTURES[/]

A trained model: draw faces, film them, play in a browser, publish it
  [bold]kaogan sample runs/demo[/]
  [bold]kaogan explore walk runs/demo[/]
  [bold]kaogan studio[/]
  [bold]kaogan export runs/demo --to web[/]

All commands: kaogan --help. Options of one: kaogan COMMAND --help."""


class Group(typer.core.TyperGroup):
    """A group of commands that also understands ``help`` and the command names of other programs."""

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        if args[0] == "help" and "help" not in self.commands:
            args = [*args[1:], "--help"]
            if len(args) == 1:
                typer.echo(ctx.get_help())
                raise typer.Exit
        if args[1:] == ["help"]:
            args = [args[0], "--help"]
        if args[0] not in self.commands and args[0] in _words.COMMANDS:
            raise UsageError(f"no such command '{args[0]}': use {_words.COMMANDS[args[0]]}")
        return super().resolve_command(ctx, args)

    def invoke(self, ctx: Any) -> Any:
        # typer turns Ctrl-C into an exit without a word.
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt:
            error = KaoganError("interrupted")
            error.exit_code = 130
            raise error from None


class ExploreCommand(typer.core.TyperCommand):
    """A command of ``kaogan explore``, which also takes options under their old names, with a notice."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        known = {word for parameter in self.params for word in parameter.opts}
        renamed = []
        for word in args:
            option, equals, value = word.partition("=")
            new = _words.RENAMED_OPTIONS.get(option)
            if new in known:
                notice(f"{option} is now called {new}")
                word = new + equals + value
            renamed.append(word)
        return super().parse_args(ctx, renamed)


class MovedCommand(ExploreCommand):
    """A command of ``kaogan explore`` under its old name, ``kaogan walk`` and so on."""

    def invoke(self, ctx: Any) -> Any:
        notice(f"'kaogan {self.name}' is now called 'kaogan explore {self.name}'")
        return super().invoke(ctx)


app = typer.Typer(
    name="kaogan",
    cls=Group,
    help="From a folder of pictures to a trained, shareable generator of anime faces.",
    epilog="'kaogan' alone prints a short guide. Settings and pictures: the README and docs/.",
    invoke_without_command=True,
    rich_markup_mode="rich",
    context_settings={"help_option_names": ["-h", "--help"]},
    pretty_exceptions_enable=False,
)
explore = typer.Typer(
    cls=Group,
    help="Draw films, sheets and edited faces from a trained model.",
    no_args_is_help=True,
    rich_markup_mode="rich",
)


@app.callback()
def top(
    context: typer.Context,
    version: Annotated[bool, typer.Option("--version", is_eager=True, help="Print the version.")] = False,
    plugin: Annotated[
        str | None,
        typer.Option(metavar="FILE.py", help="Load a plug-in first; with any command, as often as needed."),
    ] = None,  # run_app takes it out of the call
) -> None:
    if version:
        console.print(f"kaogan {__version__}")
        raise typer.Exit
    if context.invoked_subcommand is None:
        console.print(GUIDE)


TRAINING, MODELS, SETS, OTHER = "Train and measure", "Use a model", "Prepare pictures", "Tools"

app.command(context_settings=FREE_WORDS, epilog=train.EPILOG, rich_help_panel=TRAINING)(train.train)
app.command(context_settings=FREE_WORDS, epilog=adapt.EPILOG, rich_help_panel=TRAINING)(adapt.adapt)
app.add_typer(recipes.app, name="recipes", rich_help_panel=TRAINING)
app.command(epilog=evaluate.EPILOG, rich_help_panel=TRAINING)(evaluate.evaluate)
app.command(context_settings=FREE_WORDS, epilog=compare.EPILOG, rich_help_panel=TRAINING)(compare.compare)
app.command("fit-filter", epilog=fit_filter.EPILOG, rich_help_panel=TRAINING)(fit_filter.fit_filter)
app.command(epilog=cite.EPILOG, rich_help_panel=TRAINING)(cite.cite)
app.command(context_settings=FREE_WORDS, epilog=sample.EPILOG, rich_help_panel=MODELS)(sample.sample)
app.command(context_settings=FREE_WORDS, epilog=live.EPILOG, rich_help_panel=MODELS)(live.live)
app.command(epilog=models.EPILOG, rich_help_panel=MODELS)(models.models)
app.add_typer(explore, name="explore", rich_help_panel=MODELS)
app.command(epilog=studio.EPILOG, rich_help_panel=MODELS)(studio.studio)
app.command(epilog=upscale.EPILOG, rich_help_panel=MODELS)(upscale.upscale)
app.command(epilog=export.EPILOG, rich_help_panel=MODELS)(export.export)
app.command("import", epilog=import_.EPILOG, rich_help_panel=MODELS)(import_.import_)
app.command(epilog=prepare.EPILOG, cls=prepare.Described, rich_help_panel=SETS)(prepare.prepare)
app.command(epilog=convert.EPILOG, rich_help_panel=SETS)(convert.convert)
app.command(rich_help_panel=SETS)(avatars.avatars)
app.add_typer(faces.app, name="faces", rich_help_panel=OTHER)
app.add_typer(tagger.app, name="tagger", rich_help_panel=OTHER)

for module, function in (
    (walk, walk.walk), (interpolate, interpolate.interpolate), (sweep, sweep.sweep), (mix, mix.mix),
    (morph, morph.morph), (best, best.best), (directions, directions.directions), (project, project.project),
):  # fmt: skip
    explore.command(cls=ExploreCommand, context_settings=FREE_WORDS, epilog=module.EPILOG)(function)
    app.command(cls=MovedCommand, context_settings=FREE_WORDS, epilog=module.EPILOG, hidden=True)(function)
