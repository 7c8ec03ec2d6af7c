"""``python -m benchmarks.adapt OUT [--images N] [--styles NAME ...]``: adapt against its base and against training from
nothing in as many images, on five styles of 50 pictures each, as a Markdown table.

Three styles need the sets in KAOGAN_SETS and are left out, with a word, where these are absent; the avatars and the
photograph-like faces are drawn. Distances are to pictures of the style that no training saw, in the features of
EfficientNet-Lite0, which no training looks through. The same command again goes on: ``OUT/STYLE/measured.json`` holds
what is done.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from io import BytesIO
from pathlib import Path
from typing import Annotated, Any
from zipfile import ZipFile

import numpy as np
import typer
from PIL import Image, ImageDraw, ImageFilter

from benchmarks import SET_FOLDER
from kaogan.adaptation.recipe import adapted_recipe
from kaogan.aux_models.face_detector import load_detector
from kaogan.config import recipes
from kaogan.config.recipe import Recipe
from kaogan.core.images import Pictures, grid
from kaogan.core.rng import numpy_generator
from kaogan.data import load_pictures
from kaogan.data.avatars import draw
from kaogan.generate.model import load
from kaogan.metrics.diversity import diversity
from kaogan.metrics.features import BATCH, load_extractor
from kaogan.metrics.kid import kernel_distance
from kaogan.metrics.memorization import memorization
from kaogan.metrics.reference import Reference
from kaogan.training.train import train

ARCHIVES = {
    "konachan96": "konachan96_tagged7k",
    "makegirls64": "makegirls64_tagged8k",
    "selfie2anime": "selfie2anime256_1500",
}
GIVEN, UNSEEN, DRAWN, SIDE = 50, 300, 300, 64


def archive(name: str) -> Callable[[int], Iterator[Image.Image]]:
    def pictures(count: int) -> Iterator[Image.Image]:
        with ZipFile(SET_FOLDER / f"{ARCHIVES[name]}.zip") as opened:
            names = sorted(each for each in opened.namelist() if each.endswith(".jpg"))
            for number in numpy_generator(0, f"benchmarks/adapt/{name}").permutation(len(names))[:count]:
                yield Image.open(BytesIO(opened.read(names[number]))).convert("RGB")

    return pictures


def avatars(count: int) -> Iterator[Image.Image]:
    for number in range(count):
        yield Image.fromarray(draw(number, SIDE, seed=19))


def photographs(count: int) -> Iterator[Image.Image]:
    """Faces that are shaded like photographs: a lit ellipsoid of skin with eyes, brows, nose and lips under hair, out
    of focus behind, with a sensor's grain."""
    for number in range(count):
        yield photograph(numpy_generator(number, "benchmarks/adapt/photographs"))


def photograph(random: np.random.Generator, side: int = 256) -> Image.Image:
    u = random.uniform
    yy, xx = np.mgrid[0:side, 0:side] / side
    ground, other = u(30, 200, 3), u(30, 200, 3)
    turn = u(0, 2 * np.pi)
    ramp = ((xx - 0.5) * np.cos(turn) + (yy - 0.5) * np.sin(turn) + 0.7)[..., None] / 1.4
    picture = Image.fromarray(np.uint8(np.clip(ground * ramp + other * (1 - ramp), 0, 255)))
    pen = ImageDraw.Draw(picture)
    skin = np.array([u(165, 240), 0, 0])
    skin[1:] = skin[0] * u(0.68, 0.8), skin[0] * u(0.5, 0.66)
    hair = tuple(int(v) for v in np.array([1, u(0.6, 0.85), u(0.3, 0.6)]) * u(25, 190))
    x, y, wide, high = u(0.46, 0.54), u(0.52, 0.57), u(0.24, 0.28), u(0.33, 0.38)

    def box(cx: float, cy: float, w: float, h: float) -> tuple[float, ...]:
        return tuple(side * v for v in (cx - w, cy - h, cx + w, cy + h))

    pen.ellipse(box(x, y - 0.08, wide + u(0.05, 0.1), high + u(0.03, 0.08)), hair)
    if u(0, 1) < 0.6:
        pen.rectangle(box(x, y + 0.2, wide + u(0.04, 0.08), 0.32), hair)
    neck = tuple(int(v) for v in skin * 0.75)
    pen.rectangle(box(x, y + 0.42, 0.11, 0.2), neck)
    pen.ellipse(box(x, 1.08, 0.42, 0.16), tuple(int(v) for v in u(20, 220, 3)))
    picture = picture.filter(ImageFilter.GaussianBlur(3))
    pixels = np.array(picture, float)
    dx, dy = (xx - x) / wide, (yy - y) / high
    inside = np.clip((1 - dx**2 - dy**2) * 12, 0, 1)[..., None]
    normal = np.sqrt(np.clip(1 - dx**2 - dy**2, 0, 1))
    light = u(-0.6, 0.6), -u(0.1, 0.6), u(0.6, 0.9)
    shade = np.clip(0.45 + 0.6 * (dx * light[0] + dy * light[1] + normal * light[2]), 0.2, 1.15)
    pixels = pixels * (1 - inside) + inside * shade[..., None] * skin
    picture = Image.fromarray(np.uint8(np.clip(pixels, 0, 255)))
    pen = ImageDraw.Draw(picture)
    iris = tuple(int(v) for v in (u(30, 110), u(50, 120), u(40, 150)))
    apart, level, open_ = u(0.118, 0.13), y - u(0.0, 0.03), u(0.044, 0.056)
    for cx in (x - apart, x + apart):
        pen.ellipse(box(cx, level, 0.076, open_), (235, 230, 226), tuple(int(v) for v in skin * 0.4))
        pen.ellipse(box(cx, level, 0.042, 0.044), iris)
        pen.ellipse(box(cx, level, 0.018, 0.02), (12, 10, 10))
        pen.ellipse(box(cx + 0.014, level - 0.014, 0.009, 0.009), (250, 250, 250))
        pen.line([side * (cx - 0.06), side * (level - 0.085), side * cx, side * (level - u(0.098, 0.113)),
                  side * (cx + 0.06), side * (level - 0.088)], hair, 5, "curve")  # fmt: skip
    shadow = tuple(int(v) for v in skin * 0.62)
    pen.line([side * (x + 0.012), side * (level + 0.05), side * (x + 0.03), side * (y + 0.115),
              side * (x - 0.025), side * (y + 0.12)], shadow, 4, "curve")  # fmt: skip
    lips = tuple(int(v) for v in (skin[0] * 0.8, skin[1] * u(0.5, 0.65), skin[2] * 0.65))
    pen.ellipse(box(x, y + 0.205, u(0.06, 0.085), u(0.016, 0.03)), lips)
    pen.line([side * (x - 0.07), side * (y + 0.205), side * (x + 0.07), side * (y + 0.205)], shadow, 2)
    if u(0, 1) < 0.7:  # a fringe
        pen.pieslice(box(x, y - high + 0.09, wide + 0.02, 0.15), 180, 360, hair)
    pixels = np.array(picture.filter(ImageFilter.GaussianBlur(u(1.0, 1.8))), float)
    return Image.fromarray(np.uint8(np.clip(pixels + random.normal(0, u(2, 6), pixels.shape), 0, 255)))


STYLES: dict[str, Callable[[int], Iterator[Image.Image]]] = {
    **{name: archive(name) for name in ARCHIVES}, "avatars": avatars, "photographs": photographs,
}  # fmt: skip


def write_style(folder: Path, name: str) -> bool:
    """``given/`` with 50 pictures to adapt to and ``unseen/`` with 400 to measure against; False where it has none."""
    if name in ARCHIVES and not (SET_FOLDER / f"{ARCHIVES[name]}.zip").is_file():
        print(f"{name}: {ARCHIVES[name]}.zip is absent from {SET_FOLDER}, left out")
        return False
    if (folder / "unseen" / f"{GIVEN + UNSEEN - 1:05d}.png").exists():
        return True
    for number, picture in enumerate(STYLES[name](GIVEN + UNSEEN)):
        part = folder / ("given" if number < GIVEN else "unseen")
        part.mkdir(parents=True, exist_ok=True)
        picture.resize((SIDE, SIDE), Image.Resampling.LANCZOS).save(part / f"{number:05d}.png")
    return True


class Measure:
    """Distances, copies, variety and faces of generated pictures, for one style."""

    def __init__(self, folder: Path) -> None:
        self.extractor, self.detector = load_extractor("efficientnet"), load_detector()
        given, unseen = (load_pictures(folder / part, image_size=SIDE) for part in ("given", "unseen"))
        self.given, self.unseen = (Reference(each).measured(self.extractor).features for each in (given, unseen))
        self.unseen_pictures = np.array(unseen.images)

    def features(self, pictures: Pictures) -> np.ndarray:
        return np.concatenate([self.extractor(pictures[at : at + BATCH]) for at in range(0, len(pictures), BATCH)])

    def faces(self, pictures: Pictures) -> float:
        return float(np.mean([bool(found) for found in self.detector.find_many(pictures[:200])]))

    def of(self, model: Path | str) -> dict[str, float]:
        pictures = load(model, "cpu").sample(DRAWN, seed=1)
        return self.numbers(pictures, self.features(pictures))

    def real(self) -> dict[str, float]:
        return {"copies": memorization(self.unseen, self.given).copies.value, "faces": self.faces(self.unseen_pictures)}

    def numbers(self, pictures: Pictures, features: np.ndarray) -> dict[str, float]:
        distance = kernel_distance(features, self.unseen)
        none = np.zeros(len(features), int), np.zeros(len(self.unseen), int)
        return {
            "kid": distance.value, "low": distance.low, "high": distance.high,
            "copies": memorization(features, self.given).copies.value,
            "variety": diversity(features, none[0], self.unseen, none[1])[0].value,
            "faces": self.faces(pictures),
        }  # fmt: skip


def from_nothing(recipe: Recipe) -> Recipe:
    """The same without the base: kao's learning rates and average."""
    kao = recipes.load("kao")
    tree = recipes.resolve(recipe.to_dict(), {"training.start_from": "", "training.ema_rampup": 0.05}).to_dict()
    return recipes.resolve(tree | {"optim": kao.optim.model_dump(mode="json")}, {})


def measured(folder: Path, name: str, base: str, images: int) -> dict[str, Any]:
    """Train what is not trained yet, measure what is not measured yet."""
    path = folder / "measured.json"
    found: dict[str, Any] = json.loads(path.read_text()) if path.is_file() else {"style": name}
    recipe = adapted_recipe(base, GIVEN, {"training.images": images, "eval.every": min(2_000, images // 2)})
    measure = Measure(folder)

    def note(what: str, numbers: Callable[[], dict[str, Any]]) -> None:
        if what not in found:
            found[what] = numbers()
            path.write_text(json.dumps(found, indent=1))
            print(name, what, found[what], flush=True)

    def trained(kind: str, each: Recipe) -> dict[str, Any]:
        run = folder / kind.replace(" ", "-")
        if not train(each, load_pictures(folder / "given", image_size=SIDE), run).finished:
            raise typer.Exit(130)
        model = run / "best" if (run / "best").is_dir() else run / "model"
        Image.fromarray(grid(load(model, "cpu").sample(64, seed=0), 16)).save(folder / f"{kind}.png")
        return measure.of(model) | {"clock": json.loads((model / "config.json").read_text())["clock"]}

    note("real", measure.real)
    note("base", lambda: measure.of(base))
    note("adapted", lambda: trained("adapted", recipe))
    note("from nothing", lambda: trained("from nothing", from_nothing(recipe)))
    return found


def main(
    out: Annotated[Path, typer.Argument(help="A folder for the runs.")],
    base: str = "kao",
    images: int = 40_000,
    styles: Annotated[list[str] | None, typer.Option()] = None,
) -> None:
    lines = [measured(out / name, name, base, images) for name in styles or STYLES if write_style(out / name, name)]
    print(table(lines))


def table(lines: list[dict[str, Any]]) -> str:
    rows = ["| style | KID of the base | from nothing | adapted | at images | copies (real) | variety | faces (real) |",
            "|---|---|---|---|---|---|---|---|"]  # fmt: skip
    for line in lines:
        a, real = line["adapted"], line["real"]
        rows.append(
            f"| {line['style']} | {line['base']['kid']:.2f} | {line['from nothing']['kid']:.2f} | **{a['kid']:.2f}** "
            f"({a['low']:.2f} … {a['high']:.2f}) | {a['clock']:,} | {a['copies']:.1%} ({real['copies']:.1%}) | "
            f"{a['variety']:.2f} | {a['faces']:.1%} ({real['faces']:.1%}) |"
        )
    return "\n".join(rows)


if __name__ == "__main__":
    typer.run(main)
