"""Files of weights: the digest, the same bytes each time, and what is refused."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from kaogan.core.errors import KaoganError
from kaogan.core.weights_file import check_digest, file_digest, read_weights, tensor_digest, write_weights

TENSORS = {
    "a": torch.arange(6.0).reshape(2, 3),
    "b.half": torch.tensor([1.5, -2.0], dtype=torch.float16),
    "c.brain": torch.tensor([0.1, 0.2, 0.3], dtype=torch.bfloat16),
    "d.count": torch.tensor(7),
    "e.empty": torch.zeros(0, 4),
}
METADATA = {"format": "pt", "words": "größer, 大きい", "a": "1", "z": "2"}


def checked(path: Path) -> dict[str, torch.Tensor]:
    tensors, metadata = read_weights(path)
    check_digest(path, tensors, metadata)
    return tensors


def test_files_come_back_and_are_the_same_bytes_each_time(tmp_path: Path) -> None:
    for name in "xyz":
        write_weights(tmp_path / name, TENSORS, METADATA)
    assert len({(tmp_path / name).read_bytes() for name in "xyz"}) == 1
    tensors, metadata = read_weights(tmp_path / "x")
    assert {k: v for k, v in metadata.items() if k != "sha256"} == METADATA
    assert tensors.keys() == TENSORS.keys() == load_file(tmp_path / "x").keys()
    for name, value in TENSORS.items():
        assert tensors[name].dtype == value.dtype and torch.equal(tensors[name], value)
    assert check_digest(tmp_path / "x", tensors, metadata) == file_digest(TENSORS, METADATA)


def test_the_digest_is_of_names_types_shapes_and_bytes() -> None:
    one = torch.arange(6.0)
    variants = [
        {"a": one},
        {"b": one},
        {"a": one.reshape(2, 3)},
        {"a": one.view(torch.int32)},
        {"a": one + torch.finfo().tiny},
        {"a": one, "b": one},
        {},
    ]
    assert len({tensor_digest(each) for each in variants}) == len(variants)
    assert tensor_digest({"a": one, "b": -one}) == tensor_digest({"b": -one, "a": one})
    strided = torch.arange(12.0).reshape(2, 6)[:, ::2]
    assert tensor_digest({"a": strided}) == tensor_digest({"a": strided.contiguous()})


def test_every_flipped_bit_is_noticed(tmp_path: Path) -> None:
    write_weights(tmp_path / "good", TENSORS, METADATA)
    content = (tmp_path / "good").read_bytes()
    for place in np.random.default_rng(1).integers(0, 8 * len(content), 200):
        damaged = bytearray(content)
        damaged[place // 8] ^= 1 << place % 8
        (tmp_path / "bad").write_bytes(damaged)
        try:
            tensors, metadata = read_weights(tmp_path / "bad")
        except KaoganError:
            continue
        if "sha256" in metadata:  # else the reader of the kind of file misses it: see tests/generate/test_model.py
            with pytest.raises(KaoganError, match="checksum does not match"):
                check_digest(tmp_path / "bad", tensors, metadata)


def test_files_that_are_refused(tmp_path: Path) -> None:
    (tmp_path / "pointer").write_text("version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 12\n")
    with pytest.raises(KaoganError, match="pointer is a Git LFS pointer, not the file itself: run git lfs pull"):
        read_weights(tmp_path / "pointer")
    write_weights(tmp_path / "good", TENSORS, METADATA)
    (tmp_path / "cut").write_bytes((tmp_path / "good").read_bytes()[:-4])
    with pytest.raises(KaoganError, match=r"cut is damaged or cut short: no tagger can be read \(.*\); copy it again"):
        read_weights(tmp_path / "cut", "tagger")
    with pytest.raises(KaoganError, match="larger than 0 MB: not a tagger of kaogan"):
        read_weights(tmp_path / "good", "tagger", limit=100)
    with pytest.raises(KaoganError, match="absent"):
        read_weights(tmp_path / "absent")


def test_a_file_without_a_digest_gives_one_note(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    save_file(TENSORS, tmp_path / "old", METADATA)
    for _ in range(2):
        assert checked(tmp_path / "old").keys() == TENSORS.keys()
    assert len(caplog.records) == 1 and "has no checksum" in caplog.text
