"""``kaogan evaluate``: any mix of models, runs and pictures against one set of real pictures."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from kaogan.core.errors import KaoganError, UsageError, nearest
from kaogan.data import load_pictures
from kaogan.evaluation.image_sources import Subject, open_subject
from kaogan.evaluation.rows import STEPS, Pair, Result
from kaogan.metrics import density_coverage, fid, kid, mind, precision_recall
from kaogan.metrics.features import Extractor, load_extractor
from kaogan.metrics.reference import Reference, measure
from kaogan.metrics.stats.estimate import Estimate, TooFew

COUNT = 10_000
LEAST_SAID = 2_000  # pictures below which a Fréchet distance is mostly its own bias
METRICS = {
    "fid": "Fréchet distance, and extrapolated to infinite samples",
    "kid": "kernel distance",
    "mind": "sliced Wasserstein distance",
    "precision": "precision and recall",
    "density": "density and coverage",
    "memorisation": "copies of training pictures",
    "attributes": "whether the attributes asked for are seen",
    "diversity": "variety within one condition",
}
Report = Callable[[int, int, str], None]  # done, in all, what


# The numbers of those metrics that a training may measure on its way, by the words of METRICS.
KEYS = {
    "fid": ["fd"],
    "kid": ["kd"],
    "mind": ["md"],
    "precision": ["precision", "recall"],
    "density": ["density", "coverage"],
}


def in_training(metrics: Sequence[str], fake: np.ndarray, real: np.ndarray, seed: int) -> dict[str, Estimate]:
    """Estimates by the keys of KEYS."""
    found: dict[str, Estimate] = {}
    for word in metrics:
        if word == "fid":
            found["fd"] = fid.with_interval(fake, real)
        elif word == "kid":
            found["kd"] = kid.kernel_distance(fake, real, seed)
        elif word == "mind":
            found["md"] = mind.with_interval(fake, real)
        elif word == "precision":
            found |= zip(KEYS[word], precision_recall.with_intervals(fake, real, seed=seed), strict=True)
        else:
            found |= zip(KEYS[word], density_coverage.with_intervals(fake, real, seed=seed), strict=True)
    return found


def metric_names(chosen: Sequence[str]) -> list[str]:
    """The metrics by their words, all of them for none. Raises UsageError."""
    for word in chosen:
        if word not in METRICS:
            raise UsageError(f"unknown metric '{word}'{nearest(word, METRICS)}")
    return [name for name in METRICS if not chosen or name in chosen]


def evaluate(
    paths: Sequence[Path],
    data: Path | str | None,
    *,
    metrics: Sequence[str] = (),
    features: Sequence[str] = ("tagger",),
    count: int | None = None,
    seed: int = 0,
    download: bool = False,
    device: str = "auto",
    cache: Path | None = None,
    report: Report = lambda done, total, what: None,
) -> list[Result]:
    """Measure each of ``paths`` against the real pictures ``data`` (None: the avatars).

    ``count`` pictures are drawn from a model (10,000), or at most taken of a folder (all). An extractor or a metric
    that does not work is a note of the result, and so is a path with nothing to be measured beside others; only when
    none works it is an error. Raises UsageError, KaoganError.
    """
    chosen = metric_names(metrics)
    if not paths:
        raise UsageError("name what is to be measured: models, runs or folders of pictures")
    if count is not None and count < 2:
        raise UsageError(f"--count must be 2 or more, not {count}")
    extractors, failures = open_extractors(features, download)
    references: dict[tuple[int, int], Reference] = {}

    def reference_of(key: tuple[int, int]) -> Reference:
        if key not in references:
            pictures = load_pictures(
                data, image_size=key[0], channels=key[1], attributes=["auto"], cache=cache, progress=report
            )
            references[key] = Reference(pictures, cache)
        return references[key]

    results: list[Result] = []
    errors: list[KaoganError] = []
    for path in map(Path, paths):
        began = time.monotonic()
        try:
            subject = open_subject(
                path, count or COUNT, every_picture=count is None, seed=seed, device=device, progress=report
            )
            real = reference_of((subject.image_size, subject.channels))
            result = evaluate_one(subject, real, extractors, chosen, seed=seed, report=report)
        except UsageError:
            raise
        except KaoganError as error:  # the others may still be measured
            errors.append(error)
            continue
        result.notes += failures
        result.seconds = time.monotonic() - began
        results.append(result)
    if not results:
        raise errors[0]
    results[-1].notes += [f"not measured: {error}" for error in errors]
    return results


def open_extractors(features: Sequence[str], download: bool) -> tuple[list[Extractor], list[str]]:
    """Those that can be had, and why the others can't. Raises KaoganError when there is none."""
    extractors, failures = [], []
    errors: list[KaoganError] = []
    for word in dict.fromkeys(features):
        try:
            extractors.append(load_extractor(word, download=download))
        except UsageError:
            raise
        except KaoganError as error:
            errors.append(error)
            failures.append(f"no {word.partition('=')[0]} features: {error}")
    if not extractors:
        raise errors[0] if errors else UsageError("name at least one kind of features, as in --features tagger")
    return extractors, failures


def evaluate_one(
    subject: Subject,
    reference: Reference,
    extractors: Sequence[Extractor],
    metrics: Sequence[str],
    *,
    seed: int = 0,
    report: Report = lambda done, total, what: None,
) -> Result:
    """Every metric with every extractor; what fails for lack of pictures is noted, and the rest goes on."""
    if subject.count < 2 or len(reference.pictures) < 2:
        raise TooFew(f"{subject.name} against {reference.pictures.source}: one picture says nothing; give more")
    result = Result(subject, reference=reference, seed=seed)
    if subject.count < LEAST_SAID or len(reference.pictures) < LEAST_SAID:
        fewer = min(subject.count, len(reference.pictures))
        result.notes.append(
            f"{fewer:,} pictures are few: compare Fréchet distances only at the same counts"
            + (", or use FD∞" if fewer >= fid.LEAST_EXTRAPOLATED else "")
        )
    for extractor in extractors:
        result.fingerprints[extractor.name] = extractor.fingerprint
        real = reference.measured(extractor, lambda d, t: report(d, t, f"real pictures, {extractor.name}"))  # noqa: B023
        what = f"{subject.name}, {extractor.name}"
        fake = measure(extractor, subject.batches(), subject.count, lambda d, t: report(d, t, what))  # noqa: B023
        report(0, 0, f"{what}: computing")
        measured = Pair(subject, reference, extractor, fake, real, seed)
        for name in metrics:
            try:
                rows = STEPS[name](measured, result)
            except TooFew as error:
                result.notes.append(f"{name} ({extractor.name}) left out: {error}")
                continue
            result.rows |= {f"{key}/{extractor.name}": row for key, row in rows.items()}
    if not result.rows and not subject.schema:
        result.notes.append("nothing was asked for, so that no attribute can be right or wrong")
    if not result.rows:
        raise KaoganError(f"{subject.name}: no metric could be computed: {'; '.join(result.notes)}")
    return result
