"""``kaogan models``."""

from __future__ import annotations

import json
from typing import Any

from rich.markup import escape

from kaogan.cli._console import console, print_table

EPILOG = "Example:  kaogan sample kao --count 16"


def models() -> None:
    """List the generators that come with kaogan."""
    from rich.table import Table

    from kaogan.generate.model_io import CONFIG, MODELS, WEIGHTS, model_names

    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in ("model", "pictures", "attributes", "size", "what it is"):
        table.add_column(column)
    for name in model_names():
        config: dict[str, Any] = json.loads((MODELS / name / CONFIG).read_text(encoding="utf-8"))
        attributes = ", ".join(str(each["name"]) for each in config.get("attributes", ())) or "none"
        size = f"{(MODELS / name / WEIGHTS).stat().st_size / 1e6:.1f} MB"
        side = f"{config['image_size']} px"
        table.add_row(*map(escape, (name, side, attributes, size, str(config.get("summary", "")))))
    print_table(table)
    console.print(
        "Draw with them by name: kaogan sample NAME. More come from your own trainings (kaogan train), from weights of "
        "other programs (kaogan import), and from folders that somebody shares (kaogan sample FOLDER).",
        soft_wrap=True,
    )
