"""Cards of all shipped networks: the gallery's models, kao, the tagger, the face detector, the upscalers.

python -m tools.write_cards     from their configurations, docs/gallery/metrics.md and tools/cards.yaml
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

from kaogan.core.atomic_io import write_text
from kaogan.core.model_cards import CARD, auxiliary_card
from kaogan.evaluation.page import measured_words
from kaogan.generate.latent_filter import FILTER
from kaogan.generate.model import load
from kaogan.generate.model_card import card
from kaogan.generate.model_io import CONFIG, MODELS

ROOT = Path(__file__).resolve().parent.parent
GALLERY = ROOT / "docs" / "gallery"
SETTINGS = yaml.safe_load((Path(__file__).parent / "cards.yaml").read_text(encoding="utf-8"))
WAYS = {"↓": "lower", "↑": "higher", "→ 1": "one"}


def cards() -> Iterator[tuple[Path, str]]:
    """The file of each card and its text."""
    measured = gallery_lines()
    kao = SETTINGS["kao"]
    measured["kao"] = kao | {
        "metrics": {
            name: {"name": name, "value": value, "low": low, "high": high, "real": real, "better": better}
            for name, (value, low, high, real, better) in kao["metrics"].items()
        }
    }
    for folder in sorted([*(GALLERY / "models").iterdir(), *MODELS.iterdir()]):
        config = json.loads((folder / CONFIG).read_text(encoding="utf-8"))
        line = measured[folder.name]
        shown = " The picture shows all latents (`--keep 1`)." if (folder / FILTER).exists() else ""
        text = card(
            config,
            license=SETTINGS["licence"],
            rights=f"{SETTINGS['rights']} More about its quality: {line['page']}.{shown}",
            **measured_words(line),
            latent_filter=load(folder, "cpu").latent_filter if (folder / FILTER).exists() else None,
        )
        yield folder / CARD, text
    for path, words in SETTINGS["auxiliary"].items():
        more = f"{words['more']}\n{SETTINGS['rights']}"
        yield ROOT / path, auxiliary_card(**words | {"more": more}, licence=SETTINGS["licence"])


def gallery_lines() -> dict[str, dict[str, Any]]:
    """Model -> its row of docs/gallery/metrics.md, in the form of a line of metrics.jsonl."""
    text = (GALLERY / "metrics.md").read_text(encoding="utf-8")
    lines = [line.strip("|").split("|") for line in text.splitlines() if "|" in line]
    head, _, *rows = [[cell.strip() for cell in line] for line in lines]
    real = rows.pop()
    found = {}
    for name, _, *cells in rows:
        metrics = {}
        for title, cell, perfect in zip(head[2:], cells, real[2:], strict=True):
            if numbers := [float(word.replace(",", "")) for word in re.findall(r"-?[\d,]*\.?\d+", cell)]:
                value, low, high = numbers
                words, _, arrow = title.rpartition(" ")
                metrics[words] = {
                    "name": words, "value": value, "low": low, "high": high, "better": WAYS[arrow],
                    "real": float(perfect) if perfect != "–" else None,
                    "trained_against": "†" in cell,
                }  # fmt: skip
        data = {"source": "getchu64_12k.zip", "count": 12_000}
        found[name] = {"count": 2_000, "data": data, "metrics": metrics, "page": "docs/gallery/metrics.md"}
    return found


def main() -> None:
    for path, text in cards():
        write_text(path, text)


if __name__ == "__main__":
    main()
