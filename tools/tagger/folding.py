"""Folding of the tagger's batch norms: what is shipped has none."""

from __future__ import annotations

import torch
from torch import nn

from kaogan.aux_models.tagger.network import Convolution, TaggerNetwork


@torch.no_grad()
def fold(network: TaggerNetwork) -> TaggerNetwork:
    """The same function as ``network`` in eval mode, every batch norm folded into the convolution before it."""
    folded = TaggerNetwork(network.architecture, folded=True).eval()
    convolutions = (
        [m for m in network.modules() if isinstance(m, Convolution)],
        [m for m in folded.modules() if isinstance(m, Convolution)],
    )
    for source, target in zip(*convolutions, strict=True):
        norm = source.norm
        if isinstance(norm, nn.BatchNorm2d):
            fused = nn.utils.fusion.fuse_conv_bn_eval(source.conv.eval(), norm.eval())
            target.conv.load_state_dict(fused.state_dict())
        else:
            target.conv.load_state_dict(source.conv.state_dict())
    folded.heads.load_state_dict(network.heads.state_dict())
    return folded
