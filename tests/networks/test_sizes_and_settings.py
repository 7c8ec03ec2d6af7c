"""Picture sizes that families can make or not, and settings of theirs that are refused."""

import pytest
from pydantic import TypeAdapter, ValidationError

from kaogan.config.registries import DiscriminatorSettings, GeneratorSettings
from kaogan.core.errors import UsageError
from kaogan.networks import DISCRIMINATORS, GENERATORS, build_discriminator
from kaogan.networks.stylegan.discriminator import StyleGAN2DiscriminatorSettings
from tests.networks.cases import DISCRIMINATOR_CASES, GENERATOR_CASES, discriminator, generator, noise


@pytest.mark.parametrize(
    ("case", "size", "possible"),
    [
        ("dcgan", 48, "8, 16, 32, 64, 128, 256, 512, 1024"),
        ("dcgan", 4, "8, 16"),
        ("dcgan", 2048, "8, 16"),
        ("residual", 8, "16, 32, 64"),
        ("keras_wgan", 36, "8, 10, 12, 14, 16, 20"),
        ("starsface_wgan", 16, "32, 64, 128, 256"),
        ("starsface_wgan", 512, "32, 64, 128, 256"),
        ("stylegan2", 48, "8, 16, 32, 64, 128, 256, 512, 1024"),
        ("stylegan3-t", 8, "16, 32, 64, 128, 256, 512, 1024"),
        ("r3gan", 100, "8, 16, 32, 64, 128, 256, 512, 1024"),
    ],
)
def test_impossible_generator_sizes(case, size, possible):
    with pytest.raises(UsageError, match=f"'{GENERATOR_CASES[case]['family']}'.* {size} px.*{possible}"):
        generator(case, size)


@pytest.mark.parametrize(("case", "size"), [("dcgan", 48), ("residual", 100), ("keras_wgan", 36),
                                            ("starsface_wgan", 16), ("stylegan2", 48), ("projected", 48)])  # fmt: skip
def test_impossible_discriminator_sizes(case, size):
    with pytest.raises(UsageError, match=f"'{DISCRIMINATOR_CASES[case]['family']}'.* {size} px.*32, .*64"):
        discriminator(case, size)


@pytest.mark.parametrize(
    ("case", "size"), [("dcgan", 8), ("keras_wgan", 12), ("keras_wgan", 48), ("starsface_wgan", 256)]
)
def test_other_sizes(case, size):
    images = generator(case, size)(*noise(2))
    assert images.shape == (2, 3, size, size)
    assert discriminator(case, size)(images).scores.shape == (2,)


@pytest.mark.parametrize(
    ("union", "cases", "registry"),
    [
        (GeneratorSettings, GENERATOR_CASES, GENERATORS),
        (DiscriminatorSettings, DISCRIMINATOR_CASES, DISCRIMINATORS),
    ],
)
def test_settings(union, cases, registry):
    adapter = TypeAdapter(union)
    assert {case["family"] for case in cases.values()} == set(registry)
    for case in cases.values():
        settings = adapter.validate_python(case)
        assert adapter.validate_json(adapter.dump_json(settings)) == settings
        assert all(field.description for field in type(settings).model_fields.values())
        with pytest.raises(ValidationError, match="widht"):
            adapter.validate_python({**case, "widht": 4})
        with pytest.raises(ValidationError, match="frozen"):
            settings.width = 5


@pytest.mark.parametrize(
    ("settings", "complaint"),
    [
        ({"family": "dcgan", "attention": [12]}, "12 is not"),
        ({"family": "residual", "upsample": "bilinear", "narrow": "upsample"}, "cannot narrow"),
        ({"family": "residual", "blocks": 2, "widen_at": [2]}, "from 0 to 1"),
        ({"family": "starsface_wgan", "width": 100}, "multiple of 64"),
        ({"family": "stylegan3", "num_critical": 14}, "less than num_layers"),
        ({"family": "stylegan3", "first_stopband": 1.0}, "must exceed first_cutoff"),
    ],
)
def test_impossible_settings(settings, complaint):
    with pytest.raises(ValidationError, match=complaint):
        TypeAdapter(GeneratorSettings).validate_python(settings)


def test_channels_of_the_standard_deviation_must_divide_those_at_4_px():
    build_discriminator(
        StyleGAN2DiscriminatorSettings(channel_base=128, channel_max=8, mbstd_num_channels=4),
        attribute_sizes=(),
        image_size=16,
        channels=3,
    )
    for count in (3, 16):
        with pytest.raises(UsageError, match=f"mbstd_num_channels is {count}, .* 8 channels"):
            build_discriminator(
                StyleGAN2DiscriminatorSettings(channel_base=128, channel_max=8, mbstd_num_channels=count),
                attribute_sizes=(),
                image_size=16,
                channels=3,
            )
