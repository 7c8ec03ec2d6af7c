"""The metric object and the registry METRICS: names, keys, direction, needs, computation and words of each metric."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from kaogan.core.errors import UsageError
from kaogan.core.registry import Registry

if TYPE_CHECKING:
    from kaogan.metrics.collect import Collector
    from kaogan.metrics.stats.estimate import Estimate

DEFAULT_FEATURES = "efficientnet"
"""The extractor of distances where none is named: one that nothing in kaogan is trained against."""

DEFAULT_COUNT = 10_000
"""Pictures of a generator that are measured where no count is named."""

Better = Literal["lower", "higher", "one"]
"""Which values are better: small ones, large ones, or those near 1."""


@dataclass(frozen=True)
class Metric:
    """One metric. Its file registers it; runner, training, pages, help and recipes read everything from here."""

    name: str
    """The word that users type."""
    keys: Mapping[str, Better]
    """The numbers it gives. A key that ends in ``_`` stands for one number an attribute: ``accuracy_`` + ``hair``."""
    summary: str
    """A few words for ``--help``."""
    reading: str
    """A sentence for the page: how to read the numbers."""
    label: Callable[[str, str], str]
    """(key, label of the extractor or "") -> the printed name."""
    compute: Callable[[Any], Mapping[str, Estimate]]
    """A FeatureComparison, or a PictureComparison where ``needs`` is "pictures", -> estimates by key. May raise
    TooFewSamplesError; may add to the comparison's notes and illustrations."""
    against_itself: Callable[[Any], Mapping[str, float | None]]
    """The same comparison -> what real pictures reach against real ones, by key."""
    needs: Literal["features", "pictures"] = "features"
    """features: computed for each extractor; pictures: once, from what ``collector`` makes of the pictures."""
    features: str | None = None
    """The one extractor that it works with; None: any."""
    collector: Callable[[], Collector] | None = None
    """Of metrics that need pictures."""
    in_training: Callable[[Any], Mapping[str, Estimate]] | None = None
    """A cheaper ``compute`` for the measurements of a training; None: the same."""
    training_keys: Sequence[str] = field(default=())
    """Keys that a training measures on its way, the one that chooses the best model first; none: too dear, or without
    meaning there."""

    def better(self, key: str) -> Better:
        """The direction of one of its keys. Raises KeyError for another metric's."""
        if key in self.keys:
            return self.keys[key]
        return next(better for known, better in self.keys.items() if known.endswith("_") and key.startswith(known))


METRICS: Registry[Metric] = Registry(
    "metric",
    {
        "fid": "kaogan.metrics.fid",
        "kid": "kaogan.metrics.kid",
        "mind": "kaogan.metrics.mind",
        "precision": "kaogan.metrics.precision_recall",
        "density": "kaogan.metrics.density_coverage",
        "memorization": "kaogan.metrics.memorization",
        "attributes": "kaogan.metrics.attribute_accuracy",
        "diversity": "kaogan.metrics.diversity",
        "fixed_share": "kaogan.metrics.fixed_share",
        "power_ratio": "kaogan.metrics.power_ratio",
    },
)

ALIASES = {"memorisation": "memorization", "recall": "precision", "coverage": "density"}
OLD_KEYS = {"fd": "fid", "fd_infinite": "fid_infinite", "kd": "kid", "md": "mind"}


def metric_names(chosen: Sequence[str]) -> list[str]:
    """The metrics by the words that were typed, all of them for none. Raises UsageError."""
    wanted = [ALIASES.get(word, word) for word in chosen]
    for word in wanted:
        METRICS[word]
    return [name for name in METRICS if not wanted or name in wanted]


def training_metrics(names: Sequence[str]) -> list[Metric]:
    """The metrics that ``eval.metrics`` of a recipe names. Raises UsageError for one that no training can measure."""
    metrics = [METRICS[ALIASES.get(name, name)] for name in names]
    for metric in metrics:
        if not metric.training_keys:
            possible = ", ".join(name for name, other in METRICS.items() if other.training_keys)
            raise UsageError(f"eval.metrics: {metric.name} is not measured while training; choose of {possible}")
    return metrics


def current_key(key: str) -> str:
    """A key of a file of an older version (``fd/tagger``) as it is called today (``fid/tagger``)."""
    name, slash, extractor = key.partition("/")
    return OLD_KEYS.get(name, name) + slash + extractor


def current_line(line: Mapping[str, Any]) -> dict[str, Any]:
    """A line of metrics.jsonl under today's keys."""
    metrics = line.get("metrics")
    if not isinstance(metrics, Mapping):
        return dict(line)
    return {**line, "metrics": {current_key(str(key)): value for key, value in metrics.items()}}


def current_stats_line(line: Mapping[str, Any]) -> dict[str, Any]:
    """A line of stats.jsonl under today's keys: ``eval/fd_low`` is ``eval/fid_low``."""
    return {_current_stat(key): value for key, value in line.items()}


def _current_stat(key: str) -> str:
    if not key.startswith("eval/"):
        return key
    name = key.removeprefix("eval/")
    for end in ("_low", "_high", ""):
        if name.endswith(end):
            return f"eval/{current_key(name.removesuffix(end))}{end}"
    return key


def metric_of(key: str) -> Metric | None:
    """The metric that ``key`` (``recall/tagger``, ``accuracy_hair/tagger``) is of; None for one that is not known."""
    name = key.partition("/")[0]
    for _, metric in METRICS.items():
        if any(name == known or (known.endswith("_") and name.startswith(known)) for known in metric.keys):
            return metric
    return None


def cost_of(better: Better, value: float) -> float:
    """``value`` as something to be made small."""
    if better == "higher":
        return -value
    if better == "one":
        return abs(math.log(value)) if value > 0 else math.inf
    return value


def cost(key: str, value: float) -> float:
    """``value`` of ``key`` (``recall/tagger``) as something to be made small; of unknown keys as it is."""
    metric = metric_of(key)
    return cost_of(metric.better(key.partition("/")[0]), value) if metric else value
