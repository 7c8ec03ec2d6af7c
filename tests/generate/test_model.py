"""The model folder: what it draws, what it writes, and what it refuses to read."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import yaml
from safetensors.torch import load_file

from kaogan.core.errors import UsageError
from kaogan.core.schema import Attribute, Schema
from kaogan.generate.model import card, load
from kaogan.generate.model_card import youth
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


@pytest.mark.parametrize("distribution", ["normal", "uniform"])
@pytest.mark.parametrize("schema", [SCHEMA, Schema()], ids=["attributes", "plain"])
def test_a_picture_is_the_same_whatever_the_count(distribution, schema):
    model = tiny_model(schema, distribution)
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
    uniform = tiny_model(distribution="uniform").latents(500, truncation=0.5)
    assert 0.49 < uniform.abs().max() <= 0.5
    for wrong in (-0.1, float("nan"), float("inf")):
        with pytest.raises(UsageError, match="truncation"):
            model.latents(1, truncation=wrong)
    frozen = model.sample(3, truncation=0, hair="pink", eyes="red")
    assert np.array_equal(frozen[0], frozen[1]) and not np.array_equal(frozen[0], model.sample(1, hair="pink")[0])


def test_codes_are_what_was_asked_for(model):
    hair, eyes = SCHEMA.slices
    conditions = model.conditions(200, hair="pink")
    assert torch.equal(conditions[:, hair], torch.eye(12)[SCHEMA["hair"].index("pink")].expand(200, -1))
    assert torch.equal(conditions[:, eyes].sum(1), torch.ones(200)) and (conditions[:, eyes].sum(0) > 5).all()
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


def test_the_card_says_what_the_model_is(model):
    text = card(model.config)
    _, front, body = text.split("---\n", 2)
    matter = yaml.safe_load(front)
    assert matter["license"] == "other" and matter["pipeline_tag"] == "unconditional-image-generation"
    for words in ("tiny", "1,234", "abc123", "5,000", "a laptop", "nowhere", "orange 50.0%", "--hair orange"):
        assert words in body


def test_the_card_has_the_licence_and_the_results(model):
    def front(text):
        return yaml.safe_load(text.split("---\n", 2)[1])

    assert "Whoever publishes this folder states it" in card(model.config)
    text = card({**model.config, "licence": "cc-by-4.0"}, results={"FD-x": 1.23456789})
    assert front(text)["license"] == "cc-by-4.0" and "Licence: cc-by-4.0" in text
    (index,) = front(text)["model-index"]
    (found,) = index["results"]
    assert found["metrics"] == [{"type": "FD-x", "name": "FD-x", "value": 1.234568}]
    assert found["dataset"]["name"] == model.config["data"]["name"]
    assert front(card({**model.config, "licence": "cc-by-4.0"}, license="mit"))["license"] == "mit"


@pytest.mark.parametrize(
    ("changes", "young"),
    [
        ({"recipe": "dcgan", "clock": 59_999}, True),
        ({"recipe": "dcgan", "clock": 60_000}, False),  # a fifth of 300,000
        ({"recipe": "dcgan", "clock": 100, "settings": {"training.images": 120}}, True),  # what the recipe takes counts
        ({"recipe": "mine", "clock": 10, "settings": {"training.images": 100}}, True),
        ({"recipe": "mine", "clock": 90, "settings": {"training.images": 100}}, False),
        ({"recipe": "mine", "clock": 10, "settings": {}}, False),
        ({"recipe": "dcgan", "clock": 0, "imported": "elsewhere"}, False),
    ],
)
def test_a_young_model_is_called_so(model, changes, young):
    said = youth({**model.config, **changes})
    assert bool(said) == young and (not young or f"it has seen {changes['clock']:,} images" in said)


def test_a_young_model_may_not_follow_its_attributes(model):
    config = {**model.config, "recipe": "dcgan", "clock": 100}
    names = [{"name": "hair", "values": ["pink"]}, {"name": "eyes", "values": ["red"]}]
    assert youth({**config, "attributes": names}).endswith("for better faces, and for hair and eyes as asked")
    assert youth({**config, "attributes": []}).endswith("for better faces")


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
