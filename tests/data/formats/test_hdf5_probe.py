"""HDF5 files that make the library loop or claim what they do not hold are refused in bounded time."""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np
import pytest

from kaogan.core.errors import KaoganError
from kaogan.data.formats import convert, hdf5_probe

h5py = pytest.importorskip("h5py")
LOOP = Path(__file__).parent / "files" / "attribute-loop.h5"  # whose attributes never end


def test_a_file_that_never_ends(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hdf5_probe, "SECONDS", 4)
    start = time.monotonic()
    with pytest.raises(KaoganError, match="did not end within 4 s") as caught:
        convert(LOOP, tmp_path / "out", "kaogan")
    assert time.monotonic() - start < 20 and "\n" not in str(caught.value) and not (tmp_path / "out").exists()


def test_claims_beyond_the_bytes(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file.create_dataset("year_imgs", (4_000_000, 64, 64, 3), np.uint8, chunks=(1, 64, 64, 3), compression="gzip")
        file.create_dataset("year_labels", (4_000_000,), np.int64, chunks=(1000,))
    assert (tmp_path / "a.h5").stat().st_size < 10_000
    with pytest.raises(KaoganError, match=r"year_imgs claims \(4000000, 64, 64, 3\) numbers"):
        hdf5_probe.probe(tmp_path / "a.h5")


def test_a_whole_file_passes(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["group/numbers"] = np.arange(12).reshape(3, 4)
        file["again"] = file["group"]  # a circle of names
        file["group/up"] = file["/"]
        file["scalar"] = 1
        file.attrs["name"] = "x"
    hdf5_probe.probe(tmp_path / "a.h5")
