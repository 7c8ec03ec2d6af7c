"""The moving average of the weights, by hand."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
import torch
from torch import nn

from kaogan.core.ema import CALIBRATION_BATCH, CALIBRATION_BATCHES, EMA
from tests.networks.cases import generator
from tests.training.conftest import Bench
from tests.training.tiny import tiny


def scalar(value: float) -> nn.Module:
    module = nn.Linear(1, 1, bias=False)
    nn.init.constant_(module.weight, value)
    return module


def calibration() -> Iterator[tuple[torch.Tensor]]:
    for number in range(CALIBRATION_BATCHES):
        yield (torch.randn(CALIBRATION_BATCH, 8, generator=torch.Generator().manual_seed(number)),)


def value(average: EMA) -> float:
    return float(next(average.module.parameters()))


def test_half_of_the_way_in_a_half_life() -> None:
    source = scalar(0.0)
    average = EMA(source, halflife=100, rampup=0)
    nn.init.constant_(source.weight, 1.0)  # type: ignore[arg-type]
    average.update(images_seen=100, images=100)
    assert value(average) == pytest.approx(0.5)
    average.update(images_seen=200, images=100)
    assert value(average) == pytest.approx(0.75)
    for clock in range(210, 310, 10):
        average.update(clock, images=10)
    assert value(average) == pytest.approx(0.875), "the size of a step drops out"


def test_the_ramp_bounds_the_half_life_by_a_share_of_the_clock() -> None:
    source = scalar(0.0)
    average = EMA(source, halflife=10_000, rampup=0.05)
    nn.init.constant_(source.weight, 1.0)  # type: ignore[arg-type]
    average.update(images_seen=1000, images=50)  # half-life min(10000, 0.05 · 1000) = 50
    assert value(average) == pytest.approx(0.5)
    average.update(images_seen=10**7, images=10_000)
    assert value(average) == pytest.approx(0.75)


@pytest.mark.parametrize(("halflife", "rampup"), [(0, 0), (0, 0.05)])
def test_no_half_life_is_the_generator_itself(bench: Callable[..., Bench], halflife: float, rampup: float) -> None:
    trained = bench(tiny(**{"training.ema_halflife": halflife, "training.ema_rampup": rampup}))
    for _ in range(2):
        trained.step()
        trained.state.ema.update(trained.state.images_seen, 8)
        pairs = zip(trained.state.ema.module.parameters(), trained.state.generator.parameters(), strict=True)
        assert all(torch.equal(a, b) for a, b in pairs)


def test_statistics_are_measured_with_the_averaged_weights(bench: Callable[..., Bench]) -> None:
    trained = bench(tiny())
    trained.step(2)
    average = trained.state.ema
    average.update(trained.state.images_seen, 8)
    source = {name: buffer.clone() for name, buffer in trained.state.generator.named_buffers()}
    module = average.snapshot(calibration())
    assert not module.training and module is average.module
    norms = [m for m in module.modules() if isinstance(m, nn.BatchNorm2d)]
    assert norms and all(norm.momentum == 0.1 for norm in norms)
    # The first norm's statistics by hand: those of its inputs over the same latents, batch by batch.
    again = {name: buffer.clone() for name, buffer in module.named_buffers()}
    average.snapshot(calibration())
    assert all(torch.equal(buffer, again[name]) for name, buffer in module.named_buffers()), "twice the same"
    inputs: list[torch.Tensor] = []
    handle = norms[0].register_forward_pre_hook(lambda _, x: inputs.append(x[0].clone()))
    average.snapshot(calibration())
    handle.remove()
    assert len(inputs) == CALIBRATION_BATCHES and all(len(x) == CALIBRATION_BATCH for x in inputs)
    mean = torch.stack([x.mean((0, 2, 3)) for x in inputs]).mean(0)
    variance = torch.stack([x.transpose(0, 1).flatten(1).var(1) for x in inputs]).mean(0)
    assert torch.allclose(norms[0].running_mean, mean, atol=1e-5)  # type: ignore[arg-type]
    assert torch.allclose(norms[0].running_var, variance, rtol=1e-4)  # type: ignore[arg-type]
    for name, buffer in trained.state.generator.named_buffers():
        assert torch.equal(buffer, source[name]), "the generator's own are left alone"


def test_taking_a_snapshot_changes_no_course(bench: Callable[..., Bench]) -> None:
    looked, plain = bench(tiny()), bench(tiny())
    for trained in (looked, plain):
        for _ in range(3):
            trained.step()
            trained.state.ema.update(trained.state.images_seen, 8)
            if trained is looked:
                trained.state.ema.snapshot(calibration())
    assert torch.equal(looked.weights(), plain.weights())
    pairs = zip(looked.state.ema.module.parameters(), plain.state.ema.module.parameters(), strict=True)
    assert all(torch.equal(a, b) for a, b in pairs)


def test_statistics_of_modulated_norms_are_measured_too() -> None:
    source = generator("dcgan modulated", attribute_size=0)
    average = EMA(source, halflife=100)
    inputs = [(torch.randn(16, source.body[0].in_channels),) for _ in range(3)]
    average.snapshot(inputs)
    norm = average.module.body[1].norm
    with torch.no_grad():
        maps = [source.body[0](z[:, :, None, None]).mean((0, 2, 3)) for (z,) in inputs]
    torch.testing.assert_close(norm.running_mean, torch.stack(maps).mean(0))
    assert not norm.training and norm.num_batches_tracked == 3
