"""The recipe: one typed tree that describes a run completely.

Every leaf can be set in a recipe's YAML file and on the command line (``--optim.lr 1e-4``). Lengths, starts and
intervals are in *images shown*: real pictures that the discriminator has seen. Sources: see each file in
``recipe_files/``; ``recipes.py`` reads them, applies overrides and words the errors.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from contextlib import suppress
from functools import cache
from typing import TYPE_CHECKING, Annotated, Any, Literal, Self

from pydantic import BeforeValidator, Field, create_model, model_validator

from kaogan.config.registries import DiscriminatorSettings, GeneratorSettings, named, registry
from kaogan.config.section import Section as Section

Fraction = Annotated[float, Field(ge=0, le=1)]
Beta = Annotated[float, Field(ge=0, lt=1)]
Weight = Annotated[float, Field(ge=0)]
Images = Annotated[int, Field(ge=1)]
# A single value stands for a range without width, and a single name for a list of one.
Range = Annotated[tuple[float, float], BeforeValidator(lambda v: (v, v) if isinstance(v, int | float) else v)]
Text = Annotated[str, BeforeValidator(lambda v: str(v) if type(v) is int else v)]  # years look like numbers to YAML
Names = Annotated[tuple[Text, ...], BeforeValidator(lambda v: (v,) if isinstance(v, str | int) else v)]


Licence = Annotated[
    str,
    Field(
        pattern=r"^[a-z0-9][a-z0-9.-]{0,63}$",
        description="of the model, for its card, as the Hugging Face hub spells it",
    ),
]


class Latent(Section):
    size: int = Field(128, ge=1, le=65536, description="length of the latent vector z")
    distribution: Literal["normal", "uniform"] = Field("normal", description="N(0, 1) or U(-1, 1)")


class Objective(Section):
    name: Annotated[str, named("objective")] = Field(
        "bce", description="what both networks minimise; bce and softplus are the non-saturating loss on logits"
    )
    discriminator_weight: Weight = Field(1.0, description="weight of the adversarial part of the discriminator's loss")
    real_label: Range = Field((1.0, 1.0), description="label of real pictures, drawn from this range per picture")
    fake_label: Range = Field((0.0, 0.0), description="label of generated pictures in the discriminator's step")
    generator_label: Range = Field((1.0, 1.0), description="label that the generator wants for its pictures")
    label_flip: Fraction = Field(0.0, description="share of pictures whose real and fake labels are swapped")

    @model_validator(mode="after")
    def _labels_are_probabilities(self) -> Objective:
        for name in ("real_label", "fake_label", "generator_label"):
            low, high = getattr(self, name)
            if not 0 <= low <= high <= 1:
                raise ValueError(f"{name} must be a range within 0 and 1, the lower end first, not [{low}, {high}]")
        return self


class GradientPenalty(Section):
    weight: Weight = Field(0.0, description="lambda; 0 is off")
    target: Weight = Field(1.0, description="the gradient norm that is not penalised")
    every: int = Field(1, ge=1, description="apply at every n-th discriminator step, n times as strong")


class ZeroCentred(Section):
    weight: Weight = Field(
        0.0,
        description="gamma; the loss is gamma/2 times the mean squared gradient norm; 0 is off, auto by size, batch",
    )
    every: int = Field(1, ge=1, description="apply at every n-th discriminator step, n times as strong")


class PathLength(Section):
    weight: Weight = Field(0.0, description="weight of the deviation of path lengths from their mean; 0 is off")
    every: int = Field(4, ge=1, description="apply at every n-th generator step, n times as strong")
    shrink: int = Field(2, ge=1, description="take the batch divided by this")
    decay: Fraction = Field(0.01, description="how far the mean length moves towards that of a batch")


class Penalties(Section):
    gradient_penalty: GradientPenalty = Field(GradientPenalty(), description="WGAN-GP, between reals and fakes")
    r1: ZeroCentred = Field(ZeroCentred(), description="zero-centred, at real pictures")
    r2: ZeroCentred = Field(ZeroCentred(), description="zero-centred, at generated pictures")
    path_length: PathLength = Field(PathLength(), description="of style networks: steps in w are steps in the picture")
    separate_step: bool = Field(
        False,
        description="penalties take optimiser steps of their own, after the main ones; lr and betas allow for them",
    )
    clip: Weight = Field(0.0, description="clip every discriminator weight to +-this after each step; 0 is off")


class Extras(Section):
    """A key for each registered extra (kaogan/losses/extras, or a plug-in's); ``recipe_type`` has them as fields."""

    if TYPE_CHECKING:

        def __getattr__(self, name: str) -> Any: ...


class Attributes(Section):
    names: Names = Field((), description="attributes to condition on; ['auto'] takes all of the set, [] none")
    loss: Literal["softmax", "sigmoid"] = Field(
        "softmax", description="cross-entropy per attribute, or binary per value"
    )
    discriminator_weight: Weight = Field(1.0, description="weight of classification in the discriminator's loss")
    generator_weight: Weight = Field(1.0, description="weight of classification in the generator's loss")
    on_fakes: bool = Field(False, description="also train the classifier on generated pictures")
    uniform: bool = Field(False, description="draw attributes for fakes uniformly instead of from the data's priors")
    merge: dict[str, dict[Text, Names]] = Field(
        default_factory=dict, description="new classes made of old ones: {year: {early: ['2000', '2001'], ...}}"
    )


class LearningRateSchedule(Section):
    type: Literal["constant", "linear", "cosine", "exponential"] = Field(
        "constant", description="how the learning rate falls along the run"
    )
    images: Images = Field(1_000_000, description="images over which the learning rate falls to final x lr")
    final: Fraction = Field(0.0, description="the share of the learning rate that is left then")
    wave: bool = Field(False, description="cosine only: rise and fall again for ever instead of staying at the end")

    @model_validator(mode="after")
    def _exponential_ends_above_0(self) -> Self:
        if self.type == "exponential" and not self.final:
            raise ValueError("exponential never comes to 0, so final must be above it, as in 0.1")
        return self

    def factor(self, clock: int) -> float:
        """The factor on the learning rate at ``clock`` images shown."""
        time = clock / self.images
        if self.type == "constant":
            return 1.0
        if self.type == "exponential":
            return self.final**time
        if not (self.wave and self.type == "cosine"):
            time = min(time, 1.0)
        fall = (1 - math.cos(math.pi * time)) / 2 if self.type == "cosine" else time
        return 1 + (self.final - 1) * fall


class Annealing(Section):
    """R3GAN's schedules besides that of the learning rate; what is null stays as it is set elsewhere."""

    images: Images = Field(10_000_000, description="length of the cosine anneal, in images")
    penalties: Weight | None = Field(None, description="share of the weights of r1 and r2 that is left at the end")
    beta2: Beta | None = Field(None, description="adam's second beta at the end")
    ema_halflife: Weight | None = Field(None, description="half-life of the moving average at the end, images")
    augment: Fraction | None = Field(None, description="ada's p at the end; with target null")

    def at(self, clock: int, start: float, end: float | None) -> float:
        """The value at ``clock`` of what goes from ``start`` to ``end``."""
        if end is None:
            return start
        return end + (start - end) * (1 + math.cos(math.pi * min(clock / self.images, 1.0))) / 2


class NetworkOptim(Section):
    """What one network does otherwise; null means: as in ``optim``."""

    lr: Annotated[float, Field(gt=0)] | None = Field(None, description="learning rate; null: as in optim")
    betas: tuple[Beta, Beta] | None = Field(None, description="adam's and adamw's; null: as in optim")
    weight_decay: Weight | None = Field(None, description="pull of the weights to zero; null: as in optim")
    frozen: Names = Field(
        (), description="weights that do not learn, by the beginnings of their names: [body.0, body.3]"
    )


class Optim(Section):
    name: Literal["adam", "rmsprop", "adamw", "sgd"] = Field("adam", description="the optimiser of both networks")
    lr: float = Field(2e-4, gt=0, description="learning rate of both networks")
    betas: tuple[Beta, Beta] = Field((0.5, 0.999), description="adam's and adamw's")
    alpha: Fraction = Field(0.99, description="rmsprop's smoothing")
    momentum: Fraction = Field(0.0, description="rmsprop's and sgd's")
    eps: float = Field(1e-8, gt=0, description="adam's, adamw's and rmsprop's term against division by zero")
    weight_decay: Weight = Field(0.0, description="pull of the weights to zero at each step")
    schedule: LearningRateSchedule = LearningRateSchedule()
    annealing: Annealing = Field(Annealing(), description="what else changes along the run")
    generator: NetworkOptim = Field(NetworkOptim(), description="overrides for the generator's optimizer")
    discriminator: NetworkOptim = Field(NetworkOptim(), description="overrides for the discriminator's optimizer")


class Training(Section):
    images: int = Field(300_000, ge=0, description="length of the run in real images shown")
    batch_size: int = Field(64, ge=1, le=65536, description="real pictures in a step of the discriminator")
    shards: int = Field(
        1, ge=1, description="micro-batches of a step: their gradients are added up, in one process or in several"
    )
    n_critic: int = Field(1, ge=1, description="discriminator steps for each generator step")
    reuse_fakes: bool = Field(
        False, description="the generator's step scores the fakes of the discriminator's step again"
    )
    reuse_features: bool = Field(
        False,
        description="with reuse_fakes: it also takes over what a projected discriminator's frozen networks made of "
        "them, with the same augmentation and crops; without effect where none are frozen (unfreeze_at)",
    )
    ema_halflife: Weight = Field(10_000.0, description="half-life of the weights' moving average, images; 0 is off")
    ema_rampup: Weight = Field(0.05, description="but at most this share of the images shown so far; 0: no ramp")
    start_from: str = Field("", description="a model, a run or a name of 'kaogan models' whose weights it begins with")

    @model_validator(mode="after")
    def _shards_divide_the_batch(self) -> Training:
        if self.batch_size % self.shards:
            raise ValueError(
                f"shards must divide the batch_size evenly, but {self.batch_size} / {self.shards} does not"
            )
        return self


class Data(Section):
    horizontal_flip: bool = Field(False, description="mirror half of the pictures")
    held_out: float = Field(
        0.0, ge=0, le=0.9, description="share of the pictures that nothing is trained on; eval measures against them"
    )
    instance_selection: float = Field(
        1.0,
        gt=0,
        le=1,
        description="share of the pictures that is trained on, those most like the others, but 5,000 at least, and all "
        "of a set in shards; 1: all (DeVries et al. 2020)",
    )
    clear_eyes: bool = Field(
        False,
        description="drawn faces only: how clearly both eyes are seen counts as much as how typical a picture is",
    )
    avatars: int = Field(6_000, ge=1, le=10_000_000, description="how many faces are drawn when no data is named")
    avatars_mirrored: bool = Field(True, description="half of the drawn faces, at random, look to the left")
    classes: Literal["ask"] | bool = Field(
        "ask", description="whether sub-folders are classes where there are no labels; ask: refuse what is doubtful"
    )
    workers: int | None = Field(
        None,
        ge=0,
        le=256,
        description="processes that decode a set in shards during training (one less than the cores, at most 8); "
        "prepare --workers are others",
    )


class Run(Section):
    seed: int = Field(0, ge=0, lt=2**63, description="every random draw follows from it")
    device: str = Field("auto", pattern=r"^(auto|cpu|mps|cuda(:\d+)?)$", description="auto, cpu, cuda, cuda:1, mps")
    precision: Literal["auto", "fp32", "tf32", "bf16", "fp16"] = Field(
        "auto", description="auto: what the hardware is fast at; tf32: float32 with products of 19 bits, on CUDA"
    )
    deterministic: bool = Field(
        False, description="on CUDA the same bits each time, more slowly; a CPU gives them without being asked"
    )
    compile: bool = Field(
        False, description="torch.compile on the networks whose gradients are not differentiated again"
    )
    licence: Licence = "other"
    channels_last: bool = Field(True, description="memory layout (N, H, W, C), which convolutions are fast with")
    stats_every: Images = Field(1_000, description="images between two lines of stats.jsonl")
    grid_every: Images = Field(5_000, description="images between two grids of the fixed latents")
    checkpoint_every: Images = Field(10_000, description="images between two checkpoints")
    keep_last: int = Field(2, ge=1, description="checkpoints kept")
    keep_every: int = Field(0, ge=0, description="also keep each checkpoint at a multiple of this many images; 0: none")
    grid_pictures: int = Field(64, ge=1, le=4096, description="pictures in a grid")
    latent_filter: bool = Field(
        False,
        description="at the end a filter is fitted that leaves out latents whose faces have doubtful eyes, as by "
        "kaogan fit-filter; from 10,000 images on, and not for avatars",
    )
    loss_limit: float = Field(1e6, gt=0, description="a loss beyond +-this counts as runaway and stops the run")


class Evaluation(Section):
    every: int = Field(0, ge=0, description="images between two measurements of the averaged generator; 0 is off")
    metrics: Annotated[tuple[Annotated[str, named("metric")], ...], Names.__metadata__[0]] = Field(
        ("fid",), min_length=1, description="what is measured; the first one chooses best/ and stops early"
    )
    features: str = Field("efficientnet", min_length=1, description="feature extractor: 'kaogan evaluate --help'")
    pictures: int = Field(0, ge=0, le=1_000_000, description="generated pictures a time; 0: what the share allows")
    share: Fraction = Field(0.05, description="of the training's time that measuring may take")
    patience: int = Field(0, ge=0, description="measurements without a better value that end the training; 0: none do")
    max_copies: Fraction = Field(
        1.0, description="share of copies, of the metric memorization, beyond which a measurement is not the best"
    )


class Described(Section):
    """What every recipe begins with, also those that enlarge (kaogan/config/upscale_recipe.py)."""

    name: str = Field("custom", pattern=r"^[a-z0-9][a-z0-9._-]{0,63}$", description="the run's folder is called so")
    summary: str = Field("", description="one line about the recipe")
    source: str = Field("", description="the paper or program that the recipe follows, and where it departs")

    def to_dict(self) -> dict[str, Any]:
        return self.model_dump(mode="json")


class Recipe(Described):
    image_size: int = Field(64, ge=4, le=4096, description="side of the square pictures, px")
    channels: Literal[1, 3] = Field(3, description="3 for colour, 1 for grey")
    latent: Latent = Latent()
    generator: GeneratorSettings
    discriminator: DiscriminatorSettings
    objective: Objective = Objective()
    penalties: Penalties = Penalties()
    extras: Extras = Extras()
    attributes: Attributes = Attributes()
    optim: Optim = Optim()
    training: Training = Training()
    data: Data = Data()
    run: Run = Run()
    eval: Evaluation = Evaluation()

    @model_validator(mode="before")
    @classmethod
    def _auto_penalties(cls, tree: Any) -> Any:
        """``auto`` becomes the number, so that a run's own recipe says what was trained."""
        for name in ("r1", "r2"):
            # Other mistakes, such as a value in the place of a section or a batch of 0, have messages of their own.
            with suppress(KeyError, TypeError, ValueError, AttributeError, ArithmeticError):
                penalty = tree["penalties"][name]
                if penalty["weight"] == "auto":
                    weight = auto_gamma(tree)
                    tree = tree | {"penalties": tree["penalties"] | {name: penalty | {"weight": weight}}}
        return tree


def auto_gamma(tree: Mapping[str, Any]) -> float:
    """gamma of R1 and R2 for the size and the batch of a recipe, given as nested mappings.

    A relativistic objective: the power of the size on which R3GAN's published settings for faces lie, 2 at 64 px and
    150 at 256 px (Huang et al. 2024). StyleGAN3: as published, 2 at 256 px with a batch of 32, by the size squared over
    the batch (Karras et al. 2021). Else ADA's 0.0002 size^2 / batch (Karras et al. 2020b).
    """
    size = int(tree.get("image_size", Recipe.model_fields["image_size"].default))
    batch = int(tree.get("training", {}).get("batch_size", Training.model_fields["batch_size"].default))
    if tree.get("objective", {}).get("name") == "relativistic":
        return 2 * (size / 64) ** math.log(75, 4)
    if tree["generator"]["family"] == "stylegan3":
        return size**2 / (1024 * batch)
    return 0.0002 * size**2 / batch


def recipe_type() -> type[Recipe]:
    """``Recipe`` with a field for every extra that is registered now."""
    return _recipe_type(tuple(registry("extra").items()))


@cache
def _recipe_type(parts: tuple[tuple[str, Any], ...]) -> type[Recipe]:
    fields: dict[str, Any] = {
        name: (part.Settings, Field(part.default(), description=part.description)) for name, part in parts
    }
    extras = create_model("Extras", __base__=Extras, **fields)
    return create_model("Recipe", __base__=Recipe, extras=(extras, extras()))
