"""Files of PyTorch: their tensors and plain values, read without executing anything and within the file's size."""

from __future__ import annotations

import re
import warnings
import zipfile
from pathlib import Path
from typing import Any

import torch

from kaogan.core.atomic_io import explain
from kaogan.core.errors import KaoganError
from kaogan.core.weights_file import refuse_lfs_pointer
from kaogan.core.zip_entries import check_entries


class UnreadableFile(KaoganError):  # noqa: N818 - it names what it is
    """``reason`` says in a few words what is wrong with the content."""

    def __init__(self, path: Path, reason: str) -> None:
        super().__init__(f"{path} holds nothing that can be read safely ({reason})")
        self.reason = reason


def read_torch_file(path: Path) -> Any:
    """What ``torch.save`` wrote, on the CPU. Raises KaoganError; UnreadableFile for a damaged or hostile content."""
    try:
        refuse_lfs_pointer(path)
        if zipfile.is_zipfile(path):
            check_entries(path, "no file of weights is like that")
            with zipfile.ZipFile(path) as archive:
                if sum(member.file_size for member in archive.infolist()) > path.stat().st_size:
                    raise UnreadableFile(path, "its parts claim more bytes than the file has")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about old protocols; what cannot be read is an error below
            return torch.load(path, map_location="cpu", weights_only=True)
    except KaoganError:
        raise
    except OSError as error:
        raise explain(error, path) from error
    except Exception as error:  # hostile bytes raise anything: struct.error, IndexError, AssertionError ...
        raise UnreadableFile(path, _reason(error)) from error


def _reason(error: Exception) -> str:
    """The part of torch's message that says what was wrong; the rest is advice to trust the file."""
    text = " ".join(str(error).split())
    if found := re.search(r"WeightsUnpickler error: (.{1,160})", text):
        text = re.split(" This file| Check the doc", found[1])[0]
    if called := re.search(r"(?:GLOBAL|unrecognized function) <?(?:built-in function )?([\w.]+)", text):
        return f"it would call {called[1][:80]}"
    return text[:160] or type(error).__name__
