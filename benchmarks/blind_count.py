"""Two matching eyes, counted blind: sheets of shuffled faces for counters, and what their answers say.

``python -m benchmarks.blind_count sheets DIR MODEL[@KEEP] ... --data SET`` draws numbered sheets into DIR/sheets, where
what counters are asked lies, too, and writes which face is whose into DIR/key.json, which no counter may see. Each
counter, who may be anybody, writes a file of JSON: {"1": "A", "2": "C", ...}. ``python -m benchmarks.blind_count table
DIR ANSWERS.json ...`` prints the shares with Wilson's intervals, and how often counters agree.

Only rows of one count can be compared: counters differ, and so do latents.
"""

from __future__ import annotations

import json
import sys
from itertools import combinations
from pathlib import Path
from typing import Annotated

import numpy as np
import typer
from PIL import Image, ImageDraw

from kaogan.core.atomic_io import write_text
from kaogan.core.errors import KaoganError, UsageError
from kaogan.core.images import Pictures
from kaogan.core.rng import numpy_generator
from kaogan.data import load_pictures
from kaogan.generate.model import load
from kaogan.metrics.features import BATCH
from kaogan.metrics.stats.intervals import share

SHOWN, GAP, LABEL, COLUMNS, ROWS = 192, 10, 16, 6, 5  # px, and faces of a sheet
REAL = "real pictures"
LETTERS = {"A": "match", "B": "doubtful", "C": "broken"}
QUESTION = """\
The sheets show numbered faces, drawn ones and generated ones of very different quality, shuffled. Look at every face,
and compare its two eyes *with each other*, not with a perfect drawing. One letter for each:

- A: the two eyes match: the same colour, about the same size, shape, sharpness and height for the pose of the head.
  Also both closed or squinting alike, a wink that is meant, or one eye hidden by hair or by the turn of the head. A
  even if the whole picture is soft or roughly drawn.
- B: they do not quite match, or you doubt it: another colour or shade, one clearly softer, larger, smaller, higher or
  of another shape than the pose explains.
- C: broken: at least one eye is missing without reason, melted, smeared, doubled or no eye at all.

Write {"1": "A", "2": "C", ...} with all numbers. Keep to one standard from the first face to the last.
"""
app = typer.Typer(add_completion=False, help=__doc__, pretty_exceptions_enable=False)


@app.command()
def sheets(
    out: Annotated[Path, typer.Argument(help="A new folder.")],
    models: Annotated[list[str], typer.Argument(help="Runs, model folders or names, all latents, or the best: @KEEP.")],
    data: Annotated[Path, typer.Option(help="Real faces to mix in.")],
    count: Annotated[int, typer.Option(min=1, help="Faces of each model.")] = 100,
    real: Annotated[int, typer.Option(min=1, help="Real faces.")] = 50,
    seed: Annotated[int, typer.Option(help="Of the first model's faces, the next one's follow; and of the order.")] = 0,
) -> None:
    if out.exists():
        raise UsageError(f"{out} is there already; a count needs a new folder")
    if len(set(models)) < len(models):
        raise UsageError("a model is named twice; its rows could not be told apart")
    faces: list[Image.Image] = []
    names: list[str] = []
    sizes = set()
    for number, word in enumerate(models):  # other latents for each: nobody shall see a face twice
        path, keep = model_and_keep(word)
        model = load(path)
        sizes.add((model.image_size, model.channels))
        faces += [large(face) for face in np.asarray(model.sample(count, seed=seed + number, keep=keep))]
        names += [word] * count
    if len(sizes) > 1:
        raise UsageError("faces of different sizes, or grey among coloured ones, are told apart: count each alone")
    ((size, channels),) = sizes
    pictures = load_pictures(data, image_size=size, channels=channels)
    if len(pictures) < real:
        raise UsageError(f"{data} has {len(pictures)} pictures, not {real}; give --real")
    rows = np.sort(numpy_generator(seed, "blind_count/real").permutation(len(pictures))[:real])
    faces += [large(face) for batch in pictures.batches(BATCH, rows) for face in batch]
    names += [REAL] * len(rows)
    order = numpy_generator(seed, "blind_count/order").permutation(len(faces))
    (out / "sheets").mkdir(parents=True)
    each = COLUMNS * ROWS
    for start in range(0, len(order), each):
        part = [faces[row] for row in order[start : start + each]]
        sheet(part, start + 1).save(out / "sheets" / f"{start // each + 1:03}.png")
    write_text(out / "key.json", json.dumps([names[row] for row in order]))
    write_text(out / "sheets" / "QUESTION.md", QUESTION)
    print(f"{len(order)} faces in {out}")


@app.command()
def table(
    folder: Annotated[Path, typer.Argument(help="Of the sheets.")],
    answers: Annotated[list[Path], typer.Argument(help="One file of each counter.")],
) -> None:
    try:
        key = np.array(json.loads((folder / "key.json").read_text(encoding="utf-8")))
    except (OSError, ValueError) as error:
        raise UsageError(f"{folder} holds no count that was drawn to its end ({error})") from error
    counted = np.array([read_answers(path, len(key)) for path in answers])
    print("| | faces | " + " | ".join(LETTERS.values()) + " |")
    print("|---" * (2 + len(LETTERS)) + "|")
    for name in dict.fromkeys(sorted(key)):
        of_name = counted[:, key == name]
        cells = [", ".join(percent(one == letter) for one in of_name) for letter in LETTERS]
        print(f"| {name} | {of_name.shape[1]} | " + " | ".join(cells) + " |")
    for one, other in combinations(range(len(counted)), 2):
        same = percent((counted[one] == "A") == (counted[other] == "A"))
        print(f"\nCounters {one + 1} and {other + 1} agree whether eyes match: {same}")


def model_and_keep(word: str) -> tuple[str, float]:
    """``runs/kao@0.5`` -> ("runs/kao", 0.5); all latents, 1, where nothing is said."""
    path, at, keep = word.rpartition("@")
    if not at or Path(word).exists():
        return word, 1.0
    try:
        return path, float(keep)
    except ValueError:
        raise UsageError(f"{word}: behind @ stands the share of latents to draw from, as in {path}@0.5") from None


def read_answers(path: Path, count: int) -> np.ndarray:
    """The letters of ``count`` faces, in order. Raises UsageError unless each face has one of A, B, C."""
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise UsageError(f"{path} cannot be read as JSON ({error})") from error
    numbers = [str(number) for number in range(1, count + 1)]
    if not isinstance(found, dict) or set(found) != set(numbers):
        missing = [number for number in numbers if number not in found]
        what = f"none for {', '.join(missing[:10])}" if missing else "some for other faces"
        raise UsageError(f"{path} must have one answer for each of {count} faces, and has {what}")
    for number in numbers:
        if found[number] not in LETTERS:
            raise UsageError(f"{path}: face {number}: an answer is A, B or C, not {found[number]}")
    return np.array([found[number] for number in numbers])


def percent(right: np.ndarray) -> str:
    found = share(int(right.sum()), len(right))
    return f"{100 * found.value:.0f} % ({100 * found.low:.0f} … {100 * found.high:.0f})"


def large(face: Pictures) -> Image.Image:
    return Image.fromarray(face.squeeze()).convert("RGB").resize((SHOWN, SHOWN), Image.Resampling.LANCZOS)


def sheet(faces: list[Image.Image], first: int) -> Image.Image:
    """Up to 30 faces with their numbers above them."""
    wide, high = SHOWN + GAP, SHOWN + GAP + LABEL
    page = Image.new("RGB", (COLUMNS * wide + GAP, -(-len(faces) // COLUMNS) * high + GAP), (60, 60, 60))
    draw = ImageDraw.Draw(page)
    for number, face in enumerate(faces):
        x, y = GAP + number % COLUMNS * wide, GAP + number // COLUMNS * high
        draw.text((x, y), str(first + number), fill=(255, 255, 255))
        page.paste(face, (x, y + LABEL))
    return page


if __name__ == "__main__":
    try:
        app()
    except KaoganError as error:
        print(f"blind_count: {error}", file=sys.stderr)
        sys.exit(2 if isinstance(error, UsageError) else 1)
