"""``--processes``: a training in several processes under torchrun; a pool of processes for other commands."""

from __future__ import annotations

import logging
import os
import sys
from contextlib import AbstractContextManager, nullcontext
from functools import partial

import psutil

from kaogan.cli._console import notice
from kaogan.cli._run import load_plugins, split_plugins
from kaogan.core.errors import KaoganError, ProcessLostError, UsageError
from kaogan.core.worker_pool import WorkerPool

RESTARTS = 3
MOST = 1024
"""Processes: a slip of the finger must not bring the machine down."""


def count_processes(wanted: str, shards: int, device: str) -> int:
    """What ``--processes`` asks for: ``all`` takes as many as there are cards, or else cores, and as shards allow.

    Raises UsageError for another word, and for a number that cannot share the shards evenly.
    """
    from kaogan.core.distributed import expected
    from kaogan.training.shards import shards_each

    if expected():
        raise UsageError("this is already one of several processes, started by torchrun or srun: leave out --processes")
    if wanted == "all":
        return max(n for n in range(1, min(_most(device), shards) + 1) if shards % n == 0)
    shards_each(shards, _number(wanted))
    return _number(wanted)


def worker_pool(wanted: str | None, device: str) -> AbstractContextManager[WorkerPool | None]:
    """The pool that ``--processes`` asks for, which loads the plug-ins of this call; None without the option.

    Raises UsageError.
    """
    if wanted is None:
        return nullcontext()
    begin = partial(_begin, split_plugins(sys.argv[1:])[1])
    return WorkerPool(_most(device) if wanted == "all" else _number(wanted), begin)


def _begin(plugins: list[str]) -> None:
    logging.getLogger("kaogan").setLevel(logging.ERROR)  # notes are for the first process to say
    load_plugins(plugins)


def _number(wanted: str) -> int:
    if not wanted.isdecimal() or not 1 <= int(wanted) <= MOST:
        raise UsageError(f"--processes must be a number from 1 to {MOST:,} or 'all', not '{wanted}'")
    return int(wanted)


def _most(device: str) -> int:
    """A process for each card, or else for each core."""
    import torch

    cards = torch.cuda.device_count() if device.startswith(("auto", "cuda")) and torch.cuda.is_available() else 0
    return cards or psutil.cpu_count(logical=False) or 1


def launch(count: int, words: list[str]) -> int:
    """Run ``kaogan WORDS`` in ``count`` processes; the exit code.

    When one is killed, all are started again, and go on from the newest checkpoint.
    """
    from torch.distributed import run as torchrun
    from torch.distributed.elastic.multiprocessing import SignalException
    from torch.distributed.elastic.multiprocessing.errors import ChildFailedError

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
