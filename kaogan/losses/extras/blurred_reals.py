"""Real pictures with blurred edges as further fakes (BaMSGAN), so that blurred pictures do not pass for real."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator
from torch import Tensor

from kaogan.config.recipe import Fraction, Section, Weight
from kaogan.core.images import to_float
from kaogan.data.edge_blur import blur_edges
from kaogan.losses.extras import EXTRAS
from kaogan.losses.extras.base import Extra, StepContext


class BlurredRealsSettings(Section):
    ratio: Fraction = Field(0.0, description="blurred real pictures shown as fakes, as a share of the batch; 0 is off")
    low: Weight = Field(200.0, description="lower Canny threshold (t1)")
    high: Weight = Field(500.0, description="upper Canny threshold (t2)")
    dilation: int = Field(3, ge=1, le=63, description="side of the square that widens the edges into a band, px")
    kernel: int = Field(5, ge=1, le=63, description="side of the Gaussian kernel, px, odd")
    variant: Literal["honest", "source"] = Field(
        "honest", description="'source' darkens the edges as BaMSGAN's code does"
    )
    weight: Weight = Field(1.0, description="weight of this term against the other fakes")

    @model_validator(mode="after")
    def _check(self) -> BlurredRealsSettings:
        if self.kernel % 2 == 0:
            raise ValueError(f"kernel must be odd, not {self.kernel}")
        if self.low > self.high:
            raise ValueError(f"low must not exceed high, but {self.low} > {self.high}")
        return self


class BlurredReals(Extra):
    Settings = BlurredRealsSettings
    description = "real pictures with blurred edges as further fakes (BaMSGAN)"
    fakes_purpose = "blur"
    settings: BlurredRealsSettings

    @property
    def active(self) -> bool:
        return self.settings.ratio > 0

    def extra_fakes(self, batch_size: int, context: StepContext) -> Tensor | None:
        s = self.settings
        pictures = context.draw_reals("blur", max(1, round(s.ratio * batch_size)))
        return to_float(
            blur_edges(pictures, low=s.low, high=s.high, dilation=s.dilation, kernel=s.kernel, variant=s.variant)
        )


EXTRAS.register("blurred_reals", BlurredReals)
