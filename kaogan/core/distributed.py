"""The processes of one run, started by torchrun or srun, and what they tell each other through torch.distributed."""

from __future__ import annotations

import atexit
import json
import logging
import os
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from kaogan.core.errors import KaoganError, ProcessLostError, is_out_of_memory

MEETING = timedelta(minutes=5)
"""In which all must have come; where there is no route to the first one, PyTorch tries as long."""
PATIENCE = timedelta(hours=12)
"""The others wait while the first process measures, or reads millions of pictures; one that died is noticed at once."""

_LOST = re.compile(
    r"connection (was likely )?(closed|reset|refused|aborted)|connection abort|socket closed|communicator was aborted"
    r"|broken pipe|pair closure|timed out|timeout|remote process|no route to host|unreachable",
    re.I,
)
"""What gloo, NCCL and the store say when the process at the other end has gone."""


@dataclass(frozen=True)
class Processes:
    """``count`` processes that train one run together, of which this is number ``rank``.

    Every method must be called by all of them, in the same order. Raises ProcessLostError when one has ended,
    KaoganError for another failure of the exchange, as of NCCL or a card.
    """

    rank: int = 0
    count: int = 1
    local_rank: int = 0
    """Number on this machine: which card it takes."""
    on_cards: bool = False
    """Whether tensors on cards are exchanged by NCCL, rather than through the host."""

    @property
    def first(self) -> bool:
        """Whether this process owns the folder, the log and the terminal."""
        return self.rank == 0

    def sum_in_order(self, rows: Tensor) -> Tensor:
        """Rows (R, P) of every process -> their sum (P,), added in the order of processes and rows: the same bits
        however the rows are shared out.

        Each process adds up one slice of all rows, so that no more is sent than in an all-reduce of R rows.
        """
        if self.count == 1:
            return _sum(rows)
        size = -(-rows.shape[1] // self.count)
        missing = size * self.count - rows.shape[1]
        whole = F.pad(self._where(rows), (0, missing)) if missing else self._where(rows)
        sent = whole.view(len(rows), self.count, size).transpose(0, 1).contiguous()
        received = torch.empty_like(sent)
        self._call("all_to_all_single", received, sent)
        total = whole.new_empty(self.count * size)
        self._gather(total, _sum(received.view(-1, size)))
        return total[: rows.shape[1]].to(rows.device)

    def gather(self, rows: Tensor) -> Tensor:
        """Rows (R, ...) of every process -> those of all (R * count, ...), in their order."""
        if self.count == 1:
            return rows
        mine = self._where(rows).contiguous()
        every = mine.new_empty(self.count * len(mine), *mine.shape[1:])
        self._gather(every, mine)
        return every.to(rows.device)

    def any(self, flag: bool) -> bool:
        """Whether one of them says so."""
        return self.any_of([flag])[0]

    def any_of(self, flags: Sequence[bool]) -> list[bool]:
        """Of each flag, whether one of them says so."""
        if self.count == 1:
            return list(flags)
        return self.gather(torch.tensor([list(map(float, flags))])).any(0).tolist()

    def agree(self, value: float) -> bool:
        """Whether all have the same number."""
        values = self.gather(torch.tensor([value], dtype=torch.float64))
        return bool((values == values[0]).all())

    def mean(self, values: Sequence[float]) -> list[float]:
        """Of each value over all processes."""
        if self.count == 1:
            return list(values)
        return (self.gather(torch.tensor([list(values)], dtype=torch.float64)).mean(0)).tolist()

    def share(self, tensors: dict[str, Tensor], facts: dict[str, Any]) -> tuple[dict[str, Tensor], dict[str, Any]]:
        """The named tensors and plain facts of the first process, for all."""
        if self.count == 1:
            return tensors, facts
        kinds = {name: (str(value.dtype).removeprefix("torch."), list(value.shape)) for name, value in tensors.items()}
        header = torch.frombuffer(bytearray(json.dumps([kinds, facts]).encode()), dtype=torch.uint8)
        size = self._from_first(torch.tensor([len(header)]))
        header = self._from_first(header if self.first else torch.empty(int(size), dtype=torch.uint8))
        kinds, facts = json.loads(bytes(header.tolist()))
        found = {}
        for name, (dtype, shape) in kinds.items():
            mine = tensors[name].detach().cpu() if self.first else torch.empty(shape, dtype=getattr(torch, dtype))
            found[name] = self._from_first(mine.contiguous().flatten().view(torch.uint8)).view(mine.dtype).view(shape)
        return found, facts

    def _from_first(self, values: Tensor) -> Tensor:
        self._call("broadcast", values, 0)
        return values

    def wait(self) -> None:
        """Until all are here."""
        self.any(False)

    @contextmanager
    def one_first(self) -> Iterator[None]:
        """The first process of each machine goes ahead, the others follow and find its caches."""
        if self.local_rank:
            self.wait()
        yield
        if not self.local_rank:
            self.wait()

    def _where(self, tensor: Tensor) -> Tensor:
        return tensor if self.on_cards else tensor.cpu()

    def _gather(self, every: Tensor, mine: Tensor) -> None:
        import torch.distributed

        # The name that it has from PyTorch 2.14 on.
        known = hasattr(torch.distributed, "all_gather_single")
        self._call("all_gather_single" if known else "all_gather_into_tensor", every, mine)

    def _call(self, name: str, *arguments: Any) -> None:
        import torch.distributed

        try:
            getattr(torch.distributed, name)(*arguments)
        except RuntimeError as error:
            if is_out_of_memory(error):
                raise
            if _LOST.search(str(error).partition("Exception raised from")[0]):
                raise ProcessLostError(f"another process of this run has ended ({_one_line(error)})") from error
            raise KaoganError(f"the processes of this run cannot exchange their numbers: {_one_line(error)}") from error


ALONE = Processes()
_joined = ALONE
_store: Any = None


def expected() -> bool:
    """Whether this process was started as one of several, by torchrun or by srun with MASTER_ADDR set."""
    return "RANK" in os.environ and int(os.environ.get("WORLD_SIZE", "1")) > 1


def join() -> Processes:
    """Meet the processes that were started with this one; ALONE when there are none. Later calls give the same.

    Raises KaoganError when they cannot be reached.
    """
    global _joined, _store
    _understand_slurm()
    if not expected() or _store is not None:
        return _joined
    import torch.distributed

    local, here = int(os.environ.get("LOCAL_RANK", "0")), int(os.environ.get("LOCAL_WORLD_SIZE", "1"))
    cards = torch.cuda.device_count() if torch.cuda.is_available() else 0
    on_cards = here <= cards and torch.distributed.is_nccl_available()
    if cards:
        torch.cuda.set_device(local % cards)
    try:
        _store, rank, count = next(iter(torch.distributed.rendezvous("env://", timeout=MEETING)))
        backend = "cpu:gloo,cuda:nccl" if on_cards else "gloo"
        torch.distributed.init_process_group(backend, store=_store, rank=rank, world_size=count, timeout=PATIENCE)
    except (RuntimeError, ValueError, OSError) as error:
        where = f"{os.environ.get('MASTER_ADDR', 'MASTER_ADDR')}:{os.environ.get('MASTER_PORT', 'MASTER_PORT')}"
        raise KaoganError(f"cannot meet the other processes of this run at {where}: {_one_line(error)}") from None
    atexit.register(torch.distributed.destroy_process_group)
    _joined = Processes(rank, count, local, on_cards)
    if not _joined.first:
        logging.getLogger("kaogan").setLevel(logging.ERROR)  # notes are for the first to say
    return _joined


def report_failure(code: int) -> bool:
    """Note that this process ends with ``code``, an error. Whether it is the one that should say why."""
    if _store is None:
        return int(os.environ.get("RANK", "0")) == 0 or not expected()
    with suppress(RuntimeError):
        if _store.add("kaogan/failed", 1) > 1:
            return False
        _store.set("kaogan/code", str(code))
    return True


def code_of_failure() -> int:
    """The exit code of a process that has reported a failure, or that of ProcessLostError when one has just died."""
    try:
        return int(_store.get("kaogan/code")) if _store.add("kaogan/failed", 0) else ProcessLostError.exit_code
    except RuntimeError:  # it was the first process that kept the store, and has ended
        return KaoganError.exit_code


def _understand_slurm() -> None:
    """Take rank and number from srun, when MASTER_ADDR says that its tasks are to meet."""
    slurm = {
        "RANK": "SLURM_PROCID", "WORLD_SIZE": "SLURM_STEP_NUM_TASKS", "LOCAL_RANK": "SLURM_LOCALID",
        "LOCAL_WORLD_SIZE": "SLURM_STEP_TASKS_PER_NODE",
    }  # fmt: skip
    if "RANK" in os.environ or "MASTER_ADDR" not in os.environ or "SLURM_STEP_NUM_TASKS" not in os.environ:
        return
    for name, source in slurm.items():
        os.environ[name] = os.environ.get(source, "1").partition("(")[0].partition(",")[0]
    os.environ.setdefault("MASTER_PORT", "29500")


def _one_line(error: Exception) -> str:
    """What PyTorch says, without the stack of C++ behind it."""
    return " ".join(str(error).partition("Exception raised from")[0].split())[:240]


def _sum(rows: Tensor) -> Tensor:
    total = torch.clone(rows[0])
    for row in rows[1:]:
        total += row
    return total
