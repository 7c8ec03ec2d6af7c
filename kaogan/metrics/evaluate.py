"""``kaogan evaluate``: any mix of models, runs and pictures against one set of real pictures."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from kaogan.data import load_pictures
from kaogan.errors import KaoganError, UsageError, nearest
from kaogan.metrics import density_coverage, diversity, frechet, kernel, memorisation, precision_recall
from kaogan.metrics.attributes import Accuracy, accuracy
from kaogan.metrics.checks import Estimate, TooFew
from kaogan.metrics.features import Extractor, load_extractor
from kaogan.metrics.memorisation import Memorisation
from kaogan.metrics.reference import Measured, Reference, measure
from kaogan.metrics.subjects import Subject, open_subject
from kaogan.randomness import numpy_generator
from kaogan.version import __version__

COUNT = 10_000
LEAST_SAID = 2_000  # pictures below which a Fréchet distance is mostly its own bias
METRICS = {
    "fid": "Fréchet distance, and extrapolated to infinite samples",
    "kid": "kernel distance",
    "precision": "precision and recall",
    "density": "density and coverage",
    "memorisation": "copies of training pictures",
    "attributes": "whether the attributes asked for are seen",
    "diversity": "variety within one condition",
}
Report = Callable[[int, int, str], None]  # done, in all, what


# The numbers of those metrics that a training may measure on its way, by the words of METRICS.
KEYS = {"fid": ["fd"], "kid": ["kd"], "precision": ["precision", "recall"], "density": ["density", "coverage"]}


def in_training(metrics: Sequence[str], fake: np.ndarray, real: np.ndarray, seed: int) -> dict[str, Estimate]:
    """Estimates by the keys of KEYS."""
    found: dict[str, Estimate] = {}
    for word in metrics:
        if word == "fid":
            found["fd"] = frechet.with_interval(fake, real)
        elif word == "kid":
            found["kd"] = kernel.kernel_distance(fake, real, seed)
        elif word == "precision":
            found |= zip(KEYS[word], precision_recall.with_intervals(fake, real, seed=seed), strict=True)
        else:
            found |= zip(KEYS[word], density_coverage.with_intervals(fake, real, seed=seed), strict=True)
    return found


@dataclass(frozen=True)
class Row:
    """One number of one subject, with the value that real pictures reach against real pictures."""

    name: str
    estimate: Estimate
    real: float | None = None
    better: str = "lower"
    note: str = ""


@dataclass
class Result:
    """Everything measured of one subject."""

    subject: Subject
    rows: dict[str, Row] = field(default_factory=dict)
    accuracies: dict[str, Accuracy] = field(default_factory=dict)
    memory: Memorisation | None = None
    notes: list[str] = field(default_factory=list)
    fingerprints: dict[str, str] = field(default_factory=dict)
    reference: Reference | None = None
    seed: int = 0
    seconds: float = 0.0

    def to_json(self) -> dict[str, Any]:
        reference = self.reference.pictures if self.reference else None
        return {
            "time": datetime.now(UTC).isoformat(timespec="seconds"),
            "kaogan": __version__,
            "subject": self.subject.name,
            **self.subject.facts,
            "count": self.subject.count,
            "seed": self.seed,
            "image_size": self.subject.image_size,
            "data": {"source": reference.source, "count": len(reference), "fingerprint": reference.fingerprint}
            if reference
            else None,
            "features": self.fingerprints,
            "metrics": {
                key: {**asdict(row.estimate), "name": row.name, "real": row.real, "better": row.better}
                for key, row in self.rows.items()
            },
            "notes": [*self.subject.notes, *self.notes],
            "seconds": round(self.seconds, 1),
        }


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
    that does not work is a note of the result; only when none works it is an error. Raises UsageError, KaoganError.
    """
    chosen = metric_names(metrics)
    if not paths:
        raise UsageError("name what is to be measured: models, runs or folders of pictures")
    if count is not None and count < 2:
        raise UsageError(f"--count must be 2 or more, not {count}")
    extractors, failures = open_extractors(features, download)
    references: dict[tuple[int, int], Reference] = {}
    results = []
    for path in paths:
        began = time.monotonic()
        subject = open_subject(
            Path(path), count or COUNT, every_picture=count is None, seed=seed, device=device, progress=report
        )
        key = subject.image_size, subject.channels
        if key not in references:
            references[key] = Reference(
                load_pictures(
                    data, image_size=key[0], channels=key[1], attributes=["auto"], cache=cache, progress=report
                ),
                cache,
            )
        result = evaluate_one(subject, references[key], extractors, chosen, seed=seed, report=report)
        result.notes += failures
        result.seconds = time.monotonic() - began
        results.append(result)
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
            f"{fewer:,} pictures are few: compare Fréchet distances only at the same counts, or use FD∞"
        )
    for extractor in extractors:
        result.fingerprints[extractor.name] = extractor.fingerprint
        real = reference.measured(extractor, lambda d, t: report(d, t, f"real pictures, {extractor.name}"))  # noqa: B023
        what = f"{subject.name}, {extractor.name}"
        fake = measure(extractor, subject.batches(), subject.count, lambda d, t: report(d, t, what))  # noqa: B023
        report(0, 0, f"{what}: computing")
        measured = _Pair(subject, reference, extractor, fake, real, seed)
        for name in metrics:
            try:
                rows = STEPS[name](measured, result)
            except TooFew as error:
                result.notes.append(f"{name} ({extractor.name}) left out: {error}")
                continue
            result.rows |= {f"{key}/{extractor.name}": row for key, row in rows.items()}
    if not result.rows:
        raise KaoganError(f"{subject.name}: no metric could be computed: {'; '.join(result.notes)}")
    return result


@dataclass
class _Pair:
    """Generated and real features of one extractor, and two disjoint parts of the real ones as the measure of both."""

    subject: Subject
    reference: Reference
    extractor: Extractor
    fake: Measured
    real: Measured
    seed: int

    @property
    def label(self) -> str:
        return self.extractor.label

    def against_itself(
        self, name: str, compute: Callable[[np.ndarray, np.ndarray], Sequence[float | None]]
    ) -> list[float | None]:
        """``compute(part, rest)`` of the real features; ``part`` as many as the generated ones, at most half."""
        size = min(len(self.fake), len(self.real) // 2)

        def work() -> list[float | None]:
            order = numpy_generator(self.seed, "evaluate/halves").permutation(len(self.real))
            part, rest = np.sort(order[:size]), np.sort(order[size:])
            try:
                return list(compute(self.real.features[part], self.real.features[rest]))
            except TooFew:
                return [None] * 2

        return list(self.reference.remembered(self.extractor, ["against itself", name, size, self.seed], work))

    def bias_factor(self) -> float:
        """A Fréchet distance of equal distributions goes as 1/n + 1/m: from the parts' sizes to the full ones."""
        size = min(len(self.fake), len(self.real) // 2)
        return (1 / len(self.fake) + 1 / len(self.real)) / (1 / size + 1 / (len(self.real) - size))


def _fid(pair: _Pair, result: Result) -> dict[str, Row]:
    name = "FID" if pair.extractor.name == "inception" else f"FD-{pair.label}"
    fake, real = pair.fake.features, pair.real.features
    [itself, infinite] = pair.against_itself(
        "fid", lambda a, b: [frechet.frechet_distance(a, b), _or_none(lambda: frechet.extrapolated(a, b).value)]
    )
    usual = itself * pair.bias_factor() if itself is not None else None
    rows = {"fd": Row(name, frechet.with_interval(fake, real), usual)}
    try:
        estimate = frechet.extrapolated(fake, real, pair.seed)
        rows["fd_infinite"] = Row(name.replace("FID", "FID∞").replace("FD-", "FD∞-"), estimate, infinite)
    except TooFew as error:
        result.notes.append(f"no extrapolation ({pair.extractor.name}): {error}")
    return rows


def _or_none(compute: Callable[[], float]) -> float | None:
    try:
        return compute()
    except TooFew:
        return None


def _kid(pair: _Pair, result: Result) -> dict[str, Row]:
    name = "KID" if pair.extractor.name == "inception" else f"KD-{pair.label}"
    itself = pair.against_itself("kid", lambda a, b: [kernel.kernel_distance(a, b).value])
    return {"kd": Row(name, kernel.kernel_distance(pair.fake.features, pair.real.features, pair.seed), itself[0])}


def _precision(pair: _Pair, result: Result) -> dict[str, Row]:
    found = precision_recall.with_intervals(pair.fake.features, pair.real.features, seed=pair.seed)
    itself = pair.against_itself("precision", lambda a, b: list(precision_recall.precision_recall(a, b)))
    names = ("precision", "recall")
    return {n: Row(f"{n} ({pair.label})", e, r, "higher") for n, e, r in zip(names, found, itself, strict=True)}


def _density(pair: _Pair, result: Result) -> dict[str, Row]:
    found = density_coverage.with_intervals(pair.fake.features, pair.real.features, seed=pair.seed)
    itself = pair.against_itself("density", lambda a, b: list(density_coverage.density_coverage(a, b)))
    names = ("density", "coverage")
    return {n: Row(f"{n} ({pair.label})", e, r, "higher") for n, e, r in zip(names, found, itself, strict=True)}


def _memorisation(pair: _Pair, result: Result) -> dict[str, Row]:
    found = memorisation.memorisation(pair.fake.features, pair.real.features)
    if result.memory is None:
        result.memory = found
    itself = pair.against_itself("memorisation", lambda a, b: [memorisation.memorisation(a, b).copies.value])
    note = f"usual distance to the nearest real picture: {found.usual:.2f} of that between real pictures"
    return {"copies": Row(f"copies ({pair.label})", found.copies, itself[0], note=note)}


def _attributes(pair: _Pair, result: Result) -> dict[str, Row]:
    """Only the tagger can tell; only of what it knows."""
    rows = {}
    schema, known = pair.subject.schema, getattr(getattr(pair.extractor, "tagger", None), "values", {})
    for column, attribute in enumerate(schema.attributes):
        if attribute.name not in known:
            if known:
                result.notes.append(f"the tagger knows nothing of '{attribute.name}': no accuracy")
            continue
        values = tuple(known[attribute.name])
        asked = _translated(pair.subject.asked[:, column], attribute.values, values)
        try:
            found = accuracy(asked, pair.fake.seen[attribute.name], values)
        except TooFew as error:
            result.notes.append(f"no accuracy of '{attribute.name}': {error}")
            continue
        result.accuracies[attribute.name] = found
        rows[f"accuracy_{attribute.name}"] = Row(
            f"{attribute.name} as asked", found.accuracy, _real_accuracy(pair, attribute.name, values), "higher"
        )
    return rows


def _translated(labels: np.ndarray, asked: Sequence[str], known: Sequence[str]) -> np.ndarray:
    """Positions among ``asked`` -> positions among ``known``, -1 where there is no such value."""
    table = np.array([*(known.index(value) if value in known else -1 for value in asked), -1], np.int64)
    return table[labels]


def _real_accuracy(pair: _Pair, name: str, values: tuple[str, ...]) -> float | None:
    """What the tagger makes of the labels of the real pictures, if they have any."""
    pictures = pair.reference.pictures
    if name not in pictures.schema.names or name not in pair.real.seen:
        return None
    column = pictures.schema.names.index(name)
    labels = _translated(pictures.labels[:, column], pictures.schema[name].values, values)
    try:
        return accuracy(labels, pair.real.seen[name], values).accuracy.value
    except TooFew:
        return None


def _diversity(pair: _Pair, result: Result) -> dict[str, Row]:
    """Within each value of each attribute that the model was asked for, else within all pictures."""
    fake, real = pair.fake.features, pair.real.features
    rows = {}
    for column, attribute in enumerate(pair.subject.schema.attributes):
        conditions = _real_conditions(pair, attribute.name, attribute.values)
        if conditions is None:
            continue
        try:
            mean, _ = diversity.diversity(fake, pair.subject.asked[:, column], real, conditions, pair.seed)
        except TooFew as error:
            result.notes.append(f"no variety within {attribute.name}: {error}")
            continue
        rows[f"diversity_{attribute.name}"] = Row(
            f"variety within {attribute.name} ({pair.label})", mean, 1.0, "higher"
        )
    if not rows:
        mean, _ = diversity.diversity(fake, np.zeros(len(fake), int), real, np.zeros(len(real), int), pair.seed)
        rows["diversity"] = Row(f"variety ({pair.label})", mean, 1.0, "higher")
    return rows


def _real_conditions(pair: _Pair, name: str, values: Sequence[str]) -> np.ndarray | None:
    """The real pictures' positions among ``values``: by their labels, else as the tagger sees them."""
    pictures = pair.reference.pictures
    if name in pictures.schema.names:
        column = pictures.schema.names.index(name)
        return _translated(pictures.labels[:, column], pictures.schema[name].values, values)
    known: Mapping[str, Sequence[str]] = getattr(getattr(pair.extractor, "tagger", None), "values", {})
    if name in known and name in pair.real.seen:
        return _translated(pair.real.seen[name], known[name], values)
    return None


STEPS: dict[str, Callable[[_Pair, Result], dict[str, Row]]] = {
    "fid": _fid,
    "kid": _kid,
    "precision": _precision,
    "density": _density,
    "memorisation": _memorisation,
    "attributes": _attributes,
    "diversity": _diversity,
}
