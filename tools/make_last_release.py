"""Fixtures of the last release: a tiny run and model folder of every family, for tests/test_last_release.py.

    python tools/make_last_release.py

Run it on a release, before names or formats change; tests/golden/last_release/ then holds pictures.zip (the data),
runs.zip (run folders FAMILY/, each with its model folder) and expected.json (digests of what they draw).
The recipes next to them, written by hand, use every key that was renamed since; expected.json has what they train.
"""

from __future__ import annotations

import io
import json
import os
import sys
import tempfile
import zipfile
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

import numpy as np  # noqa: E402
from PIL import Image  # noqa: E402

from tools import record_golden as golden  # noqa: E402

FOLDER = golden.GOLDEN / "last_release"
KEPT = ("recipe.yaml", "data.json", "log.txt", "stats.jsonl", "checkpoints/", "model/")
COMMON: dict[str, Any] = {
    "image_size": 16,
    "latent": {"size": 8, "law": "uniform"},
    "training.images": 16,
    "training.batch_size": 8,
    "run.precision": "fp32",
    "run.device": "cpu",
    "run.stats_every": 8,
    "run.grid_every": 100_000,
    "run.checkpoint_every": 100_000,
    "run.keep_last": 1,
    "run.grid_pictures": 4,
    "attributes.names": ["hair"],
    "optim.schedule.law": "linear",
    "data.flip": True,
}
STYLEGAN2_D = {"family": "stylegan2", "channel_base": 64, "channel_max": 4}
DCGAN = {"family": "dcgan", "width": 4, "max_width": 8}
KERNEL5 = {"family": "kernel5", "width": 4, "max_width": 4}
R3GAN = {"family": "r3gan", "channel_base": 32, "channel_max": 4, "blocks": 1}
FAMILIES: dict[str, dict[str, Any]] = {
    "dcgan": {"generator": DCGAN, "discriminator": DCGAN},
    "residual": {
        "generator": {"family": "residual", "width": 4, "blocks": 1, "start": 4},
        "discriminator": {"family": "residual", "width": 4, "blocks": 1},
    },
    "kernel5": {"generator": KERNEL5, "discriminator": KERNEL5, "optim.name": "rmsprop"},
    "shuffle256": {
        "image_size": 32,
        "generator": {"family": "shuffle256", "width": 64},
        "discriminator": {"family": "shuffle256", "width": 4},
        "optim.name": "sgd",
    },
    "stylegan2": {
        "generator": {"family": "stylegan2", "w_dim": 8, "num_layers": 2, "channel_base": 64, "channel_max": 4},
        "discriminator": STYLEGAN2_D,
        "penalties.own_step": True,
        "penalties.path_length.weight": 2.0,
        "extras.style_mixing": 0.9,
    },
    "stylegan3": {
        "generator": {"family": "stylegan3", "w_dim": 8, "num_layers": 4, "channel_base": 64, "channel_max": 4},
        "discriminator": STYLEGAN2_D,
        "extras.fade.sigma": 1.0,
    },
    "r3gan": {
        "generator": R3GAN,
        "discriminator": R3GAN,
        "optim.name": "sgd",
        "objective.name": "relativistic",
        "penalties.r1.weight": 1.0,
    },
    "projected": {
        "generator": DCGAN,
        "discriminator": {"family": "projected", "width": 4, "max_width": 4, "thaw": None},
        "optim.name": "sgd",
        "extras.memory": {"fraction": 0.5, "start": 0, "lead": 0, "every": 8, "capacity": 4},
    },
}


def draw_pictures(path: Path, count: int = 24, size: int = 32) -> None:
    """A zip of discs on noise with labels.csv: data that no library's version changes."""
    random = np.random.default_rng(7)
    labels = ["file,hair"]
    y, x = np.mgrid[:size, :size]
    with zipfile.ZipFile(path, "w") as opened:
        for number in range(count):
            pixels = np.empty((size, size, 3), np.uint8)
            pixels[:] = random.integers(0, 256, 3)
            cx, cy, radius = random.integers(size // 4, 3 * size // 4, 3)
            pixels[(x - cx) ** 2 + (y - cy) ** 2 < (radius / 2) ** 2] = random.integers(0, 256, 3)
            stream = io.BytesIO()
            Image.fromarray(pixels).save(stream, "PNG")
            opened.writestr(f"{number:02d}.png", stream.getvalue())
            labels.append(f"{number:02d}.png,{('pink', 'blue', 'red')[number % 3]}")
        opened.writestr("labels.csv", "\n".join(labels) + "\n")


def main() -> None:
    import kaogan

    FOLDER.mkdir(parents=True, exist_ok=True)
    draw_pictures(FOLDER / "pictures.zip")
    expected: dict[str, dict[str, str]] = {"models": {}, "resumed": {}, "recipes": {}}
    with (
        tempfile.TemporaryDirectory() as scratch,
        zipfile.ZipFile(FOLDER / "runs.zip", "w", zipfile.ZIP_DEFLATED, compresslevel=9) as file,
    ):
        os.environ["KAOGAN_CACHE"] = f"{scratch}/cache"
        golden.torch.set_num_threads(1)
        for family, settings in FAMILIES.items():
            run = Path(scratch) / family
            everything = COMMON | settings
            networks = {side: everything.pop(side) for side in ("generator", "discriminator")}
            model = kaogan.train({"name": family, **networks}, FOLDER / "pictures.zip", run, **everything)
            for path in sorted(run.rglob("*")):
                name = path.relative_to(run).as_posix()
                if path.is_file() and name.startswith(KEPT) and not name.endswith(".png"):
                    file.write(path, f"{family}/{name}")
            expected["models"][family] = golden.array_digest(model.sample(2, seed=3))
            kaogan.train(run / "recipe.yaml", FOLDER / "pictures.zip", run, images=24)
            expected["resumed"][family] = golden.checkpoint_digest(run)
            print(family, sum(p.stat().st_size for p in run.glob("checkpoints/*")))
        for recipe in sorted(FOLDER.glob("*.yaml")):
            kaogan.train(recipe, FOLDER / "pictures.zip", Path(scratch) / recipe.stem)
            expected["recipes"][recipe.stem] = golden.checkpoint_digest(Path(scratch) / recipe.stem)
    text = json.dumps({"machine": golden.machine(), **expected}, indent=1)
    (FOLDER / "expected.json").write_text(text + "\n", encoding="utf-8")
    print("runs.zip", (FOLDER / "runs.zip").stat().st_size)


if __name__ == "__main__":
    main()
