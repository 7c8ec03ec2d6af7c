"""The parts that the pages of ``evaluate`` and ``compare`` are made of. A page is one file, without scripts."""

from __future__ import annotations

import base64
import io
from collections.abc import Iterable, Sequence
from html import escape

import numpy as np
from PIL import Image

from kaogan.core.images import Pictures, grid
from kaogan.metrics.stats.estimate import Estimate

STYLE = """
:root { color-scheme: light dark; --line: #8884; --soft: #8882; }
body { font: 15px/1.5 system-ui, sans-serif; max-width: 1180px; margin: 2rem auto; padding: 0 1rem; }
h1 { font-size: 1.6rem; margin-bottom: .2rem } h2 { margin-top: 2.4rem; border-bottom: 1px solid var(--line) }
h3 { margin-bottom: .4rem }
table { border-collapse: collapse; margin: 1rem 0; display: block; overflow-x: auto }
th, td { padding: .3rem .8rem; border-bottom: 1px solid var(--line); text-align: right; white-space: nowrap }
th:first-child, td:first-child { text-align: left } thead th { border-bottom-width: 2px }
td small { opacity: .65; display: block } td.best { background: #2a9d6f2a } p.soft, .soft { opacity: .75 }
img { max-width: 100%; image-rendering: auto } img.pixels { image-rendering: pixelated }
figure { margin: 1rem 0 } figcaption { opacity: .75; font-size: .9rem }
table.confusion { font-size: 12px }
table.confusion td, table.confusion th { padding: .15rem .35rem; text-align: center }
ul.notes { padding-left: 1.2rem }
"""


def page(title: str, parts: Iterable[str]) -> str:
    body = "\n".join(parts)
    return (
        f'<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><title>{escape(title)}</title>'
        f'<meta name="viewport" content="width=device-width, initial-scale=1"><style>{STYLE}</style></head>\n'
        f"<body>\n{body}\n</body></html>\n"
    )


def number(value: float) -> str:
    """Four significant digits, fixed point."""
    if not np.isfinite(value):
        return "–"
    digits = 0 if abs(value) >= 1000 else max(0, 3 - int(np.floor(np.log10(abs(value) or 1))))
    return f"{value:,.{min(digits, 6)}f}"


def interval(estimate: Estimate) -> str:
    return f"{number(estimate.low)} … {number(estimate.high)}"


def cell(estimate: Estimate | None, best: bool = False) -> str:
    if estimate is None:
        return "<td>–</td>"
    kind = ' class="best"' if best else ""
    return f"<td{kind}>{number(estimate.value)}<small>{interval(estimate)}</small></td>"


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """``rows`` are ready cells (``<td>``); ``head`` is text."""
    top = "".join(f"<th>{escape(word)}</th>" for word in head)
    body = "\n".join(f"<tr>{''.join(row)}</tr>" for row in rows)
    return f"<table><thead><tr>{top}</tr></thead><tbody>\n{body}\n</tbody></table>"


def text(word: str) -> str:
    return f"<td>{escape(word)}</td>"


def picture(pixels: np.ndarray, caption: str = "", scale: int = 1) -> str:
    """uint8 (H, W, C) inside the page, lossless."""
    pixels = pixels.repeat(scale, 0).repeat(scale, 1)
    image = Image.fromarray(pixels[..., 0] if pixels.shape[-1] == 1 else pixels)
    buffer = io.BytesIO()
    image.save(buffer, "WEBP", lossless=True, quality=70, method=4)
    return _figure(buffer.getvalue(), "webp", caption)


def plot(png: bytes, caption: str = "") -> str:
    return _figure(png, "png", caption)


def _figure(data: bytes, kind: str, caption: str) -> str:
    encoded = base64.b64encode(data).decode("ascii")
    below = f"<figcaption>{escape(caption)}</figcaption>" if caption else ""
    return f'<figure><img alt="{escape(caption)}" src="data:image/{kind};base64,{encoded}">{below}</figure>'


def pairs(left: Pictures, right: Pictures, columns: int, gap: int = 2) -> np.ndarray:
    """Each picture with its partner to the right of it, ``columns`` pairs a row."""
    joined = np.concatenate([left, right], 2)
    return grid(joined, columns, 3 * gap)


def confusion(counts: np.ndarray, values: Sequence[str], rows: str, columns: str) -> str:
    """A table of counts, shaded by the share of the row."""
    head = "".join(f"<th>{escape(value)}</th>" for value in values)
    lines = []
    for value, row in zip(values, counts, strict=True):
        total = int(row.sum())
        if not total:
            continue
        cells = "".join(
            f'<td style="background:rgba(31,111,180,{0.75 * count / total:.2f})">{int(count) or ""}</td>'
            for count in row
        )
        lines.append(f"<tr><th>{escape(value)}</th>{cells}<td>{total:,}</td></tr>")
    corner = f"<th>{escape(rows)} ↓ {escape(columns)} →</th>"
    top = f"<thead><tr>{corner}{head}<th>all</th></tr></thead>"
    return f'<table class="confusion">{top}<tbody>{"".join(lines)}</tbody></table>'


def notes(lines: Sequence[str]) -> str:
    if not lines:
        return ""
    return f'<ul class="notes">{"".join(f"<li>{escape(line)}</li>" for line in lines)}</ul>'
