"""kaogan's own tagger as a feature network: its four stages, which know anime faces."""

from __future__ import annotations

from torch import Tensor

from kaogan.aux_models.tagger import load_tagger
from kaogan.aux_models.tagger.network import IMAGE_SIZE
from kaogan.networks.feature_networks import FeatureNetwork, check_taps
from kaogan.networks.registry import FEATURE_NETWORKS


class TaggerFeatures(FeatureNetwork):
    """Maps at 1/2, 1/4, 1/8 and 1/16 of the pictures' side; the layers behind the last stage are left out."""

    default_size, default_taps = IMAGE_SIZE, (0, 1, 2, 3)
    can_learn = True
    extractor = "tagger"

    def __init__(self, size: int, taps: tuple[int, ...], learns: bool) -> None:
        super().__init__(size, taps, learns)
        network = load_tagger().network
        widths = network.architecture.widths
        check_taps("tagger", taps, len(widths))
        self.body = network.body[: taps[-1] + 1].requires_grad_(learns)
        self.channels = tuple(widths[tap] for tap in taps)
        self.sides = tuple(size >> (tap + 1) for tap in taps)

    def forward(self, images: Tensor) -> list[Tensor]:
        x, maps = images, []
        for stage in self.body:
            x = stage(x)
            maps.append(x)
        return [maps[tap] for tap in self.taps]


FEATURE_NETWORKS.register("tagger", TaggerFeatures)
