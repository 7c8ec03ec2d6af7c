"""Closed forms and negative controls of the objectives."""

import math

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from kaogan.losses import OBJECTIVES, discriminator_loss, extra_fakes_loss, generator_loss

S = math.log(1 + math.exp(-1))  # softplus(-1) = 0.31326...


def scores(*values: float) -> torch.Tensor:
    return torch.tensor(values, dtype=torch.float32)


@pytest.mark.parametrize(
    ("name", "real", "fake", "expected"),
    [
        ("bce", 1, -1, 2 * S),
        ("bce", -1, 1, 2 * (1 + S)),
        ("softplus", 1, -1, 2 * S),
        ("lsgan", 1, -1, 0.5),
        ("lsgan", 0, 1, 1.0),
        ("hinge", 1, -1, 0.0),
        ("hinge", 1, 1, 2.0),
        ("hinge", -2, -2, 3.0),
        ("wasserstein", 1, -1, -2.0),
        ("wasserstein", -3, 4, 7.0),
        ("relativistic", 1, -1, math.log(1 + math.exp(-2))),
        ("relativistic", 5, 5, math.log(2)),
    ],
)
def test_discriminator_values(name: str, real: float, fake: float, expected: float) -> None:
    loss = discriminator_loss(OBJECTIVES[name], scores(real, real), scores(fake, fake))
    assert loss.shape == ()
    assert loss.item() == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize(
    ("name", "fake", "real", "expected"),
    [
        ("bce", 1, 0, S),
        ("bce", -1, 0, 1 + S),
        ("softplus", 1, 0, S),
        ("lsgan", -1, 0, 2.0),
        ("hinge", 1, 0, -1.0),
        ("hinge", -4, 0, 4.0),  # not clamped: the generator's hinge is linear
        ("wasserstein", 2, 0, -2.0),
        ("relativistic", 3, 3, math.log(2)),
        ("relativistic", 1, -1, math.log(1 + math.exp(-2))),
    ],
)
def test_generator_values(name: str, fake: float, real: float, expected: float) -> None:
    assert generator_loss(OBJECTIVES[name], scores(fake), scores(real)).item() == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize("label", [0.0, 0.1, 0.5, 0.9, 1.0])
def test_soft_labels_are_cross_entropy(label: float) -> None:
    real, fake = torch.randn(64), torch.randn(64)
    loss = discriminator_loss(OBJECTIVES["bce"], real, fake, label, 1 - label)
    expected = F.binary_cross_entropy_with_logits(real, torch.full((64,), label)) + F.binary_cross_entropy_with_logits(
        fake, torch.full((64,), 1 - label)
    )
    torch.testing.assert_close(loss, expected)
    own = generator_loss(OBJECTIVES["bce"], fake, real, label)
    torch.testing.assert_close(own, F.binary_cross_entropy_with_logits(fake, torch.full((64,), label)))


def test_soft_labels_of_least_squares_have_its_gradient() -> None:
    real = torch.randn(16, requires_grad=True)
    discriminator_loss(OBJECTIVES["lsgan"], real, torch.zeros(16), 0.9).backward()
    torch.testing.assert_close(real.grad, (real.detach() - 0.9) / 16)


@pytest.mark.parametrize("name", OBJECTIVES)
def test_flipping_every_label_swaps_the_sides(name: str) -> None:
    real, fake = torch.randn(8), torch.randn(8)
    flipped = discriminator_loss(OBJECTIVES[name], real, fake, torch.zeros(8), torch.ones(8))
    torch.testing.assert_close(flipped, discriminator_loss(OBJECTIVES[name], fake, real))


@pytest.mark.parametrize("name", OBJECTIVES)
def test_further_fakes_are_a_mean_over_their_own_batch(name: str) -> None:
    real = torch.zeros(8)
    few, many = (extra_fakes_loss(OBJECTIVES[name], torch.full((n,), 0.7), real) for n in (2, 8))
    torch.testing.assert_close(few, many)


@pytest.mark.parametrize("name", OBJECTIVES)
@pytest.mark.parametrize("network", ["generator", "discriminator"])
def test_one_step_goes_the_right_way(name: str, network: str) -> None:
    """One generator step raises D(G(z)); one discriminator step widens D(x) - D(G(z)). A wrong sign fails."""
    torch.manual_seed(0)
    generator, discriminator = nn.Linear(4, 6), nn.Linear(6, 1)
    latents, real = torch.randn(32, 4), torch.randn(32, 6) + 1

    def score_both() -> tuple[torch.Tensor, torch.Tensor]:
        return discriminator(real).flatten(), discriminator(generator(latents)).flatten()

    def merit() -> float:
        with torch.no_grad():
            r, f = score_both()
        return (f.mean() if network == "generator" else r.mean() - f.mean()).item()

    before = merit()
    r, f = score_both()
    moving = generator if network == "generator" else discriminator
    loss = (
        generator_loss(OBJECTIVES[name], f, r) if network == "generator" else discriminator_loss(OBJECTIVES[name], r, f)
    )
    optimiser = torch.optim.SGD(moving.parameters(), lr=0.01)
    loss.backward()
    optimiser.step()
    assert merit() > before


@pytest.mark.parametrize("name", OBJECTIVES)
def test_every_head_is_met_on_its_own(name: str) -> None:
    """Scores (N, H): the mean of the losses of each head alone, also under a label for each picture."""
    generator = torch.Generator().manual_seed(0)
    real, fake = (2 * torch.randn(5, 3, generator=generator) for _ in range(2))
    labels, objective = torch.rand(5, generator=generator), OBJECTIVES[name]
    pairs = list(zip(real.T, fake.T, strict=True))
    for marks in ((1.0, 0.0), (0.9, 0.2), (labels, 1 - labels)):
        each = torch.stack([discriminator_loss(objective, r, f, *marks) for r, f in pairs])
        torch.testing.assert_close(discriminator_loss(objective, real, fake, *marks), each.mean())
        each = torch.stack([generator_loss(objective, f, r, marks[0]) for r, f in pairs])
        torch.testing.assert_close(generator_loss(objective, fake, real, marks[0]), each.mean())
    each = torch.stack([extra_fakes_loss(objective, f[:2], r) for r, f in pairs])
    torch.testing.assert_close(extra_fakes_loss(objective, fake[:2], real), each.mean())
    if name != "wasserstein":  # whose loss is linear, so that the mean of the scores would do
        together = discriminator_loss(objective, real.mean(1), fake.mean(1))
        assert not torch.isclose(together, discriminator_loss(objective, real, fake))
