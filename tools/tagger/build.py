"""The training pipeline of the tagger: from the picture sets to a measured file of weights."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from kaogan.aux_models.tagger import preprocessing
from kaogan.aux_models.tagger.network import ATTRIBUTES, TaggerNetwork
from kaogan.aux_models.tagger.predict import Tagger, load_tagger, save_tagger
from kaogan.core.atomic_io import write_text
from kaogan.core.rng import numpy_generator
from tools.tagger import data
from tools.tagger.calibration import expected_calibration_error, fit_temperature
from tools.tagger.corruptions import FAULTS
from tools.tagger.data import PARTS, TAGGED, Tagged
from tools.tagger.examples import Examples
from tools.tagger.folding import fold
from tools.tagger.negatives import NEGATIVES
from tools.tagger.training import Settings, Step, train

AVATARS = {"train": 6000, "calibrate": 600, "test": 1200}
MEASURED = (*TAGGED, "avatars")
WEIGHTS, FIGURES = "tagger.safetensors", "figures.json"


@dataclass
class Material:
    """Faces by set and part, and backgrounds by part."""

    faces: dict[str, dict[str, Tagged]]
    backgrounds: dict[str, np.ndarray]


def gather(folder: Path, seed: int, progress: data.Progress | None = None) -> Material:
    """Read all sets of ``folder`` and the avatars. Raises UsageError for a set that is not there."""
    faces = {}
    for name in ("konachan", "makegirls", "getchu"):
        faces[name] = data.parted(data.read_set(name, folder, progress))
    faces["avatars"] = {part: data.read_avatars(part, AVATARS[part], progress) for part in PARTS}
    selfies, boxes = np.asarray(data.read_set("selfie2anime", folder, progress).images), data.read_boxes(folder)
    parts = np.array([data.part_of(picture) for picture in selfies])
    faces["selfie2anime"], backgrounds = {}, {}
    for part in PARTS:
        chosen = parts == part
        crops = data.crop_faces(selfies[chosen], boxes[chosen], seed)
        faces["selfie2anime"][part] = Tagged(crops, {name: np.full(len(crops), -1) for name in ATTRIBUTES})
        backgrounds[part] = data.cut_backgrounds(selfies[chosen], boxes[chosen], seed)
    return Material(faces, backgrounds)


def build(
    folder: Path,
    out: Path,
    settings: Settings,
    progress: data.Progress | None = None,
    on_step: Callable[[Step], None] = lambda step: None,
) -> dict[str, object]:
    """Train on the sets in ``folder``, write ``out/tagger.safetensors`` and ``out/figures.json``, return the figures.

    The same call again goes on where it stopped. Raises UsageError for missing sets or other settings in ``out``.
    """
    material = gather(folder, settings.seed, progress)
    small = {
        name: Tagged(preprocessing.shrink(parts["train"].images), parts["train"].labels)
        for name, parts in material.faces.items()
    }
    network = train(Examples(small, material.backgrounds["train"], settings.seed), settings, out, on_step=on_step)
    return finish(network, material, out, settings.seed)


def finish(network: TaggerNetwork, material: Material, out: Path, seed: int) -> dict[str, object]:
    """Fold, calibrate, write and measure."""
    folded = fold(network)
    folded.load_state_dict({name: value.half().float() for name, value in folded.state_dict().items()})
    plain = Tagger(folded, ATTRIBUTES, dict.fromkeys(ATTRIBUTES, 1.0), "")
    save_tagger(out / WEIGHTS, folded, ATTRIBUTES, temperatures(plain, material))
    figures = measure(load_tagger(out / WEIGHTS), material, seed)
    write_text(out / FIGURES, json.dumps(figures, indent=1) + "\n")
    return figures


def temperatures(plain: Tagger, material: Material) -> dict[str, float]:
    """One for each attribute, fitted on the calibration parts of all tagged sets, each set of the same weight."""
    found = {}
    said = {name: plain.predict(material.faces[name]["calibrate"].images) for name in MEASURED}
    for attribute in ATTRIBUTES:
        logits, labels, weights = list[Tensor](), list[Tensor](), list[Tensor]()
        for name in MEASURED:
            truth = torch.from_numpy(material.faces[name]["calibrate"].labels[attribute])
            known = truth >= 0
            logits.append(torch.from_numpy(said[name].probabilities[attribute]).log()[known])
            labels.append(truth[known])
            weights.append(torch.full((int(known.sum()),), 1 / int(known.sum())))
        found[attribute] = fit_temperature(torch.cat(logits), torch.cat(labels), torch.cat(weights))
    return found


def measure(tagger: Tagger, material: Material, seed: int) -> dict[str, object]:
    """The figures of the model card, on the test parts."""
    figures: dict[str, object] = {"fingerprint": tagger.fingerprint, "temperatures": tagger.temperatures}
    for name in MEASURED:
        tagged = material.faces[name]["test"]
        said = tagger.predict(tagged.images)
        figures[name] = {a: attribute_figures(said.probabilities[a], tagged.labels[a]) for a in ATTRIBUTES}
    return figures | {"face": face_figures(tagger, material, seed), "quality": quality_figures(tagger, material, seed)}


def attribute_figures(probabilities: np.ndarray, labels: np.ndarray) -> dict[str, float]:
    """Top-1 and top-3 accuracy and calibration error over the pictures whose label is known."""
    known = labels >= 0
    probabilities, labels = probabilities[known], labels[known]
    order = np.argsort(-probabilities, axis=1, kind="stable")
    return {
        "count": len(labels),
        "top1": float((order[:, 0] == labels).mean()),
        "top3": float((order[:, :3] == labels[:, None]).any(1).mean()),
        "calibration_error": expected_calibration_error(probabilities, labels),
    }


def face_figures(tagger: Tagger, material: Material, seed: int) -> dict[str, float]:
    """The share called a face (> 0.5): of every set's test faces, and of 500 of every kind that is none."""
    tests = {name: preprocessing.shrink(parts["test"].images) for name, parts in material.faces.items()}
    shares = {name: float((tagger.predict(pictures).face > 0.5).mean()) for name, pictures in tests.items()}
    shares["backgrounds"] = float((tagger.predict(material.backgrounds["test"]).face > 0.5).mean())
    rng = numpy_generator(seed, "tagger negatives of the test")
    pool = np.concatenate([tests[name] for name in ("konachan", "getchu")])
    for negative in NEGATIVES:
        made = np.stack([negative(pool[rng.integers(len(pool))], rng) for _ in range(500)])
        shares[negative.__name__] = float((tagger.predict(made).face > 0.5).mean())
    return shares


def quality_figures(tagger: Tagger, material: Material, seed: int) -> dict[str, list[float]]:
    """The mean quality of 500 test faces, whole and with every fault at strengths 0.25, 0.5, 0.75 and 1."""
    rng = numpy_generator(seed, "tagger faults of the test")
    pool = np.concatenate(
        [preprocessing.shrink(material.faces[name]["test"].images) for name in ("konachan", "getchu")]
    )
    pool = pool[rng.permutation(len(pool))[:500]]
    means = {"whole": [float(tagger.predict(pool).quality.mean())]}
    for name, fault in FAULTS.items():
        means[name] = []
        for strength in (0.25, 0.5, 0.75, 1.0):
            broken = np.stack([fault(face, strength, rng, pool[rng.integers(len(pool))]) for face in pool])
            means[name].append(float(tagger.predict(broken).quality.mean()))
    return means
