"""The trainings of the golden record: case -> (recipe, overrides)."""

from __future__ import annotations

from typing import Any

BATCH, STEPS, PICTURES = 8, 20, 48

# Settings of every training here: small, the same on every machine with the same libraries, few files.
COMMON: dict[str, Any] = {
    "image_size": 16,
    "latent.size": 8,
    "training.batch_size": BATCH,
    "training.images": BATCH * STEPS,
    "data.avatars": PICTURES,
    "run.precision": "fp32",
    "run.device": "cpu",
    "run.stats_every": 40,
    "run.grid_every": 100_000,
    "run.checkpoint_every": 100_000,
    "run.grid_pictures": 4,
    "eval.every": 0,
}
G, D = "generator.", "discriminator."
DCGAN = {G + "width": 4, D + "width": 4}
RESIDUAL = {G + "width": 4, G + "blocks": 2, G + "start": 4, D + "width": 4, D + "blocks": 1}
KERAS_WGAN = {G + "width": 4, G + "max_width": 8, D + "width": 4, D + "max_width": 8}
STYLEGAN2_D = {D + "channel_base": 128, D + "channel_max": 8}
STYLEGAN2 = {G + "w_dim": 8, G + "num_layers": 2, G + "channel_base": 128, G + "channel_max": 8, **STYLEGAN2_D}
STYLEGAN3 = {G + "w_dim": 8, G + "num_layers": 4, G + "channel_base": 128, G + "channel_max": 8, **STYLEGAN2_D}
# What gamma is at 64 px: auto would follow the size of these pictures.
GAMMA = "penalties.r1.weight"
R3GAN: dict[str, Any] = {
    f"{side}{key}": value for side in (G, D) for key, value in (("channel_base", 256), ("channel_max", 16))
}
R3GAN |= {GAMMA: 2.0, "penalties.r2.weight": 2.0}
# The recipe as the first record knew it: the tagger alone.
PROJECTED = {
    G + "width": 4,
    D + "width": 4,
    D + "max_width": 8,
    D + "feature_networks": ["tagger"],
}
# It grows half-way, and the penalty on the fixed pattern begins before.
GROWING = PROJECTED | {
    "image_size": 32, G + "base_size": 16, G + "grow_at": 80, "extras.fixed_pattern.start": 40,
    D + "crop_networks": [{"name": "tagger", "size": 16, "taps": [0]}],
}  # fmt: skip
ATTENTION = {"image_size": 32}  # the recipe's attention stands at 16 and 32 px
LABELLED = {"attributes.names": ["hair", "eyes"]}
MEMORY = {f"extras.replay.{key}": value for key, value in (("start", 16), ("lead", 8), ("every", 8), ("capacity", 5))}

# Case: (recipe, overrides). Every recipe that ships comes first, as it is but for its size.
TRAININGS: dict[str, tuple[str, dict[str, Any]]] = {
    "acgan": ("acgan", DCGAN | LABELLED),
    "acgan-resnet": ("acgan-resnet", DCGAN | LABELLED | {G + "tail_blocks": 2}),
    "acgan-small": ("acgan-small", DCGAN | {"attributes.names": ["auto"]}),
    "acgan-year": ("acgan-year", DCGAN | {"attributes.names": ["hair"]}),  # the avatars have no year
    "bamsgan": ("bamsgan", DCGAN | ATTENTION | MEMORY),
    "dcgan": ("dcgan", DCGAN),
    "demo": ("demo", PROJECTED | {"attributes.names": ["auto"]}),
    "kao": ("kao", PROJECTED | LABELLED | {D + "unfreeze_at": 64}),
    "kao-128": ("kao-128", GROWING),
    "kao-256": ("kao-256", GROWING | LABELLED | {"image_size": 64}),
    "r3gan": ("r3gan", R3GAN),
    "r3gan-64": ("r3gan-64", R3GAN),
    "r3gan-128": ("r3gan-128", R3GAN),
    "r3gan-256": ("r3gan-256", R3GAN),
    "resdcgan": ("resdcgan", RESIDUAL),
    "resdcgan-cycle": ("resdcgan-cycle", RESIDUAL),
    "resdcgan-wgan-gp": ("resdcgan-wgan-gp", RESIDUAL),
    "sagan": ("sagan", DCGAN | ATTENTION),
    "stylegan2": ("stylegan2", STYLEGAN2 | {GAMMA: 0.0256}),
    "stylegan2-64": ("stylegan2-64", STYLEGAN2),
    "stylegan2-128": ("stylegan2-128", STYLEGAN2),
    "stylegan2-256": ("stylegan2-256", STYLEGAN2),
    "stylegan2-256-limited": ("stylegan2-256-limited", STYLEGAN2 | {"extras.apa.p": 0.5, "extras.lecam.weight": 0.1}),
    "stylegan3-r": ("stylegan3-r", STYLEGAN3 | {GAMMA: 0.125}),
    "stylegan3-r-64": ("stylegan3-r-64", STYLEGAN3 | {GAMMA: 0.5}),
    "stylegan3-t": ("stylegan3-t", STYLEGAN3 | {GAMMA: 0.125}),
    "stylegan3-t-64": ("stylegan3-t-64", STYLEGAN3 | {GAMMA: 0.5}),
    "stylegan3-t-128": ("stylegan3-t-128", STYLEGAN3),
    "stylegan3-t-256": ("stylegan3-t-256", STYLEGAN3),
    "wgan-clip": ("wgan-clip", KERAS_WGAN),
    "wgan-gp": ("wgan-gp", DCGAN),
    "wgan-gp-upsample": ("wgan-gp-upsample", DCGAN),
    # What the recipes leave off.
    "size-64": ("dcgan", DCGAN | {"image_size": 64}),
    "grey": ("dcgan", DCGAN | {"channels": 1}),
    "starsface_wgan": ("dcgan", {"image_size": 32, "generator": {"family": "starsface_wgan", "width": 64},
                             "discriminator": {"family": "starsface_wgan", "width": 16}}),
    "blur": ("dcgan", DCGAN | {"extras.blurred_reals.ratio": 0.5}),
    "blur-source": ("dcgan", DCGAN | {"extras.blurred_reals.ratio": 0.5, "extras.blurred_reals.variant": "source"}),
    "memory": ("dcgan", DCGAN | MEMORY | {"extras.replay.fraction": 0.5}),
    "noise": ("dcgan", DCGAN | {"extras.instance_noise.amount": 0.2, "extras.instance_noise.end": 120}),
    "pull": ("dcgan", DCGAN | {"extras.pixel_loss.weight": 2.0, "extras.pixel_loss.power": 2}),
    "fade": ("dcgan", DCGAN | {"extras.blur_fade.sigma": 2.0, "extras.blur_fade.images": 120}),
    "ada": ("dcgan", DCGAN | {"extras.augment.name": "ada", "extras.augment.p": 0.5, "extras.augment.images": 1000,
                              "extras.augment.groups": ["blit", "geometry", "color", "filter", "noise", "cutout"]}),
    "diffaugment": ("dcgan", DCGAN | {"extras.augment.name": "diffaugment"}),
    "penalties": ("dcgan", DCGAN | {"penalties.r1.weight": 1.0, "penalties.r2.weight": 1.0, "penalties.r2.every": 2}),
    "own-step": ("dcgan", DCGAN | {"penalties.r1.weight": 1.0, "penalties.r2.weight": 1.0, "penalties.r1.every": 2,
                                   "penalties.separate_step": True}),
    "path-length": ("stylegan2-64", STYLEGAN2 | {"penalties.separate_step": False, "penalties.path_length.every": 2,
                                                 "extras.style_mixing": 0.5, G + "use_noise": True}),
    "style-attributes": ("stylegan2-64", STYLEGAN2 | LABELLED),
    "no-reuse": ("dcgan", DCGAN | {"training.reuse_fakes": False, "training.n_critic": 2}),
    "lsgan": ("dcgan", DCGAN | {"objective.name": "lsgan"}),
    "relativistic": ("dcgan", DCGAN | {"objective.name": "relativistic"}),
    "labels": ("dcgan", DCGAN | {"objective.real_label": [0.8, 1.0], "objective.fake_label": [0.0, 0.2],
                                 "objective.generator_label": 0.9, "objective.label_flip": 0.2}),
    "flip-uniform": ("dcgan", DCGAN | {"data.horizontal_flip": True, "latent.distribution": "uniform"}),
    "attributes": ("dcgan", DCGAN | LABELLED | {"attributes.loss": "sigmoid", "attributes.on_fakes": True,
                                                "attributes.uniform": True}),
    "merge": ("dcgan", DCGAN | {"attributes.names": ["hair"], "attributes.merge": {"hair": {
        "dark": ["black", "brown"], "warm": ["red", "orange", "pink"]}}}),
    "schedule": ("dcgan", DCGAN | {"optim.schedule.type": "cosine", "optim.schedule.images": 80,
                                   "optim.schedule.final": 0.25, "optim.schedule.wave": True}),
    "exponential": ("dcgan", DCGAN | {"optim.schedule.type": "exponential", "optim.schedule.images": 80,
                                      "optim.schedule.final": 0.1, "training.ema_halflife": 0}),
    "rmsprop": ("dcgan", DCGAN | {"optim.name": "rmsprop", "optim.momentum": 0.5}),
    "sgd": ("dcgan", DCGAN | {"optim.name": "sgd", "optim.momentum": 0.9, "optim.generator.lr": 1e-3}),
    "adamw": ("dcgan", DCGAN | {"optim.name": "adamw", "optim.weight_decay": 0.01}),
    "all": ("dcgan", DCGAN | MEMORY | LABELLED | {
        "extras.blurred_reals.ratio": 0.25, "extras.replay.fraction": 0.25, "penalties.gradient_penalty.weight": 1.0,
        "penalties.r1.weight": 0.1, "penalties.r2.weight": 0.1, "extras.instance_noise.amount": 0.1,
        "extras.pixel_loss.weight": 1.0,
        "attributes.on_fakes": True, "objective.label_flip": 0.1}),
    "projected-frozen": ("kao", PROJECTED | {D + "unfreeze_at": None, D + "patches": 4, "attributes.names": []}),
    "bf16": ("dcgan", DCGAN | {"run.precision": "bf16", "penalties.r1.weight": 1.0}),
    "bf16-r3gan": ("r3gan-64", R3GAN | {"run.precision": "bf16"}),
}  # fmt: skip
# Those that the test suite trains: together they take part of everything above.
QUICK = ("all", "own-step", "stylegan2-64", "r3gan-64", "kao", "wgan-clip", "resdcgan-cycle", "ada", "bf16")
