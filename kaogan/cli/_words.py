"""Words of other programs, and old words of this one, with what they are called here."""

from __future__ import annotations

RENAMED_OPTIONS = {"--law": "--interpolation"}

COMMANDS = {
    "generate": "'kaogan sample MODEL'",
    "gen": "'kaogan sample MODEL'",
    "draw": "'kaogan sample MODEL'",
    "fit": "'kaogan train'",
    "start": "'kaogan train'",
    "resume": "'kaogan train' with the words of the run: the same command again continues it",
    "continue": "'kaogan train' with the words of the run: the same command again continues it",
    "eval": "'kaogan evaluate RUN'",
    "test": "'kaogan evaluate RUN'",
    "metrics": "'kaogan evaluate RUN'",
    "fid": "'kaogan evaluate RUN --metrics fid'",
    "list": "'kaogan recipes list'",
    "recipe": "'kaogan recipes show NAME'",
    "config": "'kaogan recipes show NAME --resolved'",
    "gui": "'kaogan studio'",
    "ui": "'kaogan studio'",
    "web": "'kaogan studio', or 'kaogan export MODEL --to web'",
    "serve": "'kaogan studio'",
    "crop": "'kaogan prepare PICTURES SET'",
    "detect": "'kaogan faces PICTURES'",
    "tag": "'kaogan tagger PICTURES'",
    "video": "'kaogan explore walk MODEL --out walk.mp4'",
    "film": "'kaogan explore walk MODEL --out walk.mp4'",
    "edit": "'kaogan explore project MODEL PICTURE --hair blue'",
    "invert": "'kaogan explore project MODEL PICTURE'",
    "version": "'kaogan --version'",
}

_IMAGES = "kaogan counts the real images shown: use --images N"
_RATE = "the learning rate is --optim.lr X, of one network --optim.generator.lr or --optim.discriminator.lr"
_TRAIN = {
    "epochs": f"{_IMAGES} (epochs times the number of pictures)",
    "n_epochs": f"{_IMAGES} (epochs times the number of pictures)",
    "steps": f"{_IMAGES} (steps times the batch size)",
    "iterations": f"{_IMAGES} (iterations times the batch size)",
    "iters": f"{_IMAGES} (iterations times the batch size)",
    "kimg": f"{_IMAGES} (1000 times as many)",
    "lr": _RATE,
    "learning_rate": _RATE,
    "g_lr": _RATE,
    "d_lr": _RATE,
    "lr_g": _RATE,
    "lr_d": _RATE,
    "beta1": "Adam's betas are --optim.betas 0.5,0.999",
    "batch": "use --batch-size B",
    "bs": "use --batch-size B",
    "resolution": "use --image-size S",
    "res": "use --image-size S",
    "img_size": "use --image-size S",
    "dataset": "use --data PATH",
    "dataroot": "use --data PATH",
    "outdir": "use --out DIR",
    "output": "use --out DIR",
    "gpu": "use --device cuda",
    "gpus": "use --device cuda",
    "cuda": "use --device cuda",
    "amp": "use --precision fp16 or bf16",
    "fp16": "use --precision fp16",
    "cfg": "name a recipe ('kaogan recipes list'), or use --recipe FILE.yaml",
    "config": "name a recipe ('kaogan recipes list'), or use --recipe FILE.yaml",
    "z_dim": "use --latent.size N",
    "nz": "use --latent.size N",
    "latent_dim": "use --latent.size N",
    "n_critic": "use --training.n_critic N",
    "resume": "the same command again resumes the run in --out",
    "mirror": "use --data.horizontal_flip true",
    "loss": "use --objective.name NAME",
    "gamma": "use --penalties.r1.weight X",
}
_SAMPLE = {
    "n": "use --count N",
    "num": "use --count N",
    "num_samples": "use --count N",
    "images": "use --count N",
    "seeds": "use --seed K with --count N: picture i of a seed is always the same face",
    "trunc": "use --truncation T",
    "psi": "use --truncation T",
    "output": "use --out PATH",
    "outdir": "use --out PATH",
    "network": "give the model as a plain word: kaogan sample MODEL",
    "model": "give the model as a plain word: kaogan sample MODEL",
}
OPTIONS = {"train": _TRAIN, "compare": _TRAIN, "sample": _SAMPLE}
"""Command -> option (without dashes, with underscores) -> what to use instead."""


def foreign_option(command: str | None, key: str) -> str | None:
    """What to use instead of the option ``--key`` of another program; None if it is not known."""
    return OPTIONS.get(command or "", {}).get(key.replace("-", "_"))
