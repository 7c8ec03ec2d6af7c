import numpy as np
import pytest
import torch
import torch.nn.functional as F

from kaogan.core.rng import torch_generator
from tools.tagger.calibration import expected_calibration_error, fit_temperature


def test_calibration_error_by_hand():
    # Two bins of [0, 1]: (0, 0.5] holds confidence 0.5 once, wrong; (0.5, 1] holds 0.9 and 0.7, one of them right.
    probabilities = np.array([[0.5, 0.3, 0.2], [0.05, 0.9, 0.05], [0.1, 0.2, 0.7]])
    labels = np.array([1, 1, 0])
    by_hand = (abs(0 - 0.5) + abs(1 - (0.9 + 0.7))) / 3
    assert expected_calibration_error(probabilities, labels, bins=2) == pytest.approx(by_hand)


def test_confidence_of_one_and_on_a_border():
    assert expected_calibration_error(np.array([[1.0, 0.0]]), np.array([0])) == 0
    assert expected_calibration_error(np.array([[1.0, 0.0]]), np.array([1])) == 1
    # 0.6 closes the bin (0.4, 0.6]: it is not judged together with 0.8.
    probabilities = np.array([[0.6, 0.4], [0.8, 0.2]])
    assert expected_calibration_error(probabilities, np.array([0, 1]), bins=5) == pytest.approx((0.4 + 0.8) / 2)


def test_no_pictures_is_an_error():
    with pytest.raises(ValueError, match="no pictures"):
        expected_calibration_error(np.empty((0, 3)), np.empty(0, int))


def test_temperature_finds_the_one_that_made_the_labels():
    generator = torch_generator(0, "temperature")
    logits = torch.randn(20_000, 5, generator=generator) * 3
    labels = torch.multinomial((logits / 2.5).softmax(1), 1, generator=generator)[:, 0]
    assert fit_temperature(logits, labels) == pytest.approx(2.5, rel=0.05)


def test_temperature_is_the_minimum_of_the_weighted_loss():
    generator = torch_generator(1, "temperature")
    logits = torch.randn(200, 4, generator=generator) * 2
    labels = torch.multinomial((logits / 1.5).softmax(1), 1, generator=generator)[:, 0]
    weights = torch.rand(200, generator=generator)

    def loss(temperature: float) -> float:
        return float((F.cross_entropy(logits / temperature, labels, reduction="none") * weights).sum())

    best = fit_temperature(logits, labels, weights)
    assert all(loss(best) <= loss(best * factor) for factor in (0.5, 0.9, 0.99, 1.01, 1.1, 2))


def test_calibrated_guesses_have_a_small_error_and_overconfident_ones_a_large_one():
    generator = torch_generator(2, "temperature")
    logits = torch.randn(20_000, 6, generator=generator) * 2
    labels = torch.multinomial(logits.softmax(1), 1, generator=generator)[:, 0].numpy()
    assert expected_calibration_error(logits.softmax(1).numpy(), labels) < 0.02
    assert expected_calibration_error((logits * 4).softmax(1).numpy(), labels) > 0.1
