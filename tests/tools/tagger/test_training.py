"""A tiny tagger learns, stops and goes on."""

import signal

import numpy as np
import pytest
import torch

from kaogan.aux_models.tagger.network import Architecture
from kaogan.core.errors import UsageError
from kaogan.data import avatars
from tools.tagger import training
from tools.tagger.data import Tagged
from tools.tagger.examples import Batch, Examples
from tools.tagger.training import Settings, losses_of, train

TINY = Architecture(widths=(8, 8, 16, 16), depths=(0, 0, 0, 0), features=16)
SETTINGS = Settings(images=160, polish=96, batch_size=16, warmup=32, average=0.5)


@pytest.fixture(scope="module")
def examples() -> Examples:
    pairs = np.array([avatars.labels_of(i, 5) for i in range(40)])
    pictures = np.stack([avatars.draw(i, 64, 5) for i in range(40)])
    return Examples({"avatars": Tagged(pictures, {"hair": pairs[:, 0], "eyes": pairs[:, 1]})}, pictures[:0], seed=0)


def test_it_learns(examples, tmp_path):
    losses = []
    settings = Settings(images=1400, polish=200, batch_size=16, warmup=100, learning_rate=4e-3, average=0.9)
    network = train(examples, settings, tmp_path, TINY, lambda step: losses.append(step.losses))
    assert not network.training
    assert losses[-1]["hair"] < losses[0]["hair"] - 0.5
    assert losses[-1]["face"] < losses[0]["face"]


def test_stopped_and_resumed_is_the_same_as_never_stopped(examples, tmp_path):
    whole = train(examples, SETTINGS, tmp_path / "whole", TINY)

    def stop(step: training.Step) -> None:
        if step.clock == 160:
            signal.raise_signal(signal.SIGINT)

    with pytest.raises(KeyboardInterrupt):
        train(examples, SETTINGS, tmp_path / "parts", TINY, stop)
    clocks = []
    resumed = train(examples, SETTINGS, tmp_path / "parts", TINY, lambda step: clocks.append(step.clock))
    assert clocks == [256], "ten steps had been reported before"
    for name, value in whole.state_dict().items():
        assert torch.equal(value, resumed.state_dict()[name]), name


def test_other_settings_in_the_same_folder_are_refused(examples, tmp_path):
    settings = Settings(images=16, polish=16, batch_size=16)
    train(examples, settings, tmp_path, TINY)
    with pytest.raises(UsageError, match="other settings"):
        train(examples, Settings(images=16, polish=16, batch_size=16, seed=1), tmp_path, TINY)


def test_rate_rises_stays_falls_and_polishes():
    settings = Settings(images=1000, polish=200, batch_size=10, warmup=100, cooldown=0.3, polish_rate=0.5)
    rates = [training.rate_at(clock, settings) for clock in range(0, settings.total, settings.batch_size)]
    assert rates[0] == pytest.approx(0.1) and rates[9] == 1 and rates[70] == 1
    assert rates[85] == pytest.approx(0.5) and rates[99] == pytest.approx(1 / 30)
    assert rates[100] == 0.5 and rates[110] == pytest.approx(0.25) and rates[-1] == pytest.approx(0.025)


def test_the_unknown_counts_nothing_in_any_loss():
    logits = {"hair": torch.zeros(2, 12), "eyes": torch.zeros(2, 10)}
    logits |= {"face": torch.tensor([[3.0], [-50.0]]), "quality": torch.tensor([[0.0], [50.0]])}
    logits["faults"] = torch.tensor([[0.0] * 12, [50.0] * 12])
    batch = Batch(
        torch.empty(0),
        {"hair": torch.tensor([4, -1]), "eyes": torch.tensor([-1, -1])},
        torch.tensor([1.0, -1.0]),
        torch.tensor([0.25, -1.0]),
        torch.stack([torch.zeros(12), -torch.ones(12)]),
    )
    losses = losses_of(logits, batch, Settings())
    assert float(losses["hair"]) == pytest.approx(np.log(12))
    assert float(losses["eyes"]) == 0
    assert float(losses["face"]) == pytest.approx(np.log1p(np.exp(-3)))
    assert float(losses["quality"]) == pytest.approx(np.log(2))
    assert float(losses["faults"]) == pytest.approx(np.log(2))


def test_the_average_holds_the_statistics_of_the_norms_too(tmp_path):
    state = training.start(TINY, Settings(), tmp_path)
    before = {name: value.clone() for name, value in state.ema.module.state_dict().items()}
    state.network(torch.randn(4, 3, 64, 64, generator=torch.Generator().manual_seed(0)))
    state.ema.lerp(0.75)
    for name, value in state.network.state_dict().items():
        if value.is_floating_point():
            expected = 0.75 * before[name] + 0.25 * value
            torch.testing.assert_close(state.ema.module.state_dict()[name], expected)
