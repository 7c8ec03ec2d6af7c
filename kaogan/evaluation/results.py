"""Results of an evaluation: the rows of one image source, as lines of metrics.jsonl and for tables."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from typing import Any

from kaogan.evaluation.image_sources import ImageSource
from kaogan.metrics.comparison import Illustration
from kaogan.metrics.reference import Reference
from kaogan.metrics.registry import Better
from kaogan.metrics.stats.estimate import Estimate
from kaogan.version import __version__

ARROWS: Mapping[str, str] = {"lower": "↓", "higher": "↑", "one": "→ 1"}
TRAINED_MARK = "†"
TRAINED_FOOTNOTE = (
    f"{TRAINED_MARK} measured with a network that this model was trained against: it flatters the model and must not "
    "decide"
)


@dataclass(frozen=True)
class MetricRow:
    """One number of one image source, with the value that real pictures reach against real pictures."""

    name: str
    estimate: Estimate
    real: float | None = None
    better: Better = "lower"
    trained_against: bool = False
    """Whether the model was trained on the network that measures."""


@dataclass
class EvaluationResult:
    """Everything measured of one image source."""

    source: ImageSource
    reference: Reference
    seed: int = 0
    asked: list[str] = field(default_factory=list)
    """The metrics that were asked for, also those that could not be computed."""
    rows: dict[str, MetricRow] = field(default_factory=dict)
    illustrations: dict[str, Illustration] = field(default_factory=dict)
    """For the page, by title."""
    notes: list[str] = field(default_factory=list)
    fingerprints: dict[str, str] = field(default_factory=dict)
    """Of the extractors, by name."""
    seconds: float = 0.0

    def to_json(self) -> dict[str, Any]:
        pictures = self.reference.pictures
        return {
            "time": datetime.now(UTC).isoformat(timespec="seconds"),
            "kaogan": __version__,
            "subject": self.source.name,
            **self.source.facts,
            "count": self.source.count,
            "seed": self.seed,
            "image_size": self.source.image_size,
            "data": {"source": pictures.source, "count": len(pictures), "fingerprint": pictures.fingerprint},
            "features": self.fingerprints,
            "asked": self.asked,
            "metrics": {
                key: {
                    **asdict(row.estimate), "name": row.name, "real": row.real, "better": row.better,
                    "trained_against": row.trained_against,
                }
                for key, row in self.rows.items()
            },
            "notes": [*self.source.notes, *self.notes],
            "seconds": round(self.seconds, 1),
        }  # fmt: skip


@dataclass(frozen=True)
class Failure:
    """A source that could not be measured, and why."""

    name: str
    reason: str
