"""The page of an adaptation: faces before and after, distances, copies, variety, and the nearest pictures."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from kaogan.aux_models.face_detector import load_detector
from kaogan.config.recipe import Recipe
from kaogan.core.atomic_io import write_text
from kaogan.core.html import data_uri, environment, picture_uri
from kaogan.core.images import Pictures, grid
from kaogan.core.progress import Progress
from kaogan.data import PictureSet
from kaogan.evaluation.page import side_by_side
from kaogan.evaluation.tables import Cell, cell, number
from kaogan.generate.model import Model
from kaogan.metrics.collect import measure as features_of
from kaogan.metrics.diversity import diversity
from kaogan.metrics.features import BATCH, load_extractor
from kaogan.metrics.kid import LEAST, kernel_distance, kernel_distance_to_few
from kaogan.metrics.memorization import memorization
from kaogan.metrics.stats.estimate import Estimate, TooFewSamplesError
from kaogan.metrics.stats.manifold import pair_of
from kaogan.metrics.stats.neighbors import nearest
from kaogan.training.sampler import hold_out

PAGE = "adapt.html"
TEMPLATES = Path(__file__).parent / "templates"
DRAWN, SHOWN, PAIRS = 800, 64, 24
CURVE = "kid.png"  # of the run


@dataclass(frozen=True)
class Generated:
    """What was measured of one generator; None where there are too few pictures."""

    pictures: Pictures
    kid: Estimate
    copies: Estimate | None
    variety: Estimate | None
    faces: float


@dataclass(frozen=True)
class Measured:
    """The base and the adapted model, against the same pictures."""

    base: str
    clock: int
    """Images shown to the model that was kept."""
    before: Generated
    after: Generated
    training: Pictures
    held_out: Pictures
    real_copies: Estimate | None
    """Held-out pictures that count as copies of the training's."""
    real_faces: float
    nearest: tuple[np.ndarray, np.ndarray]
    """Numbers of generated pictures, the nearest ones first, and of the training pictures that they are nearest to."""


def measure(recipe: Recipe, pictures: PictureSet, base: Model, model: Model, progress: Progress) -> Measured:
    """Draw from both, and compare in the features of ``eval.features``, which no discriminator has seen."""
    extractor, detector = load_extractor(recipe.eval.features), load_detector()
    trained, held_out = hold_out(pictures, recipe.data.held_out, recipe.run.seed)
    held_out = held_out or trained

    def features(shown: Pictures, what: str) -> np.ndarray:
        batches = (shown[at : at + BATCH] for at in range(0, len(shown), BATCH))
        return features_of(extractor, batches, len(shown), progress, what).features

    def faces(shown: Pictures) -> float:
        return float(np.mean([bool(found) for found in detector.find_many(shown[: SHOWN * 2])]))

    training, others = features(trained.images[:], "your pictures"), features(held_out.images[:], "held-out pictures")
    both = np.concatenate([training, others]) if held_out is not trained else training

    def of(generator: Model, what: str) -> tuple[Generated, np.ndarray]:
        shown = generator.sample(DRAWN, seed=recipe.run.seed, keep=1)
        found = features(shown, what)
        one = np.zeros(len(found), int), np.zeros(len(both), int)
        distance = kernel_distance if len(others) >= LEAST else kernel_distance_to_few
        copies = _or_none(lambda: memorization(found, training).copies)
        variety = _or_none(lambda: diversity(found, one[0], both, one[1])[0])
        return Generated(shown, distance(found, others), copies, variety, faces(shown)), found

    before, _ = of(base, "faces of the base")
    after, drawn = of(model, "faces of the model")
    distances, indices = nearest(*pair_of(drawn, training), 1)
    order = np.argsort(distances[:, 0], kind="stable")[:PAIRS]
    real_copies = _or_none(lambda: memorization(others, training).copies) if held_out is not trained else None
    return Measured(
        recipe.training.start_from, int(model.config["clock"]), before, after, np.asarray(trained.images),
        np.asarray(held_out.images), real_copies, faces(np.asarray(pictures.images)), (order, indices[order, 0]),
    )  # fmt: skip


def write_page(path: Path, found: Measured, notes: list[str], run: Path) -> None:
    """One self-contained file. Raises KaoganError."""
    order, partners = found.nearest
    pairs = side_by_side(found.after.pictures[order], found.training[partners], 8)
    curve = run / CURVE
    text = environment(TEMPLATES).get_template("adapt.html.j2").render(
        base=found.base,
        clock=found.clock,
        counts=(len(found.training), len(found.held_out)),
        drawn=DRAWN,
        head=["", "kernel distance to the held-out pictures ↓", "copies of your pictures", "variety", "faces found"],
        rows=[_row("before", found.before), _row("after", found.after),
              ["real pictures", Cell("0", ""), cell(found.real_copies), Cell("1", ""), _share(found.real_faces)]],
        notes=[*notes, *filter(None, [no_gain(found)])],
        given=picture_uri(grid(found.training[:SHOWN], 16)),
        before=picture_uri(grid(found.before.pictures[:SHOWN], 16)),
        after=picture_uri(grid(found.after.pictures[:SHOWN], 16)),
        pairs=picture_uri(pairs),
        curve=data_uri(curve.read_bytes(), "png") if curve.is_file() else "",
    )  # fmt: skip
    write_text(path, text)


def summary(found: Measured) -> str:
    """One line for the terminal."""
    copies = "" if found.after.copies is None else f", {found.after.copies.value:.0%} copies"
    return (
        f"kernel distance to held-out pictures {number(found.before.kid.value)} before, "
        f"{number(found.after.kid.value)} after{copies}; faces found in {found.after.faces:.0%}"
        f"{'; ' * bool(gain := no_gain(found))}{gain}"
    )


def no_gain(found: Measured) -> str:
    """What to do where the base was as near to the style; else nothing."""
    if found.after.kid.value < found.before.kid.value:
        return ""
    return f"that is no nearer than {found.base} itself: take the base, or give more pictures"


def _row(name: str, of: Generated) -> list[str | Cell | None]:
    return [name, cell(of.kid), cell(of.copies), cell(of.variety), _share(of.faces)]


def _share(value: float) -> Cell:
    return Cell(f"{value:.1%}", "")


def _or_none(compute: Callable[[], Estimate]) -> Estimate | None:
    try:
        return compute()
    except TooFewSamplesError:
        return None
