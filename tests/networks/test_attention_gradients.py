import torch

from kaogan.networks.layers import Attend


def plain(query: torch.Tensor, key: torch.Tensor, value: torch.Tensor) -> torch.Tensor:
    weights = torch.bmm(query.transpose(1, 2), key).softmax(2)
    return torch.bmm(weights, value.transpose(1, 2))


def inputs(pictures: int, length: int, dtype: torch.dtype = torch.float64) -> list[torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    shapes = ((pictures, 2, length), (pictures, 2, length), (pictures, 3, length))
    return [torch.randn(s, generator=generator, dtype=dtype).requires_grad_() for s in shapes]


def test_first_and_second_derivatives() -> None:
    assert torch.autograd.gradcheck(Attend.apply, inputs(2, 4))
    assert torch.autograd.gradgradcheck(Attend.apply, inputs(2, 4))


def test_a_few_at_a_time_is_the_same_as_all_at_once() -> None:
    """1024 positions: one picture at a time."""
    first, second = inputs(3, 1024, torch.float32), inputs(3, 1024, torch.float32)
    a, b = Attend.apply(*first), plain(*second)
    torch.testing.assert_close(a, b)
    a.square().sum().backward()
    b.square().sum().backward()
    for one, other in zip(first, second, strict=True):
        torch.testing.assert_close(one.grad, other.grad, rtol=1e-4, atol=1e-5)
