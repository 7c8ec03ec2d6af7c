import pytest
import torch
import torch.nn.functional as F

from kaogan.losses import attribute_accuracy, attribute_loss

SLICES = (slice(0, 3), slice(3, 5))


def test_each_attribute_by_hand() -> None:
    """The sum of the cross-entropies divided by the number of known labels, attribute by attribute."""
    logits = torch.randn(4, 5)
    labels = torch.tensor([[0, 1], [2, -1], [-1, 0], [1, 1]])
    hair, eyes = attribute_loss(logits, labels, SLICES)
    expected = sum(-F.log_softmax(logits[i, :3], 0)[k] for i, k in ((0, 0), (1, 2), (3, 1))) / 3
    torch.testing.assert_close(hair, expected)
    expected = sum(-F.log_softmax(logits[i, 3:], 0)[k] for i, k in ((0, 1), (2, 0), (3, 1))) / 3
    torch.testing.assert_close(eyes, expected)


def test_binary_form_by_hand() -> None:
    logits = torch.tensor([[2.0, -1.0, 0.5, 0.0, 3.0]])
    hair, _ = attribute_loss(logits, torch.tensor([[1, 0]]), SLICES, "sigmoid")
    p = torch.sigmoid(logits[0, :3])
    torch.testing.assert_close(hair, -((1 - p[0]).log() + p[1].log() + (1 - p[2]).log()) / 3)


@pytest.mark.parametrize("kind", ["softmax", "sigmoid"])
def test_unknown_labels_leave_no_gradient(kind: str) -> None:
    logits = torch.randn(3, 5, requires_grad=True)
    labels = torch.tensor([[0, -1], [-1, -1], [-1, 1]])
    torch.stack(attribute_loss(logits, labels, SLICES, kind)).sum().backward()
    assert logits.grad is not None
    touched = logits.grad.abs().sum(1) > 0
    assert touched.tolist() == [True, False, True]
    assert logits.grad[0, 3:].abs().sum() == 0


def test_nothing_known_costs_nothing() -> None:
    losses = attribute_loss(torch.randn(2, 5), torch.full((2, 2), -1), SLICES)
    assert [loss.item() for loss in losses] == [0.0, 0.0]


def test_class_zero_is_a_class() -> None:
    """The source system took class 0 (aqua) for a missing label."""
    logits = torch.zeros(1, 5, requires_grad=True)
    attribute_loss(logits, torch.tensor([[0, 0]]), SLICES)[0].backward()
    assert logits.grad is not None
    assert logits.grad[0, 0] < 0 < logits.grad[0, 1]


def test_accuracy_counts_only_what_is_known() -> None:
    logits = torch.tensor([[5.0, 0, 0, 1, 0], [0, 5, 0, 0, 1], [0, 0, 5, 1, 0]])
    labels = torch.tensor([[0, 0], [0, -1], [2, 1]])
    assert attribute_accuracy(logits, labels, SLICES).item() == pytest.approx((2 / 3 + 1 / 2) / 2)
    labels[:, 1] = -1  # an attribute of which nothing is known is no attribute that is told wrong
    assert attribute_accuracy(logits, labels, SLICES).item() == pytest.approx(2 / 3)
    assert attribute_accuracy(logits, torch.full((3, 2), -1), SLICES).item() == 0
