"""How does kaogan take a set of a million pictures: time and memory until the first step, speed of the loader?

python -m benchmarks.millions FOLDER [--pictures 1000000] [--form shards|folder]

Makes the set in FOLDER if it is not there: avatars of 64 px, each many times under names of its own (shards are copies
of one file under another index; a folder is made of hard links). Every figure comes from a process of its own.
"""

from __future__ import annotations

import io
import json
import os
import resource
import shutil
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer
from PIL import Image

SIZE, DIFFERENT, IN_FOLDER = 64, 2_000, 1_000  # px, pictures that differ (and of a shard), files in a sub-folder
LIMIT_SECONDS, LIMIT_GB, LIMIT_RATIO = 5.0, 1.5, 3.0


def main(
    folder: Annotated[Path, typer.Argument(help="Where the set is or is made; a gigabyte for 200,000 pictures.")],
    pictures: Annotated[int, typer.Option(help="Of the set.")] = 1_000_000,
    form: Annotated[str, typer.Option(help="shards or folder.")] = "shards",
    steps: Annotated[int, typer.Option(help="That are timed; 0: the first one only.")] = 20,
    part: Annotated[str, typer.Option(hidden=True)] = "",
) -> None:
    if part:
        print(json.dumps({"start": started, "speed": speed}[part](folder, form, steps)))
        return
    if not folder.exists():
        began = time.monotonic()
        {"shards": make_shards, "folder": make_folder}[form](folder, pictures)
        print(f"made in {time.monotonic() - began:.0f} s", file=sys.stderr)
    print("| | measured | wanted |\n|---|---|---|")
    found = measured(folder, form, steps, "start")
    if form == "folder":  # the first start fills the cache
        print(f"| first start, which decodes everything, s | {found['seconds']:.1f} | |")
        found = measured(folder, form, steps, "start")
    print(f"| from the imports to the end of the first step, s | {found['seconds']:.1f} | {LIMIT_SECONDS:g} |")
    print(f"| of which this process computed (another load of the machine is not in it), s | {found['busy']:.1f} | |")
    print(f"| of which the set is opened, s | {found['opened']:.1f} | |")
    print(f"| most memory, GB | {found['gigabytes']:.2f} | {LIMIT_GB:g} |")
    if not steps:
        return
    found = measured(folder, form, steps, "speed")
    print(f"| pictures loaded a second | {found['loader']:,.0f} | |")
    print(f"| dcgan-64 trains on, a second | {found['step']:,.0f} | |")
    print(f"| loader / step | {found['loader'] / found['step']:.1f} | {LIMIT_RATIO:g} |")


def measured(folder: Path, form: str, steps: int, part: str) -> dict[str, float]:
    call = [sys.executable, "-m", "benchmarks.millions", str(folder), "--form", form, "--steps", str(steps)]
    done = subprocess.run([*call, "--part", part], stdout=subprocess.PIPE, text=True, check=True)
    return dict(json.loads(done.stdout.splitlines()[-1]))


def recipe() -> Any:
    from kaogan.api import load_recipe

    overrides = {"attributes.names": ["auto"], "data.workers": max(1, len(os.sched_getaffinity(0)))}
    return load_recipe("dcgan", overrides)


def started(folder: Path, form: str, steps: int) -> dict[str, float]:
    """Time and memory until the first step is done."""
    import kaogan.api  # noqa: F401 - all that a training imports

    chosen = recipe()
    began, busy = time.monotonic(), time.process_time()
    pictures, trainer = prepared(chosen, folder)
    opened = time.monotonic() - began
    trainer.step()
    seconds, busy = time.monotonic() - began, time.process_time() - busy
    assert len(pictures) and form
    return {"seconds": seconds, "busy": busy, "opened": opened, "gigabytes": peak_gigabytes()}


def prepared(chosen: Any, folder: Path) -> tuple[Any, Any]:
    import torch

    from kaogan.api import load_data
    from kaogan.training.sampler import InfiniteSampler
    from kaogan.training.state import build_train_state
    from kaogan.training.step import GANTrainer

    device = torch.device("cpu")
    pictures = load_data(chosen, folder)
    state = build_train_state(chosen, pictures.schema, device, "fp32")
    sampler = InfiniteSampler(pictures, chosen.training.batch_size, 0)
    return pictures, GANTrainer(chosen, pictures.schema, state, sampler, device, "fp32")


def speed(folder: Path, form: str, steps: int) -> dict[str, float]:
    """Pictures a second of the loader alone, and of training on pictures that are in memory already."""
    from kaogan.training.sampler import InfiniteSampler

    chosen = recipe()
    pictures, trainer = prepared(chosen, folder)
    size = chosen.training.batch_size
    sampler = InfiniteSampler(pictures, size, 0)
    sampler.at(0)
    ready = time.monotonic()
    count = 20 * steps
    for number in range(1, count + 1):
        sampler.at(number * size)
    loader = count * size / (time.monotonic() - ready)
    few = replace(pictures, images=np.array(pictures.images[: 4 * size]), labels=pictures.labels[: 4 * size])
    trainer.sampler = trainer.loss.sampler = InfiniteSampler(few, size, 0)
    trainer.step()
    ready = time.monotonic()
    for _ in range(steps):
        trainer.step()
    return {"loader": loader, "step": steps * size / (time.monotonic() - ready)}


def peak_gigabytes() -> float:
    """The most that this process held, and what those that it started hold now."""
    import psutil

    own = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    return (own + sum(child.memory_info().rss for child in psutil.Process().children(recursive=True))) / 1e9


def avatars() -> list[tuple[bytes, dict[str, str]]]:
    from kaogan.data import avatars as drawn

    found = []
    for index, picture in drawn.draw_each(DIFFERENT, SIZE, 0):
        buffer = io.BytesIO()
        Image.fromarray(picture).save(buffer, "JPEG", quality=90)
        hair, eyes = drawn.labels_of(index, 0)
        found.append((buffer.getvalue(), {"hair": drawn.HAIR_NAMES[hair], "eyes": drawn.EYE_NAMES[eyes]}))
    return found


def make_shards(folder: Path, pictures: int) -> None:
    from kaogan.data.shards.index import SHARD, IndexBuilder, Shard, read_index
    from kaogan.data.shards.writer import write_shards

    folder.mkdir(parents=True)
    drawn = avatars()
    samples = ((f"{at}.jpg", ".jpg", data, labels, None) for at, (data, labels) in enumerate(drawn))
    names = write_shards(folder, samples, ["hair", "eyes"], DIFFERENT)
    one = read_index((folder / names[-1]).read_bytes(), (folder / names[-2]).read_bytes(), str(folder))
    places = list(zip(one.offset.tolist(), one.size.tolist(), one.checksum.tolist(), strict=True))
    builder = IndexBuilder(["hair", "eyes"])
    for number in range(-(-pictures // DIFFERENT)):
        name = SHARD.format(number)
        if number:
            shutil.copyfile(folder / SHARD.format(0), folder / name)
        count = min(DIFFERENT, pictures - number * DIFFERENT)
        for at in range(count):
            builder.add(f"{number:04}/{at:08}.jpg", *places[at], drawn[at][1])
        builder.shards.append(Shard(name, count, one.shards[0].size))
    builder.write(folder, "benchmarks.millions")


def make_folder(folder: Path, pictures: int) -> None:
    drawn = avatars()
    first = folder / "images" / "0000"
    with open_labels(folder) as table:
        table.write("file,hair,eyes\n")
        for at in range(pictures):
            place = folder / "images" / f"{at // IN_FOLDER:04}"
            if at % IN_FOLDER == 0:
                place.mkdir(parents=True)
            path = place / f"{at:08}.jpg"
            data, labels = drawn[at % IN_FOLDER]
            if at < IN_FOLDER:
                path.write_bytes(data)
            else:
                os.link(first / f"{at % IN_FOLDER:08}.jpg", path)
            table.write(f"{place.name}/{path.name},{labels['hair']},{labels['eyes']}\n")


def open_labels(folder: Path) -> Any:
    folder.mkdir(parents=True)
    return (folder / "labels.csv").open("w", encoding="utf-8")


if __name__ == "__main__":
    typer.run(main)
