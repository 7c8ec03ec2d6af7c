"""Faults in generated pictures, as a map sees them that learns from spoilt real ones: the generator mends them."""

from __future__ import annotations

import torch.nn.functional as F
from pydantic import Field
from torch import Tensor

from kaogan.config.recipe import Fraction, Images, Section, Weight
from kaogan.losses.augment.anomalies import Anomalies, simulate_anomalies
from kaogan.losses.extras import EXTRAS
from kaogan.losses.extras.base import Extra, StepContext

PLAIN = 0.5
"""Logit above which a place of a generated picture counts as a fault: below, real pictures have many."""


class AnomaliesSettings(Section):
    weight: Weight = Field(
        0.0, description="weight of what the anomaly map finds in generated pictures, for the generator; 0 is off"
    )
    start: int = Field(
        10_000, ge=0, description="images shown before the generator hears of it; the map learns at once"
    )
    ramp: Images = Field(40_000, description="images in which the weight rises")
    ratio: Fraction = Field(
        0.5, gt=0, description="reals that the map learns from in each step, as a share of the batch"
    )


class AnomalyPenalty(Extra):
    """The map never sees a generated picture while it learns, so pleasing the discriminator does not blind it. Its
    faults are mean relu(logit - 0.5) over the places of a picture.

    Needs a discriminator with ``anomaly_map``, which is trained with the discriminator, at its rate.
    """

    Settings = AnomaliesSettings
    description = "a penalty on places that look like simulated faults of real pictures"
    needs_anomaly_map = True
    settings: AnomaliesSettings

    @property
    def active(self) -> bool:
        return self.settings.weight > 0

    def anomalies(self, real: Tensor, context: StepContext) -> Anomalies | None:
        count = max(1, round(self.settings.ratio * len(real)))
        return simulate_anomalies(real[:count], context.torch_rng("anomalies"))

    def judges_anomalies(self, context: StepContext) -> bool:
        return context.images_seen > self.settings.start

    def anomaly_penalty(self, logits: Tensor, context: StepContext) -> Tensor | None:
        s = self.settings
        risen = min(1.0, (context.images_seen - s.start) / s.ramp)
        return s.weight * risen * F.relu(logits - PLAIN).mean()


EXTRAS.register("anomalies", AnomalyPenalty)
