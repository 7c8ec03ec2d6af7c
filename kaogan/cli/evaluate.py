"""``kaogan evaluate``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.markup import escape

from kaogan.cli._console import console, errors, print_table, progress_report
from kaogan.cli._options import Device, Processes, split_list
from kaogan.metrics.registry import DEFAULT_FEATURES, METRICS

if TYPE_CHECKING:
    from kaogan.evaluation.results import EvaluationResult
    from kaogan.evaluation.runner import Evaluation

EPILOG = (
    "Features: efficientnet (nothing is trained against it), mobilenet, tagger (it sees hair and eyes), inception (the "
    "FID of the papers), dinov2, clip, wd-tagger, illustration2vec; NAME=FILE names the weights. What each number "
    "means: docs/reference/metrics.md"
)


def evaluate(
    subjects: Annotated[
        list[Path], typer.Argument(metavar="MODEL|RUN|FOLDER|ZIP...", help="What to measure, in any mixture.")
    ],
    data: Annotated[
        Path | None,
        typer.Option(metavar="SET", help="The real pictures: a folder, a zip, shards. Without it: avatars."),
    ] = None,
    metrics: Annotated[
        str,
        typer.Option(metavar="A,B", help=f"{', '.join(METRICS)}. (all)"),
    ] = "",
    features: Annotated[str, typer.Option(metavar="A,B", help="Feature extractors. (efficientnet)")] = "",
    count: Annotated[
        int | None, typer.Option(metavar="N", help="Pictures drawn from a model (10,000); taken of a folder (all).")
    ] = None,
    seed: Annotated[int, typer.Option(metavar="K", help="Same seed, same pictures, same numbers.")] = 0,
    keep: Annotated[
        float, typer.Option(metavar="X", help="Draw from the best X of the latents of models that have a filter.")
    ] = 1.0,
    out: Annotated[
        Path | None, typer.Option(metavar="FILE.html", help="The page. (evaluation.html, in the run if it is one)")
    ] = None,
    markdown: Annotated[Path | None, typer.Option(metavar="FILE.md", help="Also write the table as Markdown.")] = None,
    reference: Annotated[
        Path | None,
        typer.Option(metavar="FILE.npz", help="Also the Fréchet distance from published statistics (mu, sigma)."),
    ] = None,
    write_reference: Annotated[
        Path | None, typer.Option(metavar="FILE.npz", help="Write those of SET, for other programs.")
    ] = None,
    download: Annotated[bool, typer.Option("--download", help="Fetch weights that are not here.")] = False,
    device: Device = "auto",
    processes: Processes = None,
) -> None:
    """Measure models, runs and pictures against real ones: a table, a page, metrics.jsonl in each run."""
    from kaogan.cli._processes import worker_pool
    from kaogan.core.atomic_io import write_text
    from kaogan.core.errors import KaoganError
    from kaogan.evaluation import page as evaluation_page
    from kaogan.evaluation.runner import evaluate as run

    unwritten: list[KaoganError] = []

    def remember(result: EvaluationResult) -> None:
        try:
            evaluation_page.append_lines([result])
            evaluation_page.write_cards([result])
        except KaoganError as error:  # a full disk: the others are measured and shown all the same
            unwritten.append(error)

    with worker_pool(processes, device) as pool, progress_report("measuring") as report:
        evaluation = run(
            subjects, data, metrics=split_list(metrics), features=split_list(features) or [DEFAULT_FEATURES],
            count=count, seed=seed, keep=keep, download=download, device=device, reference=reference,
            write_reference=write_reference, report=report, pool=pool, on_result=remember,
        )  # fmt: skip
    try:
        print_results(evaluation)
    finally:  # an output that is full or gone costs no page
        page = evaluation_page.write_page(evaluation, out) if out else evaluation_page.write_default_page(evaluation)
    if unwritten:
        raise unwritten[0]
    for sentence in evaluation_page.verdicts(evaluation):
        console.print(escape(sentence), soft_wrap=True)
    console.print(escape(f"The page: {page}"), soft_wrap=True)
    if write_reference:
        console.print(escape(f"The statistics: {write_reference}"), soft_wrap=True)
    if markdown:
        write_text(markdown, evaluation_page.markdown(evaluation))
        console.print(escape(f"The table: {markdown}"), soft_wrap=True)
    if evaluation.failures:
        raise typer.Exit(1)


def print_results(results: Evaluation) -> None:
    """One table of all, then what there is to say of each, and what could not be measured."""
    from rich.table import Table

    from kaogan.evaluation import tables
    from kaogan.evaluation.results import TRAINED_FOOTNOTE

    pictures = results[0].reference.pictures
    console.print(
        escape(f"Against {len(pictures):,} real pictures of {pictures.source}; 95 % intervals"), soft_wrap=True
    )
    heads = [f"{escape(result.source.name)}\n{result.source.count:,} pictures" for result in results]
    table = Table("", *heads, "real against real", box=None, padding=(0, 2, 0, 0))
    for key in tables.row_keys(results):
        cells = []
        for result in results:
            row = result.rows.get(key)
            shown = tables.cell(row.estimate if row else None, mark=tables.mark(row))
            cells.append("–" if shown is None else f"{shown.value}  [dim]{shown.interval}[/]")
        known = tables.first_row(results, key)
        table.add_row(escape(tables.heading(known.name, known.better)), *cells, tables.real_value(results, key))
    print_table(table)
    if tables.marked(results):
        console.print(TRAINED_FOOTNOTE, soft_wrap=True)
    for result in results:
        for note in [*result.source.notes, *result.notes]:
            console.print(escape(f"{result.source.name}: {note}"), soft_wrap=True)
    for failure in results.failures:
        errors.print(escape(f"{failure.name} was not measured: {failure.reason}"), style="red", soft_wrap=True)
