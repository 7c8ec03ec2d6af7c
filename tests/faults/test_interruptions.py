"""Every command that writes, killed, on a full disk, under a jumping clock and twice at once: nothing lost or left.

``KAOGAN_KILLS`` is the number of kills (and of each other accident a quarter of it) over all commands, at other moments
each time; without it each command has one accident, and each kind of accident comes again and again.
"""

from __future__ import annotations

import itertools
import json
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from kaogan.core.atomic_io import write_text
from tests.faults import table, trial
from tests.faults.verbs import VERBS

KILLS = int(os.environ.get("KAOGAN_KILLS", "0"))
SEED = int(os.environ.get("KAOGAN_FAULTS_SEED", "0"))  # the same in all processes of a run
pytestmark = [
    pytest.mark.skipif(sys.platform == "win32", reason="processes are forked here"),
    pytest.mark.timeout(36000 if KILLS else 300),
]


def _trials(kills: int, start: int) -> Iterator[tuple[str, str, int]]:
    """(command, accident, seed): of each accident every command has its share."""
    if not kills:
        for number, (name, verb) in enumerate(VERBS.items()):
            if not verb.slow:
                yield name, trial.FAULTS[number % len(trial.FAULTS)], 1
        return
    for fault in trial.FAULTS:
        for number, name in zip(
            range(kills if fault == "killed" else kills // 4), itertools.cycle(VERBS), strict=False
        ):
            yield name, fault, start + number


def test_every_accident_comes_to_every_command() -> None:
    assert {(name, fault) for name, fault, _ in _trials(200, 0)} == set(itertools.product(VERBS, trial.FAULTS))


@pytest.fixture(scope="module")
def kit(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of this process's own, and in it a link to the inputs, which are made once for all processes."""
    fcntl = pytest.importorskip("fcntl")
    folder, shared = tmp_path_factory.mktemp("faults"), tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        shared = shared.parent
    with (shared / "faults.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (shared / "references").is_dir():
            trial.in_child(trial.build_kit, folder / "result.json", shared / "kit")
            (shared / "references").mkdir()
    (folder / "shared").symlink_to(shared)
    return folder


def _reference(name: str, kit: Path) -> dict[str, Any]:
    known = kit / "shared" / "references" / f"{name}.json"
    if not known.is_file():
        (kit / "scratch").mkdir(exist_ok=True)
        found = trial.in_child(
            trial.reference_of, kit / "result.json", VERBS[name], kit / "shared" / "kit", kit / "scratch"
        )
        write_text(known, json.dumps(found))
    return dict(json.loads(known.read_text()))


@pytest.mark.parametrize(("name", "fault", "seed"), list(_trials(KILLS, SEED)))
def test_an_accident(name: str, fault: str, seed: int, kit: Path) -> None:
    reference = _reference(name, kit)
    with table.row(f"{name}, {fault}") as row:
        found = trial.in_child(
            trial.attempt, kit / "result.json", name, fault, seed, kit / "shared" / "kit", kit / "scratch", reference
        )
        if path := os.environ.get("KAOGAN_FAULTS_TABLE"):
            with Path(f"{path}.log").open("a", encoding="utf-8") as log:
                log.write(json.dumps(found) + "\n")
        setattr(row, found["result"], getattr(row, found["result"]) + 1)
        assert found["result"] in ("held", "refused"), found
