"""Adaptation: the derived recipe, what it refuses, and a tiny run from its first word to its page."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import kaogan
from kaogan import api
from kaogan.adaptation import report
from kaogan.adaptation.recipe import SETTINGS, adapted_recipe, check_pictures, different_pictures
from kaogan.adaptation.run import prepare
from kaogan.config import recipes
from kaogan.core.errors import KaoganError, UsageError
from kaogan.core.progress import no_progress
from kaogan.core.training_loop import TrainResult
from kaogan.generate import fit_filter
from kaogan.generate.model import load
from kaogan.metrics.stats.estimate import Estimate
from kaogan.networks import DISCRIMINATORS
from kaogan.training import evaluator, latent_filter, plots
from kaogan.training.start_from import BaseWeights
from tests.small import small
from tests.small import train as train_small
from tests.training.runs import train
from tests.training.test_evaluator import Quarters

TINY: dict[str, Any] = {
    "training.images": 48, "training.batch_size": 8, "eval.every": 16, "eval.pictures": 40, "run.stats_every": 16,
    "run.grid_every": 48, "run.checkpoint_every": 48, "run.grid_pictures": 4, "run.device": "cpu",
    "run.precision": "fp32", "eval.max_copies": 1.0,
}  # fmt: skip


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(plots, "film", lambda *_: None)
    for module in (evaluator, report):
        monkeypatch.setattr(module, "load_extractor", lambda word, **_: Quarters())
    monkeypatch.setattr(report, "DRAWN", 40)
    monkeypatch.setenv("KAOGAN_CACHE", str(tmp_path / "cache"))


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("base") / "run"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(plots, "film", lambda *_: None)
        train(out, images=16)
    return out


def write_pictures(folder: Path, count: int = 50, side: int = 16, grey: bool = False, copies: bool = False) -> Path:
    folder.mkdir()
    for number in range(count):
        random = np.random.default_rng(0 if copies else number)
        pixels = random.integers(0, 256, (4, 4, 3), np.uint8)
        if grey:
            pixels[...] = pixels[..., :1]
        Image.fromarray(pixels).resize((side, side), Image.Resampling.NEAREST).save(folder / f"{number:04d}.png")
    return folder


def test_the_recipe_for_kao() -> None:
    recipe = adapted_recipe("kao", 50)
    assert recipe.training.start_from == "kao" and recipe.generator.family == "dcgan"
    assert recipe.discriminator.family == "projected" and recipe.discriminator.unfreeze_at is None
    assert recipe.data.horizontal_flip and recipe.eval.metrics == ("kid", "memorization")
    assert recipe.training.batch_size == 16
    few = adapted_recipe("kao", 10, {"optim.lr": 1e-3})
    assert few.training.batch_size == 8 and few.eval.metrics == ("kid",) and few.optim.lr == 1e-3


def test_the_batch_follows_from_the_pictures_that_are_trained_on() -> None:
    for held_out in ({"data.held_out": 0.5}, {"data": {"held_out": 0.5}}):
        assert adapted_recipe("kao", 20, held_out).training.batch_size == 10
    assert adapted_recipe("kao", 20, {"data.held_out": 0.5, "batch_size": 4}).training.batch_size == 4


def test_a_base_s_blur_was_for_its_first_steps(tmp_path: Path) -> None:
    own = recipes.load("stylegan3-r-64")
    (tmp_path / "recipe.yaml").write_text(recipes.dump(own))
    base = BaseWeights("blurred", own.to_dict(), {}, {}, {})
    assert own.extras.blur_fade.sigma and not adapted_recipe(str(tmp_path), 50, weights=base).extras.blur_fade.sigma


def test_a_growing_base_is_seen_on_crops_too() -> None:
    config = recipes.load("kao-128").to_dict()
    model = {key: config[key] for key in ("generator", "latent", "image_size", "channels")}
    base = BaseWeights("grown", model, {}, {}, None)
    recipe = adapted_recipe("grown", 50, weights=base)
    assert recipe.generator.family == "growing" and recipe.image_size == 128
    assert adapted_recipe("kao", 50).data.instance_selection == 1
    assert not adapted_recipe("kao", 50).data.clear_eyes and not adapted_recipe("kao", 50).run.latent_filter
    assert recipe.extras.fixed_pattern.start == 20_000, "which is 60,000 of 1,000,000 images in its own"
    assert recipe.discriminator.crop_networks and not adapted_recipe("kao", 50).discriminator.crop_networks


def test_a_run_brings_its_discriminator(base: Path, tmp_path: Path) -> None:
    assert adapted_recipe(str(base), 50).discriminator.family == "dcgan"
    assert adapted_recipe(str(base / "model"), 50).discriminator.family == "projected", "a model folder has none"
    train_small(small("stylegan2-64", **{"training.images": 8}), tmp_path / "style")
    assert adapted_recipe(str(tmp_path / "style"), 50).discriminator.freeze_layers == 4


def test_from_the_first_word_to_the_page(base: Path, tmp_path: Path) -> None:
    data = write_pictures(tmp_path / "data", 60)
    model = kaogan.adapt(base, data, tmp_path / "run", **TINY)
    lines = [json.loads(line) for line in (tmp_path / "run/stats.jsonl").read_text().splitlines()]
    measured = {line["clock"]: line["eval/kid"] for line in lines if "eval/kid" in line}
    assert set(measured) == {16, 32, 48} and all("eval/copies" in line for line in lines if "eval/kid" in line)
    assert model.config["clock"] == json.loads((tmp_path / "run/best/config.json").read_text())["clock"]
    assert model.config["start_from"]["name"] == "run"
    page = (tmp_path / "run/adapt.html").read_text()
    assert "Trained on 48 of them; the other 12" in page and page.count("<img") == 5
    assert "copies: the last" not in page
    again = kaogan.adapt(base, data, tmp_path / "run", **TINY)
    assert again.config == model.config, "the same call again leaves everything as it is"


def test_nothing_but_copies_is_told(base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    many = Estimate(0.5, 0.4, 0.6)
    monkeypatch.setattr(evaluator.Evaluator, "_estimates", lambda *_: {"kid": many, "copies": many})
    settings = TINY | {"eval.max_copies": 0.2, "training.images": 16}
    kaogan.adapt(base, write_pictures(tmp_path / "data", 60), tmp_path / "run", **settings)
    assert "every measurement found more than 20% copies" in (tmp_path / "run/adapt.html").read_text()


def test_a_filter_is_that_of_the_model_which_is_kept(
    base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first one measured, while the last one had a filter, too; of a base that is named from home."""
    kid = iter(range(100))
    monkeypatch.setattr(
        evaluator.Evaluator, "_estimates",
        lambda *_: {"kid": Estimate(float(next(kid)), 0.0, 100.0), "copies": Estimate(0.0, 0.0, 0.0)},
    )  # fmt: skip
    for name, value in {"FROM": 1, "SAMPLES": 100, "LEAST_SAMPLES": 100}.items():
        monkeypatch.setattr(latent_filter, name, value)
    monkeypatch.setattr(fit_filter, "LEAST_AGREEMENT", -1.0)
    monkeypatch.setenv("HOME", str(base.parent))
    data, settings = write_pictures(tmp_path / "data", 60), TINY | {"run.latent_filter": True}
    model = kaogan.adapt(f"~/{base.name}", data, tmp_path / "run", **settings)
    assert model.config["clock"] == 16 and model.latent_filter is not None
    kept = {path.name: path.read_bytes() for path in (tmp_path / "run/model").iterdir()}
    assert b"| latent filter |" in kept["README.md"]
    kaogan.adapt(f"~/{base.name}", data, tmp_path / "run", **settings)
    assert {path.name: path.read_bytes() for path in (tmp_path / "run/model").iterdir()} == kept


def test_a_training_without_measurements_blames_no_copies(base: Path, tmp_path: Path) -> None:
    settings = TINY | {"eval.every": 0, "training.images": 16}
    kaogan.adapt(base, write_pictures(tmp_path / "data", 60), tmp_path / "run", **settings)
    page = (tmp_path / "run/adapt.html").read_text()
    assert "nothing was measured on the way" in page and "copies: the last" not in page


def test_a_base_s_shards_were_for_its_batch(base: Path, tmp_path: Path) -> None:
    run = shutil.copytree(base, tmp_path / "sharded")
    recipe = (run / "recipe.yaml").read_text()
    (run / "recipe.yaml").write_text(recipe.replace("shards: 1", "shards: 8"))
    assert "shards: 8" in (run / "recipe.yaml").read_text()
    assert adapted_recipe(str(run), 12).training.shards == 1


def test_what_is_measured_can_be_checked_by_hand(base: Path, tmp_path: Path) -> None:
    """A generator that is compared with its own pictures has nothing but copies."""
    prepared = prepare(base, write_pictures(tmp_path / "data", 60), TINY)
    model = load(base)
    drawn = model.sample(60, seed=prepared.recipe.run.seed)
    names = tuple(map(str, range(60)))
    own = replace(prepared.pictures, images=drawn, names=names)
    whole = prepared.recipe.model_copy(update={"data": prepared.recipe.data.model_copy(update={"held_out": 0.0})})
    found = report.measure(whole, own, model, model, no_progress)
    assert found.after.copies is not None and found.after.copies.value == 1.0 and found.real_copies is None
    assert np.array_equal(found.nearest[0], found.nearest[1]) and found.before.kid == found.after.kid
    assert report.summary(found).endswith(
        "that is no nearer than " + found.base + " itself: take the base, or give more pictures"
    )
    nearer = replace(found, after=replace(found.after, kid=Estimate(found.before.kid.value - 0.1, 0.0, 1.0)))
    assert "no nearer" not in report.summary(nearer)
    report.write_page(tmp_path / "page.html", found, [], tmp_path)
    assert "that is no nearer than" in (tmp_path / "page.html").read_text()


@pytest.mark.parametrize(
    ("what", "words"),
    [({"count": 3}, "has 3 pictures; adapt takes 10 to 1,000"), ({"copies": True}, "only 1 different one; 8 at least"),
     ({"grey": True}, "50 of the 50 pictures of .* are grey"), ({"side": 4}, "are 4 px small and .* draws 16 px"),
     ({"count": 1001}, "has 1,001 pictures; adapt takes 10 to 1,000")],
)  # fmt: skip
def test_pictures_that_will_not_do(base: Path, tmp_path: Path, what: dict[str, Any], words: str) -> None:
    with pytest.raises(UsageError, match=words) as caught:
        prepare(base, write_pictures(tmp_path / "data", **what))
    assert "\n" not in str(caught.value)


def test_bases_that_will_not_do(base: Path, tmp_path: Path) -> None:
    data = write_pictures(tmp_path / "data")
    (tmp_path / "weights.pkl").write_bytes(b"x")
    empty = tmp_path / "empty"
    empty.mkdir()
    for other, words in (
        ("kao-sr", "is an upscaler"), (tmp_path / "weights.pkl", "have to be imported first"),
        (empty, "is not a model folder"), ("koa", "did you mean 'kao'"),
    ):  # fmt: skip
        with pytest.raises(KaoganError, match=words):
            prepare(other, data)
    broken = shutil.copytree(base / "model", tmp_path / "broken")
    (broken / "model.safetensors").write_bytes(b"x")
    with pytest.raises(KaoganError, match="damaged"):
        prepare(broken, data)
    with pytest.raises(UsageError, match="cannot make 100 px"):
        prepared = prepare(base, data, {"image_size": 100})
        api.run(prepared.recipe, prepared.pictures, tmp_path / "run")


def test_near_copies_are_one_picture() -> None:
    picture = np.random.default_rng(0).integers(0, 256, (16, 16, 3), np.uint8)
    nearly = np.clip(picture.astype(int) + np.random.default_rng(1).integers(-2, 3, picture.shape), 0, 255)
    other = picture[:, ::-1]
    assert different_pictures([np.stack([picture, nearly.astype(np.uint8)]), other[None]]) == 2


class Few:
    """Images of which only a few may be asked for at once."""

    def __init__(self, images: np.ndarray) -> None:
        self.images, self.shape = images, images.shape

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, rows: slice) -> np.ndarray:
        assert len(self.images[rows]) <= 32
        return self.images[rows]


def test_pictures_are_looked_at_a_few_at_a_time(base: Path, tmp_path: Path) -> None:
    pictures = prepare(base, write_pictures(tmp_path / "data", 50)).pictures
    images = np.array(pictures.images)
    images[:20] = images[:20, ..., :1]
    assert check_pictures(replace(pictures, images=Few(images)), "kao") == [
        "20 of 50 pictures are grey: some faces will be, too"
    ]


def test_nothing_that_judges_has_been_trained_against() -> None:
    recipe = adapted_recipe("kao", 50)
    seen = DISCRIMINATORS[recipe.discriminator.family].trained_against(recipe.discriminator)
    assert recipe.eval.features not in seen and len(seen) == 2
    assert SETTINGS["data.held_out"] > 0


def test_a_run_that_was_interrupted_says_so(
    base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:  # fmt: skip
    monkeypatch.setattr(api, "run", lambda *_, **__: TrainResult(16, False, 1.0, tmp_path))
    with pytest.raises(KaoganError, match="interrupted at 16 images"):
        kaogan.adapt(base, write_pictures(tmp_path / "data"), tmp_path / "run", **TINY)
