"""Checkpoints: everything needed to go on training, in one file that is whole and checked or absent.

A checkpoint is a safetensors file, so loading it executes nothing. Its header names kaogan, the format, the recipe and
the SHA-256 of the tensors; a truncated, foreign, newer or altered file is told apart from a good one. What a GAN puts
into it is ``kaogan.training.state.TrainState.state_dict``.
"""

from __future__ import annotations

import copy
import hashlib
import json
import re
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from kaogan.core.atomic_io import atomic
from kaogan.core.errors import KaoganError
from kaogan.version import __version__

FORMAT = 1
HEADER_DIGEST = "header-sha256"
PATTERN = re.compile(r"checkpoint-(\d+)\.safetensors")


def name_at(clock: int) -> str:
    return f"checkpoint-{clock:010d}.safetensors"


def find(folder: Path) -> list[Path]:
    """The checkpoints of a run, oldest first."""
    return sorted(path for path in folder.glob("checkpoint-*.safetensors") if PATTERN.fullmatch(path.name))


def save(folder: Path, tensors: dict[str, Tensor], state: dict[str, Any]) -> Path:
    """Write the checkpoint of ``state["clock"]``. Raises KaoganError; what was there before stays whole."""
    path = folder / name_at(state["clock"])
    tensors = {name: value.detach().cpu().contiguous() for name, value in tensors.items()}
    header = {
        "kaogan": __version__,
        "format": str(FORMAT),
        "state": json.dumps(state),
        "sha256": _digest(tensors, state),
    }
    header[HEADER_DIGEST] = _header_digest(header)
    with atomic(path) as temporary:
        try:
            save_file(tensors, temporary, header)
        except SafetensorError as error:
            raise _disk_error(error, path) from None
    return path


class CheckpointWriter:
    """Writes one checkpoint after the other; ``aside`` in a thread, out of a copy, while the training goes on.

    A context, which waits for the last one. What a thread could not write is raised, as KaoganError, by the next call
    or at the end.
    """

    def __init__(self, aside: bool = False) -> None:
        self.aside = aside
        self._thread: threading.Thread | None = None
        self._error: Exception | None = None

    def write(
        self, folder: Path, tensors: dict[str, Tensor], state: dict[str, Any], keep_last: int, keep_every: int
    ) -> None:
        """``save`` and ``rotate``; the one before is waited for."""
        self.wait()
        if not self.aside:
            save(folder, tensors, state)
            rotate(folder, keep_last, keep_every)
            return
        tensors, state = copied(tensors), copy.deepcopy(state)

        def work() -> None:
            try:
                save(folder, tensors, state)
                rotate(folder, keep_last, keep_every)
            except Exception as error:
                self._error = error

        self._thread = threading.Thread(target=work, name="checkpoint")
        self._thread.start()

    def wait(self) -> None:
        if self._thread is not None:
            self._thread.join()
            self._thread = None
        if self._error is not None:
            error, self._error = self._error, None
            raise error

    def __enter__(self) -> CheckpointWriter:
        return self

    def __exit__(self, kind: object, *_: object) -> None:
        try:
            self.wait()
        except Exception:
            if kind is None:  # else the training has an error of its own to tell
                raise


def copied(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """Copies on the host, those of a card through pinned memory and all at once."""
    copies = {}
    for name, value in tensors.items():
        on_card = value.device.type == "cuda"
        copies[name] = torch.empty(value.shape, dtype=value.dtype, pin_memory=on_card)
        copies[name].copy_(value.detach(), non_blocking=on_card)
    for device in {value.device for value in tensors.values() if value.device.type == "cuda"}:
        torch.cuda.current_stream(device).synchronize()
    return copies


def rotate(folder: Path, keep_last: int, keep_every: int) -> None:
    """Remove all but the last ones and the one nearest to each multiple of ``keep_every`` images."""
    paths = find(folder)
    marks = set()
    for path in paths[:-keep_last]:
        clock = clock_of(path)
        # The first checkpoint at or after a multiple stands for it.
        mark = clock // keep_every if keep_every else 0
        if mark and mark not in marks:
            marks.add(mark)
            continue
        path.unlink(missing_ok=True)


def load(path: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """(tensors, state). Raises KaoganError that says what is wrong with the file."""
    try:
        with safe_open(path, "pt") as opened:
            header = opened.metadata() or {}
            if "kaogan" not in header:
                raise KaoganError(f"{path} was not written by kaogan")
            if int(header["format"]) > FORMAT:
                raise KaoganError(
                    f"{path} was written by a newer kaogan ({header['kaogan']}); upgrade kaogan to use it"
                )
            tensors = {name: opened.get_tensor(name) for name in opened.keys()}  # noqa: SIM118 - not a dict
            state = json.loads(header["state"])
            if not isinstance(state, dict):
                raise ValueError("its state is no table")
            digest = header["sha256"]
            # Older files have no digest of the header; then they have no other key either.
            others = header.keys() - {"kaogan", "format", "state", "sha256"}
            if others and header.get(HEADER_DIGEST) != _header_digest(header):
                raise KaoganError(f"{path} was altered after it was written: the checksum of its header does not match")
    except (SafetensorError, KeyError, ValueError, TypeError, RecursionError) as error:
        raise KaoganError(f"{path} is damaged or not a checkpoint ({' '.join(str(error).split())})") from None
    except OSError as error:
        raise KaoganError(f"cannot read {path}: {error.strerror or error}") from None
    if _digest(tensors, state) != digest:
        raise KaoganError(f"{path} was altered after it was written: its checksum does not match")
    return tensors, state


def clock_of(path: Path) -> int:
    match = PATTERN.fullmatch(path.name)
    assert match is not None
    return int(match[1])


def _digest(tensors: dict[str, Tensor], state: dict[str, Any]) -> str:
    digest = hashlib.sha256(json.dumps(state, sort_keys=True).encode())
    for name in sorted(tensors):
        value = tensors[name]
        digest.update(f"{name} {value.dtype} {tuple(value.shape)}".encode())
        digest.update(value.flatten().clone().view(torch.uint8).numpy().data)  # numpy has no bfloat16
    return digest.hexdigest()


def _header_digest(header: Mapping[str, str]) -> str:
    others = {key: value for key, value in header.items() if key != HEADER_DIGEST}
    return hashlib.sha256(json.dumps(others, sort_keys=True).encode()).hexdigest()


def _disk_error(error: SafetensorError, path: Path) -> KaoganError:
    text = " ".join(str(error).split())
    if "os error 28" in text or "No space left" in text:
        return KaoganError(f"the disk is full: could not write {path}; free some space and run the same command again")
    return KaoganError(f"could not write {path}: {text}")


# Networks and optimisers as flat named tensors


def optimizer_tensors(prefix: str, module: nn.Module, optimizer: torch.optim.Optimizer) -> dict[str, Tensor]:
    """What ``optimizer`` remembers of the weights of ``module``: ``PREFIX/weight/slot`` -> tensor."""
    return {
        f"{prefix}/{name}/{slot}": value
        for name, parameter in module.named_parameters()
        for slot, value in optimizer.state.get(parameter, {}).items()
        if isinstance(value, Tensor)
    }


@torch.no_grad()
def load_optimizer(
    prefix: str, module: nn.Module, optimizer: torch.optim.Optimizer, tensors: Mapping[str, Tensor]
) -> None:
    """The inverse of ``optimizer_tensors``. Weights whose slots are those of another optimiser begin anew."""
    optimizer.state.clear()
    expected = _slots(optimizer)
    for name, parameter in module.named_parameters():
        slots = part(tensors, f"{prefix}/{name}/")
        if slots.keys() != expected:
            continue
        for slot, saved in slots.items():
            if slot == "step":
                saved = saved.to(parameter.device) if _step_on_device(optimizer) else saved
            elif saved.shape == parameter.shape:  # on the device and in the layout of its weight
                saved = torch.empty_like(parameter, dtype=saved.dtype).copy_(saved)
            optimizer.state[parameter][slot] = saved


def part(tensors: Mapping[str, Tensor], prefix: str) -> dict[str, Tensor]:
    """The entries whose names begin with ``prefix``, without it."""
    return {name.removeprefix(prefix): value for name, value in tensors.items() if name.startswith(prefix)}


def load_module(name: str, module: nn.Module, tensors: Mapping[str, Tensor]) -> None:
    """Raises ValueError, which says what differs, when the tensors are those of another network."""
    expected = module.state_dict()
    wrong = sorted(tensors.keys() ^ expected.keys()) or [k for k in tensors if tensors[k].shape != expected[k].shape]
    if wrong:
        raise ValueError(f"{name} has other weights ({wrong[0]} and {len(wrong) - 1} more)")
    module.load_state_dict(tensors)


def _slots(optimizer: torch.optim.Optimizer) -> set[str]:
    """What an optimiser remembers of each weight that has moved."""
    if isinstance(optimizer, torch.optim.Adam | torch.optim.AdamW):
        return {"step", "exp_avg", "exp_avg_sq"}
    momentum = {"momentum_buffer"} if optimizer.defaults["momentum"] else set()
    return momentum | ({"step", "square_avg"} if isinstance(optimizer, torch.optim.RMSprop) else set())


def _step_on_device(optimizer: torch.optim.Optimizer) -> bool:
    """Fused and capturable optimisers count their steps where the weights lie, all others on the CPU."""
    return bool(optimizer.defaults.get("fused") or optimizer.defaults.get("capturable"))
