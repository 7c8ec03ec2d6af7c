"""One trial of a command: an accident in the middle of it, then the same command again, and a comparison.

Everything runs in children of a process that has imported kaogan and calculated nothing, so that a command costs no
start of Python and no thread is copied. Accidents: killed without notice (SIGKILL at the N-th call for the disk, or
after some processor time, at any instruction), a full disk after a number of bytes, a clock that jumps, two at once.
"""

from __future__ import annotations

import ctypes
import importlib.util
import json
import multiprocessing
import os
import random
import resource
import shutil
import signal
import sys
import time
import traceback
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

from tests.faults.verbs import TRAIN, VERBS, Verb, contents, leftovers, size

SERVER = multiprocessing.get_context("forkserver")
PRELOAD = [__name__, "kaogan.cli._app", "kaogan.training.train", "kaogan.prepare", "kaogan.evaluation.runner",
           "kaogan.generate.video", "kaogan.share.export", "kaogan.share.import_weights", "kaogan.aux_models.tagger",
           "kaogan.data.formats", "kaogan.adaptation.run", "kaogan.generate.upscale_files",
           "kaogan.aux_models.upscaler.load", "kaogan.aux_models.face_detector.detect_folder", "torch._dynamo",
           "onnxscript", "matplotlib.figure", "av", "tests.share.import_weights.conftest",
           ]  # fmt: skip
FAULTS = ("killed", "full disk", "clock jump", "two at once")
HANG = 10.0  # seconds of processor time beyond three times what the command takes alone
DISK_EVENTS = ("open", "os.rename", "os.remove", "os.mkdir", "os.rmdir", "os.chmod", "os.truncate", "shutil.rmtree")
ROOM = 256 * 2**20
Fault = Callable[[], None]


def run(words: str, folder: Path, said: Path, fault: Fault | None = None, limit: float = 300.0) -> int:
    """The process id of ``kaogan WORDS`` in ``folder``; its output goes to the file ``said``."""
    child = os.fork()
    if child:
        return child
    code = 70
    try:
        os.chdir(folder)
        (folder / "tmp").mkdir(exist_ok=True)
        os.environ.update(KAOGAN_CACHE=str(folder / "cache"), TMPDIR=str(folder / "tmp"), COLUMNS="200")
        output = os.open(said, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        os.dup2(output, 1)
        os.dup2(output, 2)
        resource.setrlimit(resource.RLIMIT_CPU, (int(limit) + 1, int(limit) + 2))
        sys.argv = ["kaogan", *words.split()]
        from kaogan import cli
        from kaogan.adaptation import report

        report.DRAWN = 64  # faces that adapt measures
        if fault:
            fault()
        cli.main()
    except SystemExit as ended:
        code = ended.code if isinstance(ended.code, int) else 1
    except BaseException:
        with suppress(OSError):
            traceback.print_exc()
    finally:
        with suppress(OSError, ValueError):
            sys.stdout.flush()
        os._exit(code)


def ended(child: int) -> tuple[int, float]:
    """(exit code, minus the signal if one ended it; processor seconds)."""
    _, status, used = os.wait4(child, 0)
    return os.waitstatus_to_exitcode(status), used.ru_utime + used.ru_stime


def dying_at_event(number: int, count: list[int]) -> Fault:
    """SIGKILL at the ``number``-th call for the disk; ``count[0]`` counts them."""

    def hook(event: str, arguments: tuple[Any, ...]) -> None:
        writes = event in DISK_EVENTS and (event != "open" or (arguments[2] or 0) & (os.O_WRONLY | os.O_RDWR))
        if writes:
            count[0] += 1
            if count[0] == number:
                os.kill(os.getpid(), signal.SIGKILL)

    return lambda: sys.addaudithook(hook)


def dying_after(seconds: float) -> Fault:
    """The kernel ends the process without notice, as SIGKILL does, when it has used this much processor time."""

    def arm() -> None:
        signal.signal(signal.SIGPROF, signal.SIG_DFL)
        signal.setitimer(signal.ITIMER_PROF, max(seconds, 1e-3))

    return arm


def jumping_clock(after: int, seconds: float) -> Fault:
    """From the ``after``-th look on, the clock of the wall is off by ``seconds``."""

    def patch() -> None:
        looks = [0]
        true = time.time

        def wrong() -> float:
            looks[0] += 1
            return true() + (seconds if looks[0] > after else 0)

        time.time = wrong

    return patch


def short_files(most: int) -> Fault:
    """Where no small disk can be mounted: no file grows beyond ``most`` bytes."""
    return lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (most, resource.RLIM_INFINITY))


class Disk:
    """A file system of its own in memory over ``folder``, if this system lets us, which only this process sees."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.small = folder, False
        if sys.platform != "linux":
            return
        self._libc = ctypes.CDLL(None, use_errno=True)
        users = 0 if os.geteuid() == 0 else 0x10000000  # CLONE_NEWUSER
        self.small = self._libc.unshare(0x00020000 | users) == 0  # CLONE_NEWNS
        if self.small and users:
            with suppress(OSError):
                Path("/proc/self/setgroups").write_text("deny")
            Path("/proc/self/uid_map").write_text(f"0 {os.getuid()} 1")
        self.small = self.small and self._mount(0x4000 | 0x40000, "") and self.resize(ROOM, 0)  # MS_REC | MS_PRIVATE

    def resize(self, bytes_: int, flags: int = 0x20) -> bool:  # MS_REMOUNT
        return self.small and self._mount(flags, f"size={bytes_}")

    def _mount(self, flags: int, options: str) -> bool:
        where = str(self.folder).encode() if options else b"/"
        return bool(self._libc.mount(b"tmpfs", where, b"tmpfs", flags, options.encode()) == 0)


def build_kit(folder: Path) -> None:
    """Inputs for all commands in ``folder``, and ``reference.json``: what each leaves alone, its time and its calls."""
    folder.mkdir(parents=True)

    def foreign() -> None:
        import torch

        from tests.share.import_weights import reference

        torch.manual_seed(0)
        torch.save(reference.randomise(reference.BaMSGAN(8)).state_dict(), folder / "foreign.pth")
        os._exit(0)

    for words, fault in (
        ("avatars faces --count 24 --size 16", None),
        ("avatars photos --count 5 --size 48 --seed 3", None),
        ("avatars many --count 100 --size 16 --seed 4", None),
        (f"{TRAIN} --images 32", None),
        ("models", foreign),
    ):
        code, _ = ended(run(words, folder, folder / "said.txt", fault))
        assert code == 0, (words, (folder / "said.txt").read_text())
    shutil.rmtree(folder / "cache", ignore_errors=True)


def reference_of(verb: Verb, kit: Path, scratch: Path) -> dict[str, Any]:
    """What the command leaves when nothing happens, and what it takes."""
    folder = _fresh(verb, kit, scratch)
    before, inputs = size(folder), contents(folder)
    counter = scratch / "events"
    count = [0]

    def counted() -> None:
        dying_at_event(-1, count)()
        true = os._exit

        def leave(code: int) -> None:
            counter.write_text(str(count[0]))
            true(code)

        os._exit = leave  # type: ignore[assignment]

    code, used = ended(run(verb.words, folder, scratch / "said.txt", counted))
    assert code == 0, (verb.name, (scratch / "said.txt").read_text())
    assert not leftovers(folder), leftovers(folder)
    found = {"contents": contents(folder, inputs), "inputs": inputs, "seconds": used, "bytes": size(folder) - before,
             "events": int(counter.read_text())}  # fmt: skip
    assert found["contents"] or verb.name == "evaluate", verb
    return found


def attempt(name: str, fault: str, seed: int, kit: Path, scratch: Path, reference: dict[str, Any]) -> dict[str, Any]:
    """What came of an accident: ``result`` is held, refused, wrong or lost, ``why`` says what happened."""
    verb, draw = VERBS[name], random.Random(f"{name}/{fault}/{seed}")
    scratch.mkdir(parents=True, exist_ok=True)
    said = scratch / "said.txt"
    disk = Disk(_folder(scratch)) if fault == "full disk" else None
    folder = _fresh(verb, kit, scratch)
    limit = 3 * reference["seconds"] + HANG
    what, hits = "", [0]
    children: list[int] = []
    if fault == "killed":
        if draw.random() < 0.5:
            number = draw.randint(1, max(1, reference["events"]))
            what, made = f"SIGKILL at call {number} of {reference['events']}", dying_at_event(number, hits)
        else:
            seconds = draw.uniform(0, reference["seconds"])
            what, made = f"ended after {seconds:.3f} s of {reference['seconds']:.3f}", dying_after(seconds)
        children.append(run(verb.words, folder, said, made, limit))
    elif fault == "full disk":
        room = int(draw.uniform(0, 0.9) * reference["bytes"])
        if disk and disk.resize(size(folder) + room):
            what = f"room for {room:,} of {reference['bytes']:,} bytes"
            children.append(run(verb.words, folder, said, None, limit))
        else:
            room //= 4
            what = f"no file beyond {room:,} bytes"
            children.append(run(verb.words, folder, said, short_files(room), limit))
    elif fault == "clock jump":
        jump, after = draw.choice((-1, 1)) * draw.uniform(3600, 4e7), draw.randint(0, 60)
        what = f"clock off by {jump / 86400:.1f} days from look {after} on"
        for path in folder.rglob("*"):
            os.utime(path, (time.time() - jump,) * 2)
        children.append(run(verb.words, folder, said, jumping_clock(after, jump), limit))
    else:
        what = "two at once"
        children += [run(verb.words, folder, path, None, limit) for path in (said, scratch / "other.txt")]
    codes = [ended(child)[0] for child in children]
    words = [path.read_text(errors="replace") for path in (said, scratch / "other.txt")[: len(children)]]

    def outcome(result: str, why: str) -> dict[str, Any]:
        return {"name": name, "fault": fault, "seed": seed, "result": result, "why": f"{what}: {why}", "codes": codes}

    refused = False
    for code, output in zip(codes, words, strict=True):
        if "Traceback" in output or "Exception ignored" in output:
            return outcome("wrong", f"a traceback: {output[-1500:]}")
        if code in (-signal.SIGXCPU, -signal.SIGKILL) and fault != "killed":
            return outcome("wrong", f"hung: {output[-300:]}")
        if code not in (0, 1, 2) and fault != "killed":
            return outcome("wrong", f"ended by {code}: {output[-300:]}")
        if code in (1, 2):
            lines = [line for line in output.splitlines() if line.startswith("kaogan: ")]
            if len(lines) != 1:
                return outcome("wrong", f"no single line says so: {output[-500:]}")
            refused = True
    if disk:
        disk.resize(ROOM)
    inputs = reference["inputs"]
    there = contents(folder, inputs)
    changed = sorted(k for k, v in inputs.items() if k.split("/")[0] != "run" and contents(folder).get(k) != v)
    if changed:
        return outcome("lost", f"inputs changed: {changed[:3]}")
    if (
        verb.whole
        and not {k: v for k, v in there.items() if ".partial" not in k}.items() <= reference["contents"].items()
    ):
        return outcome("wrong", f"half an output stands there: {sorted(there)[:4]}")
    if fault == "clock jump" and codes != [0]:
        return outcome("wrong", f"refused because of the clock: {words[0][-300:]}")
    if codes.count(0) == 0:
        code, _ = ended(run(verb.words, folder, said, None, limit))
        again = said.read_text(errors="replace")
        if "Traceback" in again or (
            code != 0 and not (code in (1, 2) and contents(folder, inputs) == reference["contents"])
        ):
            return outcome("wrong", f"the same command again ended by {code}: {again[-600:]}")
    end = contents(folder, inputs)
    if verb.name != "evaluate" and end != reference["contents"]:
        other = sorted(
            k for k in end.keys() | reference["contents"].keys() if end.get(k) != reference["contents"].get(k)
        )
        gone = [k for k in other if k not in end]
        return outcome("lost" if gone else "wrong", f"other results: {other[:4]}, gone: {gone[:4]}")
    if left := leftovers(folder):
        return outcome("lost", f"left over: {left[:4]}")
    return outcome("refused" if refused else "held", "")


def _folder(scratch: Path) -> Path:
    folder = scratch / "work"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    return folder


def _fresh(verb: Verb, kit: Path, scratch: Path) -> Path:
    folder = scratch / "work"
    if not folder.is_dir() or any(folder.iterdir()):
        folder = _folder(scratch)
    for name in verb.needs:
        if (kit / name).is_dir():
            shutil.copytree(kit / name, folder / name)
        else:
            shutil.copy2(kit / name, folder / name)
    return folder


def in_child(function: Callable[..., Any], result: Path, *arguments: Any) -> Any:
    """The result of ``function`` in a process that has calculated nothing. Raises AssertionError with its traceback."""
    assert all(map(importlib.util.find_spec, PRELOAD)), "the server leaves out in silence what it cannot import"
    SERVER.set_forkserver_preload(PRELOAD)
    child = SERVER.Process(target=_report, args=(function.__name__, result, arguments))
    child.start()
    child.join()
    found = json.loads(result.read_text())
    assert "error" not in found, found["error"]
    return found["value"]


def _report(name: str, result: Path, arguments: tuple[Any, ...]) -> None:
    try:
        found: dict[str, Any] = {"value": getattr(importlib.import_module(__name__), name)(*arguments)}
    except BaseException:
        found = {"error": traceback.format_exc()}
    result.write_text(json.dumps(found))
