"""The table of the fault runs: of each kind how many were tried, held, refused, wrong, lost.

With ``KAOGAN_FAULTS_TABLE`` the counts go into that file, a JSON line for each test, and
``python -m tests.faults.table FILE`` prints them.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

COLUMNS = ("tried", "held", "refused", "wrong", "lost")
ROWS: dict[str, Row] = {}


@dataclass
class Row:
    """``held``: all went on as if nothing had been; ``refused``: one line said what was wrong; ``wrong``: other
    results, a traceback or a hang; ``lost``: files that are gone or changed, or that were left over."""

    tried: int = 0
    held: int = 0
    refused: int = 0
    wrong: int = 0
    lost: int = 0


@contextmanager
def row(name: str) -> Iterator[Row]:
    """The counts of ``name`` for one trial; an error that leaves the block counts as wrong unless it was counted."""
    counts = ROWS.setdefault(name, Row())
    counts.tried += 1
    before = counts.wrong + counts.lost
    try:
        yield counts
    except BaseException:
        counts.wrong += counts.wrong + counts.lost == before
        raise


def write() -> None:
    """Add the counts of this process to the file."""
    if (path := os.environ.get("KAOGAN_FAULTS_TABLE")) and ROWS:
        with Path(path).open("a", encoding="utf-8") as file:
            file.writelines(json.dumps({"name": name, **asdict(counts)}) + "\n" for name, counts in ROWS.items())


def lines(path: Path) -> list[str]:
    """The table in Markdown, with a row of sums."""
    sums: dict[str, list[int]] = {}
    for line in path.read_text(encoding="utf-8").splitlines():
        found = json.loads(line)
        old = sums.setdefault(found["name"], [0] * len(COLUMNS))
        sums[found["name"]] = [a + found[column] for a, column in zip(old, COLUMNS, strict=True)]
    sums = dict(sorted(sums.items()))
    sums["all"] = [sum(column) for column in zip(*sums.values(), strict=True)]
    head = [f"| what | {' | '.join(COLUMNS)} |", f"|---|{'---|' * len(COLUMNS)}"]
    return head + [f"| {name} | {' | '.join(f'{n:,}' for n in counts)} |" for name, counts in sums.items()]


if __name__ == "__main__":
    table = lines(Path(sys.argv[1]))
    print("\n".join(table))
    sys.exit(not table[-1].endswith("| 0 | 0 |"))
