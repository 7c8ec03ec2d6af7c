"""The dry run of the benchmark that is meant for a card: every kind of case, tiny and on the CPU."""

from __future__ import annotations

import contextlib
import json
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch

from benchmarks import gpu
from kaogan.config import recipes
from kaogan.config.recipe import Recipe
from kaogan.core import rng
from kaogan.losses.extras import instance_noise
from kaogan.training.sampler import InfiniteSampler


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


def test_gradients_are_compared_under_the_same_noise(monkeypatch: pytest.MonkeyPatch) -> None:
    """Noise maps, noise of path lengths and on pictures, with a card's way of drawing in the place of the CPU's."""
    load, noisy = recipes.load, {"generator.use_noise": True, "extras.instance_noise.amount": 0.1}
    monkeypatch.setattr(recipes, "load", lambda name, changes=(): load(name, {**noisy, **dict(changes)}))
    wanted = gpu.first_gradients("stylegan2-64", "cpu", "fp32", 0.0, True)

    def on_card(shape: Sequence[int], generator: torch.Generator, device: torch.device) -> torch.Tensor:
        return torch.randn(
            shape, generator=torch.Generator().manual_seed(int(torch.randint(99, (), generator=generator)))
        )

    for module in list(sys.modules.values()):
        if module.__name__.startswith("kaogan.") and getattr(module, "randn", None) is rng.randn:
            monkeypatch.setattr(module, "randn", on_card)
    monkeypatch.setattr(
        instance_noise, "noise_like", lambda images, random: on_card(images.shape, random, images.device)
    )
    got = gpu.first_gradients("stylegan2-64", "cpu", "fp32", 0.0, True)
    assert all(torch.equal(a, b) for a, b in zip(wanted, got, strict=True))


def test_a_speed_is_that_of_a_training(monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[object] = []

    @contextlib.contextmanager
    def numerics(recipe: Recipe, device: torch.device, precision: str) -> Iterator[None]:
        told.append(precision)
        yield
        told.append("put back")

    def timed(*_: object, **__: object) -> float:
        told.append("timed")
        return 1.0

    def sampler(*arguments: Any) -> InfiniteSampler:
        told.append(arguments[-1])
        return InfiniteSampler(*arguments)

    for replacement in (numerics, timed):
        monkeypatch.setattr(gpu, replacement.__name__, replacement)
    monkeypatch.setattr(gpu, "InfiniteSampler", sampler)
    gpu.fast("dcgan", 16, 8, "cpu", 0.0, True)
    assert told == [torch.device("cpu"), "fp32", "timed", "put back"]
