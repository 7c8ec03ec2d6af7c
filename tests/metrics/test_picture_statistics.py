"""Fixed share, power ratio and eyes: statistics of the pictures themselves, on arrays whose values are known."""

from __future__ import annotations

import numpy as np
import pytest

from kaogan.metrics import fixed_share, power_ratio
from kaogan.metrics.collect import collect
from kaogan.metrics.comparison import PictureComparison
from kaogan.metrics.registry import METRICS
from kaogan.metrics.stats.estimate import TooFewSamplesError
from tests.metrics.conftest import holds_only_for


def share_of(pictures: np.ndarray) -> dict[str, np.ndarray]:
    return collect([pictures], len(pictures), [fixed_share.HighPassSums()])[0]


def test_the_high_pass_is_what_the_binomial_blur_takes_away() -> None:
    """A checkerboard is blurred to nothing, a plain field is left whole; by hand, a point keeps 1 - (6/16)² of it."""
    checkerboard = (np.indices((16, 16)).sum(0) % 2 * 200).astype(np.uint8)[None, ..., None]
    assert fixed_share.high_pass(checkerboard)[0, 4:12, 4:12].std() == pytest.approx(100, rel=1e-5)
    assert np.abs(fixed_share.high_pass(np.full((1, 16, 16, 3), 90, np.uint8))).max() < 1e-4
    point = np.zeros((1, 16, 16, 1), np.uint8)
    point[0, 8, 8] = 128
    assert fixed_share.high_pass(point)[0, 8, 8, 0] == pytest.approx(128 * (1 - 36 / 256), rel=1e-5)


def test_a_pattern_of_known_energy() -> None:
    """Noise of variance v in its high pass, and a pattern of energy p in all: the share is p / (p + v)."""
    random = np.random.default_rng(0)
    noise = random.normal(0, 20, (600, 16, 16, 1))
    pattern = 30.0 * (np.indices((16, 16)).sum(0) % 2 * 2 - 1)[None, ..., None]
    pictures = np.clip(128 + noise + pattern, 0, 255).astype(np.uint8)
    high = fixed_share.high_pass(np.clip(128 + noise, 0, 255).astype(np.uint8))
    expected = 900 / (900 + float((high**2).mean()))
    arrays = share_of(pictures)

    def check(compute) -> None:
        found = compute(arrays)
        assert found.value == pytest.approx(expected, rel=0.02)
        assert found.low < found.value < found.high and found.high - found.low < 0.05

    def swapped(arrays):
        from kaogan.metrics.stats.estimate import Estimate

        return Estimate(1 - expected, 0, 1)

    holds_only_for(fixed_share.fixed_share, {"the other part": swapped}, check)


def test_of_independent_pictures_nothing_is_fixed() -> None:
    """The bias of 1 / n, that the mean of few pictures is not smooth, is taken off."""
    random = np.random.default_rng(1)
    values = [
        fixed_share.fixed_share(share_of(random.integers(0, 256, (40, 16, 16, 1), dtype=np.uint8))) for _ in range(40)
    ]
    assert abs(np.mean([found.value for found in values])) < 0.001
    covered = [found.low <= 0 <= found.high for found in values]
    assert np.mean(covered) >= 0.85
    same = fixed_share.fixed_share(share_of(np.repeat(random.integers(0, 256, (1, 16, 16, 3), dtype=np.uint8), 60, 0)))
    assert same.value == pytest.approx(1, abs=1e-6) and same.high == pytest.approx(1)


def waves(cycles: float, amplitude: float, count: int = 12, size: int = 64) -> np.ndarray:
    """Pictures with a wave of ``cycles`` over 64 px, at random phases."""
    phases = np.random.default_rng(int(cycles)).random((count, 1, 1, 1)) * 2 * np.pi
    xs = np.arange(size)[None, None, :, None]
    wave = np.sin(xs * 2 * np.pi * cycles / 64 + phases)
    return (128 + amplitude * wave * np.ones((1, size, 1, 1))).round().astype(np.uint8)


@pytest.mark.parametrize(("cycles", "key"), [(12, "power_8_16"), (19, "power_16_22"), (27, "power_24_30")])
@pytest.mark.parametrize("size", [64, 128])
def test_half_the_amplitude_is_a_quarter_of_the_power(cycles: float, key: str, size: int) -> None:
    """In its band alone, at every size of picture."""
    both = [power_ratio.band_powers(waves(cycles, amplitude, size=size)) for amplitude in (40, 80)]
    found = power_ratio.power_ratio(*both)
    assert found[key].value == pytest.approx(0.25, rel=0.02)
    assert np.argmax(both[1].mean(0)) == list(power_ratio.BANDS).index(key)
    assert (
        both[1].mean(0)[list(power_ratio.BANDS).index(key)]
        > 50 * np.delete(both[1].mean(0), np.argmax(both[1].mean(0))).max()
    )


def test_all_power_above_dc_is_counted_once() -> None:
    """Parseval: the bands, and the rest of the spectrum, hold the squares of the windowed picture."""
    pictures = np.random.default_rng(0).integers(0, 256, (3, 32, 32, 3), dtype=np.uint8)
    images = pictures / 255.0
    images = (images - images.mean((1, 2), keepdims=True)) * power_ratio._window(32, 32)
    spectrum = np.abs(np.fft.fft2(images, axes=(1, 2), norm="ortho")) ** 2
    radius = np.hypot(np.fft.fftfreq(32)[:, None] * 64, np.fft.fftfreq(32)[None] * 64)
    for number, (low, high) in enumerate(power_ratio.BANDS.values()):
        expected = spectrum[:, (radius >= low) & (radius < high)].sum(1).mean(1)
        assert power_ratio.band_powers(pictures)[:, number] == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize("cycles", [8, 20, 28])
def test_colour_is_told_from_brightness(cycles: int) -> None:
    """Of a wave in red and green, one against the other, all is colour; of the same wave in grey nothing is."""
    grey = waves(cycles, 40).repeat(3, 3)
    green = np.stack([grey[..., 0], 255 - grey[..., 1] + 1, np.full_like(grey[..., 2], 128)], 3).astype(np.uint8)
    plain, coloured = (power_ratio.band_powers(each) for each in (grey, green))
    band = {8: None, 20: 1, 28: 2}[cycles]
    assert plain[:, -1].max() < power_ratio.NOTHING
    assert coloured[:, -1] == pytest.approx(coloured[:, band] if band else 0, rel=0.05, abs=0.01)
    assert power_ratio.COLOUR not in power_ratio.power_ratio(coloured, plain)
    assert power_ratio.power_ratio(coloured, coloured)[power_ratio.COLOUR].value == 1


@pytest.mark.parametrize("name", ["fixed_share", "power_ratio"])
def test_few_pictures_and_grey_ones(name: str) -> None:
    metric = METRICS[name]
    assert metric.collector is not None
    random = np.random.default_rng(0)
    sides = []
    for count in (4, 50):
        pictures = random.integers(0, 256, (count, 64, 64, 1), dtype=np.uint8)
        sides.append(collect([pictures], count, [metric.collector()])[0])
    with pytest.raises(TooFewSamplesError):
        metric.compute(PictureComparison(sides[0], sides[1]))
    found = metric.compute(PictureComparison(sides[1], sides[1]))
    assert set(found) == set(metric.keys) - {power_ratio.COLOUR} and all(
        np.isfinite(estimate.value) for estimate in found.values()
    )
