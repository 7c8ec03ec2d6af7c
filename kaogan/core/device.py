"""What the machine is and what it is fast at."""

from __future__ import annotations

import contextlib
import functools
import importlib
import os
import platform
import re
import threading
from collections.abc import Iterator

import psutil
import torch
from torch import Tensor

from kaogan.core.errors import UsageError, nearest

_LOCK, _RESTORE = threading.Lock(), contextlib.ExitStack()
_inside = 0  # entries of ``exact`` that have not ended


def choose_device(name: str) -> torch.device:
    """``auto`` takes CUDA, then MPS, then the CPU. Raises UsageError for a device that is not there."""
    if name == "auto":
        if torch.cuda.is_available():
            return torch.device("cuda")
        return torch.device("mps" if torch.backends.mps.is_available() else "cpu")
    if not re.fullmatch(r"cpu|mps|cuda(:\d{1,2})?", name):
        raise UsageError(f"unknown device '{name}'{nearest(name, ('auto', 'cpu', 'cuda', 'mps'))}")
    device = torch.device(name)
    if device.type == "cuda" and not (torch.cuda.is_available() and (device.index or 0) < torch.cuda.device_count()):
        raise UsageError(f"no device '{name}' on this machine; use --device cpu or leave it out")
    if device.type == "mps" and not torch.backends.mps.is_available():
        raise UsageError("no device 'mps' on this machine; use --device cpu or leave it out")
    return device


def to_device(tensor: Tensor, device: torch.device, dtype: torch.dtype | None = None) -> Tensor:
    """The tensor on ``device``, in ``dtype`` if it is given. From the host to CUDA it goes through pinned memory, so
    that the host need not wait until the card has caught up."""
    if device.type == "cuda" and tensor.device.type == "cpu":
        tensor = tensor.pin_memory()
    # Apple's driver may read the source later, when it has been freed.
    return tensor.to(device, dtype, non_blocking=device.type not in ("cpu", "mps"))


def read(tensor: Tensor) -> float:
    """A scalar on the host, which waits for the device: the one place where a training step may do so."""
    return float(tensor)


@functools.cache
def _constant(values: tuple[float, ...], dtype: torch.dtype, device: torch.device) -> Tensor:
    with torch.inference_mode(False):  # what is made there cannot take part in a training
        return torch.tensor(values, dtype=dtype, device=device)


def constant(values: tuple[float, ...], like: Tensor) -> Tensor:
    """``values`` (N,) beside ``like``, of its type. A card keeps them: copied anew they would hold up each step."""
    if like.device.type == "cpu" or torch.compiler.is_compiling():  # a compiler's tensors must not be kept
        return like.new_tensor(values)
    return _constant(values, like.dtype, like.device)


@contextlib.contextmanager
def exact(device: torch.device) -> Iterator[None]:
    """Float32 as it is written, and no algorithm chosen by a stopwatch, on CUDA.

    PyTorch's switches are those of all threads: the first one that enters sets them, the last one puts them back.
    """
    global _inside
    if device.type != "cuda":
        yield
        return
    with _LOCK:
        if not _inside:
            flags = torch.backends.cudnn.flags(enabled=True, benchmark=False, deterministic=True, allow_tf32=False)
            _RESTORE.enter_context(flags)
            _RESTORE.callback(setattr, torch.backends.cuda.matmul, "allow_tf32", torch.backends.cuda.matmul.allow_tf32)
            torch.backends.cuda.matmul.allow_tf32 = False
        _inside += 1
    try:
        yield
    finally:
        with _LOCK:
            _inside -= 1
            if not _inside:
                _RESTORE.close()


def choose_precision(name: str, device: torch.device) -> str:
    """``auto`` takes bf16 where the hardware multiplies it faster than float32, else fp32."""
    if name != "auto":
        return name
    if device.type == "cuda":
        return "bf16" if torch.cuda.is_bf16_supported(including_emulation=False) else "fp16"
    return "bf16" if device.type == "cpu" and _cpu_multiplies_bf16() else "fp32"


def is_emulated(precision: str, device: torch.device) -> bool:
    """Whether a CPU would take many times as long for this precision as for float32."""
    return device.type == "cpu" and (precision == "fp16" or (precision == "bf16" and not _cpu_multiplies_bf16()))


def describe(device: torch.device) -> str:
    """One line for logs and model cards: processor, cores, memory, accelerator."""
    memory = psutil.virtual_memory().total / 2**30
    text = f"{processor()}, {os.cpu_count()} cores, {memory:.0f} GB, {platform.system()}"
    if device.type == "cuda":
        text += f", {torch.cuda.get_device_name(device)}"
    return text


def import_compiler_aside() -> None:
    """Import torch._dynamo in a background thread; torch.optim would otherwise import it and block for seconds.

    Making an optimiser waits for that import only to keep the compiler out of ``add_param_group``; the mark set here
    tells PyTorch that this has been done. Nothing in kaogan is compiled.
    """
    guarded = getattr(torch.optim.Optimizer.add_param_group, "__wrapped__", None)
    if guarded is not None:
        guarded.__dict__.setdefault("__dynamo_disable", guarded)
    threading.Thread(target=importlib.import_module, args=("torch._dynamo",), daemon=True).start()


def processor() -> str:
    if os.path.exists("/proc/cpuinfo"):  # noqa: PTH110 - not a path of the user's
        with open("/proc/cpuinfo") as lines:  # noqa: PTH123
            for line in lines:
                if line.startswith("model name"):
                    return line.split(":", 1)[1].strip()
    return platform.processor() or platform.machine()


def _cpu_multiplies_bf16() -> bool:
    """AVX-512-BF16 or AMX; emulated bf16 is slower than float32."""
    cpu = torch.cpu
    checks = (getattr(cpu, name, None) for name in ("_is_avx512_bf16_supported", "_is_amx_tile_supported"))
    return any(bool(check()) for check in checks if check is not None)
