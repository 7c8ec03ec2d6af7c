"""What a training step asks of a device, counted without one: launches, copies and waits, traced on "meta" tensors.

python -m benchmarks.launches [RECIPE ...]. A launch is an operator that is no view; casts of autocast and operators
that take several kernels are not seen, so a card launches a little more. Fused Adam counts as one. A wait is a copy to
the host or ``kaogan.core.device.read``; every other read of the device is an error on "meta".
"""

from __future__ import annotations

import collections
import contextlib
import sys
import traceback
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves, tree_map_only

import kaogan
from kaogan.config import recipes
from kaogan.config.recipe import Recipe
from kaogan.core.schema import Schema
from kaogan.data import PictureSet
from kaogan.training.sampler import InfiniteSampler
from kaogan.training.state import build_train_state
from kaogan.training.step import GANTrainer

TAGGER_ONLY = {  # as when the mark was set
    "discriminator.feature_networks": ["tagger"], "discriminator.crop_networks": [],
    "discriminator.attribute_head": "classifier", "generator.to_rgb": "doubling", "generator.chroma_filter": "none",
    "generator.output_filter": "binomial", "generator.modulation": 0,
}  # fmt: skip
PUBLISHED: tuple[tuple[str, int, int, dict[str, Any], float | None], ...] = (
    ("dcgan", 64, 64, {}, None),
    ("kao", 64, 32, {}, None),
    ("kao", 64, 32, TAGGER_ONLY, None),
    ("sagan", 64, 64, {}, None),
    ("r3gan", 64, 256, {}, None),
    ("stylegan2", 256, 32, {}, None),
    ("stylegan2", 256, 32, {}, 0.5),
)
"""Recipe, side, batch, settings, and ADA's probability where it is not the first one."""
VIEWS = {
    "view", "_unsafe_view", "expand", "permute", "transpose", "t", "slice", "select", "squeeze", "unsqueeze", "detach",
    "alias", "split", "split_with_sizes", "unbind", "as_strided", "empty", "empty_like", "empty_strided", "new_empty",
    "new_empty_strided", "lift_fresh", "unfold", "_reshape_alias", "diagonal", "movedim", "view_as_real",
}  # fmt: skip


@dataclass
class Trace:
    """What was seen: device operators by name; copies from the host and those that block it; waits, by place."""

    operators: collections.Counter[str] = field(default_factory=collections.Counter)
    copies: collections.Counter[str] = field(default_factory=collections.Counter)
    blocking: collections.Counter[str] = field(default_factory=collections.Counter)
    waits: collections.Counter[str] = field(default_factory=collections.Counter)
    bytes_copied: int = 0
    discriminator: int = 0
    """Launches before the generator's step began."""

    @property
    def launches(self) -> int:
        return self.operators.total()


class _Count(TorchDispatchMode):
    def __init__(self, trace: Trace) -> None:
        super().__init__()
        self.trace, self.in_optimizer = trace, False

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        name, kwargs = func.overloadpacket.__name__, kwargs or {}
        if name == "_to_copy" and args[0].device.type == "meta" and str(kwargs.get("device")) == "cpu":
            self.trace.waits[_place()] += 1
            return torch.zeros(args[0].shape, dtype=kwargs.get("dtype") or args[0].dtype)
        out = func(*args, **kwargs)
        if name in ("convolution", "convolution_backward") and any(map(_channels_last, args[:3])):
            # "meta" forgets the layout that a card would give, and what follows would bring it back.
            out = tree_map_only(Tensor, _to_channels_last, out)
        tensors = [t for t in tree_leaves((args, kwargs, out)) if isinstance(t, Tensor)]
        devices = {t.device.type for t in tensors}
        if "meta" not in devices or self.in_optimizer:
            return out
        if name in ("_to_copy", "copy_") and "cpu" in devices:
            self.trace.copies[_place()] += 1
            self.trace.bytes_copied += tensors[0].nbytes
            if not (kwargs.get("non_blocking") or (name == "copy_" and args[2:3] == (True,))):
                self.trace.blocking[_place()] += 1
        elif name not in VIEWS:
            self.trace.operators[name] += 1
        return out


@contextlib.contextmanager
def on_meta(trace: Trace) -> Iterator[_Count]:
    """Autocast and random generators, which "meta" lacks, do nothing; what the host reads is counted, and constant."""
    autocast, enabled = torch.autocast, torch.is_autocast_enabled

    def without_meta(device_type: str, *args: Any, **keywords: Any) -> Any:
        return contextlib.nullcontext() if device_type == "meta" else autocast(device_type, *args, **keywords)

    def read(tensor: Tensor) -> float:
        trace.waits[_place()] += 1
        return 1.0

    def from_numbers(make: Callable[..., Tensor]) -> Callable[..., Tensor]:
        """The dispatcher does not see the copy, which blocks."""

        def made(*args: Any, **keywords: Any) -> Tensor:
            out = make(*args, **keywords)
            if out.device.type == "meta" and not count.in_optimizer:
                trace.copies[_place()] += 1
                trace.blocking[_place()] += 1
                trace.bytes_copied += out.nbytes
            return out

        return made

    with (
        mock.patch("torch.autocast", without_meta),
        mock.patch("torch.is_autocast_enabled", lambda device_type: device_type != "meta" and enabled(device_type)),
        mock.patch("kaogan.core.rng._of_device", lambda device, seed: None),
        mock.patch("kaogan.core.device.read", read),
        mock.patch("torch.tensor", from_numbers(torch.tensor)),
        mock.patch("torch.Tensor.new_tensor", from_numbers(Tensor.new_tensor)),
        _Count(trace) as count,
    ):
        yield count


def trace(recipe: Recipe, pictures: PictureSet, steps: int = 1, p: float | None = None) -> Trace:
    """The last of ``steps`` generator steps with its discriminator steps; ``p`` is that of ADA and APA, if given."""
    device = torch.device("meta")
    state = build_train_state(recipe, pictures.schema, device, "fp32")
    if p is not None:
        for name in ("augment", "apa"):
            state.extras[name].load_state_dict({"p": p})
    sampler = InfiniteSampler(
        pictures, recipe.training.batch_size, recipe.run.seed, recipe.data.horizontal_flip, device
    )
    for _ in range(steps):
        seen = Trace()
        with on_meta(seen) as count:
            trainer = GANTrainer(recipe, pictures.schema, state, sampler, device, "fp32")
            for optimizer in (state.discriminator_optim, state.generator_optim):
                _count_as_one(optimizer, count, seen)
            _note_discriminator(trainer, seen)
            for _ in range(recipe.training.n_critic):
                trainer.step()
                state.images_seen += recipe.training.batch_size
            state.ema.update(state.images_seen, recipe.training.batch_size * recipe.training.n_critic)
    return seen


def noise_pictures(recipe: Recipe, count: int | None = None) -> PictureSet:
    """Black pictures with random labels, if the recipe wants labels."""
    count, rng = count or recipe.training.batch_size, np.random.default_rng(0)
    images = np.zeros((count, recipe.image_size, recipe.image_size, recipe.channels), np.uint8)
    labels, schema = np.empty((count, 0), np.int64), Schema()
    if recipe.attributes.names:
        labels = np.stack([rng.integers(12, size=count), rng.integers(10, size=count)], 1)
        values = [[f"hair {k}" for k in range(12)], [f"eyes {k}" for k in range(10)]]
        schema = Schema.from_labels(["hair", "eyes"], values, labels)
    return PictureSet(images, labels, schema, tuple(map(str, range(count))), (), (), "noise", "0" * 32)


def _note_discriminator(trainer: GANTrainer, seen: Trace) -> None:
    original = trainer.generator_step

    def noting(*arguments: Any) -> None:
        seen.discriminator = seen.launches
        original(*arguments)

    trainer.generator_step = noting  # type: ignore[method-assign, assignment]


def _count_as_one(optimizer: torch.optim.Optimizer, count: _Count, seen: Trace) -> None:
    """On "meta" Adam is a loop over the weights; on a card its fused form is one launch."""

    def before(*_: Any) -> None:
        count.in_optimizer = True

    def after(*_: Any) -> None:
        count.in_optimizer = False
        seen.operators["optimizer"] += 1

    optimizer._optimizer_step_pre_hooks.clear()
    optimizer._optimizer_step_post_hooks.clear()
    optimizer.register_step_pre_hook(before)
    optimizer.register_step_post_hook(after)


def _channels_last(value: Any) -> bool:
    return isinstance(value, Tensor) and value.ndim == 4 and value.is_contiguous(memory_format=torch.channels_last)


def _to_channels_last(value: Tensor) -> Tensor:
    return value.to(memory_format=torch.channels_last) if value.ndim == 4 else value


def _place() -> str:
    """The deepest line of the package that is being run, whatever the folder is called that the package lies in."""
    package = Path(kaogan.__file__).parent
    frames = [frame for frame in traceback.extract_stack() if Path(frame.filename).is_relative_to(package)]
    return f"{Path(frames[-1].filename).relative_to(package).as_posix()}:{frames[-1].lineno}" if frames else "?"


def main(names: list[str]) -> None:
    print(f"{'recipe':22} {'launches':>8} {'of D':>6} {'copies':>7} {'blocking':>8} {'waits':>6} {'MB':>6}")
    for name, size, batch, settings, p in PUBLISHED:
        if names and name not in names:
            continue
        recipe = recipes.load(name, {"image_size": size, "training.batch_size": batch, **settings})
        seen = trace(recipe, noise_pictures(recipe), steps=2, p=p)
        numbers = (seen.launches, seen.discriminator, seen.copies.total(), seen.blocking.total(), seen.waits.total())
        counts = "{:8} {:6} {:7} {:8} {:6}".format(*numbers)
        title = f"{name}-{size} b{batch}" + (" tagger only" if settings else "") + (f" p={p}" if p else "")
        print(f"{title:22} {counts} {seen.bytes_copied / 1e6:6.1f}")
        for place, number in seen.blocking.most_common(12):
            print(f"    {number:3} blocking at {place}")


if __name__ == "__main__":
    main(sys.argv[1:])
