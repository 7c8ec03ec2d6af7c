"""Training an upscaler in a run directory like those of the generators."""

from __future__ import annotations

import platform
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from kaogan.aux_models.upscaler.load import load_upscaler
from kaogan.aux_models.upscaler.model import FILE, Upscaler, save_upscaler, upscaler_precision
from kaogan.aux_models.upscaler.networks import build
from kaogan.aux_models.upscaler.resampling import shrink
from kaogan.config import upscale_recipe
from kaogan.config.upscale_recipe import RESUMABLE_KEYS, UpscaleRecipe
from kaogan.core.atomic_io import atomic, write_text
from kaogan.core.checkpoint import find
from kaogan.core.device import choose_device, describe
from kaogan.core.ema import EMA
from kaogan.core.errors import UsageError
from kaogan.core.images import Pictures, to_float, to_uint8
from kaogan.core.interruption import ignore_stop
from kaogan.core.model_cards import CARD, auxiliary_card
from kaogan.core.rng import seed_for
from kaogan.core.training_loop import (
    Intervals,
    OnProgress,
    TrainingLoop,
    TrainResult,
    no_train_progress,
)
from kaogan.data import PictureSet
from kaogan.metrics.psnr_ssim import psnr
from kaogan.networks import count_parameters
from kaogan.training.run_dir import RunDir, data_record
from kaogan.training.upscaler.crops import CropSampler
from kaogan.training.upscaler.step import UpscalerState, UpscalerTrainer, build_discriminator, enlarge
from kaogan.version import __version__

LOSS_LIMIT = 1e6
MEASURED = 16  # held-out pictures of the measurements during training


def train(
    recipe: UpscaleRecipe,
    pictures: PictureSet,
    out: Path,
    *,
    allow_changes: bool = False,
    on_progress: OnProgress = no_train_progress,
    on_stop: Callable[[], None] = ignore_stop,
) -> TrainResult:
    """Train ``recipe`` on ``pictures`` in the folder ``out``, going on from its newest checkpoint.

    Raises UsageError for settings that don't fit the data or the run, KaoganError when the disk or the training fails.
    Ctrl-C, SIGTERM and SIGHUP leave a checkpoint and return.
    """
    device = choose_device(recipe.run.device)
    precision = upscaler_precision(recipe.run.precision, device)
    state = build_state(recipe, device, resumes=bool(find(out / "checkpoints")))
    with RunDir(out) as folder:
        resumed = folder.open_session(
            state, recipe, data_record(pictures), upscale_recipe.read, RESUMABLE_KEYS, allow_changes
        )
        crops = CropSampler(pictures, recipe)
        trainer = UpscalerTrainer(recipe, state, device, precision)
        describe_run(folder, state, crops, f"{describe(device)}, {precision}")
        # As in kaogan.training.numerics; a CPU does not look at it.
        with torch.backends.cudnn.flags(enabled=True, benchmark=True, allow_tf32=precision != "fp32"):
            result = UpscalerLoop(recipe, state, trainer, folder, crops).run(resumed, on_progress, on_stop)
        folder.log.info("%s at %d pictures", "finished" if result.finished else "stopped", result.images_seen)
        return result


class UpscalerLoop(TrainingLoop):
    """The schedule of an upscaler: stats, measurements on held-out pictures, the network as a file to use and share."""

    state: UpscalerState

    def __init__(
        self, recipe: UpscaleRecipe, state: UpscalerState, trainer: UpscalerTrainer, folder: RunDir, crops: CropSampler
    ) -> None:
        run = recipe.run
        super().__init__(
            state, recipe.training.images, recipe.training.batch_size,
            Intervals(run.stats_every, run.checkpoint_every, run.measure_every, run.keep_last),
            folder.path, folder.checkpoints, folder.log, LOSS_LIMIT, trainer.meters,
        )  # fmt: skip
        self.recipe, self.trainer, self.run_dir, self.crops = recipe, trainer, folder, crops

    def step(self) -> None:
        for optimizer, rate in learning_rates(self.recipe, self.state):
            for group in optimizer.param_groups:
                group["lr"] = rate
        self.trainer.step(self.crops.at(self.state.images_seen))

    def after_step(self) -> None:
        self.state.ema.update(self.state.images_seen, self.batch_size)

    def report(self, stats: dict[str, float]) -> None:
        clock, seconds = self.state.images_seen, round(self.state.seconds, 3)
        self.run_dir.append_stats({"clock": clock, "seconds": seconds, **stats})

    def snapshot(self) -> None:
        if self.state.images_seen:
            measure_held_out(self.state, self.run_dir, self.crops)

    def save_model(self) -> None:
        recipe = self.recipe
        facts = {"recipe": recipe.name, "clock": str(self.state.images_seen), "summary": recipe.summary}
        if recipe.run.licence != "other":
            facts["licence"] = recipe.run.licence
        save_upscaler(self.run_dir.model / FILE, self.state.ema.module, recipe.generator, facts)
        data = {
            "trained on": Path(self.crops.pictures.source).name,  # where it lay is nobody's business
            "pictures": f"{len(self.crops.parts.train):,}, {len(self.crops.parts.held_out):,} more held out",
            "kaogan": __version__,
        }
        what = f"Enlarges pictures, in kaogan: `kaogan upscale face.png --model FOLDER`. {recipe.summary}"
        text = auxiliary_card(
            recipe.name, what, facts | data, licence=recipe.run.licence, task="image-to-image", tags=["upscaling"]
        )
        write_text(self.run_dir.model / CARD, text)

    def has_model(self) -> bool:
        return (self.run_dir.model / FILE).is_file()


def build_state(recipe: UpscaleRecipe, device: torch.device, *, resumes: bool = False) -> UpscalerState:
    """Fresh weights, drawn from the recipe's seed, or those of ``start_from``, which a run that ``resumes`` no longer
    needs. Raises UsageError when those are of another network."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed_for(recipe.run.seed, "init/upscaler"))
        generator = build(recipe.generator)
        torch.manual_seed(seed_for(recipe.run.seed, "init/judge"))  # the name decides the weights
        discriminator = build_discriminator(recipe)
    if recipe.start_from and not resumes:
        source = load_upscaler(recipe.start_from).network.state_dict()
        try:
            generator.load_state_dict(source)
        except RuntimeError:
            raise UsageError(f"start_from: {recipe.start_from} is another network than the recipe's") from None
    generator = generator.to(device, memory_format=torch.channels_last).train()  # type: ignore[call-overload]
    optim, training = recipe.optim, recipe.training
    state = UpscalerState(
        generator,
        EMA(generator, training.ema_halflife, training.ema_rampup, buffers=True),
        torch.optim.Adam(generator.parameters(), lr=optim.lr, betas=optim.betas),
    )
    if discriminator is not None:
        own = optim.discriminator
        state.discriminator = discriminator.to(device, memory_format=torch.channels_last).train()  # type: ignore[call-overload]
        state.discriminator_optim = torch.optim.Adam(
            discriminator.parameters(), lr=own.lr or optim.lr, betas=own.betas or optim.betas
        )
    return state


def learning_rates(recipe: UpscaleRecipe, state: UpscalerState) -> list[tuple[torch.optim.Optimizer, float]]:
    factor = recipe.optim.schedule.factor(state.images_seen)
    found = [(state.generator_optim, recipe.optim.lr * factor)]
    if state.discriminator_optim is not None:
        found.append((state.discriminator_optim, (recipe.optim.discriminator.lr or recipe.optim.lr) * factor))
    return found


def describe_run(folder: RunDir, state: UpscalerState, crops: CropSampler, machine: str) -> None:
    log, parts = folder.log, crops.parts
    log.info("kaogan %s, torch %s, python %s", __version__, torch.__version__, platform.python_version())
    log.info("machine: %s, %d threads", machine, torch.get_num_threads())
    log.info("data: %s, %d to train on, %d held out", crops.pictures.source, len(parts.train), len(parts.held_out))
    discriminator = 0 if state.discriminator is None else count_parameters(state.discriminator)
    log.info("parameters: %s, discriminator %s", f"{count_parameters(state.generator):,}", f"{discriminator:,}")


def measure_held_out(state: UpscalerState, folder: RunDir, crops: CropSampler) -> None:
    """PSNR on the first held-out pictures, against bicubic, into the log; and a grid low | ours | original."""
    device = next(state.ema.module.parameters()).device
    if not len(crops.held_out):
        return
    for scale in sorted(int(s) for s, weight in crops.recipe.crops.scales.items() if weight):
        side = crops.held_out.shape[1] // scale * scale
        high = np.ascontiguousarray(crops.held_out[:MEASURED, :side, :side])
        low = shrink(to_float(high), scale)
        made = Upscaler(state.ema.module, crops.recipe.generator, device=device).upscale(to_uint8(low), scale)
        plain = to_uint8(enlarge(low, scale))
        ours, bicubic = (np.mean([psnr(a, b) for a, b in zip(x, high, strict=True)]) for x in (made, plain))
        line = f"x{scale}: {ours:.3f} dB, bicubic {bicubic:.3f}, gain {ours - bicubic:.3f}"
        folder.log.info("%d pictures, %d held out, %s", state.images_seen, len(high), line)
        write_png(np.concatenate([np.hstack(triple) for triple in zip(plain[:6], made[:6], high[:6], strict=True)]),
              folder.grids / f"{state.images_seen:09d}-x{scale}.png")  # fmt: skip


def write_png(picture: Pictures, path: Path) -> None:
    with atomic(path) as temporary:
        Image.fromarray(picture).save(temporary, "PNG")
