"""One plain sentence about a measurement: how good, compared with what."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from kaogan.evaluation.tables import number


def verdict(name: str, metrics: Mapping[str, Mapping[str, Any]], among: int = 1) -> str:
    """Of the metrics of a line of metrics.jsonl, by key; empty where none of them says how good pictures are.

    What was measured with a network that the model was trained against is left out. With ``among`` models it is the
    sentence about the first of them.
    """
    fair = {key: found for key, found in metrics.items() if not found.get("trained_against")}
    by_features = {key.partition("/")[2] for key in fair if key.startswith(("fid/", "precision/"))}
    extractor = next((key.partition("/")[2] for key in fair if key.partition("/")[2] in by_features), None)
    parts = []
    if found := fair.get(f"precision/{extractor}"):
        real = found.get("real")
        shown = f" ({_hundred(real)} of real ones do)" if real is not None else ""
        parts.append(f"of 100 pictures of {name}, {_hundred(found['value'])} look like real ones{shown}")
    if found := fair.get(f"recall/{extractor}"):
        real = found.get("real")
        shown = f" (real ones {_hundred(real)} %)" if real is not None else ""
        parts.append(f"they show {_hundred(found['value'])} % of the real variety{shown}")
    if found := fair.get(f"fid/{extractor}"):
        real = found.get("real")
        shown = f", where real pictures are {number(real)} from each other" if real is not None else ""
        whose = "their" if parts else f"{name}'s"
        parts.append(f"{whose} {found.get('name', 'Fréchet distance')} is {number(found['value'])}{shown}")
    if not parts:
        return ""
    first = f"{name} comes nearest of {among}: " if among > 1 else ""
    return f"In short: {first}{'; '.join(parts)}."


def _hundred(share: float) -> str:
    return f"{100 * share:.0f}"
