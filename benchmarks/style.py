"""StyleGAN2 and StyleGAN3 against the same layers written straight from their definitions, in float32 and the default
layout: ``python -m benchmarks.style [--seconds S]``, one thread. Turns are taken, medians compared. ``--cost`` prints
what 1,000 images of training cost instead, at several sizes."""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable

import torch
from torch import nn

from benchmarks.style_reference import twin
from benchmarks.timing import Timing, interleaved
from kaogan import api
from kaogan.config import recipes
from kaogan.core.device import choose_precision
from kaogan.networks import build_generator
from kaogan.training.optimizers import build_optimizer
from kaogan.training.phases import build_phases, lazy_ratio
from kaogan.training.sampler import InfiniteSampler
from kaogan.training.state import build_train_state
from kaogan.training.step import GANTrainer

CPU = torch.device("cpu")
BATCH = 16


def generator(name: str, size: int) -> nn.Module:
    recipe = recipes.load(name)
    torch.manual_seed(0)
    shape = {"latent_size": recipe.latent.size, "attribute_size": 0, "image_size": size, "channels": 3}
    return build_generator(recipe.generator, **shape).to(memory_format=torch.channels_last).eval()  # type: ignore[call-overload]


def forward(name: str, size: int, batch: int, seconds: float) -> Timing:
    ours = generator(name, size)
    theirs = twin(ours)
    latents = torch.randn(batch, recipes.load(name).latent.size)
    with torch.no_grad():
        difference = float((ours(latents) - theirs(latents)).abs().max())
    assert difference < 1e-3, difference

    def run(network: nn.Module, bf16: bool) -> Callable[[], object]:
        def work() -> object:
            with torch.no_grad(), torch.autocast("cpu", torch.bfloat16, enabled=bf16):
                return network(latents)

        return work

    return interleaved(
        {"reference": run(theirs, False), "float32": run(ours, False), "bf16": run(ours, True)}, 15, seconds
    )


def training(name: str, seconds: float) -> Timing:
    """Sixteen steps of both networks are one turn's unit: every lazy penalty is due in it as often as in training."""
    recipe = recipes.load(name, {"batch_size": BATCH, "data.avatars": 64})
    pictures = api.load_data(recipe)

    def run(precision: str, plain: bool) -> Callable[[], object]:
        state = build_train_state(recipe, pictures.schema, CPU, precision)
        if plain:
            state.generator, state.discriminator = twin(state.generator), twin(state.discriminator)
            phases = build_phases(recipe)
            for network in ("generator", "discriminator"):
                made = build_optimizer(
                    getattr(state, network), recipe.optim, getattr(recipe.optim, network), lazy_ratio(phases, network)
                )
                setattr(state, f"{network}_optim", made)
        batches = InfiniteSampler(pictures, BATCH, 0)
        trainer = GANTrainer(recipe, pictures.schema, state, batches, CPU, precision)

        def work() -> object:
            batch = batches.at(state.images_seen)
            if plain:
                batch = batch._replace(images=batch.images.contiguous())
            fakes = trainer.discriminator_step([batch])
            trainer.generator_step([batch])
            state.images_seen += BATCH
            return fakes

        return work

    candidates = {"reference": run("fp32", True), "float32": run("fp32", False)}
    if choose_precision("auto", CPU) == "bf16":
        candidates["bf16"] = run("bf16", False)
    return interleaved(candidates, 16, seconds, warm_up=0)


def cost(name: str, size: int) -> float:
    """Processor seconds for 1,000 images of training: of 16 steps, in which every lazy penalty has its share."""
    recipe = recipes.load(name, {"image_size": size, "data.avatars": 64})
    pictures = api.load_data(recipe)
    precision, batch_size = choose_precision("auto", CPU), recipe.training.batch_size
    state = build_train_state(recipe, pictures.schema, CPU, precision)
    state.extras["augment"].adaptive.p = 0.2  # as it soon is in training; at 0 augmentation would cost nothing
    batches = InfiniteSampler(pictures, batch_size, 0)
    trainer = GANTrainer(recipe, pictures.schema, state, batches, CPU, precision)
    began = 0.0
    for number in range(17):  # the first warms up
        began = began if number > 1 else time.process_time()
        batch, reuse = batches.at(state.images_seen), recipe.training.reuse_fakes
        fakes = trainer.discriminator_step([batch], reuse=reuse)
        trainer.generator_step([batch], fakes if reuse else None)
        state.images_seen += batch_size
    return 1000 * (time.process_time() - began) / (16 * batch_size)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cost", action="store_true", help="seconds for 1,000 images at 32, 64, 128 and 256 px")
    parser.add_argument("--seconds", type=float, default=20.0, help="at most this long for each row")
    parser.add_argument("names", nargs="*", default=["stylegan2-64", "stylegan3-t-64", "stylegan3-r-64"])
    arguments = parser.parse_args()
    seconds = arguments.seconds
    torch.set_num_threads(1)
    if arguments.cost:
        for name in arguments.names:
            for size in (32, 64, 128, 256):
                print(f"{name:16} {size:4} px {cost(name, size):8.1f} s for 1,000 images", flush=True)
        return
    print(f"{'':32} {'reference':>10} {'float32':>16} {'bf16':>16}   busy")
    for name in arguments.names:
        rows: dict[str, Callable[[], Timing]] = {
            f"{name}, forward": lambda n=name: forward(n, 64, BATCH, seconds),  # type: ignore[misc]
            f"{name}, forward at 256 px": lambda n=name: forward(n, 256, 4, seconds),  # type: ignore[misc]
            f"{name}, training": lambda n=name: training(n, seconds),  # type: ignore[misc]
        }
        for title, measure in rows.items():
            timing = measure()
            base = timing.seconds["reference"]
            cells = [f"{1e3 * t:7.0f} ms {base / t:4.1f}x" for k, t in timing.seconds.items() if k != "reference"]
            print(
                f"{title:32} {1e3 * base:7.0f} ms {'  '.join(cells)}  {timing.busy:5.0%} ({timing.repeats})", flush=True
            )


if __name__ == "__main__":
    main()
