import pytest
import torch

from kaogan.aux_models.tagger.network import Architecture, TaggerNetwork
from kaogan.core.rng import torch_generator
from tools.tagger.folding import fold

TINY = Architecture(widths=(4, 6, 8, 8), depths=(1, 0, 1, 1), features=10)


def images(count: int) -> torch.Tensor:
    return torch.rand(count, 3, 64, 64, generator=torch_generator(0, "images")) * 2 - 1


def trained_a_little() -> TaggerNetwork:
    """Norms whose statistics and weights are not those they start with."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        network = TaggerNetwork(TINY)
        for module in network.modules():
            if isinstance(module, torch.nn.BatchNorm2d):
                torch.nn.init.uniform_(module.weight, 0.5, 2)
                torch.nn.init.normal_(module.bias)
    network.train()
    for _ in range(3):
        network(images(8))
    return network.eval()


def test_folding_keeps_every_output():
    network = trained_a_little()
    folded = fold(network)
    with torch.no_grad():
        (features, logits), (folded_features, folded_logits) = network(images(5)), folded(images(5))
    assert not any(isinstance(module, torch.nn.BatchNorm2d) for module in folded.modules())
    torch.testing.assert_close(folded_features, features, atol=1e-5, rtol=1e-4)
    for name in logits:
        torch.testing.assert_close(folded_logits[name], logits[name], atol=1e-5, rtol=1e-4)


def test_shapes_of_stages_features_and_heads():
    network = trained_a_little()
    stages = network.stages(images(2))
    assert [tuple(s.shape[1:]) for s in stages] == [(4, 32, 32), (6, 16, 16), (8, 8, 8), (8, 4, 4)]
    features, logits = network(images(2))
    assert features.shape == (2, 10) and bool((features >= 0).all())
    assert {name: value.shape[1] for name, value in logits.items()} == dict(TINY.heads)


def test_stages_pass_gradients_to_the_picture():
    picture = images(1).requires_grad_()
    sum(stage.square().mean() for stage in fold(trained_a_little()).stages(picture)).backward()
    assert picture.grad is not None and float(picture.grad.abs().sum()) > 0


def test_architecture_survives_json():
    assert Architecture.from_json(TINY.to_json()) == TINY
    with pytest.raises(KeyError):
        Architecture.from_json({"widths": [1]})
