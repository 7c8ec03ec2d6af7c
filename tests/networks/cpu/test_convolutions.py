"""Convolutions with derivatives of their own against PyTorch's, to the second derivative."""

from __future__ import annotations

from contextlib import nullcontext
from typing import Any

import pytest
import torch
from torch import nn

from kaogan.networks.cpu import convolutions
from kaogan.networks.cpu.grad_modes import cached_weight_casts, inputs_only

# kind, channels, size in, kernel, stride, padding, output padding, groups if more than 1
CASES = [
    (convolutions.Conv2d, 3, 16, 4, 2, 1, 0),
    (convolutions.Conv2d, 6, 16, 4, 2, 1, 0),
    (convolutions.Conv2d, 3, 16, 5, 2, 2, 0),
    (convolutions.Conv2d, 6, 8, 4, 2, 1, 0),
    (convolutions.Conv2d, 6, 7, 3, 2, 1, 0),
    (convolutions.Conv2d, 6, 7, 3, 1, 1, 0),
    (convolutions.Conv2d, 6, 4, 4, 1, 0, 0),
    (convolutions.ConvTranspose2d, 6, 1, 4, 1, 0, 0),
    (convolutions.ConvTranspose2d, 6, 4, 4, 2, 1, 0),
    (convolutions.ConvTranspose2d, 6, 4, 5, 2, 2, 1),
    (convolutions.ConvTranspose2d, 6, 8, 3, 2, 1, 1),
    (convolutions.Conv2d, 6, 16, 3, 1, 1, 0, 3),
    (convolutions.Conv2d, 6, 7, 3, 2, 1, 0, 3),
    (convolutions.Conv2d, 3, 4, 4, 1, 0, 0, 3),
    (convolutions.ConvTranspose2d, 6, 4, 4, 2, 1, 0, 3),
]


def layer(kind: type[nn.Conv2d], before: int, *shape: int, bias: bool = True) -> tuple[nn.Conv2d, torch.Tensor]:
    torch.manual_seed(0)
    size, kernel, stride, padding, extra, *groups = shape
    settings: dict[str, Any] = {"groups": groups[0]} if groups else {}
    if extra:
        settings["output_padding"] = extra
    module = kind(before, 3, kernel, stride, padding, bias=bias, **settings).double()
    x = torch.randn(2, before, size, size, dtype=torch.float64).to(memory_format=torch.channels_last)
    return module.to(memory_format=torch.channels_last), x.requires_grad_()


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("case", CASES)
def test_result_and_both_derivatives_are_pytorchs(case: tuple[Any, ...], bias: bool) -> None:
    module, x = layer(*case, bias=bias)
    inputs = (x, *module.parameters())
    results = []
    for training in (True, False):  # a module in eval mode is PyTorch's own
        out = module.train(training)(x)
        slopes = torch.autograd.grad(out.sin().sum(), inputs, create_graph=True)
        seconds = torch.autograd.grad(sum(slope.square().sum() for slope in slopes), inputs)
        results.append([out, *slopes, *seconds])
    for ours, theirs in zip(*results, strict=True):
        torch.testing.assert_close(ours, theirs)


@pytest.mark.parametrize("case", [CASES[0], CASES[3], CASES[8]])
def test_derivatives_are_those_of_finite_differences(case: tuple[Any, ...]) -> None:
    module, _ = layer(case[0], 2, 4, *case[3:])
    x = torch.randn(1, 2, 4, 4, dtype=torch.float64, requires_grad=True)

    def made(x: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor) -> torch.Tensor:
        weight = weight.contiguous(memory_format=torch.channels_last)
        return torch.func.functional_call(module, {"weight": weight, "bias": bias}, (x,))

    assert module.bias is not None
    assert torch.autograd.gradcheck(made, (x, module.weight, module.bias))
    assert torch.autograd.gradgradcheck(made, (x, module.weight, module.bias))


@pytest.mark.parametrize("case", [CASES[1], CASES[8]])
def test_inputs_only_leaves_the_weights_out_and_nothing_else(
    case: tuple[Any, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    module, x = layer(*case)
    with inputs_only():
        (slope,) = torch.autograd.grad(module(x).sin().sum(), x, create_graph=True)
    calls: list[int] = []
    correlate = convolutions._correlate
    monkeypatch.setattr(convolutions, "_correlate", lambda *a: calls.append(1) or correlate(*a))
    ours = torch.autograd.grad(slope.square().sum(), module.weight)
    (slope,) = torch.autograd.grad(module(x).sin().sum(), x, create_graph=True)
    calls.clear()
    theirs = torch.autograd.grad(slope.square().sum(), module.weight)
    torch.testing.assert_close(ours, theirs)
    assert calls
    calls.clear()
    with inputs_only():
        torch.autograd.grad(module(x).sin().sum(), x, create_graph=True)
    assert not calls


@pytest.mark.parametrize("case", [CASES[1], CASES[3], CASES[6], CASES[7], CASES[8]])
def test_autocast_is_that_of_pytorchs(case: tuple[Any, ...]) -> None:
    module, x = layer(*case)
    module, x = module.float(), x.detach().float().requires_grad_()
    results = []
    for training in (True, False):
        with torch.autocast("cpu", torch.bfloat16):
            out = module.train(training)(x)
        slopes = torch.autograd.grad(out.float().square().sum(), (x, *module.parameters()))
        assert out.dtype == torch.bfloat16 and all(slope.dtype == torch.float32 for slope in slopes)
        results.append([out.detach().float(), *slopes])
    for ours, theirs in zip(*results, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=0.02, atol=0.02 * float(theirs.abs().max()))


def test_weights_are_cast_once_while_they_stay(monkeypatch: pytest.MonkeyPatch) -> None:
    module, x = layer(*CASES[1])
    module, x = module.float(), x.detach().float()
    seen: list[torch.Tensor] = []
    gather = convolutions._gather
    monkeypatch.setattr(convolutions, "_gather", lambda x, w, *a: seen.append(w) or gather(x, w, *a))
    slopes = []
    for stay in (True, False):
        with cached_weight_casts() if stay else nullcontext(), torch.autocast("cpu", torch.bfloat16):
            with torch.no_grad():
                module(x)
            loss = module(x).float().square().sum() + module(3 * x).float().square().sum()
        slopes.append(torch.autograd.grad(loss, list(module.parameters())))
    assert seen[1] is seen[2] and not seen[0].requires_grad and seen[1].requires_grad
    assert seen[4] is not seen[5]
    for ours, theirs in zip(*slopes, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=0.02, atol=0.02 * float(theirs.abs().max()))
    with torch.no_grad():
        module.weight.add_(1)
    with torch.autocast("cpu", torch.bfloat16):
        module(x)
    torch.testing.assert_close(seen[-1].float(), module.weight.detach(), rtol=0.01, atol=0)


def test_only_training_in_channels_last_leaves_pytorchs_ways(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(convolutions._Conv, "apply", lambda *_: 1 / 0)
    module = convolutions.Conv2d(6, 5, 4, 2, 1)
    x = torch.randn(2, 6, 8, 8)
    module(x)
    module.to(memory_format=torch.channels_last).eval()(x)
    with pytest.raises(ZeroDivisionError):
        module.train()(x)
