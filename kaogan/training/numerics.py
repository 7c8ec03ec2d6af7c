"""How a training computes: TF32 or not, tuned or deterministic algorithms, fp16 without overflow, compiled or not."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

import torch

from kaogan.config.recipe import Recipe
from kaogan.core.device import choose_precision
from kaogan.core.errors import KaoganError, UsageError
from kaogan.training.state import TrainState, compilable

BACKEND = "inductor"


def training_precision(recipe: Recipe, device: torch.device) -> str:
    """The precision that the recipe and the device give. Raises UsageError for what cannot be kept on ``device``."""
    wanted, on_cuda = recipe.run.precision, device.type == "cuda"
    precision = choose_precision(wanted, device)
    if precision == "tf32" and not on_cuda:
        raise UsageError(f"--precision tf32 is a mode of NVIDIA cards, and the device is {device.type}; use fp32")
    if recipe.run.deterministic and on_cuda and _uses_ada(recipe):
        raise UsageError(
            "--deterministic cannot be kept with ADA on CUDA, where resampling a picture has no deterministic "
            "gradient; leave it out, or use --extras.augment.name diffaugment"
        )
    unlimited = [
        name
        for name in ("generator", "discriminator")
        if getattr(getattr(recipe, name), "conv_clamp", ...) is None  # maps grow until fp16 overflows
    ]
    if precision != "fp16" or not unlimited:
        return precision
    if wanted == "auto":
        return "fp32"
    remedy = " ".join(f"--{name}.conv_clamp 256" for name in unlimited)
    raise UsageError(f"--precision fp16 would overflow without a limit of the maps: add {remedy}, or use fp32")


@contextmanager
def compiled(recipe: Recipe, state: TrainState) -> Iterator[None]:
    """The networks of ``state`` compiled, under ``run.compile``. What cannot be compiled here raises KaoganError."""
    if not recipe.run.compile:
        yield
        return
    for name in compilable(recipe, state.generator):
        getattr(state, name).compile(backend=BACKEND, dynamic=False)
    try:
        yield
    except Exception as error:
        of_compiler = type(error).__module__.startswith(("torch._dynamo", "torch._inductor"))
        if of_compiler or "double backward" in str(error):  # which a plug-in's loss may want
            what = next(filter(None, map(str.strip, str(error).splitlines())), type(error).__name__)[:160]
            raise KaoganError(f"--compile failed: {what}; leave it out, the run goes on without it") from error
        raise


@contextmanager
def numerics(recipe: Recipe, device: torch.device, precision: str) -> Iterator[None]:
    """PyTorch's switches as the recipe asks for them, put back at the end; a CPU needs none of them.

    Float32 products are float32 unless the precision is tf32: PyTorch's own default is TF32 in convolutions alone. What
    has no deterministic form raises KaoganError under ``run.deterministic``.
    """
    if device.type != "cuda":
        yield
        return
    cudnn, matmul, deterministic = torch.backends.cudnn, torch.backends.cuda.matmul, recipe.run.deterministic
    before = cudnn.allow_tf32, matmul.allow_tf32, cudnn.benchmark, torch.are_deterministic_algorithms_enabled()
    cudnn.allow_tf32 = matmul.allow_tf32 = precision == "tf32"
    cudnn.benchmark = not deterministic  # trying all algorithms pays where there are few shapes
    if deterministic:
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # read when the card is first used
        torch.use_deterministic_algorithms(True)
    try:
        yield
    except RuntimeError as error:
        if deterministic and "deterministic" in str(error):
            what = " ".join(str(error).split())[:160]
            raise KaoganError(f"--deterministic cannot be kept by this recipe on this card: {what}") from error
        raise
    finally:
        cudnn.allow_tf32, matmul.allow_tf32, cudnn.benchmark, algorithms = before
        torch.use_deterministic_algorithms(algorithms)


def _uses_ada(recipe: Recipe) -> bool:
    return recipe.extras.augment.name == "ada"
