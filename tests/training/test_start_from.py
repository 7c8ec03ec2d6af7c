"""Starting from trained weights: exact where shapes agree, named where they don't, recorded, and needed only once."""

from __future__ import annotations

import dataclasses
import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from kaogan.config import recipes
from kaogan.config.recipe import Recipe
from kaogan.core import checkpoint
from kaogan.core.errors import KaoganError, UsageError
from kaogan.core.schema import Attribute, Schema
from kaogan.data import PictureSet
from kaogan.generate.model import load
from kaogan.networks import build_generator
from kaogan.networks.dcgan import DCGANGeneratorSettings
from kaogan.training.start_from import BaseWeights, fill, read_base, shared_columns, start_from, with_condition
from kaogan.training.state import TrainState, build_train_state
from tests.small import small
from tests.training.conftest import make_pictures
from tests.training.runs import contents, newest, recipe, train
from tests.training.tiny import tiny

pytestmark = pytest.mark.usefixtures("quick")

HAIR = Schema((Attribute("hair", ("pink", "blue", "red"), (0.5, 0.25, 0.25)),))


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("base") / "run"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("kaogan.training.plots.film", lambda *_: None)
        train(out, images=16)
    return out


def fresh(schema: Schema | None = None, **overrides: Any) -> TrainState:
    return build_train_state(tiny(**overrides), schema or Schema(), torch.device("cpu"), "fp32")


def test_a_run_gives_both_networks_and_the_average(base: Path) -> None:
    state, tensors = fresh(**{"run.seed": 7}), checkpoint.load(newest(base))[0]
    lines = start_from(state, read_base(base), tiny(), Schema())
    for name in ("generator", "discriminator"):
        for key, value in getattr(state, name).state_dict().items():
            assert torch.equal(value, tensors[f"{name}/{key}"]), key
    for key, value in state.ema.module.named_parameters():
        assert torch.equal(value, tensors[f"ema/{key}"]), key
    assert not torch.equal(tensors["ema/body.0.weight"], tensors["generator/body.0.weight"])
    assert sum("tensors are the base's" in line for line in lines) == 2


def test_a_run_that_kept_its_best_model_gives_that_one(base: Path, tmp_path: Path) -> None:
    run = shutil.copytree(base, tmp_path / "adapted")
    best, last = load(base, "cpu"), read_base(base)
    with torch.no_grad():
        best.generator.body[0].weight.mul_(0.5)
    best.config["clock"] = 8
    best.save(run / "model")
    assert torch.equal(read_base(run).average["body.0.weight"], last.average["body.0.weight"]), "an older one only"
    best.save(run / "best")
    found = read_base(run)
    assert found.record()["clock"] == 8
    for network in (found.generator, found.average):
        assert torch.equal(network["body.0.weight"], best.generator.body[0].weight)
    assert found.discriminator is not None and all(
        torch.equal(found.discriminator[name], value) for name, value in (last.discriminator or {}).items()
    )


def test_a_model_folder_gives_the_generator_and_says_so(base: Path) -> None:
    state, before = fresh(), fresh().discriminator.state_dict()
    lines = start_from(state, read_base(base / "model"), tiny(), Schema())
    saved = load(base).generator.state_dict()
    for network in (state.generator, state.ema.module):
        assert all(torch.equal(value, saved[key]) for key, value in network.state_dict().items())
    assert all(torch.equal(value, before[key]) for key, value in state.discriminator.state_dict().items())
    assert any("discriminator begins anew" in line for line in lines)


def test_another_size_is_exact_where_shapes_agree_and_names_the_rest(base: Path) -> None:
    """Twice the side at half the width: the same maps, and one doubling more."""
    larger = tiny(image_size=32, **{"generator.width": 2, "discriminator.width": 2})
    state = build_train_state(larger, Schema(), torch.device("cpu"), "fp32")
    lines = start_from(state, read_base(base), larger, Schema())
    saved = checkpoint.load(newest(base))[0]
    own = state.generator.state_dict()
    assert torch.equal(own["body.0.weight"], saved["generator/body.0.weight"])
    assert torch.equal(own["body.3.weight"], saved["generator/body.3.weight"])
    told = next(line for line in lines if line.startswith("generator"))
    assert "fresh are" in told and "last.0.weight" in told and "body.0.weight" not in told


def test_a_growing_generator_takes_the_whole_of_a_smaller_dcgan(base: Path) -> None:
    grown = {"generator.family": "growing", "generator.width": 4, "generator.base_size": 16}
    larger = tiny(image_size=64, **grown)
    state = build_train_state(larger, Schema(), torch.device("cpu"), "fp32")
    lines = start_from(state, read_base(base), larger, Schema())
    saved = checkpoint.load(newest(base))[0]
    own = state.generator.state_dict()
    of_base = {name.removeprefix("generator/") for name in saved if name.startswith("generator/")}
    assert all(torch.equal(own[name], saved[f"generator/{name}"]) for name in of_base)
    assert set(own) - of_base == {name for name in own if name.startswith("details.")}
    assert "details.0" in next(line for line in lines if line.startswith("generator"))


def test_conditional_from_unconditional_draws_the_same_at_first(base: Path) -> None:
    state, plain = fresh(HAIR, **{"attributes.names": ["hair"]}), fresh()
    start_from(plain, read_base(base), tiny(), Schema())
    start_from(state, read_base(base), tiny(), HAIR)
    latents, conditions = torch.randn(4, 8), torch.eye(3)[[0, 1, 2, 0]]
    assert torch.allclose(state.generator(latents, conditions), plain.generator(latents), atol=1e-6)


@pytest.mark.parametrize("family", ["stylegan2", "r3gan"])
def test_embedded_codes_too(family: str) -> None:
    """A mapping network or an embedding takes the code behind the latents."""
    name = {"stylegan2": "stylegan2-64", "r3gan": "r3gan-64"}[family]
    plain, conditional = small(name, **{"attributes.names": []}), small(name, **{"attributes.names": ["hair"]})
    states = [build_train_state(r, s, torch.device("cpu"), "fp32") for r, s in ((plain, Schema()), (conditional, HAIR))]
    generator = states[0].generator.state_dict()
    config = {"generator": {"family": family}, "attributes": [], "latent": plain.latent.model_dump(), "image_size": 16}
    lines = start_from(states[1], BaseWeights("b", config, generator, generator, None), conditional, HAIR)
    told = next(line for line in lines if line.startswith("generator"))
    assert told.count("weight") == 1 and "embed" in told


def test_values_that_both_know_are_kept() -> None:
    other = Schema((Attribute("eyes", ("red", "aqua"), (0.5, 0.5)), Attribute("hair", ("green", "pink"), (0.5, 0.5))))
    columns = shared_columns(HAIR, other)
    assert columns == [None, None, None, 0]
    old = torch.arange(5.0)[:, None].expand(5, 2)  # two latents, three values
    new = with_condition(torch.ones(6, 2), old, 2, 3, columns)
    assert new is not None and new[:, 0].tolist() == [0, 1, 0, 0, 0, 2]
    assert with_condition(torch.ones(7, 2), old, 2, 3, columns) is None, "another width is no condition"
    assert with_condition(torch.ones(6, 3), old, 2, 3, columns) is None


def hair(*values: str) -> Schema:
    return Schema((Attribute("hair", values, (1 / len(values),) * len(values)),))


@pytest.mark.parametrize(
    ("family", "first", "axis", "head", "head_axis"),
    [
        ("dcgan", "body.0.weight", 0, "attributes.1.weight", 0),
        ("keras_wgan", "linear.weight", 1, "heads.attributes.weight", 0),
        ("r3gan-64", "embed.weight", 1, "embed.weight", 1),
        ("stylegan2-64", "mapping.embed.weight", 1, "mapping.embed.weight", 1),
    ],
)
def test_values_are_told_apart_also_where_all_shapes_agree(
    family: str, first: str, axis: int, head: str, head_axis: int
) -> None:
    """A code of the same length: what belongs to a value goes along with it, and no other value gets it."""
    before, after, device = hair("black", "blue"), hair("blue", "red"), torch.device("cpu")

    def recipe_of(seed: int) -> Recipe:
        settings = {"attributes.names": ["hair"], "run.seed": seed}
        return small(family, **settings) if "-" in family else tiny(family, family, **settings)

    then, state = (build_train_state(recipe_of(k), schema, device, "fp32") for k, schema in ((1, before), (2, after)))
    new = build_train_state(recipe_of(2), after, device, "fp32").networks()
    old = [network.state_dict() for network in then.networks()]
    config = {"generator": {"family": family}, "attributes": before.to_json(), "latent": {}, "image_size": 16}
    start_from(state, BaseWeights("b", config, old[0], old[0], old[1]), recipe_of(2), after)
    for network, base, drawn, name, along in (
        (state.generator, old[0], new[0], first, axis),
        (state.ema.module, old[0], new[0], first, axis),
        (state.discriminator, old[1], new[1], head, head_axis),
    ):
        begins = torch.zeros_like if name in ("body.0.weight", "linear.weight") else torch.clone
        now, was, fresh = (each[name].movedim(along, 0) for each in (network.state_dict(), base, drawn.state_dict()))
        assert torch.equal(now[:-2], was[:-2]), "the latents'"
        assert torch.equal(now[-2], was[-1]), "blue"
        assert torch.equal(now[-1], begins(fresh[-1])), "red"
        bias = name.replace("weight", "bias")  # of a classifier: one of each value
        assert all(torch.equal(v, base[k]) for k, v in network.state_dict().items() if k not in (name, bias))


@pytest.mark.parametrize(("before", "after"), [(8, 12), (8, 4), (4, 8)])
def test_a_layer_as_wide_as_the_latents_is_not_taken_for_them(before: int, after: int) -> None:
    assert with_condition(torch.ones(after, 8), torch.ones(before, 8), 8, 0, []) is None
    assert with_condition(torch.ones(6, after), torch.ones(6, before), 8, 0, []) is None
    assert with_condition(torch.ones(after), torch.ones(before), 8, 0, [None] * 4) is None, "a bias has no inputs"
    networks = [
        build_generator(
            DCGANGeneratorSettings(width=4, modulation=size), latent_size=8, attribute_size=0, image_size=16, channels=3
        )
        for size in (before, after)
    ]
    columns: list[int | None] = []
    left = fill(networks[1], networks[0].state_dict(), lambda new, old, _: with_condition(new, old, 8, 0, columns), {})
    assert {name for name in left if "style" not in name and "scale_shift.weight" not in name} == set()
    assert "style.0.weight" in left and "style.0.bias" in left and "body.1.scale_shift.weight" in left
    assert networks[1].style[0].weight.any(1).all()


def test_recorded_with_the_run_and_resumed_without_the_base(base: Path, tmp_path: Path) -> None:
    copy = shutil.copytree(base, tmp_path / "copy")
    settings = {"training.start_from": str(copy), "run.seed": 3, "run.grid_every": 16}
    whole = train(tmp_path / "whole", images=48, **settings)
    train(tmp_path / "parts", images=16, **settings)
    shutil.rmtree(copy)
    train(tmp_path / "parts", images=48, **settings)
    assert contents(tmp_path / "parts") == contents(whole.path)
    told = json.loads((tmp_path / "parts/data.json").read_text())["start_from"]
    assert told == read_base(base).record() | {"name": "copy"} and len(told["sha256"]) == 64
    assert load(tmp_path / "parts").config["start_from"] == told
    assert "copy" in (tmp_path / "parts/model/README.md").read_text()
    log = (tmp_path / "parts/log.txt").read_text()
    assert log.count("started from copy") == 1
    with pytest.raises(UsageError, match=r"training\.start_from was"):
        train(tmp_path / "parts", images=64, **{**settings, "training.start_from": "kao"})


def test_what_is_no_base(base: Path, tmp_path: Path) -> None:
    (tmp_path / "weights.pth").write_bytes(b"x")
    for path, words in (
        ("kao-sr", "is an upscaler"), ("kaoo", "did you mean 'kao'"), (tmp_path / "weights.pth", "imported first"),
        (tmp_path, "is not a model folder"),
    ):  # fmt: skip
        with pytest.raises((UsageError, KaoganError), match=words):
            train(tmp_path / "run", **{"training.start_from": str(path)})
    assert not any((tmp_path / "run" / name).exists() for name in ("recipe.yaml", "data.json", "model"))
    with pytest.raises(UsageError, match=r"no weight of run \(dcgan, 16 px\) fits the generator \(residual"):
        start_from(fresh(generator="residual"), read_base(base), tiny("residual"), Schema())


def test_attributes_of_another_scale_are_refused(base: Path) -> None:
    conditional, root = {"attributes.names": ["hair"]}, 8**0.5
    read = read_base(base)
    other = dataclasses.replace(read, config={**read.config, "attributes": HAIR.to_json()})
    scaled = tiny(**conditional, **{"generator.attribute_scale": root})
    with pytest.raises(UsageError, match=rf"count 1.0 times in run and {root!r} times now.*_scale to 1.0$"):
        start_from(fresh(HAIR, **conditional), other, scaled, HAIR)
    start_from(fresh(HAIR, **conditional), read, scaled, HAIR)  # an unconditional base


def test_without_it_nothing_changes(tmp_path: Path) -> None:
    train(tmp_path / "run", images=16)
    assert "start_from" not in json.loads((tmp_path / "run/data.json").read_text())
    assert "start_from" not in load(tmp_path / "run").config


@pytest.mark.parametrize("network", ["generator", "discriminator"])
def test_frozen_layers_stay_and_the_others_move(tmp_path: Path, network: str) -> None:
    layer = {"generator": "body.0", "discriminator": "trunk.0"}[network]
    settings = {f"optim.{network}.frozen": [layer]}
    before = build_train_state(recipe(**settings), Schema(), torch.device("cpu"), "fp32")
    train(tmp_path / "run", images=16, **settings)
    after = checkpoint.part(checkpoint.load(newest(tmp_path / "run"))[0], f"{network}/")
    moved = {name for name, value in getattr(before, network).named_parameters() if not torch.equal(value, after[name])}
    names = [name for name, _ in getattr(before, network).named_parameters()]
    assert moved == {name for name in names if not name.startswith(f"{layer}.")}
    with pytest.raises(UsageError, match=rf"optim\.{network}\.frozen: no weight"):
        build_train_state(tiny(**{f"optim.{network}.frozen": ["bod"]}), Schema(), torch.device("cpu"), "fp32")


@pytest.mark.parametrize(
    ("network", "all_of_it"), [("generator", ["body", "last"]), ("discriminator", ["trunk", "score"])]
)
def test_a_network_that_is_frozen_as_a_whole_is_refused(network: str, all_of_it: list[str]) -> None:
    fresh(**{f"optim.{network}.frozen": all_of_it[:1]})
    with pytest.raises(UsageError, match=rf"^optim\.{network}\.frozen leaves no weight of the {network} that learns"):
        fresh(**{f"optim.{network}.frozen": all_of_it})


def test_names_of_the_command_line() -> None:
    assert recipes.load("kao", {"start_from": "kao"}).training.start_from == "kao"


def pictures_apart(pictures: PictureSet, share: float) -> tuple[set[str], set[str]]:
    from kaogan.training.sampler import hold_out

    rest, held = hold_out(pictures, share, 5)
    assert held is not None and np.array_equal(held.images[0], pictures.images[pictures.names.index(held.names[0])])
    assert len({rest.fingerprint, held.fingerprint, pictures.fingerprint}) == 3
    return set(rest.names), set(held.names)


def test_held_out_pictures_are_apart() -> None:
    pictures = make_pictures(40)
    rest, held = pictures_apart(pictures, 0.2)
    assert len(held) == 8 and not rest & held and rest | held == set(pictures.names)
    assert pictures_apart(pictures, 0.2)[1] == held, "the same ones each time"
    assert len(pictures_apart(make_pictures(10), 0.1)[1]) == 2, "two at least"
