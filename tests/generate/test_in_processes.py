"""Sampling, measuring and upscaling in several processes: the same bits as in one."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from kaogan.aux_models.upscaler.load import load_upscaler
from kaogan.aux_models.upscaler.model import FILE, save_upscaler
from kaogan.aux_models.upscaler.networks import build
from kaogan.core.errors import KaoganError
from kaogan.core.worker_pool import WorkerPool
from kaogan.data.avatars import write_set
from kaogan.evaluation.runner import evaluate
from kaogan.generate.grids import write_samples
from kaogan.generate.model import Model, load
from kaogan.generate.upscale_files import upscale_files
from tests.generate.conftest import tiny_model
from tests.small import TINY_UPSCALER


@pytest.fixture(scope="module")
def pool() -> Iterator[WorkerPool]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("OMP_NUM_THREADS", "1")
        with WorkerPool(2) as started:
            yield started


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    tiny_model().save(tmp_path / "model", preview=np.zeros((4, 4, 3), np.uint8))
    save_upscaler(tmp_path / FILE, build(TINY_UPSCALER), TINY_UPSCALER, {})
    return tmp_path


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_samples_and_what_is_enlarged(folder: Path, pool: WorkerPool) -> None:
    model, upscaler = load(folder / "model", "cpu"), load_upscaler(folder / FILE, "cpu", "fp32")
    for name, count, options in (("faces", 40, {"attributes": {"hair": "pink"}, "truncation": 0.7}),
                                 ("large", 3, {"upscaler": upscaler, "scale": 2})):  # fmt: skip
        for where, workers in (("one", None), ("two", pool)):
            out = folder / f"{name} {where}"
            write_samples(model, out, count=count, seed=5, separate=True, pool=workers, **options)  # type: ignore[arg-type]
        assert len(contents(folder / f"{name} two")) == count
        assert contents(folder / f"{name} one") == contents(folder / f"{name} two")
    faces = sorted((folder / "faces one").iterdir())[:18]
    alone = upscale_files(upscaler, faces, folder / "up one", 2)
    shared = upscale_files(upscaler, faces, folder / "up two", 2, pool=pool)
    assert len(shared.written) == len(alone.written) == 18
    assert contents(folder / "up one") == contents(folder / "up two")
    sheets = [
        upscale_files(upscaler, faces, folder / f"sheet {workers}", 2, compare=True, pool=workers).gains
        for workers in (None, pool)
    ]
    assert sheets[0] == sheets[1] and len(sheets[0]) == 18


def test_measurements(folder: Path, pool: WorkerPool, monkeypatch: pytest.MonkeyPatch) -> None:
    write_set(folder / "faces", 44, 16, 0)
    found = []
    for where, workers in (("one", None), ("two", pool)):
        monkeypatch.setenv("KAOGAN_CACHE", str(folder / f"cache {where}"))
        (result,) = evaluate(
            [folder / "model"], folder / "faces", features=["tagger"], count=40, device="cpu", pool=workers,
            metrics=["kid", "attributes", "fixed_share", "power_ratio"],
        )  # fmt: skip
        found.append({key: (row.estimate, row.real) for key, row in result.rows.items()})
    assert found[0] == found[1] and {"kid/tagger", "accuracy_hair/tagger", "fixed_share"} <= set(found[0])


def test_another_model_by_then_and_none_on_the_disk(folder: Path, pool: WorkerPool, model: Model) -> None:
    held = load(folder / "model", "cpu")
    held.config["clock"] += 1  # what a training has left there since
    with pytest.raises(KaoganError, match="was changed meanwhile"):
        write_samples(held, folder / "out", count=3, separate=True, pool=pool)
    assert not (folder / "out").exists()
    with pytest.raises(KaoganError, match="in memory only"):
        write_samples(model, folder / "out", count=3, separate=True, pool=pool)
