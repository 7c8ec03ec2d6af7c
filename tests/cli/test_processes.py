"""The command line as a process of its own: signals, terminals, pipes."""

from __future__ import annotations

import io
import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from kaogan import cli
from kaogan.core import checkpoint
from tests.cli.conftest import ROOT, TINY, Run


def start(*words: object) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "kaogan", *map(str, words)],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1", "PYTHONUNBUFFERED": "1"},
    )


def when(condition: Callable[[], object], process: subprocess.Popen[str]) -> None:
    while not condition():
        assert process.poll() is None, process.communicate()
        time.sleep(0.01)


@pytest.mark.timeout(300)
def test_killed_and_interrupted_and_the_same_command_again(tmp_path: Path, run: Run) -> None:
    """SIGKILL, SIGINT, SIGTERM; then to the end: bit for bit what an undisturbed run leaves."""
    words = [*TINY, "--extras.instance_noise.amount", "0.1"]
    words += ["--run.checkpoint_every", "512", "--run.grid_every", "100000"]
    broken = tmp_path / "broken off"
    found = lambda: checkpoint.find(broken / "checkpoints")  # noqa: E731
    words_of_the_run = ["train", "dcgan", *words, "--images", "1000000", "--out", broken]
    clocks = [0]
    for number in (signal.SIGKILL, signal.SIGINT, signal.SIGTERM):
        before = found()
        process = start(*words_of_the_run)
        when(lambda before=before: found()[-1:] > before[-1:] and len(found()) > 1, process)  # type: ignore[misc]
        process.send_signal(number)
        out, err = process.communicate(timeout=60)
        _, state = checkpoint.load(found()[-1])
        if number == signal.SIGKILL:
            assert process.returncode == -9
        else:
            assert process.returncode == 130 and err == "", err
            assert f"Stopped at {state['clock']:,} images; the same command goes on from here." in out
        assert state["clock"] > clocks[-1]
        clocks.append(state["clock"])
    end = clocks[-1] + 8
    for out in (broken, tmp_path / "whole"):
        assert run("train", "dcgan", *words, "--images", end, "--out", out).code == 0
    (first, _), (second, _) = (
        checkpoint.load(checkpoint.find(out / "checkpoints")[-1]) for out in (broken, tmp_path / "whole")
    )
    assert first.keys() == second.keys()
    assert all(np.array_equal(first[name].numpy(), second[name].numpy()) for name in first)
    for part in ("model/model.safetensors", "model/preview.png", "real.png"):
        assert (broken / part).read_bytes() == (tmp_path / "whole" / part).read_bytes()
    lines = [json.loads(line)["clock"] for line in (broken / "stats.jsonl").read_text().splitlines()]
    assert lines == sorted(set(lines))


def test_a_terminal_that_cannot_spell(monkeypatch: pytest.MonkeyPatch) -> None:
    screen = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(screen, encoding="ascii"))
    monkeypatch.setattr(sys, "argv", ["kaogan", "recipes", "diff", "dcgan", "sagan"])
    with pytest.raises(SystemExit) as ended:
        cli.main()
    sys.stdout.flush()
    assert ended.value.code == 0 and re.search(rb"optim\.discriminator\.lr +\? +0\.0004", screen.getvalue())


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="no full device here")  # noqa: PTH110
@pytest.mark.parametrize("words", [["recipes", "show", "kao", "--resolved"], ["--help"], []], ids=" ".join)
def test_a_full_output_device(words: list[str]) -> None:
    with open("/dev/full", "w") as full:  # noqa: PTH123
        done = subprocess.run([sys.executable, "-m", "kaogan", *words], stdout=full, stderr=subprocess.PIPE, text=True,
                              cwd=ROOT, timeout=60)  # fmt: skip
        assert done.returncode == 1 and done.stderr == "kaogan: cannot write the output: No space left on device\n"
        assert subprocess.run([sys.executable, "-m", "kaogan", "nonsense"], stderr=full, cwd=ROOT).returncode == 2


@pytest.mark.parametrize("module", ["typer", "rich.console", "kaogan.cli.walk", "kaogan.cli._run"])
def test_an_interrupt_while_kaogan_starts(module: str) -> None:
    """Ctrl-C while ``module`` is imported: one line, no traceback."""
    code = f"""
import builtins, signal, kaogan.cli
plain = builtins.__import__
def with_signal(name, *rest):
    if name == {module!r}:
        signal.raise_signal(signal.SIGINT)
    return plain(name, *rest)
builtins.__import__ = with_signal
kaogan.cli.main()
"""
    if module == "kaogan.cli.walk":  # "from kaogan.cli import walk" imports it below __import__
        code = code.replace("name == ", "rest[2] and 'walk' in rest[2] and name != ")
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, timeout=60)
    assert (done.returncode, done.stdout, done.stderr) == (130, "", "kaogan: interrupted\n")


def test_a_closed_pipe() -> None:
    process = start("recipes", "show", "bamsgan", "--resolved")
    assert process.stdout is not None and process.stderr is not None
    process.stdout.close()
    assert process.wait(timeout=60) in (0, 1) and process.stderr.read() == ""
    process.stderr.close()


@pytest.mark.skipif(sys.platform == "win32", reason="file numbers of POSIX")
@pytest.mark.parametrize("closed", [">&-", "2>&-", "<&- >&- 2>&-", "| true"])
def test_the_work_is_done_whoever_listens(closed: str, tmp_path: Path) -> None:
    """With closed streams, and a reader that has gone."""
    code = "from kaogan import cli; cli.main()"
    words = f"'{sys.executable}' -c '{code}' avatars faces --count 2 --size 8 {closed}"
    done = subprocess.run(["sh", "-c", words], capture_output=True, text=True, cwd=tmp_path, timeout=60)
    assert (done.returncode, done.stderr) == (0, "") and len(list(tmp_path.glob("faces/images/*.png"))) == 2
