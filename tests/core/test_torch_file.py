"""Damaged and hostile files of PyTorch: one line, nothing executed, no more memory than the file's bytes."""

from __future__ import annotations

import os
import pickle
import zipfile
from pathlib import Path

import pytest
import torch

from kaogan.core.errors import KaoganError
from kaogan.core.torch_file import UnreadableFile, read_torch_file
from kaogan.metrics.features.weights import read_state
from kaogan.networks.stylegan.load_pretrained import read_tensors

STATE = {"a": torch.arange(6.0).reshape(2, 3), "b": torch.ones(2, dtype=torch.int64)}


@pytest.fixture(params=["zip", "old"])
def file(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    path = tmp_path / "state.pth"
    torch.save(STATE, path, _use_new_zipfile_serialization=request.param == "zip")
    return path


def test_reads_what_torch_wrote(file: Path) -> None:
    for read in (read_torch_file, read_state, read_tensors):
        found = read(file)
        assert found.keys() == STATE.keys() and all(torch.equal(found[name], STATE[name]) for name in STATE)


def test_cut_at_any_byte(file: Path, tmp_path: Path) -> None:
    whole = file.read_bytes()
    cut = tmp_path / "cut.pth"
    for size in range(0, len(whole) - 64, max(1, len(whole) // 60)):
        cut.write_bytes(whole[:size])
        with pytest.raises(KaoganError, match=r"cut\.pth"):
            read_torch_file(cut)


@pytest.mark.parametrize(
    "content",
    [
        b"\x80\x02)c__builtin__\nexec\n.",  # a call that is not allowed
        b"\x80\x020.",  # takes from an empty stack: IndexError in torch
        b"\x80\x02X\x05",  # a length cut short: struct.error in torch
        b"\x80\x02}(X\x01\x00\x00\x00au.",  # a name without a value
        b"\x80\x02ctorch._utils\n_rebuild_tensor_v2\n(K\x01tR.",  # a call without its arguments: TypeError in torch
    ],
)
@pytest.mark.parametrize("read", [read_torch_file, read_state, read_tensors])
def test_what_makes_torch_raise_anything_is_one_line(tmp_path: Path, content: bytes, read: object) -> None:
    path = tmp_path / "state.pth"
    path.write_bytes(content)
    assert callable(read)
    with pytest.raises(KaoganError) as caught:
        read(path)
    assert "state.pth" in str(caught.value) and "\n" not in str(caught.value) and "trust" not in str(caught.value)


def test_a_zip_that_unfolds_to_more_than_its_bytes(tmp_path: Path) -> None:
    torch.save({"a": torch.zeros(100_000)}, tmp_path / "plain.pth")
    with zipfile.ZipFile(tmp_path / "plain.pth") as plain, zipfile.ZipFile(tmp_path / "bomb.pth", "w") as bomb:
        for member in plain.infolist():
            bomb.writestr(member.filename, plain.read(member), zipfile.ZIP_DEFLATED)
    with pytest.raises(UnreadableFile, match="claim more bytes"):
        read_torch_file(tmp_path / "bomb.pth")


def test_a_call_is_named_and_not_made(tmp_path: Path) -> None:
    class Hostile:
        def __reduce__(self) -> tuple[object, tuple[str]]:
            return os.mkdir, (str(tmp_path / "made"),)

    (tmp_path / "state.pth").write_bytes(pickle.dumps({"a": Hostile()}, 2))
    with pytest.raises(KaoganError, match=r"state\.pth"):
        read_torch_file(tmp_path / "state.pth")
    torch.save({"a": Hostile()}, tmp_path / "state.pth")
    with pytest.raises(UnreadableFile, match=r"it would call [a-z]+\.mkdir"):
        read_torch_file(tmp_path / "state.pth")
    assert not (tmp_path / "made").exists()
