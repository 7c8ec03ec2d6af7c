"""The examples of docs/how-to/plugins.md, run as they stand there."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file

import kaogan
from kaogan.config import recipes
from kaogan.core.errors import UsageError
from kaogan.core.loaded_plugins import LOADED
from kaogan.data import load_pictures
from kaogan.data.avatars import write_set
from kaogan.data.formats import FORMATS, convert, detect
from kaogan.losses.extras import EXTRAS
from kaogan.metrics.registry import METRICS
from tests.cli.conftest import run
from tests.plugins.test_plugins import TINY, WORDS

__all__ = ["run"]

Example = Callable[[str], Path]


def test_the_metric_by_hand(example: Example) -> None:
    (plugin,) = kaogan.load_plugins([example("spread.py")])
    assert plugin.parts == ("metric spread",)
    random = np.random.default_rng(0)
    real = random.normal(size=(4000, 8))
    comparison = type("Comparison", (), {})()
    comparison.real = type("Measured", (), {"features": real})
    comparison.generated = type("Measured", (), {"features": random.normal(0, 0.5**0.5, size=(4000, 8))})
    found = METRICS["spread"].compute(comparison)["spread"]
    assert found.low < 0.5 < found.high and found.high - found.low < 0.1


def test_the_metric_in_evaluate_and_in_training(run: Any, example: Example, tmp_path: Path) -> None:
    path = example("spread.py")
    write_set(tmp_path / "faces", 64, 16)
    said = run("evaluate", tmp_path / "faces", "--data", tmp_path / "faces", "--plugin", path, "--metrics", "spread",
               "--features", "tagger")  # fmt: skip
    assert said.code == 0 and "spread" in said.out, said
    words = ["--eval.every", 8, "--eval.metrics", "spread", "--eval.features", "tagger", "--eval.pictures", 48]
    trained = run("train", "dcgan", *WORDS, *words, "--plugin", path, "--out", tmp_path / "run")
    assert trained.code == 0, trained
    rows = [json.loads(line) for line in (tmp_path / "run" / "stats.jsonl").read_text().splitlines()]
    assert any("eval/spread" in row for row in rows), rows


def test_the_format_reads_writes_and_trains(example: Example, tmp_path: Path) -> None:
    (plugin,) = kaogan.load_plugins([example("name_tags.py")])
    assert plugin.parts == ("format name-tags",)
    (tmp_path / "faces").mkdir()
    for number, (hair, eyes) in enumerate([("pink", "blue"), ("black", "red")] * 8):
        pixels = np.full((16, 16, 3), number, np.uint8)
        Image.fromarray(pixels).save(tmp_path / "faces" / f"{hair}_{eyes}_{number:05d}.png")
    assert detect(tmp_path / "faces") is FORMATS["name-tags"]
    pictures = load_pictures(tmp_path / "faces", image_size=16, attributes=["auto"])
    assert pictures.schema.names == ("hair", "eyes") and {"pink", "black"} <= set(pictures.schema["hair"].values)
    result = convert(tmp_path / "faces", tmp_path / "copy", "name-tags")
    assert result.written == 16
    assert sorted(p.name for p in (tmp_path / "copy").iterdir())[:2] == ["black_red_00000.png", "black_red_00001.png"]
    model = kaogan.train("acgan", tmp_path / "faces", tmp_path / "run", **TINY)
    assert model.attributes.names == ("hair", "eyes")
    (tmp_path / "faces" / "other.png").write_bytes((tmp_path / "faces" / "pink_blue_00000.png").read_bytes())
    assert detect(tmp_path / "faces").name == "flat"


def test_the_extra_trains_and_is_resumed(example: Example, tmp_path: Path) -> None:
    (plugin,) = kaogan.load_plugins([example("flip_consistency.py")])
    assert plugin.parts == ("extra flip_consistency",)
    weight = {"extras.flip_consistency.weight": 10.0}
    assert recipes.load("dcgan").extras.flip_consistency.weight == 0
    with pytest.raises(UsageError, match=r"'extras\.flip_consistency\.weight'"):
        recipes.load("dcgan", {"extras.flip_consistency.weight": -1})

    def weights(out: str, **settings: Any) -> Any:
        kaogan.train("dcgan", out=tmp_path / out, **(TINY | settings))
        (newest,) = list((tmp_path / out / "checkpoints").iterdir())[-1:]
        return load_file(newest)["discriminator/trunk.0.weight"]

    assert torch.equal(weights("a"), weights("off", **{"extras.flip_consistency.weight": 0.0}))
    changed = weights("on", **weight)
    assert not torch.equal(weights("a"), changed)

    LOADED.clear()
    EXTRAS._parts.pop("flip_consistency")
    kaogan.train("dcgan", out=tmp_path / "on", **(TINY | {"training.images": 32} | weight))
    assert len(LOADED) == 1


def test_unknown_metrics_of_a_training() -> None:
    with pytest.raises(UsageError, match=r"eval\.metrics.*did you mean 'fid'"):
        recipes.load("dcgan", {"eval.metrics": ["fit"]})
