"""``--processes``: the same call in several processes under torchrun."""

from __future__ import annotations

import logging
import os

import psutil
import torch
from torch.distributed import run as torchrun
from torch.distributed.elastic.multiprocessing import SignalException
from torch.distributed.elastic.multiprocessing.errors import ChildFailedError

from kaogan.cli._console import notice
from kaogan.core.distributed import expected
from kaogan.core.errors import KaoganError, ProcessLostError, UsageError
from kaogan.training.shards import shards_each

RESTARTS = 3


def count_processes(wanted: str, shards: int, device: str) -> int:
    """What ``--processes`` asks for: ``all`` takes as many as there are cards, or else cores, and as shards allow.

    Raises UsageError for another word, and for a number that cannot share the shards evenly.
    """
    if expected():
        raise UsageError("this is already one of several processes, started by torchrun or srun: leave out --processes")
    cards = torch.cuda.device_count() if device.startswith(("auto", "cuda")) and torch.cuda.is_available() else 0
    if wanted == "all":
        most = cards or psutil.cpu_count(logical=False) or 1
        return max(n for n in range(1, min(most, shards) + 1) if shards % n == 0)
    if not wanted.isdecimal() or int(wanted) < 1:
        raise UsageError(f"--processes must be a number or 'all', not '{wanted}'")
    shards_each(shards, int(wanted))
    return int(wanted)


def launch(count: int, words: list[str]) -> int:
    """Run ``kaogan WORDS`` in ``count`` processes; the exit code.

    When one is killed, all are started again, and go on from the newest checkpoint.
    """
    for name in list(logging.root.manager.loggerDict):
        if name.startswith("torch.distributed"):  # what they warn of is said here, in one line
            logging.getLogger(name).setLevel(logging.CRITICAL)
    cores = psutil.cpu_count(logical=False) or 1
    os.environ.setdefault("OMP_NUM_THREADS", str(max(1, cores // count)))
    os.environ.setdefault("TORCH_CPP_LOG_LEVEL", "ERROR")
    os.environ.setdefault("TORCH_ELASTIC_SHUTDOWN_TIMEOUT", "300")  # seconds in which a checkpoint must be written
    call = torchrun.parse_args(
        ["--standalone", "--nproc-per-node", str(count), "--signals-to-handle", "SIGTERM,SIGINT,SIGHUP,SIGUSR1",
         "--module", "kaogan", *words]
    )  # fmt: skip
    for attempt in range(RESTARTS + 1):
        try:
            torchrun.run(call)
            return 0
        except SignalException:
            return 130
        except ChildFailedError as error:
            codes = [failure.exitcode for failure in error.failures.values()]
            own = [code for code in codes if code > 0 and code != ProcessLostError.exit_code]
            if own:
                return own[0]
            if attempt < RESTARTS:
                notice("a process of this run was killed; all start again from the newest checkpoint")
    raise KaoganError(f"a process of this run was killed {RESTARTS + 1} times; the same command goes on from there")


def without_processes(words: list[str]) -> list[str]:
    """A call without its ``--processes`` option."""
    left, skipped = [], False
    for word in words:
        if not skipped and not word.startswith("--processes"):
            left.append(word)
        skipped = not skipped and word == "--processes"
    return left
