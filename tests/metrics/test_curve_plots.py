"""Curves along a training."""

from __future__ import annotations

from typing import Any

from kaogan.metrics.curve_plots import history


def test_only_what_can_be_compared_is_one_curve() -> None:
    def line(clock: int, *, real: str = "a", count: int = 100, weights: str = "f1") -> dict[str, Any]:
        found = {"value": 1.0, "low": 0.0, "high": 2.0}
        data, features = {"fingerprint": real}, {"tagger": weights}
        return {"clock": clock, "count": count, "data": data, "features": features, "metrics": {"fid/tagger": found}}

    lines = [line(1), line(2, real="b"), line(3, count=50), line(4, weights="f2"), line(5)]
    assert [point.clock for point in history(lines, "fid/tagger")] == [1, 5]
    assert [point.clock for point in history([*lines, line(6) | {"keep": 0.5}], "fid/tagger")] == [1, 5]
    assert history(lines, "kid/tagger") == []
