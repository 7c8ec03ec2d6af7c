"""Every published recipe, through the registry: it trains, resumes bit for bit, saves, loads and samples."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch

import kaogan
from kaogan.config import recipes
from kaogan.core import checkpoint
from tests.small import small, train


def newest(run: Path) -> tuple[dict[str, torch.Tensor], dict]:
    return checkpoint.load(checkpoint.find(run / "checkpoints")[-1])


def same(a: Path, b: Path) -> None:
    """The two runs' newest checkpoints and models are equal bit for bit."""
    (first, state_a), (second, state_b) = newest(a), newest(b)
    assert state_a["clock"] == state_b["clock"]
    assert first.keys() == second.keys()
    for name, tensor in first.items():
        assert torch.equal(tensor, second[name]), name
    assert (a / "model/model.safetensors").read_bytes() == (b / "model/model.safetensors").read_bytes()


@pytest.mark.parametrize("name", recipes.names())
def test_trains_resumes_bit_for_bit_saves_loads_and_samples(name: str, tmp_path: Path) -> None:
    n_critic = recipes.load(name).training.n_critic
    total = 8 * n_critic * 3
    # Stopped between two steps of the critic where there are several: the hardest place to go on from.
    half = 8 * (n_critic + max(1, n_critic // 2))
    whole = train(small(name, **{"training.images": total}), tmp_path / "whole")
    assert whole.finished and whole.images_seen == total
    train(small(name, **{"training.images": half}), tmp_path / "parts")
    first_half, _ = newest(tmp_path / "parts")
    train(small(name, **{"training.images": total}), tmp_path / "parts")
    same(tmp_path / "whole", tmp_path / "parts")

    end, _ = newest(tmp_path / "whole")
    for network in ("generator", "discriminator", "ema"):
        weights = [k for k in end if k.startswith(f"{network}/") and k.endswith("weight")]
        assert any(not torch.equal(end[k], first_half[k]) for k in weights), f"{network} does not learn"

    model = kaogan.load(tmp_path / "whole")
    pictures = model.sample(3, seed=1)
    assert pictures.shape == (3, model.image_size, model.image_size, 3) and pictures.dtype == np.uint8
    assert pictures.std() > 0
    assert bool(model.attributes) == bool(recipes.load(name).attributes.names)


def test_bf16_resumes_bit_for_bit(tmp_path: Path) -> None:
    settings = {"run.precision": "bf16", "extras.instance_noise.amount": 0.1, "objective.label_flip": 0.2}
    train(small("bamsgan", **settings), tmp_path / "whole")
    train(small("bamsgan", **settings, **{"training.images": 24}), tmp_path / "parts")
    train(small("bamsgan", **settings), tmp_path / "parts")
    same(tmp_path / "whole", tmp_path / "parts")


def test_another_seed_is_another_run(tmp_path: Path) -> None:
    train(small("dcgan"), tmp_path / "a")
    train(small("dcgan", **{"run.seed": 1}), tmp_path / "b")
    with pytest.raises(AssertionError):
        same(tmp_path / "a", tmp_path / "b")


def test_what_a_run_leaves(tmp_path: Path) -> None:
    recipe = small("acgan", **{"run.grid_every": 16, "run.checkpoint_every": 16, "run.keep_every": 32})
    train(recipe, tmp_path / "run")
    run = tmp_path / "run"
    for name in ("recipe.yaml", "log.txt", "stats.jsonl", "real.png", "loss.png", "attributes.png", "progress.gif",
                 "progress.mp4", "model/config.json", "model/model.safetensors", "model/README.md",
                 "model/preview.png"):  # fmt: skip
        assert (run / name).stat().st_size > 0, name
    assert list((run / "tensorboard").iterdir())
    assert [p.name for p in sorted((run / "grids").iterdir())] == [f"{c:09d}.png" for c in (0, 16, 32, 48)]
    assert [p.name for p in checkpoint.find(run / "checkpoints")] == [checkpoint.name_at(c) for c in (32, 48)]
    assert recipes.load(run / "recipe.yaml") == recipe
    lines = [json.loads(line) for line in (run / "stats.jsonl").read_text().splitlines()]
    assert [line["clock"] for line in lines] == [8, 16, 24, 32, 40, 48]
    assert {"loss_d", "loss_g", "real_score", "fake_score", "accuracy", "attributes_d/hair", "attributes_g/eyes",
            "images_per_second"} <= lines[-1].keys()  # fmt: skip
    log = (run / "log.txt").read_text()
    for word in ("setting optim.lr = 0.0002", "machine:", "torch", "parameters: generator", "finished at 48 images"):
        assert word in log
    card = (run / "model/README.md").read_text()
    assert "acgan" in card and "48" in card and "24" in card
