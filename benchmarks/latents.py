"""How well faces are found in a model, and how well their hair is changed: python -m benchmarks.latents MODEL SET.

``--count`` pictures of the set, chosen by a seed, are projected and judged by the tagger: does the found face have the
picture's hair and eyes? Then the hair of each is changed to another colour, drawn by the seed: has the tagger's opinion
of the hair changed, to what was asked, and has that of the eyes stayed? Several pictures are searched for at once, each
from its nearest candidate, with the loss of ``kaogan project --starts 1``.
"""

from __future__ import annotations

import argparse
import math
from pathlib import Path

import numpy as np
import torch

from kaogan.aux_models.tagger import Tagger, load_tagger
from kaogan.core.images import grid, to_float
from kaogan.core.picture_files import write_picture
from kaogan.data import load_pictures
from kaogan.generate.explore import LatentPoint, edit, points, render, with_attributes
from kaogan.generate.explore.optim_variables import LatentVariables
from kaogan.generate.explore.projection import LEARNING_RATE, PIXEL_WEIGHT, PRIOR_WEIGHT
from kaogan.generate.explore.tagger_features import TaggerFeatures, extract
from kaogan.generate.model import Model, load


def nearest_candidates(model: Model, tagger: Tagger, targets: np.ndarray, count: int) -> list[LatentPoint]:
    """For each target the nearest of ``count`` faces; of a conditional model the target's tags are the code."""
    chosen = []
    tags = tagger.predict(targets).probabilities
    drawn = points(model, 0, count)
    shared = None if model.attributes else render(model, drawn)
    with torch.no_grad():
        for row, target in enumerate(targets):
            codes = {
                name: dict(zip(tagger.values[name], tags[name][row].tolist(), strict=True))
                for name in model.attributes.names
                if name in tagger.values
            }
            own = points(model, 0, count, 0, **codes) if model.attributes else drawn
            images = to_float(render(model, own) if shared is None else shared)
            losses = distances(
                extract(tagger, images), images, extract(tagger, to_float(target[None])), to_float(target[None])
            )
            chosen.append(own[int(losses.argmin())])
    return chosen


def distances(sight: TaggerFeatures, images: torch.Tensor, goal: TaggerFeatures, wanted: torch.Tensor) -> torch.Tensor:
    return sight.distance(goal) + PIXEL_WEIGHT * (images - wanted).square().mean((1, 2, 3))


def project_all(model: Model, tagger: Tagger, targets: np.ndarray, steps: int, candidates: int) -> list[LatentPoint]:
    wanted = to_float(targets)
    with torch.no_grad():
        goal = extract(tagger, wanted)
    variables = LatentVariables(model, nearest_candidates(model, tagger, targets, candidates))
    optimiser = torch.optim.Adam(variables.parameters, LEARNING_RATE, betas=(0.9, 0.99))
    for step in range(steps):
        optimiser.param_groups[0]["lr"] = LEARNING_RATE * (0.5 + 0.5 * math.cos(math.pi * step / steps))
        images = variables.images()
        loss = distances(extract(tagger, images), images, goal, wanted) + PRIOR_WEIGHT * variables.prior_penalty()
        for variable, slope in zip(
            variables.parameters, torch.autograd.grad(loss.sum(), variables.parameters), strict=True
        ):
            variable.grad = slope
        optimiser.step()
    return variables.points()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("model")
    parser.add_argument("data", type=Path)
    parser.add_argument("--count", type=int, default=50)
    parser.add_argument("--steps", type=int, default=60)
    parser.add_argument("--candidates", type=int, default=128)
    parser.add_argument("--batch", type=int, default=10)
    parser.add_argument("--sheet", type=Path, help="picture, found, changed; of real pictures: not for publishing")
    args = parser.parse_args()
    model, tagger = load(args.model), load_tagger()
    real = load_pictures(args.data, image_size=model.image_size, channels=3)
    rng = np.random.default_rng(7)
    targets = np.asarray(real.images[np.sort(rng.choice(len(real), args.count, replace=False))])
    hair = tagger.values["hair"]
    found: list[LatentPoint] = []
    changed: list[LatentPoint] = []
    coded: list[LatentPoint] = []
    wanted: list[str] = []
    for start in range(0, len(targets), args.batch):
        some = project_all(model, tagger, targets[start : start + args.batch], args.steps, args.candidates)
        seen = tagger.predict(render(model, some)).best("hair")[0]
        goals = [hair[(int(now) + int(rng.integers(1, len(hair)))) % len(hair)] for now in seen]
        found += some
        wanted += goals
        changed += [edit(model, p, {"hair": goal}, tagger=tagger) for p, goal in zip(some, goals, strict=True)]
        if model.attributes:
            coded += [with_attributes(model, p, hair=goal) for p, goal in zip(some, goals, strict=True)]
        report(model, tagger, targets[: len(found)], found, {"edit": changed, "condition alone": coded}, wanted)
    faces = [f for row in zip(targets, render(model, found), render(model, changed), strict=True) for f in row]
    if args.sheet:
        write_picture(grid(np.stack(faces), 15), args.sheet)


def report(
    model: Model,
    tagger: Tagger,
    targets: np.ndarray,
    found: list[LatentPoint],
    ways: dict[str, list[LatentPoint]],
    goals: list[str],
) -> None:
    wanted = np.array([tagger.values["hair"].index(goal) for goal in goals])
    real, now = tagger.predict(targets), tagger.predict(render(model, found))
    line = [f"{name} agrees {np.mean(real.best(name)[0] == now.best(name)[0]):.0%}" for name in ("hair", "eyes")]
    for way, points_ in ways.items():
        if points_:
            new = tagger.predict(render(model, points_))
            shares = (
                new.best("hair")[0] != now.best("hair")[0],
                new.best("hair")[0] == wanted,
                new.best("eyes")[0] == now.best("eyes")[0],
            )
            changed, as_asked, kept = (f"{share.mean():.0%}" for share in shares)
            line.append(f"{way}: hair changed {changed}, as asked {as_asked}, eyes stay {kept}")
    print(f"{len(found)} faces: " + "; ".join(line), flush=True)


if __name__ == "__main__":
    main()
