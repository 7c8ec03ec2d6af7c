"""InstanceNorm against PyTorch's, and its hand-written derivatives against finite differences."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from kaogan.networks.cpu import instance_norm
from kaogan.networks.cpu.instance_norm import InstanceNorm


def module_and_map(
    dtype: torch.dtype, layout: torch.memory_format, slope: float = 1.0
) -> tuple[InstanceNorm, torch.Tensor]:
    torch.manual_seed(0)
    module = InstanceNorm(3, 1e-5, slope).to(dtype)
    with torch.no_grad():
        module.weight.normal_()
        module.bias.normal_()
    x = (torch.randn(5, 3, 4, 6, dtype=dtype) * 2 + 1).to(memory_format=layout)
    return module, x.requires_grad_()


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize("part", [1, 150, 2**18])
@pytest.mark.parametrize("large", [1, 2**18])
@pytest.mark.parametrize("slope", [1.0, 0.2])
def test_result_and_both_derivatives_are_pytorchs(
    layout: torch.memory_format, part: int, large: int, slope: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(instance_norm, "PART", part)  # pictures at a time
    monkeypatch.setattr(instance_norm, "LARGE", large)
    module, x = module_and_map(torch.float64, layout, slope)
    parameters = (x, module.weight, module.bias)
    results = []
    plain = F.instance_norm(x, None, None, module.weight, module.bias, eps=1e-5)
    for out in (module(x), F.leaky_relu(plain, slope)):
        slopes = torch.autograd.grad(out.sin().sum(), parameters, create_graph=True)
        seconds = torch.autograd.grad(sum(slope.square().sum() for slope in slopes), parameters)
        results.append([out, *slopes, *seconds])
    for ours, theirs in zip(*results, strict=True):
        torch.testing.assert_close(ours, theirs)


@pytest.mark.parametrize("slope", [1.0, 0.2])
def test_derivatives_are_those_of_finite_differences(slope: float) -> None:
    module, x = module_and_map(torch.float64, torch.channels_last, slope)

    def normalised(x: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor) -> torch.Tensor:
        return torch.func.functional_call(module, {"weight": weight, "bias": bias}, (x,))

    assert torch.autograd.gradcheck(normalised, (x, module.weight, module.bias))
    assert torch.autograd.gradgradcheck(normalised, (x, module.weight, module.bias))


def test_bf16_stays_bf16_and_close() -> None:
    module, x = module_and_map(torch.float32, torch.channels_last)
    out = module(x.bfloat16())
    assert out.dtype == torch.bfloat16
    torch.testing.assert_close(out.float(), module(x), rtol=0.02, atol=0.02)


@pytest.mark.parametrize("slope", [1.0, 0.2])
def test_eval_is_the_same_map(slope: float) -> None:
    module, x = module_and_map(torch.float64, torch.channels_last, slope)
    torch.testing.assert_close(module(x), module.eval()(x))
