"""A session that ends before its run does: for want of time, or of memory."""

from __future__ import annotations

from pathlib import Path

import pytest

from kaogan.core.errors import KaoganError
from kaogan.training.step import GANTrainer
from tests.training.runs import newest, train


def test_minutes_end_a_session_with_a_checkpoint(tmp_path: Path, quick: None) -> None:
    stopped = train(tmp_path / "run", minutes=0.0)
    assert (stopped.finished, stopped.out_of_time) == (False, True) and stopped.images_seen < 48
    assert newest(tmp_path / "run").name == f"checkpoint-{stopped.images_seen:010d}.safetensors"
    finished = train(tmp_path / "run")
    assert (finished.finished, finished.out_of_time, finished.images_seen) == (True, False, 48)


def test_out_of_memory_names_shards_that_need_less(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(self: GANTrainer) -> bool:
        raise RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 1 bytes")

    monkeypatch.setattr(GANTrainer, "step", fail)
    half = "with 8 pictures at a time; --training.shards 2 takes 4 at a time"
    for shards, text in ((1, half), (8, "a smaller --image-size")):
        with pytest.raises(KaoganError, match=f"out of memory in .*{text}"):
            train(tmp_path / str(shards), **{"training.shards": shards})
    with pytest.raises(KaoganError, match=r"; --training\.reuse_fakes false and --training\.shards 2 takes"):
        train(tmp_path / "reused", **{"training.reuse_fakes": True})
