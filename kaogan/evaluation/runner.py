"""``kaogan evaluate``: any mix of models, runs and pictures against one set of real pictures."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from kaogan.core.device import choose_device
from kaogan.core.errors import KaoganError, UsageError
from kaogan.core.progress import Progress, no_progress
from kaogan.core.worker_pool import WorkerPool
from kaogan.data import load_pictures
from kaogan.data.storage import is_address
from kaogan.evaluation.image_sources import ImageSource, looks_one_way, open_image_source
from kaogan.evaluation.in_processes import LookInProcesses
from kaogan.evaluation.results import EvaluationResult, Failure, MetricRow
from kaogan.generate.latent_filter import check_keep
from kaogan.generate.model_io import model_names
from kaogan.metrics.collect import Collector, FeatureCollector, Look, Measured, collect, look_here
from kaogan.metrics.comparison import FeatureComparison, PictureComparison
from kaogan.metrics.features import Extractor, load_extractor
from kaogan.metrics.fid import LEAST_EXTRAPOLATED, Gaussian, against_gaussian
from kaogan.metrics.reference import Reference
from kaogan.metrics.reference_statistics import read_statistics, write_statistics
from kaogan.metrics.registry import DEFAULT_COUNT, DEFAULT_FEATURES, METRICS, Metric, metric_names
from kaogan.metrics.stats.estimate import TooFewSamplesError

FEW = 2_000  # pictures below which a Fréchet distance is mostly its own bias


class Evaluation(list[EvaluationResult]):
    """The results of those sources that could be measured, in order, and the failures of the others."""

    def __init__(self, results: Sequence[EvaluationResult] = (), failures: Sequence[Failure] = ()) -> None:
        super().__init__(results)
        self.failures = list(failures)


def evaluate(
    paths: Sequence[Path],
    data: Path | str | None,
    *,
    metrics: Sequence[str] = (),
    features: Sequence[str] = (DEFAULT_FEATURES,),
    count: int | None = None,
    seed: int = 0,
    keep: float = 1.0,
    download: bool = False,
    device: str = "auto",
    cache: Path | None = None,
    reference: Path | None = None,
    write_reference: Path | None = None,
    report: Progress = no_progress,
    pool: WorkerPool | None = None,
    on_result: Callable[[EvaluationResult], object] | None = None,
) -> Evaluation:
    """Measure each of ``paths`` against the real pictures ``data`` (None: the avatars, all looking to the right where
    those did that every model learnt from).

    ``reference`` is an .npz of published statistics, whose Fréchet distance is a row more; those of ``data`` go into
    ``write_reference``, of the first extractor.

    ``count`` pictures are drawn from a model (10,000), or at most taken of a folder (all); ``keep`` is that of
    ``Model.sample``, for models with a latent filter. An extractor or a metric that does not work is a note of the
    result, and a path with nothing to be measured beside others is one of the evaluation's ``failures``; only when none
    works it is an error. The processes of ``pool`` draw and measure features, if it is given. ``on_result`` gets each
    result as soon as it is there, so that an interruption costs only what is being measured. Raises UsageError,
    KaoganError.
    """
    chosen = metric_names(metrics)
    _check(paths, count, keep)
    needs_features = any(METRICS[name].needs == "features" for name in chosen)
    extractors, failures = open_extractors(features, download, device) if needs_features else ([], [])
    published = _published(reference, extractors) if reference else None
    references: dict[tuple[int, int], Reference] = {}
    mirrored = data is not None or not all(looks_one_way(Path(path)) for path in paths)

    def reference_of(key: tuple[int, int]) -> Reference:
        if key not in references:
            pictures = load_pictures(
                data, image_size=key[0], channels=key[1], attributes=["auto"], cache=cache, progress=report,
                avatars_mirrored=mirrored,
            )  # fmt: skip
            references[key] = Reference(pictures, cache)
        return references[key]

    look = LookInProcesses(pool, features, download, str(choose_device(device))) if pool else None
    evaluation = Evaluation()
    errors: list[KaoganError] = []
    namesakes = Counter(Path(path).name for path in paths)
    for path in map(Path, paths):
        began, source = time.monotonic(), None
        try:
            source = open_image_source(
                path, count or DEFAULT_COUNT, every_picture=count is None, seed=seed, keep=keep, device=device,
                progress=report,
            )  # fmt: skip
            if namesakes[path.name] > 1:  # runs/kao beside kao, a/faces beside b/faces
                source.name = str(path)
            real = reference_of((source.image_size, source.channels))
            result = evaluate_one(
                source, real, extractors, chosen, seed=seed, published=published, report=report, look=look,
                device=device,
            )  # fmt: skip
        except KaoganError as error:  # the others may still be measured
            if source is not None and isinstance(error, UsageError):  # a wrong --data is wrong for all
                raise
            errors.append(error)
            evaluation.failures.append(Failure(path.name or str(path), str(error)))
            continue
        result.notes += failures
        if data is None and mirrored and looks_one_way(path):
            result.notes.append(
                "learnt from avatars that all look to the right; beside other pictures it is measured against avatars "
                "that look both ways"
            )
        result.seconds = time.monotonic() - began
        evaluation.append(result)
        if on_result is not None:
            on_result(result)
    if not evaluation:
        raise errors[0]
    if write_reference is not None:
        if not extractors:
            raise UsageError("--write-reference needs a metric of features, such as --metrics fid")
        write_statistics(write_reference, evaluation[0].reference.measured(extractors[0], report).features)
    return evaluation


def _check(paths: Sequence[Path], count: int | None, keep: float) -> None:
    """Raise UsageError before hours are spent on some of them."""
    if not paths:
        raise UsageError("name what is to be measured: models, runs or folders of pictures")
    for path in map(Path, paths):
        if not path.exists() and not is_address(path) and str(path) not in model_names():
            raise UsageError(f"no such model, run, folder or zip: {path}")
    if count is not None and count < 2:
        raise UsageError(f"--count must be 2 or more, not {count}")
    check_keep(keep)


@dataclass(frozen=True)
class Published:
    """Statistics of real features that were made elsewhere, and the extractor whose features they are."""

    name: str
    gaussian: Gaussian
    extractor: str


def _published(path: Path, extractors: Sequence[Extractor]) -> Published:
    gaussian = read_statistics(path)
    size = len(gaussian.mean)
    fitting = [extractor.name for extractor in extractors if extractor.size == size]
    if not fitting:
        sizes = ", ".join(f"{extractor.name} {extractor.size}" for extractor in extractors) or "none"
        raise UsageError(
            f"{path} has statistics of {size} numbers, the features have others ({sizes}); those of FID are "
            "--features inception, 2048"
        )
    return Published(path.name, gaussian, fitting[0])


def open_extractors(features: Sequence[str], download: bool, device: str = "cpu") -> tuple[list[Extractor], list[str]]:
    """Those that can be had, and why the others can't. Raises KaoganError when there is none, UsageError for unknown
    names and for one with two files."""
    extractors, failures = [], []
    errors: list[KaoganError] = []
    names = Counter(word.partition("=")[0] for word in dict.fromkeys(features))
    if twice := next((name for name, times in names.items() if times > 1), None):
        raise UsageError(f"the features {twice} are named with different weights; measure with one after the other")
    for word in dict.fromkeys(features):
        try:
            extractors.append(load_extractor(word, download=download, device=device))
        except UsageError:
            raise
        except KaoganError as error:
            errors.append(error)
            failures.append(f"no {word.partition('=')[0]} features: {error}")
    if not extractors:
        raise (
            errors[0]
            if errors
            else UsageError(f"name at least one kind of features, as in --features {DEFAULT_FEATURES}")
        )
    return extractors, failures


def evaluate_one(
    source: ImageSource,
    reference: Reference,
    extractors: Sequence[Extractor],
    metrics: Sequence[str],
    *,
    seed: int = 0,
    published: Published | None = None,
    report: Progress = no_progress,
    look: Look | None = None,
    device: str = "cpu",
) -> EvaluationResult:
    """Every metric, with every extractor where it needs features; what fails for lack of pictures is noted, and the
    rest goes on. ``look`` measures in other processes, ``device`` has the extractors that single metrics need besides.
    Raises KaoganError when nothing can be computed."""
    if source.count < 2 or len(reference.pictures) < 2:
        raise TooFewSamplesError(
            f"{source.name} against {reference.pictures.source}: one picture says nothing; give more"
        )
    result = EvaluationResult(source, reference, seed, asked=list(metrics))
    chosen = [METRICS[name] for name in metrics]
    on_features = [metric for metric in chosen if metric.needs == "features"]
    on_pictures = [metric for metric in chosen if metric.collector is not None]
    general = len(extractors)
    extractors = [*extractors, *_particular(on_features, extractors, source, device)] if on_features else []
    fewer = min(source.count, len(reference.pictures))
    if fewer < FEW and on_features:
        result.notes.append(
            f"{fewer:,} pictures are few: compare Fréchet distances only at the same counts"
            + (", or use FD∞" if fewer >= LEAST_EXTRAPOLATED else "")
        )

    def collectors() -> list[Collector]:
        made: list[Collector] = [FeatureCollector(extractor) for extractor in extractors]
        return made + [metric.collector() for metric in on_pictures if metric.collector is not None]

    real = reference.collected(collectors(), report, look or look_here)
    batches = source.work() if look else source.batches()
    generated = collect(batches, source.count, collectors(), report, source.name, look or look_here)
    report(0, 0, f"{source.name}: computing")
    for number, extractor in enumerate(extractors):
        result.fingerprints[extractor.name] = extractor.fingerprint
        measured = Measured.of(generated[number]), Measured.of(real[number])
        comparison = FeatureComparison(
            extractor, *measured, seed, source.schema, source.requested, reference.pictures,
            partial(reference.remembered, extractor),
        )  # fmt: skip
        if published is not None and published.extractor == extractor.name:
            name = f"{METRICS['fid'].label('fid', extractor.label)} against {published.name}"
            estimate = against_gaussian(measured[0].features, published.gaussian)
            seen = extractor.name in source.trained_against
            result.rows[f"fid_published/{extractor.name}"] = MetricRow(name, estimate, trained_against=seen)
        for metric in on_features:
            if metric.features == extractor.name or (metric.features is None and number < general):
                _add(result, metric, comparison, extractor)
    for metric, fake, true in zip(on_pictures, generated[len(extractors) :], real[len(extractors) :], strict=True):
        _add(result, metric, PictureComparison(fake, true, seed), None)
    if not result.rows and not source.schema:
        result.notes.append("nothing was asked for, so that no attribute can be right or wrong")
    if not result.rows:
        raise KaoganError(f"{source.name}: no metric could be computed: {'; '.join(result.notes)}")
    return result


def _particular(
    metrics: Sequence[Metric], extractors: Sequence[Extractor], source: ImageSource, device: str
) -> list[Extractor]:
    """Extractors that single metrics need besides: the tagger, where attributes were asked for."""
    there = {extractor.name for extractor in extractors}
    missing = {metric.features for metric in metrics if metric.features} - there
    return [load_extractor(name, device=device) for name in sorted(missing)] if source.schema else []


def _add(result: EvaluationResult, metric: Metric, comparison: Any, extractor: Extractor | None) -> None:
    """The rows, notes and illustrations of one metric."""
    label, end = (extractor.label, f"/{extractor.name}") if extractor else ("", "")
    try:
        estimates = metric.compute(comparison)
    except TooFewSamplesError as error:
        of = f" ({extractor.name})" if extractor else ""
        result.notes.append(f"{metric.name}{of} left out: {error}")
        return
    finally:
        result.notes += [note for note in comparison.notes if note not in result.notes]
        comparison.notes.clear()
    real = metric.against_itself(comparison) if estimates else {}
    seen = extractor is not None and extractor.name in result.source.trained_against
    for key, estimate in estimates.items():
        name = metric.label(key, label)
        result.rows[key + end] = MetricRow(name, estimate, real.get(key), metric.better(key), seen)
    for illustration in comparison.illustrations:
        result.illustrations.setdefault(illustration.title, illustration)
    comparison.illustrations.clear()
