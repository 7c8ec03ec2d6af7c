"""Make docs/gallery again: models, pictures and facts of every run in docs/gallery/runs.yaml.

python -m tools.make_gallery --train --sets DIR   run the trainings one after another (they resume), then the pages
python -m tools.make_gallery                      only the pages: from the runs there are, else from the models
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Annotated

import numpy as np
import typer
import yaml
from PIL import Image

import kaogan
from kaogan.config import recipes
from kaogan.core.atomic_io import atomic, write_text
from kaogan.core.images import grid
from kaogan.generate.grids import attribute_map, attribute_strip
from tools import write_cards

ROOT = Path(__file__).resolve().parent.parent
GALLERY = ROOT / "docs" / "gallery"
MODELS = GALLERY / "models"
PACKAGED = ROOT / "kaogan" / "models"  # in the wheel
SETTINGS = yaml.safe_load((GALLERY / "runs.yaml").read_text())
COLUMNS, ROWS = 14, 6


def main(
    train: Annotated[bool, typer.Option("--train", help="Run the trainings first.")] = False,
    runs: Annotated[Path, typer.Option(help="Where the runs are.")] = ROOT / "runs" / "gallery",
    sets: Annotated[Path, typer.Option(help="Where the sets of pictures are.")] = Path(),
) -> None:
    entries, missing = [], []
    for name, command in SETTINGS["runs"].items():
        words = [SETTINGS["data"].get(word, word) for word in command.split()]
        if train:
            full = [str(sets.resolve() / word) if word in SETTINGS["data"].values() else word for word in words]
            subprocess.run([sys.executable, "-m", "kaogan", *full, "--out", str(runs / name)], cwd=ROOT, check=True)
        if (runs / name / "model" / "config.json").exists():
            keep(runs / name, folder_of(name))
        if not (folder_of(name) / "config.json").exists():
            print(f"{name}: no model in {runs / name}, left out")
            missing.append(f"`{name}`")
            continue
        entries.append(entry(name, " ".join(words)))
        print(f"{name}: done")
    if not entries:
        sys.exit(f"no run in {runs}: nothing to show; run the trainings with --train")
    write_cards.main()
    left_out = f"\nNot trained here yet: {', '.join(missing)}.\n" if missing else ""
    write_text(GALLERY / "README.md", INTRODUCTION + left_out + "\n" + "\n".join(entries))


INTRODUCTION = """# Gallery

kaogan's own recipe, kao, and the 64-pixel recipes of the five source systems, trained by one command each on a CPU with
two cores: the first latents of seed 0, nothing picked by hand, weights averaged along the training (EMA). The models
are here, in half precision; kao comes with kaogan itself (`kaogan sample kao`):
`kaogan sample docs/gallery/models/kao-attributes --hair pink --eyes aqua` works in a fresh clone. The commands are in
`runs.yaml`; `python -m tools.make_gallery --train` runs them and `make gallery` makes this page. The minutes were
measured on a machine that was busy with other work at the time. These are short trainings: a published one shows 3 to
6 million pictures.
"""


def folder_of(name: str) -> Path:
    return PACKAGED / name if (PACKAGED / name).is_dir() else MODELS / name


def keep(run: Path, folder: Path) -> None:
    """The model of a run, small enough for the repository."""
    model = kaogan.load(run, "cpu")
    model.config["machine"] += f"; {threads(run)}"
    model.save(folder, preview=model.sample(16, keep=1.0), half=True)


def entry(name: str, command: str) -> str:
    """Write the pictures of one model and return its section."""
    model = kaogan.load(folder_of(name), "cpu")
    pictures = model.sample(COLUMNS * ROWS, keep=1.0)
    save(grid(pictures, COLUMNS), f"{name}.webp")
    lines = [
        f"## {name}",
        "",
        sentence(recipes.load(command.split()[1]).summary),
        "",
        f"![{name}]({name}.webp)",
    ]
    if model.attributes:
        several = len(model.attributes.attributes) > 1
        only = model.attributes.attributes[0].name
        save(attribute_map(model) if several else attribute_strip(model, only), f"{name}-attributes.webp")
        lines += ["", f"One latent along the attributes:\n\n![{name}, attributes]({name}-attributes.webp)"]
    facts = f"{model.config['clock']:,} images shown, {model.config['minutes']:.0f} minutes, {model.config['machine']}"
    lines += ["", f"`kaogan {command}`", "", f"{facts}. Generator {size(model)}.", ""]
    return "\n".join(lines)


def threads(run: Path) -> str:
    """How many threads the sessions had, from the log."""
    log = (run / "log.txt").read_text(encoding="utf-8")
    found = sorted({part.split(" threads")[0].rsplit(" ", 1)[-1] for part in log.splitlines() if " threads, " in part})
    return f"{' and '.join(found)} thread{'s' if found != ['1'] else ''}"


def sentence(text: str) -> str:
    return f"{text[0].upper()}{text[1:]}."


def size(model: kaogan.Model) -> str:
    count = sum(p.numel() for p in model.generator.parameters())
    return f"{count / 1e6:.1f} M parameters" if count >= 1e6 else f"{count / 1e3:.0f} k parameters"


def save(picture: np.ndarray, name: str) -> None:
    with atomic(GALLERY / name) as temporary:
        Image.fromarray(picture).save(temporary, quality=88, method=6)


if __name__ == "__main__":
    typer.run(main)
