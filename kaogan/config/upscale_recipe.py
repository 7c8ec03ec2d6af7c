"""The recipe of an upscaler's training, a typed tree like that of the generators (kaogan/config/recipe.py).

Lengths and starts are in *pictures shown*: crops of large pictures that the network was to restore.
"""

from __future__ import annotations

from collections.abc import Mapping
from importlib import resources
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, field_validator, model_validator

from kaogan.config import recipes
from kaogan.config.recipe import (
    Beta,
    Described,
    Fraction,
    Images,
    LearningRateSchedule,
    Licence,
    Range,
    Section,
    Weight,
)
from kaogan.config.registries import UpscalerSettings
from kaogan.core.notes import note


class Crops(Section):
    size: int = Field(256, ge=16, le=4096, description="side that the pictures are read at, px")
    low: int = Field(32, ge=4, le=512, description="side of what is enlarged in training, px; crops are scale times it")
    scales: dict[Literal["2", "4", "8"], Weight] = Field(
        {"2": 0.1, "4": 0.45, "8": 0.45}, description="how often each scale is drawn"
    )
    flip: bool = Field(True, description="mirror half of the crops")
    held_out: Fraction = Field(0.08, description="share of the pictures that training never sees, chosen by content")
    avatars: int = Field(0, ge=0, le=100_000, description="drawn faces that are mixed in")
    avatar_size: int = Field(512, ge=16, le=2048, description="their side, px")
    avatar_share: Fraction = Field(0.1, description="share of the crops that are taken from them")


class Degradation(Section):
    """What besides antialiased bicubic shrinking happens to ``share`` of the crops; each with the given chance."""

    share: Fraction = Field(0.0, description="share of the crops that are degraded; the rest is only shrunk")
    blur: Range = Field((0.2, 1.2), description="sigma of a Gaussian before shrinking, px of the small picture")
    plain: Fraction = Field(0.3, description="shrink by bilinear or area instead of bicubic")
    noise: Range = Field((1.0, 8.0), description="standard deviation, of 255")
    blotches: Range = Field((2.0, 12.0), description="coarse coloured noise and grids such as GANs leave, of 255")
    jpeg: Range = Field((40, 95), description="quality")

    @field_validator("blur", "noise", "blotches", "jpeg")
    @classmethod
    def _from_low_to_high(cls, value: tuple[float, float]) -> tuple[float, float]:
        if not 0 <= value[0] <= value[1]:
            raise ValueError("input should go from a number of 0 or more to one that is not smaller")
        return value


class Losses(Section):
    pixel: Literal["mse", "l1", "charbonnier"] = Field("charbonnier", description="distance of the pixels")
    pixel_weight: Weight = Field(1.0, description="weight of the distance of the pixels")
    epsilon: float = Field(5e-3, gt=0, description="of charbonnier, in a range of 1")
    perceptual: Weight = Field(0.0, description="weight of the distance in the stages of kaogan's tagger")
    adversarial: Weight = Field(0.0, description="weight of the adversarial loss; 0: there is no discriminator")
    objective: Literal["bce", "relativistic"] = Field("bce", description="the adversarial loss")
    discriminator: Literal["srgan", "patch"] = Field("patch", description="SRGAN's network, or scores of patches")
    start: int = Field(0, ge=0, description="pictures shown before the discriminator joins in")
    real_label: Range = Field((1.0, 1.0), description="label of real crops, drawn from this range per crop")
    fake_label: Range = Field((0.0, 0.0), description="label of enlarged crops in the discriminator's step")
    flip: Fraction = Field(0.0, description="share of crops whose labels are swapped for the discriminator")

    @field_validator("real_label", "fake_label")
    @classmethod
    def _labels_are_probabilities(cls, value: tuple[float, float]) -> tuple[float, float]:
        if not 0 <= value[0] <= value[1] <= 1:
            raise ValueError("input should be a range within 0 and 1, the lower end first")
        return value


class DiscriminatorOptim(Section):
    """What the discriminator does otherwise; null means: as in ``optim``."""

    lr: Annotated[float, Field(gt=0)] | None = Field(None, description="learning rate; null: as in optim")
    betas: tuple[Beta, Beta] | None = Field(None, description="adam's; null: as in optim")

    @model_validator(mode="before")
    @classmethod
    def _without_what_never_had_effect(cls, value: Any) -> Any:
        """Recipes of earlier versions have these keys, which go on being read."""
        if not isinstance(value, Mapping):
            return value
        for key in ("weight_decay", "frozen"):
            if value.get(key):
                note(f"optim.discriminator.{key} has no effect on upscalers and is left out")
        return {key: each for key, each in value.items() if key not in ("weight_decay", "frozen")}


class Optim(Section):
    lr: float = Field(5e-4, gt=0, description="learning rate")
    betas: tuple[Beta, Beta] = Field((0.9, 0.99), description="adam's")
    clip: Weight = Field(0.0, description="longest gradient of the generator; 0: any")
    schedule: LearningRateSchedule = LearningRateSchedule()
    discriminator: DiscriminatorOptim = Field(
        DiscriminatorOptim(), description="overrides for the discriminator's optimizer"
    )


class Training(Section):
    images: int = Field(200_000, ge=0, description="length of the run in pictures shown")
    batch_size: int = Field(16, ge=1, le=4096, description="crops in a step")
    ema_halflife: Weight = Field(5_000.0, description="half-life of the weights' moving average, pictures; 0 is off")
    ema_rampup: Weight = Field(0.05, description="but at most this share of the pictures shown so far; 0: no ramp")


class Run(Section):
    seed: int = Field(0, ge=0, lt=2**63, description="every random draw follows from it")
    device: str = Field("auto", pattern=r"^(auto|cpu|mps|cuda(:\d+)?)$", description="auto, cpu, cuda, cuda:1, mps")
    precision: Literal["auto", "fp32", "bf16"] = Field("auto", description="auto: what the hardware is fast at")
    licence: Licence = "other"
    stats_every: Images = Field(800, description="pictures between two lines of stats.jsonl")
    measure_every: Images = Field(16_000, description="pictures between two measurements and grids")
    checkpoint_every: Images = Field(8_000, description="pictures between two checkpoints")
    keep_last: int = Field(2, ge=1, description="checkpoints kept")


class UpscaleRecipe(Described):
    start_from: str = Field("", description="an upscaler whose weights this training begins with")
    generator: UpscalerSettings
    crops: Crops = Crops()
    degradation: Degradation = Degradation()
    losses: Losses = Losses()
    optim: Optim = Optim()
    training: Training = Training()
    run: Run = Run()

    @model_validator(mode="after")
    def _scales_fit(self) -> UpscaleRecipe:
        drawn = {int(scale) for scale, weight in self.crops.scales.items() if weight}
        if not drawn:
            raise ValueError("crops.scales draws nothing: give a scale a weight above 0")
        if missing := sorted(drawn - set(self.generator.scales)):
            raise ValueError(f"crops.scales draws x{', x'.join(map(str, missing))}, which generator.scales has not")
        crops = self.crops
        smallest = min(crops.size, crops.avatar_size) if crops.avatars and crops.avatar_share else crops.size
        if crops.low * max(drawn) > smallest:
            raise ValueError(f"crops of {crops.low * max(drawn)} px do not fit into pictures of {smallest}")
        return self


RESUMABLE_KEYS = ("name", "summary", "source", "training.images", "run.device", "run.licence", "run.stats_every",
        "run.measure_every", "run.checkpoint_every", "run.keep_last", "start_from")  # fmt: skip


FOLDER = resources.files("kaogan.config") / "recipe_files" / "upscaler"


def names() -> list[str]:
    """The names of the published recipes that enlarge."""
    return recipes.names(FOLDER)


def text(name: str) -> str:
    return recipes.text(name, FOLDER)


def load(name: str, overrides: Mapping[str, Any] | None = None) -> UpscaleRecipe:
    """A published recipe by name with dotted keys set. Raises UsageError."""
    return recipes.resolve_as(UpscaleRecipe, recipes.parse_yaml(text(name), name), overrides or {}, name)


def read(path: Path) -> UpscaleRecipe:
    """The recipe in a file, such as a run's. Raises UsageError, and OSError when it cannot be read."""
    return recipes.resolve_as(UpscaleRecipe, recipes.parse_yaml(path.read_text("utf-8"), str(path)), {}, str(path))
