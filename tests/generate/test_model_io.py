"""Model folders: what is written comes back, and what is damaged or foreign is refused in one line."""

from __future__ import annotations

import json
import pickle

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save_file

from kaogan.core.errors import KaoganError, UsageError
from kaogan.core.schema import Schema
from kaogan.generate.model import load
from kaogan.networks import GENERATORS
from tests.generate.conftest import SIZE, tiny_model


@pytest.fixture
def folder(model, tmp_path):
    return model.save(tmp_path / "model")


def test_a_folder_gives_the_same_model_back(model, folder):
    again = load(folder, "cpu")
    assert again.attributes == model.attributes and again.config == model.config and again.path == folder
    np.testing.assert_array_equal(again.sample(4, seed=9), model.sample(4, seed=9))
    assert {p.name for p in folder.iterdir()} == {"config.json", "model.safetensors", "README.md", "preview.png"}
    with Image.open(folder / "preview.png") as preview:
        assert preview.size == (8 * (SIZE + 2) + 2,) * 2


@pytest.mark.parametrize("family", GENERATORS)
def test_every_family_makes_the_round_trip(family, tmp_path):
    narrow = {"channel_base": 256, "channel_max": 8}
    small = {
        "starsface_wgan": {"width": 64},
        "stylegan2": narrow,
        "stylegan3": {**narrow, "num_layers": 4},
        "r3gan": {**narrow, "blocks": 1},
        "growing": {"width": 4, "base_size": 16},
    }
    settings = {"family": family, **small.get(family, {"width": 4})}
    model = tiny_model(settings=settings, size=32)
    again = load(model.save(tmp_path / "model"), "cpu")
    np.testing.assert_array_equal(again.sample(2, seed=1), model.sample(33, seed=1)[:2])


def test_a_grey_model_makes_the_round_trip(tmp_path):
    model = tiny_model(Schema(), channels=1)
    again = load(model.save(tmp_path / "grey"), "cpu")
    assert again.sample(2).shape == (2, SIZE, SIZE, 1)


def test_the_configuration_is_written_last(model, tmp_path, monkeypatch):
    def full(path, text):
        if path.name == "config.json":
            raise KaoganError("the disk is full")

    monkeypatch.setattr("kaogan.generate.model.write_text", full)
    with pytest.raises(KaoganError, match="full"):
        model.save(tmp_path / "m")
    assert (tmp_path / "m" / "model.safetensors").exists() and not (tmp_path / "m" / "config.json").exists()


def test_a_run_folder_stands_for_its_model(model, tmp_path):
    run = tmp_path / "run"
    run.mkdir()
    (run / "stats.jsonl").touch()
    with pytest.raises(KaoganError, match="no model yet; train it further"):
        load(run)
    model.save(run / "model")
    assert load(run, "cpu").path == run / "model"


def edited(**changes):
    def edit(folder):
        config = json.loads((folder / "config.json").read_text())
        (folder / "config.json").write_text(json.dumps({**config, **changes}))

    return edit


def weights(change):
    def edit(folder):
        tensors = load_file(folder / "model.safetensors")
        change(tensors)
        save_file(tensors, folder / "model.safetensors")

    return edit


def cut(folder):
    data = (folder / "model.safetensors").read_bytes()
    (folder / "model.safetensors").write_bytes(data[: len(data) // 2])


def rename(tensors):
    tensors["body.0.wieght"] = tensors.pop("last.0.weight")


def reshape(tensors):
    tensors["last.0.weight"] = tensors["last.0.weight"][:, :1].contiguous()


def poison(tensors):
    tensors["last.0.weight"][0] = float("nan")


PRIORS = [{"name": "hair", "values": ["a", "b"], "priors": [1.0]}]


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (lambda f: (f / "config.json").unlink(), "config.json is missing"),
        (lambda f: (f / "model.safetensors").unlink(), "model.safetensors is missing"),
        (lambda f: (f / "config.json").write_text("{"), "is not JSON"),
        (lambda f: (f / "config.json").write_text("[" * 100_000), "is not JSON"),
        (lambda f: (f / "config.json").write_text(" " * 2_000_000), "larger than 1 MB"),
        (lambda f: (f / "config.json").write_text("[1]"), "no 'format'"),
        (edited(format=None), "no 'format'"),
        (edited(format=2, kaogan="9.9"), "newer kaogan .9.9, format 2."),
        (edited(generator={"family": "nonsense"}), "'generator"),
        (edited(image_size="big"), "'image_size'"),
        (edited(image_size=17), "17 px"),
        (edited(image_size="16"), "'image_size': Input should be a valid integer"),
        (edited(channels="3"), "'channels': Input should be a valid integer"),
        (edited(latent={"size": "6", "distribution": "normal"}), "'latent.size': Input should be a valid integer"),
        (edited(latent={"size": 6}), "'latent.distribution': Field required"),
        (edited(settings=["a"]), "'settings': Input should be a valid dictionary"),
        (edited(data="x"), "'data': Input should be a valid dictionary"),
        (edited(start_from=[1]), "'start_from': Input should be a valid dictionary"),
        (edited(clock="x"), "'clock': Input should be a valid integer"),
        (edited(minutes="x"), "'minutes': Input should be a valid number"),
        (edited(attributes=PRIORS), "'attributes.0'"),
        (edited(latent={"size": 7, "distribution": "normal"}), "has the shape"),
        (cut, "damaged or cut short"),
        (weights(rename), "'last.0.weight' is missing; 'body.0.wieght' is not of this network"),
        (weights(reshape), "'last.0.weight' has the shape .4, 1, 4, 4. instead of .4, 3, 4, 4."),
        (weights(poison), "not finite"),
    ],
)
def test_damage_is_named_in_one_line(folder, damage, words):
    damage(folder)
    with pytest.raises(KaoganError, match=words) as caught:
        load(folder, "cpu")
    assert "\n" not in str(caught.value) and str(folder) in str(caught.value)


def test_places_that_are_no_model_are_explained(tmp_path):
    with pytest.raises(UsageError, match="no such folder"):
        load(tmp_path / "nowhere")
    with pytest.raises(UsageError, match=r"config.json and model.safetensors are missing"):
        load(tmp_path)
    for name, words in (("G.pth", "imported first"), ("config.json", "name its folder"), ("a.txt", "name a model")):
        (tmp_path / name).touch()
        with pytest.raises(UsageError, match=words):
            load(tmp_path / name)


def test_an_upscaler_is_no_generator(tmp_path):
    (tmp_path / "model").mkdir()
    for name in ("recipe.yaml", "model/upscaler.safetensors"):
        (tmp_path / name).touch()
    for place in (tmp_path, "kao-sr"):
        with pytest.raises(UsageError, match=r"is an upscaler; kaogan upscale PICTURE --model"):
            load(place)


class Bomb:
    def __reduce__(self):
        return (exec, ("import builtins; builtins.bomb_went_off = True",))


def test_no_pickle_is_ever_executed(folder):
    import builtins

    with (folder / "model.safetensors").open("wb") as file:
        pickle.dump(Bomb(), file)
    with pytest.raises(KaoganError, match="damaged"):
        load(folder, "cpu")
    assert not hasattr(builtins, "bomb_went_off")


def test_every_flipped_bit_is_noticed(model, tmp_path):
    """200 of 200 in the weights, and as many in the configuration."""
    folder = model.save(tmp_path / "m")
    random = np.random.default_rng(0)
    for name in ("model.safetensors", "config.json"):
        content = (folder / name).read_bytes()
        for place in [*range(0, 160, 8), *random.integers(0, 8 * len(content), 180)]:
            damaged = bytearray(content)
            damaged[place // 8] ^= 1 << place % 8
            (folder / name).write_bytes(damaged)
            with pytest.raises(KaoganError) as caught:
                load(folder, "cpu")
            assert "\n" not in str(caught.value)
        (folder / name).write_bytes(content)
    assert np.array_equal(load(folder, "cpu").sample(1), model.sample(1))


def test_a_configuration_of_other_weights_is_refused(model, folder, tmp_path):
    different = tiny_model()
    with torch.no_grad():
        different.generator.last[0].weight.mul_(2)
    other = different.save(tmp_path / "other")
    (folder / "config.json").write_bytes((other / "config.json").read_bytes())
    with pytest.raises(KaoganError, match=r"config\.json belongs to other weights or was altered"):
        load(folder)


def test_the_same_model_is_the_same_bytes(model, tmp_path):
    files = [model.save(tmp_path / name) / "model.safetensors" for name in "abc"]
    assert len({file.read_bytes() for file in files}) == 1


def test_a_model_without_a_checksum_is_read_with_a_note(model, folder, caplog):
    weights(lambda tensors: None)(folder)
    config = json.loads((folder / "config.json").read_text())
    del config["sha256"]
    (folder / "config.json").write_text(json.dumps(config))
    for _ in range(2):
        assert np.array_equal(load(folder, "cpu").sample(1), model.sample(1))
    assert [record.getMessage().partition(" (")[0] for record in caplog.records] == [
        f"{folder / 'model.safetensors'} has no checksum"
    ]
