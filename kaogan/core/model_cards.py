"""Model cards in Markdown: the front matter that the Hugging Face hub reads, and the cards of auxiliary networks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import yaml

from kaogan.core.text import one_line

CARD = "README.md"


def front_matter(
    licence: str, task: str, tags: Sequence[str] = (), *, name: str = "", data: str = "",
    results: Mapping[str, float] | None = None,
) -> str:  # fmt: skip
    """``licence`` ("" if none is told) and ``task`` are words of the hub; ``results`` are of ``name``, on ``data``."""
    front: dict[str, Any] = {
        "license": licence or "other", "library_name": "kaogan", "pipeline_tag": task, "tags": ["kaogan", *tags],
    }  # fmt: skip
    if results:
        metrics = [{"type": key, "name": key, "value": round(value, 6)} for key, value in results.items()]
        dataset = {"name": data or "unknown", "type": data or "unknown"}
        front["model-index"] = [
            {"name": name, "results": [{"task": {"type": task}, "dataset": dataset, "metrics": metrics}]}
        ]
    return f"---\n{yaml.safe_dump(front, sort_keys=False)}---"


def auxiliary_card(
    title: str, what: str, facts: Mapping[str, str], *, licence: str, task: str, tags: Sequence[str] = (),
    data: str = "", results: Mapping[str, float] | None = None, more: str = "",
) -> str:  # fmt: skip
    """The card of a network that is no generator: what it is, a table of facts, figures, and ``more`` in Markdown."""
    rows = {**facts, "licence": licence or "other", **{key: f"{value:g}" for key, value in (results or {}).items()}}
    table = [f"| {one_line(key)} | {one_line(value).replace('|', '/')} |" for key, value in rows.items() if value]
    parts = [
        front_matter(licence, task, tags, name=title, data=data, results=results),
        f"# {one_line(title)}",
        what,
        "\n".join(["| | |", "|---|---|", *table]),
        more,
    ]
    return "\n\n".join(part.strip() for part in parts if part) + "\n"
