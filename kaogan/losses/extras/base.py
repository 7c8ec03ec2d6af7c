"""The base of every extra: its settings, its state, and the moments of a training at which it may act."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor, nn

from kaogan.config.recipe import Recipe, Section
from kaogan.core.rng import numpy_generator, torch_generator


@dataclass(frozen=True)
class StepContext:
    """What an extra may know of the step that it acts in."""

    recipe: Recipe
    images_seen: int
    device: torch.device
    draw_reals: Callable[[str, int], np.ndarray]
    """Further real pictures, uint8 (count, H, W, C), by purpose and count."""
    of_shard: Callable[[str], str] = str
    """The purpose of a draw, with the shard of the batch that it is for."""

    def torch_rng(self, purpose: str) -> torch.Generator:
        """A CPU generator that depends on the run's seed, the purpose, the clock and the shard only."""
        return torch_generator(self.recipe.run.seed, self.of_shard(purpose), self.images_seen)

    def numpy_rng(self, purpose: str) -> np.random.Generator:
        return numpy_generator(self.recipe.run.seed, self.of_shard(purpose), self.images_seen)


class Extra:
    """An ingredient that any recipe can add. Subclasses override what they need; each method by itself does nothing.

    All images are (N, C, H, W) in [-1, 1]. Random draws come from ``context`` alone: a resumed run repeats them.
    """

    Settings: ClassVar[Any] = Section
    """The pydantic type of the recipe's value: a ``Section``, or a plain type such as a fraction."""
    description: ClassVar[str] = ""
    fakes_purpose: ClassVar[str] = "extra fakes"
    """The purpose under which noise and augmentation of ``extra_fakes`` are drawn."""
    needs_reals: ClassVar[bool] = False
    """Whether ``generator_loss`` looks at the reals; without need they are not prepared."""

    def __init__(self, settings: Any, recipe: Recipe) -> None:
        self.settings, self.recipe = settings, recipe
        self.statistics: dict[str, Tensor] = {}
        """Running statistics that the passes of a step move. Where a step has several shards, each moves its own, and
        their mean goes on; all other state may change in ``after_discriminator_step`` only."""

    @classmethod
    def default(cls) -> Any:
        """The settings of a recipe that says nothing: the extra must be off."""
        return cls.Settings()

    @property
    def active(self) -> bool:
        """Whether the recipe asks for it."""
        return True

    @property
    def fakes_weight(self) -> float:
        """Weight of the loss of ``extra_fakes``."""
        return float(getattr(self.settings, "weight", 1.0))

    def check(self, generator: nn.Module) -> None:
        """Raise UsageError when this generator (perhaps on the device "meta") cannot be trained with the extra."""

    def on_styles(self, styles: Tensor, draw_styles: Callable[[], Tensor], rng: torch.Generator) -> Tensor:
        """Styles (N, num_ws, w_dim) before synthesis -> the same; ``draw_styles`` gives those of other latents, drawn
        from ``rng``. Asked of generators with a style space only."""
        return styles

    def pseudo_reals(self, count: int, context: StepContext) -> Tensor | None:
        """Which of the ``count`` reals of the discriminator's batch give way to generated images that it shall call
        real, bool (count,) on the CPU, or None for none of them."""
        return None

    def on_images(self, images: Tensor, purpose: str, context: StepContext) -> Tensor:
        """Reals and fakes on their way to the discriminator; penalties and losses on pixels see the result too."""
        return images

    def on_discriminator_input(self, images: Tensor, purpose: str, context: StepContext) -> Tensor:
        """All images at the discriminator's very door; penalties are taken through it."""
        return images

    def on_real_scores(self, scores: Tensor) -> None:
        """Scores (N,) or (N, H) of real images, in the discriminator's step."""

    def extra_fakes(self, batch_size: int, context: StepContext) -> Tensor | None:
        """Further images for the discriminator to call fake, at most ``batch_size``, or None."""
        return None

    def discriminator_loss(
        self, real: Tensor, fake: Tensor, discriminate: Callable[[Tensor, str], Tensor], context: StepContext
    ) -> Tensor | None:
        """A further term of the discriminator's loss, a scalar; ``discriminate`` scores images for a purpose."""
        return None

    def score_loss(self, real: Tensor, fake: Tensor, context: StepContext) -> Tensor | None:
        """A further term of the discriminator's loss, a scalar, of its scores of reals and fakes, (N,) or (N, H)."""
        return None

    def generator_loss(self, real: Tensor, fake: Tensor, context: StepContext) -> Tensor | None:
        """A further term of the generator's loss, a scalar."""
        return None

    def needs_fakes(self, context: StepContext) -> bool:
        """Whether ``after_discriminator_step`` looks at the generated images now; without need, those of other shards
        are not collected."""
        return type(self).after_discriminator_step is not Extra.after_discriminator_step

    def after_discriminator_step(self, fakes: Tensor, context: StepContext) -> Mapping[str, float]:
        """Called once the discriminator has moved, with the generated images; returns numbers to report."""
        return {}

    def state_dict(self) -> dict[str, Any]:
        """What a checkpoint keeps: tensors and plain numbers."""
        return {}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """The inverse; ``state`` is empty when the checkpoint knows nothing of the extra."""
