"""``kaogan evaluate``."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.markup import escape

from kaogan.cli._console import console, progress_bar
from kaogan.cli._options import Device, listed

if TYPE_CHECKING:
    from kaogan.evaluation.rows import Result

EPILOG = (
    "Features: tagger (kaogan's own), mobilenet (an independent second opinion), inception (the FID of the papers), "
    "dinov2, clip, wd-tagger, illustration2vec; NAME=FILE names the weights. What each number means: docs/metrics.md"
)


def evaluate(
    subjects: Annotated[
        list[Path], typer.Argument(metavar="MODEL|RUN|FOLDER|ZIP...", help="What to measure, in any mixture.")
    ],
    data: Annotated[
        Path | None, typer.Option(metavar="SET", help="The real pictures: a folder or a zip. Without it: avatars.")
    ] = None,
    metrics: Annotated[
        str,
        typer.Option(
            metavar="A,B", help="fid, kid, mind, precision, density, memorisation, attributes, diversity. (all)"
        ),
    ] = "",
    features: Annotated[str, typer.Option(metavar="A,B", help="What looks at the pictures.")] = "tagger",
    count: Annotated[
        int | None, typer.Option(metavar="N", help="Pictures drawn from a model (10,000); taken of a folder (all).")
    ] = None,
    seed: Annotated[int, typer.Option(metavar="K", help="Same seed, same pictures, same numbers.")] = 0,
    out: Annotated[
        Path | None, typer.Option(metavar="FILE.html", help="The page. (evaluation.html, in the run if it is one)")
    ] = None,
    markdown: Annotated[Path | None, typer.Option(metavar="FILE.md", help="Also write the table as Markdown.")] = None,
    download: Annotated[bool, typer.Option("--download", help="Fetch weights that are not here.")] = False,
    device: Device = "auto",
) -> None:
    """Measure models, runs and pictures against real ones: a table, a page, metrics.jsonl in each run."""
    from kaogan.core.atomic_io import write_text
    from kaogan.evaluation import page as evaluation_page
    from kaogan.evaluation.runner import evaluate as run

    with progress_bar("measuring") as update:
        results = run(
            subjects, data, metrics=listed(metrics), features=listed(features) or ["tagger"], count=count, seed=seed,
            download=download, device=device, report=lambda done, total, what: update(done, total or None, what),
        )  # fmt: skip
    print_results(results)
    evaluation_page.append_lines(results)
    only = results[0].subject.run if len(results) == 1 else None
    page = evaluation_page.write_page(results, out or (only or Path()) / "evaluation.html")
    console.print(escape(f"The page: {page}"), soft_wrap=True)
    if markdown:
        write_text(markdown, evaluation_page.markdown(results))


def print_results(results: Sequence[Result]) -> None:
    """One table of all, then what there is to say of each."""
    from rich.table import Table

    from kaogan.evaluation.html import interval, number
    from kaogan.evaluation.page import row_keys

    reference = results[0].reference
    assert reference is not None
    console.print(
        escape(f"Against {len(reference.pictures):,} real pictures of {reference.pictures.source}; 95 % intervals"),
        soft_wrap=True,
    )
    heads = [f"{escape(result.subject.name)}\n{result.subject.count:,} pictures" for result in results]
    table = Table("", *heads, "real against real", box=None, padding=(0, 2, 0, 0))
    for key in row_keys(results):
        rows = [result.rows.get(key) for result in results]
        known = next(row for row in rows if row is not None)
        cells = [
            "–" if row is None else f"{number(row.estimate.value)}  [dim]{interval(row.estimate)}[/]" for row in rows
        ]
        real = next((row.real for row in rows if row is not None and row.real is not None), None)
        arrow = "↓" if known.better == "lower" else "↑"
        table.add_row(f"{escape(known.name)} {arrow}", *cells, "–" if real is None else number(real))
    console.print(table)
    for result in results:
        for note in [*result.subject.notes, *result.notes]:
            console.print(escape(f"{result.subject.name}: {note}"), soft_wrap=True)
