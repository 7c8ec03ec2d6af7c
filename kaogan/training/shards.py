"""The shards of a step: micro-batches whose draws, gradients and statistics do not depend on who computes them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import TypeVar

import torch
from torch import Tensor, nn

from kaogan.core.device import to_device
from kaogan.core.distributed import ALONE, Processes
from kaogan.core.errors import UsageError
from kaogan.training.state import TrainState

T = TypeVar("T")


def shards_each(shards: int, processes: int) -> int:
    """How many shards each of so many processes takes. Raises UsageError when they cannot be shared evenly."""
    if shards % processes:
        fitting = ", ".join(str(n) for n in range(1, shards + 1) if shards % n == 0)
        raise UsageError(
            f"training.shards is {shards}, which {processes} processes cannot share evenly: take a number of processes "
            f"among {fitting}, or --training.shards {processes}"
        )
    return shards // processes


class Shards:
    """``count`` micro-batches make a step; this process takes those in ``mine``, one after the other.

    Draws are a function of (seed, purpose, clock, shard). Running statistics of each shard move on their own and are
    replaced by their mean at ``merge``; gradients are added in the order of the shards. So a step has the same bits on
    any number of processes, and with one shard those of a step without shards.

    Raises UsageError when the shards cannot be shared out evenly.
    """

    def __init__(self, count: int, state: TrainState, processes: Processes = ALONE) -> None:
        each = shards_each(count, processes.count)
        self.count, self.state, self.processes = count, state, processes
        self.mine = range(processes.rank * each, (processes.rank + 1) * each)
        self._current: int | None = None
        self._moved: dict[int, dict[str, Tensor]] = {}
        self._rows: list[Tensor] = []

    def purpose(self, purpose: str) -> str:
        """The purpose of a draw, with the shard that it is for."""
        return purpose if self.count == 1 or self._current is None else f"{purpose}/shard/{self._current}"

    def each(self, items: Iterable[T]) -> Iterator[T]:
        """The items of this process's shards; draws and statistics are a shard's while its item is in use."""
        if self.count == 1:
            yield from items
            return
        before = self.state.statistics()
        for shard, item in zip(self.mine, items, strict=True):
            self._current = shard
            own = self._moved.get(shard, before)
            self.state.set_statistics({name: value.clone() for name, value in own.items()})
            yield item
            self._moved[shard] = self.state.statistics()
        self._current = None
        self.state.set_statistics(before)

    @torch.no_grad()
    def merge(self) -> None:
        """Move every running statistic by the mean of what the shards have moved it by."""
        if self.count == 1:
            return
        before, moved = self.state.statistics(), list(self._moved.values())
        names = [name for name, value in moved[0].items() if value.is_floating_point()]
        device = self.state.path_mean.device  # of the weights; an extra may begin with statistics on the host
        own = [{name: to_device(shard[name], device) for name in names} for shard in moved]
        starts = {name: to_device(self._start(before.get(name), value), device) for name, value in own[0].items()}
        rows = [torch.cat([(shard[name] - starts[name]).float().flatten() for name in names]) for shard in own]
        mean = self.processes.sum_in_order(torch.stack(rows)) / self.count
        after = dict(moved[0])  # whole numbers, such as steps, are the same in all shards
        for name, change in zip(names, mean.split([starts[name].numel() for name in names]), strict=True):
            after[name] = starts[name] + change.view_as(starts[name]).to(starts[name].dtype)
        self.state.set_statistics(after)
        self._moved.clear()

    @staticmethod
    def _start(before: Tensor | None, moved: Tensor) -> Tensor:
        """Where a statistic began: new ones, and those of networks that have grown, at 0."""
        return before if before is not None and before.shape == moved.shape else torch.zeros_like(moved)

    # Gradients

    def collect(self, weights: Sequence[nn.Parameter]) -> None:
        """After the backward pass of a shard. A single process lets the gradients add up where they lie."""
        if self.processes.count > 1:
            gradients = [torch.zeros_like(w) if w.grad is None else w.grad for w in weights]
            self._rows.append(torch.cat([gradient.flatten() for gradient in gradients]))
            for weight in weights if len(self._rows) < len(self.mine) else ():
                weight.grad = None

    @torch.no_grad()
    def average(self, weights: Sequence[nn.Parameter]) -> None:
        """After the last shard: the gradients are the mean over all of them."""
        if self.processes.count > 1:
            rows = self._rows[0][None] if len(self._rows) == 1 else torch.stack(self._rows)
            total = self.processes.sum_in_order(rows).div_(self.count)
            self._rows.clear()
            for weight, part in zip(weights, total.split([w.numel() for w in weights]), strict=True):
                if weight.grad is not None and weight.is_contiguous():
                    weight.grad = part.view_as(weight)  # no copy
                elif weight.grad is not None:
                    weight.grad.copy_(part.view_as(weight))
        elif self.count > 1:
            torch._foreach_div_([w.grad for w in weights if w.grad is not None], float(self.count))

    def gather(self, parts: Sequence[Tensor]) -> Tensor:
        """Tensors (N, ...) of this process's shards -> those of all shards in their order, one after the other."""
        return parts[0] if self.count == 1 else self.processes.gather(torch.cat(list(parts)))
