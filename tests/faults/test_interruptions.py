"""Every command that writes, killed, on a full disk, under a jumping clock and twice at once: nothing lost or left.

``KAOGAN_KILLS`` is the number of kills (and of each other accident a quarter of it) over all commands, at other moments
each time; without it each command has one accident, and each kind of accident comes again and again.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.faults import table, trial
from tests.faults.verbs import VERBS

KILLS = int(os.environ.get("KAOGAN_KILLS", "0"))
pytestmark = [
    pytest.mark.skipif(sys.platform == "win32", reason="processes are forked here"),
    pytest.mark.timeout(36000 if KILLS else 300),
]


def _trials() -> Iterator[tuple[str, str, int]]:
    """(command, accident, seed)."""
    if not KILLS:
        for number, (name, verb) in enumerate(VERBS.items()):
            if not verb.slow:
                yield name, trial.FAULTS[number % len(trial.FAULTS)], 1
        return
    start = int(os.environ.get("KAOGAN_FAULTS_SEED", "0"))  # the same in all processes of a run
    for fault in trial.FAULTS:
        for number in range(KILLS if fault == "killed" else KILLS // 4):
            # The slow ones are among every fifth, which goes through all commands in turn.
            names = [name for name, verb in VERBS.items() if not verb.slow or number % 5 == 0]
            yield names[(number if number % 5 else number // 5) % len(names)], fault, start + number


@pytest.fixture(scope="module")
def kit(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("faults")
    trial.in_child(trial.build_kit, folder / "result.json", folder / "kit")
    return folder


@pytest.fixture(scope="module")
def references() -> dict[str, dict[str, Any]]:
    return {}


@pytest.mark.parametrize(("name", "fault", "seed"), list(_trials()))
def test_an_accident(name: str, fault: str, seed: int, kit: Path, references: dict[str, dict[str, Any]]) -> None:
    scratch, result = kit / "scratch", kit / "result.json"
    if name not in references:
        scratch.mkdir(exist_ok=True)
        references[name] = trial.in_child(trial.reference_of, result, VERBS[name], kit / "kit", scratch)
    with table.row(f"{name}, {fault}") as row:
        found = trial.in_child(trial.attempt, result, name, fault, seed, kit / "kit", scratch, references[name])
        if path := os.environ.get("KAOGAN_FAULTS_TABLE"):
            with Path(f"{path}.log").open("a", encoding="utf-8") as log:
                log.write(json.dumps(found) + "\n")
        setattr(row, found["result"], getattr(row, found["result"]) + 1)
        assert found["result"] in ("held", "refused"), found
