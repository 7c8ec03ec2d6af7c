"""Measuring while training: recorded, resumable, harmless, and able to stop a run that no longer improves."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from kaogan.config import recipes
from kaogan.core.errors import KaoganError, UsageError
from kaogan.core.images import Pictures
from kaogan.core.training_loop import TrainResult
from kaogan.metrics.features import FeaturesOnly
from kaogan.metrics.stats.estimate import Estimate
from kaogan.training import evaluator, plots
from kaogan.training.data import load_data
from kaogan.training.evaluator import MIN_PICTURES, Evaluator, affordable
from kaogan.training.train import train as run_training
from tests.training.conftest import make_pictures
from tests.training.runs import contents, recipe, stats_of


class Quarters(FeaturesOnly):
    name, label, size, fingerprint = "quarters", "quarters", 12, "q1"

    def __call__(self, pictures: Pictures) -> np.ndarray:
        n, h, w, _ = pictures.shape
        return pictures.reshape(n, 2, h // 2, 2, w // 2, 3).mean((2, 4), dtype=np.float64).reshape(n, 12).astype("f4")


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(plots, "film", lambda *_: None)
    monkeypatch.setattr(plots, "loss_plot", lambda *_: None)
    monkeypatch.setattr(evaluator, "load_extractor", lambda word, **_: Quarters())
    monkeypatch.setenv("KAOGAN_CACHE", str(tmp_path / "cache"))


def train(out: Path, **overrides: Any) -> TrainResult:
    settings = {"eval.every": 16, "eval.pictures": 64} | overrides
    return run_training(recipe(**settings), make_pictures(40), out)


def measured(out: Path) -> list[dict[str, float]]:
    return [line for line in stats_of(out) if "eval/count" in line]


def test_values_plot_and_best_model(tmp_path: Path) -> None:
    train(tmp_path / "run", **{"eval.metrics": ["fid", "kid", "precision"]})
    lines = measured(tmp_path / "run")
    assert [line["clock"] for line in lines] == [16, 32, 48]
    for line in lines:
        assert line["eval/count"] == 64
        for key in ("fid", "kid", "precision", "recall"):
            assert line[f"eval/{key}_low"] <= line[f"eval/{key}"] <= line[f"eval/{key}_high"]
    card = (tmp_path / "run/model/README.md").read_text()
    (index,) = yaml.safe_load(card.split("---\n")[1])["model-index"]
    told = {row["name"]: row["value"] for row in index["results"][0]["metrics"]}
    assert len(told) == 4 and pytest.approx(lines[-1]["eval/fid"], abs=1e-6) in told.values()
    assert "## Measured" in card and "64 pictures against the training pictures" in card and "at 48 images" in card
    best = min(lines, key=lambda line: line["eval/fid"])["clock"]
    assert json.loads((tmp_path / "run/best/config.json").read_text())["clock"] == best
    assert all((tmp_path / "run" / f"{key}.png").stat().st_size > 1000 for key in ("fid", "kid", "precision", "recall"))
    from kaogan.generate.model import load

    assert load(tmp_path / "run/best").sample(2).shape == (2, 16, 16, 3)


def test_the_value_is_that_of_the_saved_model_s_weights(tmp_path: Path) -> None:
    """The averaged weights are measured, not the raw ones."""
    import torch

    from kaogan.core.images import to_uint8
    from kaogan.core.rng import draw_latents, torch_generator
    from kaogan.generate.model import load
    from kaogan.metrics.fid import frechet_distance

    train(tmp_path / "run", **{"training.images": 32, "training.ema_halflife": 1000.0})
    model = load(tmp_path / "run/model")
    latents = draw_latents(
        64, model.latent_size, model.config["latent"]["distribution"], torch_generator(0, "eval/latents")
    )
    with torch.no_grad():
        pictures = to_uint8(model.generator(latents, None))
    expected = frechet_distance(Quarters()(pictures), Quarters()(make_pictures(40).images))
    assert measured(tmp_path / "run")[-1]["eval/fid"] == pytest.approx(expected, rel=0.02)


def test_weights_are_what_they_would_have_been(tmp_path: Path) -> None:
    train(tmp_path / "with")
    train(tmp_path / "without", **{"eval.every": 0})
    assert contents(tmp_path / "with") == contents(tmp_path / "without")
    assert not (tmp_path / "without/best").exists()


def test_a_resumed_run_measures_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also when the number of pictures was chosen by a stopwatch: it is read from the first line."""
    train(tmp_path / "whole", **{"training.images": 64})
    costs = iter([(0.001, 0.0), (0.05, 0.0)])
    monkeypatch.setattr(evaluator.Evaluator, "_cost", lambda self: next(costs))
    monkeypatch.setattr(evaluator, "affordable", lambda budget, each, fixed: 64 if each == 0.001 else 999)
    for images in (16, 40, 64):
        train(tmp_path / "parts", **{"training.images": images, "eval.pictures": 0, "eval.share": 1})
    keys = [key for key in measured(tmp_path / "whole")[0] if key.startswith("eval/") or key == "clock"]
    # The end of each session is measured, too.
    parts = [{k: line[k] for k in keys} for line in measured(tmp_path / "parts") if line["clock"] % 16 == 0]
    assert parts == [{k: line[k] for k in keys} for line in measured(tmp_path / "whole")]
    assert contents(tmp_path / "parts")["clock"] == contents(tmp_path / "whole")["clock"]


def test_what_takes_more_than_its_share_waits(tmp_path: Path) -> None:
    train(tmp_path / "dear", **{"training.images": 96, "eval.pictures": 0, "eval.share": 1e-9})
    assert [line["clock"] for line in measured(tmp_path / "dear")] == [16, 96]
    assert (tmp_path / "dear/log.txt").read_text().count("left out: those before took") == 4
    train(tmp_path / "asked", **{"training.images": 96, "eval.share": 1e-9})
    assert [line["clock"] for line in measured(tmp_path / "asked")] == [16, 32, 48, 64, 80, 96]


def test_failures_are_told_once_and_do_not_stop_the_training(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(word: str, **options: Any) -> Any:
        raise KaoganError("the weights are not here")

    monkeypatch.setattr(evaluator, "load_extractor", fail)
    assert train(tmp_path / "absent").finished
    log = (tmp_path / "absent/log.txt").read_text()
    assert log.count("evaluation failed and is off") == 1 and "the weights are not here" in log
    assert not measured(tmp_path / "absent")
    assert train(tmp_path / "told").warning == (
        "Nothing more was measured, as an evaluation failed: the weights are not here"
    )

    class Broken(Quarters):
        def __call__(self, pictures: Pictures) -> np.ndarray:
            return np.full((len(pictures), 12), np.nan, np.float32)

    monkeypatch.setattr(evaluator, "load_extractor", lambda word, **_: Broken())
    monkeypatch.setenv("KAOGAN_CACHE", str(tmp_path / "other"))
    assert train(tmp_path / "broken").finished
    assert "are not numbers" in (tmp_path / "broken/log.txt").read_text()
    assert contents(tmp_path / "broken") == contents(tmp_path / "absent")


def test_early_stop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from kaogan.metrics.stats.estimate import Estimate

    values = iter([5.0, 3.0, 4.0, 3.0, 1.0, 2.0, 2.0, 2.0])

    def estimates(*_: Any) -> dict[str, Estimate]:
        value = next(values)
        return {"fid": Estimate(value, value - 1, value + 1)}

    monkeypatch.setattr(evaluator.Evaluator, "_estimates", estimates)
    settings: dict[str, Any] = {"training.images": 400, "eval.patience": 2, "eval.every": 8}
    outcome = train(tmp_path / "run", **settings)
    assert outcome.finished and outcome.images_seen == 32  # 5, 3, 4, 3: two without a better one
    assert json.loads((tmp_path / "run/best/config.json").read_text())["clock"] == 16
    assert json.loads((tmp_path / "run/model/config.json").read_text())["clock"] == 32
    assert train(tmp_path / "run", **settings).images_seen == 32  # the same command finds it at its end
    outcome = train(tmp_path / "run", **settings | {"eval.patience": 3})
    assert outcome.images_seen == 64 and outcome.finished  # 1, then 2, 2, 2


@pytest.mark.parametrize(
    ("budget", "each", "fixed", "expected"),
    [
        (10, 0.01, 0, 1000),
        (12.34, 0.01, 0, 1200),
        (1, 0.01, 2, MIN_PICTURES),
        (1e9, 0.01, 0, 10_000),
        (5, 0.01, 1, 400),
    ],
)
def test_as_many_pictures_as_the_share_allows(budget: float, each: float, fixed: float, expected: int) -> None:
    count = affordable(budget, each, fixed)
    assert count == expected
    assert count == MIN_PICTURES or fixed + each * count <= budget


def test_the_settings() -> None:
    assert recipes.load("dcgan", {"eval_every": 5000}).eval.every == 5000
    assert recipes.load("dcgan", {"eval.metrics": "kid"}).eval.metrics == ("kid",)
    assert recipes.load("dcgan").eval.every == 0
    for wrong in ({"eval.metrics": ["fidd"]}, {"eval.share": 2}, {"eval.evry": 5}, {"eval.metrics": []}):
        with pytest.raises(UsageError, match="eval"):
            recipes.load("dcgan", wrong)


def test_a_run_of_an_older_version_goes_on(tmp_path: Path) -> None:
    """Its numbers are called fd in stats.jsonl; they still choose the best model."""
    train(tmp_path / "run", **{"training.images": 32})
    stats = tmp_path / "run/stats.jsonl"
    text = stats.read_text()
    lines = [json.loads(line) for line in text.replace("eval/fid", "eval/fd").splitlines()]
    for line in lines:
        if "eval/fd" in line:
            line["eval/fd"] = -1.0  # nothing that follows can be better
    stats.write_text("".join(json.dumps(line) + "\n" for line in lines))
    best = (tmp_path / "run/best/config.json").read_text()
    train(tmp_path / "run", **{"training.images": 48})
    assert "eval/fid" in measured(tmp_path / "run")[-1]
    assert (tmp_path / "run/best/config.json").read_text() == best


def test_minutes_of_training_are_without_measuring(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Slow(Quarters):
        def __call__(self, pictures: Pictures) -> np.ndarray:
            import time

            time.sleep(0.2)
            return super().__call__(pictures)

    monkeypatch.setattr(evaluator, "load_extractor", lambda word, **_: Slow())
    outcome = train(tmp_path / "run")
    told = measured(tmp_path / "run")[-1]["seconds"]
    assert outcome.seconds > 0.8 and told < outcome.seconds - 0.7


def test_pictures_alone_can_choose_the_best(tmp_path: Path) -> None:
    """A metric of pictures needs no extractor."""
    train(tmp_path / "run", **{"eval.metrics": ["power_ratio", "fixed_share"], "eval.features": "no such"})
    lines = measured(tmp_path / "run")
    assert {"eval/power_8_16", "eval/power_30_high", "eval/fixed_share"} <= set(lines[-1])
    costs = [abs(np.log(line["eval/power_8_16"])) for line in lines]
    best = json.loads((tmp_path / "run/best/config.json").read_text())["clock"]
    assert best == lines[int(np.argmin(costs))]["clock"]


def test_a_metric_that_no_training_can_measure_is_refused_before_it_begins(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="diversity is not measured while training; choose of fid, kid"):
        train(tmp_path / "run", **{"eval.metrics": ["diversity"]})
    assert not (tmp_path / "run/model").exists()


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"eval.metrics": ["diversity"]}, "diversity is not measured while training"),
        ({"eval.features": "eficientnet"}, r"unknown features 'eficientnet' \(did you mean 'efficientnet'"),
    ],
)
def test_what_cannot_be_measured_is_refused_before_anything_is_read_or_written(
    tmp_path: Path, wrong: dict[str, Any], words: str
) -> None:
    train(tmp_path / "run", **{"training.images": 16})
    files = [tmp_path / "run" / name for name in ("recipe.yaml", "data.json", "stats.jsonl", "log.txt")]
    before = [path.read_bytes() for path in files]
    with pytest.raises(UsageError, match=words):
        train(tmp_path / "run", **wrong)
    assert [path.read_bytes() for path in files] == before
    with pytest.raises(UsageError, match=words):
        load_data(recipe(**{"eval.every": 16} | wrong), tmp_path / "no such folder")
    train(tmp_path / "run", **wrong | {"eval.every": 0})


def test_held_out_pictures_are_measured_against_and_copies_counted_among_the_others(tmp_path: Path) -> None:
    seen: list[tuple[int, int]] = []
    settings = {"eval.metrics": ["kid", "memorization"], "data.held_out": 0.1}
    with pytest.MonkeyPatch.context() as patch:
        whole = Evaluator._estimates
        patch.setattr(Evaluator, "_estimates", lambda self, generated: (
            seen.append((len(self.real[0]["features"]), len(self.training))), whole(self, generated))[1])  # fmt: skip
        run_training(recipe(**{"eval.every": 16, "eval.pictures": 64} | settings), make_pictures(48), tmp_path / "run")
    assert set(seen) == {(5, 43)}
    assert all({"eval/kid", "eval/copies"} <= line.keys() for line in measured(tmp_path / "run"))


def test_what_copies_too_much_is_not_the_best(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    values, shares = iter([3.0, 1.0, 2.0]), iter([0.0, 0.5, 0.0])

    def measure(self: Evaluator, generated: object) -> dict[str, Estimate]:
        return {"kid": Estimate(v := next(values), v, v), "copies": Estimate(v := next(shares), v, v)}

    monkeypatch.setattr(Evaluator, "_estimates", measure)
    train(tmp_path / "run", **{"eval.metrics": ["kid", "memorization"], "eval.max_copies": 0.1})
    assert json.loads((tmp_path / "run/best/config.json").read_text())["clock"] == 48, "the second best"
