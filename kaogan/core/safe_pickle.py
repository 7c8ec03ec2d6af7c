"""Pickles of tensors and plain values, read without executing anything.

A pickle is a program. The only reader used here is ``torch.load(weights_only=True)``, which runs a small part of that
language and knows the functions that it may call. Two things stand between it and the files that other programs made
with ``pickle.dump``: it wants a frame of its own around the pickle, and it speaks the instructions of protocol 2 only.
``_rewritten`` therefore writes the same program down in protocol 2 — a translation of instructions, which runs none —
and puts the frame around it.
"""

from __future__ import annotations

import io
import itertools
import pickletools
import re
import struct
import warnings
import zipfile
from collections.abc import Callable
from typing import Any

import numpy as np
import torch

from kaogan.core.errors import KaoganError

# The first three objects of a file of torch's format from before 1.6: magic number, protocol, system.
_FRAME = (
    b"\x80\x02\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19." b"\x80\x02M\xe9\x03." b"\x80\x02}."
)  # fmt: skip
_NO_STORAGES = b"\x80\x02]."
_MAGIC = _FRAME[2:14]  # a number of 10 bytes, which every protocol writes alike
_NUMERIC = re.compile(r"[<>=|]?(\?|b1|[iu][1248]|f[248]|[bBhHiIlLqQefd])")
_INSTRUCTIONS = 2_000_000, 3
"""A pickle may have so many, or one for so many bytes: each takes a hundred bytes and more of memory. Weights have some
thousands, the tags of 100,000 faces 5,000,000, in many more bytes."""
_KEPT_TEXT = 256  # bytes; longer texts are remembered by the pickle instead of being written out again
_STRINGS = {"SHORT_BINUNICODE", "BINUNICODE", "BINUNICODE8", "UNICODE"}
_BYTES = {"SHORT_BINBYTES", "BINBYTES", "BINBYTES8", "BYTEARRAY8"}
_PUTS = {"PUT", "BINPUT", "LONG_BINPUT", "MEMOIZE"}
_GETS = {"GET", "BINGET", "LONG_BINGET"}


def read_pickle(data: bytes, where: str) -> Any:
    """The object in ``data``: a file of ``torch.save`` (old or new) or of ``pickle.dump``, protocols 2 to 5.

    Allowed are dicts, lists, tuples, numbers, text, None, tensors and NumPy arrays of numbers. Raises KaoganError for
    everything else, above all for a pickle that would call anything.
    """
    try:
        return _plain(_load(_readable(data)), set())
    except Exception as error:  # hostile bytes raise anything: struct.error, EOFError, IndexError, RuntimeError ...
        raise _refused(error, where) from error


def _readable(data: bytes) -> bytes:
    """The same objects as a file that ``torch.load(weights_only=True)`` reads."""
    if data[:2] == b"PK":
        return _rewritten_zip(data)
    if _MAGIC in data[:24]:  # of torch.save before 1.6: five pickles, then the bytes of the storages
        if data[1:2] == b"\x02":
            return data
        parts, start = [], 0
        for _ in range(5):
            size = _length(data[start:])
            parts.append(_rewritten(data[start : start + size]))
            start += size
        return b"".join(parts) + data[start:]
    return _FRAME + _rewritten(data) + _NO_STORAGES


def _length(data: bytes) -> int:
    """The bytes of the first pickle in ``data``."""
    for op, _, start in pickletools.genops(data):
        if op.name == "STOP":
            return int(start or 0) + 1
    raise ValueError("a pickle without an end")


def _rewritten_zip(data: bytes) -> bytes:
    """A file of ``torch.save`` with its pickle in protocol 2; the file itself if it is in that already."""
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        members = archive.infolist()
        if sum(member.file_size for member in members) > len(data):
            raise ValueError("its parts claim more bytes than the file has")
        pickles = [member for member in members if member.filename.endswith("data.pkl")]
        if len(pickles) != 1 or (content := archive.read(pickles[0]))[1:2] in (b"\x02", b"\x03"):
            return data
        out = io.BytesIO()
        with zipfile.ZipFile(out, "w") as rewritten:
            for member in members:
                rewritten.writestr(
                    member.filename, _rewritten(content) if member is pickles[0] else archive.read(member)
                )
    return out.getvalue()


def _load(data: bytes) -> Any:
    with warnings.catch_warnings(), torch.serialization.safe_globals(_allowed()):
        warnings.simplefilter("ignore")
        return torch.load(io.BytesIO(data), map_location="cpu", weights_only=True)


def _allowed() -> list[Callable[..., Any] | tuple[Callable[..., Any], str]]:
    """What a tensor or an array inside a plain pickle is rebuilt with: NumPy's own functions never see the pickle's
    arguments, since a state of the pickle's choice makes a dtype whose elements are wild pointers."""
    named: list[Any] = [
        (_storage, "torch.storage._load_from_bytes"),
        (_NumericDtype, "numpy.dtype"),
        (_Array, "numpy.ndarray"),
    ]
    for module in ("numpy.core.multiarray", "numpy._core.multiarray"):
        named += [(_empty_array, f"{module}._reconstruct"), (_scalar, f"{module}.scalar")]
    for module in ("numpy.core.numeric", "numpy._core.numeric"):
        named.append((_from_buffer, f"{module}._frombuffer"))
    return named


class _NumericDtype:
    """Stands in for ``numpy.dtype``: a plain number, in either order of bytes, and nothing else."""

    def __init__(self, code: Any, align: Any = False, copy: Any = False) -> None:
        if not isinstance(code, str) or not _NUMERIC.fullmatch(code):
            raise ValueError("an array of something else than plain numbers")
        self.plain = np.dtype(code)

    def __setstate__(self, state: Any) -> None:
        if not isinstance(state, tuple) or state[1:2] not in (("<",), (">",), ("|",), ("=",)):
            raise ValueError("a dtype in an unknown state")
        if state[2:] not in ((None, None, None, -1, -1, 0), (None, None, -1, -1, 0)):
            raise ValueError("an array of something else than plain numbers")
        self.plain = self.plain.newbyteorder(state[1])


class _Array(np.ndarray):
    """An array whose state is taken from a pickle only with a plain dtype."""

    def __setstate__(self, state: Any) -> None:
        _, shape, dtype, by_columns, content = state
        if type(dtype) is not _NumericDtype or not isinstance(content, bytes):
            raise ValueError("an array of something else than plain numbers")
        plain: Any = (1, shape, dtype.plain, bool(by_columns), content)
        super().__setstate__(plain)


def _plain(value: Any, seen: set[int]) -> Any:
    """``value`` with ordinary arrays; dicts and lists are changed where they are."""
    if isinstance(value, _Array):
        return value.view(np.ndarray)
    if type(value) is tuple:
        return tuple(_plain(each, seen) for each in value)
    if isinstance(value, dict | list) and id(value) not in seen:
        seen.add(id(value))
        for key, each in list(value.items() if isinstance(value, dict) else enumerate(value)):
            value[key] = _plain(each, seen)
    return value


def _empty_array(kind: Any, shape: Any, code: Any) -> np.ndarray:
    if kind is not _Array or shape != (0,):
        raise ValueError("an array of an unknown kind")
    return np.empty(0, np.uint8).view(_Array)


def _from_buffer(content: Any, dtype: Any, shape: Any, order: Any) -> np.ndarray:
    """What arrays are rebuilt with since protocol 5."""
    if type(dtype) is not _NumericDtype or not isinstance(content, bytes) or order not in ("C", "F"):
        raise ValueError("an array of something else than plain numbers")
    return np.frombuffer(bytearray(content), dtype.plain).reshape(shape, order=order)


def _scalar(dtype: Any, content: Any) -> Any:
    if type(dtype) is not _NumericDtype or not isinstance(content, bytes):
        raise ValueError("a number of an unknown kind")
    (number,) = np.frombuffer(content, dtype.plain)
    return number


def _storage(data: bytes) -> Any:
    """Stands in for the function that ``pickle.dump`` of a tensor names, which would unpickle without any limits."""
    if not isinstance(data, bytes):
        raise ValueError("a storage that is not bytes")
    return torch.load(io.BytesIO(data), map_location="cpu", weights_only=True)


def _rewritten(data: bytes) -> bytes:
    """The pickle in ``data`` in the instructions of protocol 2; raises ValueError where it has others.

    Short texts are written out wherever they are used, so that the two texts which protocol 4 names a function by can
    be taken back.
    """
    out: list[bytes] = [b"\x80\x02"]
    texts: list[str | None] = [None]  # for each part of ``out``, the text it is, or None
    remembered: dict[int, str] = {}
    memo_size = 0
    most = max(_INSTRUCTIONS[0], len(data) // _INSTRUCTIONS[1])

    def emit(part: bytes, text: str | None = None) -> None:
        out.append(part)
        texts.append(text)

    def literal(text: str) -> bytes:
        encoded = text.encode("utf-8", "surrogatepass")
        return b"X" + struct.pack("<I", len(encoded)) + encoded

    steps: Any = itertools.pairwise(itertools.chain(pickletools.genops(data), [(None, None, len(data))]))
    for (op, argument, start), (_, _, end) in steps:
        name: str = op.name
        if len(out) > most:
            raise ValueError(f"more than {most:,} instructions in {len(data):,} bytes")
        if name in ("PROTO", "FRAME"):
            continue
        if name in _STRINGS:
            emit(literal(argument), argument if len(argument) <= _KEPT_TEXT else None)
        elif name in _BYTES:
            emit(b"c_codecs\nencode\n" + literal(argument.decode("latin-1")) + literal("latin1") + b"\x86R")
        elif name in _PUTS:
            place = memo_size if name == "MEMOIZE" else int(argument)
            memo_size += 1
            if texts[-1] is not None:
                remembered[place] = texts[-1]
            else:
                remembered.pop(place, None)
                emit(b"r" + struct.pack("<I", place))
        elif name in _GETS:
            place = int(argument)
            if place in remembered:
                emit(literal(remembered[place]), remembered[place])
            else:
                emit(b"j" + struct.pack("<I", place))
        elif name == "STACK_GLOBAL":
            qualified, module = texts.pop(), texts.pop()
            if not isinstance(module, str) or not isinstance(qualified, str) or "\n" in module + qualified:
                raise ValueError("a function without a name")
            del out[-2:]
            emit(f"c{module}\n{qualified}\n".encode())
        elif name in ("INT", "LONG", "LONG4") and not isinstance(argument, bool):
            size = (argument.bit_length() + 8) // 8
            emit(b"\x8a" + struct.pack("<B", size) + argument.to_bytes(size, "little", signed=True))
        elif name == "INT":
            emit(b"\x88" if argument else b"\x89")
        else:
            emit(data[start:end])
        if name == "STOP":
            break
    return b"".join(out)


_REMEDY = "if you trust it, write it again with torch.save in the program that made it (see docs/how-to/formats.md)"


def _refused(error: Exception, where: str) -> KaoganError:
    text = " ".join(str(error).split())
    called = re.search(r"(?:GLOBAL|unrecognized function) <?(?:built-in function )?([\w.]+)", text)
    if called:
        return KaoganError(
            f"{where} is refused and nothing of it was executed: as a pickle it would call {called[1][:80]}, where "
            f"only numbers, text and tensors are read; {_REMEDY}"
        )
    if isinstance(error, MemoryError) or "allocate memory" in text:
        return KaoganError(f"{where} claims more memory than there is; it is damaged or hostile")
    reason = re.search(r"WeightsUnpickler error: (.{1,100})", text)
    why = (reason[1] if reason else text[:100]).split(" This file")[0] or type(error).__name__
    return KaoganError(f"{where} is not a pickle that can be read safely ({why}); {_REMEDY}")
