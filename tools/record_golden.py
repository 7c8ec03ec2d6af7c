"""Golden record: digests of trainings, pictures, metrics and prepared sets that a refactoring must not change.

    python tools/record_golden.py            compares with tests/golden/*.json, prints what differs, exits 1 if so
    python tools/record_golden.py --write    records anew
    python tools/record_golden.py --only pictures,training --cases dcgan,kao

The digests hold on one kind of machine and one set of library versions, which each record names. A training's digest
depends on the tensors of its checkpoint, not on their names. Everything here goes through the public Python API and the
command line; what depends on names of settings, modules and metrics stands in the tables at the top.
"""

from __future__ import annotations

import argparse
import hashlib
import importlib.metadata
import json
import math
import os
import platform
import re
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")  # before torch is imported

import numpy as np
import torch
from safetensors import safe_open

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))  # also as a script
from tools.golden_cases import COMMON, TRAININGS

ROOT = Path(__file__).resolve().parent.parent
GOLDEN = ROOT / "tests" / "golden"
MODELS = ROOT / "docs" / "gallery" / "models"
PACKAGED = ROOT / "kaogan" / "models"

# Metric keys as recorded -> as they are called today.
METRIC_KEYS: dict[str, str] = {"fd": "fid", "fd_infinite": "fid_infinite", "kd": "kid", "md": "mind"}
FEATURES = ["tagger", "mobilenet"]
METRICS = ["fid", "kid", "mind", "precision", "density", "memorization", "attributes", "diversity"]


# Where the numbers hold


def machine() -> dict[str, str]:
    """What a digest depends on besides the code."""
    libraries = ("torch", "numpy", "pillow", "scipy", "opencv-python-headless", "dicebear-core", "dicebear-styles",
                 "resvg-py")  # fmt: skip
    found = {name: importlib.metadata.version(name) for name in libraries}
    return {"cpu": f"{platform.machine()} {torch.backends.cpu.get_cpu_capability()}", "model": _cpu_model()} | found


def _cpu_model() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor()
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), "")


def differs_from(recorded: dict[str, str]) -> str:
    """Why digests of ``recorded`` cannot be compared here, or nothing."""
    here = machine()
    wrong = [f"{key} {recorded.get(key)} there, {here[key]} here" for key in here if recorded.get(key) != here[key]]
    return "; ".join(wrong)


# Digests


def array_digest(array: np.ndarray) -> str:
    head = f"{array.dtype} {array.shape} ".encode()
    return hashlib.sha256(head + np.ascontiguousarray(array).tobytes()).hexdigest()


def checkpoint_digest(run: Path) -> str:
    """Of all tensors of the newest checkpoint, whatever their names."""
    path = max(run.glob("checkpoints/*.safetensors"))
    with safe_open(path, "pt") as opened:
        tensors = [opened.get_tensor(name) for name in opened.keys()]  # noqa: SIM118 - not a dict
    digests = sorted(
        hashlib.sha256(f"{t.dtype} {tuple(t.shape)} ".encode() + t.reshape(-1).view(torch.uint8).numpy().tobytes())
        .hexdigest()
        for t in tensors
    )  # fmt: skip
    return hashlib.sha256("".join(digests).encode()).hexdigest()


# What is recorded


def train_case(case: str, out: Path) -> str:
    import kaogan

    recipe, overrides = TRAININGS[case]
    torch.set_num_threads(1)
    kaogan.train(recipe, out=out, **(COMMON | overrides))
    return checkpoint_digest(out)


def training(cases: Iterable[str], scratch: Path) -> dict[str, Any]:
    def one(case: str) -> str:
        digest = train_case(case, scratch / case)
        shutil.rmtree(scratch / case)
        return digest

    return {case: _said(case, one) for case in TRAININGS if not cases or case in cases}


def picture_digests(name: str) -> dict[str, str]:
    """Of 8 pictures of a model of the gallery: as drawn, truncated, and for the first value of each attribute."""
    import kaogan

    torch.set_num_threads(1)
    folder = PACKAGED / name if (PACKAGED / name).is_dir() else MODELS / name
    model = kaogan.load(folder)
    found = {
        "seed 1": array_digest(model.sample(8, seed=1)),
        "truncation 0.7": array_digest(model.sample(8, seed=2, truncation=0.7)),
    }
    attributes = json.loads((folder / "config.json").read_text(encoding="utf-8"))["attributes"]
    for attribute in attributes:
        value = attribute["values"][0]
        asked = {attribute["name"]: value}
        found[f"{attribute['name']} {value}"] = array_digest(model.sample(8, seed=1, **asked))
    return found


def pictures(cases: Iterable[str], scratch: Path) -> dict[str, Any]:
    names = sorted(path.name for folder in (MODELS, PACKAGED) for path in folder.iterdir() if path.is_dir())
    return {name: _said(name, picture_digests) for name in names if not cases or name in cases}


def metrics(cases: Iterable[str], scratch: Path) -> dict[str, Any]:
    """The numbers of every metric: a conditional model, and a folder of avatars, against other avatars."""
    _avatars(scratch / "real", count=320, seed=0)
    _avatars(scratch / "folder", count=256, seed=1)
    subjects = {"acgan": (MODELS / "acgan", 128), "avatars": (scratch / "folder", 200)}
    return {
        name: _said(name, lambda name: measure(*subjects[name], scratch / "real", scratch))
        for name in subjects
        if not cases or name in cases
    }


def measure(subject: Path, count: int, real: Path, scratch: Path) -> dict[str, Any]:
    from kaogan.evaluation.runner import evaluate

    torch.set_num_threads(1)
    (result,) = evaluate(
        [subject], real, metrics=METRICS, features=FEATURES, count=count, device="cpu", cache=scratch / "features"
    )
    return {
        key: [row.estimate.value, row.estimate.low, row.estimate.high, row.real] for key, row in result.rows.items()
    }


def prepared(cases: Iterable[str], scratch: Path) -> dict[str, Any]:
    """SHA-256 of what ``kaogan prepare`` writes of avatars of several sizes, duplicates and broken files."""
    heap = scratch / "heap"
    for size in (48, 64, 96):
        _avatars(heap / str(size), count=6, seed=size, size=size)
    first = min((heap / "64").rglob("*.png"))
    shutil.copy(first, heap / "copy.png")
    (heap / "broken.png").write_bytes(first.read_bytes()[:200])
    (heap / "text.png").write_text("not a picture")
    variants: dict[str, list[str]] = {
        "whole": ["--crop", "none", "--smallest", "40"],
        "jpeg": ["--crop", "center", "--format", "jpg", "--split", "train=0.8,test=0.2"],
        "faces": ["--blur"],
    }
    found = {}
    for name, options in variants.items():
        if cases and name not in cases:
            continue
        out = scratch / name
        _kaogan("prepare", heap, out, "--size", "32", *options)
        found[name] = {
            path.relative_to(scratch).as_posix(): _file_digest(path, scratch)
            for folder in sorted(scratch.glob(f"{name}*"))
            for path in sorted(folder.rglob("*"))
            if path.is_file() and not {".prepare"} & set(path.parts) and path.name not in UNSTABLE
        }
    return found


def _file_digest(path: Path, scratch: Path) -> str:
    """Without the path of the temporary folder and kaogan's version."""
    content = path.read_bytes().replace(os.fsencode(scratch), b"SCRATCH")
    if path.suffix == ".json":
        content = re.sub(rb"kaogan [0-9][^ ]* prepare", b"kaogan VERSION prepare", content)
    return hashlib.sha256(content).hexdigest()


UNSTABLE = {"report.html"}  # it tells how long the work took

PARTS: dict[str, Callable[[Iterable[str], Path], dict[str, Any]]] = {
    "pictures": pictures,
    "prepare": prepared,
    "metrics": metrics,
    "training": training,
}


def _said(case: str, work: Callable[[str], Any]) -> Any:
    print(f"  {case}", file=sys.stderr, flush=True)
    return work(case)


def _avatars(out: Path, *, count: int, seed: int, size: int = 64) -> None:
    _kaogan("avatars", out, "--count", count, "--seed", seed, "--size", size)


def _kaogan(*words: object) -> None:
    import subprocess

    subprocess.run([sys.executable, "-m", "kaogan", *map(str, words)], check=True, cwd=ROOT, stdout=subprocess.DEVNULL)


# Comparison


def differences(recorded: Any, now: Any, where: str = "") -> list[str]:
    """What differs, one line each: numbers beyond 1e-9 of their size, everything else exactly."""
    if isinstance(recorded, dict) and isinstance(now, dict):
        missing = [f"{where}/{key}: recorded, but not made now" for key in recorded if key not in now]
        added = [f"{where}/{key}: not in the record" for key in now if key not in recorded]
        both = [
            line for key in recorded if key in now for line in differences(recorded[key], now[key], f"{where}/{key}")
        ]
        return missing + added + both
    if isinstance(recorded, list) and isinstance(now, list) and len(recorded) == len(now):
        return [
            line
            for i, pair in enumerate(zip(recorded, now, strict=True))
            for line in differences(*pair, f"{where}/{i}")
        ]
    if isinstance(recorded, float) and isinstance(now, float):
        same = math.isclose(recorded, now, rel_tol=1e-9, abs_tol=1e-12) or (math.isnan(recorded) and math.isnan(now))
        return [] if same else [f"{where}: {recorded!r} recorded, {now!r} now"]
    return [] if recorded == now else [f"{where}: {recorded} recorded, {now} now"]


def read(part: str) -> dict[str, Any]:
    return dict(json.loads((GOLDEN / f"{part}.json").read_text(encoding="utf-8")))


def renamed(part: str, record: dict[str, Any]) -> dict[str, Any]:
    """The record under today's names of metrics."""
    if part != "metrics":
        return record
    return {
        subject: {
            METRIC_KEYS.get(key.split("/")[0], key.split("/")[0]) + key[key.find("/") :]: row
            for key, row in rows.items()
        }
        for subject, rows in record.items()
    }


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--write", action="store_true", help="record instead of comparing")
    parser.add_argument("--only", default=",".join(PARTS), help=f"some of {', '.join(PARTS)}")
    parser.add_argument("--cases", default="", help="some of the cases of these parts")
    arguments = parser.parse_args()
    cases = [case for case in arguments.cases.split(",") if case]
    lines: list[str] = []
    for part in arguments.only.split(","):
        print(part, file=sys.stderr, flush=True)
        if arguments.write and cases and (GOLDEN / f"{part}.json").exists() and differs_from(read(part)["machine"]):
            print(f"{part}: recorded elsewhere; some cases alone would mix two machines: leave out --cases")
            return 1
        with tempfile.TemporaryDirectory() as folder:
            os.environ["KAOGAN_CACHE"] = str(Path(folder) / "cache")
            made = PARTS[part](cases, Path(folder) / "scratch")
        if arguments.write:
            old = read(part)["record"] if cases and (GOLDEN / f"{part}.json").exists() else {}
            text = json.dumps({"machine": machine(), "record": old | made}, indent=1, sort_keys=True)
            (GOLDEN / f"{part}.json").write_text(text + "\n", encoding="utf-8")
            continue
        file = read(part)
        if why := differs_from(file["machine"]):
            print(f"{part}: recorded elsewhere, digests may differ: {why}")
        record = {case: value for case, value in file["record"].items() if not cases or case in cases}
        lines += differences(renamed(part, record), made, part)
    if not arguments.write:
        print("\n".join(lines) or "nothing differs")
    return 1 if lines else 0


if __name__ == "__main__":
    sys.path.insert(0, str(ROOT))
    sys.exit(main())
