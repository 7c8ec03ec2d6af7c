"""The processes of one run, and what they tell each other through torch.distributed."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Processes:
    """``count`` processes that train one run together, of which this is number ``rank``."""

    rank: int = 0
    count: int = 1

    @property
    def first(self) -> bool:
        """Whether this process owns the folder, the log and the terminal."""
        return self.rank == 0

    def sum_in_order(self, rows: Tensor) -> Tensor:
        """Rows (R, P) of every process -> their sum (P,), added in the order of processes and rows: the same bits
        however the rows are shared out."""
        return _sum(rows)

    def gather(self, rows: Tensor) -> Tensor:
        """Rows (R, ...) of every process -> those of all (R * count, ...), in their order."""
        return rows


ALONE = Processes()


def _sum(rows: Tensor) -> Tensor:
    total = torch.clone(rows[0])
    for row in rows[1:]:
        total += row
    return total
