"""Resuming a training from its newest good checkpoint."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import NamedTuple

from kaogan.core import checkpoint
from kaogan.core.errors import KaoganError, UsageError
from kaogan.core.training_loop import State


class Resumed(NamedTuple):
    """The checkpoint that a training goes on from, and the newer ones that could not be used, with the reason."""

    path: Path | None
    unusable: dict[Path, str]

    def accept(self, log: logging.Logger, images_seen: int) -> None:
        """Note it in the log, and put away what is unusable, lest it count among the checkpoints that are kept."""
        for path, reason in self.unusable.items():
            log.info("cannot use %s: %s", path.name, reason)
            path.rename(path.with_name(f"{path.name}.unusable"))
        if self.path is not None:
            log.info("resumed at %d images from %s", images_seen, self.path.name)

    def __bool__(self) -> bool:
        return self.path is not None


def resume(state: State, checkpoints: Path, folder: Path | None = None) -> Resumed:
    """Load the newest good checkpoint into ``state``, if there is any; nothing on the disk changes.

    Raises KaoganError when there are checkpoints and none can be used.
    """
    unusable: dict[Path, str] = {}
    for path in reversed(checkpoint.find(checkpoints)):
        try:
            state.load_state_dict(*checkpoint.load(path))
        except UsageError:
            raise
        except (KaoganError, ValueError, KeyError) as error:
            unusable[path] = str(error) if isinstance(error, KaoganError) else f"{path.name}: {error}"
            continue
        return Resumed(path, unusable)
    if unusable:
        first = next(iter(unusable.values()))
        raise KaoganError(f"no checkpoint in {folder or checkpoints} can be used ({first}); move it away to start anew")
    return Resumed(None, {})
