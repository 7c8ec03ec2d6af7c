"""Convolutions as products of matrices against PyTorch's own, derivatives included."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from kaogan.networks import small_maps

# kind, size in, kernel, stride, padding, output padding
CASES = [
    (small_maps.Conv2d, 8, 4, 2, 1, 0),
    (small_maps.Conv2d, 8, 5, 2, 2, 0),
    (small_maps.Conv2d, 4, 4, 1, 0, 0),
    (small_maps.ConvTranspose2d, 1, 4, 1, 0, 0),
    (small_maps.ConvTranspose2d, 4, 4, 2, 1, 0),
    (small_maps.ConvTranspose2d, 4, 5, 2, 2, 1),
]


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize(("kind", "size", "kernel", "stride", "padding", "extra"), CASES)
def test_result_and_both_derivatives_are_pytorchs(
    kind: type[nn.Conv2d], size: int, kernel: int, stride: int, padding: int, extra: int, bias: bool
) -> None:
    torch.manual_seed(0)
    settings = {"output_padding": extra} if extra else {}
    module = kind(3, 5, kernel, stride, padding, bias=bias, **settings).double().to(memory_format=torch.channels_last)
    x = torch.randn(2, 3, size, size, dtype=torch.float64).to(memory_format=torch.channels_last).requires_grad_()
    inputs = (x, *module.parameters())
    results = []
    for training in (True, False):  # only a module in training works by matrices
        out = module.train(training)(x)
        slopes = torch.autograd.grad(out.sin().sum(), inputs, create_graph=True)
        seconds = torch.autograd.grad(sum(slope.square().sum() for slope in slopes), inputs)
        results.append([out, *slopes, *seconds])
    for ours, theirs in zip(*results, strict=True):
        torch.testing.assert_close(ours, theirs)


def test_only_small_maps_in_training_go_by_matrices(monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[str] = []
    monkeypatch.setattr(small_maps._Gather, "apply", lambda *arguments: calls.append("gather") or 1 / 0)
    module = small_maps.Conv2d(3, 5, 4, 2, 1).to(memory_format=torch.channels_last)
    module(torch.randn(2, 3, 16, 16))
    module.eval()(torch.randn(2, 3, 8, 8))
    assert not calls
    with pytest.raises(ZeroDivisionError):
        module.train()(torch.randn(2, 3, 8, 8))
