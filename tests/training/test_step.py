"""One step of each network."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch

from kaogan.core.images import to_float
from kaogan.losses import OBJECTIVES
from tests.training.conftest import Bench, make_pictures
from tests.training.tiny import ATTRIBUTES, EXTRAS, SOON, tiny

# The further fakes


def test_the_memory_remembers_from_its_lead_and_is_used_from_its_start(bench: Callable[..., Bench]) -> None:
    settings = {"fraction": 0.5, "start": 40, "lead": 16, "every": 16, "capacity": 100}
    trained = bench(tiny(**{"extras.replay": settings}))
    sizes, used = {}, []
    for clock in range(0, 80, 8):
        used += [clock] if "replay" in trained.step() else []
        sizes[clock] = len(trained.state.extras["replay"].buffer)
    # Remembering is due at 0, 16, 32, ...; 0 and 16 lie before 40 - 16. Half a batch of 8 each.
    assert sizes == {0: 0, 8: 0, 16: 0, 24: 0, 32: 4, 40: 4, 48: 8, 56: 8, 64: 12, 72: 12}
    assert used == [40, 48, 56, 64, 72]


def test_what_is_remembered_are_the_fakes_without_noise(bench: Callable[..., Bench]) -> None:
    settings = {
        "extras.replay": {"fraction": 1.0, **SOON},
        "extras.instance_noise.amount": 0.9,
        "training.reuse_fakes": True,
    }
    trained = bench(tiny(**settings))
    trained.step()
    made = trained.trainer.loss.generate
    kept = {}

    def spy(purpose: str, count: int) -> Any:
        kept[purpose] = made(purpose, count)
        return kept[purpose]

    trained.trainer.loss.generate = spy  # type: ignore[method-assign]
    trained.trainer.discriminator_step([trained.sampler.at(8)])
    newest = to_float(trained.state.extras["replay"].buffer._pictures[8:16])  # type: ignore[index]
    assert float((newest - kept["discriminator"].images).abs().max()) <= 1 / 255 + 1e-6


@pytest.mark.parametrize(("ratio", "count"), [(0.5, 4), (0.3, 2), (0.01, 1), (1.0, 8)])
def test_blur_shows_its_share_of_real_pictures(bench: Callable[..., Bench], ratio: float, count: int) -> None:
    trained = bench(tiny(**{"extras.blurred_reals.ratio": ratio, "extras.blurred_reals.weight": 3.0}))
    blurred = trained.state.extras["blurred_reals"].extra_fakes(8, trained.trainer.loss.context())
    assert blurred is not None and blurred.shape == (count, 3, 16, 16) and float(blurred.abs().max()) <= 1
    originals = to_float(trained.sampler.extra("blur", 0, count))
    assert not torch.equal(blurred, originals) and float((blurred - originals).abs().mean()) < 0.5
    with torch.no_grad():
        term = trained.trainer.loss._extra_fakes_loss(torch.zeros(8))
        expected = 3 * torch.nn.functional.softplus(trained.state.discriminator(blurred).scores).mean()
    assert float(term) == pytest.approx(float(expected), rel=1e-5)


def test_noise_by_hand(bench: Callable[..., Bench]) -> None:
    trained = bench(tiny(**{"extras.instance_noise": {"amount": 0.5, "end": 100}}))
    images = torch.full((8, 3, 16, 16), 0.5)
    for clock, amount in ((0, 0.5), (50, 0.25), (100, 0.0), (1000, 0.0)):
        trained.state.images_seen = clock
        seen = trained.trainer.loss.on_images(images, "real")
        noise = seen - (1 - amount) * images
        assert float(noise.std()) == pytest.approx(amount, abs=0.02) and abs(float(noise.mean())) < 0.02
        assert torch.equal(seen, trained.trainer.loss.on_images(images, "real"))
        assert not amount or not torch.equal(seen, trained.trainer.loss.on_images(images, "fake"))
    assert trained.trainer.loss.on_images(images, "real") is images


@pytest.mark.parametrize("power", [1, 2])
def test_pull_by_hand(bench: Callable[..., Bench], power: int) -> None:
    trained = bench(tiny(**{"extras.pixel_loss": {"weight": 3.0, "power": power}}))
    batch = trained.sampler.at(0)
    fakes = trained.trainer.loss.generate("generator", 8)
    expected = 3 * ((fakes.images.detach() - batch.images).abs() ** power).mean()
    trained.trainer.generator_step([batch])
    stats = trained.trainer.meters.take()
    assert stats["pixel_loss"] == pytest.approx(float(expected), rel=1e-3)
    assert stats["loss_g"] == pytest.approx(stats["adversarial_g"] + stats["pixel_loss"], rel=1e-5)


# Penalties


@pytest.mark.parametrize(("key", "meter"), [("gradient_penalty", "gradient_penalty"), ("r1", "r1"), ("r2", "r2")])
def test_lazy_penalties_come_every_nth_step_n_times_as_strong(
    bench: Callable[..., Bench], key: str, meter: str
) -> None:
    strength = {}
    for every in (1, 3):
        trained = bench(tiny(**{f"penalties.{key}": {"weight": 2.0, "every": every}}))
        present = []
        for number in range(7):
            stats = trained.step()
            present += [number] if meter in stats else []
            strength.setdefault(every, stats.get(meter))
        assert present == list(range(0, 7, every))
    assert strength[3] == pytest.approx(3 * strength[1], rel=1e-5)


def test_penalties_are_weighed(bench: Callable[..., Bench]) -> None:
    stats = [bench(tiny(**{"penalties.r1.weight": weight})).step() for weight in (1.0, 4.0)]
    assert stats[1]["r1"] == pytest.approx(4 * stats[0]["r1"], rel=1e-5)
    assert stats[0]["loss_d"] == pytest.approx(stats[0]["adversarial_d"] + stats[0]["r1"], rel=1e-5)


def test_clipped_weights_stay_within(bench: Callable[..., Bench]) -> None:
    trained = bench(tiny(**{"penalties.clip": 0.01, "optim.lr": 0.1}))
    trained.step(2)
    assert float(trained.weights("discriminator").abs().max()) == pytest.approx(0.01)
    assert float(trained.weights("generator").abs().max()) > 0.01, "the generator is not clipped"


def test_frozen_weights_are_not_clipped(bench: Callable[..., Bench]) -> None:
    trained = bench(tiny(**{"penalties.clip": 0.01, "optim.discriminator.frozen": ["trunk.0"]}))
    frozen = dict(trained.state.discriminator.named_parameters())["trunk.0.weight"]
    before = frozen.clone()
    trained.step()
    assert torch.equal(frozen, before) and float(before.abs().max()) > 0.01


# Labels


def test_label_ranges(bench: Callable[..., Bench]) -> None:
    objective = {"real_label": [0.7, 0.9], "fake_label": [0.1, 0.3], "generator_label": 0.95}
    trained = bench(tiny(objective=objective))
    targets = trained.trainer.loss.draw_targets
    for side, (low, high) in (("real", (0.7, 0.9)), ("fake", (0.1, 0.3))):
        labels = targets(side, (low, high), 2000)
        assert isinstance(labels, torch.Tensor) and labels.shape == (2000,)
        assert low <= float(labels.min()) < low + 0.01 and high - 0.01 < float(labels.max()) <= high
    assert targets("generator", (0.95, 0.95), 8) == 0.95, "one number when all are alike"
    assert not torch.equal(targets("real", (0.1, 0.3), 8), targets("fake", (0.1, 0.3), 8))  # type: ignore[arg-type]


def test_flipped_labels(bench: Callable[..., Bench]) -> None:
    trained = bench(tiny(**{"objective.label_flip": 0.2}))
    labels = trained.trainer.loss.draw_targets("real", (0.9, 0.9), 5000)
    assert isinstance(labels, torch.Tensor)
    assert float((labels < 0.5).float().mean()) == pytest.approx(0.2, abs=0.02)
    assert torch.allclose(labels.unique(), torch.tensor([0.1, 0.9]))
    assert trained.trainer.loss.draw_targets("generator", (1.0, 1.0), 8) == 1.0, "never the generator's"


# Attributes


def test_attribute_meters(bench: Callable[..., Bench]) -> None:
    names = {f"{kind}/{name}" for kind in ("attributes_d", "attributes_g") for name in ("hair", "eyes")}
    fakes = {f"attributes_fake/{name}" for name in ("hair", "eyes")}
    assert names | {"accuracy"} <= bench(tiny(attributes=ATTRIBUTES)).step().keys()
    assert not fakes & bench(tiny(attributes=ATTRIBUTES)).step().keys()
    stats = bench(tiny(attributes={**ATTRIBUTES, "on_fakes": True, "discriminator_weight": 3.0})).step()
    assert fakes <= stats.keys() and 0 <= stats["accuracy"] <= 1
    parts = [(stats[f"{kind}/hair"] + stats[f"{kind}/eyes"]) / 2 for kind in ("attributes_d", "attributes_fake")]
    assert stats["loss_d"] == pytest.approx(stats["adversarial_d"] + 3 * sum(parts), rel=1e-4)


def test_fakes_ask_for_attributes_by_the_priors_or_uniformly(bench: Callable[..., Bench]) -> None:
    for uniform, share in ((False, 0.75), (True, 0.5)):
        trained = bench(tiny(attributes={**ATTRIBUTES, "uniform": uniform}))
        labels = []
        for clock in range(0, 800, 8):
            trained.state.images_seen = clock
            with torch.no_grad():
                fakes = trained.trainer.loss.generate("generator", 8)
            labels.append(fakes.labels)
            assert fakes.conditions is not None and torch.equal(
                fakes.conditions, trained.pictures.schema.encode(fakes.labels)
            )
        assert float((torch.cat(labels)[:, 1] == 0).float().mean()) == pytest.approx(share, abs=0.06)


def test_unknown_labels_teach_nothing(bench: Callable[..., Bench]) -> None:
    pictures = make_pictures(labelled=True)
    pictures.labels[:] = -1
    stats = bench(tiny(attributes=ATTRIBUTES), pictures).step()
    assert stats["attributes_d/hair"] == 0 and stats["accuracy"] == 0 and stats["attributes_g/hair"] > 0


def test_batches_without_a_known_label_do_not_dilute_the_meters(bench: Callable[..., Bench]) -> None:
    """The means are over known labels, so that a classifier at chance is seen to be at chance."""
    pictures = make_pictures(labelled=True)
    trained = bench(tiny(**{"attributes": ATTRIBUTES, "optim.lr": 1e-12}), pictures)
    names = [picture for clock in (0, 8) for picture in trained.sampler._order.rows(clock, 8)]
    pictures.labels[:] = -1
    pictures.labels[names[0], 0] = 1
    meters = ("attributes_d/hair", "accuracy")
    first, second = ({name: stats[name] for name in meters} for stats in (trained.step(), trained.step()))
    assert first["attributes_d/hair"] > 0 and set(second.values()) == {0.0}
    trained = bench(tiny(**{"attributes": ATTRIBUTES, "optim.lr": 1e-12}), pictures)
    both = trained.step(2)
    assert {name: both[name] for name in meters} == pytest.approx(first)


# Who learns when


@pytest.mark.parametrize("extra", [{}, EXTRAS[19], {"training.reuse_fakes": True}, {"objective.name": "relativistic"}])
def test_each_step_computes_its_own_gradients_only(bench: Callable[..., Bench], extra: dict[str, Any]) -> None:
    trained = bench(tiny(**extra))
    computed = {"generator": 0, "discriminator": 0}

    def count(network: str) -> Callable[[torch.Tensor], None]:
        def hook(gradient: torch.Tensor) -> None:
            computed[network] += 1

        return hook

    for network in computed:
        for parameter in getattr(trained.state, network).parameters():
            parameter.register_hook(count(network))
    batch = trained.sampler.at(0)
    before = {network: trained.weights(network) for network in computed}
    fakes = trained.trainer.discriminator_step([batch], reuse=trained.recipe.training.reuse_fakes)
    assert computed["generator"] == 0 and computed["discriminator"] > 0
    assert torch.equal(trained.weights("generator"), before["generator"])
    assert all(p.grad is None for p in trained.state.generator.parameters())
    before["discriminator"], seen = trained.weights("discriminator"), computed["discriminator"]
    gradients = [None if p.grad is None else p.grad.clone() for p in trained.state.discriminator.parameters()]
    trained.trainer.generator_step([batch], fakes if trained.recipe.training.reuse_fakes else None)
    assert computed["generator"] > 0 and computed["discriminator"] == seen
    assert torch.equal(trained.weights("discriminator"), before["discriminator"])
    for parameter, gradient in zip(trained.state.discriminator.parameters(), gradients, strict=True):
        assert parameter.requires_grad and (gradient is None or torch.equal(parameter.grad, gradient))  # type: ignore[arg-type]


@pytest.mark.parametrize("objective", list(OBJECTIVES))
def test_each_network_pulls_the_scores_its_own_way(bench: Callable[..., Bench], objective: str) -> None:
    """A step of D widens the gap between real and fake scores; one of G raises the scores of its fakes."""
    settings = {"objective.name": objective, "optim.name": "sgd", "optim.lr": 1e-3, "discriminator.norm": "none"}
    trained = bench(tiny(**settings, **{"generator.norm": "layer"}))
    batch = trained.sampler.at(0)

    def scores(images: torch.Tensor) -> torch.Tensor:
        with torch.no_grad():
            return trained.state.discriminator(images).scores.mean()

    with torch.no_grad():
        fakes = trained.trainer.loss.generate("discriminator", 8).images
    gap = scores(batch.images) - scores(fakes)
    trained.trainer.discriminator_step([batch])
    assert scores(batch.images) - scores(fakes) > gap
    with torch.no_grad():
        before = scores(trained.trainer.loss.generate("generator", 8).images)
    trained.trainer.generator_step([batch])
    with torch.no_grad():
        assert scores(trained.trainer.loss.generate("generator", 8).images) > before


def test_fakes_are_used_again_when_asked_for(bench: Callable[..., Bench]) -> None:
    for reuse, calls in ((False, 2), (True, 1)):
        trained = bench(tiny(**{"training.reuse_fakes": reuse}))
        made = []
        trained.state.generator.register_forward_hook(lambda *_, made=made: made.append(1))
        trained.step()
        assert len(made) == calls


LOOK = {
    "discriminator.family": "projected",
    "discriminator.crop_networks": [{"name": "tagger", "size": 16, "taps": [0, 1]}],
    "discriminator.crop_zoom": 2,
    "discriminator.attribute_head": "projection",
    "extras.augment": {"name": "diffaugment", "policy": ["translation"]},
    "objective.name": "hinge",
    "training.reuse_fakes": True,
}


@pytest.mark.parametrize("settings", [{}, {"attributes": ATTRIBUTES}, {"training.shards": 2}])
def test_frozen_maps_are_used_again_when_asked_for(bench: Callable[..., Bench], settings: dict[str, Any]) -> None:
    """The generator's step scores what the discriminator's saw, augmented and cropped alike, with the new heads; the
    discriminator's step is the same."""
    after = []
    for reuse, looks in ((False, 3), (True, 2)):  # reals, fakes, and fakes again
        trained = bench(tiny(**LOOK, **settings, **{"training.reuse_features": reuse, "discriminator.spectral": False}))
        network, loss = trained.state.discriminator, trained.trainer.loss
        made: list[int] = []
        network.tagger.register_forward_hook(lambda *_, made=made: made.append(1))  # type: ignore[union-attr]
        trained.step()
        assert len(made) == looks * trained.recipe.training.shards

        trained = bench(tiny(**LOOK, **settings, **{"training.reuse_features": reuse, "discriminator.spectral": False}))
        network, loss, shards = trained.state.discriminator, trained.trainer.loss, trained.trainer.shards
        batches = [trained.sampler.at(0, shard, trained.recipe.training.shards) for shard in shards.mine]
        fakes = trained.trainer.discriminator_step(batches, reuse=True)
        after.append(trained.weights("discriminator"))
        assert all((each.seen is not None) == reuse for each in fakes)
    assert torch.equal(*after)

    for made_up, batch in shards.each(list(zip(fakes, batches, strict=True))):
        images, seen = made_up.images, made_up.seen
        assert seen is not None and not torch.equal(seen.images, images)  # shifted
        places = loss.crop_places("fake", len(images))
        expected = -network(seen.images, loss._codes(made_up.labels), *places).scores.mean()
        (wanted,) = torch.autograd.grad(expected, images, retain_graph=True)
        found = torch.as_tensor(loss.generator(["main"], batch, made_up))
        torch.testing.assert_close(found, expected)
        torch.testing.assert_close(torch.autograd.grad(found, images)[0], wanted)


@pytest.mark.parametrize(
    "settings",
    [
        {"training.n_critic": 2},
        {"penalties.r1.weight": 1.0, "penalties.separate_step": True},
        {
            "extras.apa": {"p": 0.5, "target": 0.0, "every": 1, "images": 80},
            "extras.lecam": {"weight": 1.0, "start": 8},
        },
        {"generator.family": "growing", "generator.base_size": 8, "generator.grow_at": 16},
    ],
)
def test_frozen_maps_go_with_what_else_changes_a_step(bench: Callable[..., Bench], settings: dict[str, Any]) -> None:
    ends = []
    for reuse in (False, True):
        trained = bench(tiny(**LOOK, **settings, **{"training.reuse_features": reuse}))
        trained.step(4)
        assert trained.weights().isfinite().all()
        ends.append(trained.weights())
    assert not torch.equal(*ends)


def test_latents_differ_between_networks_and_steps(bench: Callable[..., Bench]) -> None:
    trained = bench(tiny(**{"latent.distribution": "uniform"}))
    drawn: list[torch.Tensor] = []
    trained.state.generator.register_forward_pre_hook(lambda _, inputs: drawn.append(inputs[0].clone()))
    trained.step(3)
    assert len(drawn) == 6 and len({float(latents[0, 0]) for latents in drawn}) == 6
    assert all(float(latents.abs().max()) <= 1 for latents in drawn)


# Learning rates


def test_learning_rates_are_separate_and_follow_the_clock(bench: Callable[..., Bench]) -> None:
    settings = {"lr": 0.5, "discriminator": {"lr": 0.25}, "schedule": {"type": "linear", "images": 100, "final": 0.2}}
    trained = bench(tiny(optim=settings))
    for clock, factor in ((0, 1.0), (50, 0.6), (200, 0.2), (25, 0.8)):
        trained.state.images_seen = clock
        trained.state.set_learning_rates(trained.recipe)
        assert trained.state.generator_optim.param_groups[0]["lr"] == pytest.approx(0.5 * factor)
        assert trained.state.discriminator_optim.param_groups[0]["lr"] == pytest.approx(0.25 * factor)


def test_each_optimiser_has_its_settings(bench: Callable[..., Bench]) -> None:
    common = {"eps": 1e-3, "weight_decay": 0.25, "betas": [0.25, 0.75], "alpha": 0.5, "momentum": 0.125,
              "discriminator": {"betas": [0.5, 0.6], "weight_decay": 0.0}}  # fmt: skip
    expected: dict[str, tuple[type, dict[str, Any]]] = {
        "adam": (torch.optim.Adam, {"eps": 1e-3, "betas": (0.25, 0.75)}),
        "adamw": (torch.optim.AdamW, {"eps": 1e-3, "betas": (0.25, 0.75)}),
        "rmsprop": (torch.optim.RMSprop, {"eps": 1e-3, "alpha": 0.5, "momentum": 0.125}),
        "sgd": (torch.optim.SGD, {"momentum": 0.125}),
    }
    for name, (kind, values) in expected.items():
        state = bench(tiny(optim={"name": name, **common})).state
        assert type(state.generator_optim) is kind
        group = state.generator_optim.param_groups[0]
        assert {key: group[key] for key in values} == values and group["weight_decay"] == 0.25
        assert state.discriminator_optim.param_groups[0]["weight_decay"] == 0.0
        if "betas" in values:
            assert state.discriminator_optim.param_groups[0]["betas"] == (0.5, 0.6)


def test_the_tagger_thaws_at_its_time(bench: Callable[..., Bench]) -> None:
    """Until then its weights stay and take no gradients; from then on they and the heads learn slowly."""
    judge = {"discriminator.family": "projected", "discriminator.width": 4, "discriminator.unfreeze_at": 16}
    trained = bench(tiny(**judge, **{"optim.lr": 0.01}))

    def tagger() -> torch.Tensor:
        return torch.cat([weight.detach().flatten() for weight in trained.state.discriminator.tagger.parameters()])  # type: ignore[union-attr, operator]

    begun = tagger()
    trained.step(2)
    assert torch.equal(tagger(), begun)
    assert all(weight.grad is None for weight in trained.state.discriminator.tagger.parameters())  # type: ignore[union-attr, operator]
    assert trained.state.discriminator_optim.param_groups[0]["lr"] == 0.01
    trained.step()
    assert not torch.equal(tagger(), begun)
    assert trained.state.discriminator_optim.param_groups[0]["lr"] == 0.0025
    assert trained.state.generator_optim.param_groups[0]["lr"] == 0.01


def test_what_is_frozen_by_name_does_not_thaw(bench: Callable[..., Bench]) -> None:
    judge = {"discriminator.family": "projected", "discriminator.width": 4, "discriminator.unfreeze_at": 8}
    trained = bench(tiny(**judge, **{"optim.lr": 0.01, "optim.discriminator.frozen": ["tagger.body.0"]}))
    weights = dict(trained.state.discriminator.named_parameters())
    before = {name: weight.clone() for name, weight in weights.items()}
    trained.step(3)
    moved = {name: not torch.equal(weight, before[name]) for name, weight in weights.items()}
    frozen = [name for name in moved if name.startswith("tagger.body.0.")]
    assert frozen and not any(moved[name] for name in frozen)
    assert all(moved[name] for name in moved if name.startswith("tagger.body.1."))
