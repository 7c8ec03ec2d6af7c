"""kaogan on one accelerator: whether it is right there, how fast it is, and what it should reach.

python -m benchmarks.gpu --out DIR: at most 8 minutes on one card, PyTorch 2.13 or newer. Every case has a process of
its own, so that one that crashes or poisons the CUDA context costs its own line only. Results are JSON lines in
DIR/gpu.jsonl as they come, and one table at the end; the exit status is 1 when something is wrong. ``--dry-run`` takes
tiny cases on the CPU.
"""

from __future__ import annotations

import argparse
import concurrent.futures
import contextlib
import json
import os
import subprocess
import sys
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import torch
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from benchmarks.plain_loop import plain_step
from kaogan.config import recipes
from kaogan.config.recipe import Recipe
from kaogan.core.schema import Schema
from kaogan.data import PictureSet
from kaogan.losses.augment import noise_cutout
from kaogan.losses.extras import instance_noise
from kaogan.networks.stylegan import stylegan2
from kaogan.training import gan_loss
from kaogan.training.numerics import numerics
from kaogan.training.sampler import InfiniteSampler
from kaogan.training.state import build_train_state
from kaogan.training.step import GANTrainer
from kaogan.training.train import train

RIGHT = (
    "dcgan", "acgan", "bamsgan", "sagan", "wgan-gp", "wgan-clip", "resdcgan", "kao", "r3gan-64", "stylegan2-64",
    "stylegan3-t-64", "stylegan3-r-64",
)  # fmt: skip
FAST = (
    ("dcgan", 64, 64), ("dcgan", 64, 1024), ("kao", 64, 32), ("sagan", 64, 64), ("wgan-gp", 64, 32), ("r3gan", 64, 256),
    ("stylegan2-64", 64, 8), ("stylegan2", 256, 32), ("stylegan3-t", 256, 32),
)  # fmt: skip
PLAIN = tuple((batch, how) for batch in (64, 1024) for how in ("eager", "graph", "compile"))
PEAK_TFLOPS = {"H100": 989, "H200": 989, "A100": 312, "L4": 121, "4090": 165}  # bf16 without sparsity, by data sheet
FP32_ERROR, FP32_COSINE, BF16_LOSS = 1e-3, 0.9999, 0.02
"""What is right: relative error and cosine of float32 gradients; what of the cosine bf16 may lose beyond the CPU's."""
TINY: dict[str, Any] = {"latent.size": 8}
TINY_NETWORKS: dict[str, dict[str, Any]] = {
    "dcgan": {"width": 4}, "stylegan2": {"channel_base": 128, "channel_max": 8}
}  # fmt: skip


# Cases


def chip(device: str) -> dict[str, Any]:
    """What the accelerator is, and what a large product of bf16 matrices makes of it."""
    told: dict[str, Any] = {"torch": torch.__version__, "device": device}
    if device == "cpu":
        return told
    told["name"] = torch.cuda.get_device_name()
    a = torch.randn(8192, 8192, device=device, dtype=torch.bfloat16)
    seconds = timed(lambda: a @ a, device, 20)
    return {**told, "bf16 TFLOP/s": round(2 * 8192**3 / seconds / 1e12)}


def right(name: str, device: str, out: Path, tiny: bool) -> dict[str, Any]:
    """Gradients at the first step against float32 on the CPU, then a training, its checkpoint and its resumption."""
    torch.backends.cudnn.allow_tf32 = torch.backends.cuda.matmul.allow_tf32 = False
    told: dict[str, Any] = {"recipe": name}
    recipe, _ = made(name, tiny, {"training.batch_size": 8})
    wrong = []
    for p in (0.0, 0.6) if recipe.extras.augment.name == "ada" else (0.0,):
        wanted = first_gradients(name, "cpu", "fp32", p, tiny)
        found: dict[str, list[dict[str, float]]] = {}
        for where, precision in (("cpu", "bf16"), (device, "fp32"), (device, "bf16")):
            got = first_gradients(name, where, precision, p, tiny)
            found[f"{where} {precision}"] = [compare(a, b) for a, b in zip(wanted, got, strict=True)]
        told[f"p={p}"] = found
        exact, coarse, reference = found[f"{device} fp32"], found[f"{device} bf16"], found["cpu bf16"]
        wrong += [f"fp32 gradient {e}" for e in exact if e["error"] > FP32_ERROR or e["cosine"] < FP32_COSINE]
        wrong += [f"bf16 gradient {c}" for c, r in zip(coarse, reference, strict=True)
                  if c["cosine"] < r["cosine"] - BF16_LOSS]  # fmt: skip
    settings = {"run.device": device, "run.checkpoint_every": 16, "run.grid_every": 1_000_000, "run.stats_every": 8,
                "run.grid_pictures": 16, "training.batch_size": 8}  # fmt: skip
    for images in (24, 48):
        recipe, pictures = made(name, tiny, {**settings, "training.images": images})
        result = train(recipe, pictures, out / f"run-{name}")
        wrong += [] if result.finished else [f"a training to {images} images did not end"]
    return {**told, "wrong": wrong}


def fast(name: str, size: int, batch: int, device: str, seconds: float, tiny: bool) -> dict[str, Any]:
    """Images per second, the share of the time in which a kernel runs, and what a step of both networks launches."""
    recipe, pictures = made(name, tiny, {"image_size": size, "training.batch_size": batch})
    precision = "fp32" if device == "cpu" else "bf16"
    step = stepping(recipe, pictures, device, precision, p=0.4)
    with numerics(recipe, torch.device(device), precision):  # as in a training
        step()
        with FlopCounterMode(display=False) as flops:
            step()
        each = timed(step, device, at_least=seconds)
        tflops = flops.get_total_flops() / each / 1e12
        told = {"recipe": name, "size": size, "batch": batch, "ms": round(each * 1e3, 2), "TFLOP/s": round(tflops, 3)}
        told["images/s"] = round(batch * recipe.training.n_critic / each, 1)
        return told if device == "cpu" else {**told, **profiled(step, each, tflops)}


def plain(batch: int, how: str, device: str, seconds: float, tiny: bool) -> dict[str, Any]:
    """A DCGAN loop without kaogan's trainer on pictures that lie on the device: what the chip gives it."""
    recipe, pictures = made("dcgan", tiny, {"training.batch_size": batch})
    step = plain_step(recipe, pictures, torch.device(device), how)
    began = time.perf_counter()
    for _ in range(3):
        step()
    each = timed(step, device, at_least=seconds)
    return {"plain": f"dcgan {how}", "batch": batch, "ms": round(each * 1e3, 2), "images/s": round(batch / each, 1),
            "start s": round(time.perf_counter() - began - seconds, 1)}  # fmt: skip


# What they share


def made(name: str, tiny: bool, settings: dict[str, Any]) -> tuple[Recipe, PictureSet]:
    """A recipe and pictures of noise with labels, if it wants them: nothing is read or downloaded."""
    published = recipes.load(name)
    changes: dict[str, Any] = {"image_size": 64, **settings}
    if tiny:
        changes |= {"image_size": 16, **TINY}
        for network in ("generator", "discriminator"):
            sizes = TINY_NETWORKS[getattr(published, network).family]
            changes |= {f"{network}.{key}": value for key, value in sizes.items()}
    recipe = recipes.load(name, changes)
    rng, count = np.random.default_rng(0), max(2 * recipe.training.batch_size, 64)
    small = rng.integers(0, 256, (count, 8, 8, recipe.channels), dtype=np.uint8)
    images = small.repeat(recipe.image_size // 8, 1).repeat(recipe.image_size // 8, 2)
    labels, schema = np.empty((count, 0), np.int64), Schema()
    if recipe.attributes.names:
        labels = np.stack([rng.integers(12, size=count), rng.integers(10, size=count)], 1)
        values = [[f"hair {k}" for k in range(12)], [f"eyes {k}" for k in range(10)]]
        schema = Schema.from_labels(["hair", "eyes"], values, labels)
    return recipe, PictureSet(images, labels, schema, tuple(map(str, range(count))), (), (), "noise", "0" * 32)


def stepping(recipe: Recipe, pictures: PictureSet, device: str, precision: str, p: float) -> Callable[[], None]:
    """A step of both networks, with ADA's probability at ``p``."""
    where, training = torch.device(device), recipe.training
    state = build_train_state(recipe, pictures.schema, where, precision)
    set_ada(state, p)
    sampler = InfiniteSampler(pictures, training.batch_size, recipe.run.seed, recipe.data.horizontal_flip, where)
    trainer = GANTrainer(recipe, pictures.schema, state, sampler, where, precision)

    def step() -> None:
        for _ in range(training.n_critic):
            trainer.step()
            state.images_seen += training.batch_size
        state.ema.update(state.images_seen, training.batch_size * training.n_critic)

    return step


def set_ada(state: Any, p: float) -> None:
    adaptive = getattr(state.extras["augment"], "adaptive", None)
    if adaptive is not None:
        adaptive.p = p


def first_gradients(name: str, device: str, precision: str, p: float, tiny: bool) -> list[Tensor]:
    """The gradients of every optimiser step within the first step of both networks, float64 on the CPU.

    They are taken before the optimiser moves, and put to zero: what comes after sees the same weights everywhere.
    """
    recipe, pictures = made(name, tiny, {"training.batch_size": 8, "training.n_critic": 1})
    state = build_train_state(recipe, pictures.schema, torch.device(device), precision)
    set_ada(state, p)
    sampler = InfiniteSampler(pictures, 8, recipe.run.seed)
    found: list[Tensor] = []

    def take(optimizer: torch.optim.Optimizer, *_: Any) -> None:
        gradients = [w.grad for group in optimizer.param_groups for w in group["params"] if w.grad is not None]
        found.append(torch.cat([g.detach().cpu().double().reshape(-1) for g in gradients]))
        torch._foreach_zero_(gradients)

    for optimizer in (state.discriminator_optim, state.generator_optim):
        optimizer.register_step_pre_hook(take)
    with drawn_on_cpu():
        GANTrainer(recipe, pictures.schema, state, sampler, torch.device(device), precision).step()
    return found


@contextlib.contextmanager
def drawn_on_cpu() -> Iterator[None]:
    """The noise for which a card has a generator of its own is drawn on the CPU and moved: the same everywhere."""

    def randn(shape: Sequence[int], generator: torch.Generator, device: torch.device) -> Tensor:
        return torch.randn(shape, generator=generator).to(device)

    def noise_like(images: Tensor, generator: torch.Generator) -> Tensor:
        return randn(images.shape, generator, images.device)

    with contextlib.ExitStack() as patches:
        for module in (gan_loss, noise_cutout, stylegan2):
            patches.enter_context(mock.patch.object(module, "randn", randn))
        patches.enter_context(mock.patch.object(instance_noise, "noise_like", noise_like))
        yield


def compare(wanted: Tensor, got: Tensor) -> dict[str, float]:
    error = float((wanted - got).norm() / wanted.norm().clamp(min=1e-30))
    return {"cosine": round(float(torch.cosine_similarity(wanted, got, 0)), 6), "error": float(f"{error:.2g}")}


def timed(step: Callable[[], object], device: str, count: int = 4, at_least: float = 0.0) -> float:
    """Seconds a step: ``count`` of them, and on until ``at_least`` seconds have passed."""
    wait = (lambda: None) if device == "cpu" else torch.cuda.synchronize
    for _ in range(3):
        step()
    wait()
    began, taken = time.perf_counter(), 0
    while taken < count or time.perf_counter() - began < at_least:
        step()
        taken += 1
        if taken % 16 == 0:
            wait()  # the host must not run ahead of the clock
    wait()
    return (time.perf_counter() - began) / taken


def profiled(step: Callable[[], None], each: float, tflops: float, steps: int = 4) -> dict[str, Any]:
    from torch.profiler import ProfilerActivity, profile

    torch.cuda.synchronize()
    with profile(activities=[ProfilerActivity.CUDA, ProfilerActivity.CPU]) as seen:
        for _ in range(steps):
            step()
        torch.cuda.synchronize()
    events = seen.events() or []
    on_device = [event for event in events if event.device_type == torch.autograd.DeviceType.CUDA]
    copies = [event for event in on_device if "Memcpy" in event.name]
    waits = [event for event in events if event.name in ("cudaStreamSynchronize", "cudaDeviceSynchronize")]
    busy = sum(event.device_time for event in on_device) / 1e6 / steps
    name = torch.cuda.get_device_name()
    peak = next((value for key, value in PEAK_TFLOPS.items() if key in name), None)
    heaviest = sorted(seen.key_averages(), key=lambda event: -event.self_device_time_total)[:6]
    return {
        "busy": round(busy / each, 3),
        "launches": (len(on_device) - len(copies)) // steps,
        "copies": len(copies) // steps,
        "synchronisations": max(0, len(waits) - 1) // steps,
        "of peak": round(tflops / peak, 3) if peak else None,
        "GiB": round(torch.cuda.max_memory_allocated() / 2**30, 2),
        "heaviest ms": [(event.key[:60], round(event.self_device_time_total / 1e3 / steps, 2)) for event in heaviest],
    }


# The run


def measured(words: list[str], device: str, out: Path, seconds: float, tiny: bool) -> dict[str, Any]:
    """One case, in this process: what it says, or why it failed."""
    kind, *rest = words
    try:
        if kind == "chip":
            return chip(device)
        if kind == "right":
            return right(rest[0], device, out, tiny)
        if kind == "fast":
            return fast(rest[0], int(rest[1]), int(rest[2]), device, seconds, tiny)
        return plain(int(rest[0]), rest[1], device, seconds, tiny)
    except Exception as error:
        frames = traceback.extract_tb(error.__traceback__)
        at = [f"{Path(frame.filename).name}:{frame.lineno}" for frame in frames if "kaogan" in frame.filename]
        text = " ".join(str(error).split())[:200]
        return {"case": " ".join(words), "wrong": [f"{type(error).__name__}: {text} at {at[-1] if at else '?'}"]}


def in_child(words: list[str], arguments: argparse.Namespace, limit: float) -> dict[str, Any]:
    """One case in a process of its own, which has ``limit`` seconds."""
    options = {"--out": arguments.out, "--device": arguments.device, "--seconds": arguments.seconds}
    command = [sys.executable, "-m", "benchmarks.gpu", *(str(word) for pair in options.items() for word in pair)]
    command += [*(["--dry-run"] if arguments.dry_run else []), "--case", *words]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=limit, check=False)
    except subprocess.TimeoutExpired:
        return {"case": " ".join(words), "wrong": [f"no end after {limit:.0f} s"]}
    lines = [line for line in done.stdout.splitlines() if line.startswith("{")]
    if lines:
        found: dict[str, Any] = json.loads(lines[-1])
        return found
    return {"case": " ".join(words), "wrong": [f"died with {done.returncode}: {done.stderr[-300:]}"]}


def everything(arguments: argparse.Namespace) -> Iterator[dict[str, Any]]:
    """All results in turn. What is timed runs alone; right or wrong does not depend on the company."""
    began = time.monotonic()

    def left() -> float:
        return arguments.budget - (time.monotonic() - began)

    yield in_child(["chip"], arguments, 90)
    if arguments.dry_run:
        for words in (["fast", "dcgan", "16", "8"], ["plain", "8", "eager"], ["right", "stylegan2-64"]):
            yield measured(words, "cpu", arguments.out, arguments.seconds, True)
        return
    alone = [["fast", *map(str, case)] for case in FAST] + [["plain", *map(str, case)] for case in PLAIN]
    for words in alone:
        if left() > 130:
            yield in_child(words, arguments, 90)
        else:
            yield {"case": " ".join(words), "left out": "no time left"}
    with concurrent.futures.ThreadPoolExecutor(min(4, os.cpu_count() or 1)) as pool:
        yield from pool.map(lambda name: in_child(["right", name], arguments, max(20.0, left())), RIGHT)


def table(results: list[dict[str, Any]]) -> str:
    columns = ("images/s", "ms", "busy", "launches", "copies", "synchronisations", "TFLOP/s", "of peak", "GiB")
    lines = [f"{'case':26} " + " ".join(f"{column[:10]:>10}" for column in columns)]
    for result in results:
        name = result.get("plain") or result.get("case") or result.get("recipe") or result.get("name", "cpu")
        name = f"{name} {result.get('size', '')} b{result['batch']}" if "batch" in result else name
        if "images/s" in result:
            lines.append(f"{name:26} " + " ".join(f"{result.get(column, '-')!s:>10}" for column in columns))
        else:
            verdict = "; ".join(result.get("wrong", ())) or result.get("left out", "right")
            lines.append(f"{name:26} {verdict}")
    return "\n".join(lines)


def main(words: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description="kaogan on one accelerator: right, fast, and against plain PyTorch")
    parser.add_argument("--out", type=Path, default=Path("gpu"), help="where gpu.jsonl and short trainings go")
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--budget", type=float, default=450.0, help="seconds for everything")
    parser.add_argument("--seconds", type=float, default=3.0, help="seconds that each speed is measured")
    parser.add_argument("--dry-run", action="store_true", help="tiny cases on the CPU")
    parser.add_argument("--case", nargs="+", help=argparse.SUPPRESS)
    arguments = parser.parse_args(words)
    arguments.out.mkdir(parents=True, exist_ok=True)
    if arguments.dry_run:
        arguments.device = "cpu"
    if arguments.case:
        with contextlib.redirect_stdout(sys.stderr):
            told = measured(arguments.case, arguments.device, arguments.out, arguments.seconds, arguments.dry_run)
        print(json.dumps(told))
        return 0
    results = []
    with (arguments.out / "gpu.jsonl").open("w", encoding="utf-8") as file:
        for told in everything(arguments):
            results.append(told)
            print(json.dumps(told), file=file, flush=True)
    print(table(results))
    return int(any(result.get("wrong") for result in results))


if __name__ == "__main__":
    sys.exit(main())
