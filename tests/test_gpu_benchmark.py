"""The dry run of the benchmark that is meant for a card: every kind of case, tiny and on the CPU."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from benchmarks import gpu


def test_the_dry_run_measures_and_finds_nothing_wrong(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert gpu.main(["--dry-run", "--seconds", "0.05", "--out", str(tmp_path)]) == 0
    chip, fast, plain, right = (json.loads(line) for line in (tmp_path / "gpu.jsonl").read_text().splitlines())
    assert chip["torch"] == torch.__version__
    assert fast["images/s"] > 0 and plain["images/s"] > 0
    assert right["wrong"] == [] and (tmp_path / "run-stylegan2-64/model").is_dir()
    # Against itself float32 is exact; bf16 is not, in any of the four steps: how far off depends on the processor
    # (0.2 or 0.45 of a gradient so small); a gradient of nothing would be 1 off.
    assert [[g["error"] for g in right[p]["cpu fp32"]] for p in ("p=0.0", "p=0.6")] == [[0.0] * 4] * 2
    assert all(0 < gradient["error"] < 0.8 for gradient in right["p=0.6"]["cpu bf16"])
    table = capsys.readouterr().out.splitlines()
    assert len(table) == 5 and table[0].startswith("case")


def test_a_case_that_fails_costs_its_own_line(tmp_path: Path) -> None:
    told = gpu.measured(["right", "nothing"], "cpu", tmp_path, 0.1, True)
    assert told["case"] == "right nothing" and "unknown recipe" in told["wrong"][0]
    assert gpu.table([told]).splitlines()[1].startswith("right nothing")
