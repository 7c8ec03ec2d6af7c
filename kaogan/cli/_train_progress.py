"""What ``kaogan train`` prints."""

from __future__ import annotations

import contextlib
import math
import shlex
import time
from collections.abc import Callable
from pathlib import Path
from typing import ParamSpec

from rich.console import Console
from rich.markup import escape
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

from kaogan import api
from kaogan.config import recipes
from kaogan.config.recipe import Recipe
from kaogan.core import checkpoint
from kaogan.core.device import choose_device, is_emulated
from kaogan.core.training_loop import TrainProgress, TrainResult
from kaogan.data import PictureSet
from kaogan.training.cost import estimate

LEFT_BEHIND = {
    "model": "the model, to sample and to share",
    "adapt.html": "before and after, distances, copies, nearest pictures",
    "best": "the best model by the first metric of eval.metrics",
    "fid.png": "Fréchet distance along the clock",
    "grids": "the same faces along the clock",
    "loss.png": "losses",
    "attributes.png": "losses of the attributes",
    "progress.gif": "the training as a film",
    "progress.mp4": "the same as MP4",
    "real.png": "real pictures",
    "log.txt": "settings, versions, machine, times",
    "stats.jsonl": "numbers; also in tensorboard/",
}

LOSSES = "loss D {loss_d:.3g}  G {loss_g:.3g}"
SCORES = "D(x) {real_score:.2f}  D(G(z)) {fake_score:.2f}"
SPEED = "{images_per_second:.0f} images/s"
# The numbers shown of a step, and the columns they need, the fullest first.
NUMBERS = {72: (LOSSES, SCORES, SPEED), 43: (LOSSES, SPEED), 14: (SPEED,), 0: ()}
BAR = 12
LITTLE_NOISE = 0.01  # share of noise that leaves no dither to be seen
Shown = ParamSpec("Shown")


def run_training(
    console: Console, recipe: Recipe, data: Path | None, out: Path | None, allow_changes: bool,
    minutes: float = math.inf, track: str = "",
) -> int:  # fmt: skip
    """Train with a progress bar, then say where everything is. Returns the exit code."""
    out = out or Path("runs") / recipe.name
    pictures = read_data(console, recipe, data)
    if not _reached_its_end(recipe, out):
        tell_data(console, pictures)
        tell_avatars(console, recipe, data)
        tell_precision(console, recipe)
        if not checkpoint.find(out / "checkpoints"):  # a run that goes on keeps the settings it began with
            tell_noise(console, recipe)
    outcome = train_with_bar(console, recipe, pictures, out, allow_changes, minutes, track)
    if not outcome.finished:
        return 0 if outcome.out_of_time else 130
    if not outcome.seconds or outcome.images_seen == 0:
        return 0
    if outcome.images_seen == outcome.began_at:
        tell_finished(console, outcome, recipe.training.images)
        tell_filter(console, outcome)
        return 0
    console.print(
        f"Trained to {outcome.images_seen:,} images ({_minutes(outcome.seconds)} in this session). "
        f"In {escape(str(outcome.path))}:",
        soft_wrap=True,
    )
    tell_files(console, outcome)
    return 0


def tell_filter(console: Console, outcome: TrainResult) -> None:
    if outcome.latent_filter:
        console.print(f"  {escape(outcome.latent_filter)}", soft_wrap=True)


def tell_finished(console: Console, outcome: TrainResult, images: int) -> None:
    """Of a run that had nothing left to do: where its model is and how to go on."""
    clock = outcome.images_seen
    console.print(f"{escape(str(outcome.path))} is finished: trained to {clock:,} images.", soft_wrap=True)
    console.print(f"Its model:    {escape(str(outcome.path / 'model'))}", soft_wrap=True)
    how = f"--images {2 * clock}, or any number above {clock}"
    if clock < images:
        how = "--eval.patience 0, as the measurements had not become better for so long"
    console.print(f"To train on:  the same command with {how}", soft_wrap=True)


def tell_files(console: Console, outcome: TrainResult) -> None:
    """What a finished run left behind, and what to do next, or what is wrong with it."""
    run = outcome.path
    for name, meaning in LEFT_BEHIND.items():
        if (run / name).exists():
            console.print(f"  {name:<15} {meaning}")
    tell_filter(console, outcome)
    if outcome.warning:
        console.print(f"[yellow]This run does not look well.[/] {escape(outcome.warning)}", soft_wrap=True)
        return
    console.print(f"Next:  kaogan sample {escape(shlex.quote(str(run)))} --out samples.png", soft_wrap=True)


def train_with_bar(
    console: Console, recipe: Recipe, pictures: PictureSet, out: Path | None, allow_changes: bool,
    minutes: float = math.inf, track: str = "",
) -> TrainResult:  # fmt: skip
    """Train with a progress bar; says so when it was interrupted."""
    plain, done = not console.is_terminal, out is not None and _reached_its_end(recipe, out)
    taken = len(f"{recipe.name} {recipe.training.images}/{recipe.training.images}  0:00:00 left 0:00:00 ") + BAR
    numbers = next(numbers for width, numbers in NUMBERS.items() if plain or width <= max(0, console.width - taken))
    columns = (
        TextColumn("[bold]{task.description}[/]"),
        BarColumn(bar_width=BAR),
        MofNCompleteColumn(),
        TextColumn("{task.fields[numbers]}", markup=False),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
    )
    if plain and not done:
        soon = min(recipe.run.stats_every, recipe.training.images)
        console.print(f"training {recipe.name}; the first numbers come after {soon:,} images", soft_wrap=True)
    shown, warned = time.monotonic(), ""
    with Progress(*columns, console=console, disable=plain or done) as bar:
        task = bar.add_task(recipe.name, total=recipe.training.images, numbers="")

        def on_progress(step: TrainProgress) -> None:
            nonlocal shown, warned
            if step.warning and not warned:
                console.print(f"[yellow]At {step.images_seen:,} images:[/] {escape(step.warning)}", soft_wrap=True)
            warned = step.warning
            text = "  ".join(part.format(**step.stats) for part in numbers if _has(step.stats, part))
            bar.update(task, completed=min(step.images_seen, step.total), numbers=text)
            if plain and (time.monotonic() - shown > 15 or step.images_seen >= step.total):
                seen = min(step.images_seen, step.total)  # the last batch goes a little beyond
                left = (step.total - seen) / step.stats["images_per_second"]
                console.print(f"{seen:>9,} of {step.total:,}  {text}  {_minutes(left)} left", soft_wrap=True)
                shown = time.monotonic()

        after: TaskID | None = None

        def on_work_after(completed: int, total: int, what: str) -> None:
            nonlocal after
            if after is None:
                after = bar.add_task(what, total=total, numbers="")
                if plain or done:
                    console.print(f"fitting a latent filter; {what}: {total:,}", soft_wrap=True)
            bar.update(after, completed=completed, total=total, description=what)

        def on_stop() -> None:
            console.print("stopping…")

        outcome = api.run(
            recipe, pictures, out, allow_changes=allow_changes,
            on_progress=without_output_errors(on_progress), on_stop=without_output_errors(on_stop),
            minutes=minutes, track=track, progress=without_output_errors(on_work_after),
        )  # fmt: skip
    if not outcome.finished:
        console.print(f"Stopped at {outcome.images_seen:,} images; the same command goes on from here.")
    return outcome


def without_output_errors(show: Callable[Shown, None]) -> Callable[Shown, None]:
    """``show``, whose errors never end a training: a closed terminal, or a pipe without reader."""

    def safe(*arguments: Shown.args, **keywords: Shown.kwargs) -> None:
        with contextlib.suppress(OSError, ValueError, SystemExit):
            show(*arguments, **keywords)

    return safe


def run_dry(console: Console, recipe: Recipe, data: Path | None) -> None:
    """Print what would be trained and what it would cost, measured on a few steps."""
    pictures = read_data(console, recipe, data)
    tell_data(console, pictures)
    tell_avatars(console, recipe, data)
    tell_precision(console, recipe)
    console.print(recipes.dump(recipe).rstrip(), markup=False, soft_wrap=True)
    cost = estimate(recipe, pictures)
    attributes = "".join(f", {a.name} ({len(a.values)})" for a in pictures.schema.attributes)
    seconds = recipe.training.images / cost.images_per_second
    console.print(
        f"\ndata           {len(pictures.images):,} pictures of {pictures.source}{attributes}"
        f"\nparameters     generator {cost.generator:,}, discriminator {cost.discriminator:,}"
        f"\nmachine        {cost.machine}, {cost.device}, {cost.precision}"
        f"\nspeed          {cost.images_per_second:.0f} images/s, measured on {cost.steps} steps"
        f"\ntime           {_minutes(seconds)} for {recipe.training.images:,} images"
        f"\nmemory         {cost.memory / 2**20:,.0f} MB",
        markup=False,
        soft_wrap=True,
    )


def read_data(console: Console, recipe: Recipe, data: Path | None) -> PictureSet:
    """Load the pictures with a bar: only the first time takes long."""
    with Progress(console=console, transient=True, disable=not console.is_terminal) as bar:
        task = bar.add_task("reading", total=None)

        def on_progress(done: int, total: int, what: str) -> None:
            bar.update(task, completed=done, total=total, description=what)

        return api.load_data(recipe, data, on_progress)


def tell_data(console: Console, pictures: PictureSet) -> None:
    """How many pictures there are, what was left out, and what is conditional on them."""
    text = f"{len(pictures.images):,} pictures from {pictures.source}"
    if pictures.skipped:
        name, reason = pictures.skipped[0]
        more = "; the rest is in log.txt" if len(pictures.skipped) > 1 else ""
        text += f"; {len(pictures.skipped)} skipped ({name}: {reason}{more})"
    console.print(escape(text), soft_wrap=True)
    for note in pictures.notes:
        console.print(f"  {escape(note)}", soft_wrap=True)
    if pictures.schema:
        names = ", ".join(f"{each.name} ({len(each.values)} values)" for each in pictures.schema.attributes)
        text = f'conditional on {names}; to train without: --attributes.names "[]"'
        console.print(f"  {escape(text)}", soft_wrap=True)


def tell_avatars(console: Console, recipe: Recipe, data: Path | None) -> None:
    """Of kao without pictures: its discriminator knows every fake beside clean avatars (docs/results/kao-log.md)."""
    if data is None and recipe.name == "kao":
        console.print(
            "  without --data kaogan draws avatars, of which kao learns few kinds of faces; kaogan train demo is made "
            "for them",
            soft_wrap=True,
        )


def tell_precision(console: Console, recipe: Recipe) -> None:
    """Of a precision that was asked for and that this processor only emulates."""
    if is_emulated(recipe.run.precision, choose_device(recipe.run.device)):
        console.print(
            f"  this processor has no fast {recipe.run.precision}: --precision {recipe.run.precision} takes many times "
            "as long as --precision auto",
            soft_wrap=True,
        )


def tell_noise(console: Console, recipe: Recipe) -> None:
    """Of a run that ends while noise which is to fade (``end`` above 0) is still on what the discriminator sees."""
    noise, images = recipe.extras.instance_noise, recipe.training.images
    if noise.end and noise.amount * (1 - images / noise.end) > LITTLE_NOISE:
        console.print(
            f"  the discriminator's noise fades until {noise.end:,} images, but this run ends at {images:,}: a dither "
            f"may stay on the faces; --extras.instance_noise.end {max(1, images * 7 // 10)} lets it fade in time",
            soft_wrap=True,
        )


def _reached_its_end(recipe: Recipe, run: Path) -> bool:
    """Whether the newest checkpoint of a run is at the end of the recipe already, as far as its name tells."""
    newest = checkpoint.find(run / "checkpoints")[-1:]
    return any(checkpoint.clock_of(path) >= recipe.training.images for path in newest)


def _has(stats: dict[str, float], text: str) -> bool:
    try:
        text.format(**stats)
    except KeyError:
        return False
    return True


def _minutes(seconds: float) -> str:
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"
