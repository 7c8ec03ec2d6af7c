"""The model folder: what it draws, what it writes, and what it refuses to read."""

from __future__ import annotations

import json
import pickle

import numpy as np
import pytest
import torch
import yaml
from PIL import Image
from safetensors.torch import load_file, save_file

from kaogan.core.errors import KaoganError, UsageError
from kaogan.core.schema import Attribute, Schema
from kaogan.generate.model import card, load
from kaogan.networks import GENERATORS
from tests.generate.conftest import SCHEMA, SIZE, tiny_model


@pytest.fixture
def folder(model, tmp_path):
    return model.save(tmp_path / "model")


def test_pictures_have_the_promised_form_and_differ(model):
    pictures = model.sample(5)
    assert pictures.shape == (5, SIZE, SIZE, 3) and pictures.dtype == np.uint8
    assert len(np.unique(pictures.reshape(5, -1), axis=0)) == 5
    assert pictures.std() > 20
    assert pictures._repr_png_() and model.generate(model.latents(2), model.conditions(2))._repr_png_()


@pytest.mark.parametrize("law", ["normal", "uniform"])
@pytest.mark.parametrize("schema", [SCHEMA, Schema()], ids=["attributes", "plain"])
def test_a_picture_is_the_same_whatever_the_count(law, schema):
    model = tiny_model(schema, law)
    many = model.sample(70, seed=3)
    for count in (1, 3, 32, 33):
        np.testing.assert_array_equal(model.sample(count, seed=3), many[:count])
    np.testing.assert_array_equal(np.concatenate(list(model.iter_samples(70, seed=3))), many)
    later = model.conditions(3, 3, start=40) if schema else None
    np.testing.assert_array_equal(model.generate(model.latents(3, seed=3, start=40), later), many[40:43])
    assert not np.array_equal(model.sample(3, seed=4), many[:3])


def test_the_network_always_sees_chunks_of_one_size(model):
    """Rounding may depend on the batch: on machines where it does not, the comparison above cannot notice."""
    seen = []
    hook = model.generator.register_forward_pre_hook(lambda _, inputs: seen.append([len(x) for x in inputs]))
    try:
        model.sample(1), model.sample(40)
    finally:
        hook.remove()
    assert seen == [[32, 32]] * 3


def test_half_the_size_and_nearly_the_same_pictures(model, tmp_path):
    next(model.generator.parameters()).data.flatten()[0] = 1e6  # float16 ends at 65504
    whole, half = model.save(tmp_path / "whole"), model.save(tmp_path / "half", half=True)
    sizes = [(folder / "model.safetensors").stat().st_size for folder in (whole, half)]
    weights = [load_file(folder / "model.safetensors") for folder in (whole, half)]
    for name, weight in weights[0].items():
        assert torch.isfinite(weights[1][name].float()).all()
        assert torch.allclose(weights[1][name].float(), weight.float(), rtol=1e-3, atol=1e-6)
    assert sum(w.dtype == torch.float16 for w in weights[1].values()) >= len(weights[0]) // 2
    assert sizes[1] < 0.9 * sizes[0]
    a, b = (load(folder, "cpu").sample(4).astype(int) for folder in (whole, half))
    assert 0 < np.abs(a - b).max() <= 6


def test_large_pictures_come_in_smaller_chunks(plain):
    assert plain.batch_size == 32
    plain_512 = type(plain)(plain.generator, Schema(), {**plain.config, "image_size": 512})
    assert plain_512.batch_size == 2


def test_sampling_leaves_the_global_randomness_alone(model, folder):
    torch.manual_seed(11)
    expected = torch.rand(3)
    torch.manual_seed(11)
    model.sample(2)
    load(folder, "cpu")
    assert torch.equal(torch.rand(3), expected)


def test_samples_come_lazily(model):
    calls = []
    hook = model.generator.register_forward_hook(lambda *_: calls.append(1))
    try:
        first = next(iter(model.iter_samples(1_000_000)))
    finally:
        hook.remove()
    assert len(first) == 32 and len(calls) == 1


def test_progress_counts_pictures(model):
    reports = []
    model.sample(40, progress=lambda *report: reports.append(report))
    assert reports == [(32, 40, "sampling"), (40, 40, "sampling")]


def test_truncation_scales_the_latents(model):
    assert torch.equal(model.latents(4, truncation=0.5), model.latents(4) * 0.5)
    uniform = tiny_model(law="uniform").latents(500, truncation=0.5)
    assert 0.49 < uniform.abs().max() <= 0.5
    for wrong in (-0.1, float("nan"), float("inf")):
        with pytest.raises(UsageError, match="truncation"):
            model.latents(1, truncation=wrong)
    frozen = model.sample(3, truncation=0, hair="pink", eyes="red")
    assert np.array_equal(frozen[0], frozen[1]) and not np.array_equal(frozen[0], model.sample(1, hair="pink")[0])


def test_codes_are_what_was_asked_for(model):
    hair, eyes = SCHEMA.slices
    codes = model.conditions(200, hair="pink")
    assert torch.equal(codes[:, hair], torch.eye(12)[SCHEMA["hair"].index("pink")].expand(200, -1))
    assert torch.equal(codes[:, eyes].sum(1), torch.ones(200)) and (codes[:, eyes].sum(0) > 5).all()
    names = ["red", "blue", "aqua"]
    listed = model.conditions(3, eyes=names)[:, eyes]
    assert [SCHEMA["eyes"].values[i] for i in listed.argmax(1)] == names
    mixed = model.conditions(2, hair={"pink": 0.25, "aqua": 0.75})[1, hair]
    assert mixed[SCHEMA["hair"].index("pink")] == 0.25 and mixed.sum() == 1


def test_what_is_not_asked_for_follows_the_priors(model):
    hair = SCHEMA.slices[0]
    drawn = model.conditions(400, seed=1, hair=None)[:, hair]
    assert drawn[:, 2:].sum() == 0  # a prior of nought
    assert 150 < drawn[:, 0].sum() < 250


def test_asking_for_hair_does_not_change_the_eyes_that_are_drawn(model):
    eyes = SCHEMA.slices[1]
    assert torch.equal(model.conditions(20, 5)[:, eyes], model.conditions(20, 5, hair="pink")[:, eyes])


def test_lists_are_shared_out_over_the_chunks(model):
    names = [SCHEMA["hair"].values[i % 12] for i in range(40)]
    pictures = model.sample(40, hair=names, eyes="red")
    np.testing.assert_array_equal(pictures[35], model.sample(36, hair=names[35], eyes="red")[35])


@pytest.mark.parametrize(
    ("asked", "words"),
    [
        ({"hair": "pnk"}, "did you mean 'pink'"),
        ({"hari": "pink"}, "did you mean 'hair'"),
        ({"hair": ["pink", "blue"]}, "2 values of 'hair' for 3 pictures"),
        ({"hair": {"pnk": 1.0}}, "did you mean 'pink'"),
        ({"hair": {"pink": float("nan")}}, "finite"),
    ],
)
def test_wrong_attributes_are_explained(model, asked, words):
    with pytest.raises(UsageError, match=words):
        model.sample(3, **asked)


def test_attributes_of_a_plain_model_are_refused(plain):
    with pytest.raises(UsageError, match="trained without attributes"):
        plain.sample(1, hair="pink")


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


def test_the_card_says_what_the_model_is(model):
    text = card(model.config)
    _, front, body = text.split("---\n", 2)
    matter = yaml.safe_load(front)
    assert matter["license"] == "other" and matter["pipeline_tag"] == "unconditional-image-generation"
    for words in ("tiny", "1,234", "abc123", "5,000", "a laptop", "nowhere", "orange 50.0%", "--hair orange"):
        assert words in body


def test_free_text_cannot_break_the_card(model):
    text = card({**model.config, "machine": "a\n---\n| b |"})
    assert "| machine | a --- / b / |" in text


def test_wrong_shapes_are_a_bug_of_the_caller(model):
    with pytest.raises(ValueError, match="conditions of shape"):
        model.generate(model.latents(2))
    with pytest.raises(ValueError, match="latents of shape"):
        model.generate(torch.zeros(2, 5), model.conditions(2))


def test_no_pictures_are_no_pictures(model):
    assert model.sample(0).shape == (0, SIZE, SIZE, 3)
    with pytest.raises(UsageError, match="0 or more"):
        model.sample(-1)


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


def test_attributes_called_like_parameters(tmp_path):
    names = ("seed", "count", "out", "self", "attributes")
    schema = Schema(tuple(Attribute(name, ("red", "blue"), (0.5, 0.5)) for name in names))
    model = tiny_model(schema)
    wanted = dict.fromkeys(names, "blue")
    assert model.conditions(3, attributes=wanted).tolist() == [[0, 1] * len(names)] * 3
    latents = model.latents(2, 1)
    assert np.array_equal(
        model.sample(2, seed=1, attributes=wanted), model.generate(latents, torch.tensor([[0.0, 1.0] * 5] * 2))
    )
    with pytest.raises(UsageError, match="'out' is given twice"):
        model.sample(1, out="red", attributes={"out": "red"})


def test_a_card_of_hostile_names_and_values(model):
    schema = Schema(
        (Attribute("seed", ("<img src=x onerror=alert(1)>", "b"), (0.5, 0.5)), Attribute("a|b", ("x",), (1.0,)))
    )
    text = card({**model.config, "summary": "<script>\x1b[31m", "attributes": schema.to_json()})
    outside = "".join(text.split("```")[::2])
    assert "<script" not in outside and "<img" not in outside and "\x1b" not in text
    assert "--attribute 'seed=<img src=x onerror=alert(1)>' --attribute 'a|b=x'" in text
    assert 'attributes={"seed": "<img src=x onerror=alert(1)>", "a|b": "x"})' in text


def test_the_reserved_names_are_those_of_the_function_and_the_command():
    import inspect

    import typer.main

    from kaogan.cli import app
    from kaogan.generate.model import Model
    from kaogan.generate.model_card import OPTIONS, PARAMETERS

    assert set(inspect.signature(Model.sample).parameters) - {"named"} == PARAMETERS
    command = typer.main.get_command(app).commands["sample"]
    options = {word.lstrip("-") for parameter in command.params for word in parameter.opts if word.startswith("--")}
    assert options | {"attribute", "help"} == OPTIONS
