"""What the machine is and what it is fast at."""

from __future__ import annotations

import contextlib
import importlib
import os
import platform
import re
import threading

import psutil
import torch
from torch import Tensor

from kaogan.core.errors import UsageError, nearest


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


def exact(device: torch.device) -> contextlib.AbstractContextManager[None]:
    """Float32 as it is written, and no algorithm chosen by a stopwatch."""
    if device.type != "cuda":
        return contextlib.nullcontext()
    return torch.backends.cudnn.flags(enabled=True, benchmark=False, deterministic=True, allow_tf32=False)


def choose_precision(name: str, device: torch.device) -> str:
    """``auto`` takes bf16 where the hardware multiplies it faster than float32, else fp32."""
    if name != "auto":
        return name
    if device.type == "cuda":
        return "bf16" if torch.cuda.is_bf16_supported(including_emulation=False) else "fp16"
    return "bf16" if device.type == "cpu" and _cpu_multiplies_bf16() else "fp32"


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
