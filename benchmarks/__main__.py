"""``python -m benchmarks [NAME...] [--quick] [--write]``: measure kaogan against plain PyTorch and print a table."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Callable
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import torch
import typer

from benchmarks import SET_FOLDER, steps
from benchmarks.timing import Timing
from kaogan.core.device import choose_precision, describe

HERE = Path(__file__).parent
ROOT = HERE.parent
RESULTS, PAGE = HERE / "results.json", ROOT / "docs" / "results" / "benchmarks.md"


@dataclass(frozen=True)
class Row:
    name: str
    reference: str
    kaogan: str
    ratio: str
    target: str
    ok: str
    """yes, no, or - where there is no target."""
    note: str


@dataclass(frozen=True)
class Plan:
    repeats: int
    seconds: float
    images: int
    width: int


def step_row(name: str, timing: Timing, target: float | None, note: str = "") -> Row:
    theirs, ours = timing.seconds["reference"], timing.seconds["kaogan"]
    ratio = theirs / ours
    notes = [note, f"{timing.repeats} repeats", busy(timing.busy)]
    return Row(
        name,
        f"{theirs * 1e3:.0f} ms",
        f"{ours * 1e3:.0f} ms",
        f"{ratio:.2f}×",
        f">= {target}×" if target else "",
        verdict(ratio >= target) if target else "-",
        "; ".join(filter(None, notes)),
    )


def dcgan_step(plan: Plan) -> Row:
    return step_row("dcgan-step", steps.dcgan(plan.repeats, plan.seconds), 1.8)


def wgan_gp_step(plan: Plan) -> Row:
    timing = steps.wgan_gp(plan.repeats, 2 * plan.seconds, plan.width)
    note = f"critic of width {plan.width}; a critic step and a fifth of a generator step"
    return step_row("wgan-gp-step", timing, 2.5, note)


def other_step(name: str) -> Callable[[Plan], Row]:
    def measure(plan: Plan) -> Row:
        timing = steps.other(name)(plan.repeats, plan.seconds)
        return step_row(f"{name}-step", timing, None, "reference: kaogan in float32 and the default layout")

    return measure


def reused_features(plan: Plan) -> Row:
    timing = steps.reused_features(plan.repeats, plan.seconds)
    return step_row("kao-reuse-features", timing, None, "batch 32; reference: kao without training.reuse_features")


def around_the_step(plan: Plan) -> Row:
    found = fresh("train", images=plan.images, **shared("getchu64_12k.zip"))
    parts = {"every step": found["at every step"], **found["at intervals"]}
    share = sum(parts.values())
    note = ", ".join(f"{name} {value:.1%}" for name, value in parts.items())
    return bounded("around-the-step", f"{share:.1%}", share <= 0.05, "<= 5 %", f"{note}; {busy(found['busy'])}")


def start(plan: Plan) -> Row:
    data = shared("getchu64_12k.zip")
    fresh("start", **data)  # fills the cache
    found = sorted((fresh("start", **data) for _ in range(3)), key=lambda each: each["seconds"])[1]
    seconds = found["seconds"]
    note = f"median of 3 processes; {busy(found['busy'])}"
    return bounded("start", f"{seconds:.1f} s", seconds <= 3, "<= 3 s", note)


def memory(plan: Plan) -> Row:
    peak = fresh("memory", images=min(plan.images, 640), **shared("getchu64_12k.zip"))["gigabytes"]
    return bounded("memory", f"{peak:.2f} GB", peak < 1.5, "< 1.5 GB", "peak of a dcgan run, batch 64")


def loader(plan: Plan) -> Row:
    archive = SET_FOLDER / "konachan96_tagged7k.zip"
    if not archive.exists():
        return skipped("loader", f"no {archive.name} in {SET_FOLDER}")
    with tempfile.TemporaryDirectory() as folder:  # never in the project: the pictures have no licence
        with zipfile.ZipFile(archive) as opened:
            opened.extractall(folder)
        found = fresh("loader", folder=folder)
    ratio = found["kaogan"] / found["reference"]
    return Row(
        "loader",
        f"{found['reference']:.0f} images/s",
        f"{found['kaogan']:.0f} images/s",
        f"{ratio:.2f}×",
        "",
        "-",
        f"96 px to 64 px; the reference decodes again in each epoch, kaogan once for all runs; {busy(found['busy'])}",
    )


BENCHMARKS: dict[str, Callable[[Plan], Row]] = {
    "dcgan-step": dcgan_step,
    "wgan-gp-step": wgan_gp_step,
    "acgan-step": other_step("acgan"),
    "bamsgan-step": other_step("bamsgan"),
    "kao-reuse-features": reused_features,
    "around-the-step": around_the_step,
    "start": start,
    "memory": memory,
    "loader": loader,
}


def bounded(name: str, value: str, ok: bool, target: str, note: str) -> Row:
    return Row(name, "", value, "", target, verdict(ok), note)


def skipped(name: str, reason: str) -> Row:
    return Row(name, "", "skipped", "", "", "-", reason)


def verdict(ok: bool) -> str:
    return "yes" if ok else "no"


def busy(share: float) -> str:
    return f"others used {share:.0%} of the machine"


def shared(name: str) -> dict[str, str]:
    """The shared set if it is here; without it, avatars take its place."""
    return {"data": str(SET_FOLDER / name)} if (SET_FOLDER / name).exists() else {}


def fresh(what: str, **settings: Any) -> dict[str, Any]:
    """A measurement of benchmarks/fresh.py in a process of its own."""
    words = [f"{key}={value}" for key, value in settings.items()]
    command = [sys.executable, "-m", "benchmarks.fresh", what, *words]
    done = subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.PIPE, text=True)
    return dict(json.loads(done.stdout.splitlines()[-1]))


def machine() -> str:
    cpu = torch.device("cpu")
    precision, threads = choose_precision("auto", cpu), torch.get_num_threads()
    return f"{describe(cpu)}; PyTorch {torch.__version__}, {threads} threads, kaogan in {precision}"


def table(rows: list[Row]) -> str:
    """The rows as Markdown, aligned to be read as plain text as well."""
    titles = ("name", "reference", "kaogan", "ratio", "target", "ok", "note")
    cells = [titles, *(tuple(asdict(row).values()) for row in rows)]
    widths = [max(len(line[column]) for line in cells) for column in range(len(titles))]
    lines = [
        "| " + " | ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)) + " |" for line in cells
    ]
    lines.insert(1, "|" + "|".join("-" * (width + 2) for width in widths) + "|")
    return "\n".join(lines)


def write(rows: list[Row]) -> None:
    """benchmarks/results.json and docs/results/benchmarks.md; rows that were not measured now are kept."""
    today = datetime.now(UTC).date().isoformat()
    before = json.loads(RESULTS.read_text(encoding="utf-8"))["rows"] if RESULTS.exists() else []
    known = {row["name"]: Row(**row) for row in before} | {row.name: row for row in rows}
    ordered = [known[name] for name in BENCHMARKS if name in known]
    content = {"machine": machine(), "date": today, "rows": [asdict(row) for row in ordered]}
    RESULTS.write_text(json.dumps(content, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    PAGE.write_text(
        f"# Benchmarks\n\nMade by `python -m benchmarks --write` on {today}.\n{machine()}.\n\n"
        "Ratios within one process, medians of interleaved repeats, batch 64, against a plain loop in the way of\n"
        "PyTorch's DCGAN example (`benchmarks/reference.py`): float32, default layout, default Adam. In float32 both\n"
        f"give the same weights within rounding (`tests/training/test_reference_loop.py`).\n\n{table(ordered)}\n",
        encoding="utf-8",
    )


def main(
    names: Annotated[list[str] | None, typer.Argument(help="which; all when none is named")] = None,
    quick: Annotated[bool, typer.Option(help="three repeats of everything, to see that it works")] = False,
    save: Annotated[bool, typer.Option("--write", help="write results.json and docs/results/benchmarks.md")] = False,
    width: Annotated[int, typer.Option(help="of wgan-gp's critic; 256 is the published, for a patient machine")] = 64,
) -> None:
    """Measure kaogan against plain PyTorch. Close everything else first."""
    unknown = [name for name in names or [] if name not in BENCHMARKS]
    if unknown:
        raise typer.BadParameter(f"no benchmark '{unknown[0]}'; there are {', '.join(BENCHMARKS)}")
    plan = Plan(3, 0, 320, width) if quick else Plan(25, 25, 1280, width)
    print(machine(), f"load {os.getloadavg()[0]:.1f}", flush=True)
    rows = []
    for name in names or BENCHMARKS:
        print(f"{name} ...", file=sys.stderr, flush=True)
        rows.append(BENCHMARKS[name](plan))
    print(table(rows))
    if save:
        write(rows)


if __name__ == "__main__":
    typer.run(main)
