"""Data and training: a function of the seed and the clock, held-out pictures never seen, losses as defined."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
import yaml
from PIL import Image
from safetensors.torch import load_file

from benchmarks.launches import Trace, on_meta
from kaogan.aux_models.upscaler import load_upscaler
from kaogan.aux_models.upscaler.resampling import blurred, shrink
from kaogan.config import upscale_recipe as recipes
from kaogan.config.upscale_recipe import Crops, UpscaleRecipe
from kaogan.core.errors import KaoganError, UsageError
from kaogan.core.images import to_float
from kaogan.core.notes import note
from kaogan.data import PictureSet, load_pictures
from kaogan.training.upscaler.crops import CropSampler, split
from kaogan.training.upscaler.degradation import degrade, jpeg_compressed
from kaogan.training.upscaler.perceptual_loss import PerceptualDistance
from kaogan.training.upscaler.step import UpscalerTrainer, pixel_loss
from kaogan.training.upscaler.train import build_state, train

SMALL = {
    "generator": {"family": "kao-sr", "widths": [6, 6, 8], "before": [1, 1], "middle": 1, "after": [1, 1], "fine": 4},
    "crops.size": 64,
    "crops.low": 8,
    "crops.avatars": 0,
    "crops.held_out": 0.3,
    "training.batch_size": 4,
    "training.images": 48,
    "run.stats_every": 8,
    "run.measure_every": 24,
    "run.checkpoint_every": 24,
    "run.precision": "fp32",
    "optim.lr": 2e-3,
}


@pytest.fixture(scope="module")
def faces(tmp_path_factory: pytest.TempPathFactory) -> PictureSet:
    return load_pictures(None, image_size=64, avatar_count=24, cache=tmp_path_factory.mktemp("cache"))


def small(name: str = "kao-sr", **changes: object) -> UpscaleRecipe:
    return recipes.load(name, SMALL | {"start_from": ""} | changes)


def test_recipes_are_as_published() -> None:
    srgan = recipes.load("srgan")
    assert (srgan.losses.pixel, srgan.losses.adversarial, srgan.losses.flip) == ("mse", 0.01, 0.05)
    assert (srgan.optim.lr, srgan.optim.betas, srgan.training.batch_size) == (1e-3, (0.9, 0.999), 4)
    assert (srgan.losses.real_label, srgan.losses.fake_label) == ((0.85, 1.0), (0.0, 0.15))
    assert srgan.losses.start == 2 * 1096 and srgan.training.images == 12 * 1096
    assert srgan.crops.size == 512 and srgan.generator.scales == (8,)


def test_misspelt_and_unfit_settings() -> None:
    with pytest.raises(UsageError, match=r"unknown key 'crops\.lwo' \(did you mean 'low'"):
        recipes.load("kao-sr", {"crops.lwo": 3})
    with pytest.raises(UsageError, match="do not fit into pictures"):
        small(**{"crops.low": 16})
    with pytest.raises(UsageError, match=r"generator\.scales has not"):
        recipes.load("srgan", {"generator.scales": [4]})
    with pytest.raises(UsageError, match=r"srgan: crops\.scales draws nothing: give a scale a weight"):
        recipes.load("srgan", {"crops.scales.8": 0})


def test_what_never_had_effect_on_the_discriminator_is_noted_and_still_read(caplog: pytest.LogCaptureFixture) -> None:
    note.cache_clear()
    old = {"optim.discriminator": {"lr": 1e-4, "betas": None, "weight_decay": None, "frozen": []}}
    assert small(**old).optim.discriminator.model_dump() == {"lr": 1e-4, "betas": None} and not caplog.messages
    for key, value in (("weight_decay", 0.5), ("frozen", ["nonsense"])):
        assert small(**{f"optim.discriminator.{key}": value}) == small()
        assert f"optim.discriminator.{key} has no effect on upscalers" in caplog.messages[-1]
    assert len(caplog.messages) == 2


def test_a_beta_of_1_is_refused() -> None:
    for key in ("optim.betas", "optim.discriminator.betas"):
        with pytest.raises(UsageError, match=rf"'{key}\.1': input should be less than 1"):
            small(**{key: [0.9, 1.0]})


def test_a_run_goes_on_without_its_base(faces: PictureSet, tmp_path: Path) -> None:
    train(small(**{"training.images": 4}), faces, tmp_path / "base")
    begun = {"start_from": str(tmp_path / "base"), "training.images": 4}
    train(small(**begun), faces, tmp_path / "run")
    (tmp_path / "base").rename(tmp_path / "gone")
    assert train(small(**begun | {"training.images": 8}), faces, tmp_path / "run").images_seen == 8
    with pytest.raises((UsageError, KaoganError)):
        train(small(**begun), faces, tmp_path / "other")


def test_the_weight_of_one_scale_leaves_the_others() -> None:
    assert recipes.load("kao-sr").crops == Crops(avatars=240)
    assert recipes.load("kao-sr", {"crops.scales.8": 1}).crops.scales == {"2": 0.1, "4": 0.45, "8": 1}


def test_shrinking_is_pillows_bicubic() -> None:
    picture = np.random.default_rng(0).integers(0, 256, (32, 48, 3), np.uint8)
    wanted = np.asarray(Image.fromarray(picture).resize((12, 8), Image.Resampling.BICUBIC)).astype(float)
    found = (shrink(to_float(picture[None]), 4)[0].permute(1, 2, 0).numpy() + 1) * 127.5
    assert np.abs(found - wanted).max() <= 1.01  # Pillow rounds between its two passes
    assert np.allclose(found, np.rint(found), atol=1e-3)


def test_spoiling_follows_from_the_seed_and_keeps_the_range() -> None:
    images = torch.rand(1, 3, 64, 64) * 2 - 1
    how = recipes.Degradation(share=1)
    results = [degrade(images, 4, how, np.random.default_rng(seed)) for seed in (0, 0, 1, 2, 3)]
    assert torch.equal(results[0], results[1])
    assert all(result.shape == (1, 3, 16, 16) and result.abs().max() <= 1 for result in results)
    assert sum(not torch.equal(result, shrink(images, 4)) for result in results[1:]) >= 3
    assert (jpeg_compressed(images, 90) - images).abs().mean() < (jpeg_compressed(images, 20) - images).abs().mean()


def test_look_alikes_stay_on_one_side_and_parts_follow_from_contents(faces: PictureSet) -> None:
    twins = np.concatenate([faces.images, faces.images[:, :, ::-1]])
    parts = split(twins, 0.3)
    held = {int(at) for at in parts.held_out}
    assert held and all((at + len(faces)) % (2 * len(faces)) in held for at in held)
    order = np.random.default_rng(0).permutation(len(twins))
    again = split(twins[order], 0.3)
    assert {int(order[at]) for at in again.held_out} == held
    assert len(parts.train) + len(parts.held_out) == len(twins)


def test_batches_follow_from_seed_and_clock_and_never_hold_what_is_held_out(faces: PictureSet) -> None:
    crops, again = CropSampler(faces, small()), CropSampler(faces, small())
    assert torch.equal(crops.at(16).low, again.at(16).low)
    assert not torch.equal(crops.at(20).high[:, :, :8, :8], crops.at(16).high[:, :, :8, :8])
    assert {crops.at(4 * k).scale for k in range(30)} == {2, 4, 8}
    whole = CropSampler(faces, small(**{"crops.scales": {"2": 0, "4": 0}, "crops.flip": False}))
    seen = torch.cat([whole.at(4 * k).high for k in range(20)])
    for image in to_float(whole.held_out):
        assert (seen - image).abs().mean((1, 2, 3)).min() > 0.01


def test_pixel_losses_by_hand() -> None:
    made, wanted = torch.tensor([[1.0, -1.0]]), torch.tensor([[0.0, -1.0]])
    assert pixel_loss(made, wanted, "mse", 0).item() == pytest.approx(0.125)
    assert pixel_loss(made, wanted, "l1", 0).item() == pytest.approx(0.25)
    assert pixel_loss(made, wanted, "charbonnier", 0.1).item() == pytest.approx((0.26**0.5 + 0.1) / 2)


def test_distance_is_zero_for_equal_pictures_and_grows_with_blur() -> None:
    from kaogan.data.avatars import draw_many

    faces = to_float(draw_many(2, 64, seed=3))
    distance = PerceptualDistance()
    near, far = (F.interpolate(shrink(faces, s), (64, 64), mode="bicubic", align_corners=False) for s in (2, 8))
    assert distance(faces, faces).abs().max() < 1e-6
    assert (distance(near, faces) < distance(far, faces)).all()


def test_training_learns_resumes_and_leaves_an_upscaler(faces: PictureSet, tmp_path: Path) -> None:
    straight, broken = tmp_path / "straight", tmp_path / "broken"
    losses: list[float] = []
    licensed = small(**{"run.licence": "cc-by-4.0"})
    train(licensed, faces, straight, on_progress=lambda step: losses.append(step.stats["loss_g"]))
    train(small(**{"training.images": 24}), faces, broken)
    outcome = train(small(), faces, broken)
    assert outcome.finished and outcome.images_seen == 48
    one, other = (load_file(folder / "model" / "upscaler.safetensors") for folder in (straight, broken))
    assert all(torch.equal(one[name], other[name]) for name in one)
    assert (straight / "grids" / "000000048-x4.png").exists() and "gain" in (straight / "log.txt").read_text()
    assert load_upscaler(straight).facts["licence"] == "cc-by-4.0" and "licence" not in load_upscaler(broken).facts
    card = (straight / "model/README.md").read_text()
    assert (
        yaml.safe_load(card.split("---")[1])["license"] == "cc-by-4.0"
        and "license: other" in (broken / "model/README.md").read_text()
    )
    assert "| trained on | avatars |" in card and str(tmp_path) not in card
    with pytest.raises(UsageError, match=r"optim\.lr was 0.002, now 0.1"):
        train(small(**{"optim.lr": 0.1}), faces, straight)


def test_pictures_that_no_scale_divides_are_measured(tmp_path: Path) -> None:
    odd = load_pictures(None, image_size=60, avatar_count=12, cache=tmp_path / "cache")
    recipe = small(**{"crops.size": 60, "crops.low": 7, "training.images": 8, "run.measure_every": 8})
    assert train(recipe, odd, tmp_path / "run").finished
    assert "x8: " in (tmp_path / "run/log.txt").read_text()


def test_a_blur_of_0_is_none_and_ranges_go_up() -> None:
    images = torch.rand(1, 3, 16, 16)
    assert torch.equal(blurred(images, 0.0), images)
    for key, value in (("blur", [1.0, 0.5]), ("noise", [-1, 2]), ("jpeg", [90, 40])):
        with pytest.raises(UsageError, match="not smaller"):
            small(**{f"degradation.{key}": value})
    for key, value in (("real_label", [1.0, 0.5]), ("fake_label", [-3, 0])):
        with pytest.raises(UsageError, match="within 0 and 1"):
            small(**{f"losses.{key}": value})


def test_drawn_faces_limit_crops_only_where_there_are_some() -> None:
    large = {"crops.size": 1024, "crops.low": 128}
    assert small(**large).crops.size == 1024
    with pytest.raises(UsageError, match="crops of 1024 px do not fit into pictures of 512"):
        small(**large, **{"crops.avatars": 10})


def test_every_loss_takes_part(faces: PictureSet) -> None:
    changes = {"losses.perceptual": 0.1, "losses.adversarial": 0.1, "losses.objective": "relativistic",
               "losses.start": 4, "crops.low": 8, "crops.scales": {"2": 0, "8": 0}}  # fmt: skip
    recipe = small(**changes)
    state = build_state(recipe, torch.device("cpu"))
    steps, crops = UpscalerTrainer(recipe, state, torch.device("cpu"), "fp32"), CropSampler(faces, recipe)
    assert state.discriminator is not None
    before = [p.detach().clone() for p in state.discriminator.parameters()]
    steps.step(crops.at(0))
    assert "adversarial" not in steps.meters.take()  # not yet
    assert all(torch.equal(a, b) for a, b in zip(before, state.discriminator.parameters(), strict=True))
    state.images_seen = 4
    steps.step(crops.at(4))
    assert {"pixel", "perceptual", "adversarial", "loss_d", "loss_g"} <= set(steps.meters.take())
    assert not all(torch.equal(a, b) for a, b in zip(before, state.discriminator.parameters(), strict=True))


@pytest.mark.parametrize("objective", ["bce", "relativistic"])
def test_a_step_works_where_the_weights_lie(faces: PictureSet, objective: str) -> None:
    """On "meta": what was made on the host beside it is an error."""
    changes = {"losses.perceptual": 0.1, "losses.adversarial": 0.1, "losses.objective": objective, "losses.flip": 0.1,
               "losses.real_label": [0.85, 1.0], "degradation.share": 1.0, "optim.clip": 1.0}  # fmt: skip
    recipe, device = small(**changes), torch.device("meta")
    crops, seen = CropSampler(faces, recipe), Trace()
    with on_meta(seen):
        state = build_state(recipe, device)
        trainer = UpscalerTrainer(recipe, state, device, "fp32")
        for clock in (0, 4):
            state.images_seen = clock
            trainer.step(crops.at(clock))
            state.ema.update(clock, 4)
    assert seen.launches > 50 and not seen.waits
    assert {p.device for network in state.networks() for p in network.parameters()} == {device}


def test_srgans_labels_are_drawn_in_their_ranges(faces: PictureSet) -> None:
    recipe = recipes.load("srgan", {"crops.size": 64, "crops.low": 8, "generator.width": 4, "run.device": "cpu"})
    state = build_state(recipe, torch.device("cpu"))
    steps = UpscalerTrainer(recipe, state, torch.device("cpu"), "fp32")
    labels = {side: steps._draw_targets(side, torch.zeros(4000)) for side in ("real", "fake")}
    for side, (low, high) in {"real": (0.85, 1.0), "fake": (0.0, 0.15)}.items():
        values = labels[side]
        assert isinstance(values, torch.Tensor)
        inside = ((values >= low) & (values <= high)).float().mean().item()
        assert inside == pytest.approx(0.95, abs=0.02)  # the others are swapped
