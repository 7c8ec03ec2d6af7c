"""Pickles of every kind are read as what they are, and none is ever run."""

from __future__ import annotations

import io
import os
import pickle
from pathlib import Path

import numpy as np
import pytest
import torch

from kaogan.core import safe_pickle
from kaogan.core.errors import KaoganError
from kaogan.core.safe_pickle import read_pickle

SHARED = torch.eye(3)[1].clone()
OBJECTS = {
    "tensors": {i: (torch.eye(12)[i], torch.eye(10)[i]) for i in range(4)},
    "views and shared": [SHARED, SHARED, torch.arange(6.0).reshape(2, 3)[:, 1:]],
    "plain": {"a": (1, None, -2), "é顔": [True, False, 2.5, 10**30, -70000, 255, 65535], "b": ({}, (), [])},
    "long texts twice": ["x" * 300, "x" * 300, "short", "short", b"bytes \xff\n"],
    "arrays": {0: np.eye(3, dtype=np.float32), 1: np.int64(4), 2: np.arange(5)[::2]},
}


def same(a: object, b: object) -> bool:
    if isinstance(a, torch.Tensor | np.ndarray):
        return type(a) is type(b) and a.dtype == b.dtype and a.tolist() == b.tolist()  # type: ignore[attr-defined]
    if isinstance(a, dict):
        return isinstance(b, dict) and list(a) == list(b) and all(same(a[k], b[k]) for k in a)
    if isinstance(a, list | tuple):
        return type(a) is type(b) and len(a) == len(b) and all(map(same, a, b))
    return type(a) is type(b) and a == b


@pytest.mark.parametrize("name", OBJECTS)
@pytest.mark.parametrize("protocol", [1, 2, 3, 4, 5])
def test_every_protocol(name: str, protocol: int) -> None:
    assert same(read_pickle(pickle.dumps(OBJECTS[name], protocol), "x"), OBJECTS[name])


@pytest.mark.parametrize("new", [True, False])
def test_files_of_torch_save(new: bool) -> None:
    buffer = io.BytesIO()
    torch.save(OBJECTS["tensors"], buffer, _use_new_zipfile_serialization=new)
    assert same(read_pickle(buffer.getvalue(), "x"), OBJECTS["tensors"])


class Calls:
    def __init__(self, function: object, *arguments: object) -> None:
        self.call = function, arguments

    def __reduce__(self) -> object:
        return self.call


def evil(mark: Path) -> dict[str, object]:
    """Objects whose loading leaves a file behind, each by another way."""
    shell = Calls(os.system, f"touch '{mark}'")
    return {
        "system": shell,
        "eval": Calls(eval, f"open({str(mark)!r}, 'w').close()"),
        "open": Calls(open, str(mark), "w"),
        "getattr": Calls(getattr, "text", "upper"),
        "import": Calls(__import__, "antigravity"),
        "inside a storage": Calls(torch.storage._load_from_bytes, pickle.dumps(shell)),
        "array of objects": np.array([shell], dtype=object),
        "torch.load": Calls(torch.load, str(mark)),
    }


@pytest.mark.parametrize("protocol", [0, 1, 2, 3, 4, 5])
@pytest.mark.parametrize("name", evil(Path()))
def test_a_hostile_pickle_does_not_run(tmp_path: Path, name: str, protocol: int) -> None:
    mark = tmp_path / "mark"
    data = pickle.dumps({0: evil(mark)[name]}, protocol)
    with pytest.raises(KaoganError, match=r"tags\.pickle is (refused|not a pickle)") as refused:
        read_pickle(data, "tags.pickle")
    assert "\n" not in str(refused.value)
    assert not mark.exists()


def test_the_hostile_pickle_is_real(tmp_path: Path) -> None:
    """The control: the same bytes do run where nobody looks."""
    mark = tmp_path / "mark"
    pickle.loads(pickle.dumps(evil(mark)["system"]))
    assert mark.exists()


def test_damage_is_told_in_words() -> None:
    """Cut anywhere or changed anywhere: the object, or one line."""
    whole = pickle.dumps(OBJECTS["tensors"])
    rng = np.random.default_rng(0)
    broken = [whole[: len(whole) * part // 20] for part in range(20)]
    for _ in range(100):
        data = bytearray(whole)
        data[rng.integers(len(data))] = rng.integers(256)
        broken.append(bytes(data))
    refused = 0
    for data in [*broken, b"", b"hello", b"PK\x03\x04nothing", b"\x80\x04."]:
        try:
            read_pickle(data, "x")
        except KaoganError as error:
            refused += 1
            assert "\n" not in str(error)
    assert refused > 40


def test_a_claim_of_memory_is_refused() -> None:
    """A storage of 2**50 numbers in a few bytes."""
    buffer = io.BytesIO()
    torch.save(torch.zeros(3), buffer, _use_new_zipfile_serialization=False)
    data = buffer.getvalue()
    place = data.index(b"cpu") + 3 + data[data.index(b"cpu") + 3 :].index(b"K\x03")
    hostile = data[:place] + b"\x8a\x07" + (2**50).to_bytes(7, "little") + data[place + 2 :]
    with pytest.raises(KaoganError):
        read_pickle(hostile, "x")


def test_millions_of_instructions_are_refused() -> None:
    """Each takes far more memory than the two bytes that it has in the file."""
    data = b"\x80\x04]\x8c\xff" + b"a" * 255 + b"\x940" + b"(" + b"h\x00" * 2_100_000 + b"e."
    with pytest.raises(KaoganError, match="instructions"):
        read_pickle(data, "x")


def test_the_tags_of_many_faces_are_read(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of bytes enough for each instruction; the limits of a small file are set for it."""
    monkeypatch.setattr(safe_pickle, "_INSTRUCTIONS", (100, 3))
    tags = {number: (f"hair {number}", f"eyes {number}") for number in range(500)}
    assert read_pickle(pickle.dumps(tags), "x") == tags


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
@pytest.mark.parametrize("zipped", [True, False])
def test_files_of_torch_save_in_every_protocol(protocol: int, zipped: bool) -> None:
    state = {"a.weight": torch.randn(3, 4), "b": torch.arange(300), "step": 3}
    file = io.BytesIO()
    torch.save(state, file, pickle_protocol=protocol, _use_new_zipfile_serialization=zipped)
    assert same(read_pickle(file.getvalue(), "x"), state)


@pytest.mark.parametrize("protocol", [2, 3, 4])
def test_arrays_of_every_order(protocol: int) -> None:
    arrays = {
        "columns": np.asfortranarray(np.arange(6.0).reshape(2, 3)),
        "swapped": np.array([1, 2], ">i4"),
        "flags": np.array([True, False]),
        "number": np.float32(3),
        "nested": [(np.arange(3), "x")],
    }
    content = pickle.dumps(arrays, protocol)
    assert same(read_pickle(content, "x"), pickle.loads(content))  # NumPy turns the bytes of ``swapped`` round


class _Crafted:
    """Pickles as a NumPy array of two numbers whose dtype has the state ``state``."""

    def __init__(self, code: str, state: tuple[object, ...]) -> None:
        self.code, self.state = code, state

    def __reduce__(self) -> tuple[object, ...]:
        made = np.ndarray.__reduce__(np.arange(2.0))
        return made[0], made[1], (1, (2,), _CraftedDtype(self.code, self.state), False, bytes(16))


class _CraftedDtype(_Crafted):
    def __reduce__(self) -> tuple[object, ...]:
        return np.dtype, (self.code, False, True), self.state


@pytest.mark.parametrize(
    ("code", "state"),
    [
        ("O8", (3, "|", None, None, None, -1, -1, 63)),
        ("f8", (3, "<", None, None, None, -1, -1, 63)),
        ("f8", (3, "<", None, ("a",), {"a": (np.dtype(float), 0)}, 8, 1, 0)),
        ("V8", (3, "|", None, None, None, 8, 1, 0)),
        ("U2", (3, "<", None, None, None, 8, 4, 0)),
    ],
)
def test_dtypes_of_anything_but_numbers_are_refused(code: str, state: tuple[object, ...]) -> None:
    with pytest.raises(KaoganError, match="not a pickle that can be read safely") as caught:
        read_pickle(pickle.dumps({0: _Crafted(code, state)}, 2), "x")
    assert "\n" not in str(caught.value)
    assert np.arange(3.0).sum() == 3  # the dtype that everybody shares is whole
