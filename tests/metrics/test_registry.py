"""The registry of metrics: every part says what it must, and a metric from outside goes through everything."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from kaogan.core.errors import UsageError
from kaogan.core.images import Pictures
from kaogan.data.avatars import write_set
from kaogan.evaluation.page import markdown, write_page
from kaogan.evaluation.runner import evaluate
from kaogan.metrics.comparison import PictureComparison
from kaogan.metrics.registry import METRICS, Metric, cost, current_key, metric_names, metric_of
from kaogan.metrics.stats.estimate import Estimate


def test_every_metric_says_what_it_must() -> None:
    seen: set[str] = set()
    for name, metric in METRICS.items():
        assert metric.name == name and metric.summary and metric.reading.endswith(".")
        assert not seen & set(metric.keys)
        seen |= set(metric.keys)
        assert (metric.needs == "pictures") == (metric.collector is not None)
        assert set(metric.training_keys) <= set(metric.keys)
        for key, better in metric.keys.items():
            assert metric.label(key, "Inception") and better in ("lower", "higher", "one")
            assert metric_of(f"{key}/tagger") is metric


def test_words_and_keys_of_older_versions() -> None:
    assert metric_names(["memorisation", "fid"]) == ["fid", "memorization"]
    assert metric_names(["recall", "precision", "coverage"]) == ["precision", "density"]
    assert [current_key(key) for key in ("fd/tagger", "md", "kd/x", "fd_infinite/y", "recall/tagger")] == [
        "fid/tagger", "mind", "kid/x", "fid_infinite/y", "recall/tagger"
    ]  # fmt: skip
    with pytest.raises(UsageError, match="unknown metric 'fidd'"):
        metric_names(["fidd"])


def test_directions() -> None:
    assert cost("fid/tagger", 3) == 3 and cost("recall/tagger", 0.3) == -0.3 and cost("unheard of", 2) == 2
    assert cost("power_30", 0.5) == pytest.approx(cost("power_30", 2.0)) and cost("power_30", 1) == 0
    assert cost("power_30", 0) == np.inf


class MeanBrightness:
    """The mean brightness of each picture."""

    name, fingerprint = "brightness", "b0"

    def __init__(self) -> None:
        self.values: list[float] = []

    def add(self, pictures: Pictures) -> None:
        self.values += pictures.mean((1, 2, 3)).tolist()

    def arrays(self) -> dict[str, np.ndarray]:
        return {"values": np.array(self.values)}


@pytest.fixture
def brightness(monkeypatch: pytest.MonkeyPatch) -> Metric:
    def compute(comparison: PictureComparison) -> Mapping[str, Estimate]:
        difference = abs(float(comparison.generated["values"].mean() - comparison.real["values"].mean()))
        return {"brightness": Estimate(difference, difference, difference)}

    metric = Metric(
        name="brightness", keys={"brightness": "lower"}, summary="difference of mean brightness",
        reading="Brightness: how much lighter or darker.", label=lambda key, extractor: "brightness", compute=compute,
        against_itself=lambda comparison: {"brightness": 0.0}, needs="pictures", collector=MeanBrightness,
        training_keys=("brightness",),
    )  # fmt: skip
    for part in ("_parts", "_homes"):
        monkeypatch.setattr(METRICS, part, dict(getattr(METRICS, part)))
    return METRICS.register("brightness", metric, home="somebody's plug-in")


def test_a_metric_from_outside(brightness: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One object is enough: it is computed, cached, printed, explained, and may choose the best model of a training."""
    monkeypatch.setenv("KAOGAN_CACHE", str(tmp_path / "cache"))
    real, other = (write_set(tmp_path / f"set{seed}", 12, 16, seed) for seed in (0, 1))
    results = evaluate([other, real], real, metrics=["brightness"], features=["no such"])
    assert results[0].rows["brightness"].estimate.value > 0 == results[1].rows["brightness"].estimate.value
    page = write_page(results, tmp_path / "page.html").read_text()
    assert "brightness ↓" in page and "how much lighter or darker" in page
    assert "brightness ↓" in markdown(results)

    from kaogan.config import recipes

    assert recipes.load("dcgan", {"eval.metrics": ["brightness"]}).eval.metrics == ("brightness",)
