"""The typed tree: every leaf can be set, everything wrong is named."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
import yaml

from kaogan.cli._console import parse_overrides
from kaogan.config import recipes
from kaogan.config.recipe import LearningRateSchedule, Recipe
from kaogan.core.errors import KaoganError, UsageError

FAMILIES = ("dcgan", "residual", "keras_wgan", "starsface_wgan", "stylegan2", "r3gan")


def spelt(value: Any) -> str:
    """A value as one would type it on the command line."""
    if isinstance(value, str) and value:
        return value
    if isinstance(value, list) and len(value) > 1 and not any(isinstance(part, dict) for part in value):
        return ",".join(map(spelt, value))
    return yaml.safe_dump(value, default_flow_style=True).removesuffix("\n").removesuffix("\n...")


@pytest.mark.parametrize("name", recipes.names())
def test_every_leaf_set_to_its_own_value_is_the_same_recipe(name: str) -> None:
    recipe = recipes.load(name)
    leaves = recipes.flatten(recipe.to_dict())
    assert len(leaves) > 90
    for key, value in leaves.items():
        again = recipes.load(name, parse_overrides({key.replace("_", "-"): spelt(value)}))
        assert again == recipe, key
    assert recipes.load(name, leaves) == recipe
    assert recipes.load(name, recipe.to_dict()) == recipe, "nested mappings are overrides too"


@pytest.mark.parametrize("name", recipes.names())
def test_dump_and_load_are_inverse(name: str, tmp_path: Path) -> None:
    recipe = recipes.load(
        name, {"extras.instance_noise.amount": 0.25, "attributes.merge": {"hair": {"warm": ["red", "orange"]}}}
    )
    path = tmp_path / "two words.yaml"
    path.write_text(recipes.dump(recipe), encoding="utf-8")
    assert recipes.load(path) == recipe == recipes.load(str(path)) == recipes.load(recipe.to_dict())
    assert recipes.diff(recipe, recipes.load(path)) == []


def test_feature_networks_by_their_names() -> None:
    typed = parse_overrides({"discriminator.feature-networks": "tagger,mobilenet_v2"})
    assert recipes.load("kao", typed) == recipes.load("kao")


def test_one_map_size_stands_for_a_list_of_one() -> None:
    recipe = recipes.load(
        "dcgan", {"generator.attention": 16, "discriminator.attention": parse_overrides({"a": "8"})["a"]}
    )
    assert (recipe.generator.attention, recipe.discriminator.attention) == ((16,), (8,))
    with pytest.raises(UsageError, match="attention"):
        recipes.load("dcgan", {"generator.attention": "16x"})


def changed(value: Any, key: str) -> Any:
    """Another valid value of the same leaf."""
    special = {
        "name": "other", "generator.family": "keras_wgan", "discriminator.family": "keras_wgan",
        "latent.distribution": "uniform",
        "objective.name": "hinge", "objective.real_label": [0.5, 0.75], "objective.fake_label": [0.25, 0.5],
        "objective.generator_label": [0.5, 0.5], "extras.blurred_reals.kernel": 7, "extras.blurred_reals.high": 300.0,
        "extras.blurred_reals.variant": "source", "data.classes": False,
        "extras.augment.name": "ada", "extras.augment.groups": ["filter"], "extras.augment.policy": ["cutout"],
        "extras.pixel_loss.power": 2, "attributes.names": ["hair"], "attributes.loss": "sigmoid",
        "attributes.merge": {},
        "optim.name": "sgd", "optim.betas": [0.25, 0.5], "optim.generator.betas": [0.25, 0.5],
        "optim.discriminator.betas": [0.25, 0.5], "optim.schedule.type": "linear", "run.device": "cuda:1",
        "run.precision": "fp16", "channels": 1, "generator.upsample": "nearest", "generator.activation": "leaky",
        "generator.output_filter": "sharp", "generator.sampling_filter": "sharp", "generator.norm": "layer",
        "generator.chroma_filter": "binomial", "generator.to_rgb": "conv",
        "generator.init": "glorot", "generator.attention": [8], "generator.max_width": 99,
        "discriminator.norm": "layer", "discriminator.init": "glorot", "discriminator.attention": [8],
        "discriminator.max_width": 99, "discriminator.attribute_head": "split", "eval.metrics": ["kid"],
        "data.workers": 1, "optim.generator.frozen": ["body.0"], "optim.discriminator.frozen": ["body.0"],
    }  # fmt: skip
    if key in special:
        return special[key]
    if isinstance(value, bool):
        return not value
    if value is None:
        return 0.125
    if isinstance(value, int):
        return value + 1
    return "words" if isinstance(value, str) else 0.125


def test_every_leaf_acts_alone() -> None:
    base = recipes.load("dcgan")
    for key, value in recipes.flatten(base.to_dict()).items():
        if key == "attributes.merge":
            continue
        new = changed(value, key)
        differences = recipes.diff(base, recipes.load("dcgan", parse_overrides({key: spelt(new)})))
        if key.endswith(".family"):
            assert all(k.startswith(key.split(".")[0]) for k, _, _ in differences), key
        else:
            assert differences == [(key, value, new)], key


@pytest.mark.parametrize(
    ("overrides", "words"),
    [
        ({"optim.lrr": 1}, ["'optim.lrr'", "did you mean 'lr'"]),
        ({"optimm.lr": 1}, ["'optimm'", "did you mean 'optim'"]),
        ({"lr": 1}, ["'lr'", "did you mean 'optim.lr'"]),
        ({"n_critic": 5}, ["did you mean 'training.n_critic'"]),
        ({"width": 5}, ["'generator.width' or 'discriminator.width'"]),
        ({"imags": 5}, ["'imags'", "did you mean 'images'"]),
        ({"generator.widht": 1}, ["'generator.widht'", "did you mean 'width'"]),
        ({"discriminator.attribute_haed": 1}, ["'discriminator.attribute_haed'", "did you mean 'attribute_head'"]),
        ({"generator.family": "residul"}, ["'generator.family'", "did you mean 'residual'"]),
        ({"discriminator.family": None}, ["'discriminator.family'"]),
        ({"optim.lr.x": 1}, ["'optim.lr'"]),
        ({"optim": 3}, ["'optim'", "group of settings"]),
        ({"generator": "dcgan"}, ["'generator'", "group of settings"]),
        ({"penalties.r1": 3}, ["'penalties.r1'", "group of settings"]),
        ({"generator.width": True}, ["'generator.width'", "True"]),
        ({"discriminator.slope": float("nan")}, ["'discriminator.slope'"]),
        ({"optim.lr": -1}, ["'optim.lr'", "greater than 0", "-1"]),
        ({"optim.lr": 0}, ["'optim.lr'"]),
        ({"optim.lr": "fast"}, ["'optim.lr'", "'fast'"]),
        ({"optim.lr": float("nan")}, ["'optim.lr'", "finite"]),
        ({"optim.lr": float("inf")}, ["'optim.lr'", "finite"]),
        ({"optim.lr": True}, ["'optim.lr'", "True"]),
        ({"optim.betas": [0.5, 1.5]}, ["'optim.betas.1'", "1.5"]),
        ({"optim.betas": 0.5}, ["'optim.betas'"]),
        ({"optim.generator.lr": 0}, ["'optim.generator.lr'"]),
        ({"batch_size": 0}, ["'training.batch_size'", "greater than or equal to 1"]),
        ({"training.batch_size": 1.5}, ["'training.batch_size'"]),
        ({"training.batch_size": True}, ["'training.batch_size'", "True"]),
        ({"images": -1}, ["'training.images'"]),
        ({"training.n_critic": 0}, ["'training.n_critic'"]),
        ({"image_size": 2}, ["'image_size'"]),
        ({"channels": 2}, ["'channels'", "1 or 3"]),
        ({"latent.size": 0}, ["'latent.size'"]),
        ({"latent.distribution": "cauchy"}, ["'latent.distribution'", "'normal' or 'uniform'"]),
        ({"objective.name": "bcee"}, ["'objective.name'", "'bce'"]),
        ({"objective.label_flip": 1.5}, ["'objective.label_flip'"]),
        ({"objective.real_label": [0.9, 0.1]}, ["real_label", "lower end first"]),
        ({"objective.fake_label": [-0.1, 0.1]}, ["fake_label"]),
        ({"objective.generator_label": 2}, ["generator_label"]),
        ({"penalties.clip": -0.1}, ["'penalties.clip'"]),
        ({"penalties.r1.every": 0}, ["'penalties.r1.every'"]),
        ({"extras.blurred_reals.kernel": 4}, ["'extras.blurred_reals'", "odd"]),
        ({"extras.blurred_reals.low": 600}, ["'extras.blurred_reals'", "low must not exceed high"]),
        ({"extras.pixel_loss.power": 3}, ["'extras.pixel_loss.power'"]),
        ({"extras.replay.capacity": 0}, ["'extras.replay.capacity'"]),
        ({"extras.instance_noise.amount": 1.1}, ["'extras.instance_noise.amount'"]),
        ({"attributes.names": 1.5}, ["'attributes.names'"]),
        ({"attributes.merge": ["hair"]}, ["'attributes.merge'"]),
        ({"data.horizontal_flip": 7}, ["'data.horizontal_flip'"]),
        ({"run.device": "gpu"}, ["'run.device'"]),
        ({"run.seed": -1}, ["'run.seed'"]),
        ({"run.seed": 2**63}, ["'run.seed'"]),
        ({"run.precision": "fp8"}, ["'run.precision'"]),
        ({"run.keep_last": 0}, ["'run.keep_last'"]),
        ({"name": "No Spaces"}, ["'name'"]),
        ({"optim.lr": -1, "batch_size": 0}, ["'optim.lr'", "'training.batch_size'"]),
    ],
)  # fmt: skip
def test_what_is_wrong_is_named(overrides: dict[str, Any], words: list[str]) -> None:
    with pytest.raises(UsageError) as caught:
        recipes.load("dcgan", overrides)
    message = str(caught.value)
    assert "\n" not in message and "pydantic" not in message
    for word in words:
        assert word in message, message


def test_another_family_starts_from_its_own_defaults() -> None:
    recipe = recipes.load("wgan-gp", {"discriminator.family": "residual", "discriminator.blocks": 3})
    alone = recipes.load({"generator": {"family": "dcgan"}, "discriminator": {"family": "residual", "blocks": 3}})
    assert recipe.discriminator == alone.discriminator and recipe.generator == recipes.load("wgan-gp").generator
    same = recipes.load("wgan-gp", {"discriminator.family": "dcgan"})
    assert same == recipes.load("wgan-gp"), "naming the family that it has changes nothing"
    # Whatever the order of the words.
    for keys in (["generator.family", "generator.blocks"], ["generator.blocks", "generator.family"]):
        values = {"generator.family": "residual", "generator.blocks": 2}
        assert recipes.load("dcgan", {key: values[key] for key in keys}).generator.blocks == 2  # type: ignore[union-attr]


@pytest.mark.parametrize("family", FAMILIES)
def test_every_family_is_known_by_name(family: str) -> None:
    recipe = recipes.load("dcgan", {"generator.family": family, "discriminator.family": family})
    assert recipe.generator.family == recipe.discriminator.family == family


def test_short_forms() -> None:
    recipe = recipes.load(
        "dcgan",
        {"objective.real_label": 0.9, "attributes.names": "hair", "images": 7, "batch_size": 8, "seed": 9,
         "device": "cpu", "precision": "bf16", "optim": {"generator": {"lr": 0.5}}},
    )  # fmt: skip
    assert recipe.objective.real_label == (0.9, 0.9) and recipe.attributes.names == ("hair",)
    assert (recipe.training.images, recipe.training.batch_size, recipe.run.seed) == (7, 8, 9)
    assert (recipe.run.device, recipe.run.precision, recipe.optim.generator.lr) == ("cpu", "bf16", 0.5)


def test_years_are_words() -> None:
    groups = parse_overrides(
        {"attributes.merge": "{year: {2000: [2000, 2001], late: 2012}}", "attributes.names": "2012"}
    )
    settings = recipes.load("acgan-year", groups).attributes
    assert settings.merge == {"year": {"2000": ("2000", "2001"), "late": ("2012",)}} and settings.names == ("2012",)


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ({"optim.lr": "1e-4"}, {"optim.lr": "1e-4"}),
        ({"optim.betas": "0.5,0.9"}, {"optim.betas": [0.5, 0.9]}),
        ({"optim.betas": "[0.5, 0.9]"}, {"optim.betas": [0.5, 0.9]}),
        ({"data.horizontal_flip": "true"}, {"data.horizontal_flip": True}),
        ({"training.n-critic": "5"}, {"training.n_critic": 5}),
        ({"summary": "one, two: three"}, {"summary": "one, two: three"}),
        ({"optim.generator.lr": "null"}, {"optim.generator.lr": None}),
    ],
)
def test_words_of_the_command_line_are_yaml(words: dict[str, str], expected: dict[str, Any]) -> None:
    assert parse_overrides(words) == expected
    assert float(recipes.load("dcgan", {"optim.lr": "1e-4"}).optim.lr) == 1e-4  # YAML takes 1e-4 for a word


BOMB = "a: &a [x, x]\nb: &b [*a, *a]\nc: [*b, *b]\n"


@pytest.mark.parametrize(
    ("content", "words", "kind"),
    [
        (BOMB, "aliases are not allowed", UsageError),
        (
            "seed: 1\ntraining: {images: 5}\ntraining: {images: 6}\n",
            "line 3: 'training' stands there twice",
            UsageError,
        ),
        ("- a\n- b\n", "must be a mapping", UsageError),
        ("", "must be a mapping", UsageError),
        ("just words", "must be a mapping", UsageError),
        ("a: [1, 2", "not valid YAML", UsageError),
        ("a: !!python/object/apply:os.system ['true']", "not valid YAML", UsageError),
        ("[" * 5000, "not valid YAML", UsageError),
        ("a: " + "1" * 5000, "not valid YAML", UsageError),
        ("a: 2026-99-99", "not valid YAML", UsageError),
        ("a: !!bool x", "not valid YAML", UsageError),
        ("a: !!int ''", "not valid YAML", UsageError),
        ("# " + "x" * recipes.YAML_LIMIT, "larger than 256 KB", UsageError),
        (b"\xff\xfe\x00", "not a text file in UTF-8", UsageError),
        ("a: \x07", "not valid YAML", UsageError),
        ("optim: {lr: 1}", "'generator' is missing; 'discriminator' is missing", UsageError),
        ("1: 2", "'generator' is missing", UsageError),
        ("generator: null\ndiscriminator: {family: dcgan}", "'generator' is a group", UsageError),
        ("generator: {width: 3}\ndiscriminator: {family: dcgan}", "'generator.family' is 'nothing'", UsageError),
    ],
)
def test_files_that_are_no_recipes(tmp_path: Path, content: str | bytes, words: str, kind: type[KaoganError]) -> None:
    path = tmp_path / "mine.yaml"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(kind) as caught:
        recipes.load(path)
    assert words in str(caught.value) and str(path) in str(caught.value) and "\n" not in str(caught.value)


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"no recipe file .*none\.yaml"):
        recipes.load(tmp_path / "none.yaml")
    (tmp_path / "folder.yaml").mkdir()
    with pytest.raises(KaoganError, match=r"cannot read .*folder\.yaml"):
        recipes.load(tmp_path / "folder.yaml")
    if os.geteuid():
        (tmp_path / "locked.yaml").write_text("a: 1")
        (tmp_path / "locked.yaml").chmod(0)
        with pytest.raises(KaoganError, match="cannot read"):
            recipes.load(tmp_path / "locked.yaml")
    with pytest.raises(UsageError, match=r"unknown recipe 'dgan' \(did you mean 'dcgan'\?\)"):
        recipes.load("dgan")
    with pytest.raises(UsageError, match="unknown recipe"):
        recipes.load("../recipes/dcgan")


@pytest.mark.parametrize(
    ("file", "name"),
    [("Mine.yaml", "mine"), ("My Recipe (2).yaml", "my-recipe-2-"), ("顔.yaml", "-"), ("_a.b.yml", "a.b"),
     ("x" * 90 + ".yaml", "x" * 64)],
)  # fmt: skip
def test_a_file_without_a_name_has_that_of_the_file(tmp_path: Path, file: str, name: str) -> None:
    (tmp_path / file).write_text("generator: {family: dcgan}\ndiscriminator: {family: dcgan}\n")
    assert recipes.load(tmp_path / file).name == (name.strip("-") or "custom")


def test_loading_leaves_its_arguments_alone() -> None:
    tree = recipes.load("dcgan").to_dict()
    before = yaml.safe_dump(tree)
    recipes.load(tree, {"generator.family": "residual", "optim.lr": 0.5})
    assert yaml.safe_dump(tree) == before


def test_diff_names_leaves() -> None:
    a, b = recipes.load("dcgan"), recipes.load("dcgan", {"optim.lr": 0.5, "generator.family": "keras_wgan"})
    differences = {key: (old, new) for key, old, new in recipes.diff(a, b)}
    assert differences["optim.lr"] == (2e-4, 0.5) and differences["generator.kernel"] == (4, None)
    assert not any(key.startswith("generator") for key, _, _ in recipes.diff(a, b, ignore=("generator",)))


def test_a_recipe_cannot_be_changed() -> None:
    with pytest.raises(ValueError, match="frozen"):
        recipes.load("dcgan").optim.lr = 3  # type: ignore[misc]


@pytest.mark.parametrize(
    ("settings", "factors"),
    [
        ({}, {0: 1, 10**9: 1}),
        ({"type": "linear", "images": 100}, {0: 1, 25: 0.75, 100: 0, 300: 0}),
        ({"type": "linear", "images": 100, "final": 0.5}, {50: 0.75, 100: 0.5, 101: 0.5}),
        ({"type": "linear", "images": 100, "wave": True}, {150: 0}),
        ({"type": "cosine", "images": 100, "final": 0.25}, {0: 1, 50: 0.625, 100: 0.25, 200: 0.25}),
        # (1 - cos 60°)/2 = 1/4 of the way from 1 down to 0.2.
        ({"type": "cosine", "images": 300, "final": 0.2}, {100: 0.8, 200: 0.4}),
        ({"type": "cosine", "images": 100, "final": 0.25, "wave": True}, {100: 0.25, 150: 0.625, 200: 1, 300: 0.25}),
        ({"type": "exponential", "images": 100, "final": 0.25}, {0: 1, 50: 0.5, 100: 0.25, 200: 0.0625}),
    ],
)
def test_schedules_by_hand(settings: dict[str, Any], factors: dict[int, float]) -> None:
    schedule = LearningRateSchedule(**settings)
    for clock, factor in factors.items():
        assert schedule.factor(clock) == pytest.approx(factor, abs=1e-12), clock


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"optim.schedule.type": "exponential"}, "final must be above it"),
        ({"optim.betas": [0.5, 1.0]}, "less than 1"),
        ({"optim.generator.betas": [1.0, 0.9]}, "less than 1"),
        ({"optim.annealing.beta2": 1.0}, "less than 1"),
    ],
)
def test_optimisers_that_cannot_work(settings: dict[str, Any], words: str) -> None:
    with pytest.raises(UsageError, match=words):
        recipes.load("dcgan", settings)


def test_the_tree_describes_itself() -> None:
    """Every number and word that can be set says what it means; those that need no words say it by their names."""
    plain = {"type", "name", "eps", "weight_decay", "lr", "betas", "batch_size", "channels_last", "summary", "source",
             "schedule", "seed"}  # fmt: skip

    def walk(model: Any, prefix: str) -> list[str]:
        bare = []
        for name, field in model.model_fields.items():
            inner = field.annotation
            if hasattr(inner, "model_fields"):
                bare += walk(inner, f"{prefix}{name}.")
            elif not field.description and name not in plain and name not in ("generator", "discriminator"):
                bare.append(prefix + name)
        return bare

    assert walk(Recipe, "") == []
