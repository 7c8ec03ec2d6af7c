"""Directions: against the closed forms they claim to be, and against a network whose attributes are known."""

from __future__ import annotations

import threading
from dataclasses import replace
from pathlib import Path
from typing import ClassVar

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from kaogan.core.errors import KaoganError, UsageError
from kaogan.generate.explore import (
    Directions,
    LatentPoint,
    component,
    edit_axis,
    find_directions,
    load_directions,
    point,
    render,
    with_styles,
)
from kaogan.generate.explore import points as points_of
from kaogan.generate.explore.direction_methods import log_odds, ridge
from kaogan.generate.explore.first_layer import first_features, first_map, style_maps
from kaogan.generate.model import Model
from tests.generate.explore.conftest import FAMILIES


def test_every_family_has_directions(any_model: Model) -> None:
    for method in ("sefa", "pca"):
        found = find_directions(any_model, method, 3, samples=40)
        assert found.names == tuple(f"{method}-{k}" for k in (1, 2, 3))
        assert found.space == ("w" if any_model.has_style_space else "z")
        assert torch.allclose(found.vectors.norm(dim=1), torch.ones(3), atol=1e-5)
        again = find_directions(any_model, method, 3, samples=40)
        assert torch.equal(found.vectors, again.vectors)
        bound = found.bind(any_model)
        (base,) = bound.to_space(points_of(any_model))
        assert bound.move(base, f"{method}-2", 0) is base
        pictures = render(any_model, [base, *(bound.move(base, f"{method}-1", s) for s in (-3, 3))])
        assert (pictures[0] == any_model.sample(1)[0]).all() and (pictures[1] != pictures[2]).any()


def test_moves_in_z_and_in_w_add_up(style: Model) -> None:
    in_w, base = find_directions(style, "sefa", 1).bind(style), point(style)
    in_z = Directions("z", ("d",), torch.eye(6)[:1], torch.ones(1), "by hand").bind(style)
    moved = in_w.move(base, "sefa-1", 2)
    for move in (component(style, 0), lambda point, strength: in_z.move(point, "d", strength)):
        assert torch.equal(move(moved, 0).w, moved.w), "strength 0 changes nothing"
        both, other = move(moved, 1), in_w.move(move(base, 1), "sefa-1", 2)
        assert torch.equal(both.z, other.z) and torch.allclose(both.w, other.w, atol=1e-5)


def test_sefa_is_the_spectrum_of_the_first_weight() -> None:
    for name, weight in (
        ("z", lambda g: g.body[0].weight.flatten(1).T),
        ("codes", lambda g: g.body[0].weight[:6].flatten(1).T),
        ("modulated", lambda g: torch.cat([g.style[0].weight[:, :6], g.body[0].weight[:6].flatten(1).T])),
        ("keras_wgan", lambda g: g.linear.weight),
        ("residual", lambda g: g.linear.weight[:, :6]),
        ("r3gan", lambda g: g.linear.weight[:, :6]),
    ):
        model = FAMILIES[name]()
        matrix = weight(model.generator).detach()
        assert torch.allclose(first_map(model), matrix, atol=1e-4), name
        _, _, expected = torch.linalg.svd(matrix, full_matrices=False)
        found = find_directions(model, "sefa", 4).vectors
        assert torch.allclose((found * expected[:4]).sum(1).abs(), torch.ones(4), atol=1e-3), name


def test_the_styles_of_the_affine_layers_are_known(style: Model) -> None:
    maps = style_maps(style)
    blocks = style.generator.synthesis
    by_name = {name: k for k, (name, _) in enumerate((n, m) for n, m in blocks.named_modules() if n.endswith("affine"))}
    taken = [number for number, _ in maps]
    # 16 px: b4 has conv1 (0) and torgb (1), b8 conv0 (1), conv1 (2), torgb (3), b16 conv0 (3), conv1 (4), torgb (5).
    expected = {
        "b4.conv1": 0,
        "b4.torgb": 1,
        "b8.conv0": 1,
        "b8.conv1": 2,
        "b8.torgb": 3,
        "b16.conv1": 4,
        "b16.torgb": 5,
    }
    for name, number in expected.items():
        assert taken[by_name[f"{name}.affine"]] == number, name
    coarse = find_directions(style, "sefa", 2, layers="coarse")
    assert coarse.layers == (0, 1)
    matrix = torch.cat([weight for number, weight in maps if number <= 1])
    _, _, rows = torch.linalg.svd(matrix / matrix.norm(dim=0), full_matrices=False)
    assert torch.allclose((coarse.vectors * rows[:2]).sum(1).abs(), torch.ones(2), atol=1e-3)
    (base,) = coarse.bind(style).to_space([point(style)])
    moved = coarse.bind(style).move(base, "sefa-1", 2).w - base.w
    assert (moved[2:] == 0).all() and torch.allclose(moved[0], coarse.vectors[0] * coarse.lengths[0] * 2)


def test_pca_of_styles_is_that_of_numpy(style: Model) -> None:
    found = find_directions(style, "pca", 3, samples=60, seed=4)
    w = torch.stack([p.w[0] for p in with_styles(style, points_of(style, 4, 60))]).double().numpy()
    values, vectors = np.linalg.eigh(np.cov(w.T))
    assert np.allclose(found.lengths, np.sqrt(values[::-1][:3]), rtol=1e-3)
    assert np.allclose(np.abs((found.vectors.numpy() * vectors.T[::-1][:3]).sum(1)), 1, atol=1e-3)


def test_pca_of_features_leads_back_to_z(plain: Model) -> None:
    """The regression that turns components into latents is that of least squares."""
    drawn = points_of(plain, 1, 50)
    features = first_features(plain, drawn).double().numpy()
    centred = features - features.mean(0)
    places = centred @ np.linalg.svd(centred, full_matrices=False)[2][:2].T
    back = np.linalg.lstsq(places, torch.stack([p.z for p in drawn]).double().numpy(), rcond=None)[0]
    found = find_directions(plain, "pca", 2, samples=50, seed=1).vectors.numpy()
    cosines = (found * back).sum(1) / np.linalg.norm(back, axis=1)
    assert np.allclose(np.abs(cosines), 1, atol=1e-4)


@pytest.mark.parametrize("name", ["z", "stylegan2"])
def test_another_thread_may_draw_with_the_model_meanwhile(name: str) -> None:
    model, here = FAMILIES[name](), threading.get_ident()

    def found() -> list:
        return style_maps(model) if model.has_style_space else [(0, first_features(model, points_of(model, 0, 3)))]

    def draw(*_: object) -> None:
        if threading.get_ident() == here:
            other = threading.Thread(target=model.sample, args=(2,), kwargs={"seed": 9})
            other.start()
            other.join()

    alone = found()
    for module in model.generator.modules():
        module.register_forward_pre_hook(draw)
    for (number, tensor), (again, same) in zip(alone, found(), strict=True):
        assert number == again and torch.equal(tensor, same)


class Painter(nn.Module):
    """Hair whose blue is z[0] and eyes whose green is z[1] and a bit of z[0]: the rest of z does nothing."""

    def forward(self, z: torch.Tensor, codes: torch.Tensor | None = None) -> torch.Tensor:
        hair = torch.zeros(len(z), 3, 64, 64)
        hair[:, 2, :32] = z[:, :1, None]
        hair[:, 1, 32:] = (z[:, 1] + 0.5 * z[:, 0])[:, None, None]
        return hair.tanh()


class Eye:
    """A tagger of two attributes that reads the painter's colours."""

    values: ClassVar = {"hair": ("blue", "other"), "eyes": ("green", "other")}

    def predict(self, pictures: np.ndarray):
        seen = pictures.astype(float) / 127.5 - 1
        parts = {"hair": seen[:, :32, :, 2].mean((1, 2)), "eyes": seen[:, 32:, :, 1].mean((1, 2))}
        odds = {name: 1 / (1 + np.exp(-4 * value)) for name, value in parts.items()}
        pairs = {name: np.stack([p, 1 - p], 1).astype(np.float32) for name, p in odds.items()}
        return type("Seen", (), {"probabilities": pairs})


@pytest.fixture
def painter(monkeypatch: pytest.MonkeyPatch) -> Model:
    model = FAMILIES["z"]()
    model.generator, model.config = Painter(), {**model.config, "image_size": 64}
    monkeypatch.setattr("kaogan.generate.explore.direction_methods.load_tagger", Eye)
    return model


def test_the_tagger_finds_what_makes_an_attribute(painter: Model) -> None:
    found = find_directions(painter, "regression", samples=400)
    assert found.names == ("hair=blue", "hair=other", "eyes=green", "eyes=other") and found.keep_length
    blue, green = found.vectors[0], found.vectors[2]
    assert float(blue[0]) > 0.98 and torch.allclose(found.vectors[1], -blue, atol=1e-4)
    assert float(green[1]) > 0.8 and float(green[0]) > 0.3, "the eyes hang on the hair"
    kept = found.orthogonal_to("eyes")
    assert abs(float(kept.vectors[0] @ green)) < 1e-5 and torch.equal(kept.vectors[2], green)
    base = point(painter, 5)
    moved = [each.bind(painter).move(base, "hair=blue", 1) for each in (found, kept)]
    tags = [Eye().predict(render(painter, [face])).probabilities for face in moved]
    before = Eye().predict(render(painter, [base])).probabilities
    assert tags[0]["hair"][0, 0] > 0.9 > before["hair"][0, 0]
    change = [abs(t["eyes"][0, 0] - before["eyes"][0, 0]) for t in tags]
    assert change[1] < change[0]
    beyond = found.bind(painter).move(base, "hair=blue", 2.5)
    assert float(beyond.z.norm()) == pytest.approx(float(base.z.norm()), rel=1e-5)


def test_ridge_is_that_of_the_normal_equations() -> None:
    x, y = torch.randn(30, 4).double(), torch.randn(30, 2).double()
    c = x - x.mean(0)
    scale = 0.1 * 30 * (c.square().sum(0).mean() / 30)
    stacked = torch.cat([c, scale.sqrt() * torch.eye(4)])
    expected = torch.linalg.lstsq(stacked, torch.cat([y - y.mean(0), torch.zeros(4, 2)])).solution
    assert torch.allclose(ridge(x, y, 0.1), expected)
    assert np.allclose(log_odds(np.array([0.5, 0.9, 0.0])), [0, np.log(9), np.log(1e-4 / 0.9999)])


def test_directions_are_kept_in_a_file(tmp_path: Path, style: Model, plain: Model) -> None:
    found = find_directions(style, "pca", 3, samples=20, layers="fine")
    again = load_directions(found.save(tmp_path / "d.safetensors"))
    assert (again.names, again.space, again.layers, again.method) == (found.names, "w", found.layers, "pca")
    assert torch.equal(again.vectors, found.vectors) and torch.equal(again.lengths, found.lengths)
    assert found.save(tmp_path / "e.safetensors").read_bytes() == (tmp_path / "d.safetensors").read_bytes()
    with pytest.raises(UsageError, match="no styles"):
        again.bind(plain)
    for name, write in {
        "absent": lambda path: None,
        "text": lambda path: path.write_text("hello"),
        "cut": lambda path: path.write_bytes((tmp_path / "d.safetensors").read_bytes()[:-9]),
        "foreign": lambda path: save_file({"vectors": torch.ones(1, 2)}, path),
        "newer": lambda path: save_file({"a": torch.ones(1)}, path, {"kaogan-directions": '{"format": 9}'}),
        "poor": lambda path: save_file({"vectors": torch.ones(1, 2)}, path, {"kaogan-directions": '{"format": 1}'}),
        "nan": lambda path: save_file(
            {"vectors": torch.full((1, 2), float("nan")), "lengths": torch.ones(1)}, path,
            {"kaogan-directions": '{"format": 1, "space": "z", "names": ["a"], "layers": null, "keep_length": false, '
             '"method": "x"}'},
        ),
    }.items():  # fmt: skip
        write(tmp_path / name)
        with pytest.raises(KaoganError) as caught:
            load_directions(tmp_path / name)
        assert name in str(caught.value) and "\n" not in str(caught.value)


def test_mistakes_are_told(plain: Model, style: Model) -> None:
    found = Directions("z", ("smile",), torch.eye(6)[:1], torch.ones(1), "hand")
    for call, words in [
        (lambda: find_directions(plain, "sega"), "did you mean 'sefa'"),
        (lambda: find_directions(plain, "sefa", 7), "at most 6"),
        (lambda: find_directions(plain, "pca", 0), "must be 1 or more"),
        (lambda: find_directions(plain, "pca", samples=10**9), "at most 20,000"),
        (lambda: find_directions(plain, space="w"), "no styles w"),
        (lambda: find_directions(plain, layers="fine"), "--layers needs --space w and a StyleGAN model"),
        (lambda: find_directions(style, "sefa", space="z"), "are in w"),
        (lambda: find_directions(style, space="q"), "unknown space"),
        (lambda: found.bind(plain).move(LatentPoint(torch.zeros(6)), "smil", 1), "did you mean 'smile'"),
        (lambda: replace(found, vectors=torch.eye(7)[:1]).bind(plain), "their size is 7, the model's 6"),
        (lambda: found.orthogonal_to("eyes"), "cannot keep 'eyes'"),
        (lambda: edit_axis(plain, "smil", found.bind(plain)), "did you mean 'smile'"),
    ]:
        with pytest.raises(UsageError) as caught:
            call()
        assert words in str(caught.value)


class Squared(nn.Module):
    """Takes z in by no linear layer."""

    def forward(self, z: torch.Tensor) -> torch.Tensor:
        return z.square()[:, :3, None, None].expand(-1, -1, 16, 16).tanh()


def test_networks_whose_first_layer_is_not_linear_are_refused() -> None:
    model = FAMILIES["z"]()
    model.generator = Squared()
    for method in ("sefa", "pca"):
        with pytest.raises(KaoganError, match=r"takes z directly.*use the method tagger"):
            find_directions(model, method, 2, samples=8)
