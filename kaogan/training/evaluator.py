"""Measuring while training: a metric of the averaged generator along the clock, its plot, the best model, the end.

Nothing here changes the weights. The pictures are those of the same latents each time, a function of the seed; how many
they are is decided once, at the first evaluation, and read from the run's own stats ever after, so that all values can
be compared and a resumed run goes on with the same ones. Whatever fails is logged once and ends the measuring, never
the training.
"""

from __future__ import annotations

import math
import time
from typing import Any

import numpy as np
import torch

from kaogan.config.recipe import Recipe
from kaogan.core.errors import KaoganError, UsageError, nearest
from kaogan.core.images import to_uint8
from kaogan.core.meters import crosses_multiple
from kaogan.core.rng import draw_latents, numpy_generator, torch_generator
from kaogan.data import PictureSet
from kaogan.metrics import curve_plots
from kaogan.metrics.collect import Arrays, Collector, FeatureCollector, Measured, collect
from kaogan.metrics.comparison import FeatureComparison, PictureComparison
from kaogan.metrics.features import NAMES, Extractor, load_extractor
from kaogan.metrics.fid import frechet_distance
from kaogan.metrics.reference import Reference
from kaogan.metrics.registry import DEFAULT_COUNT, Metric, cost, current_stats_line, training_metrics
from kaogan.metrics.stats.estimate import Estimate
from kaogan.training import plots
from kaogan.training.run_logger import RunLogger

BATCH = 64
PROBE = 128  # pictures timed before the first evaluation
REFERENCE_PICTURES = 50_000  # of a set in shards, whose features would else take hours before the first number
MIN_PICTURES = 256  # pictures below which a Fréchet distance says nothing


def check_evaluation(recipe: Recipe) -> None:
    """Raise UsageError when what ``eval.*`` asks for cannot be measured: at once, before any data is read."""
    settings = recipe.eval
    if not settings.every:
        return
    metrics = training_metrics(settings.metrics)
    name = settings.features.partition("=")[0]
    if any(metric.needs == "features" for metric in metrics) and name not in NAMES:
        raise UsageError(f"eval.features: unknown features '{name}'{nearest(name, NAMES)}")


class Evaluator:
    """What ``eval.*`` of the recipe asks for; does nothing when ``eval.every`` is 0."""

    def __init__(
        self, recipe: Recipe, logger: RunLogger, held_out: PictureSet | None = None, whole: PictureSet | None = None
    ) -> None:
        """``held_out`` are pictures to measure against; without them the ``whole`` set is, of which the training may
        have selected some, or the pictures of the training."""
        self.recipe, self.settings, self.logger = recipe, recipe.eval, logger
        self.folder, self.state = logger.folder, logger.state
        self.held_out, self.whole = held_out, whole
        self.training: Measured | None = None
        """Features of the pictures that are trained on, where others are measured against."""
        self.off = not self.settings.every
        self.metrics: list[Metric] = [] if self.off else training_metrics(self.settings.metrics)
        self.failure: str | None = None
        self.extractor: Extractor | None = None
        self.reference: Reference | None = None
        self.real: list[Arrays] = []
        self.seconds = 0.0
        """Spent measuring in this session, all of it."""
        self._began, self._first = time.monotonic(), self.state.images_seen
        stats = plots.read_stats(self.folder.stats) if self.folder.stats.exists() else []
        self.lines: list[dict[str, Any]] = [current_stats_line(line) for line in stats if "eval/count" in line]

    @property
    def keys(self) -> list[str]:
        """Of the numbers that are measured, the one that chooses the best model first."""
        return [key for metric in self.metrics for key in metric.training_keys]

    @property
    def should_stop(self) -> bool:
        """Whether the last ``eval.patience`` evaluations were no better than the best before them."""
        if self.off or not self.settings.patience or not self.lines:
            return False
        values = self._values()
        return len(values) - 1 - int(np.argmin(values)) >= self.settings.patience

    def is_due(self, clock: int) -> bool:
        if self.off or clock == 0 or any(line["clock"] == clock for line in self.lines):
            return False
        if clock >= self.recipe.training.images:
            return True
        crossed = crosses_multiple(self.settings.every, clock, self.recipe.training.batch_size)
        return crossed and self._affordable(clock)

    def _affordable(self, clock: int) -> bool:
        """Whether measuring has taken no more than its share of the time so far; a number of pictures that is set
        is measured whatever it takes."""
        allowed = self.settings.share * (time.monotonic() - self._began)
        if self.settings.pictures or self.seconds <= allowed:
            return True
        self.folder.log.info(
            "evaluation at %d images left out: those before took %.1f s, more than %.0f %% of the time; "
            "a larger eval.every or eval.share, or eval.pictures, decides otherwise",
            clock, self.seconds, 100 * self.settings.share,
        )  # fmt: skip
        return False

    def evaluate_if_due(self, clock: int) -> None:
        if not self.is_due(clock):
            return
        began = time.monotonic()
        try:
            self._evaluate(clock)
        except Exception as error:  # a failing evaluation must not stop a training of days
            self.off, self.failure = True, str(error) or type(error).__name__
            what = self.failure if isinstance(error, KaoganError) else f"{type(error).__name__}: {self.failure}"
            self.folder.log.info("evaluation failed and is off from here on: %s", what)
        self.seconds += time.monotonic() - began

    def _evaluate(self, clock: int) -> None:
        seconds_per_image = (time.monotonic() - self._began) / max(1, clock - self._first)
        if self.reference is None:
            if any(metric.needs == "features" for metric in self.metrics):
                self.extractor = load_extractor(self.settings.features, device=str(self.logger.device))
            real = self.held_out or self.whole or self.logger.pictures
            self.reference = Reference(real.sample(REFERENCE_PICTURES))
            self.real = self.reference.collected(self._collectors())
            apart = self.held_out is not None or self.logger.pictures.selected_from is not None
            if apart and self.extractor is not None:
                self.training = Reference(self.logger.pictures.sample(REFERENCE_PICTURES)).measured(self.extractor)
        began = time.monotonic()
        count = self._count(seconds_per_image)
        estimates = self._estimates(self._collected(count))
        numbers: dict[str, float] = {"eval/count": count}
        for key, estimate in estimates.items():
            numbers |= {
                f"eval/{key}": estimate.value,
                f"eval/{key}_low": estimate.low,
                f"eval/{key}_high": estimate.high,
            }
        self.logger.log_stats(clock, numbers)
        self.lines.append({"clock": clock, **numbers})
        values = self._values()
        best = bool(values[-1] < min(values[:-1], default=math.inf))
        if best:
            self.logger.save_model(self.folder.path / "best", self.measured)
        self._plots(estimates)
        taken = time.monotonic() - began
        shown = ", ".join(f"{key} {e.value:.4g} ({e.low:.4g} to {e.high:.4g})" for key, e in estimates.items())
        word = ", the best so far" if best else ""
        fields = self._label, count, clock, shown, word, taken
        self.folder.log.info("%s of %d pictures at %d images: %s%s; %.1f s", *fields)

    @property
    def _label(self) -> str:
        if self.extractor:
            return self.extractor.label
        features = any(metric.needs == "features" for metric in self.metrics)  # of a session before this one
        return self.settings.features.partition("=")[0] if features else "statistics"

    @property
    def measured(self) -> dict[str, Any]:
        """What the model's card says of the last measurement: keywords of ``card``, none before there is one."""
        if self.off or not self.lines:
            return {}
        line, results, rows = self.lines[-1], {}, []
        for metric in self.metrics:
            for key in metric.training_keys:
                if isinstance(line.get(f"eval/{key}"), int | float):
                    value, low, high = (float(line.get(f"eval/{key}{end}", math.nan)) for end in ("", "_low", "_high"))
                    name = metric.label(key, self._label if metric.needs == "features" else "")
                    results[name] = value
                    rows.append(f"| {name} | {value:.4g} | {low:.4g} … {high:.4g} |")
        selected = self.logger.pictures.selected_from is not None
        against = "pictures held out" if self.held_out else "the whole set" if selected else "the training pictures"
        head = (
            f"{line['eval/count']:,.0f} pictures against {against}, during training, at {line['clock']:,} "
            "images; 95 % intervals."
        )
        text = "\n".join(["## Measured", "", head, "", "| | value | interval |", "|---|---|---|", *rows])
        return {"measured": text, "results": results} if rows else {}

    def _collectors(self) -> list[Collector]:
        """Fresh ones: features first, where any metric needs them, then those of the metrics that need pictures."""
        made: list[Collector] = [FeatureCollector(self.extractor)] if self.extractor else []
        return made + [metric.collector() for metric in self.metrics if metric.collector is not None]

    def _estimates(self, generated: list[Arrays]) -> dict[str, Estimate]:
        """By key, of everything that is measured."""
        found: dict[str, Estimate] = {}
        seed, arrays = self.recipe.run.seed, list(zip(generated, self.real, strict=True))
        comparison = None
        if self.extractor is not None:
            fake, real = arrays.pop(0)
            comparison = FeatureComparison(
                self.extractor, Measured.of(fake), Measured.of(real), seed, training=self.training
            )
        for metric in self.metrics:
            compute = metric.in_training or metric.compute
            if metric.needs == "features":
                found |= compute(comparison)
            else:
                fake, real = arrays.pop(0)
                found |= compute(PictureComparison(fake, real, seed))
        return found

    def _values(self) -> list[float]:
        """What decides, along the clock, as something to be made small; worst are what is no number, and a generator
        of more copies than ``eval.max_copies``."""
        key, most = self.keys[0], self.settings.max_copies
        lines = [line if line.get("eval/copies", 0.0) <= most else {} for line in self.lines]
        values = [float(line.get(f"eval/{key}", math.nan)) for line in lines]
        return [cost(key, value) if math.isfinite(value) else math.inf for value in values]

    def _count(self, seconds_per_image: float) -> int:
        """Pictures of each evaluation: as set, as before, or as many as fit into the share of the training's time,
        which is ``seconds_per_image`` seconds an image."""
        if self.settings.pictures:
            return self.settings.pictures
        if self.lines:
            return int(self.lines[0]["eval/count"])
        budget = self.settings.share * self.settings.every * seconds_per_image
        each, fixed = self._cost()
        count = affordable(budget, each, fixed)
        if count == MIN_PICTURES and fixed + each * MIN_PICTURES > budget:
            fields = MIN_PICTURES, fixed + each * MIN_PICTURES, 100 * self.settings.share
            self.folder.log.info(
                "the least evaluation, %d pictures, takes about %.1f s, more than %.0f %% of the training's time: a "
                "larger eval.every costs less",
                *fields,
            )
        return count

    def _cost(self) -> tuple[float, float]:
        """Seconds for a picture and for the metrics, measured on a few."""
        self._collected(8)  # what only the first call takes
        began = time.monotonic()
        probe = self._collected(PROBE)
        between = time.monotonic()
        self._estimates(probe)
        return (between - began) / PROBE, time.monotonic() - between

    @torch.no_grad()
    def _collected(self, count: int) -> list[Arrays]:
        """What the collectors make of the averaged generator's pictures of the first ``count`` latents."""
        recipe, seed, device = self.recipe, self.recipe.run.seed, self.logger.device
        generator = self.logger.generator()
        latents = draw_latents(
            count, recipe.latent.size, recipe.latent.distribution, torch_generator(seed, "eval/latents")
        )
        schema = self.logger.pictures.schema
        conditions = schema.encode(schema.sample(count, torch_generator(seed, "eval/labels"))) if schema else None

        def batches() -> Any:
            for start in range(0, count, BATCH):
                part = slice(start, start + BATCH)
                own = None if conditions is None else conditions[part].to(device)
                yield to_uint8(generator(latents[part].to(device), own))

        return collect(batches(), count, self._collectors())

    def _plots(self, estimates: dict[str, Estimate]) -> None:
        title = f"{self.recipe.name} on {self.logger.pictures.source}"
        for key in estimates:
            points = [
                curve_plots.Point(
                    int(line["clock"]), *(float(line[f"eval/{key}{end}"]) for end in ("", "_low", "_high"))
                )
                for line in self.lines
                if f"eval/{key}_high" in line
            ]
            metric = next(each for each in self.metrics if key in each.training_keys)
            label = metric.label(key, self._label if metric.needs == "features" else "")
            perfect = self._perfect(int(self.lines[-1]["eval/count"])) if key == "fid" else None
            drawn = curve_plots.figure({title: points}, label, perfect=perfect)
            curve_plots.save(drawn, self.folder.path / f"{key}.png")

    def _perfect(self, count: int) -> float | None:
        """The Fréchet distance of real pictures from real ones, at the numbers of pictures that are used here."""
        assert self.extractor is not None and self.reference is not None
        real = self.real[0]["features"]
        half = len(real) // 2
        if half < 2:
            return None

        def compute() -> float:
            order = numpy_generator(0, "evaluate/halves").permutation(len(real))
            return frechet_distance(real[np.sort(order[:half])], real[np.sort(order[half:])])

        value = float(self.reference.remembered(self.extractor, ["halves"], compute))
        return value * (1 / count + 1 / len(real)) / (1 / half + 1 / (len(real) - half))


def affordable(budget: float, each: float, fixed: float, most: int = DEFAULT_COUNT) -> int:
    """How many pictures fit into ``budget`` seconds, in two digits, between MIN_PICTURES and ``most``."""
    count = (budget - fixed) / each if each > 0 else float(most)
    if not count > MIN_PICTURES:
        return MIN_PICTURES
    count = min(count, most)
    step = 10 ** (math.floor(math.log10(count)) - 1)
    return max(MIN_PICTURES, int(count // step * step))
