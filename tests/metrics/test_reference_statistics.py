"""Statistics of real features in a file, to and from other programs."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from torch_fidelity.metric_fid import fid_features_to_statistics, fid_statistics_to_metric

from kaogan.core.errors import KaoganError, UsageError
from kaogan.metrics import reference_statistics
from kaogan.metrics.fid import Gaussian, against_gaussian, frechet_distance, with_interval
from kaogan.metrics.reference_statistics import read_statistics, write_statistics


@pytest.fixture
def features() -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(0)
    mixing = random.standard_normal((6, 6))
    return random.standard_normal((400, 6)) @ mixing, random.standard_normal((500, 6)) + 0.5


def test_what_is_written_is_what_numpy_and_torch_fidelity_compute(
    features: tuple[np.ndarray, np.ndarray], tmp_path: Path
) -> None:
    generated, real = features
    write_statistics(tmp_path / "real.npz", real)
    with np.load(tmp_path / "real.npz") as file:
        assert sorted(file) == ["mu", "sigma"]
        np.testing.assert_allclose(file["mu"], real.mean(0), rtol=1e-12)
        np.testing.assert_allclose(file["sigma"], np.cov(real, rowvar=False), rtol=1e-12)
        theirs = {"mu": file["mu"], "sigma": file["sigma"]}
    found = against_gaussian(generated, read_statistics(tmp_path / "real.npz"))
    assert found.value == pytest.approx(frechet_distance(generated, real), rel=1e-12)
    fidelity = fid_statistics_to_metric(fid_features_to_statistics(torch.from_numpy(generated)), theirs, verbose=False)
    assert found.value == pytest.approx(fidelity["frechet_inception_distance"], rel=1e-6)
    both = with_interval(generated, real)
    assert both.low < found.low < found.value < found.high < both.high, "the reals' chance is not in it"


def test_the_interval_covers_the_expectation() -> None:
    random = np.random.default_rng(1)
    gaussian = Gaussian(np.full(3, 0.7), np.diag([1.0, 2.0, 0.5]))
    found = [against_gaussian(random.standard_normal((200, 3)), gaussian) for _ in range(200)]
    mean = np.mean([each.value for each in found])
    share = np.mean([each.low <= mean <= each.high for each in found])
    assert 0.9 <= share <= 0.99


@pytest.mark.parametrize(
    ("arrays", "words"),
    [
        ({"mu": np.zeros(3)}, "sigma"),
        ({"mu": np.zeros(3), "sigma": np.zeros((2, 2))}, r"\(D, D\)"),
        ({"mu": np.zeros(3), "sigma": np.full((3, 3), np.nan)}, "not finite"),
        ({"mu": np.array([object()]), "sigma": np.eye(1)}, "no statistics"),
    ],
)
def test_other_files_are_refused_in_one_line(arrays: dict[str, np.ndarray], words: str, tmp_path: Path) -> None:
    np.savez(tmp_path / "bad.npz", **arrays)
    with pytest.raises(KaoganError, match=words):
        read_statistics(tmp_path / "bad.npz")


def test_damage_and_absence(features: tuple[np.ndarray, np.ndarray], tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no file"):
        read_statistics(tmp_path / "nothing.npz")
    buffer = io.BytesIO()
    np.savez(buffer, mu=np.zeros(2), sigma=np.eye(2))
    (tmp_path / "half.npz").write_bytes(buffer.getvalue()[:100])
    with pytest.raises(KaoganError, match="no statistics"):
        read_statistics(tmp_path / "half.npz")


def test_arrays_that_would_fill_the_memory_are_not_unpacked(
    features: tuple[np.ndarray, np.ndarray], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "real.npz"
    np.savez_compressed(path, mu=np.zeros(500), sigma=np.zeros((500, 500)))
    assert path.stat().st_size < 10_000
    assert read_statistics(path).mean.shape == (500,)
    monkeypatch.setattr(reference_statistics, "MAX_BYTES", 10_000)
    with pytest.raises(KaoganError, match="larger than"):
        read_statistics(path)


def test_damage_within_a_compressed_array_is_one_line(tmp_path: Path) -> None:
    path = tmp_path / "real.npz"
    np.savez_compressed(path, mu=np.arange(50.0), sigma=np.eye(50))
    with zipfile.ZipFile(path) as archive:
        start = archive.getinfo("mu.npy").header_offset + 30 + len("mu.npy")
    data = bytearray(path.read_bytes())
    data[start + 20 : start + 60] = bytes([255] * 40)
    path.write_bytes(data)
    with pytest.raises(KaoganError, match="no statistics"):
        read_statistics(path)
