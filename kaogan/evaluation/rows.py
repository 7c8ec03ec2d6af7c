"""What ``kaogan evaluate`` computes of one subject with one extractor: each metric's rows, beside real against real."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from functools import cached_property
from typing import Any

import numpy as np

from kaogan.core.rng import numpy_generator
from kaogan.evaluation.image_sources import Subject
from kaogan.metrics import density_coverage, diversity, fid, kid, memorization, mind, precision_recall
from kaogan.metrics.attribute_accuracy import Accuracy, accuracy
from kaogan.metrics.features import Extractor
from kaogan.metrics.memorization import Memorisation
from kaogan.metrics.reference import Measured, Reference
from kaogan.metrics.stats.estimate import Estimate, TooFew
from kaogan.metrics.stats.manifold import pair_of
from kaogan.metrics.stats.neighbors import Points
from kaogan.version import __version__


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


@dataclass
class Pair:
    """Generated and real features of one extractor, and two disjoint parts of the real ones as the measure of both."""

    subject: Subject
    reference: Reference
    extractor: Extractor
    fake: Measured
    real: Measured
    seed: int

    @cached_property
    def points(self) -> tuple[Points, Points]:
        """Of the generated and the real pictures, for the metrics that look for neighbours."""
        return pair_of(self.fake.features, self.real.features)

    @cached_property
    def parts(self) -> tuple[Points, Points]:
        """Of two disjoint parts of the real pictures: as many as were generated, at most half; and the rest."""
        order = numpy_generator(self.seed, "evaluate/halves").permutation(len(self.real))
        part, rest = np.sort(order[: self.part_size]), np.sort(order[self.part_size :])
        return pair_of(self.real.features[part], self.real.features[rest])

    @property
    def part_size(self) -> int:
        return min(len(self.fake), len(self.real) // 2)

    @property
    def label(self) -> str:
        return self.extractor.label

    def against_itself(
        self, name: str, compute: Callable[[Points, Points], Sequence[float | None]]
    ) -> list[float | None]:
        """``compute(part, rest)`` of the real features."""

        def work() -> list[float | None]:
            try:
                return list(compute(*self.parts))
            except TooFew:
                return [None] * 2

        what = ["against itself", name, self.part_size, self.seed]
        return list(self.reference.remembered(self.extractor, what, work))

    def bias_factor(self) -> float:
        """A Fréchet distance of equal distributions goes as 1/n + 1/m: from the parts' sizes to the full ones."""
        size = self.part_size
        return (1 / len(self.fake) + 1 / len(self.real)) / (1 / size + 1 / (len(self.real) - size))


def _fid(pair: Pair, result: Result) -> dict[str, Row]:
    name = "FID" if pair.extractor.name == "inception" else f"FD-{pair.label}"
    fake, real = pair.fake.features, pair.real.features
    [itself, infinite] = pair.against_itself(
        "fid",
        lambda a, b: [
            fid.frechet_distance(a.features, b.features),
            _or_none(lambda: fid.extrapolated(a.features, b.features).value),
        ],
    )
    usual = itself * pair.bias_factor() if itself is not None else None
    rows = {"fd": Row(name, fid.with_interval(fake, real), usual)}
    try:
        estimate = fid.extrapolated(fake, real, pair.seed)
        rows["fd_infinite"] = Row(name.replace("FID", "FID∞").replace("FD-", "FD∞-"), estimate, infinite)
    except TooFew as error:
        result.notes.append(f"no extrapolation ({pair.extractor.name}): {error}")
    return rows


def _or_none(compute: Callable[[], float]) -> float | None:
    try:
        return compute()
    except TooFew:
        return None


def _kid(pair: Pair, result: Result) -> dict[str, Row]:
    name = "KID" if pair.extractor.name == "inception" else f"KD-{pair.label}"
    itself = pair.against_itself("kid", lambda a, b: [kid.kernel_distance(a.features, b.features).value])
    return {"kd": Row(name, kid.kernel_distance(pair.fake.features, pair.real.features, pair.seed), itself[0])}


def _mind(pair: Pair, result: Result) -> dict[str, Row]:
    name = "MIND" if pair.extractor.name == "inception" else f"MD-{pair.label}"
    [itself] = pair.against_itself("mind", lambda a, b: [mind.mind(a, b)])[:1]
    # Of equal distributions it goes as 1/n, n the smaller number of pictures.
    usual = itself * pair.part_size / min(len(pair.fake), len(pair.real)) if itself is not None else None
    return {"md": Row(name, mind.with_interval(*pair.points), usual)}


def _precision(pair: Pair, result: Result) -> dict[str, Row]:
    found = precision_recall.with_intervals(*pair.points, seed=pair.seed)
    itself = pair.against_itself("precision", lambda a, b: list(precision_recall.precision_recall(a, b)))
    names = ("precision", "recall")
    return {n: Row(f"{n} ({pair.label})", e, r, "higher") for n, e, r in zip(names, found, itself, strict=True)}


def _density(pair: Pair, result: Result) -> dict[str, Row]:
    found = density_coverage.with_intervals(*pair.points, seed=pair.seed)
    itself = pair.against_itself("density", lambda a, b: list(density_coverage.density_coverage(a, b)))
    names = ("density", "coverage")
    return {n: Row(f"{n} ({pair.label})", e, r, "higher") for n, e, r in zip(names, found, itself, strict=True)}


def _memorisation(pair: Pair, result: Result) -> dict[str, Row]:
    found = memorization.memorisation(*pair.points)
    if result.memory is None:
        result.memory = found
    itself = pair.against_itself("memorisation", lambda a, b: [memorization.memorisation(a, b).copies.value])
    note = f"usual distance to the nearest real picture: {found.usual:.2f} of that between real pictures"
    return {"copies": Row(f"copies ({pair.label})", found.copies, itself[0], note=note)}


def _attributes(pair: Pair, result: Result) -> dict[str, Row]:
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


def _real_accuracy(pair: Pair, name: str, values: tuple[str, ...]) -> float | None:
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


def _diversity(pair: Pair, result: Result) -> dict[str, Row]:
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


def _real_conditions(pair: Pair, name: str, values: Sequence[str]) -> np.ndarray | None:
    """The real pictures' positions among ``values``: by their labels, else as the tagger sees them."""
    pictures = pair.reference.pictures
    if name in pictures.schema.names:
        column = pictures.schema.names.index(name)
        return _translated(pictures.labels[:, column], pictures.schema[name].values, values)
    known: Mapping[str, Sequence[str]] = getattr(getattr(pair.extractor, "tagger", None), "values", {})
    if name in known and name in pair.real.seen:
        return _translated(pair.real.seen[name], known[name], values)
    return None


STEPS: dict[str, Callable[[Pair, Result], dict[str, Row]]] = {
    "fid": _fid,
    "kid": _kid,
    "mind": _mind,
    "precision": _precision,
    "density": _density,
    "memorisation": _memorisation,
    "attributes": _attributes,
    "diversity": _diversity,
}
