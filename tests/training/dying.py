"""A training in a process of its own that dies without a word at a chosen moment."""

from __future__ import annotations

import multiprocessing
import os
import signal
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from kaogan.core import checkpoint
from kaogan.training.run_dir import RunDir

# Not forked from the tests' process, in which threads of autograd may run that a copy would not have.
SERVER = multiprocessing.get_context("forkserver")


def killed(train: Callable[[Path], object], out: Path, moment: int) -> bool:
    """Whether the training died, at its ``moment``-th call for the disk, and did not come to an end before."""
    # With what a training imports on its way, once for all children.
    SERVER.set_forkserver_preload([__name__, train.__module__, "torch._dynamo", "matplotlib.figure", "av"])
    failed = out.with_name(f"{out.name}-failed.txt")
    child = SERVER.Process(target=_run, args=(train, out, moment, failed, os.environ["KAOGAN_CACHE"]))
    child.start()
    child.join()
    assert not failed.exists(), failed.read_text()
    assert child.exitcode in (0, -signal.SIGKILL), child.exitcode
    return child.exitcode != 0


def _run(train: Callable[[Path], object], out: Path, moment: int, failed: Path, cache: str) -> None:
    os.environ["KAOGAN_CACHE"] = cache
    torch.set_num_threads(1)
    left = [moment]

    def dying(function: Callable[..., Any]) -> Callable[..., Any]:
        def call(*arguments: Any, **keywords: Any) -> Any:
            left[0] -= 1
            if left[0] < 0:
                os.kill(os.getpid(), signal.SIGKILL)
            return function(*arguments, **keywords)

        return call

    for owner, name in ((os, "fsync"), (Path, "replace"), (Path, "unlink"), (Path, "chmod"), (Path, "mkdir"),
                        (RunDir, "append_stats"), (checkpoint, "save_file")):  # fmt: skip
        setattr(owner, name, dying(getattr(owner, name)))
    try:
        train(out)
    except BaseException:
        failed.write_text(traceback.format_exc())
