"""Training to enlarge, in a run's folder like those of the generators: clock, log, stats, checkpoints, grids, model."""

from __future__ import annotations

import copy
import json
import platform
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
import yaml
from PIL import Image
from torch import Tensor, nn

from kaogan.aux_models.upscaler.model import FILE, Upscaler, load_upscaler, save_upscaler
from kaogan.aux_models.upscaler.networks import build
from kaogan.config import recipes
from kaogan.config.upscale_recipe import FREE, UpscaleRecipe
from kaogan.core import checkpoint
from kaogan.core.atomic_io import atomic, explain, write_text
from kaogan.core.device import choose_device, choose_precision, describe
from kaogan.core.errors import KaoganError, UsageError
from kaogan.core.images import Pictures, to_float, to_uint8
from kaogan.core.rng import seed_for
from kaogan.data import PictureSet
from kaogan.metrics.psnr_ssim import psnr
from kaogan.networks import count_parameters
from kaogan.training.loop import Outcome, Progress, check, due, interruptible
from kaogan.training.run_dir import RunFolder
from kaogan.training.upscaler.crops import Crops
from kaogan.training.upscaler.degradation import shrink
from kaogan.training.upscaler.step import Learner, Steps, average, build_discriminator, enlarge
from kaogan.version import __version__

MEASURED = 16  # held-out pictures that are looked at on the way


def train(
    recipe: UpscaleRecipe,
    pictures: PictureSet,
    out: Path,
    *,
    allow_changes: bool = False,
    on_progress: Callable[[Progress], None] = lambda progress: None,
) -> Outcome:
    """Train ``recipe`` on ``pictures`` in the folder ``out``, going on from its newest checkpoint.

    Raises UsageError for settings that don't fit the data or the run, KaoganError when the disk or the training fails.
    Ctrl-C and SIGTERM leave a checkpoint and return.
    """
    run, settings = recipe.run, recipe.training
    device = choose_device(run.device)
    precision = choose_precision(run.precision, device)
    learner = start(recipe, device)
    folder = RunFolder(out)
    try:
        settle(folder, recipe, pictures, allow_changes)
        resume(learner, folder)
        crops = Crops(pictures, recipe)
        steps = Steps(recipe, learner, device, precision)
        begin(folder, learner, crops, f"{describe(device)}, {precision}")
        first, began, before = learner.clock, time.monotonic(), learner.seconds
        tick, tick_began = learner.clock, began
        with interruptible() as interrupted:
            while True:
                clock = learner.clock
                learner.seconds = before + time.monotonic() - began
                last = clock >= settings.images or bool(interrupted)
                if clock > tick and (last or due(run.stats_every, clock, tick)):
                    now = time.monotonic()
                    stats = {**steps.meters.take(), "images_per_second": (clock - tick) / (now - tick_began)}
                    check(stats, 1e6, folder)
                    folder.append_stats({"clock": clock, "seconds": round(learner.seconds, 3), **stats})
                    on_progress(Progress(clock, settings.images, stats))
                    tick, tick_began = clock, now
                if clock > first and (last or due(run.checkpoint_every, clock, clock - settings.batch_size)):
                    save(learner, folder, recipe)
                if clock > first and (last or due(run.measure_every, clock, clock - settings.batch_size)):
                    measure(learner, folder, crops)
                if last:
                    break
                for optimiser, rate in rates(recipe, learner):
                    for group in optimiser.param_groups:
                        group["lr"] = rate
                steps.step(crops.at(clock))
                learner.clock = clock + settings.batch_size
                average(learner, settings.ema_halflife, settings.ema_rampup, settings.batch_size)
        finished = learner.clock >= settings.images
        folder.log.info("%s at %d pictures", "finished" if finished else "stopped", learner.clock)
        return Outcome(learner.clock, finished, time.monotonic() - began, folder.path)
    except OSError as error:
        raise explain(error, out) from error
    finally:
        folder.close()


def start(recipe: UpscaleRecipe, device: torch.device) -> Learner:
    """Fresh weights, drawn from the recipe's seed, or those of ``start_from``."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed_for(recipe.run.seed, "init/upscaler"))
        generator = build(recipe.generator)
        torch.manual_seed(seed_for(recipe.run.seed, "init/judge"))
        discriminator = build_discriminator(recipe)
    if recipe.start_from:
        source = load_upscaler(recipe.start_from).network.state_dict()
        try:
            generator.load_state_dict(source)
        except RuntimeError:
            raise UsageError(f"start_from: {recipe.start_from} is another network than the recipe's") from None
    generator = generator.to(device, memory_format=torch.channels_last).train()  # type: ignore[call-overload]
    learner = Learner(
        generator,
        copy.deepcopy(generator).eval().requires_grad_(False),
        torch.optim.Adam(generator.parameters(), lr=recipe.optim.lr, betas=recipe.optim.betas),
    )
    if discriminator is not None:
        own = recipe.optim.discriminator
        learner.discriminator = discriminator.to(device, memory_format=torch.channels_last).train()  # type: ignore[call-overload]
        learner.discriminator_optimiser = torch.optim.Adam(
            discriminator.parameters(), lr=own.lr or recipe.optim.lr, betas=own.betas or recipe.optim.betas
        )
    return learner


def rates(recipe: UpscaleRecipe, learner: Learner) -> list[tuple[torch.optim.Optimizer, float]]:
    factor = recipe.optim.schedule.factor(learner.clock)
    found = [(learner.optimiser, recipe.optim.lr * factor)]
    if learner.discriminator_optimiser is not None:
        found.append((learner.discriminator_optimiser, (recipe.optim.discriminator.lr or recipe.optim.lr) * factor))
    return found


def settle(folder: RunFolder, recipe: UpscaleRecipe, pictures: PictureSet, allow_changes: bool) -> None:
    """Refuse other settings than those of the sitting before, and write these."""
    now = recipes.flatten({**recipe.to_dict(), "data": pictures.fingerprint})
    if checkpoint.find(folder.checkpoints):
        try:
            tree = yaml.safe_load(folder.recipe_path.read_text(encoding="utf-8"))
            data = json.loads((folder.path / "data.json").read_text(encoding="utf-8"))
            known = pictures.fingerprint if data["fingerprint"] in pictures.former_fingerprints else data["fingerprint"]
            before = recipes.flatten({**tree, "data": known})
        except (OSError, ValueError, KeyError, TypeError, yaml.YAMLError) as error:
            raise KaoganError(f"cannot read the settings of the run in {folder.path} ({error})") from None
        changed = [k for k in sorted(now.keys() | before.keys()) if now.get(k) != before.get(k) and k not in FREE]
        if changed and not allow_changes:
            listed = "; ".join(f"{key} was {before.get(key)!r}, now {now.get(key)!r}" for key in changed)
            raise UsageError(
                f"{folder.path} was trained with other settings: {listed}. "
                "Use another --out, or --allow-changes to go on with the new ones"
            )
    described = {"source": pictures.source, "count": len(pictures), "fingerprint": pictures.fingerprint}
    write_text(folder.path / "data.json", json.dumps(described, indent=2, ensure_ascii=False))
    write_text(folder.recipe_path, recipes.dump(recipe))


def begin(folder: RunFolder, learner: Learner, crops: Crops, machine: str) -> None:
    log, parts = folder.log, crops.parts
    log.info("kaogan %s, torch %s, python %s", __version__, torch.__version__, platform.python_version())
    log.info("machine: %s, %d threads", machine, torch.get_num_threads())
    log.info("data: %s, %d to train on, %d held out", crops.pictures.source, len(parts.train), len(parts.held_out))
    judge = 0 if learner.discriminator is None else count_parameters(learner.discriminator)
    log.info("parameters: %s, judge %s", f"{count_parameters(learner.generator):,}", f"{judge:,}")
    if learner.clock:
        log.info("goes on at %d pictures", learner.clock)


def collect(learner: Learner) -> dict[str, Tensor]:
    tensors: dict[str, Tensor] = {}
    for name, module, optimiser in _parts(learner):
        tensors |= {f"{name}/{key}": value for key, value in module.state_dict().items()}
        if optimiser is not None:
            for key, parameter in module.named_parameters():
                tensors |= {f"{name}_optim/{key}/{k}": v for k, v in optimiser.state.get(parameter, {}).items()}
    return tensors


@torch.no_grad()
def restore(learner: Learner, tensors: dict[str, Tensor], state: dict[str, Any]) -> None:
    for name, module, optimiser in _parts(learner):
        prefix = f"{name}/"
        module.load_state_dict({k.removeprefix(prefix): v for k, v in tensors.items() if k.startswith(prefix)})
        if optimiser is None:
            continue
        optimiser.state.clear()
        for key, parameter in module.named_parameters():
            prefix = f"{name}_optim/{key}/"
            for slot, saved in ((k.removeprefix(prefix), v) for k, v in tensors.items() if k.startswith(prefix)):
                if saved.shape == parameter.shape:
                    saved = torch.empty_like(parameter, dtype=saved.dtype).copy_(saved)
                optimiser.state[parameter][slot] = saved
    learner.clock, learner.seconds = int(state["clock"]), float(state["seconds"])


def _parts(learner: Learner) -> list[tuple[str, nn.Module, torch.optim.Optimizer | None]]:
    found: list[tuple[str, nn.Module, torch.optim.Optimizer | None]] = [
        ("generator", learner.generator, learner.optimiser),
        ("average", learner.average, None),
    ]
    if learner.discriminator is not None:
        found.append(("discriminator", learner.discriminator, learner.discriminator_optimiser))
    return found


def resume(learner: Learner, folder: RunFolder) -> None:
    """Go on from the newest checkpoint that is whole."""
    failure = ""
    for path in reversed(checkpoint.find(folder.checkpoints)):
        try:
            restore(learner, *checkpoint.load(path))
        except (KaoganError, RuntimeError, KeyError) as error:
            failure = failure or str(error)
            folder.log.info("cannot use %s: %s", path.name, error)
            continue
        break
    else:
        if failure:
            raise KaoganError(f"no checkpoint in {folder.path} can be used ({failure}); move it away to start anew")
    folder.rewind_stats(learner.clock)


def save(learner: Learner, folder: RunFolder, recipe: UpscaleRecipe) -> None:
    """The checkpoint, and the averaged network as a file to use and share."""
    checkpoint.save(folder.checkpoints, collect(learner), {"clock": learner.clock, "seconds": learner.seconds})
    checkpoint.rotate(folder.checkpoints, recipe.run.keep_last, 0)
    facts = {"recipe": recipe.name, "clock": str(learner.clock), "summary": recipe.summary}
    save_upscaler(folder.model / FILE, learner.average, recipe.generator, facts)


def measure(learner: Learner, folder: RunFolder, crops: Crops) -> None:
    """PSNR on the first held-out pictures, against bicubic, into the log; and a grid low | ours | original."""
    high = np.ascontiguousarray(crops.held_out[:MEASURED])
    if not len(high):
        return
    for scale in sorted(int(s) for s, weight in crops.recipe.crops.scales.items() if weight):
        low = shrink(to_float(high), scale)
        made = Upscaler(learner.average, crops.recipe.generator).upscale(to_uint8(low), scale)
        plain = to_uint8(enlarge(low, scale))
        ours, bicubic = (np.mean([psnr(a, b) for a, b in zip(x, high, strict=True)]) for x in (made, plain))
        line = f"x{scale}: {ours:.3f} dB, bicubic {bicubic:.3f}, gain {ours - bicubic:.3f}"
        folder.log.info("%d pictures, %d held out, %s", learner.clock, len(high), line)
        sheet(np.concatenate([np.hstack(triple) for triple in zip(plain[:6], made[:6], high[:6], strict=True)]),
              folder.grids / f"{learner.clock:09d}-x{scale}.png")  # fmt: skip


def sheet(picture: Pictures, path: Path) -> None:
    with atomic(path) as temporary:
        Image.fromarray(picture).save(temporary, "PNG")
