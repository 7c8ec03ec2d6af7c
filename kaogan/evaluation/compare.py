"""Comparison of recipes under one budget, or of finished runs, on the same real pictures.

Everything that the leaderboard shows is read from the run folders: ``metrics.jsonl`` for the table, ``stats.jsonl`` for
the curves, ``model/`` for the pictures. So the page can be made again from them alone, at any time.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from kaogan.config import recipes
from kaogan.config.recipe import Recipe
from kaogan.core.errors import KaoganError, UsageError
from kaogan.core.progress import Progress, no_progress
from kaogan.core.training_loop import TrainProgress
from kaogan.data import load_pictures
from kaogan.evaluation.image_sources import looks_one_way, open_image_source, read_lines
from kaogan.evaluation.page import append_lines, metrics_lines
from kaogan.evaluation.runner import evaluate_one, open_extractors
from kaogan.metrics import fid
from kaogan.metrics.curve_plots import Point
from kaogan.metrics.features import BATCH, Extractor, load_extractor
from kaogan.metrics.reference import Reference
from kaogan.metrics.registry import DEFAULT_COUNT, DEFAULT_FEATURES, METRICS, current_stats_line
from kaogan.metrics.stats.estimate import Estimate
from kaogan.metrics.stats.intervals import mean_of
from kaogan.training.cost import estimate
from kaogan.training.data import load_data
from kaogan.training.train import train

POINTS = 10  # evaluations along each training
PICTURES_ON_THE_WAY, FEWEST = 2000, 256


@dataclass
class Entry:
    """One line of the leaderboard: a recipe with a run for each seed, or a run that was there already."""

    name: str
    runs: list[Path] = field(default_factory=list)
    recipe: str | None = None
    """The word that the recipe was named by; None for runs that are taken as they are."""


@dataclass(frozen=True)
class Budget:
    """Either images shown or minutes of training, the same for all."""

    images: int | None = None
    minutes: float | None = None

    def __post_init__(self) -> None:
        if (self.images is None) == (self.minutes is None):
            raise UsageError("give one budget for all: --images N or --minutes M")
        if (self.images if self.images is not None else self.minutes or 0) <= 0:
            raise UsageError("the budget must be more than 0")


def compare(
    subjects: Sequence[str],
    data: Path | None,
    out: Path,
    *,
    budget: Budget | None = None,
    seeds: int = 1,
    features: Sequence[str] = (DEFAULT_FEATURES,),
    count: int = DEFAULT_COUNT,
    overrides: dict[str, Any] | None = None,
    report: Progress = no_progress,
) -> list[Entry]:
    """Train what is a recipe, measure everything that was not measured so, and return the entries for the page.

    Without ``subjects``: the runs that are in ``out``. Raises UsageError for wrong words, KaoganError when a training
    was broken off; the same call goes on.
    """
    if seeds < 1:
        raise UsageError(f"--seeds must be 1 or more, not {seeds}")
    entries = _entries(subjects, out, seeds)
    _train_all(entries, data, budget, features, overrides or {}, report)
    if subjects or data is not None:  # else the page alone is made again, of what was measured
        _measure([run for entry in entries for run in entry.runs], data, features, count, report)
    return entries


def _entries(subjects: Sequence[str], out: Path, seeds: int) -> list[Entry]:
    if not subjects:
        entries: dict[str, Entry] = {}
        for recipe in sorted(out.glob("*/seed-*/recipe.yaml")):
            entries.setdefault(recipe.parent.parent.name, Entry(recipe.parent.parent.name)).runs.append(recipe.parent)
        if not entries:
            raise UsageError(
                f"no runs in {out}: name recipes or runs, as in: kaogan compare dcgan wgan-gp --images 50000"
            )
        return list(entries.values())
    found = []
    for word in subjects:
        if _is_run(Path(word)):
            run = Path(word).resolve()
            same = [other for other in subjects if Path(other).name == run.name]
            alone = len(same) == 1 and not run.name.startswith("seed-")
            found.append(Entry(run.name if alone else f"{run.parent.name}/{run.name}", [Path(word)]))
        else:
            name = recipes.load(word).name
            found.append(Entry(name, [out / name / f"seed-{number}" for number in range(seeds)], word))
    names = [entry.name for entry in found]
    if twice := next((name for name in names if names.count(name) > 1), None):
        raise UsageError(f"'{twice}' is named twice; give recipe files other names, or run folders")
    return found


def _is_run(path: Path) -> bool:
    return (path / "recipe.yaml").is_file()


def _train_all(
    entries: Sequence[Entry], data: Path | None, budget: Budget | None, features: Sequence[str],
    overrides: dict[str, Any], report: Progress,
) -> None:  # fmt: skip
    """Train every recipe with every seed. All are measured on the way with the same number of pictures."""
    trained = [entry for entry in entries if entry.recipe is not None]
    if not trained:
        return
    if budget is None:
        raise UsageError("to train these recipes, set a budget: --images N or --minutes M")
    begun = [recipe for entry in trained for run in entry.runs if (recipe := recipe_of(run))]
    plan = _plan_of(begun[0]) if begun else None
    lengths = {}
    for entry in trained:
        recipe = recipes.load(str(entry.recipe), overrides)
        begun_here = [known for run in entry.runs if (known := recipe_of(run))]
        if begun_here and (budget.images or begun_here[0].training.images):
            lengths[entry.name] = budget.images or begun_here[0].training.images, 0.0
            continue
        pictures = load_data(recipe, data, report)
        report(0, 0, f"timing {recipe.name}")
        speed = estimate(recipe, pictures).images_per_second
        images = budget.images or _in_minutes(recipe, speed, float(budget.minutes or 0))
        lengths[entry.name] = images, images / speed
    if plan is None:
        seconds = min(seconds for _, seconds in lengths.values())
        first = recipes.load(str(trained[0].recipe), overrides)
        plan = measuring_plan(seconds * first.eval.share, load_extractor(features[0], device=first.run.device))
    for entry in trained:
        for number, run in enumerate(entry.runs):
            settings = {**overrides, "run.seed": number, "training.images": lengths[entry.name][0]}
            _train(str(entry.recipe), run, data, settings, plan, features[0], report)


def _train(
    word: str, run: Path, data: Path | None, settings: dict[str, Any], plan: Plan, features: str, report: Progress
) -> None:
    recipe = recipes.load(word, settings)
    known = recipe_of(run)
    every = known.eval.every if known else max(recipe.training.batch_size, recipe.training.images // plan.points)
    recipe = recipes.load(
        word, {**settings, "eval.every": every, "eval.pictures": plan.pictures, "eval.features": features}
    )
    pictures = load_data(recipe, data, report)

    def on_progress(step: TrainProgress) -> None:
        report(min(step.images_seen, step.total), step.total, f"training {recipe.name}, seed {recipe.run.seed}")

    outcome = train(recipe, pictures, run, on_progress=on_progress)
    if not outcome.finished:
        raise KaoganError(
            f"interrupted while training {run} at {outcome.images_seen:,} images; the same command goes on"
        )


@dataclass(frozen=True)
class Plan:
    """What is measured along each training."""

    pictures: int
    points: int


def measuring_plan(seconds: float, extractor: Extractor) -> Plan:
    """As many measurements, of as many pictures, as fit into ``seconds``: at most POINTS of PICTURES_ON_THE_WAY, at
    least one of FEWEST at the end."""
    noise = np.random.default_rng(0).integers(0, 256, (BATCH, 64, 64, 3), np.uint8)
    extractor(noise[:8])  # what only the first call takes
    began = time.monotonic()
    features = extractor(noise)
    each = (time.monotonic() - began) / BATCH
    began = time.monotonic()
    fid.with_interval(np.tile(features, (FEWEST // BATCH, 1)), features)
    fixed = time.monotonic() - began
    for points in range(POINTS, 1, -1):
        fitting = (seconds / points - fixed) / each
        if fitting >= FEWEST:
            return Plan(int(min(fitting, PICTURES_ON_THE_WAY)), points)
    return Plan(max(FEWEST, int(min((seconds - fixed) / each, PICTURES_ON_THE_WAY))), 1)


def _plan_of(recipe: Recipe) -> Plan:
    """The plan that a run was begun with."""
    return Plan(recipe.eval.pictures, max(1, round(recipe.training.images / max(1, recipe.eval.every))))


def recipe_of(run: Path) -> Recipe | None:
    """The settings that a run was begun with: its speed is measured only once."""
    with suppress(KaoganError):
        return recipes.load(run / "recipe.yaml") if _is_run(run) else None
    return None


def _in_minutes(recipe: Recipe, speed: float, minutes: float) -> int:
    batch = recipe.training.batch_size
    return max(batch, round(speed * 60 * minutes / batch) * batch)


def _measure(runs: Sequence[Path], data: Path | None, features: Sequence[str], count: int, report: Progress) -> None:
    """Every run that has no line of this model, these features and this count yet."""
    references: dict[tuple[int, int], Reference] = {}
    mirrored = data is not None or not all(map(looks_one_way, runs))

    def reference_of(size: tuple[int, int]) -> Reference:
        if size not in references:
            pictures = load_pictures(
                data, image_size=size[0], channels=size[1], attributes=["auto"], progress=report,
                avatars_mirrored=mirrored,
            )  # fmt: skip
            references[size] = Reference(pictures)
        return references[size]

    extractors, failures = open_extractors(features, download=False)
    weights = {extractor.name: extractor.fingerprint for extractor in extractors}
    waiting = [run for run in runs if not _measured(run, weights, count, reference_of)]
    for run in waiting:
        source = open_image_source(run, count, progress=report)
        if run.name.startswith("seed-"):  # of OUT/dcgan/seed-0
            source.name = f"{run.parent.name}, {run.name.replace('-', ' ')}"
        real = reference_of((source.image_size, source.channels))
        result = evaluate_one(source, real, extractors, list(METRICS), report=report)
        result.notes += failures
        if not append_lines([result]):
            raise KaoganError(f"{run} is read-only: compare copies of the runs, or make the folder writable")


def _measured(
    run: Path, weights: Mapping[str, str], count: int, reference_of: Callable[[tuple[int, int]], Reference]
) -> bool:  # fmt: skip
    """Whether the newest line of the run says all that is asked for, by extractors of these ``weights`` (fingerprints
    by name) against these real pictures."""
    line, config = last_line(run), config_of(run)
    if (
        line is None
        or line.get("count") != count
        or line.get("keep", 1) != 1
        or line.get("seed", 0) != 0
        or not set(METRICS) <= set(line.get("asked", METRICS))  # older lines do not say it
        or line.get("clock") != config.get("clock")
    ):
        return False
    known = line.get("features")
    if not isinstance(known, dict) or not weights.items() <= known.items():
        return False
    if not {"image_size", "channels"} <= set(config):
        return False  # what is wrong with a model is said where it is opened
    real = reference_of((config["image_size"], config["channels"])).pictures
    return (line.get("data") or {}).get("fingerprint") in (real.fingerprint, *real.former_fingerprints)


def last_line(run: Path) -> dict[str, Any] | None:
    lines = metrics_lines(run)
    return lines[-1] if lines else None


def config_of(run: Path) -> dict[str, Any]:
    with suppress(OSError, ValueError):
        return dict(json.loads((run / "model" / "config.json").read_text(encoding="utf-8")))
    return {}


def metric(runs: Sequence[Path], key: str) -> Estimate | None:
    """Of several seeds the mean with Student's interval, which holds the luck of the training, too; of one its own."""
    estimates = []
    for run in runs:
        found = (last_line(run) or {}).get("metrics", {}).get(key)
        if isinstance(found, dict):
            estimates.append(Estimate(float(found["value"]), float(found["low"]), float(found["high"])))
    if not estimates:
        return None
    return estimates[0] if len(estimates) == 1 else mean_of(np.array([estimate.value for estimate in estimates]))


def curve(runs: Sequence[Path], key: str = "fid") -> list[Point]:
    """The metric along the training, from the stats of the runs; of several seeds the mean and the range."""
    by_clock: dict[int, list[Point]] = {}
    for run in runs:
        for line in map(current_stats_line, read_lines(run / "stats.jsonl")):
            value, clock, seconds = line.get(f"eval/{key}"), line.get("clock"), line.get("seconds")
            if isinstance(value, int | float) and isinstance(clock, int) and isinstance(seconds, int | float):
                low, high = line.get(f"eval/{key}_low", value), line.get(f"eval/{key}_high", value)
                point = Point(clock, float(value), float(low), float(high), seconds / 60)
                by_clock.setdefault(clock, []).append(point)
    points = []
    for clock in sorted(by_clock):
        some = by_clock[clock]
        if len(some) == 1:
            points.append(some[0])
        elif len(some) == max(map(len, by_clock.values())):  # all seeds got here
            values = [p.value for p in some]
            minutes = float(np.mean([p.minutes for p in some]))
            points.append(Point(clock, float(np.mean(values)), min(values), max(values), minutes))
    return points
